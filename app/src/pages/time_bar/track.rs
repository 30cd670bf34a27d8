//! The bar itself: a slider with marks where devices came and went.

use std::cell::RefCell;
use std::rc::Rc;

use api::history::Marks;
use js_sys::Date;
use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::html;
use leptos::prelude::*;
use link::http::{Method, Request};
use wasm_bindgen::JsValue;

use super::{Bar, spoken};

/// Marks that the bar has room for.
const WIDTH: u32 = 240;
/// The marks are asked for again when so much of the bar has passed.
const PARTS: i64 = 60;

/// A mark: where it begins and how wide it is, in parts of the bar, how high each of its parts is (0 to 1), and what it tells.
#[derive(Clone, Debug, PartialEq)]
struct Mark {
    left: f64,
    width: f64,
    came: f64,
    went: f64,
    text: String,
}

/// The slider with its marks, and what its ends are.
#[component]
pub fn Track(
    /// The bar that it is a part of.
    bar: Bar,
) -> impl IntoView {
    let track = NodeRef::<html::Div>::new();
    let marks = RwSignal::new(None::<Marks>);
    ask_for_marks(bar, marks);
    let is_held = StoredValue::new_local(false);
    let move_to = move |event: &PointerEvent| {
        let Some(element) = track.get_untracked() else {
            return;
        };
        let place = element.get_bounding_client_rect();
        let part = (f64::from(event.client_x()) - place.left()) / place.width().max(1.0);
        let (from, to) = untrack(|| bar.shown());
        // A bar is at most a month long.
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        bar.go(from + (part.clamp(0.0, 1.0) * (to - from) as f64) as i64);
    };
    let down = move |event: PointerEvent| {
        if event.button() != 0 {
            return;
        }
        event.prevent_default();
        if let Some(element) = track.get_untracked() {
            // Without it, the pointer is lost when it leaves the bar.
            let _ = element.set_pointer_capture(event.pointer_id());
            let _ = element.focus();
        }
        bar.speed.set(None);
        is_held.set_value(true);
        move_to(&event);
    };
    let moved = move |event: PointerEvent| {
        if is_held.get_value() {
            move_to(&event);
        }
    };
    let on_key = move |event: KeyboardEvent| {
        let span = bar.span.get_untracked();
        let now = bar.state.present().0;
        let at = untrack(|| bar.at()).unwrap_or(now);
        let to = match &*event.key() {
            "ArrowLeft" | "ArrowDown" => at - span / 240,
            "ArrowRight" | "ArrowUp" => at + span / 240,
            "PageDown" => at - span / 24,
            "PageUp" => at + span / 24,
            "Home" => untrack(|| bar.shown()).0,
            "End" => i64::MAX,
            _ => return,
        };
        event.prevent_default();
        bar.speed.set(None);
        bar.go(to);
    };
    // A bar is at most a month long, so this is exact enough for pixels.
    #[allow(clippy::cast_precision_loss)]
    let place = move || {
        let (from, to) = bar.shown();
        let at = bar.at().unwrap_or(to);
        ((at - from) as f64 / (to - from).max(1) as f64).clamp(0.0, 1.0) * 100.0
    };
    let value = move || {
        let (from, to) = bar.shown();
        (from, bar.at().unwrap_or(to), to)
    };
    view! {
        <div
            class="time-track"
            role="slider"
            tabindex="0"
            aria-label="The time that is shown"
            aria-valuemin=move || value().0.to_string()
            aria-valuenow=move || value().1.to_string()
            aria-valuemax=move || value().2.to_string()
            aria-valuetext=move || bar.at().map_or_else(|| "Live".to_owned(), spoken)
            data-testid="time-track"
            node_ref=track
            on:pointerdown=down
            on:pointermove=moved
            on:pointerup=move |_| is_held.set_value(false)
            on:pointercancel=move |_| is_held.set_value(false)
            on:keydown=on_key
        >
            <div class="time-marks" aria-hidden="true">
                {move || {
                    let shown = bar.shown();
                    marks.with(|marks| marks.as_ref().map(|marks| places(marks, shown)))
                        .unwrap_or_default()
                        .into_iter()
                        .map(mark)
                        .collect_view()
                }}
            </div>
            <div class="time-past" style:width=move || format!("{:.3}%", place())></div>
            <div class="time-handle" style:left=move || format!("{:.3}%", place())></div>
        </div>
        <div class="time-ends tabular" aria-hidden="true">
            <span>{move || short(bar.shown().0, bar.span.get())}</span>
            <span>
                {move || {
                    match bar.end.get() {
                        Some(end) => short(end, bar.span.get()),
                        None => "now".to_owned(),
                    }
                }}
            </span>
        </div>
    }
}

