//! What the header says about the connection, and what to do about it.

use leptos::ev::{self, SubmitEvent};
use leptos::html;
use leptos::prelude::*;
use mqtt::ProtocolVersion;

use super::icon::Icon;
use crate::state::{AppState, ConnectionView, format};

/// The state in the header, with its details behind a click.
#[component]
pub fn ConnectionStatus() -> impl IntoView {
    let state = AppState::expect();
    let connection = state.connection();
    let rate = message_rate(state);
    let address = Memo::new(move |_| {
        connection.track();
        state.broker()
    });
    let host = move || address.with(|address| host(address).to_owned());
    let detail = move || {
        connection.with(|connection| match connection {
            ConnectionView::Live { version, .. } => format!("{} · {}", host(), protocol(*version)),
            ConnectionView::Connecting { .. } | ConnectionView::CredentialsNeeded { .. } => host(),
            ConnectionView::Reconnecting { in_seconds, .. } => format!("in {in_seconds} s"),
            ConnectionView::Stopped { .. } => String::new(),
        })
    };
    let live = Memo::new(move |_| connection.with(ConnectionView::is_live));
    view! {
        <div class="connection push" data-link=move || connection.with(link_word)>
            <button
                type="button"
                class="connection-button"
                popovertarget="connection-details"
                data-testid="connection-state"
                data-state=move || connection.with(link_word)
            >
                {move || connection.with(picture).view()}
                <span class="word">{move || connection.with(word)}</span>
                <span class="detail">{detail}</span>
                {move || {
                    live.get()
                        .then(|| {
                            view! {
                                <span class="rate" data-testid="message-rate">
                                    {move || format!("{}/s", rate.get())}
                                </span>
                            }
                        })
                }}
                {Icon::ChevronDown.view()}
            </button>
            <Details address=address rate=rate />
            <Announcement />
        </div>
    }
}

#[component]
fn Details(address: Memo<String>, rate: Memo<u64>) -> impl IntoView {
    let state = AppState::expect();
    let connection = state.connection();
    let version = move || {
        connection.with(|connection| match connection {
            ConnectionView::Live { version, .. } => protocol(*version),
            ConnectionView::Connecting { .. }
            | ConnectionView::Reconnecting { .. }
            | ConnectionView::CredentialsNeeded { .. }
            | ConnectionView::Stopped { .. } => "–",
        })
    };
    let notice = move || {
        connection.with(|connection| match connection {
            ConnectionView::Live { notice, .. } => notice.clone(),
            ConnectionView::Connecting { .. }
            | ConnectionView::Reconnecting { .. }
            | ConnectionView::CredentialsNeeded { .. }
            | ConnectionView::Stopped { .. } => None,
        })
    };
    let figures = move || {
        state.now().track();
        state.figures()
    };
    view! {
        <div id="connection-details" class="popover" popover="auto">
            <h2>"Connection"</h2>
            <dl class="facts-list">
                <dt>"State"</dt>
                <dd>{move || connection.with(word)}</dd>
                <dt>"Broker"</dt>
                <dd>
                    <bdi>{move || address.get()}</bdi>
                </dd>
                <dt>"Protocol"</dt>
                <dd>{version}</dd>
                <dt>"Messages"</dt>
                <dd>{move || format!("{} ({}/s)", figures().messages, rate.get())}</dd>
                <dt>"Replaced by newer ones"</dt>
                <dd data-testid="skipped">{move || figures().skipped.to_string()}</dd>
                <dt>"Devices"</dt>
                <dd>{move || figures().devices.to_string()}</dd>
                <dt>"Memory for readings"</dt>
                <dd>{move || format::bytes(figures().series_bytes)}</dd>
                <dt>"Memory for the rest"</dt>
                <dd>{move || format::bytes(figures().fleet_bytes)}</dd>
            </dl>
            {move || notice().map(|notice| view! { <p class="field-error">{notice}</p> })}
            <div class="actions">
                <button type="button" class="button" on:click=move |_| state.reconnect()>
                    "Check the connection"
                </button>
            </div>
        </div>
    }
}

/// Announces changes to screen readers, but not each second of a count-down.
#[component]
fn Announcement() -> impl IntoView {
    let connection = AppState::expect().connection();
    let text = Memo::new(move |_| {
        connection.with(|connection| match connection {
            ConnectionView::Live { notice: None, .. } => {
                "Connected: what is shown is live".to_owned()
            }
            ConnectionView::Live {
                notice: Some(notice),
                ..
            } => format!("Connected, but not everything is shown. {notice}"),
            ConnectionView::Connecting { .. } => "Connecting".to_owned(),
            ConnectionView::Reconnecting { why, .. } => {
                format!("Connection lost: {why}. Trying again by itself")
            }
            ConnectionView::CredentialsNeeded { .. } => {
                "The broker asks for a user name and a password".to_owned()
            }
            ConnectionView::Stopped { why, .. } => format!("Stopped: {why}"),
        })
    });
    view! {
        <p class="visually-hidden" aria-live="polite" data-testid="connection-announcement">
            {move || text.get()}
        </p>
    }
}

