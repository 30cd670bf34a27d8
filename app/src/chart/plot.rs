//! One chart of uPlot's, built from a group of metrics.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Date, Float64Array, Function, Object, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::HtmlElement;

use super::align::{Aligned, Cell};
use super::palette::Palette;
use super::scale::Span;
use super::uplot::UPlot;
use crate::state::format;

/// What a chart shows beside the readings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PlotOptions {
    /// One name for each line.
    pub(super) names: Vec<String>,
    /// Whether the values are true or false: each has a lane of its own, the first one at the top.
    pub(super) on_off: bool,
    /// Whether the area under the line is filled.
    pub(super) filled: bool,
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
    /// The rows of each line that are drawn as dots.
    dots: Dots,
    /// The callbacks of uPlot. They must live as long as the chart.
    _callbacks: Callbacks,
}

type Dots = Rc<RefCell<Vec<Vec<u32>>>>;

/// The height of a lane, in CSS pixels.
pub(super) const LANE: f64 = 24.0;
/// What a chart takes above its plot, and for the labels below it, in CSS pixels.
const ABOVE: f64 = 8.0;
const BELOW: f64 = 32.0;

/// The height of a chart with so many lanes, in CSS pixels.
pub(super) fn height_of_lanes(lanes: usize) -> f64 {
    ABOVE + BELOW + LANE * f64::from(u16::try_from(lanes).unwrap_or(u16::MAX))
}

/// Why there is no chart.
pub(super) const NOT_LOADED: &str = "The chart library did not load: reload the page to try again.";

impl Plot {
    /// Draws into `target`. `hovered` gets the row under the cursor each time the cursor moves, and
    /// `None` when it leaves; `selected` gets the part that a mouse was drawn over, from when to when.
    pub(super) fn new(
        target: &HtmlElement,
        options: PlotOptions,
        hovered: impl Fn(Option<usize>) + 'static,
        selected: impl Fn(f64, f64) + 'static,
    ) -> Result<Self, JsValue> {
        let palette = Palette::current();
        let dots = Dots::default();
        let callbacks = Callbacks::new(options.on_off, Rc::clone(&dots), hovered, selected);
        let data = Array::new();
        for _ in 0..=options.names.len() {
            data.push(&Array::new());
        }
        let built = build_options(&options, &palette, &callbacks);
        Ok(Self {
            chart: UPlot::new(&built, &data, target)?,
            palette,
            options,
            dots,
            _callbacks: callbacks,
        })
    }

    /// Whether this chart still has the right lines and colours. If not, a new one must be made.
    pub(super) fn fits(&self, options: &PlotOptions) -> bool {
        self.options.names == options.names
            && self.options.on_off == options.on_off
            && self.options.filled == options.filled
            && self.palette == Palette::current()
    }

