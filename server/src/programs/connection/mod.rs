//! What all client programs share: the options of a connection, and the byte stream that they lead to.
//!
//! `options` is the clap group. It makes an [`Endpoint`] and the client's options. `endpoint` opens the
//! byte stream (`stream`), with TLS (`tls`) and WebSocket where asked for. `trouble` says why that
//! failed, in words that help.

mod endpoint;
mod options;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod trouble;
mod unsupported;

pub(crate) use self::endpoint::{Endpoint, Opening};
pub(crate) use self::options::{Connection, ConnectionArgs, Defaults, bytes_of, qos};
pub(crate) use self::stream::Stream;
pub(crate) use self::trouble::{Trouble, explain, is_fall_back};
