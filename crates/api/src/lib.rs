//! What server, dashboard and devices say to each other in JSON: one type for each thing.
//!
//! Whoever writes one of these messages and whoever reads it use the same type, so the two cannot
//! drift apart. What a device measures is not here: it may be any payload, and the tolerant reader
//! of `fleet` takes it apart.
//!
//! ```
//! let request = api::Command::new("PING").with_uuid("u-1");
//! assert_eq!(request.to_json(), r#"{"uuid":"u-1","command":"PING"}"#);
//!
//! let answer = api::CommandAnswer::parse(r#"{"uuid":"u-1","commandResult":"PONG"}"#).unwrap();
//! assert_eq!(answer.result(), "\"PONG\"");
//! assert!(answer.is_success());
//! ```
//!
//! [`ServerInfo`] and [`Problem`] are answers of the server's HTTP API. A field that comes later must
//! have a default there, so that a new page reads the answer of an older server.
//!
//! The crate is `no_std`. Parts that a page does not use cost it nothing.

#![no_std]

extern crate alloc;

mod command;
mod device;
mod problem;
mod raw;
mod server;

pub use command::{Command, CommandAnswer, says_failure};
pub use device::{Announcement, Data, MessageType, Registration};
pub use problem::Problem;
pub use raw::{BadJson, Members, Raw, quoted, text_of};
pub use server::{MqttInfo, ServerInfo};
