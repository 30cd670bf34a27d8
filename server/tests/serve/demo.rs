//! `--demo`: simulated devices, seen from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use bytes::Bytes;
use mqtt::{Packet, ProtocolVersion, QoS};
use rustix::process::Signal;

use super::support::{PATIENCE, Peer, Server, topic_name};

const IDS: [&str; 8] = [
    "weather-01",
    "freezer-01",
    "pump-01",
    "solar-01",
    "humidity-01",
    "humidifier-01",
    "soil-01",
    "tracker-01",
];

fn start() -> (Server, Peer) {
    let server = Server::start_with(&["--demo", "8", "--demo-interval", "100ms"]);
    let mut observer = Peer::connected(&server, ProtocolVersion::V5, "observer");
    observer.subscribe("beaconry/#", QoS::ExactlyOnce);
    (server, observer)
}

/// Reads messages until one fits.
fn until(observer: &mut Peer, fits: impl Fn(&str, &str) -> bool) -> String {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        assert!(
            Instant::now() < deadline,
            "the demo talks, but not of what is waited for"
        );
        let (topic, payload) = observer.message();
        let payload = String::from_utf8(payload.to_vec()).unwrap();
        if fits(&topic, &payload) {
            return payload;
        }
    }
}

fn command(observer: &mut Peer, id: &str, request: &str) -> serde_json::Value {
    observer.publish(
        &format!("beaconry/cmd/req/{id}"),
        request.to_owned(),
        QoS::ExactlyOnce,
    );
    let answer = until(observer, |topic, _| {
        topic == format!("beaconry/cmd/resp/{id}")
    });
    serde_json::from_str(&answer).unwrap()
}

#[test]
fn every_device_signs_in_announces_itself_and_reports() {
    let (_server, mut observer) = start();
    let mut seen: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    while IDS
        .iter()
        .any(|id| seen.get(*id).is_none_or(|kinds| kinds.len() < 3))
    {
        let (topic, payload) = observer.message();
        let id = topic.rsplit('/').next().unwrap().to_owned();
        let payload = String::from_utf8(payload.to_vec()).unwrap();
        let kind = match payload.as_str() {
            "SIGN_IN" => "SIGN_IN",
            "SIGN_OUT" => continue,
            json => {
                let json: serde_json::Value = serde_json::from_str(json).unwrap();
                assert_eq!(json["deviceId"], id);
                if json["messageType"] == "DATA" {
                    "DATA"
                } else {
                    "ANNOUNCE"
                }
            }
        };
        seen.entry(id).or_default().insert(kind);
    }
    assert_eq!(seen.len(), IDS.len());
}

#[test]
fn commands_are_answered() {
    let (_server, mut observer) = start();
    until(&mut observer, |topic, payload| {
        topic.ends_with("register/pump-01") && payload == "SIGN_IN"
    });
    let pong = command(&mut observer, "pump-01", r#"{"uuid":"1","command":"PING"}"#);
    assert_eq!(
        (&pong["commandResult"], &pong["uuid"]),
        (&"PONG".into(), &"1".into())
    );
    let off = command(
        &mut observer,
        "pump-01",
        r#"{"uuid":"2","command":"SWITCH_OFF"}"#,
    );
    assert_eq!(off["commandResult"], "OFF");
    let unknown = command(
        &mut observer,
        "pump-01",
        r#"{"uuid":"3","command":"DANCE"}"#,
    );
    assert!(
        unknown["error"].as_str().unwrap().contains("SWITCH_ON"),
        "{unknown}"
    );
    let nonsense = command(&mut observer, "pump-01", "PING");
    assert!(
        nonsense["error"]
            .as_str()
            .unwrap()
            .contains("not a JSON object"),
        "{nonsense}"
    );
}

#[test]
fn an_answer_goes_to_the_response_topic_with_the_correlation_data() {
    let (_server, mut observer) = start();
    observer.subscribe("answers/here", QoS::AtLeastOnce);
    let mut request = observer.publication(
        "beaconry/cmd/req/weather-01",
        r#"{"command":"PING"}"#,
        QoS::AtLeastOnce,
    );
    request.properties.response_topic = Some(topic_name("answers/here"));
    request.properties.correlation_data = Some(Bytes::from_static(b"\x00\xFF7"));
    // The request would be lost on a device that is not connected yet.
    until(&mut observer, |topic, payload| {
        topic.ends_with("data/weather-01") && payload.contains("\"DATA\"")
    });
    observer.send(&Packet::Publish(request));
    let answer = observer.raw_message(|publish| publish.topic == Some(topic_name("answers/here")));
    assert_eq!(
        answer.properties.correlation_data.as_deref(),
        Some(&b"\x00\xFF7"[..])
    );
}

#[test]
fn a_reboot_goes_away_and_comes_back() {
    let (_server, mut observer) = start();
    until(&mut observer, |topic, payload| {
        topic.ends_with("data/solar-01") && payload.contains("\"DATA\"")
    });
    let answer = command(&mut observer, "solar-01", r#"{"command":"REBOOT"}"#);
    assert_eq!(answer["commandResult"], "REBOOTING");
    until(&mut observer, |topic, payload| {
        topic.ends_with("register/solar-01") && payload == "SIGN_OUT"
    });
    until(&mut observer, |topic, payload| {
        topic.ends_with("register/solar-01") && payload == "SIGN_IN"
    });
}

#[test]
fn a_sleeping_device_answers_when_it_wakes() {
    let (_server, mut observer) = start();
    until(&mut observer, |topic, payload| {
        topic.ends_with("register/soil-01") && payload == "SIGN_OUT"
    });
    let answer = command(
        &mut observer,
        "soil-01",
        r#"{"uuid":"waited","command":"PING"}"#,
    );
    assert_eq!(
        (&answer["commandResult"], &answer["uuid"]),
        (&"PONG".into(), &"waited".into())
    );
}

#[test]
fn devices_sign_out_before_the_server_ends() {
    let (server, mut observer) = start();
    let mut signed_in = BTreeSet::new();
    while signed_in.len() < IDS.len() {
        let (topic, payload) = observer.message();
        if payload == "SIGN_IN" {
            signed_in.insert(topic);
        }
    }
    server.signal(Signal::TERM);
    let mut signed_out = BTreeSet::new();
    while let Some(packet) = observer.receive() {
        if let Packet::Publish(publish) = &packet
            && publish.payload == "SIGN_OUT"
        {
            signed_out.insert(
                publish
                    .topic
                    .as_ref()
                    .unwrap()
                    .as_str()
                    .rsplit('/')
                    .next()
                    .unwrap()
                    .to_owned(),
            );
        }
        observer.handle(packet);
    }
    assert_eq!(signed_out, IDS.iter().map(|id| (*id).to_owned()).collect());
    drop(observer);
    assert_eq!(server.ended().0.code(), Some(0));
}
