//! The shell round the pages, and the routes.

use leptos::html;
use leptos::prelude::*;
use leptos_router::components::{Route, Router, Routes};
use leptos_router::hooks::use_location;
use leptos_router::path;

use crate::components::connection::{ConnectionBanner, ConnectionStatus, CredentialsDialog};
use crate::components::device_link::{fleet_href, follow};
use crate::components::icon::Mark;
use crate::pages::device::DevicePage;
use crate::pages::fleet::FleetPage;
use crate::pages::not_found::NotFoundPage;
use crate::state::{AppState, ConnectionView};

/// The whole page.
#[component]
pub fn App() -> impl IntoView {
    let state = AppState::provide();
    let connection = state.connection();
    // What was heard before stays on screen, but nothing of it is claimed to hold now.
    let blind = Memo::new(move |_| !connection.with(ConnectionView::is_live));
    let main = NodeRef::<html::Main>::new();
    view! {
        <Router>
            <div class="shell" class:blind=blind>
                <a class="skip-link" href="#main" rel="external">
                    "Skip to the content"
                </a>
                <header class="shell-header">
                    <div class="shell-bar">
                        <HomeLink />
                        <ConnectionStatus />
                    </div>
                    <ConnectionBanner />
                    <CredentialsDialog />
                </header>
                <main id="main" class="shell-main" tabindex="-1" node_ref=main>
                    <FocusOnNavigation main=main />
                    <Routes fallback=|| view! { <NotFoundPage /> }>
                        <Route path=path!("/") view=FleetPage />
                        <Route path=path!("/device/:id") view=DevicePage />
                    </Routes>
                </main>
            </div>
        </Router>
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

/// On another route the focus goes to its content, as it would on another page.
#[component]
fn FocusOnNavigation(main: NodeRef<html::Main>) -> impl IntoView {
    let path = use_location().pathname;
    Effect::new(move |before: Option<String>| {
        let path = path.get();
        if before.is_some_and(|before| before != path)
            && let Some(main) = main.get_untracked()
        {
            let options = web_sys::FocusOptions::new();
            options.set_prevent_scroll(true);
            // Fails only when it is not in the document any more.
            let _ = main.focus_with_options(&options);
        }
        path
    });
}

/// What the browser's tab says.
pub fn set_title(title: &str) {
    if let Some(document) = web_sys::window().and_then(|window| window.document()) {
        document.set_title(title);
    }
}
