//! Registering a custom element: the little JavaScript class, and the instances by element.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, JsString, WeakMap};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::HtmlElement;

#[wasm_bindgen(module = "/js/element.js")]
extern "C" {
    #[wasm_bindgen(js_name = moduleUrl)]
    fn js_module_url() -> String;
    #[wasm_bindgen(js_name = define)]
    fn js_define(
        name: &str,
        observed: &Array,
        connected: &JsValue,
        disconnected: &JsValue,
        changed: &JsValue,
    );
}

/// What one element in the page is.
pub(crate) trait Instance: 'static {
    /// Its tag.
    const NAME: &'static str;
    /// The attributes whose change rebuilds it.
    const OBSERVED: &'static [&'static str];

    /// The element has entered the page, or an attribute has changed.
    fn connect(element: &HtmlElement) -> Self;
}

/// Where the script came from.
pub(crate) fn module_url() -> String {
    js_module_url()
}

/// Registers `I`. An instance lives from when its element enters the page, or an attribute
/// changes, until it leaves or the next change.
pub(crate) fn define<I: Instance>() {
    let instances: Rc<Instances<I>> = Rc::default();
    let connected = {
        let instances = Rc::clone(&instances);
        Closure::<dyn Fn(HtmlElement)>::new(move |element| instances.put(&element))
    };
    let changed = {
        let instances = Rc::clone(&instances);
        Closure::<dyn Fn(HtmlElement)>::new(move |element| instances.put(&element))
    };
    let disconnected = Closure::<dyn Fn(HtmlElement)>::new(move |element: HtmlElement| {
        instances.take(&element);
    });
    let observed: Array = I::OBSERVED
        .iter()
        .map(|name| JsString::from(*name))
        .collect();
    // The class lives as long as the page: so do its callbacks.
    js_define(
        I::NAME,
        &observed,
        &connected.into_js_value(),
        &disconnected.into_js_value(),
        &changed.into_js_value(),
    );
}

/// The living instances. The element's own number leads to its instance, so that nothing
/// here keeps an element alive that the page has dropped.
struct Instances<I> {
    numbers: WeakMap,
    slots: RefCell<Vec<Option<I>>>,
}

impl<I> Default for Instances<I> {
    fn default() -> Self {
        Self {
            numbers: WeakMap::new(),
            slots: RefCell::default(),
        }
    }
}

impl<I: Instance> Instances<I> {
    fn put(&self, element: &HtmlElement) {
        // The new one first: a hub that both use stays open.
        let instance = I::connect(element);
        let old = {
            let mut slots = self.slots.borrow_mut();
            let number = self.number(element).unwrap_or_else(|| {
                let free = slots
                    .iter()
                    .position(Option::is_none)
                    .unwrap_or(slots.len());
                if free == slots.len() {
                    slots.push(None);
                }
                self.numbers
                    .set(element, &JsValue::from_str(&free.to_string()));
                free
            });
            slots
                .get_mut(number)
                .and_then(|slot| slot.replace(instance))
        };
        drop(old);
    }

    fn take(&self, element: &HtmlElement) {
        let Some(number) = self.number(element) else {
            return;
        };
        self.numbers.delete(element);
        let old = self
            .slots
            .borrow_mut()
            .get_mut(number)
            .and_then(Option::take);
        drop(old);
    }

    fn number(&self, element: &HtmlElement) -> Option<usize> {
        let value = self.numbers.get(element.unchecked_ref());
        value.as_string()?.parse().ok()
    }
}