/// Under the header while something is wrong: what, why, and the button.
#[component]
pub fn ConnectionBanner() -> impl IntoView {
    let state = AppState::expect();
    let connection = state.connection();
    let network = network(state);
    // The banner stays the same element while its seconds count down.
    let banner = Memo::new(move |_| connection.with(|view| Banner::new(view, network.get())));
    let wait = move || {
        connection.with(|connection| match connection {
            ConnectionView::Reconnecting { in_seconds, .. } => {
                format!("Trying again in {in_seconds} s.")
            }
            ConnectionView::Connecting { .. }
            | ConnectionView::Live { .. }
            | ConnectionView::CredentialsNeeded { .. }
            | ConnectionView::Stopped { .. } => String::new(),
        })
    };
    move || {
        let banner = banner.get()?;
        let advice = banner
            .advice
            .clone()
            .map(|advice| view! { <br /><span class="quiet-note">{advice}</span> });
        Some(view! {
            <div class="banner" data-link=banner.link data-testid="connection-banner">
                <div class="banner-bar">
                    {banner.icon.view()}
                    <p>
                        <strong>{banner.title} " "</strong>
                        {sentence(&banner.why)} " " <span class="tabular" data-testid="countdown">
                            {wait}
                        </span> {advice}
                    </p>
                    {banner.retries.then(|| view! { <TryAgain small=true /> })}
                </div>
            </div>
        })
    }
}

/// What is wrong, for the banner under the header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Banner {
    /// Its colours: a word of the style sheet.
    link: &'static str,
    icon: Icon,
    title: &'static str,
    why: String,
    advice: Option<String>,
    /// Whether a button tries again.
    retries: bool,
}

impl Banner {
    /// The worst of what is wrong. `network`: the browser says that there is a network.
    fn new(connection: &ConnectionView, network: bool) -> Option<Self> {
        let down = |title, why: &str, advice: &Option<String>| Self {
            link: link_word(connection),
            icon: Icon::Unplugged,
            title,
            why: why.to_owned(),
            advice: advice.clone(),
            retries: true,
        };
        match connection {
            ConnectionView::Stopped { why, advice } => Some(down("Stopped.", why, advice)),
            ConnectionView::Reconnecting { why, advice, .. } => {
                Some(down("Not connected.", why, advice))
            }
            ConnectionView::Live { .. } | ConnectionView::Connecting { .. } if !network => {
                Some(Self {
                    link: "offline",
                    ..down(
                        "No network.",
                        "the browser says that it is offline. What is shown may be old",
                        &None,
                    )
                })
            }
            ConnectionView::Live {
                notice: Some(notice),
                ..
            } => Some(Self {
                link: "refused",
                icon: Icon::Warning,
                title: "Not everything is shown.",
                why: notice.clone(),
                advice: None,
                retries: false,
            }),
            ConnectionView::Live { notice: None, .. }
            | ConnectionView::Connecting { .. }
            | ConnectionView::CredentialsNeeded { .. } => None,
        }
    }
}

/// Whether the browser says that there is a network. When it goes, the connection is tested at once:
/// a broker on this computer is still there.
fn network(state: AppState) -> ReadSignal<bool> {
    let window = web_sys::window();
    let is_there = window.is_none_or(|window| window.navigator().on_line());
    let (network, set_network) = signal(is_there);
    let gone = window_event_listener(ev::offline, move |_| {
        set_network.set(false);
        state.reconnect();
    });
    let back = window_event_listener(ev::online, move |_| set_network.set(true));
    on_cleanup(move || {
        gone.remove();
        back.remove();
    });
    network
}

/// Tries at once. A connection that has stopped for good begins again with a reload of the page.
#[component]
pub fn TryAgain(
    /// Whether the button stands in a line of text.
    #[prop(optional)]
    small: bool,
) -> impl IntoView {
    let state = AppState::expect();
    let stopped = Memo::new(move |_| state.connection().with(|view| link_word(view) == "stopped"));
    let press = move |_| {
        if stopped.get_untracked() {
            if let Some(window) = web_sys::window() {
                // This fails only where scripts may not navigate.
                let _ = window.location().reload();
            }
        } else {
            state.reconnect();
        }
    };
    view! {
        <button
            type="button"
            class="button"
            class:small=small
            class:primary=!small
            data-testid=small.then_some("try-now")
            on:click=press
        >
            {move || if stopped.get() { "Reload the page" } else { "Try now" }}
        </button>
    }
}

