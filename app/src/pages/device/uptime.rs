//! Uptime at a glance: a cell for each of the last 90 days.

use std::fmt::Write as _;

use api::history::{PresenceDay, PresenceHistory, PresenceTimes};
use fleet::{OfflineReason, UnknownReason};
use js_sys::Date;
use leptos::ev::{KeyboardEvent, PointerEvent};
use leptos::html;
use leptos::prelude::*;
use link::http::{Method, Request, percent_encode};
use wasm_bindgen::JsValue;

use super::DeviceSignal;
use crate::state::{AppState, Mode, format};

const DAYS: usize = 90;
const DAY_MS: i64 = 86_400_000;
/// The days are asked for again after this long, in milliseconds.
const EVERY: i64 = 300_000;

/// A cell for each day, and what they sum up to. Nothing where the server remembers nothing.
#[component]
pub fn Uptime(
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let state = AppState::expect();
    let told = RwSignal::new(None::<PresenceHistory>);
    ask(state, device, told);
    let selected = RwSignal::new(None::<usize>);
    let strip = NodeRef::<html::Div>::new();
    let point = move |event: PointerEvent| {
        let Some(element) = strip.get_untracked() else {
            return;
        };
        let place = element.get_bounding_client_rect();
        let part = (f64::from(event.client_x()) - place.left()) / place.width().max(1.0);
        // A part of 90 days.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss
        )]
        let day = (part.clamp(0.0, 0.9999) * DAYS as f64) as usize;
        selected.set(Some(day));
    };
    let on_key = move |event: KeyboardEvent| {
        let last = DAYS - 1;
        let now = selected.get_untracked().unwrap_or(last);
        let day = match &*event.key() {
            "ArrowLeft" => now.saturating_sub(1),
            "ArrowRight" => (now + 1).min(last),
            "Home" => 0,
            "End" => last,
            _ => return,
        };
        event.prevent_default();
        selected.set(Some(day));
    };
    let spoken = move || {
        told.with(|told| {
            let told = told.as_ref()?;
            let day = told.days.get(selected.get()?)?;
            Some(in_words(day))
        })
        .unwrap_or_else(|| told.with(|told| told.as_ref().map(sum).unwrap_or_default()))
    };
    move || {
        let days = told.with(|told| told.as_ref().map(|told| told.days.clone()))?;
        let cells = days.iter().map(cell).collect_view();
        Some(view! {
            <section class="panel" aria-labelledby="uptime-title" data-testid="uptime">
                <div class="panel-head">
                    <h2 id="uptime-title">"Uptime, 90 days"</h2>
                </div>
                <div class="panel-body">
                    <div
                        class="uptime"
                        role="img"
                        tabindex="0"
                        aria-label=move || told.with(|told| told.as_ref().map(sum).unwrap_or_default())
                        node_ref=strip
                        on:pointermove=point
                        on:pointerdown=point
                        on:pointerleave=move |_| selected.set(None)
                        on:keydown=on_key
                        on:blur=move |_| selected.set(None)
                    >
                        {cells}
                    </div>
                    <p class="timeline-axis" aria-hidden="true">
                        <span>"90 days ago"</span>
                        <span>"today"</span>
                    </p>
                    <p class="uptime-words tabular" role="status" data-testid="uptime-words">
                        {spoken}
                    </p>
                </div>
            </section>
        })
    }
}

fn ask(state: AppState, device: DeviceSignal, told: RwSignal<Option<PresenceHistory>>) {
    let request = StoredValue::new_local(None::<Request>);
    let asked = StoredValue::new_local(i64::MIN);
    Effect::new(move |_| {
        if state.mode().get() != Mode::Follows || !state.remembers().get() {
            return;
        }
        let now = state.now().get().0;
        if (now - asked.get_value()).abs() < EVERY {
            return;
        }
        let id = device.with_untracked(|device| device.as_ref().map(|it| it.card.full_id.clone()));
        let Some(id) = id else {
            return;
        };
        asked.set_value(now);
        let offset = -Date::new_0().get_timezone_offset();
        let id = percent_encode(&id);
        let address = format!("api/v1/devices/{id}/presence?days={DAYS}&offset={offset}");
        // An answer that does not come leaves the page without this panel.
        let sent = Request::send(Method::Get, &address, move |answer| {
            if let Some(history) = answer
                .ok()
                .and_then(|body| serde_json::from_slice(&body).ok())
            {
                told.set(Some(history));
            }
        });
        request.set_value(Some(sent));
    });
}

