//! What the screen shows, and the one connection that its data comes from.
//!
//! # How to use it in a page
//!
//! [`AppState`] is `Copy`, and components find it in the context: `let state = AppState::expect();`
//! (`AppState::provide()` once, in the root component).
//!
//! | call | to get |
//! |---|---|
//! | [`connection()`](AppState::connection) | [`ConnectionView`]: live, connecting, reconnecting in n s and why, log in, stopped |
//! | [`mode()`](AppState::mode) | [`Mode`]: whether the page follows the server, and so knows all devices |
//! | [`remembers()`](AppState::remembers) | whether that server keeps a history |
//! | [`reconnect()`](AppState::reconnect), [`log_in(user, password)`](AppState::log_in), [`broker()`](AppState::broker) | the button, the dialog, the address |
//! | [`counts()`](AppState::counts), [`list()`](AppState::list), `query` | how many by presence; the [`Listing`]: keys to show, in order, and what the limits dropped; search, filter and order, to be set |
//! | [`card(key)`](AppState::card) | [`CardView`]: one device in the list |
//! | [`find(id)`](AppState::find) | the key for a route's (decoded) id, once it is known |
//! | [`open(key)`](AppState::open), then [`device(key)`](AppState::device) | [`DeviceView`]: presence and its history, readings, charts, position, faults, known commands |
//! | [`commands(key)`](AppState::commands), [`send(key, request)`](AppState::send) | the commands with their states and answers; a new one |
//! | [`forget(key)`](AppState::forget), [`hide(key, …)`](AppState::hide) | the device goes, and comes back only when it sends something; it is hidden |
//! | [`messages(key)`](AppState::messages) | the raw messages since `open` |
//! | [`now()`](AppState::now), [`mod@format`] | the time to a second; numbers, “12 s ago”, sizes |
//! | `layout`, `window` | remembered choices; [`asked`]: what of it the address holds |
//!
//! `card`, `device`, `commands`, `messages`, `open` and `on_samples` hold until the calling
//! component is cleaned up: call them in the component's body, not in an event handler. A
//! view is compared before its signal is set; slice it further with `Memo`.
//!
//! # How it stays fast with 1,000 devices at a message a second
//!
//! - A message is handled when it comes ([`core::Core`]), also while the page is hidden. That only
//!   notes which device changed; nothing reactive happens.
//! - Ten times a second (`pace`), and only if something changed, the signals of the devices that
//!   changed **and** are on screen (`slots`) are set. The others cost nothing. What the user does is
//!   drawn in the next frame.
//! - The list is made again at most four times a second once it has a device, only if what changed
//!   can change it, and set only if it differs.
//! - Charts and trend lines are not reactive: they are made dirty and drawn by the frame
//!   loop, if they are on screen.
//!
//! # Subscriptions, and why nothing is lost or doubled
//!
//! [`interest`] says what is subscribed to, and how; [`server`] whether the server's list of devices
//! and its changes take the place of `#`. Telemetry comes with `QoS` 0, so a page that cannot keep up
//! loses old values and not its connection. Presence, commands and answers come with `QoS` 2, and so
//! does everything of the device that is open. Against another broker these filters and `#` overlap;
//! `copies` recognises what comes twice.
//!
//! Without Retain As Published, so that the retain flag means “out of the broker's store”.
//! The first connection begins a session, reconnections resume it for up to five minutes:
//! `QoS` 1 and 2 messages of the time between wait at the broker. If these became too many, the next
//! connection begins anew. Our own commands come back to us, as everyone else's do.
//!
//! # Where memory goes, and its bounds
//!
//! The fleet's own options (256 MiB at the very most), [`series::SeriesStore`] (48 MiB),
//! [`messages::RawMessages`] (8 MiB, of the open device only), the client's queue (4 MiB).

mod app;
pub mod asked;
mod command_view;
pub mod connection;
mod copies;
pub mod core;
mod device_map;
pub mod format;
pub mod interest;
pub mod list;
pub mod messages;
pub mod names;
mod pace;
mod parameters;
pub mod preferences;
pub mod series;
pub mod server;
mod shell;
mod slots;
pub mod sort;
pub mod views;

pub use app::{AppState, Figures};
pub use command_view::{ArgumentKind, ArgumentView, CommandView, is_destructive};
pub use connection::ConnectionView;
pub use list::{Listing, Outcome, Query, Sort};
pub use messages::RawMessage;
pub use preferences::{ChartWindow, Choice, Layout};
pub use server::following::Mode;
pub use views::{CardView, ChartView, DeviceView, FaultView, TrendView, ValueView};