/// Asks for user name and password when the broker wants them.
// Long because it is one form: what it reads, what it does, and its markup from top to bottom.
#[component]
pub fn CredentialsDialog() -> impl IntoView {
    let state = AppState::expect();
    let connection = state.connection();
    let dialog = NodeRef::<html::Dialog>::new();
    let user = NodeRef::<html::Input>::new();
    let password = NodeRef::<html::Input>::new();
    let error = RwSignal::new(None::<String>);
    let asked = Memo::new(move |_| {
        connection.with(|connection| match connection {
            ConnectionView::CredentialsNeeded { refused } => Some(*refused),
            ConnectionView::Connecting { .. }
            | ConnectionView::Live { .. }
            | ConnectionView::Reconnecting { .. }
            | ConnectionView::Stopped { .. } => None,
        })
    });
    let show = move || {
        if let Some(dialog) = dialog.get_untracked()
            && !dialog.open()
        {
            // This fails only if the dialog is shown already.
            let _ = dialog.show_modal();
        }
    };
    Effect::new(move |_| {
        dialog.track();
        match asked.get() {
            Some(refused) => {
                error.set(
                    refused.then(|| {
                        "The broker did not accept this user name and password.".to_owned()
                    }),
                );
                show();
                if refused && let Some(password) = password.get_untracked() {
                    // This fails only if the field is no longer in the document.
                    let _ = password.focus();
                }
            }
            None => {
                if let Some(dialog) = dialog.get_untracked() {
                    dialog.close();
                }
            }
        }
    });
    let submit = move |event: SubmitEvent| {
        event.prevent_default();
        let value = |field: NodeRef<html::Input>| {
            field
                .get_untracked()
                .map(|field| field.value())
                .unwrap_or_default()
        };
        match state.log_in(&value(user), &value(password)) {
            Ok(()) => {
                if let Some(password) = password.get_untracked() {
                    password.set_value("");
                }
            }
            Err(why) => error.set(Some(sentence(&why))),
        }
    };
    let cancel = move |_| {
        if let Some(dialog) = dialog.get_untracked() {
            dialog.close();
        }
    };
    view! {
        {move || {
            asked.get()
                .map(|_| {
                    view! {
                        <div class="banner" data-link="credentials">
                            <div class="banner-bar">
                                {Icon::Key.view()} <p>
                                    <strong>"Log in. "</strong>
                                    "The broker asks for a user name and a password."
                                </p>
                                <button type="button" class="button small" on:click=move |_| show()>
                                    "Log in"
                                </button>
                            </div>
                        </div>
                    }
                })
        }}
        <dialog
            node_ref=dialog
            class="dialog"
            aria-labelledby="credentials-title"
            data-testid="credentials"
        >
            <form on:submit=submit>
                <h2 id="credentials-title">"Log in to the broker"</h2>
                <p class="quiet-note wrap-anywhere">
                    <bdi>
                        {move || {
                            asked.track();
                            state.broker()
                        }}
                    </bdi> " asks who you are. What you type is kept until you leave this page."
                </p>
                <label class="field">
                    <span>"User name"</span>
                    <input
                        node_ref=user
                        class="input"
                        name="username"
                        autocomplete="username"
                        autocapitalize="off"
                        spellcheck="false"
                        required
                    />
                </label>
                <label class="field">
                    <span>"Password"</span>
                    <input
                        node_ref=password
                        class="input"
                        name="password"
                        type="password"
                        autocomplete="current-password"
                    />
                </label>
                <p class="field-error" role="alert" hidden=move || error.with(Option::is_none)>
                    {move || error.get()}
                </p>
                <div class="actions">
                    <button type="button" class="button" on:click=cancel>
                        "Not now"
                    </button>
                    <button type="submit" class="button primary">
                        "Log in"
                    </button>
                </div>
            </form>
        </dialog>
    }
}

/// Messages a second, over the last few seconds.
fn message_rate(state: AppState) -> Memo<u64> {
    let samples = StoredValue::new(std::collections::VecDeque::<(i64, u64)>::new());
    Memo::new(move |_| {
        let now = state.now().get().0;
        let count = state.figures().messages;
        samples
            .try_update_value(|samples| {
                samples.push_back((now, count));
                while samples.len() > RATE_SECONDS + 1 {
                    samples.pop_front();
                }
                per_second(samples.front().copied(), (now, count))
            })
            .unwrap_or(0)
    })
}

