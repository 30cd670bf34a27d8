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
//! The crate is `no_std`. Parts that a page does not use cost it nothing.

#![no_std]

extern crate alloc;

mod command;
mod device;
mod raw;

pub use command::{Command, CommandAnswer};
pub use device::{Announcement, Data, MessageType, Registration};
pub use raw::{BadJson, Members, Raw, quoted, text_of};
