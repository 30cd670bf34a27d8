//! The JSON messages between server, dashboard and devices: one type for each.
//!
//! Writer and reader of a message use the same type, so they cannot disagree. A device's readings have
//! no type here: a payload may be anything, and the tolerant reader of `fleet` parses it.
//!
//! `fleet` reads and writes commands and answers without these types, because `serde_json` would make
//! the page 9.5 kB larger. Its tests compare it with them.
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
//! [`ServerInfo`], [`fleet`], [`history`] and [`Problem`] are answers of the server's HTTP API. A field that is added later must
//! have a default, so that a new page can read the answer of an older server.
//!
//! The crate is `no_std`. A page contains only the parts that it uses.

#![no_std]

extern crate alloc;

mod command;
mod device;
pub mod fleet;
pub mod history;
mod problem;
mod raw;
mod server;

pub use command::{Command, CommandAnswer, says_failure};
pub use device::{Announcement, Data, MessageType, Registration};
pub use problem::Problem;
pub use raw::{BadJson, Members, Raw, quoted, text_of};
pub use server::{MqttInfo, ServerInfo};
