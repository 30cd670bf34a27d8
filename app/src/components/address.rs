//! Keeps the page's address in step with what the reader asked for.

use gloo_events::EventListener;
use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::UrlSearchParams;

use crate::route::{Navigation, Route};
use crate::state::{AppState, asked::Asked};

/// Shows what the address asks for, now and whenever the browser goes back or forth, and writes
/// what the reader asks for into the address. Call this once for each page.
pub fn keep_address() {
    let state = AppState::expect();
    let route = Navigation::expect().route();
    let has_charts = move || route.with_untracked(has_charts);
    adopt(state, has_charts());
    let back_or_forth = web_sys::window()
        .map(|window| EventListener::new(&window, "popstate", move |_| adopt(state, has_charts())));
    let back_or_forth = StoredValue::new_local(back_or_forth);
    on_cleanup(move || back_or_forth.dispose());
    Effect::new(move |_| {
        // A link of another page may have an older query.
        let window = route.with(self::has_charts).then(|| state.window.get());
        state.query.with(|query| write(query, window));
    });
}

fn has_charts(route: &Route) -> bool {
    matches!(route, Route::Device(_))
}

fn adopt(state: AppState, has_charts: bool) {
    let parameters = parameters();
    let asked = Asked::read(|name| parameters.as_ref().and_then(|all| all.get(name)));
    let (mut query, mut window) = (state.query.get_untracked(), state.window.get_untracked());
    if asked.apply(&mut query, &mut window, has_charts) {
        state.query.set(query);
        state.window.set(window);
    }
}

fn write(query: &crate::state::Query, window: Option<crate::state::ChartWindow>) {
    let asked = Asked::parameters(query, window);
    set(&asked
        .each_ref()
        .map(|(name, value)| (*name, value.as_deref())));
}

/// A parameter of the address.
pub fn parameter(name: &str) -> Option<String> {
    parameters()?.get(name)
}

/// Writes a parameter into the address, or takes it away.
pub fn set_parameter(name: &str, value: Option<&str>) {
    set(&[(name, value)]);
}

fn set(wanted: &[(&str, Option<&str>)]) {
    let Some(all) = parameters() else {
        return;
    };
    let before = String::from(all.to_string());
    for (name, value) in wanted {
        match value {
            Some(value) => all.set(name, value),
            None => all.delete(name),
        }
    }
    let after = String::from(all.to_string());
    if before == after {
        return;
    }
    let Some(page) = web_sys::window() else {
        return;
    };
    let path = page.location().pathname().unwrap_or_default();
    let hash = page.location().hash().unwrap_or_default();
    let address = if after.is_empty() {
        format!("{path}{hash}")
    } else {
        format!("{path}?{after}{hash}")
    };
    if let Ok(history) = page.history() {
        // Browsers refuse this when it comes too often, and in frames without an origin. The page
        // works without it.
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(&address));
    }
}

fn parameters() -> Option<UrlSearchParams> {
    let search = web_sys::window()?.location().search().ok()?;
    UrlSearchParams::new_with_str(&search).ok()
}
