//! Silence, sleep and our own absence.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{
    Event, FleetOptions, ObserverState, OfflineReason, Presence, PresenceKind, StaleRule,
    Timestamp, UnknownReason,
};

/// Unknown, because we are not connected.
fn away(seconds: f64) -> Presence {
    Presence::Unknown {
        since: at(seconds),
        reason: UnknownReason::Away,
    }
}

const DATA: &str = r#"{"temp":1}"#;

/// Data every `interval` seconds from `from` to `to`.
fn send(sim: &mut Sim, id: &str, from: f64, to: f64, interval: f64) {
    let mut now = from;
    while now <= to {
        sim.until(now).publish(&format!("p/data/{id}"), DATA);
        now += interval;
    }
}

#[test]
fn silence_of_three_intervals_is_stale() {
    let mut sim = Sim::new();
    send(&mut sim, "slow", 0.0, 100.0, 20.0);
    sim.until(159.9);
    assert_eq!(sim.kind("slow"), PresenceKind::Online);
    sim.until(160.0);
    let stale = Presence::Stale {
        since: at(160.0),
        last_seen: at(100.0),
    };
    assert_eq!(sim.presence("slow"), stale);
    // It is there again with its next message.
    sim.until(170.0).publish("p/data/slow", DATA);
    assert_eq!(sim.presence("slow"), Presence::Online { since: at(170.0) });
    assert_consistent(&sim.fleet);
}

#[test]
fn a_fast_device_is_stale_after_half_a_minute_and_a_new_one_after_a_quarter_hour() {
    let mut sim = Sim::new();
    send(&mut sim, "fast", 0.0, 10.0, 0.1);
    sim.publish("p/data/new", DATA);
    sim.until(39.8);
    assert_eq!(sim.kind("fast"), PresenceKind::Online);
    sim.until(40.1);
    assert_eq!(sim.kind("fast"), PresenceKind::Stale);
    sim.until(909.9);
    assert_eq!(sim.kind("new"), PresenceKind::Online);
    sim.until(910.0);
    assert_eq!(sim.kind("new"), PresenceKind::Stale);
}

#[test]
fn the_rule_can_be_changed() {
    let rule = StaleRule {
        intervals: 1,
        at_least: core::time::Duration::from_secs(5),
        while_unknown: core::time::Duration::from_secs(10),
    };
    let mut sim = Sim::with(FleetOptions {
        stale_after: rule,
        ..FleetOptions::default()
    });
    sim.publish("p/data/a", DATA).until(10.0);
    assert_eq!(sim.kind("a"), PresenceKind::Stale);
}

#[test]
fn a_device_that_only_signs_in_does_not_become_stale() {
    let mut sim = Sim::new();
    sim.publish("p/register/quiet", "SIGN_IN").until(86_400.0);
    assert_eq!(sim.kind("quiet"), PresenceKind::Online);
    assert_eq!(sim.fleet.poll_timeout(), None);
}

#[test]
fn a_duty_cycled_device_sleeps_between() {
    use PresenceKind::{Offline, Sleeping};
    let mut sim = Sim::new();
    let mut kinds = Vec::new();
    for cycle in 0..5 {
        let start = f64::from(cycle) * 15.0;
        sim.until(start).publish("p/register/d", "SIGN_IN");
        sim.until(start + 1.0).publish("p/data/d", DATA);
        assert_eq!(sim.kind("d"), PresenceKind::Online);
        sim.until(start + 5.0).publish("p/register/d", "SIGN_OUT");
        kinds.push(sim.kind("d"));
    }
    assert_eq!(
        kinds,
        [Offline, Offline, Sleeping, Sleeping, Sleeping],
        "two cycles teach it"
    );
    let sleeping = Presence::Sleeping {
        since: at(65.0),
        wakes_about: Some(at(75.0)),
    };
    assert_eq!(sim.presence("d"), sleeping);
    assert_eq!(sim.device("d").cycle_ms(), Some(15_000));
    // Said twice, by itself and by its will, changes nothing.
    sim.until(66.0).publish("p/register/d", "SIGN_OUT");
    assert_eq!(sim.presence("d"), sleeping);
    // It does not wake: half a cycle of grace.
    sim.until(82.4);
    assert_eq!(sim.kind("d"), Sleeping);
    sim.until(82.5);
    let gone = Presence::Offline {
        since: at(82.5),
        reason: OfflineReason::DidNotWake,
    };
    assert_eq!(sim.presence("d"), gone);
    // And comes back.
    sim.until(600.0).publish("p/register/d", "SIGN_IN");
    assert_eq!(sim.kind("d"), PresenceKind::Online);
    assert_consistent(&sim.fleet);
}

