//! Buttons, free JSON, and the answers beside them.

use fleet::{Command, CommandRequest, CommandState, DeviceKey};
use leptos::prelude::*;

use super::DeviceSignal;
use super::arguments::ArgumentForm;
use super::confirm::{Asked, Confirm};
use super::json;
use crate::components::connection::sentence;
use crate::components::icon::Icon;
use crate::state::{AppState, CommandView, format, is_destructive};

/// Whether a command takes an argument that the device did not announce.
fn takes_unknown_argument(command: &CommandView) -> bool {
    command.name.starts_with("SET_") && command.arguments.is_empty()
}

/// The command box, for devices that take commands.
// Long because it is one piece of markup, after the closures that fill its places.
#[component]
pub fn CommandBox(
    /// The device's key.
    key: DeviceKey,
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let state = AppState::expect();
    let known = Memo::new(move |_| {
        device.with(|device| {
            device
                .as_ref()
                .map(|device| device.known_commands.clone())
                .unwrap_or_default()
        })
    });
    let takes = Memo::new(move |_| {
        device.with(|device| device.as_ref().is_some_and(|device| device.takes_commands))
    });
    let error = RwSignal::new(None::<String>);
    let draft = RwSignal::new(String::new());
    let open = RwSignal::new(false);
    let send = move |request: CommandRequest<'_>| {
        let sent = state.send(key, request);
        error.set(sent.as_ref().err().map(|why| sentence(why)));
        sent.is_ok()
    };
    let asked = RwSignal::new(None::<Asked>);
    let send_asked = move |command: Asked| match &command.json {
        Some(json) => send(CommandRequest::Json(json)),
        None => send(CommandRequest::Named(&command.name)),
    };
    // Sends a command, or asks first.
    let give = move |command: Asked, destructive: bool| {
        if destructive {
            asked.set(Some(command));
        } else {
            send_asked(command);
        }
    };
    let free = move |json: String| {
        let name = json::command_name(&json).unwrap_or_default();
        let known = known.with_untracked(|known| {
            let mut known = known.iter();
            known.any(|command| command.name == name && command.destructive)
        });
        let destructive = known || is_destructive(&name);
        let json = Some(json);
        give(Asked { name, json }, destructive);
    };
    let compose = move |name: String| {
        draft.set(json::command_template(&name));
        open.set(true);
    };
    let button = move |command: CommandView| {
        let shown = fleet::display::shorten(&command.name, 32);
        let id = format!("command-{}", command.name);
        let more = takes_unknown_argument(&command);
        let asks = command.destructive;
        let press = move |_| {
            let name = command.name.clone();
            if more {
                compose(name);
            } else {
                give(Asked { name, json: None }, asks);
            }
        };
        view! {
            <button
                type="button"
                class="button"
                data-testid=id
                aria-haspopup=asks.then_some("dialog")
                on:click=press
            >
                <bdi class="command-name">{shown}</bdi>
                {(more || asks).then_some("…")}
            </button>
        }
    };
    let form = move |(number, command): (usize, CommandView)| {
        let (name, asks) = (command.name.clone(), command.destructive);
        let name = StoredValue::new(name);
        let send = move |json: String| {
            let name = name.get_value();
            let json = Some(json);
            give(Asked { name, json }, asks);
        };
        view! { <ArgumentForm command=command number=number send=send /> }
    };
    // First what is pressed, then what is filled in.
    let plain = Memo::new(move |_| of_kind(&known.get(), false));
    let with_arguments = Memo::new(move |_| of_kind(&known.get(), true));
    let name = Memo::new(move |_| {
        let name = device.with(|device| device.as_ref().map(|device| device.card.name.clone()));
        name.unwrap_or_default()
    });
    view! {
        <section class="panel" aria-labelledby="commands-title" data-testid="commands">
            <div class="panel-head">
                <h2 id="commands-title">"Commands"</h2>
            </div>
            <div class="panel-body">
                {move || {
                    if takes.get() {
                        view! {
                            <div class="command-buttons">
                                {move || plain.get().into_iter().map(button).collect_view()}
                            </div>
                            <div
                                class="command-forms"
                                hidden=move || with_arguments.with(Vec::is_empty)
                            >
                                {move || with_arguments.get().into_iter().enumerate().map(form).collect_view()}
                            </div>
                            <p
                                class="field-error"
                                role="alert"
                                hidden=move || error.with(Option::is_none)
                            >
                                {move || error.get()}
                            </p>
                            <FreeCommand key=key draft=draft open=open send=free />
                            <Confirm
                                asked=asked
                                device=name
                                send=move |command| {
                                    send_asked(command);
                                }
                            />
                        }
                            .into_any()
                    } else {
                        view! {
                            <p class="quiet-note">
                                "This device speaks on topics that have no commands."
                            </p>
                        }
                            .into_any()
                    }
                }}
                <Answers key=key />
            </div>
        </section>
    }
}