fn mark(mark: Mark) -> impl IntoView {
    let Mark {
        left,
        width,
        came,
        went,
        text,
    } = mark;
    let part = |class: &'static str, height: f64| {
        (height > 0.0).then(|| {
            view! {
                <i
                    class=class
                    style:left=format!("{:.3}%", left * 100.0)
                    style:width=format!("{:.3}%", width * 100.0)
                    style:height=format!("{:.0}%", 20.0 + height * 30.0)
                    title=text.clone()
                ></i>
            }
        })
    };
    view! {
        {part("time-came", came)}
        {part("time-went", went)}
    }
}

/// The marks in parts of the bar.
// A bar is at most a month long, so this is exact enough for pixels.
#[allow(clippy::cast_precision_loss)]
fn places(marks: &Marks, (from, to): (i64, i64)) -> Vec<Mark> {
    let length = (to - from).max(1) as f64;
    let most = |of: fn(&(i64, u64, u64, u64)) -> u64| {
        let most = marks.marks.iter().map(of).max().unwrap_or(0);
        most.max(1) as f64
    };
    let (most_came, most_went) = (most(|mark| mark.1), most(|mark| mark.2 + mark.3));
    let all = marks.marks.iter().filter_map(|(time, came, went, faults)| {
        let left = (time - from) as f64 / length;
        let width = marks.resolution_ms as f64 / length;
        let height = |count: u64, most: f64| (count as f64 / most).sqrt();
        let mut told = Vec::new();
        for (count, what) in [(came, "came"), (went, "went"), (faults, "with a fault")] {
            if *count > 0 {
                told.push(format!("{count} {what}"));
            }
        }
        (left + width > 0.0 && left < 1.0 && !told.is_empty()).then(|| Mark {
            left,
            width,
            came: height(*came, most_came),
            went: height(went + faults, most_went),
            text: told.join(", "),
        })
    });
    all.collect()
}

fn ask_for_marks(bar: Bar, marks: RwSignal<Option<Marks>>) {
    let request = Rc::new(RefCell::new(None::<Request>));
    let asked = StoredValue::new_local((0i64, 0i64));
    Effect::new(move |_| {
        let (from, to) = bar.shown();
        let (before_from, before_to) = asked.get_value();
        let step = (to - from) / PARTS;
        if (from - before_from).abs() < step && (to - before_to).abs() < step {
            return;
        }
        asked.set_value((from, to));
        let address = format!("api/v1/fleet/marks?from={from}&to={to}&width={WIDTH}");
        // An answer that does not come leaves the bar without marks.
        let sent = Request::send(Method::Get, &address, move |answer| {
            if let Some(told) = answer
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok())
            {
                marks.set(Some(told));
            }
        });
        *request.borrow_mut() = Some(sent);
    });
}

/// The ends of the bar: `09:05`, or `1 Dec 09:05` where a day is not enough.
// Exact for the next 285,000 years.
#[allow(clippy::cast_precision_loss)]
fn short(at: i64, span: i64) -> String {
    let date = Date::new(&JsValue::from(at as f64));
    let of_day = format!("{:02}:{:02}", date.get_hours(), date.get_minutes());
    if span <= 3_600_000 {
        return of_day;
    }
    format!("{}.{}. {of_day}", date.get_date(), date.get_month() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::fleet::Time;

    #[test]
    fn marks_are_placed_in_parts_of_the_bar() {
        let marks = Marks {
            from: Time(0),
            to: Time(1000),
            resolution_ms: 10,
            marks: vec![(100, 4, 0, 0), (500, 0, 1, 0), (2000, 1, 1, 1)],
        };
        let places = places(&marks, (0, 1000));
        assert_eq!(places.len(), 2, "one is outside");
        assert!((places[0].left - 0.1).abs() < 1e-9 && places[0].went == 0.0);
        assert_eq!((&*places[0].text, &*places[1].text), ("4 came", "1 went"));
    }
}
