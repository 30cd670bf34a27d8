//! Topics of no particular convention.

use crate::sim::{Sim, at};
use fleet::{FaultKind, OfflineReason, Presence, PresenceKind, Value};

#[test]
fn one_device_out_of_many_topics() {
    let mut sim = Sim::new();
    sim.publish("home/kitchen", r#"{"noise":40,"gas":{"co":1}}"#);
    sim.publish("home/kitchen/temperature", "21.5");
    sim.publish("home/kitchen/humidity", "45 %");
    sim.publish("home/kitchen/data", r#"{"lux":3}"#);
    sim.publish("home/kitchen/status", "online");
    assert_eq!(sim.fleet.len(), 1);
    let device = sim.device("home/kitchen");
    assert_eq!(device.convention().name(), "plain topics");
    let names: Vec<_> = device.metrics().iter().map(fleet::Metric::name).collect();
    assert_eq!(names, ["noise", "gas.co", "temperature", "humidity", "lux"]);
    assert!(!device.takes_commands());
    assert_eq!(device.known_commands().count(), 0);
    sim.publish("home/kitchen/status", "Offline");
    assert_eq!(sim.kind("home/kitchen"), PresenceKind::Offline);
}

#[test]
fn bare_values() {
    let mut sim = Sim::new();
    for (payload, value) in [
        ("40", 40.0),
        (" -3.25\n", -3.25),
        ("1e3", 1000.0),
        ("value=40", 40.0),
        ("21.5 °C", 21.5),
        ("21,", 21.5), // Not a number: text, and the number stays.
        ("true", 1.0),
    ] {
        sim.publish("dev/reading", payload);
        let (_, metric) = sim.device("dev").metric_named("reading").unwrap();
        match metric.value().as_number() {
            Some(read) => assert!((read - value).abs() < 1e-12, "{payload}"),
            None => assert_eq!(metric.value(), &Value::Text("21,".into())),
        }
    }
    sim.publish("/assign1-temp", "value=40");
    assert!((sim.number("/assign1-temp", "value") - 40.0).abs() < 1e-12);
}

#[test]
fn pairs_and_quantities() {
    let mut sim = Sim::new();
    sim.publish("plant/boiler", "temp=80.5;pressure=2.1, on=true&mode=eco");
    assert!((sim.number("plant/boiler", "temp") - 80.5).abs() < 1e-12);
    assert!((sim.number("plant/boiler", "pressure") - 2.1).abs() < 1e-12);
    assert!((sim.number("plant/boiler", "on") - 1.0).abs() < 1e-12);
    // The topic names the quantity, so the payload need not.
    sim.publish("329adb05/temperature", r#"{"temperature": 12}"#);
    sim.publish("329adb05/humidity", r#"{"value": 60, "min": 40}"#);
    assert!((sim.number("329adb05", "temperature") - 12.0).abs() < 1e-12);
    assert!((sim.number("329adb05", "humidity") - 60.0).abs() < 1e-12);
    assert!((sim.number("329adb05", "humidity.min") - 40.0).abs() < 1e-12);
}

#[test]
fn sensors_by_place_quantity_and_unit() {
    let mut sim = Sim::new();
    sim.publish("sensors/floor3/temperature/AC1", "21.5");
    sim.publish("sensors/floor10/temperature/boiler", "value=70");
    sim.publish("sensors/floor4/temperature/heater", r#"{"value":30}"#);
    sim.publish("sensors/cellar/temperature/celsius", "9");
    assert!((sim.number("AC1", "temperature") - 21.5).abs() < 1e-12);
    assert_eq!(sim.device("AC1").prefix(), "sensors/floor3");
    assert!((sim.number("sensors/floor10/boiler", "temperature") - 70.0).abs() < 1e-12);
    assert!((sim.number("heater", "temperature") - 30.0).abs() < 1e-12);
    assert!((sim.number("sensors/cellar", "temperature") - 9.0).abs() < 1e-12);
    let (_, metric) = sim
        .device("sensors/cellar")
        .metric_named("temperature")
        .unwrap();
    assert_eq!(
        (metric.unit(), metric.unit_is_assumed()),
        (Some("°C"), false)
    );
}

#[test]
fn presence_as_many_say_it() {
    let mut sim = Sim::new();
    for (topic, payload, id, kind) in [
        (
            "presence/client-7",
            "true",
            "client-7",
            PresenceKind::Online,
        ),
        (
            "presence/client-7",
            "false",
            "client-7",
            PresenceKind::Offline,
        ),
        ("a/status", "ONLINE", "a", PresenceKind::Online),
        ("a/status", "offline", "a", PresenceKind::Offline),
        ("a/availability", "1", "a", PresenceKind::Online),
        ("a/availability", "0", "a", PresenceKind::Offline),
        ("tele/plug/LWT", "Online", "tele/plug", PresenceKind::Online),
        (
            "z/lamp/availability",
            r#"{"state":"online"}"#,
            "z/lamp",
            PresenceKind::Online,
        ),
        (
            "z/lamp/availability",
            r#"{"state":"offline"}"#,
            "z/lamp",
            PresenceKind::Offline,
        ),
        ("s/online", "true", "s", PresenceKind::Online),
        (
            "s/connected",
            r#"{"connected":false}"#,
            "s",
            PresenceKind::Offline,
        ),
        ("h/status", "sleeping", "h", PresenceKind::Sleeping),
        ("h/status", "lost", "h", PresenceKind::Offline),
    ] {
        sim.publish(topic, payload);
        assert_eq!(sim.kind(id), kind, "{topic} {payload}");
    }
    let lost = Presence::Offline {
        since: at(0.0),
        reason: OfflineReason::Lost,
    };
    assert_eq!(sim.presence("h"), lost);
    // A status that says no presence is a value like others.
    sim.publish("w/status", "washing");
    sim.publish("w/status", r#"{"uptime":12}"#);
    assert!(sim.device("w").metric_named("status").is_some());
    assert!((sim.number("w", "status.uptime") - 12.0).abs() < 1e-12);
    assert_eq!(sim.kind("w"), PresenceKind::Online);
}

#[test]
fn the_brokers_own_topics_are_passed_over() {
    let mut sim = Sim::new();
    sim.publish("$SYS/broker/uptime", "12 seconds")
        .publish("$share/x", "1");
    assert_eq!(sim.fleet.len(), 0);
}

#[test]
fn what_is_no_text_is_a_fault() {
    let mut sim = Sim::new();
    sim.publish("cam/image", [0xff, 0xd8, 0xff]);
    sim.publish("cam/image", b"\x01\x02binary");
    assert_eq!(sim.fault_count("cam", FaultKind::NotText), 2);
    sim.publish("cam", "{not json");
    assert_eq!(sim.fault_count("cam", FaultKind::NotJson), 1);
    for payload in ["NaN", "inf", "-Infinity", "1e999"] {
        sim.publish("cam/level", payload);
    }
    sim.publish("cam", r#"{"level":NaN,"x":-Infinity,"y":1}"#);
    assert_eq!(sim.fault_count("cam", FaultKind::NotFinite), 6);
    assert!((sim.number("cam", "y") - 1.0).abs() < 1e-12);
}

#[test]
fn odd_topics_do_no_harm() {
    let mut sim = Sim::new();
    for topic in [
        "/",
        "//",
        "///a",
        "a//b",
        "presence/",
        "presence//",
        "status",
        "/status",
        "sensors///",
        "data/",
        "/data/",
        "cmd/req/",
        "register/",
    ] {
        sim.publish(topic, "1")
            .publish(topic, r#"{"a":1}"#)
            .publish(topic, "SIGN_IN");
    }
    crate::sim::assert_consistent(&sim.fleet);
}
