//! The running server against the normative statements of the standards, in raw bytes, over TCP and
//! over WebSocket.
//!
//! The tests make and read packets by hand (`raw`), not with our own codec, because they test the
//! codec. A test names the statements that it holds; `cargo xtask conformance` makes a table of
//! them.

// Nothing here ships, so what cannot happen may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod authenticating;
mod clock;
mod connack;
mod connect;
mod dialects;
mod ending;
mod exchanges;
mod form;
mod gadgets;
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

// Those tests start the server and speak to it in the same way.
#[allow(dead_code)] // what only those tests need
#[path = "../serve/support.rs"]
mod support;
