//! The latest values, one chart for each metric group, and a table of what cannot be drawn.

use fleet::{DeviceKey, MetricGroup, MetricKey};
use leptos::prelude::*;

use super::DeviceSignal;
use crate::chart::LiveChart;
use crate::state::{AppState, ChartWindow, Choice, ValueView, format};

/// How many large values stand above the charts; the others are in the charts' own legends.
const READINGS: usize = 8;
/// How many charts are shown before the reader asks for more.
const CHARTS: usize = 8;

/// Everything that the device measures.
#[component]
pub fn Charts(
    /// The device's key.
    key: DeviceKey,
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let groups = Memo::new(move |_| {
        device.with(|device| {
            device
                .as_ref()
                .map(|device| device.groups.clone())
                .unwrap_or_default()
        })
    });
    let silent = Memo::new(move |_| {
        device.with(|device| {
            device
                .as_ref()
                .is_none_or(|device| device.values.is_empty())
        })
    });
    let all = RwSignal::new(false);
    let hidden = Memo::new(move |_| {
        let count = groups.with(Vec::len);
        if all.get() {
            0
        } else {
            count.saturating_sub(CHARTS)
        }
    });
    let shown = move || {
        let mut groups = groups.get();
        groups.truncate(groups.len() - hidden.get());
        groups
    };
    view! {
        <section class="stack" aria-labelledby="charts-title">
            <div class="section-head">
                <h2 id="charts-title">"Telemetry"</h2>
                <WindowSwitch />
            </div>
            {move || {
                silent
                    .get()
                    .then(|| {
                        view! {
                            <p class="panel panel-note" data-testid="no-readings">
                                "No readings yet. They are drawn as soon as the device sends some."
                            </p>
                        }
                    })
            }}
            <div class="charts">
                <For each=shown key=MetricGroupKey::of let:group>
                    <div class="panel chart-panel" data-testid="chart">
                        <LiveChart device=key group=group />
                    </div>
                </For>
            </div>
            {move || {
                (hidden.get() > 0)
                    .then(|| {
                        view! {
                            <button type="button" class="button" on:click=move |_| all.set(true)>
                                {format!("Show {} more charts", hidden.get())}
                            </button>
                        }
                    })
            }}
        </section>
        <OtherValues device=device />
    }
}

/// The key of a chart. A chart is made again only when its metrics have changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct MetricGroupKey(String, Vec<u16>);

impl MetricGroupKey {
    fn of(group: &MetricGroup) -> Self {
        let metrics = group.metrics.iter().map(|key| key.0).collect();
        Self(format!("{} {:?}", group.title, group.unit), metrics)
    }
}

#[component]
fn WindowSwitch() -> impl IntoView {
    let window = AppState::expect().window;
    let option = move |one: ChartWindow| {
        view! {
            <button
                type="button"
                aria-pressed=move || (window.get() == one).to_string()
                on:click=move |_| window.set(one)
            >
                {one.word()}
            </button>
        }
    };
    view! {
        <div class="segmented small" role="group" aria-label="How much time the charts show">
            {ChartWindow::ALL.iter().copied().map(option).collect_view()}
        </div>
    }
}

/// The latest values, large.
#[component]
pub fn Readings(
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let now = AppState::expect().now();
    // The tiles are made again only when the metrics have changed; the values in them are texts.
    let shape = Memo::new(move |_| {
        device.with(|device| {
            let values = device.iter().flat_map(|device| &device.values);
            values
                .filter(|value| value.number.is_some())
                .take(READINGS)
                .map(|value| (value.key, value.name.clone(), value.unit.clone()))
                .collect::<Vec<_>>()
        })
    });
    let read = move |key: MetricKey| {
        move |read: fn(&ValueView) -> String| {
            device.with(|device| {
                let value = device.as_ref().and_then(|device| device.value(key));
                value.map(read).unwrap_or_default()
            })
        }
    };
    let tile = move |(key, name, unit): (MetricKey, String, Option<String>)| {
        let text = move || read(key)(|value| value.text.clone());
        let at = Memo::new(move |_| {
            device.with(|device| {
                let value = device.as_ref().and_then(|device| device.value(key));
                value.map(|value| (value.at, value.retained))
            })
        });
        let age = move || {
            at.get().map(|(at, retained)| {
                let ago = format::ago(now.get().ms_since(at));
                if retained {
                    format!("{ago}, kept by the broker")
                } else {
                    ago
                }
            })
        };
        let tip = name.clone();
        view! {
            <li class="reading" data-testid="reading">
                <div class="name clip" title=tip>
                    <bdi data-testid="reading-name">{name}</bdi>
                </div>
                <div class="value clip">
                    <bdi data-testid="reading-value">{text}</bdi>
                    {unit.map(|unit| view! { <bdi class="unit">{unit}</bdi> })}
                </div>
                <div class="age clip tabular">{age}</div>
            </li>
        }
    };
    move || {
        let shape = shape.get();
        (!shape.is_empty()).then(|| {
            view! {
                <ul class="readings" aria-label="Latest values">
                    {shape.into_iter().map(tile).collect_view()}
                </ul>
            }
        })
    }
}

/// Texts: states, versions, messages.
#[component]
fn OtherValues(device: DeviceSignal) -> impl IntoView {
    let now = AppState::expect().now();
    let values = Memo::new(move |_| {
        device.with(|device| {
            let values = device.iter().flat_map(|device| &device.values);
            values
                .filter(|value| value.number.is_none())
                .cloned()
                .collect::<Vec<_>>()
        })
    });
    move || {
        let values = values.get();
        if values.is_empty() {
            return None;
        }
        let rows = values.into_iter().map(|value| {
            let at = value.at;
            view! {
                <tr>
                    <th scope="row" class="wrap-anywhere">
                        <bdi>{value.name}</bdi>
                    </th>
                    <td class="wrap-anywhere">
                        <bdi>{value.text}</bdi>
                        {value.unit.map(|unit| view! { " " <bdi class="quiet-note">{unit}</bdi> })}
                    </td>
                    <td class="num quiet-note">
                        {move || format::ago(now.get().ms_since(at))}
                    </td>
                </tr>
            }
        });
        Some(view! {
            <section class="panel" aria-labelledby="texts-title" data-testid="other-values">
                <div class="panel-head">
                    <h2 id="texts-title">"Other values"</h2>
                </div>
                <div class="table-scroll">
                    <table class="table">
                        <thead class="visually-hidden">
                            <tr>
                                <th scope="col">"Name"</th>
                                <th scope="col">"Value"</th>
                                <th scope="col">"When"</th>
                            </tr>
                        </thead>
                        <tbody>{rows.collect_view()}</tbody>
                    </table>
                </div>
            </section>
        })
    }
}
