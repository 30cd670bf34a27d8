//! A chart of a group of metrics that follows time.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use fleet::{DeviceKey, MetricKey};
use leptos::ev::{KeyboardEvent, PointerEvent, WheelEvent};
use leptos::html::Div;
use leptos::prelude::*;
use web_sys::HtmlElement;

use super::align::Aligned;
use super::past::Past;
use super::plot::{NOT_LOADED, Plot, PlotOptions, height_of_lanes};
use super::source::{Readout, Source, named};
use super::touch::{Finger, grip, wheel};
use super::visibility::{Seen, Visibility};
use crate::frame::{Drawable, FrameLoop, Phase};
use crate::state::{AppState, ChartView};

/// A group of metrics on one chart, with its values below: the latest ones, or those under
/// the cursor. `state.window` says how much time it shows.
///
/// By keyboard: the plot takes the focus; left and right move the cursor from reading to
/// reading, Home and End to the first and the last, Escape takes it away. Screen readers
/// hear what is under the cursor; without a cursor they hear a summary.
///
/// Markup: `figure.chart` with `figcaption.chart-title` (and `span.unit`), `div.chart-plot`
/// (give it a height), `ul.chart-legend` of `li` with `span.chart-marker.chart-marker-N`,
/// `span.chart-name` and `span.chart-value`, and `p.chart-time`.
// Long because it is one figure: the effects that keep it up to date, and its markup.
#[component]
pub fn LiveChart(
    /// The device.
    device: DeviceKey,
    /// The metrics; see `DeviceView::charts`.
    chart: ChartView,
) -> impl IntoView {
    let state = AppState::expect();
    let past = Past::find();
    let plot = NodeRef::<Div>::new();
    let readout = RwSignal::new(Readout::default());
    let spoken = RwSignal::new(String::new());
    let ChartView {
        title,
        unit,
        on_off,
        lines,
    } = chart;
    let (metrics, names): (Vec<MetricKey>, Vec<String>) = lines.into_iter().unzip();
    let height = on_off.then(|| format!("{}px", height_of_lanes(names.len())));

    let chart = Rc::new(RefCell::new(None::<Rc<Chart>>));
    let watched = Rc::clone(&chart);
    let invalidate = move || {
        if let Some(chart) = watched.borrow().as_ref() {
            chart.invalidate();
        }
    };
    state.on_samples(device, invalidate);

    let chart = StoredValue::new_local(chart);
    let source = Source {
        state,
        past,
        device,
        names: names.clone(),
        metrics,
        unit: unit.clone(),
        title: title.clone(),
        on_off,
    };
    Effect::new(move |_| {
        // The old chart is dropped first, because otherwise both would watch the element.
        chart.with_value(|chart| drop(chart.take()));
        if let Some(element) = plot.get() {
            let made = Chart::new(element.into(), source.clone(), readout);
            chart.with_value(|chart| *chart.borrow_mut() = Some(made));
        }
    });
    // The window moves without readings too, and the reader may choose another one.
    Effect::new(move |_| {
        state.now().track();
        state.window.track();
        if let Some(past) = past {
            past.track();
        }
        chart.with_value(|chart| {
            if let Some(chart) = chart.borrow().as_ref() {
                chart.invalidate();
            }
        });
    });
    let on_key = move |event: KeyboardEvent| {
        if past.is_some_and(|past| turn(&event, past)) {
            event.prevent_default();
            return;
        }
        let moved = Move::of_key(&event.key());
        let chart = chart.with_value(|chart| chart.borrow().clone());
        if let (Some(moved), Some(chart)) = (moved, chart) {
            event.prevent_default();
            chart.move_cursor(moved);
            spoken.set(readout.with_untracked(Readout::spoken));
        }
    };

    let finger = Finger::default();
    let count = names.len();
    let all = RwSignal::new(false);
    let entry = move |index: usize, name: String| {
        let marker = format!("chart-marker chart-marker-{}", index % 6 + 1);
        let value = move || readout.with(|readout| readout.value(index));
        view! {
            <li>
                <span class=marker aria-hidden="true"></span>
                <span class="chart-name">{name}</span>
                " "
                <span class="chart-value">{value}</span>
            </li>
        }
    };
    let entries = move || {
        let shown = if all.get() { count } else { named(count) };
        let names = names.iter().take(shown).cloned();
        let entries = names.enumerate().map(|(index, name)| entry(index, name));
        entries.collect_view()
    };
    let rest = move || {
        let hidden = count - named(count);
        (hidden > 0 && !all.get()).then(|| {
            view! {
                <li>
                    <button
                        type="button"
                        class="button quiet small"
                        data-testid="legend-more"
                        on:click=move |_| all.set(true)
                    >
                        {format!("and {hidden} more")}
                    </button>
                </li>
            }
        })
    };
    view! {
        <figure class="chart">
            <figcaption class="chart-title">
                {title} {unit.map(|unit| view! { " " <span class="unit">{unit}</span> })}
            </figcaption>
            <div
                class="chart-plot"
                style:height=height
                node_ref=plot
                tabindex="0"
                role="img"
                aria-label=move || readout.with(|readout| readout.summary.clone())
                on:keydown=on_key
                on:dblclick=move |_| {
                    if let Some(past) = past {
                        past.back();
                    }
                }
                on:wheel=move |event: WheelEvent| {
                    if let Some(past) = past {
                        wheel(&event, past);
                    }
                }
                on:pointerdown=move |event: PointerEvent| {
                    finger.set(grip(&event, past));
                }
                on:pointermove=move |event: PointerEvent| {
                    if let (Some(grip), Some(past)) = (finger.get(), past) {
                        grip.drag(&event, past);
                    }
                }
                on:pointerup=move |_| finger.set(None)
                on:pointercancel=move |_| finger.set(None)
                on:blur=move |_| {
                    let chart = chart.with_value(|chart| chart.borrow().clone());
                    if let Some(chart) = chart {
                        chart.move_cursor(Move::Away);
                    }
                }
            ></div>
            <ul class="chart-legend">{entries} {rest}</ul>
            <p class="chart-time" aria-hidden="true">
                {move || readout.with(|readout| readout.time.clone())}
            </p>
            <p class="visually-hidden" aria-live="polite">
                {spoken}
            </p>
        </figure>
    }
}

