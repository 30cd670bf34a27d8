//! Asks before a command that destroys or interrupts something.

use leptos::html;
use leptos::prelude::*;

/// A command that waits for the reader's confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The command's name.
    pub name: String,
    /// The whole command as JSON, if it is more than its name.
    pub json: Option<String>,
}

/// The dialog. It is open while `asked` holds a command; `send` gets a confirmed one.
#[component]
pub fn Confirm<S>(
    /// What is asked about.
    asked: RwSignal<Option<Asked>>,
    /// The device's name.
    #[prop(into)]
    device: Signal<String>,
    /// Sends it.
    send: S,
) -> impl IntoView
where
    S: Fn(Asked) + Copy + 'static,
{
    let dialog = NodeRef::<html::Dialog>::new();
    Effect::new(move |_| {
        let open = asked.with(Option::is_some);
        if let Some(dialog) = dialog.get()
            && dialog.open() != open
        {
            if open {
                // This fails only if the dialog is shown already.
                let _ = dialog.show_modal();
            } else {
                dialog.close();
            }
        }
    });
    let name = Memo::new(move |_| {
        let name = asked.with(|asked| asked.as_ref().map(|asked| asked.name.clone()));
        name.map(|name| fleet::display::shorten(&name, 40))
            .unwrap_or_default()
    });
    let confirm = move |_| {
        let command = asked.get_untracked();
        asked.set(None);
        if let Some(command) = command {
            send(command);
        }
    };
    view! {
        <dialog
            node_ref=dialog
            class="dialog"
            aria-labelledby="confirm-title"
            aria-describedby="confirm-text"
            data-testid="confirm-dialog"
            // Escape closes it too.
            on:close=move |_| asked.set(None)
        >
            <h2 id="confirm-title" class="wrap-anywhere">
                "Send " <bdi class="command-name">{name}</bdi> " to " <bdi>{device}</bdi> "?"
            </h2>
            <p id="confirm-text">
                "This command interrupts the device or destroys something. Nobody can take it back."
            </p>
            <div class="actions">
                <button type="button" class="button" on:click=move |_| asked.set(None)>
                    "Cancel"
                </button>
                <button
                    type="button"
                    class="button danger"
                    data-testid="confirm-send"
                    on:click=confirm
                >
                    "Send "
                    <bdi class="command-name">{name}</bdi>
                </button>
            </div>
        </dialog>
    }
}
