//! The normative statements of the standards, held against the running server in raw bytes, over
//! TCP and over WebSocket.
//!
//! Packets are made and read by hand here (`raw`), not by our own codec: it is what is tested. A
//! test names the statements that it holds; `cargo xtask conformance` makes a table of them.

// Nothing here ships: what cannot happen may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authenticating;
mod clock;
mod connack;
mod connect;
mod ending;
mod exchanges;
mod form;
mod lasting;
mod ordering;
mod publish;
mod publish_properties;
mod raw;
mod retain;
mod routing;
mod sessions;
mod settings;
mod sharing;
mod subscribing;
mod topics;
mod websocket;
mod will;
mod wire;
mod wishes;

// How the server is started and spoken to is the same as there.
#[allow(dead_code)] // what only those tests need
#[path = "../serve/support.rs"]
mod support;
