//! Custom elements that show a device on any page.
//!
//! ```html
//! <script type="module" src="http://HOST/embed/beaconry.js"></script>
//! <beaconry-status device="weather-03"></beaconry-status>
//! ```
//!
//! The page may be of any origin; it needs no framework and gets none: this crate draws with
//! the browser's own elements, because all of it together, with the MQTT client and the
//! device model, has to stay below 60 kB. What was done for that is in `docs/widgets.md`.
//!
//! **Invariants.**
//! - One socket a page and broker, however many elements: see [`Hub`](hub::Hub). The last
//!   element to leave closes it.
//! - What strangers sent reaches the page as text nodes only.
//! - Nothing is left in the page's globals.
//! - A new element is one module here, beside [`status`]; access keys will be one more
//!   attribute, read in [`source`].
#![no_std]

extern crate alloc;
// Tests need it, and so does a build for another target, which has no use for the bundle.
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
