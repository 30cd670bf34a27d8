//! The element's shadow root.

use fleet::Timestamp;
use js_sys::{Array, Date, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    CssStyleSheet, Document, Element, HtmlElement, ShadowRoot, ShadowRootInit, ShadowRootMode,
};

use super::words::Words;

const CSS: &str = include_str!("status.css");
const SVG: &str = "http://www.w3.org/2000/svg";

/// The parts whose text changes.
pub(crate) struct View {
    status: Element,
    path: Element,
    presence: Element,
    detail: Element,
    name: String,
}

impl View {
    /// Builds the shadow root, or builds it anew. `None` where the browser refuses, as it
    /// does for an element that has a root of somebody else's.
    pub(crate) fn of(element: &HtmlElement, name: &str) -> Option<Self> {
        let document = element.owner_document()?;
        let root = match element.shadow_root() {
            Some(root) => root,
            None => element
                .attach_shadow(&ShadowRootInit::new(ShadowRootMode::Open))
                .ok()?,
        };
        while let Some(child) = root.first_child() {
            root.remove_child(&child).ok()?;
        }
        adopt_style(&root)?;
        let status = part(&document, "span", "status")?;
        status.set_attribute("role", "group").ok()?;
        let svg = document.create_element_ns(Some(SVG), "svg").ok()?;
        for (attribute, value) in [
            ("part", "indicator"),
            ("viewBox", "0 0 16 16"),
            ("aria-hidden", "true"),
        ] {
            svg.set_attribute(attribute, value).ok()?;
        }
        let path = document.create_element_ns(Some(SVG), "path").ok()?;
        svg.append_child(&path).ok()?;
        status.append_child(&svg).ok()?;
        // A name may be written from right to left, and must not turn round what follows it.
        let shown_name = part(&document, "bdi", "name")?;
        shown_name.set_text_content(Some(name));
        let presence = part(&document, "span", "presence")?;
        let detail = part(&document, "span", "detail")?;
        for child in [&shown_name, &presence, &detail] {
            status.append_child(child).ok()?;
        }
        root.append_child(&status).ok()?;
        Some(Self {
            status,
            path,
            presence,
            detail,
            name: name.to_owned(),
        })
    }

    /// Shows `words`.
    pub(crate) fn show(&self, words: &Words) {
        let sentence = words.sentence(&self.name);
        for (element, attribute, value) in [
            (&self.status, "data-presence", words.shape),
            (&self.status, "aria-label", &sentence),
            (&self.status, "title", &sentence),
            (&self.path, "d", shape(words.shape)),
        ] {
            // Refused only for names that are none.
            let _ = element.set_attribute(attribute, value);
        }
        self.presence.set_text_content(Some(words.word));
        self.detail.set_text_content(Some(&words.detail));
    }
}

fn part(document: &Document, tag: &str, name: &str) -> Option<Element> {
    let element = document.create_element(tag).ok()?;
    element.set_attribute("part", name).ok()?;
    Some(element)
}

/// A constructed style sheet: a page's Content-Security-Policy does not forbid it.
fn adopt_style(root: &ShadowRoot) -> Option<()> {
    let sheet = CssStyleSheet::new().ok()?;
    sheet.replace_sync(CSS).ok()?;
    let sheets = Array::of1(&sheet);
    Reflect::set(root, &JsValue::from_str("adoptedStyleSheets"), &sheets).ok()?;
    Some(())
}

/// A form for each presence, so that none is told by its colour alone.
fn shape(of: &str) -> &'static str {
    match of {
        // A disc with a tick.
        "online" => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1ZM7 11.2 12.3 6 11 4.7 7 8.6 5 6.7 3.8 8Z",
        // A crescent.
        "sleeping" => "M6.2 1.4A7 7 0 1 0 14.6 9.8 6 6 0 0 1 6.2 1.4Z",
        // A triangle with a mark.
        "stale" => "M8 1 15.5 14.5H.5ZM7.2 6h1.6v4H7.2ZM7.2 11.2h1.6v1.6H7.2Z",
        // A disc with a cross.
        "offline" => {
            "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1ZM5.6 4.5 4.5 5.6 6.9 8 4.5 10.4 5.6 11.5 8 9.1 10.4 11.5 11.5 10.4 9.1 8 11.5 5.6 10.4 4.5 8 6.9Z"
        }
        // A square on its corner, crossed out by its middle.
        "problem" => "M8 0 16 8 8 16 0 8ZM7.2 4h1.6v5H7.2ZM7.2 10.4h1.6v1.6H7.2Z",
        // A ring: nothing is known (`unknown`, `connecting`, `lost`).
        _ => "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1ZM8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3Z",
    }
}

/// The moment as the reader's own clock shows it; with the date if it is not today's.
#[allow(clippy::cast_precision_loss)] // exact to the millisecond for 285,000 years
pub(crate) fn clock_time(at: Timestamp) -> String {
    let date = Date::new(&JsValue::from_f64(at.0 as f64));
    let today = Date::new_0().to_date_string() == date.to_date_string();
    let options = Object::new();
    let style = JsValue::from_str("short");
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(&options, &JsValue::from_str("timeStyle"), &style);
    if !today {
        let _ = Reflect::set(&options, &JsValue::from_str("dateStyle"), &style);
    }
    let text = date.to_locale_string("default", &options);
    text.dyn_into::<js_sys::JsString>()
        .map(String::from)
        .unwrap_or_default()
}
