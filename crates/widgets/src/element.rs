//! Registers a custom element, and keeps its living instances.

use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen(module = "/js/element.js")]
extern "C" {
    /// The address of the broker that belongs to this script: `http://HOST/mqtt`.
    #[wasm_bindgen(js_name = ownBroker)]
    pub(crate) fn own_broker() -> String;

    #[wasm_bindgen(js_name = define)]
    fn js_define(name: &str, attributes: &str, css: &str, begin: &JsValue, end: &JsValue);

    /// An element in the page.
    pub(crate) type Element;

    /// The value of one of its attributes.
    #[wasm_bindgen(method, js_name = getAttribute)]
    pub(crate) fn attribute(this: &Element, name: &str) -> Option<String>;

    /// An element's shadow root, which it draws into. It stays the same for the element's life.
    pub(crate) type Root;
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

/// Registers a kind of element. `begin` makes an instance when an element enters the page and when
/// an attribute changes. The instance lives until the element leaves or the next change.
pub(crate) fn define<I: 'static>(kind: &Kind, begin: impl Fn(&Element, Root) -> I + 'static) {
    let instances: Rc<RefCell<Vec<Option<I>>>> = Rc::default();
    let living = Rc::clone(&instances);
    let begin = move |element: Element, root, before: Option<u32>| {
        // The new instance begins before the old one ends, so that a connection that both use stays
        // open.
        let instance = begin(&element, root);
        let place = before.unwrap_or_else(|| free_place(&mut living.borrow_mut()));
        let old = replace(&living, place, Some(instance));
        drop(old);
        place
    };
    let begin = Closure::<dyn Fn(Element, Root, Option<u32>) -> u32>::new(begin);
    let end = Closure::<dyn Fn(u32)>::new(move |place| {
        let old = replace(&instances, place, None);
        drop(old);
    });
    // The class lives as long as the page, and so do its callbacks.
    let (begin, end) = (begin.into_js_value(), end.into_js_value());
    js_define(kind.name, kind.attributes, kind.css, &begin, &end);
}

fn free_place<I>(instances: &mut Vec<Option<I>>) -> u32 {
    let free = instances.iter().position(Option::is_none);
    let place = free.unwrap_or_else(|| {
        instances.push(None);
        instances.len() - 1
    });
    // No page has four thousand million elements.
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// Replaces the instance at `place`, and returns the one before. Drop it when nothing is borrowed.
fn replace<I>(instances: &RefCell<Vec<Option<I>>>, place: u32, new: Option<I>) -> Option<I> {
    let mut instances = instances.borrow_mut();
    core::mem::replace(instances.get_mut(place as usize)?, new)
}
