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
fn late_samples_are_drawn_in_their_place_and_repeated_ones_not() {
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
    let expected = [(10.0, 1.0), (30.0, 3.0), (20.0, 2.0), (40.0, 5.0)];
    assert_eq!(drawn, expected.map(|(seconds, value)| (at(seconds), value)));
    assert_eq!(sim.device("a").out_of_order_count(), 0);
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

/// The values and times that a card shows.
fn shown(sim: &Sim) -> (f64, fleet::Timestamp) {
    let (_, temp) = sim.device("a").metric_named("temp").unwrap();
    (temp.value().as_number().unwrap(), temp.at())
}

fn clock_fault(sim: &Sim) -> Option<String> {
    let mut faults = sim.device("a").faults().iter();
    let fault = faults.find(|fault| fault.kind() == FaultKind::ClockWrong);
    fault.map(fleet::Fault::text)
}

#[test]
fn a_clock_that_goes_back_is_not_followed() {
    // By an hour, by a minute; with messages each second, each minute.
    for (back, every) in [(3600.0, 1.0), (90.0, 1.0), (3600.0, 60.0), (90.0, 60.0)] {
        let mut sim = Sim::new();
        for step in 0..40 {
            let step = f64::from(step);
            let now = step * every;
            let back = if step < 10.0 { 0.0 } else { back };
            sim.until(now)
                .publish("p/data/a", stamped(at(now - back).0, step));
            let (value, time) = shown(&sim);
            if step >= 12.0 {
                assert!(
                    (value - step).abs() < 1e-12,
                    "back by {back}, every {every}"
                );
                assert_eq!(time, at(now), "back by {back}, every {every}");
            }
        }
        let text = clock_fault(&sim).unwrap();
        let behind = if back > 3000.0 {
            "60 min behind"
        } else {
            "90 s behind"
        };
        assert!(text.ends_with(behind), "{text}");
    }
}

#[test]
fn a_clock_that_was_set_right_is_believed_again() {
    let mut sim = Sim::new();
    for step in 0..40 {
        let now = f64::from(step);
        let back = if (10..30).contains(&step) {
            3600.0
        } else {
            0.5
        };
        sim.until(now)
            .publish("p/data/a", stamped(at(now - back).0, now));
    }
    assert_eq!(shown(&sim), (39.0, at(38.5)));
}

#[test]
fn a_clock_that_stays_hours_behind_is_not_believed() {
    for every in [1.0, 10.0, 300.0] {
        let mut sim = Sim::new();
        for step in 0..10 {
            let now = f64::from(step) * every;
            sim.until(now)
                .publish("p/data/a", stamped(at(now - 7201.0).0, f64::from(step)));
        }
        assert_eq!(shown(&sim), (9.0, at(9.0 * every)));
        assert!(clock_fault(&sim).unwrap().ends_with(": 2 h behind"));
    }
}

#[test]
fn a_backlog_behind_a_live_sample_is_drawn_in_its_place() {
    let mut sim = Sim::new();
    for minute in 0..5 {
        let now = f64::from(minute) * 60.0;
        sim.until(now)
            .publish("p/data/a", stamped(at(now).0, f64::from(minute)));
    }
    // Ten hours without connection. Then the live value, and what was stored, five a second.
    let back = 36_000.0;
    sim.until(back)
        .publish("p/data/a", stamped(at(back).0, 600.0));
    sim.events();
    for minute in 5..600 {
        let minute = f64::from(minute);
        sim.until(back + 0.2 * (minute - 4.0))
            .publish("p/data/a", stamped(at(minute * 60.0).0, minute));
        if minute.rem_euclid(300.0) < 1.0 {
            // Live values come between.
            let now = sim.now;
            sim.publish("p/data/a", stamped(now.0, 601.0));
        }
    }
    let samples = sim.samples();
    let stored = samples.iter().filter(|sample| sample.2 < 600.0);
    let mut count = 0;
    for (_, time, value) in stored {
        assert_eq!(*time, at(value * 60.0));
        count += 1;
    }
    assert_eq!(count, 595);
    assert!(shown(&sim).0 > 600.0, "the live value is shown");
    assert_eq!(clock_fault(&sim), None);
}

#[test]
fn a_backlog_in_its_order_is_believed() {
    let mut sim = Sim::new();
    for minute in 0..600 {
        let minute = f64::from(minute);
        sim.until(36_000.0 + minute * 0.5)
            .publish("p/data/a", stamped(at(minute * 60.0).0, minute));
    }
    assert_eq!(shown(&sim), (599.0, at(599.0 * 60.0)));
    assert_eq!(clock_fault(&sim), None);
}
