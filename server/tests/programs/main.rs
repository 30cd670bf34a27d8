//! The programs beside the server, as processes, with a real broker or one that the test plays.

// Nothing here ships, so what cannot happen may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod beside_mosquitto;
mod documents;
mod pub_sub;
mod script;
mod secure;
mod support;
mod watch;
