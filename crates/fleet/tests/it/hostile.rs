//! What strangers may send, and what it may cost.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{Event, FaultKind, FleetOptions, Limit};
use std::fmt::Write as _;

#[test]
fn names_of_strangers_are_kept_and_shown_safely() {
    let mut sim = Sim::new();
    let long = "y".repeat(4000);
    for id in [
        "<script>alert(1)</script>".replace('/', "\\"),
        "\"quoted' & co".into(),
        "👩‍🚀🚀".into(),
        "\u{202e}gnp.exe\u{2066}".into(),
        "חיישן".into(),
        long.clone(),
        String::new(),
    ] {
        let name = &id;
        let metric = name.replace('\\', "\\\\").replace('"', "\\\"");
        sim.publish(&format!("p/data/{id}"), format!("{{\"{metric}\":1}}"));
        let device = sim.device(&id);
        assert_eq!(device.id(), id);
        assert_eq!(device.metrics()[0].name(), name);
        for shown in [device.display_id(), device.metrics()[0].display_name()] {
            assert!(shown.chars().count() <= 70, "{shown}");
            assert!(!shown.contains(['\u{202e}', '\u{2066}']), "{shown:?}");
            assert!(!shown.is_empty());
        }
    }
    assert_eq!(sim.device("").display_id(), "(no id)");
    assert_eq!(sim.device(&long).display_id().chars().count(), 40);
    assert_consistent(&sim.fleet);
}

