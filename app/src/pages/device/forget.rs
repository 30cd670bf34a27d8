//! Hides a device, and forgets it after the user has confirmed that.

use fleet::{DeviceKey, PresenceKind};
use leptos::html;
use leptos::prelude::*;

use super::DeviceSignal;
use crate::components::device_link::fleet_href;
use crate::route::Navigation;
use crate::state::{AppState, Mode};

/// The buttons, and the dialog that asks. The browser keeps the focus in the dialog, closes it at
/// Escape, and gives the focus back to the button.
// Long because it is one piece of markup: the button and the dialog that it opens.
#[component]
pub fn Forget(
    /// The device's key.
    key: DeviceKey,
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let state = AppState::expect();
    let navigation = Navigation::expect();
    let dialog = NodeRef::<html::Dialog>::new();
    let read = move |read: fn(&crate::state::CardView) -> String| {
        Memo::new(move |_| {
            device.with(|device| {
                let device = device.as_ref();
                device.map(|device| read(&device.card)).unwrap_or_default()
            })
        })
    };
    let name = read(|card| card.name.clone());
    let soon = read(|card| match card.presence.kind() {
        PresenceKind::Online => " It is online now, so that may be soon.".to_owned(),
        PresenceKind::Sleeping => " It sleeps, so that will be when it wakes.".to_owned(),
        PresenceKind::Stale | PresenceKind::Offline | PresenceKind::Unknown => String::new(),
    });
    let mode = state.mode();
    let ask = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            // This fails only if the dialog is shown already.
            let _ = dialog.show_modal();
        }
    };
    let close = move || {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    let forget = move |_| {
        close();
        navigation.go(&fleet_href());
        state.forget(key);
    };
    let hidden = Memo::new(move |_| {
        device.with(|device| device.as_ref().is_some_and(|device| device.card.hidden))
    });
    view! {
        <div class="device-actions">
        <button
            type="button"
            class="button small"
            title="Leave it out of the fleet's list and counts, until somebody shows it again"
            data-testid="hide"
            disabled=move || state.wound().get().is_some()
            on:click=move |_| state.hide(key, !hidden.get_untracked())
        >
            {move || if hidden.get() { "Show again" } else { "Hide" }}
        </button>
        <button
            type="button"
            class="button small"
            aria-haspopup="dialog"
            data-testid="forget"
            disabled=move || state.wound().get().is_some()
            on:click=ask
        >
            "Forget"
        </button>
        </div>
        <dialog
            node_ref=dialog
            class="dialog"
            aria-labelledby="forget-title"
            aria-describedby="forget-text forget-note"
            data-testid="forget-dialog"
        >
            <h2 id="forget-title" class="wrap-anywhere">
                "Forget " <bdi>{name}</bdi> "?"
            </h2>
            <p id="forget-text">
                "Its readings, history and commands go. It comes back when it sends a message."
                {soon}
            </p>
            <p id="forget-note" class="quiet-note">
                {move || note(mode.get())}
            </p>
            <div class="actions">
                <button type="button" class="button" on:click=move |_| close()>
                    "Cancel"
                </button>
                <button
                    type="button"
                    class="button danger"
                    data-testid="forget-confirm"
                    on:click=forget
                >
                    "Forget"
                </button>
            </div>
        </dialog>
    }
}

/// Who forgets the device, and what the messages do that the broker has retained of it.
const fn note(mode: Mode) -> &'static str {
    match mode {
        Mode::Follows => {
            "The server forgets it for everybody. What the broker has retained of it does not bring it back."
        }
        Mode::Deciding | Mode::Alone => {
            "Only this page forgets it. When you reload the page, what the broker has retained of it brings it back."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reload_is_spoken_of_only_where_it_changes_something() {
        assert!(!note(Mode::Follows).contains("reload"));
        assert!(note(Mode::Alone).contains("reload"));
    }
}
