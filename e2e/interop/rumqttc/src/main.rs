//! rumqttc as a client of the compatibility table. It reads one JSON object a line from standard input, and
//! answers each with one: see `e2e/interop/clients/child.mjs`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;

mod v4;
mod v5;

/// What the event loop tells.
pub enum Told {
    Connected {
        session: bool,
    },
    Subscribed,
    /// A message was taken over by the broker, or left with QoS 0.
    Published,
    Failed(String),
}

/// A client of either version.
pub enum Client {
    V4(rumqttc::AsyncClient),
    V5(rumqttc::v5::AsyncClient),
}

/// Writes one line.
pub fn tell(what: &Value) {
    println!("{what}");
}

/// Host, port and path of `mqtt://HOST:PORT` or `ws://HOST:PORT/PATH`.
pub fn address(url: &str) -> (String, u16, bool) {
    let is_web_socket = url.starts_with("ws://");
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    let (name, port) = host.rsplit_once(':').unwrap_or((host, "1883"));
    if is_web_socket {
        (url.to_owned(), port.parse().unwrap_or(80), true)
    } else {
        (name.to_owned(), port.parse().unwrap_or(1883), false)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut peer: Option<(Client, mpsc::UnboundedReceiver<Told>)> = None;
    while let Ok(Some(line)) = lines.next_line().await {
        let order: Value = serde_json::from_str(&line).expect("the runner writes JSON");
        let done = match order["do"].as_str().unwrap_or_default() {
            "connect" => connect(&order).await.map(|(client, told, session)| {
                peer = Some((client, told));
                json!({"ok": true, "session": session})
            }),
            what => match &mut peer {
                Some((client, told)) => act(client, told, what, &order).await,
                None => Err("not connected".to_owned()),
            },
        };
        tell(&done.unwrap_or_else(|error| json!({"error": error})));
    }
}

async fn connect(order: &Value) -> Result<(Client, mpsc::UnboundedReceiver<Told>, bool), String> {
    let (tell, mut told) = mpsc::unbounded_channel();
    let client = if order["version"] == 5 {
        Client::V5(v5::connect(order, tell))
    } else {
        Client::V4(v4::connect(order, tell))
    };
    match next(&mut told).await? {
        Told::Connected { session } => Ok((client, told, session)),
        Told::Failed(why) => Err(why),
        Told::Subscribed | Told::Published => Err("no CONNACK".to_owned()),
    }
}

async fn act(
    client: &Client,
    told: &mut mpsc::UnboundedReceiver<Told>,
    what: &str,
    order: &Value,
) -> Result<Value, String> {
    let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
    let qos = order["qos"].as_u64().unwrap_or(0);
    match what {
        "subscribe" => match client {
            Client::V4(client) => v4::subscribe(client, &text("filter"), qos).await?,
            Client::V5(client) => v5::subscribe(client, &text("filter"), qos).await?,
        },
        "publish" => {
            let retain = order["retain"] == true;
            match client {
                Client::V4(client) => {
                    v4::publish(client, &text("topic"), text("payload"), qos, retain).await?;
                }
                Client::V5(client) => {
                    v5::publish(client, &text("topic"), text("payload"), qos, retain).await?;
                }
            }
        }
        _ => {
            match client {
                Client::V4(client) => client.disconnect().await.map_err(|it| it.to_string())?,
                Client::V5(client) => client.disconnect().await.map_err(|it| it.to_string())?,
            }
            // The event loop sends it.
            tokio::time::sleep(Duration::from_millis(200)).await;
            return Ok(json!({"ok": true}));
        }
    }
    match next(told).await? {
        Told::Failed(why) => Err(why),
        Told::Connected { .. } | Told::Subscribed | Told::Published => Ok(json!({"ok": true})),
    }
}

async fn next(told: &mut mpsc::UnboundedReceiver<Told>) -> Result<Told, String> {
    let told = tokio::time::timeout(Duration::from_secs(10), told.recv()).await;
    let told = told.map_err(|_| "no answer of the broker".to_owned())?;
    told.ok_or_else(|| "the event loop has ended".to_owned())
}
