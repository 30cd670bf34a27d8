//! A list of any length. Only the rows on screen exist.
//!
//! The page itself scrolls. The list is a box as high as all of its rows would be, with the rows on
//! screen at their place in it, and a few more above and below, so that the keyboard always finds a
//! next one.
//!
//! The list is measured once it is in the document. That gives the number of columns and the rows on
//! screen. Until then no row exists, and `waiting` stands in its place.

use std::sync::Arc;

use fleet::DeviceKey;
use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent};

/// How a list is laid out, in units of the page's own type size.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Height of a row, in rem.
    pub row: f64,
    /// The space between rows, in rem.
    pub gap: f64,
    /// The narrowest column, in rem; `None`: one column, however wide.
    pub column: Option<f64>,
}

/// The part of the list that is on screen.
#[derive(Copy, Clone, Debug, PartialEq)]
struct View {
    /// How many pixels the screen's upper edge is below the list's.
    above: f64,
    /// The screen's height.
    height: f64,
    /// The list's width.
    width: f64,
    /// Pixels in a rem.
    rem: f64,
}

/// Which rows exist, and where.
#[derive(Copy, Clone, Debug, PartialEq)]
struct Slice {
    columns: usize,
    first_row: usize,
    last_row: usize,
    pitch: f64,
}

/// Rows that exist above and below those on screen.
const MARGIN: usize = 3;

impl Metrics {
    fn slice(self, view: Option<View>, count: usize) -> Slice {
        let Some(view) = view else {
            return Slice::NOTHING;
        };
        let columns = self.column.map_or(1, |column| {
            let (column, gap) = (column * view.rem, self.gap * view.rem);
            whole((view.width + gap) / (column + gap)).max(1)
        });
        let pitch = (self.row + self.gap) * view.rem;
        let rows = count.div_ceil(columns);
        let (first, last) = if pitch > 0.0 {
            let bottom = view.above + view.height;
            (whole(view.above / pitch), whole(bottom / pitch) + 1)
        } else {
            (0, 0)
        };
        Slice {
            columns,
            first_row: first.saturating_sub(MARGIN).min(rows),
            last_row: (last + MARGIN).min(rows),
            pitch,
        }
    }
}

impl Slice {
    /// The slice of a list that was not measured yet.
    const NOTHING: Self = Self {
        columns: 1,
        first_row: 0,
        last_row: 0,
        pitch: 0.0,
    };

    fn keys(self, all: &[DeviceKey]) -> &[DeviceKey] {
        let end = (self.last_row * self.columns).min(all.len());
        let start = (self.first_row * self.columns).min(end);
        &all[start..end]
    }
}

/// A list of devices.
// Long because its parameters are documented here, and its signals depend on each other in this order.
#[component]
pub fn WindowList<F, V>(
    /// All of them.
    #[prop(into)]
    keys: Signal<Arc<Vec<DeviceKey>>>,
    /// How it is laid out.
    #[prop(into)]
    metrics: Signal<Metrics>,
    /// What the list contains, for screen readers.
    label: &'static str,
    /// What stands there until the list is measured.
    #[prop(into)]
    waiting: ViewFn,
    /// Makes the view of a device when it comes on screen.
    item: F,
) -> impl IntoView
where
    F: Fn(DeviceKey) -> V + Clone + Send + 'static,
    V: IntoView + 'static,
{
    let list = NodeRef::<html::Ul>::new();
    let view = RwSignal::new(None::<View>);
    let look = move || {
        let now = list.try_get_untracked().flatten();
        let now = now.and_then(|list| measure(&list));
        if now.is_some() && view.try_get_untracked().is_some_and(|old| old != now) {
            view.set(now);
        }
    };
    let scrolled = window_event_listener(ev::scroll, move |_| look());
    let resized = window_event_listener(ev::resize, move |_| look());
    on_cleanup(move || {
        scrolled.remove();
        resized.remove();
    });
    Effect::new(move |_| {
        list.track();
        // What is above the list may have changed its height too.
        keys.track();
        metrics.track();
        // The first measurement happens at once, before anything of the list is painted.
        if view.with_untracked(Option::is_none) {
            look();
        }
        request_animation_frame(look);
    });

    let count = Memo::new(move |_| keys.with(|keys| keys.len()));
    let slice = Memo::new(move |_| metrics.get().slice(view.get(), count.get()));
    let visible = Memo::new(move |_| {
        let slice = slice.get();
        keys.with(|keys| slice.keys(keys).to_vec())
    });
    let first = Memo::new(move |_| slice.with(|slice| slice.first_row * slice.columns));
    let measured = Memo::new(move |_| view.with(Option::is_some));
    let height = move || {
        if !measured.get() {
            return "auto".to_owned();
        }
        let Metrics { row, gap, .. } = metrics.get();
        let rows = count.get().div_ceil(slice.get().columns);
        #[allow(clippy::cast_precision_loss)] // Fewer rows than a float counts exactly.
        let height = rows as f64 * (row + gap) - gap;
        format!("{:.3}rem", height.max(0.0))
    };
    let offset = move || {
        let slice = slice.get();
        #[allow(clippy::cast_precision_loss)]
        let offset = slice.first_row as f64 * slice.pitch;
        format!("translateY({offset:.1}px)")
    };

    view! {
        <div class="window" style:height=height>
            {move || (!measured.get()).then(|| waiting.run())}
            <ul
                node_ref=list
                class="window-rows"
                role="list"
                aria-label=label
                style=("--columns", move || slice.get().columns.to_string())
                style=("--row", move || format!("{}rem", metrics.get().row))
                style=("--gap", move || format!("{}rem", metrics.get().gap))
                style:transform=offset
                on:keydown=move |event| step(&event, slice.get_untracked().columns)
            >
                <ForEnumerate
                    each=move || visible.get()
                    key=|key| key.number
                    children=move |index, key| {
                        let item = item.clone();
                        view! {
                            <li
                                aria-setsize=move || count.get().to_string()
                                aria-posinset=move || (first.get() + index.get() + 1).to_string()
                            >
                                {item(key)}
                            </li>
                        }
                    }
                />
            </ul>
        </div>
    }
}