#[test]
fn the_rhythm_is_seen_through_data_too() {
    // It signs out, but its SIGN_IN is never seen (it expired, or was sent before we came).
    let mut sim = Sim::new();
    for cycle in 0..4 {
        sim.until(f64::from(cycle) * 60.0).publish("p/data/d", DATA);
        sim.until(f64::from(cycle) * 60.0 + 4.0)
            .publish("p/register/d", "SIGN_OUT");
    }
    assert_eq!(sim.kind("d"), PresenceKind::Sleeping);
}

#[test]
fn while_we_are_away_nothing_is_known() {
    let mut sim = Sim::new();
    send(&mut sim, "a", 0.0, 50.0, 5.0);
    sim.publish("p/register/gone", "SIGN_OUT");
    sim.until(60.0);
    sim.fleet
        .handle_observer(at(60.0), ObserverState::Disconnected);
    for id in ["a", "gone"] {
        assert_eq!(sim.presence(id), away(60.0));
    }
    assert_eq!(sim.fleet.poll_timeout(), None);
    sim.fleet.handle_timeout(at(5000.0));
    assert_eq!(
        sim.kind("a"),
        PresenceKind::Unknown,
        "neither stale nor live"
    );
    assert_eq!(sim.fleet.counts().unknown(), 2);

    sim.fleet
        .handle_observer(at(5000.0), ObserverState::Connected);
    sim.until(5001.0).publish("p/data/a", DATA);
    sim.retained("p/register/gone", "SIGN_OUT");
    // Nothing seen contradicts that it lasted.
    assert_eq!(sim.presence("a"), Presence::Online { since: at(0.0) });
    let offline = Presence::Offline {
        since: at(50.0),
        reason: OfflineReason::SaidSo,
    };
    assert_eq!(sim.presence("gone"), offline);
    let seen: Vec<_> = sim
        .device("a")
        .history()
        .map(|span| span.presence)
        .collect();
    let expected = [
        Presence::Online { since: at(0.0) },
        away(60.0),
        Presence::Online { since: at(5001.0) },
    ];
    assert_eq!(seen, expected, "but the timeline shows that we were away");
    assert_eq!(
        sim.device("a").interval_ms(),
        Some(5000),
        "our absence is not its silence"
    );
    assert_consistent(&sim.fleet);
}

#[test]
fn who_does_not_speak_after_we_are_back_is_judged() {
    let mut sim = Sim::new();
    send(&mut sim, "a", 0.0, 50.0, 5.0);
    sim.publish("p/register/gone", "SIGN_OUT");
    sim.retained("p/data/never", DATA);
    sim.until(55.0)
        .fleet
        .handle_observer(at(55.0), ObserverState::Disconnected);
    sim.fleet
        .handle_observer(at(1000.0), ObserverState::Connected);
    sim.until(1029.9);
    assert_eq!(sim.kind("a"), PresenceKind::Unknown);
    sim.until(1030.0);
    assert_eq!(
        sim.presence("a"),
        Presence::Stale {
            since: at(1030.0),
            last_seen: at(50.0)
        }
    );
    sim.until(2000.0);
    let offline = Presence::Offline {
        since: at(50.0),
        reason: OfflineReason::SaidSo,
    };
    assert_eq!(sim.presence("gone"), offline, "as it was");
    assert_eq!(
        sim.kind("never"),
        PresenceKind::Unknown,
        "it never spoke while we listened"
    );
}

