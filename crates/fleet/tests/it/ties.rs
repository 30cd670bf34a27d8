//! Which client publishes for a device, and why it left.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{
    ClientNews, Event, FleetOptions, Message, OfflineReason, Presence, PresenceKind, UnknownReason,
};

const DATA: &str = r#"{"temp":1}"#;

impl Sim {
    /// A client publishes.
    fn by(&mut self, client: &str, topic: &str, payload: &str) -> &mut Self {
        let mut message = Message::new(topic, payload.as_bytes());
        message.publisher = Some(client);
        self.fleet.handle_message(self.now, message);
        self
    }

    /// The broker tells a retained message that it received at this time.
    fn retained_since(
        &mut self,
        received: fleet::Timestamp,
        topic: &str,
        payload: &str,
    ) -> &mut Self {
        let message = Message::new(topic, payload.as_bytes()).retained_since(received);
        self.fleet.handle_message(self.now, message);
        self
    }

    /// The broker publishes a client's will.
    fn will(&mut self, client: &str, topic: &str, payload: &str) -> &mut Self {
        let mut message = Message::new(topic, payload.as_bytes());
        message.publisher = Some(client);
        message.is_will = true;
        self.fleet.handle_message(self.now, message);
        self
    }

    fn comes(&mut self, client: &str) -> &mut Self {
        let news = ClientNews::Connected;
        self.fleet.handle_client(self.now, client, news);
        self
    }

    fn leaves(&mut self, client: &str, reason: OfflineReason) -> &mut Self {
        let news = ClientNews::Left(reason);
        self.fleet.handle_client(self.now, client, news);
        self
    }

    fn client(&self, id: &str) -> Option<&str> {
        self.fleet.client_of(self.key(id))
    }
}

fn offline(seconds: f64, reason: OfflineReason) -> Presence {
    Presence::Offline {
        since: at(seconds),
        reason,
    }
}

/// A device `p/a` that is tied to the client `one` at two seconds.
fn tied() -> Sim {
    let mut sim = Sim::new();
    for second in 0..3 {
        sim.until(f64::from(second)).by("one", "p/data/a", DATA);
    }
    assert_eq!(sim.client("p/a"), Some("one"));
    sim
}

#[test]
fn three_messages_over_two_seconds_tie() {
    let mut sim = Sim::new();
    sim.by("one", "p/data/a", DATA);
    for _ in 0..5 {
        sim.until(1.9).by("one", "p/data/a", DATA);
    }
    assert_eq!(sim.client("p/a"), None, "the time is too short");
    let key = sim.key("p/a");
    sim.events();
    sim.until(2.0).by("one", "p/data/a", DATA);
    assert_eq!(sim.client("p/a"), Some("one"));
    assert!(sim.events().contains(&Event::ShapeChanged(key)));
    let mut sim = Sim::new();
    sim.by("one", "p/data/a", DATA);
    sim.until(60.0).by("one", "p/data/a", DATA);
    assert_eq!(sim.client("p/a"), None, "the messages are too few");
}

