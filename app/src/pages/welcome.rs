//! The fleet's page without a device: loading, not connected, or how to send a first message.

use fleet::Timestamp;
use leptos::prelude::*;
use leptos::task::spawn_local;
use link::PageAddress;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;

use crate::components::connection::{TryAgain, sentence};
use crate::components::copy::CopyButton;
use crate::components::icon::Icon;
use crate::components::later::Skeleton;
use crate::state::{AppState, ConnectionView, Mode};

/// How long the retained messages of a broker that is not ours may take to arrive, in milliseconds.
const PATIENCE_MS: i64 = 1_500;

/// What a place without devices says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// More may come at once.
    Loading,
    /// There is no connection, for this reason.
    Disconnected(String),
    /// What there is has come.
    Settled,
}

impl Absence {
    /// What holds now. `believed_since`: since when the page is connected and knows whom to believe.
    fn new(
        connection: &ConnectionView,
        mode: Mode,
        believed_since: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        match connection {
            ConnectionView::Reconnecting { why, .. } | ConnectionView::Stopped { why, .. } => {
                Self::Disconnected(why.clone())
            }
            ConnectionView::CredentialsNeeded { .. } => {
                Self::Disconnected("the broker asks for a user name and a password".to_owned())
            }
            ConnectionView::Connecting { .. } => Self::Loading,
            ConnectionView::Live { .. } => match (mode, believed_since) {
                (Mode::Follows, _) => Self::Settled,
                (Mode::Alone, Some(since)) if now.ms_since(since) >= PATIENCE_MS => Self::Settled,
                (Mode::Alone | Mode::Deciding, _) => Self::Loading,
            },
        }
    }

    /// What holds, as it changes.
    pub(super) fn watch() -> Memo<Self> {
        let state = AppState::expect();
        let (connection, mode) = (state.connection(), state.mode());
        let believed_since = Memo::new(move |before: Option<&Option<Timestamp>>| {
            let believed = connection.with(ConnectionView::is_live) && mode.get() != Mode::Deciding;
            let before = before.copied().flatten();
            believed.then(|| before.unwrap_or_else(|| state.wall_ms()))
        });
        Memo::new(move |_| {
            let (since, now) = (believed_since.get(), state.now().get());
            connection.with(|connection| Self::new(connection, mode.get(), since, now))
        })
    }
}

/// What stands here before the first device: loading, not connected, or no devices.
#[component]
pub fn NoDevices() -> impl IntoView {
    let absence = Absence::watch();
    move || match absence.get() {
        Absence::Disconnected(why) => view! {
            <section class="empty" data-testid="disconnected">
                {Icon::Unplugged.view()}
                <h2>"Not connected to the broker"</h2>
                <p class="wrap-anywhere">{sentence(&why)}</p>
                <p>"Devices appear here as soon as the connection is there."</p>
                <TryAgain />
            </section>
        }
        .into_any(),
        Absence::Settled => view! { <Welcome /> }.into_any(),
        Absence::Loading => view! { <Skeleton label="Waiting for devices" /> }.into_any(),
    }
}

