//! `<beaconry-status device="…">`: is the device there?
//!
//! | attribute | what it says |
//! |---|---|
//! | `device` | the device's id |
//! | `prefix` | the prefix of its topics; `beaconry` if absent |
//! | `label` | a name to show instead of the id |
//! | `broker` | another broker, as `wss://…`; the one that served the script if absent |
//!
//! It is styled through `::part(status)`, `indicator`, `name`, `presence` and `detail`, and
//! through the custom properties of `status.css`; the state is one more name of the part
//! `status`. All of it is text, so those who do not see it have it too, and what stands between
//! the tags is shown where scripts do not run.

mod words;

use alloc::borrow::ToOwned as _;
use alloc::rc::Rc;
use alloc::string::String;
use core::cell::Cell;

use crate::element::{self, Face, Kind, clock_time, script_origin};
use crate::hub::{Hub, Page, Sight, Watcher, this_quarter_hour};
use crate::source::{Source, broker_url};
use words::Words;

const KIND: Kind = Kind {
    name: "beaconry-status",
    attributes: "device prefix label broker",
    css: include_str!("status.css"),
};

/// Registers the element.
pub(crate) fn define(page: Rc<Page>) {
    element::define(&KIND, move |face| Status::begin(&page, face));
}

/// One element in the page, as its attributes are.
struct Status {
    hub: Rc<Hub>,
    source: Source,
    face: Face,
    name: String,
    /// What is shown, and in which quarter of an hour that was found out.
    shown: Cell<Option<(Sight, i64)>>,
}

impl Status {
    /// `None` where the attributes name nothing that could be followed: this then says why.
    fn begin(page: &Rc<Page>, face: Face) -> Option<Rc<Self>> {
        let attribute = |name| {
            let value = face.attribute(name).unwrap_or_default();
            let value = value.trim_ascii();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let device = attribute("device").unwrap_or_default();
        let label = attribute("label");
        let name = label.unwrap_or_else(|| device.clone());
        // An empty prefix is one: the topics then begin with `register/`.
        let prefix = face.attribute("prefix");
        let source =
            Source::new(&device, prefix.as_deref()).map_err(|error| error.message().to_owned());
        let url = broker_url(
            &page.address,
            &script_origin(),
            attribute("broker").as_deref(),
        )
        .map_err(|error| error.message());
        match (source, url) {
            (Ok(source), Ok(url)) => {
                let status = Rc::new(Self {
                    hub: page.hub(url),
                    source,
                    face,
                    name,
                    shown: Cell::new(None),
                });
                status.hub.join(&status);
                status.draw();
                Some(status)
            }
            (Err(message), _) | (Ok(_), Err(message)) => {
                Words::problem(message).show(&face, &name);
                None
            }
        }
    }
}

impl Watcher for Status {
    fn source(&self) -> &Source {
        &self.source
    }

    fn draw(&self) {
        let now = Some((self.hub.sight(&self.source), this_quarter_hour()));
        if self.shown.replace(now) != now
            && let Some((sight, _)) = now
        {
            // Milliseconds are exact in an f64 for 285,000 years.
            #[allow(clippy::cast_precision_loss)]
            let words = Words::of(sight, &|at| clock_time(at.0 as f64));
            words.show(&self.face, &self.name);
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        self.hub.leave(&self.source);
    }
}
