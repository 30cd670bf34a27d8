//! What devices mean: conventions turn messages into presence, telemetry and commands.
//!
//! A [`Fleet`] gets every message, the observer's own state, and the time. It says which devices
//! there are, their presence, what they measure, and the progress of the commands to them. It needs no configuration, does no input or output, never panics
//! on any bytes, and holds bounded memory whatever it is sent.
//!
//! ```
//! use fleet::{Event, Fleet, FleetOptions, Message, PresenceKind, Timestamp};
//!
//! let mut fleet = Fleet::new(FleetOptions::default());
//! let now = Timestamp(1_795_233_600_000);
//! fleet.handle_message(now, Message::new("beaconry/register/weather-03", b"SIGN_IN"));
//! fleet.handle_message(now, Message::new(
//!     "beaconry/data/weather-03",
//!     br#"{"deviceId":"weather-03","messageType":"DATA","temp":23.6,"lat":48.0,"lng":-88.6}"#,
//! ));
//!
//! let key = fleet.find("weather-03").unwrap();
//! let device = fleet.device(key).unwrap();
//! assert_eq!(device.presence().kind(), PresenceKind::Online);
//! let (_, temp) = device.metric_named("temp").unwrap();
//! assert_eq!((temp.value().as_number(), temp.unit()), (Some(23.6), Some("°C")));
//!
//! assert_eq!(fleet.poll_event(), Some(Event::DeviceAdded(key)));
//! ```
//!
//! # How to drive it
//!
//! 1. Subscribe (to `#`, or to what the page shows) **without Retain As Published**, so that
//!    [`Message::retained`] means that the broker had retained it before.
//! 2. [`Fleet::handle_observer`]`(Connected)` after CONNACK, `(Disconnected)` when the
//!    connection is gone. A new fleet assumes a connected observer.
//! 3. [`Fleet::handle_message`] for each PUBLISH.
//! 4. Sleep until [`Fleet::poll_timeout`], then [`Fleet::handle_timeout`]. It may be called late (throttled
//!    pages, sleeping laptops); that method says what happens then.
//! 5. Once a frame, [`Fleet::poll_event`] until `None`. For each device, everything but
//!    samples is coalesced. Samples wait in a bounded queue, which drops the oldest and counts them.
//! 6. For a button: [`Fleet::command`] with a fresh UUID, publish the [`CommandMessage`] at quality of service 2,
//!    then [`Fleet::note_command_sent`] when it is handed to a live connection,
//!    [`Fleet::note_command_acked`] at PUBCOMP, [`Fleet::note_command_failed`] if it cannot be
//!    sent. The answer comes by itself, as [`Event::CommandChanged`].
//!
//! `now` is wall-clock time that does not go back (`performance.timeOrigin + performance.now()`
//! in a page). If the clock is set back, time stands still here until it has caught up.
//!
//! # What devices send
//!
//! **Four topics**, under a prefix of any depth: `{prefix}/register/{id}` with `SIGN_IN` or
//! `SIGN_OUT` (in any case; retained; `SIGN_OUT` is also the will), `{prefix}/data/{id}` with a
//! JSON object, `{prefix}/cmd/req/{id}` and `{prefix}/cmd/resp/{id}` with JSON objects that carry
//! the same `uuid`. **Plain topics**: all others, see the table in the module
//! `conventions::plain`.
//!
//! ## How a device announces its commands and units
//!
//! A device of the four-topic convention announces them in a **retained** JSON message to
//! `{prefix}/data/{id}`, sent after each `SIGN_IN`:
//!
//! ```json
//! {"deviceId":"pump-02","messageType":"ANNOUNCE",
//!  "commands":["PING","SET_INTERVAL","SWITCH_ON"],
//!  "units":{"flow":"L/min","pressure":"bar"}}
//! ```
//!
//! `commands` are names, or objects with a `command` or `name` member, and perhaps `destructive` and
//! `arguments` (`{"name","type","unit","min","max","default"}`; see [`KnownCommand`]). At most 64 are
//! kept, with names of at most 128 bytes and 16 arguments each. `units` maps a metric's dotted name to its symbol. Data messages are not retained, so
//! the announcement is what the broker keeps on that topic. Both members are understood in any
//! data message and in a JSON registration (`{"messageType":"SIGN_IN","commands":[…]}`) too. The
//! latest list replaces the earlier ones. No device has to announce `PING`.
//!
//! ## How a device answers
//!
//! `{"deviceId","messageType":"commandResp","commandResult":…,"uuid","command"}`, where
//! `commandResult` may be any JSON. A failure has an `error` member with the reason:
//! `{…,"commandResult":null,"error":"unknown command"}`; see [`Command::result`].
//!
//! # Presence
//!
//! - A registration or any live message means online. Retained data says nothing about presence.
//! - Silence of three median intervals, at least 30 s, means stale ([`StaleRule`]).
//! - A device that signs in and out in a rhythm sleeps in between. After two cycles of similar
//!   length, its signing-out means [`Presence::Sleeping`]. If it is half a cycle late in waking, it
//!   is offline, [`OfflineReason::DidNotWake`].
//! - While the observer is disconnected, every presence is unknown.
//!
//! - A server tells which client publishes ([`Message::publisher`]) and which come and leave
//!   ([`Fleet::handle_client`]). A device with one client of its own leaves with it.
//!
//! # One fleet tells another
//!
//! A server has a fleet of its own, and knows more than any page: it was there before, and it sees which
//! client publishes and why one left. [`Fleet::describe`] writes a device as a type of the server's API;
//! [`Fleet::adopt`] reads it into another fleet, or into the same one after a restart
//! ([`Fleet::handle_restart`]). A page that gets the server's changes *follows* it
//! ([`FleetOptions::follows`]): messages change its values and commands, only the server changes
//! presences.
//!
//! # Names are untrusted text
//!
//! Ids, metric names, texts and excerpts are what devices sent, and anyone may be one: `<script>`, quotes,
//! right-to-left overrides, 4,000 characters. Show them as text, never as markup, and through
//! [`Device::display_id`], [`Metric::display_name`] or [`display::shorten`].

