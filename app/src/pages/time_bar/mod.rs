//! The time bar: the fleet, or a device, as it was at any second.
//!
//! - [`winder`]: asks the server for a time, one question after another, and shows the answer.
//! - [`track`]: the bar itself: a slider with marks where devices went.

pub mod track;
pub mod winder;

use fleet::Timestamp;
use js_sys::{Date, Object, Reflect};
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use wasm_split_helpers::wasm_split;

use self::track::Track;
use self::winder::{Asking, Winder};
use crate::components::address::{parameter, set_parameter};
use crate::components::icon::Icon;
use crate::components::later::{NotLoaded, Part};
use crate::route::Navigation;
use crate::state::{AppState, format};

/// The part of the program that this is.
pub static WIND: Part = Part::new("wind", || Box::pin(async { Ok(load().await?) }));

/// The bar, as a part of the program.
#[wasm_split(wind, fallible, preload(load))]
#[allow(clippy::unnecessary_wraps)] // the macro returns its own error through this
pub(crate) fn bar() -> Result<AnyView, NotLoaded> {
    Ok(view! { <TimeBar /> }.into_any())
}

const HOUR: i64 = 3_600_000;
/// How much time the bar can show: its length in milliseconds, and its name.
const SPANS: [(i64, &str); 4] = [
    (HOUR, "1 h"),
    (24 * HOUR, "1 day"),
    (7 * 24 * HOUR, "7 days"),
    (30 * 24 * HOUR, "30 days"),
];
/// How fast the past can be played.
const SPEEDS: [(i64, &str); 3] = [(1, "1×"), (60, "60×"), (3_600, "3,600×")];
/// How often a step is made while the past is played, in milliseconds.
const STEP: u32 = 500;

/// What the parts of the bar share.
#[derive(Copy, Clone)]
pub struct Bar {
    state: AppState,
    winder: Winder,
    /// How much time the bar shows.
    span: RwSignal<i64>,
    /// Its right end. `None`: now.
    end: RwSignal<Option<i64>>,
    /// How fast the past is played. `None`: it stands.
    speed: RwSignal<Option<i64>>,
}

impl Bar {
    /// The time under the handle. `None`: now.
    fn at(self) -> Option<i64> {
        self.winder.wanted().get()
    }

    /// From when to when the bar shows.
    fn shown(self) -> (i64, i64) {
        self.state.now().track();
        let end = self.end.get().unwrap_or_else(|| self.state.present().0);
        (end - self.span.get(), end)
    }

    /// Shows this time, or what is, if it is not past.
    fn go(self, at: i64) {
        let now = self.state.present().0;
        if at >= now {
            self.live();
            return;
        }
        let (from, to) = untrack(|| self.shown());
        if at < from || at > to {
            // The bar follows the handle.
            let end = (at + self.span.get_untracked() / 2).min(now);
            self.end.set((end < now).then_some(end));
        }
        self.winder.ask(at);
    }

    fn live(self) {
        self.speed.set(None);
        self.end.set(None);
        self.winder.stop();
    }
}

#[component]
fn TimeBar() -> impl IntoView {
    let state = AppState::expect();
    let bar = Bar {
        state,
        winder: Winder::new(state, Navigation::expect().route()),
        span: RwSignal::new(24 * HOUR),
        end: RwSignal::new(None),
        speed: RwSignal::new(None),
    };
    keep_address(bar);
    play(bar);
    on_cleanup(move || bar.winder.stop());
    view! {
        <section class="time-bar" aria-label="Back in time" data-testid="time-bar">
            <div class="time-bar-inner">
                <Headline bar=bar />
                <Track bar=bar />
                <Controls bar=bar />
            </div>
        </section>
    }
}

/// Which time is shown, in words.
#[component]
fn Headline(bar: Bar) -> impl IntoView {
    let text = move || match bar.at() {
        Some(at) => spoken(at),
        None => "Live".to_owned(),
    };
    let ago = move || {
        let at = bar.at()?;
        bar.state.now().track();
        Some(format::ago(bar.state.present().0 - at))
    };
    let note = move || match bar.winder.asking().get() {
        Asking::Rest { is_exact: false } if bar.at().is_some() => {
            "Older than the values as they came: each is the last of its minute.".to_owned()
        }
        Asking::Failed(why) => why,
        Asking::Rest { .. } | Asking::Waiting => String::new(),
    };
    view! {
        <div class="time-bar-head" class:is-past=move || bar.at().is_some()>
            <p class="time-bar-time tabular" data-testid="time-bar-time">
                <strong>{text}</strong>
                {move || ago().map(|ago| view! { <span class="quiet-note">" · " {ago}</span> })}
            </p>
            <p class="quiet-note time-bar-note" role="status" data-testid="time-bar-note">
                {note}
            </p>
            <button
                type="button"
                class="button small"
                data-testid="time-bar-live"
                disabled=move || bar.at().is_none()
                on:click=move |_| bar.live()
            >
                "Live"
            </button>
            <button
                type="button"
                class="button quiet small icon-only"
                aria-label="Close the time bar"
                on:click=move |_| {
                    bar.live();
                    bar.state.time_bar().set(false);
                }
            >
                {Icon::Close.view()}
            </button>
        </div>
    }
}

