//! The small trend lines, on canvases of our own: a fleet may have a thousand of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use fleet::DeviceKey;
use leptos::html::Canvas;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{CanvasRenderingContext2d, HtmlCanvasElement};

use super::palette::Palette;
use super::scale::Span;
use super::trace::{Frame, Step, trace};
use super::visibility::{Seen, Visibility};
use crate::frame::{Drawable, FrameLoop, Phase};
use crate::state::{AppState, TrendView};

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
    /// What is drawn. Nothing is drawn while there is none.
    #[prop(into)]
    trend: Signal<Option<TrendView>>,
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
        let shown = trend.get();
        let unit = shown.as_ref().and_then(|shown| shown.unit.clone());
        // The old line is dropped first. Otherwise both would watch the canvas, and dropping the
        // old one later would end that for the new one too.
        line.with_value(|line| drop(line.take()));
        let Some(canvas) = canvas.get() else {
            return;
        };
        let trend = TrendLine::new(&canvas, unit, move |draw| {
            if let Some(shown) = &shown {
                state.with_series(device, shown.key, |series| {
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
    /// Draws the readings, which have this unit, onto `canvas` when it is first on screen
    /// and after each [`Self::invalidate`].
    pub fn new(
        canvas: &HtmlCanvasElement,
        unit: Option<String>,
        readings: impl Fn(Draw<'_>) + 'static,
    ) -> Self {
        let size = Rc::new(Cell::new((0.0, 0.0)));
        let (drawn, drawn_size) = (canvas.clone(), Rc::clone(&size));
        let drawable = FrameLoop::page().register(Phase::Draw, move |_| {
            draw(&drawn, drawn_size.get(), unit.as_deref(), &readings);
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

fn draw(
    canvas: &HtmlCanvasElement,
    size: (f64, f64),
    unit: Option<&str>,
    readings: &impl Fn(Draw<'_>),
) {
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
    readings(&mut |times, values| {
        if let Some(span) = Span::of_trend(values, unit) {
            let base = span.stands_on_zero().then_some(height);
            paint(&context, &trace(times, values, span, frame), base);
        }
    });
}

/// Draws the line, and the area down to `base` if there is one.
fn paint(context: &CanvasRenderingContext2d, steps: &[Step], base: Option<f64>) {
    let palette = Palette::current();
    context.set_line_join("round");
    context.set_line_width(1.5);
    context.set_stroke_style_str(&palette.lines[0]);
    context.set_fill_style_str(&palette.fill);

    if let Some(base) = base {
        fill(context, steps, base);
    }
    context.begin_path();
    for step in steps {
        match *step {
            Step::Move(x, y) => context.move_to(x, y),
            Step::Line(x, y) => context.line_to(x, y),
            Step::Dot(..) => {}
        }
    }
    context.stroke();

    context.set_fill_style_str(&palette.lines[0]);
    let last = steps.len().saturating_sub(1);
    for (index, step) in steps.iter().enumerate() {
        let (x, y) = match *step {
            Step::Dot(x, y) => (x, y),
            Step::Line(x, y) if index == last => (x, y),
            Step::Move(..) | Step::Line(..) => continue,
        };
        context.begin_path();
        let _ = context.arc(x, y, 2.0, 0.0, std::f64::consts::TAU);
        context.fill();
    }
}

/// Fills the area under each unbroken part of the line.
fn fill(context: &CanvasRenderingContext2d, steps: &[Step], base: f64) {
    let mut part: Option<(f64, f64)> = None;
    let close = |part: Option<(f64, f64)>| {
        if let Some((from, to)) = part {
            context.line_to(to, base);
            context.line_to(from, base);
            context.fill();
        }
    };
    for step in steps {
        match *step {
            Step::Move(x, y) => {
                close(part);
                context.begin_path();
                context.move_to(x, y);
                part = Some((x, x));
            }
            Step::Line(x, y) => {
                context.line_to(x, y);
                part = part.map(|(from, _)| (from, x));
            }
            Step::Dot(..) => {
                close(part);
                part = None;
            }
        }
    }
    close(part);
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