#![no_std]

extern crate alloc;

mod clock;
mod command;
mod conventions;
mod device;
pub mod display;
mod event;
mod fault;
mod fleet;
mod json;
mod limits;
mod list;
mod metric;
mod number;
mod options;
mod payload;
mod prefix_rule;
mod presence;
mod readings;
mod record;
mod rhythm;
mod search;
mod text;
mod time;
mod units;

/// What this build does: see the features in `Cargo.toml`. The code asks for them with `if`, so that
/// every build checks all code. The compiler leaves out what is never reached.
const TELEMETRY: bool = cfg!(feature = "telemetry");
const COMMANDS: bool = cfg!(feature = "commands");
const INDEX: bool = cfg!(feature = "index");
const FORGET: bool = cfg!(feature = "forget");
const ADOPT: bool = cfg!(feature = "adopt");
const TIES: bool = cfg!(feature = "ties");
const RECORD: bool = cfg!(feature = "record");

pub use command::{
    Argument, Command, CommandError, CommandMessage, CommandRequest, CommandState, KnownCommand,
};
pub use conventions::{Convention, topic_filters};
pub use device::{Device, DeviceKey, Position};
pub use event::Event;
pub use fault::{Fault, FaultKind};
pub use fleet::{ClientNews, Fleet, Message};
pub use json::text_of_json;
pub use limits::{Limit, LimitCounters};
pub use metric::{Metric, MetricGroup, MetricKey, Value};
pub use number::number_of;
pub use options::{FleetOptions, ObserverState, StaleRule};
pub use prefix_rule::PrefixRule;
pub use presence::{Counts, OfflineReason, Presence, PresenceKind, PresenceSpan, UnknownReason};
pub use record::{Record, Recorded, Records};
pub use search::{Search, Sort, SortPlace, natural};
pub use time::Timestamp;
