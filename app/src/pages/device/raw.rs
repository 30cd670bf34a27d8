//! The device's messages as they came, also byte by byte.

use std::sync::Arc;

use bytes::Bytes;
use fleet::{DeviceKey, Timestamp};
use leptos::html;
use leptos::prelude::*;
use mqtt::QoS;

use super::{DeviceSignal, json};
use crate::components::copy::CopyButton;
use crate::components::icon::Icon;
use crate::state::{AppState, RawMessage, format};

/// How many messages are listed. The panel's head says how many came.
const LISTED: usize = 100;
/// Bytes that are shown as text or hexadecimal before the reader copies the rest.
const SHOWN: usize = 64 << 10;
/// Characters in the line that summarises a payload.
const PREVIEW: usize = 160;

/// The panel of raw messages.
#[component]
pub fn RawMessages(
    /// The device's key.
    key: DeviceKey,
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let total = Memo::new(move |_| {
        device.with(|device| device.as_ref().map_or(0, |device| device.message_count))
    });
    let messages = AppState::expect().messages(key);
    // While it is paused, this holds what was there.
    let paused = RwSignal::new(None::<Vec<Arc<RawMessage>>>);
    let listed = Memo::new(move |_| {
        let newest = |messages: &Vec<Arc<RawMessage>>| {
            messages.iter().take(LISTED).cloned().collect::<Vec<_>>()
        };
        paused.with(|paused| match paused {
            Some(held) => newest(held),
            None => messages.with(|messages| messages.as_ref().map(newest).unwrap_or_default()),
        })
    });
    let is_paused = Memo::new(move |_| paused.with(Option::is_some));
    let count = Memo::new(move |_| {
        messages.with(|messages| {
            let newest = messages.iter().flatten().next();
            newest.map_or(0, |message| message.number)
        })
    });
    let toggle = move |_| {
        paused.update(|paused| {
            *paused = match paused.take() {
                Some(_) => None,
                None => Some(messages.get_untracked().unwrap_or_default()),
            };
        });
    };
    let none = Memo::new(move |_| listed.with(Vec::is_empty));
    view! {
        <section class="panel" aria-labelledby="raw-title" data-testid="raw-messages">
            <div class="panel-head">
                <h2 id="raw-title">"Raw messages"</h2>
                <span class="quiet-note tabular">
                    {move || counted(count.get(), total.get())}
                </span>
                <div class="push">
                    <button
                        type="button"
                        class="button small"
                        aria-pressed=move || is_paused.get().to_string()
                        data-testid="raw-pause"
                        on:click=toggle
                    >
                        {move || if is_paused.get() { Icon::Play } else { Icon::Pause }.view()}
                        {move || if is_paused.get() { "Resume" } else { "Pause" }}
                    </button>
                </div>
            </div>
            <p class="panel-note" hidden=move || !none.get()>
                "Messages are listed from the moment this page is opened."
            </p>
            <div class="raw-list" hidden=move || none.get() tabindex="0" aria-label="Messages, newest first" role="region">
                <For each=move || listed.get() key=|message| message.number let:message>
                    <Message message=message />
                </For>
            </div>
        </section>
    }
}

/// How many messages are listed or were, of all that the page's head counts.
fn counted(since_opened: u64, total: u64) -> String {
    if since_opened >= total {
        return format!("all {since_opened} since you opened this page");
    }
    format!("{since_opened} of {total}: those since you opened this page")
}

#[component]
fn Message(message: Arc<RawMessage>) -> impl IntoView {
    let details = NodeRef::<html::Details>::new();
    let open = RwSignal::new(false);
    let body = Arc::clone(&message);
    let preview = preview(&message.payload);
    view! {
        <details
            class="raw"
            data-testid="raw-message"
            node_ref=details
            on:toggle=move |_| {
                open.set(details.get_untracked().is_some_and(|details| details.open()));
            }
        >
            <summary>
                <time class="time mono">{clock(message.at)}</time>
                <span class="topic clip" title=message.topic.clone()>
                    <bdi>{fleet::display::shorten(&message.topic, 120)}</bdi>
                </span>
                <span class="preview clip">
                    <bdi>{preview}</bdi>
                </span>
                <span class="tags">
                    {message.retained.then_some(view! { <span class="tag">"retained"</span> })}
                    <span class="tag">{qos(message.qos)}</span>
                    <span class="tag tabular">{format::bytes(message.length)}</span>
                </span>
            </summary>
            // The body is made when the message is opened, because most never are.
            {move || open.get().then(|| view! { <Body message=Arc::clone(&body) /> })}
        </details>
    }
}

/// How a payload is shown.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Hex,
}

impl Form {
    const fn word(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Text => "Text",
            Self::Hex => "Hex",
        }
    }
}

