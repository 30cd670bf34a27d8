//! Version 5.

use std::collections::HashMap;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, LastWill, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use rumqttc::{Outgoing, Transport};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{Told, address, tell as line};

fn qos_of(qos: u64) -> QoS {
    match qos {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// Connects, and tells what the event loop does.
pub fn connect(order: &Value, tell: mpsc::UnboundedSender<Told>) -> AsyncClient {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (host, port, is_web_socket) = address(order["url"].as_str().unwrap_or_default());
    let mut options = MqttOptions::new(text(&order["id"]), host, port);
    if is_web_socket {
        options.set_transport(Transport::Ws);
    }
    options.set_keep_alive(Duration::from_secs(30));
    options.set_clean_start(order["clean"] == true);
    let expiry = order["expiry"]
        .as_u64()
        .and_then(|it| u32::try_from(it).ok());
    options.set_session_expiry_interval(expiry);
    if let Some(will) = order["will"].as_object() {
        let qos = qos_of(will["qos"].as_u64().unwrap_or(0));
        let retain = will["retain"] == true;
        let will = LastWill::new(
            text(&will["topic"]),
            text(&will["payload"]),
            qos,
            retain,
            None,
        );
        options.set_last_will(will);
    }
    let (client, mut events) = AsyncClient::new(options, 100);
    tokio::spawn(async move {
        // Packet identifiers of what was published with QoS 1 or 2.
        let mut unfinished: HashMap<u16, ()> = HashMap::new();
        loop {
            let told = match events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(ack)))
                    if ack.code != ConnectReturnCode::Success =>
                {
                    Told::Failed(format!("refused: {:?}", ack.code))
                }
                Ok(Event::Incoming(Packet::ConnAck(ack))) => Told::Connected {
                    session: ack.session_present,
                },
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let payload = String::from_utf8_lossy(&message.payload).into_owned();
                    let topic = String::from_utf8_lossy(&message.topic).into_owned();
                    line(
                        &json!({"message": {"topic": topic, "payload": payload, "qos": message.qos as u8, "retain": message.retain}}),
                    );
                    continue;
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => Told::Subscribed,
                Ok(Event::Incoming(Packet::PubAck(ack)))
                    if unfinished.remove(&ack.pkid).is_some() =>
                {
                    Told::Published
                }
                Ok(Event::Incoming(Packet::PubComp(ack)))
                    if unfinished.remove(&ack.pkid).is_some() =>
                {
                    Told::Published
                }
                Ok(Event::Outgoing(Outgoing::Publish(0))) => Told::Published,
                Ok(Event::Outgoing(Outgoing::Publish(id))) => {
                    unfinished.insert(id, ());
                    continue;
                }
                Ok(_) => continue,
                Err(error) => Told::Failed(error.to_string()),
            };
            let is_over = matches!(told, Told::Failed(_));
            if tell.send(told).is_err() || is_over {
                return;
            }
        }
    });
    client
}

/// Subscribes. The event loop tells when it is granted.
pub async fn subscribe(client: &AsyncClient, filter: &str, qos: u64) -> Result<(), String> {
    let asked = client.subscribe(filter, qos_of(qos)).await;
    asked.map_err(|error| error.to_string())
}

/// Publishes. The event loop tells when it is done.
pub async fn publish(
    client: &AsyncClient,
    topic: &str,
    payload: String,
    qos: u64,
    retain: bool,
) -> Result<(), String> {
    let asked = client.publish(topic, qos_of(qos), retain, payload).await;
    asked.map_err(|error| error.to_string())
}
