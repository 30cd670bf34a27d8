//! One device in the list, as a card or as a row.

use fleet::{DeviceKey, Presence, Timestamp, UnknownReason};
use leptos::ev;
use leptos::prelude::*;

use super::device_link::{device_href, follow};
use super::icon::Icon;
use super::presence::PresenceLine;
use crate::chart::Sparkline;
use crate::route::Navigation;
use crate::state::{AppState, CardView, Layout, ValueView};

/// A device, as a link to its page.
///
/// Each value is a text node, because values change with each message. The rest is made once.
#[component]
pub fn DeviceCard(
    /// The device.
    key: DeviceKey,
    /// Whether it is shown as a card or as a row.
    layout: Layout,
) -> impl IntoView {
    let state = AppState::expect();
    let card = state.card(key);
    let initial = card.with_untracked(Clone::clone);
    let Some(initial) = initial else {
        return ().into_any();
    };
    let href = device_href(&initial.full_id);
    let click = go_to(&href, &initial.full_id);
    let presence = Memo::new(move |_| {
        card.with(|card| card.as_ref().map(|card| card.presence))
            .unwrap_or(Presence::Unknown {
                since: Timestamp(0),
                reason: UnknownReason::Unseen,
            })
    });
    let exact =
        Memo::new(move |_| card.with(|card| card.as_ref().is_some_and(|card| card.since_exact)));
    let name = view! {
        <bdi class="clip" title=initial.full_id.clone() data-testid="device-name">
            {initial.name}
        </bdi>
    };
    let fault_mark = view! { <FaultMark card=card /> };
    let head = match layout {
        Layout::Grid => view! {
            <div class="card-head">
                <span class="card-name clip">{name}</span>
                {fault_mark}
            </div>
        }
        .into_any(),
        Layout::List => view! { <span class="row-name">{name} {fault_mark}</span> }.into_any(),
    };
    view! {
        <a
            class=match layout {
                Layout::Grid => "card",
                Layout::List => "row",
            }
            href=href
            data-testid="device-card"
            data-device=initial.full_id
            data-presence=move || presence.get().kind().word()
            on:click=click
        >
            {head}
            <PresenceLine presence=presence exact=exact now=state.now() />
            <Values card=card />
            <Trend key=key card=card />
        </a>
    }
    .into_any()
}

/// What a click on a card does: the reader goes to the device's page, and the way back leads to the
/// same card.
fn go_to(href: &str, full_id: &str) -> impl Fn(ev::MouseEvent) + use<> {
    let navigation = Navigation::expect();
    let (href, full_id) = (href.to_owned(), full_id.to_owned());
    let go = follow(move || href.clone());
    move |event| {
        navigation.leave_place(full_id.clone());
        go(event);
    }
}

/// The trend line, and the name of what it shows.
#[component]
fn Trend(key: DeviceKey, card: ReadSignal<Option<CardView>>) -> impl IntoView {
    let trend =
        Memo::new(move |_| card.with(|card| card.as_ref().and_then(|card| card.trend.clone())));
    let name = move || {
        trend.get().map(|trend| {
            view! {
                <span class="spark-name clip" data-testid="trend-name">
                    <span class="visually-hidden">"Trend line: "</span>
                    <bdi>{trend.name}</bdi>
                </span>
            }
        })
    };
    view! {
        <div class="spark">
            <Sparkline device=key trend=trend />
            {name}
        </div>
    }
}

/// The mark of a device that sends something wrong. Nothing, if it does not.
#[component]
fn FaultMark(card: ReadSignal<Option<CardView>>) -> impl IntoView {
    let count = Memo::new(move |_| card.with(|card| card.as_ref().map_or(0, |card| card.faults)));
    move || {
        let words = match count.get() {
            0 => return None,
            1 => "1 fault".to_owned(),
            count => format!("{count} faults"),
        };
        Some(view! {
            <span class="fault-mark" data-testid="fault-mark">
                {Icon::Warning.view()}
                {words}
            </span>
        })
    }
}

/// What a value's place is made from. It changes only when the metrics do.
#[derive(Clone, Debug, PartialEq)]
struct Shape {
    name: String,
    id: String,
    unit: Option<String>,
    is_text: bool,
}

/// The latest values. Their names are made again only when the metrics have changed.
#[component]
fn Values(card: ReadSignal<Option<CardView>>) -> impl IntoView {
    let names = Memo::new(move |_| {
        card.with(|card| {
            let values = card.iter().flat_map(|card| &card.values);
            values
                .map(|value| Shape {
                    name: value.name.clone(),
                    id: value.id.clone(),
                    unit: value.unit.clone(),
                    is_text: value.number.is_none(),
                })
                .collect::<Vec<_>>()
        })
    });
    let read = move |index: usize, read: fn(&ValueView) -> &String| {
        card.with(|card| {
            let value = card.as_ref().and_then(|card| card.values.get(index));
            value.map(|value| read(value).clone()).unwrap_or_default()
        })
    };
    let text = move |index| read(index, |value| &value.text);
    let exact = move |index| read(index, |value| &value.exact);
    let metric = move |(index, shape): (usize, Shape)| {
        let unit = shape.unit;
        view! {
            <div class="metric" class:text=shape.is_text>
                <div class="name clip" title=shape.id>
                    <bdi>{breakable(&shape.name)}</bdi>
                </div>
                <div class="value" class:clip=shape.is_text title=move || exact(index)>
                    <bdi>{move || text(index)}</bdi>
                    {unit.map(|unit| view! { <bdi class="unit">{unit}</bdi> })}
                </div>
            </div>
        }
    };
    let each = move || {
        let names = names.get();
        if names.is_empty() {
            return view! { <span class="none">"No readings yet"</span> }.into_any();
        }
        let metrics = names.into_iter().enumerate().map(metric);
        metrics.collect_view().into_any()
    };
    view! { <div class="metrics">{each}</div> }
}

/// A name that breaks between its words first, and elsewhere only if it must.
pub fn breakable(name: &str) -> impl IntoView + use<> {
    let pieces = name.split_inclusive([' ', '_', '.', '/', ':']);
    pieces
        .map(|piece| view! { {piece.to_owned()} <wbr /> })
        .collect_view()
}
