//! What is wrong with what the device sends.

use leptos::prelude::*;

use super::DeviceSignal;
use crate::components::connection::sentence;
use crate::components::icon::Icon;
use crate::state::{AppState, format};

/// One line for each kind of fault, with the beginning of a payload that had it. Nothing if there
/// is no fault.
#[component]
pub fn Faults(
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let now = AppState::expect().now();
    let faults = Memo::new(move |_| {
        device.with(|device| {
            device
                .as_ref()
                .map(|device| device.faults.clone())
                .unwrap_or_default()
        })
    });
    move || {
        let faults = faults.get();
        if faults.is_empty() {
            return None;
        }
        let lines = faults.into_iter().map(|fault| {
            let last_at = fault.last_at;
            let when = move || {
                let ago = format::ago(now.get().ms_since(last_at));
                match fault.count {
                    1 => ago,
                    count => format!("{count} times, {ago}"),
                }
            };
            view! {
                <li data-testid="fault">
                    <span>{sentence(&fault.text)}</span>
                    <code class="detail">
                        <bdi>{fault.excerpt}</bdi>
                    </code>
                    <span class="when">{when}</span>
                </li>
            }
        });
        Some(view! {
            <section class="panel faults" aria-labelledby="faults-title" data-testid="faults">
                <div class="panel-head">
                    {Icon::Warning.view()}
                    <h2 id="faults-title">"What this device sends has faults"</h2>
                </div>
                <ul>{lines.collect_view()}</ul>
            </section>
        })
    }
}
