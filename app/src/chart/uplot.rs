//! The binding to uPlot: only what the charts use.
//!
//! `index.html` loads uPlot's own script, which defines the one global `uPlot`; everything
//! else is options built as plain objects.

use js_sys::{Array, Object};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::HtmlElement;

#[wasm_bindgen]
extern "C" {
    /// A chart of uPlot's.
    #[wasm_bindgen(js_name = uPlot)]
    pub(super) type UPlot;

    /// Fails if the script has not been loaded.
    #[wasm_bindgen(catch, constructor, js_class = "uPlot")]
    pub(super) fn new(
        options: &Object,
        data: &Array,
        target: &HtmlElement,
    ) -> Result<UPlot, JsValue>;

    #[wasm_bindgen(method, js_name = setData)]
    pub(super) fn set_data(this: &UPlot, data: &Array, reset_scales: bool);

    #[wasm_bindgen(method, js_name = setScale)]
    pub(super) fn set_scale(this: &UPlot, scale: &str, limits: &Object);

    #[wasm_bindgen(method, js_name = setSize)]
    pub(super) fn set_size(this: &UPlot, size: &Object);

    #[wasm_bindgen(method, js_name = setCursor)]
    pub(super) fn set_cursor(this: &UPlot, position: &Object);

    #[wasm_bindgen(method, js_name = valToPos)]
    pub(super) fn val_to_pos(this: &UPlot, value: f64, scale: &str) -> f64;

    #[wasm_bindgen(method, js_name = posToVal)]
    pub(super) fn pos_to_val(this: &UPlot, position: f64, scale: &str) -> f64;

    #[wasm_bindgen(method, js_name = setSelect)]
    pub(super) fn set_select(this: &UPlot, part: &Object, tell: bool);

    #[wasm_bindgen(method)]
    pub(super) fn destroy(this: &UPlot);
}
