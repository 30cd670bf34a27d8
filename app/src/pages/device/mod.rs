//! One device: its presence, its readings, its commands, its messages.
//!
//! - [`charts`]: the latest values, one chart for each metric group, and a table of the rest.
//! - [`commands`]: buttons, free JSON, and the answers beside them.
//! - [`arguments`]: a command with arguments, as the device announced them.
//! - [`confirm`]: asks before a command that destroys something.
//! - [`history`]: presence over time.
//! - [`position`]: where it is, drawn without a map service.
//! - [`raw`]: its messages as they came.
//! - [`faults`]: what is wrong with what it sends.
//! - [`forget`]: the button that forgets it.
//! - [`uptime`]: a cell for each of the last 90 days.

pub mod arguments;
pub mod charts;
pub mod commands;
pub mod confirm;
pub mod faults;
pub mod forget;
pub mod history;
mod json;
pub mod position;
pub mod raw;
pub mod uptime;

use fleet::{DeviceKey, Presence, Timestamp, UnknownReason};
use leptos::prelude::*;
use wasm_split_helpers::wasm_split;

use crate::components::copy::CopyButton;
use crate::components::device_link::{fleet_href, follow};
use crate::components::icon::Icon;
use crate::components::later::{NotLoaded, Part, Skeleton};
use crate::components::presence::{PresenceLine, reason, title};
use crate::components::title::set_title;
use crate::pages::welcome::Absence;
use crate::state::{AppState, DeviceView, format};

use charts::{Charts, Readings};
use commands::CommandBox;
use faults::Faults;
use forget::Forget;
use history::PresenceHistory;
use position::PositionPanel;
use raw::RawMessages;
use uptime::Uptime;

/// The device, once it is known: what the panels show.
pub type DeviceSignal = ReadSignal<Option<DeviceView>>;

/// The part of the program that this page is.
pub static DEVICE: Part = Part::new("device", || Box::pin(async { Ok(load().await?) }));

/// The page, as a part of the program.
#[wasm_split(device, fallible, preload(load))]
#[allow(clippy::unnecessary_wraps)] // the macro returns its own error through this
pub(crate) fn page(id: String) -> Result<AnyView, NotLoaded> {
    Ok(view! { <DevicePage id=id /> }.into_any())
}

/// The device page. If nothing was heard of the device yet, it waits.
#[component]
pub fn DevicePage(
    /// The full id of the device.
    id: String,
) -> impl IntoView {
    let state = AppState::expect();
    let key = state.find(id.clone());
    view! {
        <Crumbs />
        {move || match key.get() {
            Some(key) => view! { <KnownDevice key=key /> }.into_any(),
            None => view! { <UnknownDevice id=id.clone() /> }.into_any(),
        }}
    }
}

#[component]
fn Crumbs() -> impl IntoView {
    let click = follow(fleet_href);
    view! {
        <nav class="crumbs" aria-label="Breadcrumb">
            <a href=fleet_href on:click=click>
                {Icon::ArrowLeft.view()}
                "Fleet"
            </a>
        </nav>
    }
}

/// Shown while nothing was heard of the device. The page changes by itself.
#[component]
fn UnknownDevice(id: String) -> impl IntoView {
    set_title("Waiting for a device · Beaconry");
    let absence = Absence::watch();
    let shown = fleet::display::shorten(&id, 80);
    move || {
        let id = view! {
            <bdi class="mono" title=id.clone()>
                {shown.clone()}
            </bdi>
        };
        let advice = match absence.get() {
            Absence::Loading => {
                return view! {
                    <h1 class="wrap-anywhere">{id}</h1>
                    <Skeleton label="Waiting for devices" />
                }
                .into_any();
            }
            Absence::Settled => {
                "This page fills in as soon as it sends something. Check the spelling if you expect it to be there."
            }
            Absence::Disconnected(_) => {
                "There is no connection to the broker at the moment; this page fills in when there is."
            }
        };
        view! {
            <section class="empty" data-testid="device-waiting" role="status">
                {Icon::Question.view()}
                <h1>"Nothing heard of this device yet"</h1>
                <p class="wrap-anywhere">{id}</p>
                <p>{advice}</p>
            </section>
        }
        .into_any()
    }
}

#[component]
fn KnownDevice(key: DeviceKey) -> impl IntoView {
    let state = AppState::expect();
    state.open(key);
    let device = state.device(key);
    let title_text = Memo::new(move |_| {
        device.with(|device| {
            let card = device.as_ref().map(|device| &device.card);
            card.map(|card| format!("{} · {}", title(card.presence.kind()), card.name))
        })
    });
    Effect::new(move |_| {
        if let Some(text) = title_text.get() {
            set_title(&format!("{text} · Beaconry"));
        }
    });
    let is_past = move || state.wound().get().is_some();
    view! {
        <article data-testid="device-page">
            <Head key=key device=device />
            <div class="stack">
                <LeftOut device=device />
                <Faults device=device />
                <Readings device=device />
            </div>
            <div class="device-columns">
                <div class="device-commands">
                    {move || {
                        is_past()
                            .then(|| {
                                view! {
                                    <p class="not-all" data-testid="past-note">
                                        {Icon::Clock.view()}
                                        <span>
                                            "This is the past. Commands can be sent when you are back at live."
                                        </span>
                                    </p>
                                }
                            })
                    }}
                    <div inert=is_past>
                        <CommandBox key=key device=device />
                    </div>
                </div>
                <div class="device-charts stack">
                    <Charts key=key device=device />
                </div>
                <aside class="device-facts stack" aria-label="Presence and position">
                    <PresenceHistory device=device />
                    <Uptime device=device />
                    <PositionPanel device=device />
                </aside>
            </div>
            <div class="device-wide">
                <RawMessages key=key device=device />
            </div>
        </article>
    }
}

