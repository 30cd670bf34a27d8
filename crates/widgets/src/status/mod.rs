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
//! through the custom properties of `status.css`. The same is there as text for those who do
//! not see it, and what stands between its tags is shown where scripts do not run.

mod view;
mod words;

use std::cell::RefCell;
use std::rc::Rc;

use link::PageAddress;
use web_sys::HtmlElement;

use crate::element::{self, Instance, module_url};
use crate::hub::{Hub, Sight, Watch};
use crate::source::{Source, broker_url};
use view::View;
use words::Words;

/// Registers the element.
pub(crate) fn define() {
    element::define::<Status>();
}

/// One element in the page.
struct Status {
    /// Followed until this is dropped; `None` where the attributes name nothing to follow.
    _watch: Option<Rc<RefCell<Option<Watch>>>>,
}

impl Instance for Status {
    const NAME: &'static str = "beaconry-status";
    const OBSERVED: &'static [&'static str] = &["device", "prefix", "label", "broker"];

    fn connect(element: &HtmlElement) -> Self {
        let device = element.get_attribute("device").unwrap_or_default();
        let label = element
            .get_attribute("label")
            .filter(|label| !label.trim().is_empty());
        let name = label.unwrap_or_else(|| fleet::display::shorten(device.trim(), 48));
        let Some(view) = View::of(element, &name) else {
            return Self { _watch: None };
        };
        let source = match Source::new(&device, element.get_attribute("prefix").as_deref()) {
            Ok(source) => source,
            Err(error) => return Self::problem(&view, error.message().to_owned()),
        };
        let broker = element.get_attribute("broker");
        let page = PageAddress::current();
        let url = match broker_url(&page, &module_url(), broker.as_deref()) {
            Ok(url) => url,
            Err(error) => return Self::problem(&view, error.to_string()),
        };
        let view = Rc::new(view);
        // The hub's callback looks at the watch that is made together with it.
        let watch: Rc<RefCell<Option<Watch>>> = Rc::default();
        let redraw = {
            let watch = Rc::downgrade(&watch);
            let last = RefCell::new(None);
            let view = Rc::clone(&view);
            Rc::new(move || {
                let Some(watch) = watch.upgrade() else { return };
                let sight = watch.borrow().as_ref().map(Watch::sight);
                if let Some(sight) = sight {
                    let before = last.borrow().clone();
                    let words = Words::of(sight, before.as_ref(), &view::clock_time);
                    if before.as_ref() != Some(&words) {
                        view.show(&words);
                        *last.borrow_mut() = Some(words);
                    }
                }
            })
        };
        view.show(&Words::of(Sight::Connecting, None, &view::clock_time));
        let made = Hub::of(url).watch(source, redraw.clone());
        *watch.borrow_mut() = Some(made);
        redraw();
        Self {
            _watch: Some(watch),
        }
    }
}

impl Status {
    fn problem(view: &View, message: String) -> Self {
        view.show(&Words::problem(message));
        Self { _watch: None }
    }
}