#[component]
fn Controls(bar: Bar) -> impl IntoView {
    let is_playing = move || bar.speed.get().is_some();
    let toggle = move |_| {
        let now = bar.state.present().0;
        if bar.speed.get_untracked().is_some() {
            bar.speed.set(None);
            return;
        }
        if bar.at().is_none() {
            bar.go(now - bar.span.get_untracked() / 10);
        }
        bar.speed.set(Some(60));
    };
    let speed = move |(times, name): (i64, &'static str)| {
        view! {
            <button
                type="button"
                aria-pressed=move || (bar.speed.get() == Some(times)).to_string()
                on:click=move |_| {
                    if bar.at().is_none() {
                        bar.go(bar.state.present().0 - bar.span.get_untracked() / 10);
                    }
                    bar.speed.set(Some(times));
                }
            >
                {name}
            </button>
        }
    };
    let span = move |(length, name): (i64, &'static str)| {
        view! {
            <button
                type="button"
                aria-pressed=move || (bar.span.get() == length).to_string()
                on:click=move |_| {
                    bar.span.set(length);
                    // The handle stays in sight.
                    if let Some(at) = bar.at() {
                        let now = bar.state.present().0;
                        let end = (at + length / 2).min(now);
                        bar.end.set((end < now).then_some(end));
                    }
                }
            >
                {name}
            </button>
        }
    };
    let typed = move |event: leptos::ev::Event| {
        let at = Date::parse(&event_target_value(&event));
        // A date that the browser reads is a whole number of milliseconds.
        #[allow(clippy::cast_possible_truncation)]
        if at.is_finite() {
            bar.go(at as i64);
        }
    };
    view! {
        <div class="time-bar-controls">
            <button
                type="button"
                class="button small"
                data-testid="time-bar-play"
                aria-pressed=move || is_playing().to_string()
                on:click=toggle
            >
                {move || if is_playing() { Icon::Pause.view() } else { Icon::Play.view() }}
                {move || if is_playing() { "Pause" } else { "Play" }}
            </button>
            <div class="segmented small" role="group" aria-label="How fast">
                {SPEEDS.into_iter().map(speed).collect_view()}
            </div>
            <label class="time-bar-field">
                <span class="visually-hidden">"Go to this time"</span>
                <input
                    type="datetime-local"
                    step="1"
                    data-testid="time-bar-field"
                    prop:value=move || {
                        bar.at().map(local).unwrap_or_default()
                    }
                    on:change=typed
                />
            </label>
            <div class="segmented small" role="group" aria-label="How much time the bar shows">
                {SPANS.into_iter().map(span).collect_view()}
            </div>
        </div>
    }
}

/// Plays the past: a step now and then, if the one before is shown.
fn play(bar: Bar) {
    let timer = StoredValue::new_local(None::<gloo_timers::callback::Interval>);
    Effect::new(move |_| {
        let speed = bar.speed.get();
        timer.set_value(speed.map(|speed| {
            gloo_timers::callback::Interval::new(STEP, move || {
                let at = bar.winder.wanted().get_untracked();
                if let (Some(at), true) = (at, bar.winder.is_ready()) {
                    bar.go(at + speed * i64::from(STEP));
                }
            })
        }));
    });
    on_cleanup(move || timer.dispose());
}

/// The address holds the time, so that a link shows a colleague the moment.
fn keep_address(bar: Bar) {
    if let Some(at) = parameter("at").and_then(|text| text.parse::<api::fleet::Time>().ok()) {
        bar.go(at.0);
    }
    let route = Navigation::expect().route();
    Effect::new(move |_| {
        // Links lead to addresses without it.
        route.track();
        // In whole seconds, and not while it is played, or the browser's history would be flooded.
        let at = bar.at().map(|at| at - at.rem_euclid(1000));
        if bar.speed.get().is_none() {
            let text = at.map(|at| api::fleet::Time(at).to_string().replace(".000", ""));
            set_parameter("at", text.as_deref());
        }
    });
}

/// `Tuesday 1 December 2026, 12:00:05`, in the reader's own time.
fn spoken(at: i64) -> String {
    let options = Object::new();
    for (name, value) in [
        ("weekday", "long"),
        ("day", "numeric"),
        ("month", "long"),
        ("year", "numeric"),
        ("hour", "2-digit"),
        ("minute", "2-digit"),
        ("second", "2-digit"),
    ] {
        // This cannot fail for an object that was just made.
        let _ = Reflect::set(&options, &name.into(), &value.into());
    }
    date(at).to_locale_string("en-GB", &options).into()
}

/// The time as a field for dates takes it.
fn local(at: i64) -> String {
    let date = date(at);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.get_full_year(),
        date.get_month() + 1,
        date.get_date(),
        date.get_hours(),
        date.get_minutes(),
        date.get_seconds()
    )
}

// Exact for the next 285,000 years.
#[allow(clippy::cast_precision_loss)]
fn date(at: i64) -> Date {
    Date::new(&JsValue::from(at as f64))
}

/// A time of the fleet.
const fn stamp(at: i64) -> Timestamp {
    Timestamp(at)
}