/// How much of the time of which anything is known the device was there, asleep counts as there. `None`: nothing
/// is known.
// Milliseconds of 90 days are exact in a float.
#[allow(clippy::cast_precision_loss)]
fn share(times: &PresenceTimes) -> Option<f64> {
    let there = times.online + times.sleeping + times.stale;
    let known = there + times.offline;
    (known > 0).then(|| there as f64 / known as f64)
}

fn cell(day: &PresenceDay) -> impl IntoView + use<> {
    let share = share(&day.times);
    let class = match share {
        None => "uptime-day nothing",
        Some(share) if share >= 0.999_5 => "uptime-day whole",
        Some(_) => "uptime-day",
    };
    let height = share.map(|share| format!("{:.1}%", share * 100.0));
    view! {
        <span class=class aria-hidden="true">
            <i style:height=height></i>
        </span>
    }
}

/// `30 Nov: there for 87.5 % of it, went 2 times: keep alive`
fn in_words(day: &PresenceDay) -> String {
    let date = date(day.start.0);
    let Some(share) = share(&day.times) else {
        return format!("{date}: nothing is known");
    };
    let mut text = format!("{date}: there for {}", percent(share));
    match day.drops {
        0 => {}
        1 => text.push_str(", went once"),
        // Writing to a String cannot fail.
        drops => drop(write!(text, ", went {drops} times")),
    }
    let away = day.times.offline;
    if away > 0 {
        let _ = write!(text, ", away for {}", format::duration(away));
    }
    let reasons: Vec<&str> = day
        .reasons
        .iter()
        .filter_map(|it| reason_of_word(it))
        .collect();
    if !reasons.is_empty() && away > 0 {
        let _ = write!(text, " ({})", reasons.join("; "));
    }
    text
}

/// A reason, for people.
fn reason_of_word(word: &str) -> Option<&'static str> {
    let offline = OfflineReason::from_word(word).map(OfflineReason::message);
    offline.or_else(|| UnknownReason::from_word(word).map(UnknownReason::message))
}

/// `There for 98.2 % of the time, went 14 times, longest away for 3 h`
fn sum(history: &PresenceHistory) -> String {
    let summary = &history.summary;
    let Some(share) = share(&summary.times) else {
        return "Nothing is known of these days".to_owned();
    };
    let known = history
        .days
        .iter()
        .filter(|day| self::share(&day.times).is_some())
        .count();
    let mut text = format!("There for {} of the time", percent(share));
    if known < DAYS {
        let _ = write!(text, " in {known} days of which something is known");
    }
    match summary.drops {
        0 => {}
        1 => text.push_str(", went once"),
        drops => drop(write!(text, ", went {drops} times")),
    }
    if summary.longest_outage_ms > 0 {
        let longest = format::duration(summary.longest_outage_ms);
        let _ = write!(text, ", longest away for {longest}");
    }
    text
}

/// Never rounded up to 100 %.
fn percent(share: f64) -> String {
    if share >= 1.0 {
        return "100 %".to_owned();
    }
    format!("{:.1} %", (share * 1000.0).floor() / 10.0)
}

// Exact for the next 285,000 years.
#[allow(clippy::cast_precision_loss)]
fn date(start: i64) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // The middle of the day, whatever its offset.
    let date = Date::new(&JsValue::from((start + DAY_MS / 2) as f64));
    let month = MONTHS[(date.get_month() as usize).min(11)];
    format!("{} {month}", date.get_date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_quite_whole_is_not_called_so() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.999_99), "99.9 %");
        assert_eq!(percent(0.0), "0.0 %");
    }

    #[test]
    fn only_time_of_which_something_is_known_counts() {
        let mut times = PresenceTimes::default();
        assert_eq!(share(&times), None);
        times.unknown = 1000;
        assert_eq!(share(&times), None);
        (times.online, times.offline) = (300, 100);
        assert_eq!(share(&times), Some(0.75));
    }
}