/// The commands with arguments, or those without.
fn of_kind(known: &[CommandView], with_arguments: bool) -> Vec<CommandView> {
    let known = known.iter();
    known
        .filter(|command| command.arguments.is_empty() != with_arguments)
        .cloned()
        .collect()
}

/// Any command as JSON, checked while it is typed.
#[component]
fn FreeCommand<S>(
    key: DeviceKey,
    draft: RwSignal<String>,
    open: RwSignal<bool>,
    send: S,
) -> impl IntoView
where
    S: Fn(String) + Copy + Send + Sync + 'static,
{
    let state = AppState::expect();
    let empty = Memo::new(move |_| draft.with(|draft| draft.trim().is_empty()));
    let problem = Memo::new(move |_| {
        let draft = draft.read();
        let problem = state.command_problem(key, CommandRequest::Json(&draft));
        problem.filter(|_| !empty.get()).map(|why| sentence(&why))
    });
    let submit = move || {
        if problem.with_untracked(Option::is_none) && !empty.get_untracked() {
            send(draft.get_untracked());
        }
    };
    view! {
        <details
            class="command-free"
            prop:open=move || open.get()
            data-testid="command-free"
        >
            <summary on:click=move |event| {
                event.prevent_default();
                open.update(|open| *open = !*open);
                if draft.with_untracked(String::is_empty) {
                    draft.set(json::command_template("PING"));
                }
            }>{Icon::ChevronRight.view()} "Free command (JSON)"</summary>
            <form on:submit=move |event| {
                event.prevent_default();
                submit();
            }>
                <textarea
                    class="input"
                    aria-label="The command as a JSON object"
                    aria-invalid=move || problem.with(Option::is_some).to_string()
                    aria-describedby="command-problem"
                    autocapitalize="off"
                    autocomplete="off"
                    spellcheck="false"
                    data-testid="command-json"
                    prop:value=move || draft.get()
                    on:input=move |event| draft.set(event_target_value(&event))
                    on:keydown=move |event| {
                        if event.key() == "Enter" && (event.ctrl_key() || event.meta_key()) {
                            event.prevent_default();
                            submit();
                        }
                    }
                ></textarea>
                <div class="actions">
                    <button
                        type="submit"
                        class="button primary"
                        data-testid="command-send"
                        disabled=move || problem.with(Option::is_some) || empty.get()
                    >
                        "Send"
                        {Icon::Send.view()}
                    </button>
                    <p id="command-problem" class="field-error" aria-live="polite">
                        {move || problem.get()}
                    </p>
                </div>
            </form>
        </details>
    }
}

/// The commands, newest first, each with its outcome.
#[component]
fn Answers(key: DeviceKey) -> impl IntoView {
    let commands = AppState::expect().commands(key);
    let uuids = Memo::new(move |_| {
        commands.with(|commands| {
            let commands = commands.iter().flatten();
            commands
                .map(|command| command.uuid().to_owned())
                .collect::<Vec<_>>()
        })
    });
    let some = Memo::new(move |_| uuids.with(|uuids| !uuids.is_empty()));
    view! {
        <ol
            class="commands"
            hidden=move || !some.get()
            aria-label="Commands, newest first"
            aria-live="polite"
        >
            <For each=move || uuids.get() key=Clone::clone let:uuid>
                <Answer commands=commands uuid=uuid />
            </For>
        </ol>
    }
}

