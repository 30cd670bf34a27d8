//! The parts that the pages are made of.
//!
//! - [`icon`]: every picture, drawn as lines; no fonts, no files.
//! - [`connection`]: what the header says about the connection, and what to do about it.
//! - [`presence`]: a shape, a word, a colour, and since when.
//! - [`device_card`]: one device in the list, as a card or a row.
//! - [`device_link`]: addresses of device pages, for ids of any text.
//! - [`later`]: parts of the program that come when they are first used.
//! - [`window_list`]: lists of any length, of which only what can be seen exists.
//! - [`copy`]: the button that copies.
//! - [`address`]: keeps the address in step with what the reader asked for.
//! - [`clock`]: times of day.
//! - [`title`]: the title of the browser's tab.
//!
//! **Invariant.** What strangers wrote (ids, names, values, payloads) becomes text nodes and
//! attribute values, never markup; ids and values stand in `<bdi>`.

pub mod address;
pub mod clock;
pub mod connection;
pub mod copy;
pub mod device_card;
pub mod device_link;
pub mod icon;
pub mod later;
pub mod presence;
pub mod title;
pub mod window_list;
