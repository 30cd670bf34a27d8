//! What topics mean: which device, which of them is no device, and what a cleared one takes away.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{Event, Message, OfflineReason, Presence, PresenceKind, topic_filters};

/// Whether one of the filters matches the topic.
fn covers(filters: &[String], topic: &str) -> bool {
    filters.iter().any(|filter| {
        let mut levels = topic.split('/');
        for wanted in filter.split('/') {
            match (wanted, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (wanted, Some(level)) if wanted == level => {}
                (_, _) => return false,
            }
        }
        levels.next().is_none()
    })
}

#[test]
fn a_slash_at_the_beginning_makes_another_device() {
    let mut sim = Sim::new();
    sim.publish("/home/kitchen/temperature", "1")
        .publish("home/kitchen/temperature", "2")
        .publish("/home/kitchen/status", "offline")
        .publish("/presence/hall", "false")
        .publish("presence/hall", "true")
        .publish("/sensors/floor3/temperature/AC1", "3")
        .publish("sensors/floor3/temperature/AC1", "4");
    for (id, metric, value) in [
        ("/home/kitchen", "temperature", 1.0),
        ("home/kitchen", "temperature", 2.0),
        ("/sensors/floor3/AC1", "temperature", 3.0),
        ("sensors/floor3/AC1", "temperature", 4.0),
    ] {
        assert_eq!(sim.device(id).full_id(), id);
        assert!((sim.number(id, metric) - value).abs() < 1e-12, "{id}");
    }
    assert_eq!(sim.kind("/home/kitchen"), PresenceKind::Offline);
    assert_eq!(sim.kind("home/kitchen"), PresenceKind::Online);
    assert_eq!(sim.kind("/hall"), PresenceKind::Offline);
    assert_eq!(sim.kind("hall"), PresenceKind::Online);
    assert_consistent(&sim.fleet);
}

#[test]
fn filters_cover_a_device_and_not_its_namesake() {
    let mut sim = Sim::new();
    let topics = [
        "/home/kitchen/temperature",
        "home/kitchen/temperature",
        "/presence/hall",
        "presence/hall",
        "sensors/floor3/temperature/AC1",
        "/sensors/floor3/temperature/AC1",
        "sensors/floor4/temperature/AC1",
        "beaconry/data/a",
        "/beaconry/data/a",
        "/register/b",
        "register/b",
        "one",
    ];
    for topic in topics {
        let payload = match topic {
            topic if topic.contains("data") => r#"{"temp":1}"#,
            topic if topic.contains("register") => "SIGN_IN",
            _ => "1",
        };
        sim.publish(topic, payload);
    }
    assert_eq!(sim.fleet.len(), topics.len());
    for (topic, (_, device)) in topics.iter().zip(sim.fleet.devices()) {
        let own = device.topic_filters();
        let any = topic_filters(device.prefix(), device.id());
        for filters in [&own, &any] {
            assert!(covers(filters, topic), "{topic}: {filters:?}");
        }
        if topic.contains('/') && *topic != "register/b" {
            // An element of a page may be given the whole id, and another prefix.
            let whole = topic_filters("elsewhere", &device.full_id());
            assert!(covers(&whole, topic), "{topic}: {whole:?}");
        }
        for other in topics.iter().filter(|other| *other != topic) {
            assert!(!covers(&own, other), "{topic}, {other}: {own:?}");
        }
    }
}