#[test]
fn messages_that_trickle_in_after_the_connection_is_gone_change_no_presence() {
    let mut sim = Sim::new();
    sim.publish("p/register/a", "SIGN_IN");
    sim.fleet
        .handle_observer(at(1.0), ObserverState::Disconnected);
    sim.until(1.0)
        .publish("p/data/a", DATA)
        .publish("p/register/a", "SIGN_OUT");
    assert_eq!(sim.kind("a"), PresenceKind::Unknown);
    assert!((sim.number("a", "temp") - 1.0).abs() < 1e-12);
}

#[test]
fn a_laptop_that_slept_does_not_blame_the_devices() {
    let mut sim = Sim::new();
    send(&mut sim, "a", 0.0, 50.0, 5.0);
    // The page stands still for eight hours; the first thing after is the timer.
    let woke = 8.0 * 3600.0;
    sim.fleet.handle_timeout(at(woke));
    assert_eq!(sim.kind("a"), PresenceKind::Online);
    assert_eq!(
        sim.fleet.poll_timeout(),
        Some(at(woke + 30.0)),
        "a whole patience again"
    );
    sim.until(woke + 30.0);
    let stale = Presence::Stale {
        since: at(woke + 30.0),
        last_seen: at(50.0),
    };
    assert_eq!(sim.presence("a"), stale);
}

#[test]
fn a_late_timer_lets_waiting_messages_in_first() {
    let mut sim = Sim::new();
    for step in 0..=10 {
        sim.until(f64::from(step) * 5.0);
        sim.publish("p/data/a", DATA).publish("p/data/b", DATA);
    }
    sim.events();
    // Due at 80 s, called at 100 s: messages that arrived meanwhile are handed over just after.
    sim.fleet.handle_timeout(at(100.0));
    assert_eq!(sim.fleet.counts().online(), 2);
    sim.fleet
        .handle_message(at(100.1), fleet::Message::new("p/data/a", DATA.as_bytes()));
    // A hidden page's timers run about once a minute, so the next call is late too. This one must
    // judge which devices are silent, because that was put off once already.
    assert_eq!(sim.fleet.poll_timeout(), Some(at(105.0)));
    sim.fleet.handle_timeout(at(125.0));
    assert_eq!(sim.kind("a"), PresenceKind::Online);
    let stale = Presence::Stale {
        since: at(80.0),
        last_seen: at(50.0),
    };
    assert_eq!(sim.presence("b"), stale, "dated to when it was due");
    let key = sim.key("b");
    let changed = sim
        .events()
        .into_iter()
        .filter(|event| *event == Event::PresenceChanged(key));
    assert_eq!(changed.count(), 1);
}

#[test]
fn a_clock_that_goes_back_changes_no_order() {
    let mut sim = Sim::new();
    sim.until(100.0).publish("p/register/a", "SIGN_IN");
    for seconds in [50.0, 0.0, 99.0] {
        let message = fleet::Message::new("p/register/a", b"SIGN_OUT");
        sim.fleet.handle_message(at(seconds), message);
        sim.fleet
            .handle_message(Timestamp(i64::MIN), fleet::Message::new("p/data/a", b"{}"));
    }
    assert_consistent(&sim.fleet);
    assert_eq!(sim.presence("a"), Presence::Online { since: at(100.0) });
}

#[test]
fn history_is_bounded() {
    let options = FleetOptions {
        max_presence_history: 4,
        ..FleetOptions::default()
    };
    let mut sim = Sim::with(options);
    for second in 0..100 {
        let payload = if second % 2 == 0 {
            "SIGN_IN"
        } else {
            "SIGN_OUT"
        };
        // No rhythm: each state lasts longer than the one before.
        sim.until(f64::from(second * second))
            .publish("p/register/a", payload);
        assert_consistent(&sim.fleet);
    }
    assert_eq!(sim.device("a").history().count(), 4);
}
