//! All devices: how many there are, which, and their latest values.

use std::sync::Arc;

use fleet::PresenceKind;
use leptos::ev;
use leptos::html;
use leptos::prelude::*;
use wasm_bindgen::JsCast;

use super::welcome::NoDevices;
use crate::components::connection::sentence;
use crate::components::device_card::DeviceCard;
use crate::components::icon::Icon;
use crate::components::later::Skeleton;
use crate::components::presence;
use crate::components::title::set_title;
use crate::components::window_list::{Metrics, WindowList};
use crate::route::{Navigation, Place};
use crate::state::{AppState, Choice, Layout, Listing, Outcome, Query, Sort};

/// The fleet page.
#[component]
pub fn FleetPage() -> impl IntoView {
    let state = AppState::expect();
    let counts = state.counts();
    let total = Memo::new(move |_| counts.with(fleet::Counts::total));
    // Each title repaints the browser's own window, so it follows the counts once a second.
    Effect::new(move |_| {
        state.now().track();
        let known = total.get();
        let counts = counts.get_untracked();
        let here = counts.online() + counts.sleeping();
        set_title(&match known {
            0 => "Fleet · Beaconry".to_owned(),
            total => format!("{here}/{total} · Fleet · Beaconry"),
        });
    });
    let lead = Memo::new(move |_| state.list().with(|list| lead(list, total.get())));
    let hidden = Memo::new(move |_| state.list().with(|list| list.hidden));
    let some = Memo::new(move |_| total.get() > 0 || hidden.get() > 0);
    // Nothing is left to see among the hidden devices.
    Effect::new(move |_| {
        if hidden.get() == 0 && state.query.with_untracked(|query| query.hidden) && total.get() > 0
        {
            state.query.update(|query| query.hidden = false);
        }
    });
    view! {
        <div class="page-head">
            <h1>"Fleet"</h1>
            <p class="lead tabular" aria-live="polite" data-testid="count-shown">
                {move || lead.get()}
            </p>
        </div>
        {move || {
            if some.get() {
                view! {
                    <Filters />
                    <NotKept />
                    <Devices />
                }
                    .into_any()
            } else {
                view! { <NoDevices /> }.into_any()
            }
        }}
    }
}

/// How many devices there are, or how many of them are shown.
fn lead(list: &Listing, total: usize) -> String {
    let (shown, of) = (list.keys.len(), list.of);
    if list.shows_hidden {
        return format!("{shown} of {of} hidden");
    }
    match total {
        0 => String::new(),
        _ if list.narrowed && shown < of => format!("{shown} of {of} devices"),
        1 => "1 device".to_owned(),
        total => format!("{total} devices"),
    }
}

/// What the fleet's limits dropped, once they have dropped something.
#[component]
fn NotKept() -> impl IntoView {
    let list = AppState::expect().list();
    let limits = Memo::new(move |_| list.with(|list| list.limits.clone()));
    let lines = move || {
        let limits = limits.get().into_iter();
        let lines = limits.map(|(limit, count)| {
            view! {
                <li data-testid="limit">
                    {sentence(limit.message())} " " <span class="quiet-note tabular">{times(count)}</span>
                </li>
            }
        });
        lines.collect_view()
    };
    view! {
        <details
            class="not-kept"
            hidden=move || limits.with(Vec::is_empty)
            data-testid="limits"
        >
            <summary>{Icon::ChevronRight.view()} "Not everything was kept"</summary>
            <ul>{lines}</ul>
        </details>
    }
}

fn times(count: u64) -> String {
    match count {
        1 => "Once.".to_owned(),
        count => format!("{count} times."),
    }
}

/// Counts, search, order, layout.
#[component]
fn Filters() -> impl IntoView {
    let state = AppState::expect();
    let query = state.query;
    let counts = state.counts();
    let chosen = Memo::new(move |_| query.with(|query| query.presence));
    let chip = move |kind: Option<PresenceKind>| {
        let (word, meaning) = kind.map_or(("All", "Every device"), |kind| {
            (presence::title(kind), presence::meaning(kind))
        });
        let count = move || {
            counts.with(|counts| kind.map_or_else(|| counts.total(), |kind| counts.of(kind)))
        };
        let id = kind.map_or("all", PresenceKind::word);
        view! {
            <button
                type="button"
                class="chip"
                title=meaning
                aria-pressed=move || (chosen.get() == kind).to_string()
                data-presence=kind.map(PresenceKind::word)
                data-testid=format!("count-{id}")
                on:click=move |_| {
                    query
                        .update(|query| {
                            query.presence = if query.presence == kind { None } else { kind };
                        });
                }
            >
                {kind
                    .map(|kind| {
                        view! { <span class="presence-icon">{presence::icon(kind).view()}</span> }
                    })}
                {word}
                " "
                <span class="count">{move || count().to_string()}</span>
            </button>
        }
    };
    let sorts = Sort::ALL.iter().map(|sort| {
        let sort = *sort;
        let words = match sort {
            Sort::Name => "Name",
            Sort::Trouble => "Trouble first",
            Sort::Latest => "Latest change",
        };
        view! {
            <option value=sort.word() selected=query.with_untracked(|query| query.sort == sort)>
                {words}
            </option>
        }
    });
    let choose_sort = move |event: ev::Event| {
        if let Some(sort) = Sort::from_word(&event_target_value(&event)) {
            query.update(|query| query.sort = sort);
        }
    };
    view! {
        <div class="fleet-tools">
            <div class="chips" role="group" aria-label="Show devices that are">
                {chip(None)}
                {PresenceKind::ALL.map(|kind| chip(Some(kind))).collect_view()}
                <HiddenChip />
            </div>
            <Search />
            <div class="push">
                <label class="select">
                    <span class="visually-hidden">"Order"</span>
                    <select on:change=choose_sort data-testid="sort">
                        {sorts.collect_view()}
                    </select>
                    {Icon::ChevronDown.view()}
                </label>
                <LayoutSwitch />
            </div>
        </div>
    }
}

