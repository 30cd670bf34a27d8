//! The commands beside `serve`: programs that are clients of a broker, ours or any other.

pub(crate) mod collect;
pub(crate) mod command;
pub(crate) mod connection;
pub(crate) mod device;
pub(crate) mod ending;
pub(crate) mod environment;
pub(crate) mod exit;
pub(crate) mod output;
pub(crate) mod properties;
pub(crate) mod publish;
pub(crate) mod subscribe;
pub(crate) mod tool;
pub(crate) mod topics;
pub(crate) mod uuid;
