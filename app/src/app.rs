//! The frame around the pages.

use leptos::ev::MouseEvent;
use leptos::html;
use leptos::prelude::*;

use crate::components::address::{keep_address, parameter};
use crate::components::connection::{ConnectionBanner, ConnectionStatus, CredentialsDialog};
use crate::components::device_link::{fleet_href, follow};
use crate::components::icon::{Icon, Mark};
use crate::components::later::Later;
use crate::pages::device::{self, DEVICE};
use crate::pages::fleet::FleetPage;
use crate::pages::not_found::NotFoundPage;
use crate::pages::time_bar::{self, WIND};
use crate::route::{Navigation, Route};
use crate::state::{AppState, ConnectionView, Mode};

/// The whole page.
#[component]
pub fn App() -> impl IntoView {
    let route = Navigation::provide().route();
    let state = AppState::provide();
    keep_address();
    let connection = state.connection();
    // Somebody may open one of them.
    let some = Memo::new(move |_| state.counts().with(|counts| counts.total() > 0));
    Effect::new(move |_| {
        if some.get() {
            DEVICE.prefetch();
        }
    });
    // Without a connection, what was heard before stays on screen, but is not shown as current.
    let blind = Memo::new(move |_| !connection.with(ConnectionView::is_live));
    let main = NodeRef::<html::Main>::new();
    let skip = move |event: MouseEvent| {
        // The address `#main` is relative to the document's base, so following it would leave a
        // device's page.
        event.prevent_default();
        focus(main);
    };
    view! {
        <div class="shell" class:blind=blind class:past=move || state.wound().get().is_some()>
            <a class="skip-link" href="#main" on:click=skip>
                "Skip to the content"
            </a>
            <header class="shell-header">
                <div class="shell-bar">
                    <HomeLink />
                    <BackInTime />
                    <ConnectionStatus />
                </div>
                <ConnectionBanner />
                <CredentialsDialog />
            </header>
            <main id="main" class="shell-main" tabindex="-1" node_ref=main>
                {move || match route.get() {
                    Route::Fleet => view! { <FleetPage /> }.into_any(),
                    Route::Device(id) => {
                        view! { <Later part=&DEVICE view=move || Box::pin(device::page(id.clone())) /> }
                            .into_any()
                    }
                    Route::Unknown => view! { <NotFoundPage /> }.into_any(),
                }}
            </main>
            {move || {
                state
                    .time_bar()
                    .get()
                    .then(|| view! { <Later part=&WIND view=|| Box::pin(time_bar::bar()) /> })
            }}
        </div>
        <FocusOnNavigation main=main />
    }
}

/// The button that opens the time bar, where the server remembers what happened.
#[component]
fn BackInTime() -> impl IntoView {
    let state = AppState::expect();
    let bar = state.time_bar();
    // A link to a moment opens it.
    bar.set(parameter("at").is_some());
    let is_offered =
        move || bar.get() || (state.mode().get() == Mode::Follows && state.remembers().get());
    view! {
        <button
            type="button"
            class="button small push"
            data-testid="back-in-time"
            aria-label="Back in time"
            title="Back in time"
            hidden=move || !is_offered()
            aria-expanded=move || bar.get().to_string()
            on:click=move |_| bar.set(true)
        >
            {Icon::Clock.view()}
            <span class="wide-only">"Back in time"</span>
        </button>
    }
}

#[component]
fn HomeLink() -> impl IntoView {
    let click = follow(fleet_href);
    view! {
        <a class="brand" href=fleet_href aria-label="Beaconry, all devices" on:click=click>
            <Mark />
            <span>"Beaconry"</span>
        </a>
    }
}

/// When the route changes, the focus goes to the new content, as it would on a new page.
#[component]
fn FocusOnNavigation(main: NodeRef<html::Main>) -> impl IntoView {
    let route = Navigation::expect().route();
    Effect::new(move |before: Option<Route>| {
        let route = route.get();
        if before.is_some_and(|before| before != route) {
            focus(main);
        }
        route
    });
}

/// Moves the focus to the page's content, and scrolls nowhere.
fn focus(main: NodeRef<html::Main>) {
    if let Some(main) = main.get_untracked() {
        let options = web_sys::FocusOptions::new();
        options.set_prevent_scroll(true);
        // This fails only if the element is no longer in the document.
        let _ = main.focus_with_options(&options);
    }
}