    /// Shows `data` between two times, in milliseconds since the Unix epoch, and two values.
    pub(super) fn show(&self, data: &Aligned, from: f64, to: f64, span: Span) {
        let lines = 0..data.values.len();
        *self.dots.borrow_mut() = lines.map(|line| data.lone(line)).collect();
        let lanes = self.options.on_off.then_some(data.values.len());
        self.chart.set_data(&to_js(data, lanes), false);
        let limits = |low: f64, high: f64| object(&[("min", low.into()), ("max", high.into())]);
        self.chart.set_scale("x", &limits(from, to));
        self.chart.set_scale("y", &limits(span.low, span.high));
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
///
/// With lanes, a value becomes a place in the lane of its line.
fn to_js(data: &Aligned, lanes: Option<usize>) -> Array {
    let complete = data.is_complete();
    let all = Array::new();
    all.push(&Float64Array::from(data.times.as_slice()));
    for (line, values) in data.values.iter().enumerate() {
        let place = |value: f64| lanes.map_or(value, |lanes| Lane::new(line, lanes).place(value));
        if complete {
            let readings = values.iter().filter_map(|cell| cell.reading());
            let places: Vec<f64> = readings.map(place).collect();
            all.push(&Float64Array::from(places.as_slice()));
            continue;
        }
        let list = Array::new_with_length(u32::try_from(values.len()).unwrap_or(u32::MAX));
        for (index, cell) in (0..).zip(values) {
            let value = match cell {
                Cell::Reading(value) => JsValue::from(place(*value)),
                Cell::Nothing => JsValue::UNDEFINED,
                Cell::Gap => JsValue::NULL,
            };
            list.set(index, value);
        }
        all.push(&list);
    }
    all
}

/// The lane of a line. Lanes are one unit of the value axis high, and the first is at the top.
#[derive(Copy, Clone, Debug, PartialEq)]
struct Lane {
    base: f64,
}

impl Lane {
    /// Where `off` is in a lane. `on` is as far from the lane's upper end.
    const MARGIN: f64 = 0.125;

    fn new(line: usize, lanes: usize) -> Self {
        let below = lanes.saturating_sub(line + 1);
        Self {
            base: f64::from(u16::try_from(below).unwrap_or(u16::MAX)),
        }
    }

    fn place(self, value: f64) -> f64 {
        self.base + Self::MARGIN + value.clamp(0.0, 1.0) * (1.0 - 2.0 * Self::MARGIN)
    }
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
    set(&across, "size", &BELOW.into());
    let up = axis(callbacks.values.as_ref());
    set(&up, "size", callbacks.label_room.as_ref());
    if options.on_off {
        let ends = 0..=u32::try_from(options.names.len()).unwrap_or(u32::MAX);
        let ends: Array = ends.map(JsValue::from).collect();
        set(&up, "splits", &ends);
    }
    let drag = object(&[
        ("x", true.into()),
        ("y", false.into()),
        // We change what is shown ourselves, in all charts of the page.
        ("setScale", false.into()),
    ]);
    // The cursor is shared by all charts of the page. What is selected in one is not.
    let filters = object(&[("pub", callbacks.shares.as_ref().clone())]);
    let sync = object(&[("key", "page".into()), ("filters", filters.into())]);
    // A double click is ours, too.
    let bind = object(&[("dblclick", callbacks.nothing.as_ref().clone())]);
    object(&[
        ("width", options.width.into()),
        ("height", options.height.into()),
        // The order is top, right, bottom, left. On the right, half of the last time's label fits.
        (
            "padding",
            [ABOVE, 30.0, 0.0, 0.0]
                .map(JsValue::from)
                .iter()
                .collect::<Array>()
                .into(),
        ),
        // Our times are milliseconds.
        ("ms", 1.into()),
        ("series", series(options, palette, callbacks).into()),
        ("axes", Array::of2(&across, &up).into()),
        (
            "scales",
            object(&[("y", object(&[("auto", false.into())]).into())]).into(),
        ),
        // We write the legend ourselves, so that it can be read aloud and styled.
        ("legend", object(&[("show", false.into())]).into()),
        (
            "cursor",
            object(&[
                ("y", false.into()),
                ("drag", drag.into()),
                ("sync", sync.into()),
                ("bind", bind.into()),
            ])
            .into(),
        ),
        (
            "hooks",
            object(&[
                ("setCursor", Array::of1(callbacks.cursor.as_ref()).into()),
                ("setSelect", Array::of1(callbacks.select.as_ref()).into()),
            ])
            .into(),
        ),
    ])
}

/// How each line is drawn. The first entry is the times, which need nothing.
fn series(options: &PlotOptions, palette: &Palette, callbacks: &Callbacks) -> Array {
    let series = Array::of1(&Object::new());
    for (index, name) in options.names.iter().enumerate() {
        let line: JsValue = palette.lines[index % palette.lines.len()].as_str().into();
        let points = object(&[
            ("show", true.into()),
            ("size", 5.into()),
            ("width", 0.into()),
            ("stroke", line.clone()),
            ("fill", line.clone()),
            ("filter", callbacks.dots.as_ref().clone()),
        ]);
        let one = object(&[
            ("label", name.as_str().into()),
            ("stroke", line.clone()),
            ("width", 1.5.into()),
            ("points", points.into()),
        ]);
        if options.filled {
            set(&one, "fill", &palette.fill.as_str().into());
        }
        if options.on_off {
            // A tenth of the line's own colour.
            set(
                &one,
                "fill",
                &translucent(&palette.lines[index % palette.lines.len()]),
            );
            let base = Lane::new(index, options.names.len()).place(0.0);
            set(&one, "fillTo", &base.into());
            if let Some(stepped) = stepped_paths() {
                set(&one, "paths", &stepped);
            }
        }
        series.push(&one);
    }
    series
}

/// The colour, with two more digits for its opacity if it is written `#rrggbb`.
fn translucent(colour: &str) -> JsValue {
    if colour.len() == 7 && colour.starts_with('#') {
        format!("{colour}2e").into()
    } else {
        colour.into()
    }
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
    /// How much room these labels take.
    label_room: Closure<dyn Fn(JsValue, JsValue) -> f64>,
    /// The rows of a line that are drawn as dots.
    dots: Closure<dyn Fn(JsValue, usize) -> Array>,
    /// Called when the cursor has moved.
    cursor: Closure<dyn Fn(JsValue)>,
    /// Called when a part was selected.
    select: Closure<dyn Fn(UPlot)>,
    /// Which of a chart's mouse events the other charts of the page get.
    shares: Closure<dyn Fn(String) -> bool>,
    /// Does nothing instead of what uPlot would do.
    nothing: Closure<dyn Fn() -> JsValue>,
}

impl Callbacks {
    fn new(
        on_off: bool,
        dots: Dots,
        hovered: impl Fn(Option<usize>) + 'static,
        selected: impl Fn(f64, f64) + 'static,
    ) -> Self {
        Self {
            times: Closure::new(|_, splits: Array| {
                let times = numbers(&splits);
                let step = times.windows(2).map(|pair| pair[1] - pair[0]);
                let step = step.fold(f64::INFINITY, f64::min);
                times
                    .into_iter()
                    .map(|time| JsValue::from(label(time, step)))
                    .collect()
            }),
            values: Closure::new(move |_, splits: Array| {
                if on_off {
                    // The lanes have their names below the chart.
                    return splits.iter().map(|_| JsValue::from("")).collect();
                }
                let labels = format::axis(&numbers(&splits));
                labels.into_iter().map(JsValue::from).collect()
            }),
            label_room: Closure::new(|_, labels: JsValue| {
                let labels = labels.dyn_into::<Array>().unwrap_or_default();
                let longest = labels.iter().filter_map(|label| label.as_string());
                room(longest.map(|label| label.chars().count()).max())
            }),
            // uPlot counts the times as its first line.
            dots: Closure::new(move |_, line: usize| {
                let dots = dots.borrow();
                let rows = line.checked_sub(1).and_then(|line| dots.get(line));
                rows.into_iter()
                    .flatten()
                    .copied()
                    .map(JsValue::from)
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
            select: Closure::new(move |chart: UPlot| {
                let select = Reflect::get(&chart, &"select".into()).unwrap_or_default();
                let of = |name: &str| {
                    let value = Reflect::get(&select, &name.into());
                    value.ok().and_then(|value| value.as_f64()).unwrap_or(0.0)
                };
                let (left, width) = (of("left"), of("width"));
                if width < LEAST_SELECTED {
                    return;
                }
                let (from, to) = (
                    chart.pos_to_val(left, "x"),
                    chart.pos_to_val(left + width, "x"),
                );
                let none = object(&[("width", 0.into()), ("height", 0.into())]);
                chart.set_select(&none, false);
                selected(from, to);
            }),
            shares: Closure::new(|event: String| matches!(&*event, "mousemove" | "mouseleave")),
            nothing: Closure::new(|| JsValue::NULL),
        }
    }
}

/// The width of the value axis for labels of so many characters, in CSS pixels.
fn room(characters: Option<usize>) -> f64 {
    const CHARACTER: f64 = 6.6;
    const TICK: f64 = 18.0;
    let characters = characters.and_then(|count| u8::try_from(count).ok());
    (TICK + CHARACTER * f64::from(characters.unwrap_or(0))).max(56.0)
}

fn numbers(values: &Array) -> Vec<f64> {
    values.iter().filter_map(|value| value.as_f64()).collect()
}

/// A selected part that is narrower, in CSS pixels, was a click.
const LEAST_SELECTED: f64 = 4.0;

const DAY: f64 = 86_400_000.0;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A label of the time axis, where labels are `step` milliseconds apart.
fn label(time: f64, step: f64) -> String {
    let date = Date::new(&time.into());
    let month = MONTHS[(date.get_month() as usize).min(11)];
    let year = date.get_full_year();
    let is_midnight = date.get_hours() == 0 && date.get_minutes() == 0 && date.get_seconds() == 0;
    if step >= 300.0 * DAY {
        year.to_string()
    } else if step >= 27.0 * DAY {
        format!("{month} {year}")
    } else if step >= 0.9 * DAY || (is_midnight && step >= 60_000.0) {
        format!("{} {month}", date.get_date())
    } else {
        clock(time, step < 60_000.0)
    }
}

/// A time in full: `09:05:30`, and its date if that is not today.
pub(super) fn moment(time: f64) -> String {
    let (date, now) = (Date::new(&time.into()), Date::new_0());
    let of_day = clock(time, true);
    let is_same_year = date.get_full_year() == now.get_full_year();
    if is_same_year && date.get_month() == now.get_month() && date.get_date() == now.get_date() {
        return of_day;
    }
    let month = MONTHS[(date.get_month() as usize).min(11)];
    let year = if is_same_year {
        String::new()
    } else {
        format!(" {}", date.get_full_year())
    };
    format!("{} {month}{year}, {of_day}", date.get_date())
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

#[cfg(test)]
#[allow(clippy::float_cmp)] // Short decimals.
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_lane_and_the_first_is_at_the_top() {
        assert_eq!(Lane::new(0, 3).place(0.0), 2.125);
        assert_eq!(Lane::new(0, 3).place(1.0), 2.875);
        assert_eq!(Lane::new(2, 3).place(1.0), 0.875);
        assert_eq!(height_of_lanes(1), 64.0);
        assert_eq!(height_of_lanes(3) - height_of_lanes(2), LANE);
    }

    #[test]
    fn long_labels_get_room() {
        assert_eq!(room(None), 56.0);
        assert_eq!(room(Some(4)), 56.0);
        assert!(room(Some(12)) > 12.0 * 6.5);
    }
}
