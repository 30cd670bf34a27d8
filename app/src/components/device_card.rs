//! One device in the list, as a card or as a row.

use fleet::{DeviceKey, Presence, Timestamp, UnknownReason};
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
    let read = move |card: &Option<CardView>| card.clone();
    let initial = card.with_untracked(read);
    let Some(initial) = initial else {
        return ().into_any();
    };
    let href = device_href(&initial.full_id);
    let target = href.clone();
    let go = follow(move || target.clone());
    let navigation = Navigation::expect();
    let left = initial.full_id.clone();
    let click = move |event| {
        navigation.leave_place(left.clone());
        go(event);
    };

    let presence = Memo::new(move |_| {
        card.with(|card| card.as_ref().map(|card| card.presence))
            .unwrap_or(Presence::Unknown {
                since: Timestamp(0),
                reason: UnknownReason::Unseen,
            })
    });
    let exact =
        Memo::new(move |_| card.with(|card| card.as_ref().is_some_and(|card| card.since_exact)));
    let trend =
        Memo::new(move |_| card.with(|card| card.as_ref().and_then(|card| card.trend.clone())));
    let faults = Memo::new(move |_| card.with(|card| card.as_ref().map_or(0, |card| card.faults)));
    let kind = move || presence.get().kind().word();

    let name = view! {
        <bdi class="clip" title=initial.full_id.clone() data-testid="device-name">
            {initial.name}
        </bdi>
    };
    let fault_mark = move || (faults.get() > 0).then(|| view! { <FaultMark count=faults /> });
    let presence_line = view! { <PresenceLine presence=presence exact=exact now=state.now() /> };
    let values = view! { <Values card=card /> };
    let spark = view! {
        <div class="spark">
            <Sparkline device=key trend=trend />
            {move || {
                trend
                    .get()
                    .map(|trend| {
                        view! {
                            <span class="spark-name clip" data-testid="trend-name">
                                <span class="visually-hidden">"Trend line: "</span>
                                <bdi>{trend.name}</bdi>
                            </span>
                        }
                    })
            }}
        </div>
    };
    match layout {
        Layout::Grid => view! {
            <a
                class="card"
                href=href
                data-testid="device-card"
                data-device=initial.full_id
                data-presence=kind
                on:click=click
            >
                <div class="card-head">
                    <span class="card-name clip">{name}</span>
                    {fault_mark}
                </div>
                {presence_line}
                {values}
                {spark}
            </a>
        }
        .into_any(),
        Layout::List => view! {
            <a
                class="row"
                href=href
                data-testid="device-card"
                data-device=initial.full_id
                data-presence=kind
                on:click=click
            >
                <span class="row-name">{name} {fault_mark}</span>
                {presence_line}
                {values}
                {spark}
            </a>
        }
        .into_any(),
    }
}

/// The mark of a device that sends something wrong.
#[component]
fn FaultMark(#[prop(into)] count: Signal<usize>) -> impl IntoView {
    let words = move || match count.get() {
        1 => "1 fault".to_owned(),
        count => format!("{count} faults"),
    };
    view! {
        <span class="fault-mark" data-testid="fault-mark">
            {Icon::Warning.view()}
            {words}
        </span>
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
    let each = move || {
        let names = names.get();
        if names.is_empty() {
            return view! { <span class="none">"No readings yet"</span> }.into_any();
        }
        names
            .into_iter()
            .enumerate()
            .map(
                |(
                    index,
                    Shape {
                        name,
                        id,
                        unit,
                        is_text,
                    },
                )| {
                    view! {
                        <div class="metric" class:text=is_text>
                            <div class="name clip" title=id>
                                <bdi>{breakable(&name)}</bdi>
                            </div>
                            <div class="value" class:clip=is_text title=move || exact(index)>
                                <bdi>{move || text(index)}</bdi>
                                {unit.map(|unit| view! { <bdi class="unit">{unit}</bdi> })}
                            </div>
                        </div>
                    }
                },
            )
            .collect_view()
            .into_any()
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
