//! Asks before a command that destroys or interrupts something.

use leptos::html;
use leptos::prelude::*;

use super::json;

/// A command, before it is sent. It may have to wait for the reader's confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The command's name.
    pub name: String,
    /// The whole command as JSON, if it is more than its name.
    pub json: Option<String>,
}

impl Asked {
    /// What the device gets. JSON that the reader wrote stands there as it was written.
    fn shown_json(&self) -> String {
        let json = self.json.clone();
        json.unwrap_or_else(|| json::command(&self.name, &[]))
    }
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
    let sent = Memo::new(move |_| {
        asked.with(|asked| asked.as_ref().map(Asked::shown_json).unwrap_or_default())
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
            aria-describedby="confirm-text confirm-json"
            data-testid="confirm-dialog"
            // Escape closes it too.
            on:close=move |_| asked.set(None)
        >
            <h2 id="confirm-title" class="wrap-anywhere">
                "Send " <bdi class="command-name">{name}</bdi> " to " <bdi>{device}</bdi> "?"
            </h2>
            <p id="confirm-text">
                "This command interrupts the device or destroys something. Nobody can take it back. The device gets this, and an id for its answer:"
            </p>
            <pre id="confirm-json" class="payload" data-testid="confirm-json">
                {move || sent.get()}
            </pre>
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_about_is_shown_as_it_will_be_sent() {
        let asked = |json: Option<&str>| Asked {
            name: "RESET \"all\"".to_owned(),
            json: json.map(str::to_owned),
        };
        assert_eq!(asked(None).shown_json(), r#"{"command":"RESET \"all\""}"#);
        let written = r#"{ "command": "PING", "command": "RESET" }"#;
        assert_eq!(asked(Some(written)).shown_json(), written);
    }
}