/// Shows the hidden devices instead of all others. Nothing, if there are none.
#[component]
fn HiddenChip() -> impl IntoView {
    let state = AppState::expect();
    let query = state.query;
    let count = Memo::new(move |_| state.list().with(|list| list.hidden));
    let chosen = Memo::new(move |_| query.with(|query| query.hidden));
    view! {
        <button
            type="button"
            class="chip"
            hidden=move || count.get() == 0
            title="Devices that somebody has hidden"
            aria-pressed=move || chosen.get().to_string()
            data-testid="count-hidden"
            on:click=move |_| query.update(|query| query.hidden = !query.hidden)
        >
            "Hidden "
            <span class="count">{move || count.get().to_string()}</span>
        </button>
    }
}

#[component]
fn Search() -> impl IntoView {
    let query = AppState::expect().query;
    let field = NodeRef::<html::Input>::new();
    let text = Memo::new(move |_| query.with(|query| query.text.clone()));
    let focus = move || {
        if let Some(field) = field.get_untracked() {
            // This fails only if the field is no longer in the document.
            let _ = field.focus();
            field.select();
        }
    };
    let slash = window_event_listener(ev::keydown, move |event| {
        let typing = event
            .target()
            .and_then(|target| target.dyn_into::<web_sys::Element>().ok())
            .is_some_and(|target| {
                matches!(target.tag_name().as_str(), "INPUT" | "TEXTAREA" | "SELECT")
            });
        if event.key() == "/" && !typing && !event.ctrl_key() && !event.meta_key() {
            event.prevent_default();
            focus();
        }
    });
    on_cleanup(move || slash.remove());
    let clear = move || query.update(|query| query.text.clear());
    view! {
        <div class="search" role="search">
            {Icon::Search.view()}
            <input
                node_ref=field
                class="input"
                type="search"
                placeholder="Search names, metrics, values"
                aria-label="Search devices by name, metric, value, presence or faults"
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                enterkeyhint="search"
                data-testid="search"
                prop:value=move || text.get()
                on:input=move |event| {
                    let typed = event_target_value(&event);
                    query.update(|query| query.text = typed);
                }
                on:keydown=move |event| {
                    if event.key() == "Escape" {
                        clear();
                    }
                }
            />
            {move || {
                if text.with(String::is_empty) {
                    view! { <kbd aria-hidden="true">"/"</kbd> }.into_any()
                } else {
                    view! {
                        <button
                            type="button"
                            class="button quiet small square"
                            aria-label="Clear the search"
                            on:click=move |_| {
                                clear();
                                focus();
                            }
                        >
                            {Icon::Close.view()}
                        </button>
                    }
                        .into_any()
                }
            }}
        </div>
    }
}

#[component]
fn LayoutSwitch() -> impl IntoView {
    let layout = AppState::expect().layout;
    let option = move |one: Layout| {
        let (label, icon) = match one {
            Layout::Grid => ("Cards", Icon::Grid),
            Layout::List => ("Rows", Icon::Rows),
        };
        view! {
            <button
                type="button"
                title=label
                aria-label=label
                aria-pressed=move || (layout.get() == one).to_string()
                data-testid=format!("layout-{}", one.word())
                on:click=move |_| layout.set(one)
            >
                {icon.view()}
            </button>
        }
    };
    view! {
        <div class="segmented" role="group" aria-label="Layout">
            {Layout::ALL.iter().copied().map(option).collect_view()}
        </div>
    }
}

/// Cards of the width and height that the style sheet expects.
const GRID: Metrics = Metrics {
    row: 11.0,
    gap: 0.75,
    column: Some(17.0),
};
const ROWS: Metrics = Metrics {
    row: 3.5,
    gap: 0.0,
    column: None,
};
/// On a narrow screen a row has two lines.
const TALL_ROWS: Metrics = Metrics {
    row: 4.0,
    gap: 0.0,
    column: None,
};

