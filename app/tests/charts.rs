//! What draws, in a real browser: the frame loop, what is on screen, the trend lines.
#![cfg(target_arch = "wasm32")]
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used)]

#[path = "../link/tests/browser/mod.rs"]
mod browser;

use std::cell::Cell;
use std::rc::Rc;

use browser::{next_frame, until};
use dashboard::chart::TrendLine;
use dashboard::frame::{FrameLoop, Phase};
use wasm_bindgen::JsCast;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement, HtmlElement};

wasm_bindgen_test_configure!(run_in_browser);

#[wasm_bindgen_test]
async fn a_burst_is_one_call_a_frame_and_then_the_loop_stands_still() {
    let frames = FrameLoop::default();
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let drawable = frames.register(Phase::Draw, move |_| counted.set(counted.get() + 1));
    assert!(!frames.is_running());
    for _ in 0..1_000 {
        drawable.invalidate();
    }
    assert!(frames.is_running());
    assert_eq!(calls.get(), 0, "not at once");
    next_frame().await;
    assert_eq!(calls.get(), 1);
    next_frame().await;
    assert_eq!(calls.get(), 1);
    assert!(!frames.is_running());
}

#[wasm_bindgen_test]
async fn what_state_makes_dirty_is_drawn_in_the_same_frame() {
    let frames = FrameLoop::default();
    let order: Rc<std::cell::RefCell<Vec<(&str, f64)>>> = Rc::default();
    let (first, second) = (Rc::clone(&order), Rc::clone(&order));
    let draw = frames.register(Phase::Draw, move |time| {
        second.borrow_mut().push(("draw", time));
    });
    let state = frames.register(Phase::State, move |time| {
        first.borrow_mut().push(("state", time));
        draw.invalidate();
    });
    state.invalidate();
    until("both were called", || order.borrow().len() == 2).await;
    let order = order.borrow();
    assert_eq!((order[0].0, order[1].0), ("state", "draw"));
    assert_eq!(order[0].1.to_bits(), order[1].1.to_bits(), "one frame");
}

#[wasm_bindgen_test]
async fn a_dropped_drawable_is_never_called() {
    let frames = FrameLoop::default();
    let calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&calls);
    let drawable = frames.register(Phase::Draw, move |_| counted.set(counted.get() + 1));
    drawable.invalidate();
    drop(drawable);
    next_frame().await;
    assert_eq!(calls.get(), 0);
    assert!(frames.is_empty());
}

/// A canvas in the page, until it is dropped.
struct Stage(HtmlCanvasElement);

impl Stage {
    /// `top` is where it stands, in pixels from the window's top.
    fn new(top: &str) -> Self {
        let document = web_sys::window().unwrap().document().unwrap();
        let canvas = document.create_element("canvas").unwrap();
        let canvas: HtmlCanvasElement = canvas.unchecked_into();
        let style = canvas.unchecked_ref::<HtmlElement>().style();
        for (name, value) in [
            ("position", "absolute"),
            ("left", "0"),
            ("top", top),
            ("width", "120px"),
            ("height", "32px"),
        ] {
            style.set_property(name, value).unwrap();
        }
        document.body().unwrap().append_child(&canvas).unwrap();
        Self(canvas)
    }

    /// How many pixels have any colour.
    fn coloured(&self) -> usize {
        let (width, height) = (self.0.width(), self.0.height());
        let context = self.0.get_context("2d").unwrap().unwrap();
        let context: CanvasRenderingContext2d = context.unchecked_into();
        let image = context
            .get_image_data(0.0, 0.0, f64::from(width), f64::from(height))
            .unwrap();
        image.data().chunks(4).filter(|pixel| pixel[3] > 0).count()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.0.remove();
    }
}

/// A trend line that counts how often it is drawn.
fn trend(stage: &Stage) -> (TrendLine, Rc<Cell<u32>>) {
    let drawn = Rc::new(Cell::new(0));
    let counted = Rc::clone(&drawn);
    let line = TrendLine::new(&stage.0, None, move |draw| {
        counted.set(counted.get() + 1);
        draw(&[0.0, 1_000.0, 2_000.0], &[1.0, 3.0, 2.0]);
    });
    (line, drawn)
}

#[wasm_bindgen_test]
async fn a_trend_line_is_drawn_as_sharp_as_the_screen() {
    let stage = Stage::new("0px");
    let (line, drawn) = trend(&stage);
    until("it is drawn", || drawn.get() > 0).await;
    let ratio = web_sys::window().unwrap().device_pixel_ratio();
    let off = |pixels: u32, length: f64| (f64::from(pixels) - length * ratio).abs();
    assert!(off(stage.0.width(), 120.0) < 1.0);
    assert!(off(stage.0.height(), 32.0) < 1.0);
    assert!(stage.coloured() > 100, "{} pixels", stage.coloured());

    // Clean now: nothing is drawn until there are new readings.
    next_frame().await;
    next_frame().await;
    let before = drawn.get();
    next_frame().await;
    assert_eq!(drawn.get(), before);
    for _ in 0..100 {
        line.invalidate();
    }
    until("it is drawn again", || drawn.get() > before).await;
    assert_eq!(drawn.get(), before + 1);
}

#[wasm_bindgen_test]
async fn a_trend_line_off_screen_is_not_drawn_until_it_comes_back() {
    let stage = Stage::new("20000px");
    let (line, drawn) = trend(&stage);
    // Both observers have reported by then.
    for _ in 0..5 {
        line.invalidate();
        next_frame().await;
    }
    assert_eq!(drawn.get(), 0);
    assert_eq!(stage.0.width(), 300, "a canvas that nobody has touched");

    let style = stage.0.unchecked_ref::<HtmlElement>().style();
    style.set_property("top", "0px").unwrap();
    until("it is drawn", || drawn.get() > 0).await;
}