/// Where a key moves the cursor.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Move {
    Back,
    On,
    First,
    Last,
    Away,
}

impl Move {
    fn of_key(key: &str) -> Option<Self> {
        match key {
            "ArrowLeft" => Some(Self::Back),
            "ArrowRight" => Some(Self::On),
            "Home" => Some(Self::First),
            "End" => Some(Self::Last),
            "Escape" => Some(Self::Away),
            _ => None,
        }
    }

    /// The row that the cursor moves to from `row`, if there are `rows` rows.
    fn apply(self, row: Option<usize>, rows: usize) -> Option<usize> {
        let last = rows.checked_sub(1)?;
        match self {
            Self::Back => Some(row.map_or(last, |row| row.min(last).saturating_sub(1))),
            Self::On => Some(row.map_or(last, |row| (row + 1).min(last))),
            Self::First => Some(0),
            Self::Last => Some(last),
            Self::Away => None,
        }
    }
}

/// The chart behind the component.
struct Chart {
    element: HtmlElement,
    source: Source,
    readout: RwSignal<Readout>,
    plot: RefCell<Option<Plot>>,
    data: RefCell<Aligned>,
    size: Cell<(f64, f64)>,
    /// The row under the cursor.
    row: Cell<Option<usize>>,
    /// The time at which the keyboard has put the cursor. It stays there as rows come and go.
    held: Cell<Option<f64>>,
    drawable: RefCell<Option<Drawable>>,
    visibility: RefCell<Option<Visibility>>,
}

impl Chart {
    fn new(element: HtmlElement, source: Source, readout: RwSignal<Readout>) -> Rc<Self> {
        let chart = Rc::new(Self {
            element,
            source,
            readout,
            plot: RefCell::default(),
            data: RefCell::default(),
            size: Cell::default(),
            row: Cell::default(),
            held: Cell::default(),
            drawable: RefCell::default(),
            visibility: RefCell::default(),
        });
        let drawn = Rc::downgrade(&chart);
        let drawable = FrameLoop::page().register(Phase::Draw, move |_| {
            if let Some(chart) = drawn.upgrade() {
                Self::draw(&chart);
            }
        });
        *chart.drawable.borrow_mut() = Some(drawable);
        let seen = Rc::downgrade(&chart);
        let visibility = Visibility::watch(&chart.element, move |what| {
            if let Some(chart) = seen.upgrade() {
                chart.see(what);
            }
        });
        *chart.visibility.borrow_mut() = visibility;
        chart.invalidate();
        chart
    }

    fn invalidate(&self) {
        if let Some(drawable) = self.drawable.borrow().as_ref() {
            drawable.invalidate();
        }
    }

