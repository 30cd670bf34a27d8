//! Drives [`mqtt::Client`](mqtt::client::Client) over a browser's WebSocket.
//!
//! Only this crate touches sockets and their timers, for the dashboard and for the widgets. It knows
//! neither Leptos nor devices. Events go out in batches: one for each frame that comes in, each
//! timer that goes off, each call.
//!
//! With the feature `http` it also asks a server's HTTP API: see [`http`].
//!
//! **Invariants.**
//! - One function (`Inner::turn`) keeps the client's loop: after each call it drains the events,
//!   writes the bytes and arms the timer, in this order.
//! - Nothing depends on the browser's `close` event. After a laptop's sleep it may come minutes late
//!   or never. [`Clock`] and [`Link`] say what happens instead.
//! - Memory is bounded: while more than [`Link::MAX_BUFFERED`] bytes wait in the browser's send
//!   buffer, the link takes no more from the client, whose own queue is bounded.
//! - Dropping a [`Link`] closes its socket and removes every listener and timer.
//!
//! The listener and the timer are our own, because the widgets' bundle has no `std` and gloo needs
//! it. The dashboard uses `gloo-events` and `gloo-timers`.
//!
//! ```no_run
//! use link::{Link, LinkEvent, PageAddress, random};
//! use mqtt::{ClientOptions, client::Event};
//!
//! let url = PageAddress::current().broker_url(None)?;
//! let id = random::client_id("demo");
//! let link = Link::open(url, ClientOptions::new(id), |_now, batch| {
//!     for event in batch {
//!         if let LinkEvent::Client(Event::Message(message)) = event {
//!             // …
//!         }
//!     }
//! });
//! # Ok::<(), link::UrlError>(())
//! ```

#![no_std]

extern crate alloc;

mod address;
mod clock;
mod driver;
mod failure;
#[cfg(feature = "http")]
pub mod http;
mod listener;
pub mod random;
mod socket;
mod timer;

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_name = window)]
    static WINDOW: Option<web_sys::Window>;
}

/// The page's window. This looks for it in one place only, whereas `web_sys` looks in four.
fn window() -> Option<web_sys::Window> {
    WINDOW.with(Option::clone)
}

pub use address::{BrokerUrl, PageAddress, UrlError};
pub use clock::Clock;
pub use driver::{Link, LinkEvent};
pub use failure::TransportFailure;
pub use timer::Timer;
