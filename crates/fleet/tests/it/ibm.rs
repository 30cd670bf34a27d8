//! Devices that speak as IBM's Internet of Things Platform has them speak.

use crate::sim::Sim;
use fleet::{PresenceKind, Value, topic_filters};

const EVENT: &str = "iot-2/type/test/id/4321/evt";

#[test]
fn events_are_values_of_the_device_that_the_topic_names() {
    let mut sim = Sim::new();
    sim.publish(
        &format!("{EVENT}/status/fmt/json"),
        r#"{"mesg":"hello IBM"}"#,
    )
    .publish(&format!("{EVENT}/climate/fmt/json"), r#"{"temp":21.5}"#)
    .publish(&format!("{EVENT}/temperature/fmt/txt"), "22.5")
    .publish(
        &format!("{EVENT}/gps/fmt/json"),
        r#"{"lat":47.6,"lng":9.6}"#,
    );
    assert_eq!(sim.fleet.len(), 1);
    let device = sim.device("test/4321");
    assert_eq!((device.prefix(), device.id()), ("", "test/4321"));
    assert_eq!(device.convention().name(), "IBM's topics");
    let (_, mesg) = device.metric_named("mesg").unwrap();
    assert_eq!(mesg.value(), &Value::Text("hello IBM".into()));
    assert!((sim.number("test/4321", "climate.temp") - 21.5).abs() < 1e-12);
    assert!((sim.number("test/4321", "temperature") - 22.5).abs() < 1e-12);
    assert!(sim.device("test/4321").position().is_some());
    assert!(!sim.device("test/4321").takes_commands());
}

#[test]
fn an_event_in_another_format_is_the_same_event() {
    let mut sim = Sim::new();
    sim.publish(&format!("{EVENT}/temperature/fmt/txt"), "22.5")
        .publish(&format!("{EVENT}/temperature/fmt/json"), r#"{"value":23}"#);
    assert_eq!(sim.device("test/4321").metrics().len(), 1);
    assert!((sim.number("test/4321", "temperature") - 23.0).abs() < 1e-12);
}

#[test]
fn presence_comes_from_a_topic_of_its_own_an_event_or_the_platform() {
    let mut sim = Sim::new();
    for (topic, payload, kind) in [
        ("presence/test/4321", "true", PresenceKind::Online),
        ("presence/test/4321", "false", PresenceKind::Offline),
        (
            "iot-2/type/test/id/4321/evt/status/fmt/json",
            r#"{"status":"online"}"#,
            PresenceKind::Online,
        ),
        (
            "iot-2/type/test/id/4321/evt/status/fmt/txt",
            "offline",
            PresenceKind::Offline,
        ),
        (
            "iot-2/type/test/id/4321/mon",
            r#"{"Action":"Connect","ClientAddr":"192.0.2.1"}"#,
            PresenceKind::Online,
        ),
        (
            "iot-2/type/test/id/4321/mon",
            r#"{"Action":"Disconnect","Reason":"closed"}"#,
            PresenceKind::Offline,
        ),
    ] {
        sim.publish(topic, payload);
        assert_eq!(sim.kind("test/4321"), kind, "{topic} {payload}");
    }
    assert_eq!(sim.fleet.len(), 1);
    sim.publish(&format!("{EVENT}/climate/fmt/json"), r#"{"temp":1}"#);
    assert_eq!(sim.device("test/4321").convention().name(), "IBM's topics");
}

#[test]
fn a_command_makes_no_device() {
    let mut sim = Sim::new();
    sim.publish("iot-2/type/test/id/4321/cmd/reset/fmt/json", "{}");
    assert_eq!(sim.fleet.len(), 0);
}

#[test]
fn topics_that_only_begin_like_these_are_plain() {
    let mut sim = Sim::new();
    for topic in [
        "iot-2/type/test/id/4321/evt/status",
        "iot-2/type/a/b/id/4321/evt/status/fmt/json",
        "iot-2/type//id/4321/evt/status/fmt/json",
        "iot-2/evt/status/fmt/json",
    ] {
        sim.publish(topic, r#"{"a":1}"#);
        assert!(sim.fleet.find("test/4321").is_none(), "{topic}");
    }
}

#[test]
fn the_filters_cover_what_the_device_sends() {
    let mut sim = Sim::new();
    sim.publish(&format!("{EVENT}/climate/fmt/json"), r#"{"temp":21.5}"#);
    let mut own = sim.device("test/4321").topic_filters();
    own.sort();
    let platform = "iot-2/type/test/id/4321/mon";
    assert_eq!(own, ["iot-2/type/test/id/4321/evt/#", platform]);
    sim.publish("presence/test/4321", "true");
    let own = sim.device("test/4321").topic_filters();
    let called = topic_filters("beaconry", "test/4321");
    for filters in [own, called] {
        for filter in [
            "iot-2/type/test/id/4321/evt/#",
            platform,
            "presence/test/4321",
        ] {
            assert!(filters.iter().any(|it| it == filter), "{filters:?}");
        }
    }
}