    fn see(&self, what: Seen) {
        match what {
            Seen::OnScreen(on_screen) => {
                if let Some(drawable) = self.drawable.borrow().as_ref() {
                    drawable.set_on_screen(on_screen);
                }
            }
            Seen::Size { width, height } => {
                self.size.set((width.floor(), height.floor()));
                self.invalidate();
            }
        }
    }

    fn draw(this: &Rc<Self>) {
        let (width, height) = this.size.get();
        if width < 1.0 || height < 1.0 {
            return;
        }
        let (data, from, to) = this.source.read();
        let span = this.source.span(&data);
        let options = PlotOptions {
            names: this.source.names.clone(),
            on_off: this.source.on_off,
            filled: !this.source.on_off && data.values.len() == 1 && span.stands_on_zero(),
            width,
            height,
        };
        *this.data.borrow_mut() = data;
        let mut plot = this.plot.borrow_mut();
        if plot.as_ref().is_none_or(|plot| !plot.fits(&options)) {
            // The old plot is dropped first, because otherwise both would be in the element.
            plot.take();
            match Self::make_plot(this, options) {
                Ok(made) => *plot = Some(made),
                Err(why) => {
                    this.element.set_text_content(Some(why));
                    return;
                }
            }
        }
        if let Some(plot) = plot.as_mut() {
            plot.resize(width, height);
            plot.show(&this.data.borrow(), from, to, span);
            if let Some(time) = this.held.get() {
                plot.point_at(Some(time));
            }
        }
        drop(plot);
        this.read_out();
    }

    fn make_plot(this: &Rc<Self>, options: PlotOptions) -> Result<Plot, &'static str> {
        let weak: Weak<Self> = Rc::downgrade(this);
        let hovered = move |row| {
            if let Some(chart) = weak.upgrade()
                && chart.row.replace(row) != row
            {
                chart.read_out();
            }
        };
        let past = this.source.past;
        let selected = move |from: f64, to: f64| {
            if let Some(past) = past {
                past.show(from, to);
            }
        };
        Plot::new(&this.element, options, hovered, selected).map_err(|_| NOT_LOADED)
    }

    fn move_cursor(&self, moved: Move) {
        let data = self.data.borrow();
        let row = match self.held.get() {
            Some(time) => Some(data.times.partition_point(|at| *at < time)),
            None => self.row.get(),
        };
        let row = moved.apply(row, data.times.len());
        let time = row.and_then(|row| data.times.get(row).copied());
        drop(data);
        self.held.set(time);
        self.row.set(row);
        if let Some(plot) = self.plot.borrow().as_ref() {
            plot.point_at(time);
        }
        self.read_out();
    }

    /// Writes the values below the chart, if they have changed.
    fn read_out(&self) {
        let data = self.data.borrow();
        let readout = self.source.read_out(&data, self.row.get());
        drop(data);
        let changed = self.readout.try_with_untracked(|old| *old != readout);
        if changed == Some(true) {
            self.readout.set(readout);
        }
    }
}

/// What a key does to what is shown. Returns whether it does something.
fn turn(event: &KeyboardEvent, past: Past) -> bool {
    let shown = past.shown();
    match &*event.key() {
        "+" | "=" => past.change(shown, 0.0, 0.5, 0.5),
        "-" => past.change(shown, 0.0, 2.0, 0.5),
        "PageUp" => past.change(shown, -0.5, 1.0, 0.0),
        "PageDown" => past.change(shown, 0.5, 1.0, 0.0),
        "Backspace" => return past.back(),
        "0" => past.live(),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_move_from_row_to_row_and_stop_at_the_ends() {
        assert_eq!(Move::of_key("ArrowLeft"), Some(Move::Back));
        assert_eq!(Move::of_key("Tab"), None, "the focus must be able to leave");
        assert_eq!(Move::Back.apply(None, 5), Some(4));
        assert_eq!(Move::Back.apply(Some(0), 5), Some(0));
        assert_eq!(Move::On.apply(Some(4), 5), Some(4));
        assert_eq!(Move::On.apply(Some(9), 5), Some(4), "rows went away");
        assert_eq!(Move::First.apply(Some(3), 5), Some(0));
        assert_eq!(Move::Last.apply(None, 5), Some(4));
        assert_eq!(Move::Away.apply(Some(3), 5), None);
        assert_eq!(Move::On.apply(Some(3), 0), None);
    }
}