#[component]
fn Answer(commands: ReadSignal<Option<Vec<Command>>>, uuid: String) -> impl IntoView {
    let now = AppState::expect().now();
    let command = Memo::new(move |_| {
        commands.with(|commands| {
            let mut commands = commands.iter().flatten();
            commands.find(|command| command.uuid() == uuid).cloned()
        })
    });
    move || {
        let command = command.get()?;
        let created = command.created_at();
        let sent = move || format::ago(now.get().ms_since(created));
        let payload = json::shown_request(&command);
        let outcome = Outcome::of(command.state());
        Some(view! {
            <li
                class="command"
                data-testid="command"
                data-command=command.name().to_owned()
                data-outcome=outcome.word
            >
                {outcome.mark()}
                <span class="clip" title=command.payload().to_owned()>
                    <bdi class="command-name">{fleet::display::shorten(command.name(), 40)}</bdi>
                    {payload.map(|payload| view! { " " <bdi class="mono quiet-note">{payload}</bdi> })}
                    {(!command.is_ours()).then_some(view! { " " <span class="tag">"by others"</span> })}
                </span>
                <span class="sent">{sent}</span>
                <div class="answer" data-testid="command-answer">
                    <bdi class="text">{outcome.text}</bdi>
                    {outcome
                        .round_trip
                        .map(|round_trip| {
                            view! {
                                <span class="round-trip" data-testid="round-trip">
                                    {round_trip}
                                </span>
                            }
                        })}
                </div>
            </li>
        })
    }
}

/// The outcome of a command, in words.
struct Outcome {
    word: &'static str,
    text: String,
    round_trip: Option<String>,
}

impl Outcome {
    fn of(state: &CommandState) -> Self {
        let plain = |word, text: &str| Self {
            word,
            text: text.to_owned(),
            round_trip: None,
        };
        match state {
            CommandState::Queued => plain("pending", "Waiting for the connection"),
            CommandState::Sent => plain("pending", "Sent, waiting for the broker"),
            CommandState::Pending => plain("pending", "Waiting for the answer"),
            CommandState::Answered {
                after_ms,
                ok,
                result,
                ..
            } => Self {
                word: if *ok { "answered" } else { "failed" },
                text: json::shown_answer(result),
                round_trip: after_ms.map(|millis| format!("in {}", format::round_trip(millis))),
            },
            CommandState::TimedOut { .. } => plain("timed-out", "No answer in time"),
            CommandState::Failed { why, .. } => plain("failed", &sentence(why)),
        }
    }

    fn mark(&self) -> AnyView {
        match self.word {
            "pending" => view! { <span class="spinner" aria-hidden="true"></span> }.into_any(),
            "answered" => Icon::Check.view().into_any(),
            "timed-out" => Icon::Clock.view().into_any(),
            _ => Icon::Warning.view().into_any(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{ArgumentKind, ArgumentView};
    use fleet::Timestamp;

    #[test]
    fn an_answer_says_what_and_how_fast() {
        let outcome = Outcome::of(&CommandState::Answered {
            at: Timestamp(0),
            after_ms: Some(34),
            ok: true,
            result: "\"PONG\"".into(),
        });
        assert_eq!(
            (
                outcome.word,
                outcome.text.as_str(),
                outcome.round_trip.as_deref()
            ),
            ("answered", "PONG", Some("in 34 ms"))
        );
    }

    #[test]
    fn a_refusal_and_silence_are_not_success() {
        let refused = Outcome::of(&CommandState::Answered {
            at: Timestamp(0),
            after_ms: None,
            ok: false,
            result: "\"unknown command\"".into(),
        });
        assert_eq!(
            (refused.word, refused.text.as_str()),
            ("failed", "unknown command")
        );
        let silent = Outcome::of(&CommandState::TimedOut { at: Timestamp(0) });
        assert_eq!(silent.word, "timed-out");
    }

    #[test]
    fn a_command_with_an_unknown_argument_is_composed() {
        let command = |name: &str, arguments| CommandView {
            name: name.to_owned(),
            destructive: false,
            arguments,
        };
        assert!(takes_unknown_argument(&command("SET_TARGET", Vec::new())));
        assert!(!takes_unknown_argument(&command("PING", Vec::new())));
        let argument = ArgumentView {
            name: "target".to_owned(),
            kind: ArgumentKind::Number,
            unit: None,
            least: None,
            most: None,
            default: None,
        };
        let known = [
            command("SET_TARGET", vec![argument]),
            command("PING", Vec::new()),
        ];
        assert!(!takes_unknown_argument(&known[0]));
        assert_eq!(of_kind(&known, true), known[..1]);
        assert_eq!(of_kind(&known, false), known[1..]);
    }
}