/// No device yet: how to send a first message.
#[component]
fn Welcome() -> impl IntoView {
    let host = web_sys::window()
        .and_then(|window| window.location().hostname().ok())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "localhost".to_owned());
    let broker = AppState::expect().broker();
    // If the broker is elsewhere (`?broker=`), the message must go there.
    let host = link_host(&broker).unwrap_or(host);
    let port = mqtt_port(&broker);
    let recipe = move || {
        let known = port.get();
        let port = known.unwrap_or(USUAL_PORT);
        let sign_in = format!(
            "mosquitto_pub -h {host} -p {port} -q 2 -r \\\n  -t beaconry/register/my-device -m SIGN_IN"
        );
        let data = format!(
            "mosquitto_pub -h {host} -p {port} -t beaconry/data/my-device \\\n  -m '{{\"temperature\":23.6,\"humidity\":48}}'"
        );
        let snippet = |text: String, what: &'static str| {
            let copied = text.clone();
            view! {
                <div class="snippet">
                    <pre>
                        <code>{text}</code>
                    </pre>
                    <CopyButton what=what text=move || copied.clone() />
                </div>
            }
        };
        let note = match known {
            Some(port) => format!(
                "{port} is the server's own port. A proxy or a container may show another one to the outside."
            ),
            None => {
                format!("{USUAL_PORT} is the usual port; the broker prints its own when it starts.")
            }
        };
        view! {
            <div class="recipe">
                <p class="label">"A device says that it is there"</p>
                {snippet(sign_in, "the command")}
                <p class="label">"and what it measures"</p>
                {snippet(data, "the command")}
                <p class="quiet-note">{note}</p>
            </div>
        }
    };
    view! {
        <section class="empty" data-testid="no-devices">
            {Icon::Beacon.view()}
            <h2>"Connected, and no device yet"</h2>
            <p>
                "Whatever publishes to this broker appears here at once, without any set-up. Try it from a terminal:"
            </p>
            {recipe}
        </section>
    }
}

/// The host of a WebSocket address, without its port.
fn link_host(address: &str) -> Option<String> {
    let (_, rest) = address.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = match authority.rsplit_once(':') {
        // An IPv6 address ends in its bracket.
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| host.to_owned())
}

/// The port that a broker has if nobody says otherwise.
const USUAL_PORT: u16 = 1883;

/// The port for devices, if the broker is the one that this page came from, once it has said so.
fn mqtt_port(broker: &str) -> RwSignal<Option<u16>> {
    let port = RwSignal::new(None);
    let own = PageAddress::current().broker_url(None);
    if own.is_ok_and(|own| own.as_str() == broker) {
        spawn_local(async move {
            // Without an answer the recipe names the usual port.
            let asked = ask_server().await;
            // The page may have gone on to another one.
            let _ = port.try_set(asked.map(|server| server.mqtt.port));
        });
    }
    port
}

async fn ask_server() -> Option<api::ServerInfo> {
    let window = web_sys::window()?;
    let response = JsFuture::from(window.fetch_with_str("api/v1/server"))
        .await
        .ok()?;
    let response: web_sys::Response = response.dyn_into().ok()?;
    let text = JsFuture::from(response.text().ok()?).await.ok()?;
    serde_json::from_slice(text.as_string()?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mqtt::ProtocolVersion;

    #[test]
    fn nothing_is_said_to_be_missing_before_it_could_have_come() {
        let live = ConnectionView::Live {
            version: ProtocolVersion::V5,
            notice: None,
        };
        let at = |millis| Absence::new(&live, Mode::Alone, Some(Timestamp(0)), Timestamp(millis));
        assert_eq!(at(PATIENCE_MS - 1), Absence::Loading);
        assert_eq!(at(PATIENCE_MS), Absence::Settled);
        let long = Timestamp(60_000);
        let asked = |mode, since| Absence::new(&live, mode, since, long);
        assert_eq!(
            asked(Mode::Deciding, None),
            Absence::Loading,
            "however long the server takes"
        );
        assert_eq!(asked(Mode::Follows, Some(long)), Absence::Settled);
        let connecting = ConnectionView::Connecting { attempt: 1 };
        assert_eq!(
            Absence::new(&connecting, Mode::Follows, None, long),
            Absence::Loading
        );
        let refused = ConnectionView::CredentialsNeeded { refused: false };
        assert!(matches!(
            Absence::new(&refused, Mode::Deciding, None, long),
            Absence::Disconnected(_)
        ));
    }

    #[test]
    fn the_recipe_names_the_brokers_own_host() {
        let host = |address| link_host(address);
        assert_eq!(
            host("ws://127.0.0.1:8080/mqtt").as_deref(),
            Some("127.0.0.1")
        );
        assert_eq!(
            host("wss://broker.example/").as_deref(),
            Some("broker.example")
        );
        assert_eq!(host("ws://[::1]:9001/mqtt").as_deref(), Some("::1"));
        assert_eq!(host(""), None);
    }
}