#[component]
fn Devices() -> impl IntoView {
    let state = AppState::expect();
    let layout = state.layout;
    let list = state.list();
    let narrow = media("(max-width: 56rem)");
    let metrics = Memo::new(move |_| match (layout.get(), narrow.get()) {
        (Layout::Grid, _) => GRID,
        (Layout::List, false) => ROWS,
        (Layout::List, true) => TALL_ROWS,
    });
    let keys = Memo::new(move |_| list.with(|list| Arc::clone(&list.keys)));
    let outcome = Memo::new(move |_| list.with(Listing::outcome));
    if let Some(place) = Navigation::expect().take_place() {
        go_back_to(place, FRAMES);
    }
    move || {
        let layout = layout.get();
        match outcome.get() {
            Outcome::Waiting => view! { <Skeleton label="Waiting for devices" /> }.into_any(),
            Outcome::NoneFits => view! { <NoResults /> }.into_any(),
            Outcome::Some => view! {
                <div class:rows=layout == Layout::List data-testid="devices" data-layout=layout.word()>
                    <WindowList
                        keys=keys
                        metrics=metrics
                        label="Devices"
                        waiting=|| view! { <Skeleton label="Waiting for devices" /> }
                        item=move |key| view! { <DeviceCard key=key layout=layout /> }
                    />
                </div>
            }
            .into_any(),
        }
    }
}

/// How many frames the list may take until the card that the reader came from exists.
const FRAMES: u32 = 30;

/// Scrolls to where the reader was, and gives the focus to the card that was opened. The list is as
/// high as before only after a frame or two.
fn go_back_to(place: Place, frames: u32) {
    request_animation_frame(move || {
        if let Some(window) = web_sys::window() {
            window.scroll_to_with_x_and_y(0.0, place.top);
        }
        let card = web_sys::window()
            .and_then(|window| window.document())
            .and_then(|document| {
                document
                    .query_selector(&card_selector(&place.device))
                    .ok()?
            })
            .and_then(|card| card.dyn_into::<web_sys::HtmlElement>().ok());
        match card {
            Some(card) => {
                let options = web_sys::FocusOptions::new();
                options.set_prevent_scroll(true);
                // This fails only if the card has just gone.
                let _ = card.focus_with_options(&options);
            }
            None if frames > 0 => go_back_to(place, frames - 1),
            None => {}
        }
    });
}

/// A selector for the card of this device, whose id is any text.
fn card_selector(full_id: &str) -> String {
    use std::fmt::Write as _;
    let mut selector = String::from("[data-device=\"");
    for c in full_id.chars() {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            selector.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(selector, "\\{:x} ", u32::from(c));
        }
    }
    selector.push_str("\"]");
    selector
}

#[component]
fn NoResults() -> impl IntoView {
    let query = AppState::expect().query;
    let reset = move |_| {
        query.update(|query| {
            *query = Query {
                sort: query.sort,
                ..Query::default()
            };
        });
    };
    view! {
        <section class="empty" data-testid="no-results">
            {Icon::Search.view()}
            <h2>"No device fits"</h2>
            <p>"No device has this presence and these words in its name, its metrics or their values."</p>
            <button type="button" class="button" on:click=reset>
                "Show all devices"
            </button>
        </section>
    }
}

/// Whether a media query matches. Follows its changes.
fn media(query: &str) -> Signal<bool> {
    let list = web_sys::window().and_then(|window| window.match_media(query).ok().flatten());
    let Some(list) = list else {
        return Signal::derive(|| false);
    };
    let holds = RwSignal::new(list.matches());
    let watched = list.clone();
    let listener = gloo_events::EventListener::new(&list, "change", move |_| {
        holds.try_set(watched.matches());
    });
    let listener = StoredValue::new_local(listener);
    on_cleanup(move || listener.dispose());
    holds.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use fleet::DeviceKey;

    use super::{Listing, card_selector, lead};

    #[test]
    fn a_card_is_found_whatever_its_id_is() {
        assert_eq!(card_selector("a1"), "[data-device=\"a1\"]");
        assert_eq!(
            card_selector("é\"]\\"),
            "[data-device=\"é\\22 \\5d \\5c \"]"
        );
    }

    #[test]
    fn some_of_all_are_named_only_when_some_are_asked_for() {
        let list = |shown, of, narrowed| Listing {
            keys: Arc::new(
                (0..shown)
                    .map(|place| DeviceKey { place, number: 0 })
                    .collect(),
            ),
            of,
            narrowed,
            hidden: 2,
            shows_hidden: false,
            limits: Vec::new(),
        };
        let hidden = Listing {
            shows_hidden: true,
            ..list(2, 2, false)
        };
        assert_eq!(lead(&hidden, 24), "2 of 2 hidden");
        assert_eq!(lead(&list(0, 0, false), 0), "");
        assert_eq!(lead(&list(0, 0, false), 24), "24 devices");
        assert_eq!(lead(&list(3, 3, false), 24), "24 devices");
        assert_eq!(lead(&list(1, 1, false), 1), "1 device");
        assert_eq!(lead(&list(3, 24, true), 24), "3 of 24 devices");
        assert_eq!(lead(&list(0, 1, true), 1), "0 of 1 devices");
        assert_eq!(lead(&list(24, 24, true), 24), "24 devices");
    }
}