/// Measures the list. `None`: it is not in the document, or not laid out.
fn measure(list: &HtmlElement) -> Option<View> {
    let window = web_sys::window()?;
    // The list moves with its rows, so its beginning is measured at its parent.
    let outer = list.parent_element();
    let place = outer.map_or_else(
        || list.get_bounding_client_rect(),
        |outer| outer.get_bounding_client_rect(),
    );
    let number = |value: Result<wasm_bindgen::JsValue, wasm_bindgen::JsValue>| {
        value.ok().and_then(|value| value.as_f64()).unwrap_or(0.0)
    };
    let view = View {
        above: (-place.top()).max(0.0),
        height: number(window.inner_height()),
        width: place.width(),
        rem: rem(&window),
    };
    (view.width > 0.0).then_some(view)
}

/// How many pixels a rem has. The reader's own type size decides that.
fn rem(window: &web_sys::Window) -> f64 {
    let root = window
        .document()
        .and_then(|document| document.document_element());
    let style = root.and_then(|root| window.get_computed_style(&root).ok().flatten());
    let size = style.and_then(|style| style.get_property_value("font-size").ok());
    size.and_then(|size| fleet::number_of(size.trim_end_matches("px")))
        .unwrap_or(16.0)
}

/// Lets the arrow keys move the focus from one device to the next.
fn step(event: &KeyboardEvent, columns: usize) {
    let columns = i64::try_from(columns).unwrap_or(1);
    let by = match event.key().as_str() {
        "ArrowRight" if columns > 1 => 1,
        "ArrowLeft" if columns > 1 => -1,
        "ArrowDown" => columns,
        "ArrowUp" => -columns,
        _ => return,
    };
    let target = event
        .target()
        .and_then(|target| target.dyn_into::<HtmlElement>().ok());
    let Some(mut item) = target.and_then(|target| target.closest("li").ok().flatten()) else {
        return;
    };
    for _ in 0..by.abs() {
        let next = if by > 0 {
            item.next_element_sibling()
        } else {
            item.previous_element_sibling()
        };
        let Some(next) = next else {
            return;
        };
        item = next;
    }
    let link = item.query_selector("a").ok().flatten();
    if let Some(link) = link.and_then(|link| link.dyn_into::<HtmlElement>().ok()) {
        event.prevent_default();
        // This fails only for an element that cannot have the focus.
        let _ = link.focus();
    }
}

/// How many whole rows or columns there are. Sizes on a screen are small and not negative.
fn whole(value: f64) -> usize {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let whole = value.max(0.0) as usize;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARDS: Metrics = Metrics {
        row: 11.0,
        gap: 0.75,
        column: Some(17.0),
    };

    fn view(above: f64) -> View {
        View {
            above,
            height: 900.0,
            width: 1392.0,
            rem: 16.0,
        }
    }

    const fn key(place: u32) -> DeviceKey {
        DeviceKey { place, number: 0 }
    }

    #[test]
    fn of_ten_thousand_only_what_can_be_seen_exists() {
        let keys: Vec<DeviceKey> = (0..10_000).map(key).collect();
        for above in [0.0, 5_000.0, 300_000.0, 1e9] {
            let slice = CARDS.slice(Some(view(above)), keys.len());
            assert_eq!(slice.columns, 4);
            assert!(slice.keys(&keys).len() <= 60, "{slice:?}");
        }
    }

    #[test]
    fn what_is_in_sight_is_there_with_a_margin() {
        let keys: Vec<DeviceKey> = (0..10_000).map(key).collect();
        let slice = CARDS.slice(Some(view(1_880.0)), keys.len());
        let seen = slice.keys(&keys);
        // 188 pixels a row: rows 10 to 14 are on screen.
        assert_eq!(slice.first_row, 10 - MARGIN);
        assert!(seen.contains(&key(40)) && seen.contains(&key(59)));
    }

    #[test]
    fn a_short_list_and_an_empty_one() {
        let keys = [key(0), key(1)];
        assert_eq!(CARDS.slice(Some(view(0.0)), 2).keys(&keys), keys);
        assert!(CARDS.slice(Some(view(0.0)), 0).keys(&[]).is_empty());
        let narrow = View {
            width: 328.0,
            ..view(0.0)
        };
        assert_eq!(CARDS.slice(Some(narrow), 2).columns, 1);
    }

    #[test]
    fn before_it_is_measured_nothing_exists() {
        let keys: Vec<DeviceKey> = (0..24).map(key).collect();
        assert!(CARDS.slice(None, keys.len()).keys(&keys).is_empty());
    }
}
