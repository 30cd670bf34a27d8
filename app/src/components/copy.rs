//! The button that copies.

use std::time::Duration;

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{HtmlDocument, HtmlTextAreaElement};

use super::icon::Icon;

/// How far a copy has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Idle,
    Copied,
    /// The browser did not allow it. Browsers allow it only on secure pages and after a click.
    Refused,
}

/// How long the outcome is shown.
const SHOWN: Duration = Duration::from_millis(1_600);

/// Copies a text, and says whether that worked.
#[component]
pub fn CopyButton(
    /// The text, asked for when the button is pressed.
    text: impl Fn() -> String + 'static,
    /// What is copied, for those who do not see the button: `the device's id`.
    what: &'static str,
) -> impl IntoView {
    let outcome = RwSignal::new(Outcome::Idle);
    let copy = move |_| {
        let text = text();
        spawn_local(async move {
            let copied = write(&text).await;
            outcome.set(if copied {
                Outcome::Copied
            } else {
                Outcome::Refused
            });
            let reset = move || {
                // The button may be gone by then: there is nothing to reset.
                let _ = outcome.try_set(Outcome::Idle);
            };
            set_timeout(reset, SHOWN);
        });
    };
    let label = move || match outcome.get() {
        Outcome::Idle => format!("Copy {what}"),
        Outcome::Copied => "Copied".to_owned(),
        Outcome::Refused => "The browser did not allow copying".to_owned(),
    };
    view! {
        <button
            type="button"
            class="button quiet small square"
            title=label
            aria-label=label
            data-testid="copy"
            on:click=copy
        >
            {move || match outcome.get() {
                Outcome::Idle => Icon::Copy,
                Outcome::Copied => Icon::Check,
                Outcome::Refused => Icon::Warning,
            }
                .view()}
        </button>
    }
}

async fn write(text: &str) -> bool {
    let Some(window) = web_sys::window() else {
        return false;
    };
    // The clipboard is missing on pages that are not secure, and reading it must not throw there.
    let navigator = window.navigator();
    let clipboard = js_sys::Reflect::get(&navigator, &"clipboard".into());
    if clipboard.is_ok_and(|clipboard| clipboard.is_object()) {
        return JsFuture::from(navigator.clipboard().write_text(text))
            .await
            .is_ok();
    }
    write_by_selection(text).unwrap_or(false)
}

/// On pages without TLS only the old way works: select and copy.
fn write_by_selection(text: &str) -> Option<bool> {
    let document = web_sys::window()?.document()?;
    let field: HtmlTextAreaElement = document.create_element("textarea").ok()?.dyn_into().ok()?;
    field.set_class_name("visually-hidden");
    field.set_value(text);
    document.body()?.append_child(&field).ok()?;
    field.select();
    let document: HtmlDocument = document.dyn_into().ok()?;
    let copied = document.exec_command("copy").unwrap_or(false);
    field.remove();
    Some(copied)
}