#[test]
fn commands_to_others_make_no_device() {
    let mut sim = Sim::new();
    for topic in [
        "cmnd/plug/POWER",
        "plug/cmnd/POWER",
        "zigbee2mqtt/lamp/set",
        "zigbee2mqtt/lamp/set/state",
        "zigbee2mqtt/lamp/get",
        "zigbee2mqtt/bridge/request/device/rename",
        "esp/switch/relay/command",
        "homie/5/dev/node/prop/set",
    ] {
        for payload in ["ON", "5", r#"{"state":"ON"}"#] {
            sim.publish(topic, payload).retained(topic, payload);
        }
    }
    assert_eq!(sim.fleet.len(), 0);
    // Nor are they a sign of life.
    sim.retained("zigbee2mqtt/lamp", r#"{"brightness":1}"#);
    sim.publish("zigbee2mqtt/lamp/set", "ON");
    assert_eq!(sim.kind("zigbee2mqtt/lamp"), PresenceKind::Unknown);
    // What is called so itself may be a device.
    sim.publish("set", "1")
        .publish("beaconry/data/set", r#"{"a":1}"#);
    assert_eq!(sim.fleet.len(), 3);
}

#[test]
fn words_and_objects_that_mean_gone() {
    for (topic, here, gone, id) in [
        ("homie/5/dev/$state", "ready", "lost", "homie/5/dev"),
        ("homie/dev/$state", "alert", "disconnected", "homie/dev"),
        ("tele/plug/LWT", "Online", "Offline", "tele/plug"),
        ("x/LWT", "ON", "OFF", "x"),
        ("x/status", "up", "down", "x"),
        (
            "x/availability",
            r#"{"state":"online"}"#,
            r#"{"state":"offline"}"#,
            "x",
        ),
        (
            "zigbee2mqtt/bridge/state",
            r#"{"state":"online"}"#,
            r#"{"state":"offline"}"#,
            "zigbee2mqtt/bridge",
        ),
        (
            "zigbee2mqtt/bridge/state",
            "online",
            "offline",
            "zigbee2mqtt/bridge",
        ),
        (
            "rtl_433/host/availability",
            "online",
            "offline",
            "rtl_433/host",
        ),
        ("x/online", r#"{"value":true}"#, r#"{"value":false}"#, "x"),
        (
            "x/status",
            r#"{"status":"connected"}"#,
            r#"{"status":"lost"}"#,
            "x",
        ),
        (
            "x/status",
            r#"{"connected":true}"#,
            r#"{"connected":false}"#,
            "x",
        ),
        (
            "owntracks/ann/phone",
            r#"{"_type":"location","lat":48.5,"lon":9.0,"tst":1795233500}"#,
            r#"{"_type":"lwt","tst":1795233000}"#,
            "owntracks/ann/phone",
        ),
        ("beaconry/register/a", "SIGN_IN", "lost", "a"),
        ("beaconry/register/a", "SIGN_IN", "offline", "a"),
        (
            "beaconry/register/a",
            "SIGN_IN",
            r#"{"state":"offline"}"#,
            "a",
        ),
    ] {
        let mut sim = Sim::new();
        sim.publish(topic, here);
        assert_eq!(sim.kind(id), PresenceKind::Online, "{topic} {here}");
        sim.until(5.0).publish(topic, gone);
        assert_eq!(sim.kind(id), PresenceKind::Offline, "{topic} {gone}");
        assert_eq!(
            sim.device(id).last_seen(),
            Some(at(0.0)),
            "it may be a will"
        );
        assert_eq!(sim.device(id).faults(), []);
    }
    // A lamp that is off is there.
    let mut sim = Sim::new();
    sim.publish("lamp/state", r#"{"state":"OFF"}"#)
        .publish("other/state", "OFF");
    assert_eq!(sim.fleet.counts().online(), 2);
}

#[test]
fn a_will_is_no_sign_of_life() {
    for (topic, payload) in [
        ("x/status", r#"{"state":"offline","why":"power"}"#),
        ("x", r#"{"why":"power"}"#),
        ("beaconry/data/x", r#"{"temp":1}"#),
    ] {
        let mut sim = Sim::new();
        let mut will = Message::new(topic, payload.as_bytes());
        will.is_will = true;
        will.publisher = Some("x");
        sim.fleet.handle_message(sim.now, will);
        assert_ne!(sim.kind("x"), PresenceKind::Online, "{topic}");
        assert_eq!(sim.device("x").last_seen(), None, "{topic}");
    }
    // Whoever knows the publisher knows that it lives, also if it says that it goes.
    let mut sim = Sim::new();
    let mut message = Message::new("x/status", b"offline");
    message.publisher = Some("x");
    sim.fleet.handle_message(sim.now, message);
    assert_eq!(sim.device("x").last_seen(), Some(at(0.0)));
}

#[test]
fn a_status_object_keeps_its_other_values() {
    let mut sim = Sim::new();
    sim.publish(
        "x/status",
        r#"{"state":"online","rssi":-70,"wifi":{"state":"disconnected","ip":"10.0.0.1"}}"#,
    );
    assert_eq!(sim.kind("x"), PresenceKind::Online);
    assert!((sim.number("x", "status.rssi") + 70.0).abs() < 1e-12);
    let names: Vec<_> = sim
        .device("x")
        .metrics()
        .iter()
        .map(fleet::Metric::name)
        .collect();
    assert_eq!(
        names,
        ["status.rssi", "status.wifi.state", "status.wifi.ip"]
    );
    sim.publish(
        "beaconry/register/a",
        r#"{"deviceId":"a","messageType":"SIGN_IN","boots":7}"#,
    );
    assert!((sim.number("a", "boots") - 7.0).abs() < 1e-12);
    assert_eq!(sim.device("a").metrics().len(), 1);
    // Deeper words are about parts of the device.
    sim.publish(
        "y/status",
        r#"{"mqtt":{"connected":false},"uplink":{"status":"lost"}}"#,
    );
    assert_eq!(sim.kind("y"), PresenceKind::Online);
}

#[test]
fn a_cleared_message_takes_its_values_away() {
    let mut sim = Sim::new();
    sim.retained("home/kitchen/temperature", "21.5")
        .retained("home/kitchen/mode", "eco")
        .retained("home/kitchen", r#"{"lat":1,"lng":2,"hum":5}"#);
    let key = sim.key("home/kitchen");
    sim.events();
    sim.publish("home/kitchen/mode", "");
    let device = sim.device("home/kitchen");
    let (_, mode) = device.metric_named("mode").unwrap();
    assert!(!mode.has_value());
    assert!(sim.events().contains(&Event::ValuesChanged(key)));
    assert!((sim.number("home/kitchen", "temperature") - 21.5).abs() < 1e-12);
    sim.publish("home/kitchen", "");
    assert_eq!(sim.device("home/kitchen").position(), None);
    // It comes back, and as a whole it goes with its last value.
    sim.retained("home/kitchen/mode", "eco");
    let (_, mode) = sim.device("home/kitchen").metric_named("mode").unwrap();
    assert!(mode.has_value());
    sim.publish("home/kitchen/mode", "")
        .publish("home/kitchen/temperature", "");
    assert_eq!(sim.fleet.find("home/kitchen"), None);
    assert!(sim.events().contains(&Event::DeviceForgotten(key)));
    assert_eq!(sim.fleet.memory_used(), 0);
    // A retained message brings it back, since nobody asked to forget it.
    sim.retained("home/kitchen/temperature", "21.5");
    assert_eq!(sim.fleet.len(), 1);
    assert_consistent(&sim.fleet);
}

#[test]
fn a_cleared_registration_takes_the_presence_away() {
    let mut sim = Sim::new();
    sim.retained("beaconry/register/a", "SIGN_OUT")
        .retained("beaconry/data/a", r#"{"temp":1}"#)
        .retained("beaconry/register/b", "SIGN_OUT")
        .retained("x/status", "online");
    for topic in ["beaconry/register/a", "beaconry/register/b", "x/status"] {
        sim.publish(topic, "");
    }
    assert_eq!(sim.kind("a"), PresenceKind::Unknown);
    assert_eq!(sim.fleet.len(), 1);
    // Who sends is there.
    sim.publish("beaconry/data/a", r#"{"temp":1}"#)
        .publish("beaconry/register/a", "SIGN_IN")
        .publish("beaconry/register/a", "");
    assert_eq!(sim.kind("a"), PresenceKind::Online);
    assert_consistent(&sim.fleet);
}

#[test]
fn an_empty_value_of_a_button_does_not_take_the_button_away() {
    let mut sim = Sim::new();
    for second in 0..20 {
        sim.until(f64::from(second))
            .publish("z/button/action", "single");
        if second > 10 {
            sim.publish("z/button/action", "");
            assert_eq!(sim.kind("z/button"), PresenceKind::Online);
        }
    }
}

#[test]
fn lost_by_the_brokers_word_is_lost() {
    let mut sim = Sim::new();
    sim.publish("homie/dev/$state", "lost");
    let lost = Presence::Offline {
        since: at(0.0),
        reason: OfflineReason::Lost,
    };
    assert_eq!(sim.presence("homie/dev"), lost);
}