#[test]
fn retained_messages_wills_and_commands_of_others_tie_nothing() {
    let mut sim = tied();
    sim.by("page", "p/cmd/req/a", r#"{"uuid":"u","command":"PING"}"#);
    sim.will("other", "p/register/a", "SIGN_OUT");
    let mut message = Message::new("p/data/a", DATA.as_bytes()).retained();
    message.publisher = Some("old");
    sim.fleet.handle_message(sim.now, message);
    assert_eq!(sim.client("p/a"), Some("one"));
}

#[test]
fn another_client_unties() {
    let mut sim = tied();
    sim.by("two", "p/data/a", DATA);
    assert_eq!(sim.client("p/a"), None);
    sim.leaves("one", OfflineReason::ConnectionLost);
    assert_eq!(sim.kind("p/a"), PresenceKind::Online);
    // As long as both may publish, a few messages in a row prove nothing.
    for second in 3..100 {
        sim.until(f64::from(second)).by("two", "p/data/a", DATA);
    }
    assert_eq!(sim.client("p/a"), None);
    for second in 600..606 {
        sim.until(f64::from(second)).by("two", "p/data/a", DATA);
    }
    assert_eq!(sim.client("p/a"), Some("two"));
}

#[test]
fn a_device_with_a_new_identifier_is_tied_to_that() {
    let mut sim = tied();
    sim.until(10.0).leaves("one", OfflineReason::ConnectionLost);
    for second in 20..23 {
        sim.until(f64::from(second)).by("two", "p/data/a", DATA);
    }
    assert_eq!(sim.client("p/a"), Some("two"));
    sim.leaves("one", OfflineReason::ConnectionLost);
    assert_eq!(sim.kind("p/a"), PresenceKind::Online);
}

#[test]
fn it_leaves_with_its_client_and_for_the_brokers_reason() {
    for reason in [
        OfflineReason::KeepAliveTimeout,
        OfflineReason::ConnectionLost,
        OfflineReason::PutOut,
        OfflineReason::Disconnected,
    ] {
        let mut sim = tied();
        sim.until(10.0).leaves("one", reason);
        assert_eq!(sim.presence("p/a"), offline(10.0, reason));
        // With its next message it is there again, and still tied.
        sim.until(11.0).by("one", "p/data/a", DATA);
        assert_eq!(sim.presence("p/a"), Presence::Online { since: at(11.0) });
        assert_eq!(sim.client("p/a"), Some("one"));
        assert_consistent(&sim.fleet);
    }
}

#[test]
fn it_comes_with_its_client() {
    let mut sim = tied();
    sim.until(10.0)
        .leaves("one", OfflineReason::KeepAliveTimeout);
    sim.until(2_000.0).comes("one");
    assert_eq!(sim.presence("p/a"), Presence::Online { since: at(2_000.0) });
    // Its silence counts from there.
    sim.until(2_029.9);
    assert_eq!(sim.kind("p/a"), PresenceKind::Online);
    sim.until(2_900.1);
    assert_eq!(sim.kind("p/a"), PresenceKind::Stale);
}

#[test]
fn taken_over_by_the_same_identifier_is_not_leaving() {
    let mut sim = tied();
    sim.until(10.0)
        .leaves("one", OfflineReason::TakenOver)
        .will("one", "p/register/a", "SIGN_OUT")
        .comes("one");
    assert_eq!(sim.presence("p/a"), Presence::Online { since: at(0.0) });
    sim.until(11.0).will("one", "p/register/a", "SIGN_OUT");
    assert_eq!(sim.presence("p/a"), offline(11.0, OfflineReason::SaidSo));
    sim.leaves("one", OfflineReason::ConnectionLost);
    assert_eq!(sim.kind("p/a"), PresenceKind::Offline);
}

#[test]
fn while_one_client_changes_its_connection_the_will_of_another_counts() {
    let mut sim = tied();
    sim.until(10.0)
        .leaves("one", OfflineReason::TakenOver)
        .will("bridge", "p/register/a", "SIGN_OUT");
    assert_eq!(sim.presence("p/a"), offline(10.0, OfflineReason::SaidSo));
}

#[test]
fn the_brokers_reason_outlives_the_will() {
    let mut sim = tied();
    sim.by("one", "p/register/a", "SIGN_IN");
    sim.until(10.0)
        .leaves("one", OfflineReason::KeepAliveTimeout);
    sim.until(15.0).will("one", "p/register/a", "SIGN_OUT");
    let expected = offline(10.0, OfflineReason::KeepAliveTimeout);
    assert_eq!(sim.presence("p/a"), expected);
    assert_eq!(
        sim.device("p/a").last_seen(),
        Some(at(2.0)),
        "no sign of life"
    );
    // A subscriber's resync brings it once more.
    sim.retained("p/register/a", "SIGN_OUT");
    assert_eq!(sim.presence("p/a"), expected);
    // The will may also come first.
    let mut sim = tied();
    sim.until(10.0).will("one", "p/register/a", "SIGN_OUT");
    assert_eq!(sim.presence("p/a"), offline(10.0, OfflineReason::SaidSo));
    sim.leaves("one", OfflineReason::KeepAliveTimeout);
    assert_eq!(sim.presence("p/a"), expected);
}

#[test]
fn who_signs_out_and_disconnects_has_signed_out() {
    let mut sim = tied();
    sim.until(10.0)
        .by("one", "p/register/a", "SIGN_OUT")
        .leaves("one", OfflineReason::Disconnected);
    assert_eq!(sim.presence("p/a"), offline(10.0, OfflineReason::SaidSo));
    // Its client alone does not bring it back, because it said itself that it is gone.
    sim.until(11.0).comes("one");
    assert_eq!(sim.kind("p/a"), PresenceKind::Offline);
    sim.by("one", "p/register/a", "SIGN_IN");
    assert_eq!(sim.kind("p/a"), PresenceKind::Online);
}

/// A device that only sends, and is connected for three seconds of each sixty.
fn sleeper(reason: OfflineReason, will: Option<&str>) -> Sim {
    let mut sim = Sim::new();
    for cycle in 0..5 {
        let start = f64::from(cycle) * 60.0;
        sim.until(start).comes("one");
        for second in 0..4 {
            let now = start + f64::from(second);
            sim.until(now).by("one", "p/data/a", DATA);
        }
        sim.leaves("one", reason);
        if let Some(will) = will {
            sim.will("one", "p/register/a", will);
        }
    }
    sim
}

#[test]
fn it_sleeps_if_that_is_its_rhythm() {
    let asleep = Presence::Sleeping {
        since: at(243.0),
        wakes_about: Some(at(300.0)),
    };
    for reason in [
        OfflineReason::Disconnected,
        OfflineReason::ConnectionLost,
        OfflineReason::KeepAliveTimeout,
    ] {
        for will in [None, Some("SIGN_OUT")] {
            let mut sim = sleeper(reason, will);
            assert_eq!(sim.presence("p/a"), asleep, "{reason:?} {will:?}");
            sim.until(340.0);
            let late = OfflineReason::DidNotWake;
            assert_eq!(sim.presence("p/a"), offline(330.0, late));
            assert_consistent(&sim.fleet);
        }
    }
    let sim = sleeper(OfflineReason::PutOut, None);
    assert_eq!(sim.kind("p/a"), PresenceKind::Offline, "that is no sleep");
}

#[test]
fn who_comes_with_a_new_identifier_each_time_says_nothing_by_leaving() {
    let mut sim = Sim::new();
    for run in 0..20 {
        let client = format!("mosq-{run}");
        sim.until(f64::from(run) * 10.0).comes(&client);
        sim.by(&client, "p/data/a", DATA);
        sim.leaves(&client, OfflineReason::Disconnected);
        assert_eq!(sim.kind("p/a"), PresenceKind::Online);
        assert_eq!(sim.client("p/a"), None);
    }
}

#[test]
fn a_lost_gateway_makes_its_devices_unreachable() {
    let mut sim = Sim::new();
    for second in 0..5 {
        sim.until(f64::from(second));
        for id in ["a", "b", "c"] {
            sim.by("gate", &format!("p/data/{id}"), DATA);
        }
        sim.by("one", "p/data/alone", DATA);
    }
    sim.until(10.0)
        .leaves("gate", OfflineReason::ConnectionLost);
    for id in ["p/a", "p/b", "p/c"] {
        assert_eq!(sim.presence(id), offline(10.0, OfflineReason::GatewayLost));
    }
    assert_eq!(sim.kind("p/alone"), PresenceKind::Online);
    // The gateway is back. About its devices that says nothing.
    sim.until(100.0).comes("gate");
    let unknown = Presence::Unknown {
        since: at(100.0),
        reason: UnknownReason::Away,
    };
    assert_eq!(sim.presence("p/a"), unknown);
    sim.until(101.0).by("gate", "p/data/b", DATA);
    assert_eq!(sim.kind("p/b"), PresenceKind::Online);
    // Its devices' silence counts from then.
    sim.until(129.0);
    assert_eq!(sim.kind("p/a"), PresenceKind::Unknown);
    sim.until(1_000.1);
    assert_eq!(sim.kind("p/a"), PresenceKind::Stale);
    assert_consistent(&sim.fleet);
}

#[test]
fn a_tie_is_described_and_adopted() {
    let sim = tied();
    let described = sim.fleet.describe(sim.key("p/a")).unwrap();
    assert_eq!(described.client.as_deref(), Some("one"));
    let mut other = Sim::new();
    other.now = sim.now;
    other.fleet.adopt(sim.now, &described);
    other.fleet.handle_restart(sim.now);
    assert_eq!(other.client("p/a"), Some("one"));
    assert_eq!(
        other.fleet.tied_clients().collect::<Vec<_>>(),
        [("one", false)]
    );
    assert_eq!(other.kind("p/a"), PresenceKind::Unknown);
    other.comes("one");
    assert_eq!(other.kind("p/a"), PresenceKind::Online);
    assert_eq!(
        other.fleet.tied_clients().collect::<Vec<_>>(),
        [("one", true)]
    );
    other.leaves("one", OfflineReason::KeepAliveTimeout);
    assert_eq!(other.kind("p/a"), PresenceKind::Offline);
}

#[test]
fn a_will_after_a_restart_counts() {
    let mut sim = tied();
    sim.by("one", "p/register/a", "SIGN_IN");
    let described = sim.fleet.describe(sim.key("p/a")).unwrap();
    let mut other = Sim::new();
    other.now = sim.now;
    other.fleet.adopt(sim.now, &described);
    other.fleet.handle_restart(sim.now);
    assert_eq!(other.kind("p/a"), PresenceKind::Online);
    other.will("one", "p/register/a", "SIGN_OUT");
    assert_eq!(other.kind("p/a"), PresenceKind::Offline);
}

/// The server is started again with what it knew.
fn restarted(sim: &Sim, ids: &[&str]) -> Sim {
    let mut other = Sim::new();
    other.now = sim.now;
    for id in ids {
        let described = sim.fleet.describe(sim.key(id)).unwrap();
        other.fleet.adopt(sim.now, &described);
    }
    other.fleet.handle_restart(sim.now);
    other
}

#[test]
fn a_registered_device_whose_client_does_not_come_back_is_unknown() {
    let mut sim = tied();
    sim.by("one", "p/register/a", "SIGN_IN");
    let received = sim.now;
    let mut other = restarted(&sim, &["p/a"]);
    other.until(60.0);
    // The broker tells what is retained, then that no client is connected.
    other.retained_since(received, "p/register/a", "SIGN_IN");
    assert_eq!(other.kind("p/a"), PresenceKind::Online);
    other.fleet.handle_clients_told(other.now);
    let unknown = Presence::Unknown {
        since: other.now,
        reason: UnknownReason::ServerRestarted,
    };
    assert_eq!(other.presence("p/a"), unknown);
    // A later resync repeats what is retained.
    other.until(70.0);
    other.retained_since(received, "p/register/a", "SIGN_IN");
    other.fleet.handle_clients_told(other.now);
    assert_eq!(other.presence("p/a"), unknown);
    assert_consistent(&other.fleet);
    // Its will counts, and so does a message of its own.
    other.will("one", "p/register/a", "SIGN_OUT");
    assert_eq!(other.kind("p/a"), PresenceKind::Offline);
    other.until(80.0).by("one", "p/data/a", DATA);
    assert_eq!(other.kind("p/a"), PresenceKind::Online);
}

#[test]
fn a_device_that_was_heard_before_the_clients_were_told_stays_online() {
    let mut sim = tied();
    sim.by("one", "p/register/a", "SIGN_IN");
    let mut other = restarted(&sim, &["p/a"]);
    other.until(60.0).by("one", "p/data/a", DATA);
    other.fleet.handle_clients_told(other.now);
    assert_eq!(other.kind("p/a"), PresenceKind::Online);
}

#[test]
fn a_restart_takes_all_devices_of_a_gateway_that_is_not_back_and_no_lost_one() {
    let mut sim = Sim::new();
    let ids: Vec<String> = (0..500).map(|n| format!("p/d{n}")).collect();
    for second in 0..4 {
        sim.until(f64::from(second));
        for n in 0..500 {
            sim.by("gate", &format!("p/register/d{n}"), "SIGN_IN");
        }
        sim.by("one", "p/register/lost", "SIGN_IN");
    }
    sim.until(4.0).leaves("one", OfflineReason::ConnectionLost);
    let lost = sim.presence("p/lost");
    let mut all: Vec<&str> = ids.iter().map(String::as_str).collect();
    all.push("p/lost");
    let mut other = restarted(&sim, &all);
    other.until(60.0);
    other.retained_since(at(3.0), "p/register/lost", "SIGN_IN");
    other.retained_since(at(3.0), "p/register/d7", "SIGN_IN");
    other.fleet.handle_clients_told(other.now);
    for id in &ids {
        assert_eq!(other.kind(id), PresenceKind::Unknown, "{id}");
    }
    assert_eq!(other.presence("p/lost"), lost);
    assert_consistent(&other.fleet);
}

#[test]
fn clients_are_remembered_as_long_as_a_device_knows_them() {
    let mut sim = Sim::new();
    let empty = sim.fleet.memory_used();
    for run in 0..1_000 {
        sim.until(f64::from(run));
        sim.by(&format!("client-{run:04}"), "p/data/a", DATA);
        if run == 0 {
            sim.by("x", "p/data/b", DATA).by("x", "p/data/c", DATA);
        }
    }
    let used = sim.fleet.memory_used();
    sim.until(1_000.0).by("client-9999", "p/data/a", DATA);
    assert_eq!(sim.fleet.memory_used(), used);
    for id in ["p/b", "p/a", "p/c"] {
        let key = sim.key(id);
        sim.fleet.forget(key);
        assert_consistent(&sim.fleet);
    }
    assert_eq!(sim.fleet.memory_used(), empty);
}

#[test]
fn without_memory_nothing_is_tied() {
    let mut sim = Sim::with(FleetOptions {
        max_bytes: 2_600,
        ..FleetOptions::default()
    });
    sim.by("x", "p/data/a", DATA);
    let long = "x".repeat(5_000);
    for second in 0..5 {
        sim.until(f64::from(second)).by(&long, "p/data/a", DATA);
    }
    assert_eq!(sim.client("p/a"), None);
    assert!(sim.fleet.limits().count(fleet::Limit::Bytes) > 0);
    sim.leaves(&long, OfflineReason::ConnectionLost);
    assert_eq!(sim.kind("p/a"), PresenceKind::Online);
}
