//! The order of samples, and the device's own clock.

use crate::sim::{START, Sim, at};
use fleet::{FaultKind, Limit};

fn stamped(ms: i64, value: f64) -> String {
    format!(r#"{{"ts":{ms},"temp":{value}}}"#)
}

#[test]
fn samples_have_the_devices_time_where_it_can_be_believed() {
    let mut sim = Sim::new();
    sim.until(100.0);
    sim.publish("p/data/a", stamped(at(90.0).0, 1.0));
    sim.publish(
        "p/data/a",
        r#"{"timestamp":"2026-11-21T05:01:35+01:00","temp":2}"#,
    );
    sim.publish("p/data/a", r#"{"temp":3}"#);
    let temp = |value, seconds| ("temp".to_owned(), at(seconds), value);
    assert_eq!(
        sim.samples(),
        [temp(1.0, 90.0), temp(2.0, 95.0), temp(3.0, 100.0)]
    );
    assert_eq!(sim.device("a").metrics().len(), 1, "the clock is no metric");
    assert_eq!(sim.device("a").faults().len(), 0);
}

#[test]
fn a_wrong_clock_is_a_fault_and_arrival_counts() {
    let mut sim = Sim::new();
    for (seconds, message) in [
        (1.0, r#"{"ts":12,"temp":1}"#),
        (2.0, r#"{"time":"1970-01-01T00:00:12Z","temp":2}"#),
        (3.0, r#"{"Time":"1970-01-01T00:00:12","temp":3}"#),
        (4.0, r#"{"ts":1795240000,"temp":4}"#),
    ] {
        sim.until(seconds).publish("p/data/a", message);
        assert_eq!(
            sim.samples().first().map(|sample| sample.1),
            Some(at(seconds))
        );
    }
    assert_eq!(sim.fault_count("a", FaultKind::ClockWrong), 4);
    let (_, temp) = sim.device("a").metric_named("temp").unwrap();
    assert!(!temp.is_own_clock());
}

#[test]
fn a_clock_that_is_a_little_ahead_is_believed() {
    let mut sim = Sim::new();
    sim.publish("p/data/a", stamped(START.0 + 59_000, 1.0));
    assert_eq!(sim.samples()[0].1, at(59.0));
    // Without its clock the next one is not drawn before it.
    sim.until(1.0).publish("p/data/a", r#"{"temp":2}"#);
    assert_eq!(sim.samples()[0].1, at(59.0));
    assert_eq!(sim.device("a").faults().len(), 0);
}

#[test]
fn late_and_repeated_samples_are_not_drawn() {
    let mut sim = Sim::new();
    sim.until(100.0);
    for (ms, value) in [
        (10.0, 1.0),
        (30.0, 3.0),
        (20.0, 2.0),
        (30.0, 3.0),
        (30.0, 4.0),
        (40.0, 5.0),
    ] {
        sim.publish("p/data/a", stamped(at(ms).0, value));
    }
    let drawn: Vec<_> = sim
        .samples()
        .into_iter()
        .map(|(_, at, value)| (at, value))
        .collect();
    assert_eq!(drawn, [(at(10.0), 1.0), (at(30.0), 3.0), (at(40.0), 5.0)]);
    assert_eq!(sim.device("a").out_of_order_count(), 1);
    assert_eq!(sim.device("a").duplicate_count(), 1);
}

#[test]
fn a_message_marked_as_duplicate_is_taken_once() {
    let mut sim = Sim::new();
    sim.publish("p/data/a", r#"{"temp":1}"#);
    sim.publish("p/data/a", r#"{"temp":2}"#);
    // The connection broke and both are sent again.
    sim.until(1.0);
    sim.duplicate("p/data/a", r#"{"temp":1}"#);
    sim.duplicate("p/data/a", r#"{"temp":2}"#);
    // This one was lost the first time.
    sim.duplicate("p/data/a", r#"{"temp":3}"#);
    let drawn: Vec<_> = sim.samples().into_iter().map(|sample| sample.2).collect();
    assert_eq!(drawn, [1.0, 2.0, 3.0]);
    assert_eq!(sim.device("a").duplicate_count(), 2);
    // The same value again, not marked, is a new reading.
    sim.publish("p/data/a", r#"{"temp":3}"#);
    assert_eq!(sim.samples().len(), 1);
}

#[test]
fn a_retained_value_with_its_time_is_drawn_there() {
    let mut sim = Sim::new();
    sim.until(100.0);
    sim.retained("p/data/a", stamped(at(50.0).0, 1.0));
    sim.publish("p/data/a", stamped(at(60.0).0, 2.0));
    // After a reconnect the broker sends the retained one again.
    sim.retained("p/data/a", stamped(at(50.0).0, 1.0));
    let drawn: Vec<_> = sim
        .samples()
        .into_iter()
        .map(|(_, at, value)| (at, value))
        .collect();
    assert_eq!(drawn, [(at(50.0), 1.0), (at(60.0), 2.0)]);
    assert!((sim.number("a", "temp") - 2.0).abs() < 1e-12);
}

#[test]
fn a_retained_value_does_not_hold_up_an_older_clock() {
    let mut sim = Sim::new();
    sim.until(100.0);
    sim.retained("p/data/a", r#"{"temp":1}"#);
    sim.publish("p/data/a", stamped(at(98.0).0, 2.0));
    assert_eq!(sim.samples().len(), 1);
}

#[test]
fn samples_that_nobody_polls_are_dropped_and_counted() {
    let options = fleet::FleetOptions {
        max_queued_samples: 10,
        ..fleet::FleetOptions::default()
    };
    let mut sim = Sim::with(options);
    for value in 0..25 {
        sim.publish("p/data/a", format!(r#"{{"n":{value}}}"#));
    }
    let events = sim.events();
    assert!(events.contains(&fleet::Event::LimitHit(Limit::QueuedSamples)));
    assert_eq!(sim.fleet.limits().count(Limit::QueuedSamples), 15);
    let samples = events
        .iter()
        .filter(|event| matches!(event, fleet::Event::Sample { .. }));
    assert_eq!(samples.count(), 10);
    assert!(
        (sim.number("a", "n") - 24.0).abs() < 1e-12,
        "the latest is never lost"
    );
}

#[test]
fn rates_are_observed() {
    let mut sim = Sim::new();
    for second in 0..20 {
        sim.until(f64::from(second) * 2.0)
            .publish("p/data/a", r#"{"n":1}"#);
    }
    let (_, n) = sim.device("a").metric_named("n").unwrap();
    assert!((n.rate_hz().unwrap() - 0.5).abs() < 1e-6);
    assert_eq!(sim.device("a").interval_ms(), Some(2000));
    assert_eq!(n.samples(), 20);
}
