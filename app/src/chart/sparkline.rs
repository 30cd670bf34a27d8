//! The small trend lines, on canvases of our own: a fleet may have a thousand of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fleet::{DeviceKey, MetricKey};
use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::palette::Palette;
use super::trace::{Frame, Step, trace};
use super::visibility::{Seen, Visibility};
use crate::frame::{Drawable, FrameLoop, Phase};
use crate::state::AppState;

/// How much time a trend line shows at most, in milliseconds.
const WINDOW_MS: f64 = 600_000.0;
/// Margin for the line's width and its end point, in CSS pixels.
const PADDING: f64 = 3.0;

/// A metric's trend as a small line. The style sheet sets its size.
///
/// It is decoration: the value beside it says what matters, so it is hidden from screen
/// readers. It is redrawn only when there are new readings and it can be seen.
#[component]
pub fn Sparkline(
    /// The device.
    device: DeviceKey,
    /// The metric. Nothing is drawn while there is none.
    #[prop(into)]
    metric: Signal<Option<MetricKey>>,
) -> impl IntoView {
    let state = AppState::expect();
    let canvas = NodeRef::<Canvas>::new();
    let line = Rc::new(RefCell::new(None::<TrendLine>));

    let watched = Rc::clone(&line);
    state.on_samples(device, move || {
        if let Some(line) = watched.borrow().as_ref() {
            line.invalidate();
        }
    });
    let line = StoredValue::new_local(line);
    Effect::new(move |_| {
        let metric = metric.get();
        // The old line is dropped first. Otherwise both would watch the canvas, and dropping the
        // old one later would end that for the new one too.
        line.with_value(|line| drop(line.take()));
        let Some(canvas) = canvas.get() else {
            return;
        };
        let trend = TrendLine::new(&canvas, move |draw| {
            if let Some(metric) = metric {
                state.with_series(device, metric, |series| {
                    let since = series.times().last().map_or(0.0, |last| last - WINDOW_MS);
                    let (times, values) = series.since(since);
                    draw(times, values);
                });
            }
        });
        line.with_value(|line| *line.borrow_mut() = Some(trend));
    });
    view! { <canvas class="sparkline" node_ref=canvas aria-hidden="true"></canvas> }
}

/// A canvas with a line on it.
pub struct TrendLine {
    drawable: Rc<Drawable>,
    _visibility: Option<Visibility>,
}

/// Calls its argument with times and values; does nothing when there are none.
type Draw<'a> = &'a mut dyn FnMut(&[f64], &[f64]);

impl TrendLine {
    /// Draws the readings onto `canvas` when it is first on screen
    /// and after each [`Self::invalidate`].
    pub fn new(canvas: &HtmlCanvasElement, readings: impl Fn(Draw<'_>) + 'static) -> Self {
        let size = Rc::new(Cell::new((0.0, 0.0)));
        let (drawn, drawn_size) = (canvas.clone(), Rc::clone(&size));
        let drawable = FrameLoop::page().register(Phase::Draw, move |_| {
            draw(&drawn, drawn_size.get(), &readings);
        });
        let drawable = Rc::new(drawable);
        let seen = Rc::clone(&drawable);
        let visibility = Visibility::watch(canvas, move |what| match what {
            Seen::OnScreen(on_screen) => seen.set_on_screen(on_screen),
            Seen::Size { width, height } => {
                size.set((width, height));
                seen.invalidate();
            }
        });
        if visibility.is_some() {
            // The line counts as off screen until the observer reports, which it does before the
            // next frame is over.
            drawable.set_on_screen(false);
        }
        drawable.invalidate();
        Self {
            drawable,
            _visibility: visibility,
        }
    }

    /// Call this when there are new readings.
    pub fn invalidate(&self) {
        self.drawable.invalidate();
    }
}

fn draw(canvas: &HtmlCanvasElement, size: (f64, f64), readings: &impl Fn(Draw<'_>)) {
    let (width, height) = size;
    let ratio = web_sys::window().map_or(1.0, |window| window.device_pixel_ratio());
    let (wide, high) = (pixels(width * ratio), pixels(height * ratio));
    if wide == 0 || high == 0 {
        return;
    }
    if canvas.width() != wide || canvas.height() != high {
        canvas.set_width(wide);
        canvas.set_height(high);
    }
    let Some(context) = context(canvas) else {
        return;
    };
    // The canvas has as many pixels as the screen, so that the line is sharp at any zoom. The
    // drawing counts in CSS pixels.
    let _ = context.set_transform(ratio, 0.0, 0.0, ratio, 0.0, 0.0);
    context.clear_rect(0.0, 0.0, width, height);
    let frame = Frame {
        // The area begins at the edge; only the end point has a margin.
        left: 0.0,
        top: PADDING,
        width: (width - PADDING).max(1.0),
        height: (height - 2.0 * PADDING).max(1.0),
    };
    readings(&mut |times, values| paint(&context, &trace(times, values, frame), height));
}

fn paint(context: &CanvasRenderingContext2d, steps: &[Step], bottom: f64) {
    let palette = Palette::current();
    context.set_line_join("round");
    context.set_line_width(1.5);
    context.set_stroke_style_str(&palette.lines[0]);
    context.set_fill_style_str(&palette.fill);

    // The area under each unbroken part of the line.
    let mut from = None;
    let mut end = (0.0, 0.0);
    let close = |from: Option<f64>, end: (f64, f64)| {
        if let Some(from) = from {
            context.line_to(end.0, bottom);
            context.line_to(from, bottom);
            context.fill();
        }
    };
    for step in steps {
        match *step {
            Step::Move(x, y) => {
                close(from, end);
                context.begin_path();
                context.move_to(x, y);
                from = Some(x);
                end = (x, y);
            }
            Step::Line(x, y) => {
                context.line_to(x, y);
                end = (x, y);
            }
        }
    }
    close(from, end);

    context.begin_path();
    for step in steps {
        match *step {
            Step::Move(x, y) => context.move_to(x, y),
            Step::Line(x, y) => context.line_to(x, y),
        }
    }
    context.stroke();

    if !steps.is_empty() {
        context.begin_path();
        context.set_fill_style_str(&palette.lines[0]);
        let _ = context.arc(end.0, end.1, 2.0, 0.0, std::f64::consts::TAU);
        context.fill();
    }
}

fn context(canvas: &HtmlCanvasElement) -> Option<CanvasRenderingContext2d> {
    canvas.get_context("2d").ok()??.dyn_into().ok()
}

/// A length in canvas pixels: a whole number, and no more than browsers allow.
fn pixels(length: f64) -> u32 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = length.round().clamp(0.0, 16_384.0) as u32;
    whole
}
