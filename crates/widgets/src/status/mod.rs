//! `<beaconry-status device="…">`: is the device there?
//!
//! | attribute | what it says |
//! |---|---|
//! | `device` | the device's id |
//! | `prefix` | the prefix of its topics; `beaconry` if absent |
//! | `label` | a name to show instead of the id |
//! | `broker` | another broker, as `wss://…`; the one beside the script if absent |
//!
//! Pages style it through `::part(status)`, `indicator`, `name`, `presence` and `detail`, and
//! through the custom properties of `status.css`. The part `status` has the state as one more name.
//! All of it is text, so screen readers can read it too. Where scripts do not run, what stands
//! between the tags is shown.

mod words;

use alloc::borrow::ToOwned as _;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;

use crate::element::{self, Element, Kind, Root};
use crate::hub::{DeviceState, Hub, Page, Watcher, this_quarter_hour};
use crate::source::Source;
use wasm_bindgen::prelude::wasm_bindgen;
use words::Words;

#[wasm_bindgen(module = "/src/status/status.js")]
extern "C" {
    /// Draws a shape, and writes the rest as text.
    #[wasm_bindgen(js_name = show)]
    fn js_show(root: &Root, shape: &str, name: &str, word: &str, detail: &str);

    /// A moment, in milliseconds since the Unix epoch, as the reader's own clock shows it.
    #[wasm_bindgen(js_name = clockTime)]
    fn clock_time(at: f64) -> String;
}

const KIND: Kind = Kind {
    name: "beaconry-status",
    attributes: "device prefix label broker",
    css: include_str!("status.css"),
};

/// Registers the element.
pub(crate) fn define(page: Rc<Page>) {
    element::define(&KIND, move |element, root| {
        Status::begin(&page, element, root)
    });
}

/// One element in the page, for its present attributes.
struct Status {
    hub: Rc<Hub>,
    source: Source,
    root: Root,
    name: String,
    /// What is shown, and the quarter of an hour in which it was drawn.
    shown: Cell<Option<(DeviceState, i64)>>,
}

impl Status {
    /// Follows the device. If the attributes name nothing that could be followed, shows why and
    /// returns `None`.
    fn begin(page: &Rc<Page>, element: &Element, root: Root) -> Option<Rc<Self>> {
        let attribute = |name| {
            let value = element.attribute(name).unwrap_or_default();
            let value = value.trim_ascii();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let device = attribute("device").unwrap_or_default();
        let label = attribute("label");
        let name = label.unwrap_or_else(|| device.clone());
        // An empty prefix is a prefix too: the topics then begin with `register/`.
        let prefix = element.attribute("prefix");
        let source =
            Source::new(&device, prefix.as_deref()).map_err(|error| error.message().to_owned());
        let broker = attribute("broker");
        let url = page.address.broker_url(broker.as_deref());
        let url = url.map_err(|error| error.message());
        match (source, url) {
            (Ok(source), Ok(url)) => {
                let status = Rc::new(Self {
                    hub: page.hub(url),
                    source,
                    root,
                    name,
                    shown: Cell::new(None),
                });
                status.hub.join(&status);
                status.draw();
                Some(status)
            }
            (Err(message), _) | (Ok(_), Err(message)) => {
                show(&root, &name, &Words::problem(message));
                None
            }
        }
    }
}

fn show(root: &Root, name: &str, words: &Words) {
    js_show(root, words.shape, name, words.word, &words.detail);
}

impl Watcher for Status {
    fn source(&self) -> &Source {
        &self.source
    }

    fn draw(&self) {
        let now = Some((self.hub.state(&self.source), this_quarter_hour()));
        if self.shown.replace(now) != now
            && let Some((state, _)) = now
        {
            // Milliseconds are exact in an f64 for 285,000 years.
            #[allow(clippy::cast_precision_loss)]
            let words = Words::of(state, &|at| clock_time(at.0 as f64));
            show(&self.root, &self.name, &words);
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.hub.leave(&self.source);
    }
}
