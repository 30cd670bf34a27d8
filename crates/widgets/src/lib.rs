//! Custom elements that show a device on any page.
//!
//! ```html
//! <script type="module" src="http://HOST/embed/beaconry.js"></script>
//! <beaconry-status device="weather-03"></beaconry-status>
//! ```
//!
//! The page may be of any origin. There is no framework: this crate draws with the browser's own
//! elements. All of it together, with the MQTT client and the device model,
//! must stay below 60 kB of brotli; `docs/widgets.md` says how.
//!
//! **Invariants.**
//! - One socket for each page and broker, however many elements: see [`Hub`](hub::Hub). The last
//!   element to leave closes it.
//! - What strangers sent reaches the page as text nodes only.
//! - Nothing is added to the page's globals.
//!
//! # How to add a widget
//!
//! A widget is one folder beside [`status`], and in this file its `mod` and one line in [`start`]:
//!
//! 1. `src/NAME/mod.rs`: its `Kind` (tag, attributes, style), a `define` that calls
//!    [`element::define`], and a type that implements [`hub::Watcher`]. It joins a [`hub::Hub`]
//!    when it begins and leaves when it is dropped.
//! 2. `src/NAME/NAME.js`: what it draws, as functions that take its root. Rust imports them with
//!    `#[wasm_bindgen(module = "/src/NAME/NAME.js")]`.
//! 3. `src/NAME/NAME.css`: the style of its shadow root.
//! 4. [`start`] calls its `define`. Every widget gets a clone of the same [`hub::Page`], through
//!    which they share their connections.
//! 5. `WIDGETS` in `xtask/tests/imports.rs` gets a line, and `docs/widgets.md` a section. Its test is
//!    a file in `e2e/`.
//!
//! `js/element.js`, [`element`], [`hub`] and [`source`] know no widget. `cargo xtask build` takes the
//! new files by itself, and fails when the bundle is over its budget.
#![no_std]

extern crate alloc;
// For tests, and for builds for another target, which have no use for the bundle.
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(not(any(test, feature = "std")))]
mod bundle;
mod element;
mod hub;
mod source;
mod status;

use wasm_bindgen::prelude::wasm_bindgen;

/// Registers the elements; the glue calls it once the module is loaded.
#[wasm_bindgen(start)]
pub fn start() {
    status::define(hub::Page::new());
}