#[test]
fn a_megabyte_is_read_as_far_as_it_may() {
    let mut sim = Sim::new();
    let mut many = String::from("{");
    for index in 0..80_000 {
        let _ = write!(many, "\"metric{index}\":{index},");
    }
    many.push_str("\"last\":0}");
    assert!(many.len() > 1 << 20);
    sim.publish("p/data/a", &many);
    assert_eq!(sim.device("a").metrics().len(), 256);
    assert_eq!(sim.fault_count("a", FaultKind::TooManyValues), 1);
    assert_eq!(sim.fault_count("a", FaultKind::TooManyMetrics), 512 - 256);
    assert_eq!(sim.fleet.limits().count(Limit::ValuesPerMessage), 1);
    // The known ones go on.
    sim.publish("p/data/a", r#"{"metric0":5}"#);
    assert!((sim.number("a", "metric0") - 5.0).abs() < 1e-12);

    let text = format!(r#"{{"text":"{}","n":1}}"#, "ä".repeat(1 << 20));
    sim.publish("p/data/b", text);
    assert!((sim.number("b", "n") - 1.0).abs() < 1e-12);
    assert_eq!(sim.fleet.limits().count(Limit::TextLength), 1);

    sim.publish("p/data/c", vec![b'{'; 5 << 20]);
    assert_eq!(
        sim.fleet.find("c"),
        None,
        "not of the convention for certain"
    );
    sim.publish("beaconry/data/c", vec![b' '; 5 << 20]);
    assert_eq!(sim.fault_count("c", FaultKind::PayloadTooLong), 1);
    assert_consistent(&sim.fleet);
}

#[test]
fn deep_nesting_overflows_no_stack() {
    let mut sim = Sim::new();
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = open.repeat(200_000) + "1" + &close.repeat(200_000);
        sim.publish("p/data/a", format!(r#"{{"n":1,"deep":{deep},"m":2}}"#));
        let unclosed = open.repeat(200_000);
        sim.publish("p/data/a", format!(r#"{{"n":1,"deep":{unclosed}"#));
    }
    assert_eq!(sim.fault_count("a", FaultKind::TooDeep), 2);
    assert_eq!(sim.fault_count("a", FaultKind::NotJson), 2);
    let names: Vec<_> = sim
        .device("a")
        .metrics()
        .iter()
        .map(fleet::Metric::name)
        .collect();
    assert_eq!(names, ["n", "m"]);
}

#[test]
fn positions_off_the_earth_are_faults() {
    let mut sim = Sim::new();
    for (lat, lng) in [("91", "0"), ("0", "-180.1"), ("1e999", "0"), ("NaN", "0")] {
        sim.publish("p/data/a", format!(r#"{{"lat":{lat},"lng":{lng}}}"#));
    }
    assert_eq!(sim.fault_count("a", FaultKind::PositionOutOfBounds), 4);
    assert_eq!(sim.device("a").position(), None);
    let key = sim.key("a");
    sim.events();
    sim.publish("p/data/a", r#"{"gps":{"latitude":90,"longitude":-180}}"#);
    sim.publish("p/data/a", r#"{"lat":90,"lon":-180}"#);
    assert_eq!(sim.events(), [Event::PositionChanged(key)]);
    // A lone latitude is a number like others.
    sim.publish("p/data/b", r#"{"lat":120}"#);
    assert!((sim.number("b", "lat") - 120.0).abs() < 1e-12);
}

#[test]
fn too_many_devices_are_counted_and_the_known_go_on() {
    let mut sim = Sim::with(FleetOptions {
        max_devices: 3,
        ..FleetOptions::default()
    });
    for index in 0..10 {
        sim.publish(&format!("p/register/{index}"), "SIGN_IN");
    }
    assert_eq!(sim.fleet.len(), 3);
    assert_eq!(sim.fleet.limits().count(Limit::Devices), 7);
    let hits = sim
        .events()
        .into_iter()
        .filter(|event| *event == Event::LimitHit(Limit::Devices));
    assert_eq!(hits.count(), 1);
    sim.publish("p/data/0", r#"{"n":1}"#);
    assert!((sim.number("0", "n") - 1.0).abs() < 1e-12);
    sim.publish(&format!("p/register/{}", "x".repeat(9000)), "SIGN_IN");
    assert_eq!(sim.fleet.limits().count(Limit::IdLength), 1);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let options = FleetOptions {
        max_bytes: 1 << 20,
        ..FleetOptions::default()
    };
    let mut sim = Sim::with(options);
    for index in 0..5000u32 {
        let name = format!("m{}", index % 300);
        let text = "t".repeat(index as usize % 2000);
        let id = index % 700;
        sim.until(f64::from(index) / 10.0);
        sim.publish(
            &format!("p/data/d{id}"),
            format!(r#"{{"{name}":"{text}","n":{index}}}"#),
        );
        sim.publish(
            &format!("p/cmd/req/d{id}"),
            format!(r#"{{"uuid":"{index}","command":"{text}"}}"#),
        );
        sim.publish(
            &format!("p/cmd/resp/d{id}"),
            format!(r#"{{"uuid":"{index}","commandResult":"{text}"}}"#),
        );
        sim.publish(
            &format!("p/register/d{id}"),
            if index % 2 == 0 {
                "SIGN_OUT"
            } else {
                "SIGN_IN"
            },
        );
    }
    assert_consistent(&sim.fleet);
    assert!(sim.fleet.limits().count(Limit::Bytes) > 0);
    assert!(sim.fleet.memory_used() > 1 << 19);
}

#[test]
fn an_event_queue_that_nobody_polls_stays_small() {
    let mut sim = Sim::with(FleetOptions {
        max_queued_samples: 100,
        ..FleetOptions::default()
    });
    for index in 0..100_000 {
        let payload = format!(r#"{{"n":{index},"lat":{},"lng":0}}"#, index % 90);
        sim.publish(&format!("p/data/{}", index % 10), payload);
        sim.publish(&format!("p/register/{}", index % 10), "SIGN_OUT");
    }
    // Of each device: added, presence, shape, position; and the samples, and one limit.
    assert_eq!(sim.events().len(), 10 * 4 + 100 + 1);
}

#[test]
fn a_hundred_thousand_devices() {
    let mut sim = Sim::new();
    for round in 0..3 {
        for index in 0..100_000 {
            sim.now = at(f64::from(round) * 10.0 + f64::from(index) * 1e-4);
            sim.publish(
                &format!("beaconry/data/device-{index}"),
                format!(r#"{{"temp":{round}}}"#),
            );
        }
    }
    assert_eq!(sim.fleet.len(), 100_000);
    assert_eq!(sim.fleet.counts().online(), 100_000);
    sim.until(2000.0);
    assert_eq!(sim.fleet.counts().stale(), 100_000);
    assert!(
        sim.fleet.memory_used() < 128 << 20,
        "{}",
        sim.fleet.memory_used()
    );
}
