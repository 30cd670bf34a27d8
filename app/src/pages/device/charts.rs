//! The latest values, one chart for each metric group, a table of what cannot be drawn, and one of
//! all values with all their digits.

use fleet::{DeviceKey, MetricKey};
use leptos::html;
use leptos::prelude::*;

use super::DeviceSignal;
use crate::chart::{LiveChart, Memory, Past};
use crate::components::device_card::breakable;
use crate::components::icon::Icon;
use crate::state::{AppState, ChartView, ChartWindow, Choice, ValueView, format, sort};

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
    let full_id = device.with_untracked(|device| {
        let card = device.as_ref().map(|device| &device.card);
        card.map(|card| card.full_id.clone()).unwrap_or_default()
    });
    let past = Past::provide(full_id);
    let names = Memo::new(move |_| numbers(device));
    Effect::new(move |_| past.set_metrics(names.get()));
    let groups = Memo::new(move |_| {
        device.with(|device| {
            device
                .as_ref()
                .map(|device| device.charts.clone())
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
                <WindowSwitch past=past />
            </div>
            <Source past=past />
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
                // A chart is made again only when its metrics have changed.
                <For each=shown key=ChartView::clone let:chart>
                    <div class="panel chart-panel" class:lanes=chart.on_off data-testid="chart">
                        <LiveChart device=key chart=chart.clone() />
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
        <AllValues device=device />
    }
}

/// The metrics that are numbers or truth values: their keys, and their names as the device says them.
fn numbers(device: DeviceSignal) -> Vec<(MetricKey, String)> {
    device.with(|device| {
        let values = device.iter().flat_map(|device| &device.values);
        let values = values.filter(|value| value.number.is_some());
        values.map(|value| (value.key, value.id.clone())).collect()
    })
}

/// How much time the charts show, and the way back to the latest.
#[component]
fn WindowSwitch(past: Past) -> impl IntoView {
    let window = AppState::expect().window;
    let memory = past.memory();
    let remembers = Memo::new(move |_| matches!(memory.get(), Memory::Server { .. }));
    let option = move |one: ChartWindow| {
        // What nobody remembers is not offered, and "all" only where it is all there is.
        let is_offered = move || {
            if remembers.get() {
                one != ChartWindow::All
            } else {
                one.is_short()
            }
        };
        view! {
            <button
                type="button"
                title=one.title()
                hidden=move || !is_offered()
                aria-pressed=move || {
                    (window.get() == one && past.view().get().is_none()).to_string()
                }
                on:click=move |_| {
                    window.set(one);
                    past.live();
                }
            >
                {one.word()}
            </button>
        }
    };
    view! {
        <div class="chart-ranges">
            <button
                type="button"
                class="button small"
                data-testid="chart-live"
                hidden=move || past.view().get().is_none()
                on:click=move |_| past.live()
            >
                "Back to live"
            </button>
            <div class="segmented small" role="group" aria-label="How much time the charts show">
                {ChartWindow::ALL.iter().copied().map(option).collect_view()}
            </div>
        </div>
    }
}

/// Where the charts' readings come from, in a sentence.
#[component]
fn Source(past: Past) -> impl IntoView {
    let text = move || {
        match past.memory().get() {
        Memory::Asking => String::new(),
        Memory::None => {
            "This broker keeps no history; readings are kept while this page is open.".to_owned()
        }
        Memory::Failed(failure) => format!(
            "What was before this page was opened is missing here: {failure}. Reload the page to ask again."
        ),
        Memory::Server { is_stopped: true, .. } => {
            "The server records nothing at the moment: its disk is full or refuses to write. See its log.".to_owned()
        }
        Memory::Server { since: None, .. } => "The server remembers from now on.".to_owned(),
        Memory::Server { since: Some(_), .. } if past.damaged().get() > 0 => format!(
            "Damaged on the server's disk, and missing here: {} stored blocks. The server's log names them.",
            past.damaged().get()
        ),
        Memory::Server { since: Some(since), .. } => {
            format!("The server remembers since {}.", crate::chart::past::date(since))
        }
    }
    };
    view! {
        <p class="quiet-note chart-source" data-testid="history-source" role="status">
            {text}
            <span class="visually-hidden">
                {move || past.is_asking().get().then_some(" Loading.")}
            </span>
        </p>
    }
}

/// What a tile is made from.
#[derive(Clone, Debug, PartialEq)]
struct Tile {
    key: MetricKey,
    name: String,
    id: String,
    unit: Option<String>,
}

/// The latest values, large.
#[component]
pub fn Readings(
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    // The tiles are made again only when the metrics have changed; the values in them are texts.
    let shape = Memo::new(move |_| {
        device.with(|device| {
            let values = device.iter().flat_map(|device| &device.values);
            let values: Vec<&ValueView> = values.filter(|value| value.number.is_some()).collect();
            // As on a card: what is measured comes before what is set.
            sort::by_rank(&values, |value| value.rank)
                .into_iter()
                .take(READINGS)
                .map(|value| Tile {
                    key: value.key,
                    name: value.name.clone(),
                    id: value.id.clone(),
                    unit: value.unit.clone(),
                })
                .collect::<Vec<_>>()
        })
    });
    let tile = move |tile: Tile| reading(device, tile);
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

/// A value, large, with its name, its unit and its age.
fn reading(device: DeviceSignal, tile: Tile) -> impl IntoView {
    let now = AppState::expect().now();
    let Tile {
        key,
        name,
        id,
        unit,
    } = tile;
    let read = move |read: fn(&ValueView) -> String| {
        device.with(|device| {
            let value = device.as_ref().and_then(|device| device.value(key));
            value.map(read).unwrap_or_default()
        })
    };
    let text = move || read(|value| value.text.clone());
    let exact = move || read(|value| value.exact.clone());
    let unit_width = unit.as_ref().map_or(0.0, |unit| format::width(unit));
    let chars = move || width(format::width(&text()), unit_width);
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
    view! {
        <li class="reading" data-testid="reading">
            <div class="name clip" title=id>
                <bdi data-testid="reading-name">{name}</bdi>
            </div>
            <div class="value" title=exact style=("--chars", chars)>
                <bdi data-testid="reading-value">{text}</bdi>
                {unit.map(|unit| view! { <bdi class="unit">{unit}</bdi> })}
            </div>
            <div class="age clip tabular">{age}</div>
        </li>
    }
}

/// The width of a value with its unit, in digits. A unit has smaller letters.
fn width(value: f64, unit: f64) -> String {
    format!("{:.1}", (value + unit * 0.6 + 0.3).max(1.0))
}

/// Texts: states, versions, messages.
#[component]
fn OtherValues(device: DeviceSignal) -> impl IntoView {
    let values = Memo::new(move |_| keys(device, |value| value.number.is_none()));
    move || {
        let values = values.get();
        (!values.is_empty()).then(|| {
            view! {
                <section class="panel" aria-labelledby="texts-title" data-testid="other-values">
                    <div class="panel-head">
                        <h2 id="texts-title">"Other values"</h2>
                    </div>
                    <ValueTable device=device keys=values />
                </section>
            }
        })
    }
}

/// Every value with all its digits, under the name that the device gives it. Numbers are short
/// everywhere else.
#[component]
fn AllValues(device: DeviceSignal) -> impl IntoView {
    let details = NodeRef::<html::Details>::new();
    let open = RwSignal::new(false);
    let values = Memo::new(move |_| keys(device, |_| true));
    // The table is made when it is opened, because most never are.
    let table = move || {
        open.get()
            .then(|| view! { <ValueTable device=device keys=values.get() exact=true /> })
    };
    view! {
        <details
            class="panel all-values"
            hidden=move || values.with(Vec::is_empty)
            data-testid="all-values"
            node_ref=details
            on:toggle=move |_| {
                open.set(details.get_untracked().is_some_and(|details| details.open()));
            }
        >
            <summary class="panel-head">
                {Icon::ChevronRight.view()} <h2>"All values, exactly"</h2>
                <span class="quiet-note tabular">{move || values.with(Vec::len)}</span>
            </summary>
            {table}
        </details>
    }
}

fn keys(device: DeviceSignal, choose: fn(&ValueView) -> bool) -> Vec<MetricKey> {
    device.with(|device| {
        let values = device.iter().flat_map(|device| &device.values);
        let values = values.filter(|value| choose(value));
        values.map(|value| value.key).collect()
    })
}

/// Names, values and their ages.
#[component]
fn ValueTable(
    device: DeviceSignal,
    keys: Vec<MetricKey>,
    /// Whether the names are the device's own, and the values have all their digits.
    #[prop(optional)]
    exact: bool,
) -> impl IntoView {
    let now = AppState::expect().now();
    let row = move |key: MetricKey| {
        let value = Memo::new(move |_| {
            device.with(|device| {
                let device = device.as_ref()?;
                device.value(key).cloned()
            })
        });
        let read = move |read: fn(&ValueView) -> &String| {
            value.with(|value| value.as_ref().map(|value| read(value).clone()))
        };
        let name = move || {
            if exact {
                read(|value| &value.id)
            } else {
                read(|value| &value.name)
            }
        };
        let text = move || {
            if exact {
                read(|value| &value.exact)
            } else {
                read(|value| &value.text)
            }
        };
        let unit = move || value.with(|value| value.as_ref().and_then(|value| value.unit.clone()));
        let age = move || {
            let at = value.with(|value| value.as_ref().map(|value| value.at));
            at.map(|at| format::ago(now.get().ms_since(at)))
        };
        view! {
            <tr data-testid="value-row">
                <th scope="row" class:mono=exact>
                    <bdi>{move || name().map(|name| breakable(&name))}</bdi>
                </th>
                <td>
                    <bdi>{text}</bdi>
                    {move || unit().map(|unit| view! { " " <bdi class="quiet-note">{unit}</bdi> })}
                </td>
                <td class="num quiet-note">{age}</td>
            </tr>
        }
    };
    view! {
        <div class="table-scroll">
            <table class="table">
                <thead class="visually-hidden">
                    <tr>
                        <th scope="col">"Name"</th>
                        <th scope="col">"Value"</th>
                        <th scope="col">"When"</th>
                    </tr>
                </thead>
                <tbody>{keys.into_iter().map(row).collect_view()}</tbody>
            </table>
        </div>
    }
}
