//! Custom elements that show a device on any page.
//!
//! ```html
//! <script type="module" src="http://HOST/embed/beaconry.js"></script>
//! <beaconry-status device="weather-03"></beaconry-status>
//! ```
//!
//! The page may be of any origin. There is no framework. The elements are JavaScript (`js/`), because
//! the browser's own parts do all the work: a custom element, `fetch` and `EventSource` at the server
//! beside the script, which knows each device best. This crate is what the elements need for other
//! brokers: the MQTT client and the device model. The script loads it only for those. All of it
//! together must stay below 60 kB of brotli; `docs/widgets.md` says how.
//!
//! | file | what |
//! |---|---|
//! | `js/beaconry.js` | the script that pages name: the element, and where its state comes from |
//! | `js/element.js` | how an element begins and ends |
//! | `js/server.js` | follows devices at the server's API |
//! | `js/words.js`, `js/status.js`, `js/status.css` | what it says, and how it looks |
//! | [`hub`] | follows devices at a broker, by their messages |
//!
//! **Invariants.**
//! - One connection for each page and server, however many elements. The last element to leave closes
//!   it.
//! - What strangers sent reaches the page as text nodes only.
//! - Nothing is added to the page's globals.
//!
//! # How to add a widget
//!
//! A class like `Status` in `js/beaconry.js` and a call of `define` there; what it draws, and its style,
//! as files beside `js/status.js` and `js/status.css`. `docs/widgets.md` gets a section, and its test is
//! a file in `e2e/`. `cargo xtask build` takes new files by itself, and fails when the bundle is over its
//! budget.
#![no_std]

extern crate alloc;
// For tests, and for builds for another target, which have no use for the bundle.
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(not(any(test, feature = "std")))]
mod bundle;
mod hub;
mod source;

use alloc::rc::Rc;
use alloc::string::String;

use fleet::{Presence, Timestamp};
use js_sys::{Array, Function};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use hub::{DeviceState, Hub, Hubs};
use source::Source;

/// The connections of a page.
#[wasm_bindgen]
pub struct Page(Hubs);

/// A device that an element follows, until it is freed.
#[wasm_bindgen]
pub struct Followed {
    hub: Rc<Hub>,
    source: Rc<Source>,
}

#[wasm_bindgen]
impl Page {
    /// `own_broker` is the broker that belongs to the script, as `http://HOST/mqtt`. `changed` is called
    /// when what an element shows may have changed.
    #[wasm_bindgen(constructor)]
    pub fn new(own_broker: String, changed: Function) -> Self {
        Self(Hubs::new(own_broker, changed))
    }

    /// Follows a device at a broker, or at the own one. An error is a text for the reader of the page.
    #[allow(clippy::needless_pass_by_value)] // The glue gives an owned text.
    pub fn follow(
        &self,
        device: &str,
        prefix: &str,
        broker: Option<String>,
    ) -> Result<Followed, String> {
        let source = Source::new(device, prefix).map_err(String::from)?;
        let hub = self.0.hub(broker.as_deref());
        let hub = hub.map_err(|error| error.message())?;
        let source = Rc::new(source);
        hub.join(&source);
        Ok(Followed { hub, source })
    }
}

#[wasm_bindgen]
impl Followed {
    /// What is known now, as `js/words.js` takes it: state, reason, since, whether that is exact, when it
    /// wakes, and when it was last heard of.
    pub fn state(&self) -> Array {
        let (word, reason, presence, exact) = match self.hub.state(&self.source) {
            DeviceState::Connecting => ("connecting", "", None, true),
            DeviceState::Refused => ("refused", "", None, true),
            DeviceState::Forbidden => ("forbidden", "", None, true),
            DeviceState::Lost(before) => ("lost", before.word(), None, true),
            DeviceState::Silent => ("silent", "", None, true),
            DeviceState::Known { presence, exact } => {
                let reason = match presence {
                    Presence::Offline { reason, .. } => reason.word(),
                    Presence::Unknown { reason, .. } => reason.word(),
                    Presence::Online { .. }
                    | Presence::Sleeping { .. }
                    | Presence::Stale { .. } => "",
                };
                (presence.kind().word(), reason, Some(presence), exact)
            }
        };
        let (mut wakes, mut seen) = (None, None);
        match presence {
            Some(Presence::Sleeping { wakes_about, .. }) => wakes = wakes_about,
            Some(Presence::Stale { last_seen, .. }) => seen = Some(last_seen),
            Some(Presence::Online { .. } | Presence::Offline { .. } | Presence::Unknown { .. })
            | None => {}
        }
        let since = presence.map(|presence| presence.since());
        let state = Array::new();
        for value in [
            JsValue::from_str(word),
            JsValue::from_str(reason),
            number(since),
            JsValue::from_bool(exact),
            number(wakes),
            number(seen),
        ] {
            state.push(&value);
        }
        state
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.hub.leave(&self.source);
    }
}

/// Milliseconds since 1970, or NaN.
#[allow(clippy::cast_precision_loss)] // They are exact in an f64 for 285,000 years.
fn number(time: Option<Timestamp>) -> JsValue {
    JsValue::from_f64(time.map_or(f64::NAN, |time| time.0 as f64))
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use fleet::{OfflineReason, UnknownReason};

    /// The script has the words of this repository's `fleet`, which it must not load.
    #[test]
    fn the_script_knows_every_reason() {
        let script = include_str!("../js/words.js");
        let offline = OfflineReason::ALL.map(|reason| (reason.word(), reason.message()));
        let unknown = UnknownReason::ALL.into_iter();
        // A device that nobody heard of has a shorter text.
        let unknown = unknown.filter(|reason| *reason != UnknownReason::Unseen);
        let unknown = unknown.map(|reason| (reason.word(), reason.message()));
        for (word, message) in offline.into_iter().chain(unknown) {
            let line = format!("'{word}': '{message}',");
            assert!(script.contains(&line), "js/words.js lacks {line}");
        }
    }
}
