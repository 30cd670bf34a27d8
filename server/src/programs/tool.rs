//! What `pub` and `sub` share: they stand in for mosquitto's tools.

use std::fmt;
use std::io;
use std::time::Duration;

use mqtt::ProtocolVersion;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

use super::connection::{Connection, ConnectionArgs, Defaults};
use super::exit::Exit;
use super::properties::{Properties, PropertyArgs};

/// A runtime on this thread alone.
pub(crate) fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// For a timer that is not to fire.
pub(crate) fn far_future() -> Instant {
    Instant::now() + Duration::from_hours(24 * 365)
}

/// The connection and the properties. `Err` says which option is wrong.
pub(crate) fn connection(
    args: &ConnectionArgs,
    properties: &PropertyArgs,
) -> Result<(Connection, Properties), String> {
    // As mosquitto's tools: 3.1.1, unless something asks for more.
    let needs_5 = !properties.is_empty();
    let version = if needs_5 {
        ProtocolVersion::V5
    } else {
        ProtocolVersion::V3_1_1
    };
    // The variable alone: a `.env` is for the programs of one project, and these are for any.
    let broker = std::env::var("BROKER").ok().filter(|it| !it.is_empty());
    let mut connection = args.connection(&Defaults {
        version: Some(version),
        broker: broker.as_deref(),
        takes_topic: true,
    })?;
    let options = &mut connection.options;
    if needs_5 && options.version != ProtocolVersion::V5 {
        return Err("-D needs version 5, and -V asks for another".to_owned());
    }
    let properties = properties.properties()?;
    properties.apply(options)?;
    if options.session_expiry_interval == u32::MAX && !args.has_own_id() {
        return Err("a session that is kept for ever needs a client id: -i".to_owned());
    }
    Ok((connection, properties))
}

/// Standard error, for people. Standard output is for what the program is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stderr {
    is_quiet: bool,
    tells_all: bool,
}

impl Stderr {
    /// `is_quiet`: nothing is said. `tells_all`: more than warnings and errors.
    pub(crate) fn new(is_quiet: bool, tells_all: bool) -> Self {
        Self {
            is_quiet,
            tells_all,
        }
    }

    /// Says why the program ends, and returns `exit`.
    pub(crate) fn fail(self, exit: Exit, why: impl fmt::Display) -> Exit {
        self.warn(why);
        exit
    }

    /// Says what a person should know.
    pub(crate) fn warn(self, what: impl fmt::Display) {
        if !self.is_quiet {
            eprintln!("beaconry: {what}");
        }
    }

    /// Says what happens, to whoever asked for it.
    pub(crate) fn debug(self, what: impl fmt::Display) {
        if self.tells_all && !self.is_quiet {
            eprintln!("{what}");
        }
    }
}
