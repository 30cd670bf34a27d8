//! Drives [`mqtt::Client`](mqtt::client::Client) over a browser's WebSocket.
//!
//! The only place of the dashboard and the widgets that touches sockets and their timers.
//! It knows neither Leptos nor devices: events go out in batches, one for each frame that
//! came in, timer that went off or call that was made.
//!
//! **Invariants.**
//! - The client's loop is kept: after whatever happens its events are drained, its bytes
//!   written and its timer armed, in that order, by one function (`Inner::turn`).
//! - Nothing depends on the browser's `close` event. After a laptop's sleep it may come
//!   minutes late or never; see [`Clock`] and [`Link`] for what is done instead.
//! - Nothing waits unboundedly: while more than [`Link::MAX_BUFFERED`] bytes lie in the
//!   browser's send buffer no more are taken from the client, whose own queue is bounded.
//! - Dropping a [`Link`] closes its socket and removes every listener and timer.
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

/// The page's window, looked for in one place; `web_sys` looks in four.
fn window() -> Option<web_sys::Window> {
    WINDOW.with(Option::clone)
}

pub use address::{BrokerUrl, PageAddress, UrlError};
pub use clock::Clock;
pub use driver::{Link, LinkEvent};
pub use failure::TransportFailure;
pub use listener::Listener;
pub use timer::Timer;
