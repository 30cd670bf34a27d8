//! One chart of uPlot's, built from a group of metrics.

use std::rc::Rc;

use js_sys::{Array, Date, Float64Array, Function, Object, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::HtmlElement;

use super::align::{Aligned, Cell};
use super::palette::Palette;
use super::uplot::UPlot;
use crate::state::format;

/// What a chart shows beside the readings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlotOptions {
    /// One name for each line.
    pub(super) names: Vec<String>,
    /// Whether the values are true or false: they are drawn as steps between 0 and 1.
    pub(super) on_off: bool,
    /// In CSS pixels.
    pub(super) width: f64,
    /// In CSS pixels.
    pub(super) height: f64,
}

/// A chart on the page, until it is dropped.
pub(super) struct Plot {
    chart: UPlot,
    palette: Rc<Palette>,
    options: PlotOptions,
    /// The callbacks of uPlot. They must live as long as the chart.
    _callbacks: Callbacks,
}

/// Why there is no chart.
pub(super) const NOT_LOADED: &str = "The chart library did not load: reload the page to try again.";

impl Plot {
    /// Draws into `target`. `hovered` gets the row under the cursor each time the cursor moves, and
    /// `None` when it leaves.
    pub(super) fn new(
        target: &HtmlElement,
        options: PlotOptions,
        hovered: impl Fn(Option<usize>) + 'static,
    ) -> Result<Self, JsValue> {
        let palette = Palette::current();
        let callbacks = Callbacks::new(options.on_off, hovered);
        let data = Array::new();
        for _ in 0..=options.names.len() {
            data.push(&Array::new());
        }
        let built = build_options(&options, &palette, &callbacks);
        Ok(Self {
            chart: UPlot::new(&built, &data, target)?,
            palette,
            options,
            _callbacks: callbacks,
        })
    }

    /// Whether this chart still has the right lines and colours. If not, a new one must be made.
    pub(super) fn fits(&self, options: &PlotOptions) -> bool {
        self.options.names == options.names
            && self.options.on_off == options.on_off
            && self.palette == Palette::current()
    }

    /// Shows `data` between two times, in milliseconds since the Unix epoch.
    pub(super) fn show(&self, data: &Aligned, from: f64, to: f64) {
        self.chart.set_data(&to_js(data), false);
        let limits = object(&[("min", from.into()), ("max", to.into())]);
        self.chart.set_scale("x", &limits);
    }

    /// Fits the chart into its place.
    pub(super) fn resize(&mut self, width: f64, height: f64) {
        if (self.options.width, self.options.height) != (width, height) {
            self.options.width = width;
            self.options.height = height;
            let size = object(&[("width", width.into()), ("height", height.into())]);
            self.chart.set_size(&size);
        }
    }

    /// Puts the cursor at a time, or takes it away.
    pub(super) fn point_at(&self, time: Option<f64>) {
        let left = time.map_or(-10.0, |time| self.chart.val_to_pos(time, "x"));
        // Any height will do, because only the column counts.
        let top = if time.is_some() { 1.0 } else { -10.0 };
        let position = object(&[("left", left.into()), ("top", top.into())]);
        self.chart.set_cursor(&position);
    }
}

impl Drop for Plot {
    fn drop(&mut self) {
        self.chart.destroy();
    }
}

/// The data as uPlot takes it: typed arrays if every row has a reading, as is usual. Otherwise
/// lists, in which `undefined` lets a line run on and `null` breaks it.
fn to_js(data: &Aligned) -> Array {
    let complete = data.is_complete();
    let all = Array::new();
    all.push(&Float64Array::from(data.times.as_slice()));
    for values in &data.values {
        if complete {
            let readings: Vec<f64> = values.iter().filter_map(|cell| cell.reading()).collect();
            all.push(&Float64Array::from(readings.as_slice()));
            continue;
        }
        let list = Array::new_with_length(u32::try_from(values.len()).unwrap_or(u32::MAX));
        for (index, cell) in (0..).zip(values) {
            let value = match cell {
                Cell::Reading(value) => JsValue::from(*value),
                Cell::Nothing => JsValue::UNDEFINED,
                Cell::Gap => JsValue::NULL,
            };
            list.set(index, value);
        }
        all.push(&list);
    }
    all
}