#[component]
fn Body(message: Arc<RawMessage>) -> impl IntoView {
    let text = std::str::from_utf8(&message.payload)
        .ok()
        .map(str::to_owned);
    let pretty = text
        .as_deref()
        .filter(|text| text.len() <= SHOWN)
        .and_then(json::pretty);
    let mut forms = Vec::new();
    if pretty.is_some() {
        forms.push(Form::Json);
    }
    if text.is_some() {
        forms.push(Form::Text);
    }
    forms.push(Form::Hex);
    let form = RwSignal::new(forms[0]);
    let options = forms.into_iter().map(|one| {
        view! {
            <button
                type="button"
                aria-pressed=move || (form.get() == one).to_string()
                on:click=move |_| form.set(one)
            >
                {one.word()}
            </button>
        }
    });
    let copied = Arc::clone(&message);
    let copy = move || match std::str::from_utf8(&copied.payload) {
        Ok(text) => text.to_owned(),
        Err(_) => hex(&copied.payload, usize::MAX),
    };
    let payload = message.payload.clone();
    let shown = Memo::new(move |_| match form.get() {
        Form::Json => visible(pretty.as_deref().unwrap_or_default()),
        Form::Text => visible(text.as_deref().unwrap_or_default()),
        Form::Hex => hex(&payload, SHOWN),
    });
    let cut = message.payload.len().min(SHOWN) < message.length;
    view! {
        <div class="raw-body">
            <div class="actions">
                <div class="segmented small" role="group" aria-label="Show the payload as">
                    {options.collect_view()}
                </div>
                <CopyButton what="the payload" text=copy />
                <span class="quiet-note wrap-anywhere">
                    <bdi>{fleet::display::shorten(&message.topic, 400)}</bdi>
                </span>
            </div>
            <pre class="payload" class:hex=move || form.get() == Form::Hex tabindex="0">
                <code>{move || shown.get()}</code>
            </pre>
            {cut
                .then(|| {
                    view! {
                        <p class="quiet-note">
                            {format!(
                                "The beginning of {} is shown.",
                                format::bytes(message.length),
                            )}
                        </p>
                    }
                })}
            <Properties message=Arc::clone(&message) />
        </div>
    }
}

/// The MQTT 5 properties.
#[component]
fn Properties(message: Arc<RawMessage>) -> impl IntoView {
    let mut rows: Vec<(String, String)> = Vec::new();
    if let Some(content_type) = &message.content_type {
        rows.push(("Content type".to_owned(), content_type.clone()));
    }
    if let Some(topic) = &message.response_topic {
        rows.push(("Response topic".to_owned(), topic.clone()));
    }
    rows.extend(message.user_properties.iter().cloned());
    (!rows.is_empty()).then(|| {
        let rows = rows.into_iter().map(|(name, value)| {
            view! {
                <dt>
                    <bdi>{fleet::display::shorten(&name, 60)}</bdi>
                </dt>
                <dd>
                    <bdi>{fleet::display::shorten(&value, 400)}</bdi>
                </dd>
            }
        });
        view! { <dl class="facts-list raw-properties">{rows.collect_view()}</dl> }
    })
}

/// One line that summarises the payload.
fn preview(payload: &Bytes) -> String {
    if payload.is_empty() {
        return "(empty)".to_owned();
    }
    let head = &payload[..payload.len().min(PREVIEW * 4)];
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The preview was cut in the middle of a character, so the payload may still be valid text.
        Err(error) if error.valid_up_to() > 0 && head.len() < payload.len() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return hex_line(&payload[..payload.len().min(24)]),
    };
    fleet::display::shorten(text.trim(), PREVIEW)
}

/// Text with its control characters made visible; lines stay lines.
fn visible(text: &str) -> String {
    let end = (0..=SHOWN.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    let lines = text[..end].split('\n');
    let shown: Vec<String> = lines
        .map(|line| fleet::display::shorten(line.trim_end_matches('\r'), SHOWN))
        .collect();
    shown.join("\n")
}

/// Sixteen bytes a line: offset, hexadecimal, ASCII.
fn hex(payload: &[u8], most: usize) -> String {
    use std::fmt::Write as _;
    let mut out = String::new();
    let shown = &payload[..payload.len().min(most)];
    for (index, line) in shown.chunks(16).enumerate() {
        let ascii: String = line
            .iter()
            .map(|byte| {
                if byte.is_ascii_graphic() || *byte == b' ' {
                    char::from(*byte)
                } else {
                    '·'
                }
            })
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:08x}  {:<47}  {ascii}", index * 16, hex_line(line));
    }
    out
}

fn hex_line(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

const fn qos(qos: QoS) -> &'static str {
    match qos {
        QoS::AtMostOnce => "QoS 0",
        QoS::AtLeastOnce => "QoS 1",
        QoS::ExactlyOnce => "QoS 2",
    }
}

/// `14:03:27.125`, by the reader's clock.
fn clock(at: Timestamp) -> String {
    #[allow(clippy::cast_precision_loss)] // Exact for the next 285,000 years.
    let date = js_sys::Date::new(&(at.0 as f64).into());
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        date.get_hours(),
        date.get_minutes(),
        date.get_seconds(),
        date.get_milliseconds()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_explains_why_it_is_less_than_the_heads() {
        assert_eq!(counted(1, 7), "1 of 7: those since you opened this page");
        assert_eq!(counted(7, 7), "all 7 since you opened this page");
    }

    #[test]
    fn bytes_are_shown_as_they_are() {
        let dump = hex(b"MQTT\x00\xff and more than one line", usize::MAX);
        let mut lines = dump.lines();
        assert_eq!(
            lines.next(),
            Some("00000000  4d 51 54 54 00 ff 20 61 6e 64 20 6d 6f 72 65 20  MQTT·· and more ")
        );
        assert!(
            lines
                .next()
                .is_some_and(|line| line.starts_with("00000010  74 68 61 6e"))
        );
    }

    #[test]
    fn a_preview_is_one_line_of_text_or_of_bytes() {
        assert_eq!(preview(&Bytes::from_static(b"{\"a\":\n1}")), "{\"a\":␊1}");
        assert_eq!(preview(&Bytes::from_static(b"\xff\x00")), "ff 00");
        assert_eq!(preview(&Bytes::new()), "(empty)");
        let long = Bytes::from("é".repeat(10_000));
        assert!(preview(&long).chars().count() <= PREVIEW);
    }

    #[test]
    fn text_keeps_its_lines_and_shows_what_would_hide() {
        assert_eq!(visible("a\r\nb\u{202e}c"), "a\nb‹202e›c");
        assert!(visible(&"é".repeat(SHOWN)).len() <= SHOWN);
    }
}
