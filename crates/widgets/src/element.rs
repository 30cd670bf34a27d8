//! Registering a custom element, and its living instances.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/js/element.js")]
extern "C" {
    /// The scheme, host and port that the script came from.
    #[wasm_bindgen(js_name = scriptOrigin)]
    pub(crate) fn script_origin() -> String;

    /// A moment, in milliseconds since the Unix epoch, as the reader's own clock shows it.
    #[wasm_bindgen(js_name = clockTime)]
    pub(crate) fn clock_time(at: f64) -> String;

    #[wasm_bindgen(js_name = define)]
    fn js_define(name: &str, attributes: &str, css: &str, begin: &JsValue, end: &JsValue);

    /// What one element shows.
    pub(crate) type Face;

    /// The element's attribute.
    #[wasm_bindgen(method)]
    pub(crate) fn attribute(this: &Face, name: &str) -> Option<String>;

    /// Draws a shape, and writes the rest as text.
    #[wasm_bindgen(method)]
    pub(crate) fn show(this: &Face, shape: &str, name: &str, word: &str, detail: &str);
}

/// A kind of element.
pub(crate) struct Kind {
    /// Its tag.
    pub(crate) name: &'static str,
    /// The attributes whose change makes a new instance, separated by spaces.
    pub(crate) attributes: &'static str,
    /// The style of its shadow root.
    pub(crate) css: &'static str,
}

/// Registers a kind of element. An instance lives from when its element enters the page, or an
/// attribute changes, until it leaves or the next change.
pub(crate) fn define<I: 'static>(kind: &Kind, begin: impl Fn(Face) -> I + 'static) {
    let instances: Rc<RefCell<Vec<Option<I>>>> = Rc::default();
    let living = Rc::clone(&instances);
    let begin = Closure::<dyn Fn(Face, Option<u32>) -> u32>::new(move |face, before: Option<_>| {
        // The new one first: a connection that both use stays open.
        let instance = begin(face);
        let place = before.unwrap_or_else(|| free_place(&mut living.borrow_mut()));
        let old = replace(&living, place, Some(instance));
        drop(old);
        place
    });
    let end = Closure::<dyn Fn(u32)>::new(move |place| {
        let old = replace(&instances, place, None);
        drop(old);
    });
    // The class lives as long as the page: so do its callbacks.
    let (begin, end) = (begin.into_js_value(), end.into_js_value());
    js_define(kind.name, kind.attributes, kind.css, &begin, &end);
}

fn free_place<I>(instances: &mut Vec<Option<I>>) -> u32 {
    let free = instances.iter().position(Option::is_none);
    let place = free.unwrap_or_else(|| {
        instances.push(None);
        instances.len() - 1
    });
    // A page with four thousand million elements has other worries.
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// What was at `place` before; to be dropped when nothing is borrowed any more.
fn replace<I>(instances: &RefCell<Vec<Option<I>>>, place: u32, new: Option<I>) -> Option<I> {
    let mut instances = instances.borrow_mut();
    core::mem::replace(instances.get_mut(place as usize)?, new)
}