fn build_options(options: &PlotOptions, palette: &Palette, callbacks: &Callbacks) -> Object {
    let line = |width: f64| {
        object(&[
            ("stroke", palette.grid.as_str().into()),
            ("width", width.into()),
        ])
    };
    let font = format!("11px {}", palette.font);
    let axis = |values: &JsValue| {
        object(&[
            ("stroke", palette.axis.as_str().into()),
            ("grid", line(1.0).into()),
            ("ticks", line(1.0).into()),
            ("font", font.as_str().into()),
            ("values", values.clone()),
        ])
    };
    let across = axis(callbacks.times.as_ref());
    set(&across, "space", &80.into());
    set(&across, "size", &32.into());
    let up = axis(callbacks.values.as_ref());
    set(&up, "size", &56.into());
    if options.on_off {
        set(&up, "splits", &Array::of2(&0.into(), &1.into()));
    }

    let vertical = if options.on_off {
        let range = Array::of2(&(-0.1).into(), &1.1.into());
        object(&[("range", range.into())])
    } else {
        object(&[("auto", true.into())])
    };
    let drag = object(&[("x", false.into()), ("y", false.into())]);
    object(&[
        ("width", options.width.into()),
        ("height", options.height.into()),
        // The order is top, right, bottom, left. On the right, half of the last time's label fits.
        (
            "padding",
            [8, 24, 0, 0]
                .map(JsValue::from)
                .iter()
                .collect::<Array>()
                .into(),
        ),
        // Our times are milliseconds.
        ("ms", 1.into()),
        ("series", series(options, palette).into()),
        ("axes", Array::of2(&across, &up).into()),
        ("scales", object(&[("y", vertical.into())]).into()),
        // We write the legend ourselves, so that it can be read aloud and styled.
        ("legend", object(&[("show", false.into())]).into()),
        (
            "cursor",
            object(&[("y", false.into()), ("drag", drag.into())]).into(),
        ),
        (
            "hooks",
            object(&[("setCursor", Array::of1(callbacks.cursor.as_ref()).into())]).into(),
        ),
    ])
}

/// How each line is drawn. The first entry is the times, which need nothing.
fn series(options: &PlotOptions, palette: &Palette) -> Array {
    let series = Array::of1(&Object::new());
    for (index, name) in options.names.iter().enumerate() {
        let line = &palette.lines[index % palette.lines.len()];
        let one = object(&[
            ("label", name.as_str().into()),
            ("stroke", line.as_str().into()),
            ("width", 1.5.into()),
            ("points", object(&[("show", false.into())]).into()),
        ]);
        if options.names.len() == 1 && !options.on_off {
            set(&one, "fill", &palette.fill.as_str().into());
        }
        if options.on_off
            && let Some(stepped) = stepped_paths()
        {
            set(&one, "paths", &stepped);
        }
        series.push(&one);
    }
    series
}

/// `uPlot.paths.stepped({align: 1})`, which draws a state until the next one comes.
fn stepped_paths() -> Option<JsValue> {
    let uplot = Reflect::get(&js_sys::global(), &"uPlot".into()).ok()?;
    let paths = Reflect::get(&uplot, &"paths".into()).ok()?;
    let stepped: Function = Reflect::get(&paths, &"stepped".into())
        .ok()?
        .dyn_into()
        .ok()?;
    let align = object(&[("align", 1.into())]);
    stepped.call1(&JsValue::UNDEFINED, &align).ok()
}

/// The callbacks that uPlot takes.
struct Callbacks {
    /// The labels of the time axis.
    times: Closure<dyn Fn(JsValue, Array) -> Array>,
    /// The labels of the value axis.
    values: Closure<dyn Fn(JsValue, Array) -> Array>,
    /// Called when the cursor has moved.
    cursor: Closure<dyn Fn(JsValue)>,
}

impl Callbacks {
    fn new(on_off: bool, hovered: impl Fn(Option<usize>) + 'static) -> Self {
        Self {
            times: Closure::new(|_, splits: Array| {
                let times: Vec<f64> = splits.iter().filter_map(|time| time.as_f64()).collect();
                // Labels show seconds only if they are less than a minute apart.
                let seconds = times.windows(2).any(|pair| pair[1] - pair[0] < 60_000.0);
                times
                    .into_iter()
                    .map(|time| JsValue::from(clock(time, seconds)))
                    .collect()
            }),
            values: Closure::new(move |_, splits: Array| {
                let label = |value: f64| match (on_off, value > 0.5) {
                    (false, _) => JsValue::from(format::number(value)),
                    (true, true) => JsValue::from("on"),
                    (true, false) => JsValue::from("off"),
                };
                splits
                    .iter()
                    .map(|value| value.as_f64().map_or(JsValue::NULL, label))
                    .collect()
            }),
            cursor: Closure::new(move |chart: JsValue| {
                let cursor = Reflect::get(&chart, &"cursor".into());
                let row = cursor.and_then(|cursor| Reflect::get(&cursor, &"idx".into()));
                let row = row.ok().and_then(|row| row.as_f64());
                // uPlot gives an index of its own, which is whole and not negative.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                hovered(row.map(|row| row as usize));
            }),
        }
    }
}

/// The reader's own time of day: `09:05`, `09:05:30`.
pub(super) fn clock(millis: f64, seconds: bool) -> String {
    let date = Date::new(&millis.into());
    let (hours, minutes) = (date.get_hours(), date.get_minutes());
    if seconds {
        format!("{hours:02}:{minutes:02}:{:02}", date.get_seconds())
    } else {
        format!("{hours:02}:{minutes:02}")
    }
}

fn object(entries: &[(&str, JsValue)]) -> Object {
    let object = Object::new();
    for (name, value) in entries {
        set(&object, name, value);
    }
    object
}

fn set(object: &Object, name: &str, value: &JsValue) {
    // This cannot fail for an object that was just made.
    let _ = Reflect::set(object, &name.into(), value);
}