/// How many seconds the rate is an average of.
const RATE_SECONDS: usize = 4;

/// The rate between two measurements, each `(milliseconds, messages so far)`.
fn per_second(first: Option<(i64, u64)>, last: (i64, u64)) -> u64 {
    let Some((began, before)) = first else {
        return 0;
    };
    let millis = u64::try_from(last.0.saturating_sub(began)).unwrap_or(0);
    match last.1.saturating_sub(before).saturating_mul(1_000) {
        0 => 0,
        _ if millis == 0 => 0,
        scaled => (scaled + millis / 2) / millis,
    }
}

/// `ws://host:port/mqtt` as `host:port`.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or(rest)
}

const fn protocol(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::V3_1_1 => "MQTT 3.1.1",
        ProtocolVersion::V5 => "MQTT 5",
    }
}

const fn word(connection: &ConnectionView) -> &'static str {
    match connection {
        ConnectionView::Connecting { .. } => "Connecting",
        ConnectionView::Live { .. } => "Live",
        ConnectionView::Reconnecting { .. } => "Reconnecting",
        ConnectionView::CredentialsNeeded { .. } => "Log in",
        ConnectionView::Stopped { .. } => "Stopped",
    }
}

/// The word for this state in the style sheet and in tests.
const fn link_word(connection: &ConnectionView) -> &'static str {
    match connection {
        ConnectionView::Connecting { .. } => "connecting",
        ConnectionView::Live { .. } => "live",
        ConnectionView::Reconnecting { .. } => "reconnecting",
        ConnectionView::CredentialsNeeded { .. } => "credentials",
        ConnectionView::Stopped { .. } => "stopped",
    }
}

const fn picture(connection: &ConnectionView) -> Icon {
    match connection {
        ConnectionView::Connecting { .. } => Icon::Beacon,
        ConnectionView::Live { .. } => Icon::Disc,
        ConnectionView::Reconnecting { .. } => Icon::Unplugged,
        ConnectionView::CredentialsNeeded { .. } => Icon::Key,
        ConnectionView::Stopped { .. } => Icon::Crossed,
    }
}

/// The text as a sentence: it begins with a capital letter and ends with a full stop.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut sentence: String = match letters.next() {
        // An address keeps its first letter.
        Some(first) if !text.starts_with("ws") => first.to_uppercase().chain(letters).collect(),
        Some(_) | None => text.to_owned(),
    };
    if !sentence.ends_with(['.', '!', '?']) && !sentence.is_empty() {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_taken_over_the_seconds_that_passed() {
        assert_eq!(per_second(None, (1_000, 5)), 0);
        assert_eq!(per_second(Some((0, 0)), (4_000, 96)), 24);
        assert_eq!(per_second(Some((0, 0)), (4_000, 2)), 1);
        assert_eq!(per_second(Some((5, 3)), (5, 9)), 0);
    }

    #[test]
    fn an_address_is_shown_by_its_host() {
        assert_eq!(host("ws://127.0.0.1:8080/mqtt"), "127.0.0.1:8080");
        assert_eq!(host("wss://broker.example/"), "broker.example");
        assert_eq!(host(""), "");
    }

    fn live(notice: Option<&str>) -> ConnectionView {
        ConnectionView::Live {
            version: ProtocolVersion::V5,
            notice: notice.map(str::to_owned),
        }
    }

    #[test]
    fn a_network_that_is_gone_is_told_at_once() {
        let banner = Banner::new(&live(None), false).unwrap();
        assert_eq!((banner.link, banner.retries), ("offline", true));
        assert_eq!(Banner::new(&live(None), true), None);
        let waiting = ConnectionView::Reconnecting {
            in_seconds: 3,
            attempt: 1,
            why: "it broke".to_owned(),
            advice: None,
        };
        assert_eq!(Banner::new(&waiting, false).unwrap().why, "it broke");
    }

    #[test]
    fn a_refused_subscription_is_told_on_the_page() {
        let notice = "The broker refused the topics “#”. Name others: ?topics=";
        let banner = Banner::new(&live(Some(notice)), true).unwrap();
        assert_eq!((banner.why.as_str(), banner.retries), (notice, false));
    }

    #[test]
    fn reasons_become_sentences() {
        assert_eq!(
            sentence("the connection was closed"),
            "The connection was closed."
        );
        assert_eq!(
            sentence("ws://h/mqtt cannot be reached"),
            "ws://h/mqtt cannot be reached."
        );
        assert_eq!(sentence(""), "");
    }
}