/// How often a device wakes or sends, in words. The model takes what comes within a second for one
/// message, so the highest rate of a metric says how often a fast device sends.
fn rhythm(cycle_ms: Option<i64>, interval_ms: Option<i64>, rate_hz: f64) -> String {
    match (cycle_ms, interval_ms) {
        (Some(cycle), _) => format!("wakes every {}", format::duration(cycle)),
        (None, Some(1..2_000)) if rate_hz >= 10.0 => {
            format!(
                "sends about {:.0} times a second",
                (rate_hz / 10.0).round() * 10.0
            )
        }
        (None, Some(1..2_000)) if rate_hz >= 1.5 => {
            format!("sends about {rate_hz:.0} times a second")
        }
        (None, Some(interval)) if interval >= 1_000 => {
            format!("sends every {}", format::duration(interval))
        }
        (None, Some(_) | None) => String::new(),
    }
}

/// What the page does not show, because the device sends faster than the connection carries.
#[component]
fn LeftOut(device: DeviceSignal) -> impl IntoView {
    let count =
        Memo::new(move |_| device.with(|device| device.as_ref().map_or(0, |it| it.left_out)));
    let some = Memo::new(move |_| count.get() > 0);
    view! {
        <p class="not-all tabular" hidden=move || !some.get() data-testid="left-out">
            {Icon::Warning.view()}
            <span>
                "This device sends faster than your connection to the broker carries. You see the newest message of each topic. Left out so far: "
                {move || format::grouped(count.get().to_string())} "."
            </span>
        </p>
    }
}

/// Its name, its presence, and how it speaks.
// Long because it is one piece of markup, after the facts that it shows.
#[component]
fn Head(key: DeviceKey, device: DeviceSignal) -> impl IntoView {
    let state = AppState::expect();
    let full_id = device.with_untracked(|device| {
        device
            .as_ref()
            .map(|device| device.card.full_id.clone())
            .unwrap_or_default()
    });
    let name = device.with_untracked(|device| {
        device
            .as_ref()
            .map(|device| device.card.name.clone())
            .unwrap_or_default()
    });
    let presence = Memo::new(move |_| {
        device
            .with(|device| device.as_ref().map(|device| device.card.presence))
            .unwrap_or(Presence::Unknown {
                since: Timestamp(0),
                reason: UnknownReason::Unseen,
            })
    });
    let exact = Memo::new(move |_| {
        device.with(|device| {
            device
                .as_ref()
                .is_some_and(|device| device.card.since_exact)
        })
    });
    let why = move || {
        presence
            .with(reason)
            .map(|why| view! { <span>{why}</span> })
    };
    let fact = move |read: fn(&DeviceView) -> String| {
        Memo::new(move |_| device.with(|device| device.as_ref().map(read).unwrap_or_default()))
    };
    let prefix = fact(|device| device.card.prefix.clone());
    let convention = fact(|device| device.convention.name().to_owned());
    let count = fact(|device| match device.message_count {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    });
    let rhythm = fact(|device| {
        let rates = device.values.iter().filter_map(|value| value.rate_hz);
        rhythm(
            device.cycle_ms,
            device.interval_ms,
            rates.fold(0.0, f64::max),
        )
    });
    let last_seen = Memo::new(move |_| {
        device.with(|device| device.as_ref().and_then(|device| device.card.last_seen))
    });
    let last_seen = move || {
        let now = state.now().get();
        last_seen.get().map_or_else(
            || "not heard live yet".to_owned(),
            |at| format!("last heard {}", format::ago(now.ms_since(at))),
        )
    };
    let copied = full_id.clone();
    view! {
        <header class="device-head">
            <h1>
                <bdi title=full_id data-testid="device-title">
                    {name}
                </bdi>
                <CopyButton what="the device's id" text=move || copied.clone() />
            </h1>
            <PresenceLine presence=presence exact=exact now=state.now() badge=true />
            <Forget key=key device=device />
            <p class="facts tabular">
                {why} <span>{last_seen}</span> <span>{move || rhythm.get()}</span>
                <span>{move || count.get()}</span> <span>{move || convention.get()}</span>
                <span>
                    {move || {
                        (!prefix.with(String::is_empty))
                            .then(|| view! { "under " <bdi class="mono">{prefix.get()}</bdi> })
                    }}
                </span>
            </p>
        </header>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_sends_many_times_a_second_is_not_said_to_send_once() {
        assert_eq!(
            rhythm(None, Some(1_003), 97.3),
            "sends about 100 times a second"
        );
        assert_eq!(
            rhythm(None, Some(1_200), 4.6),
            "sends about 5 times a second"
        );
        assert_eq!(rhythm(None, Some(1_003), 1.02), "sends every 1 s");
        assert_eq!(
            rhythm(None, Some(60_000), 2.0),
            "sends every 1 min",
            "in bursts"
        );
        assert_eq!(rhythm(Some(300_000), Some(1_000), 9.0), "wakes every 5 min");
        assert_eq!(rhythm(None, None, 0.0), "");
    }
}
