//! Retained messages that a server reads again: the broker has told when it received them.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{FaultKind, Message, OfflineReason, Presence, PresenceKind};

impl Sim {
    /// The broker tells of a message that it retained at `seconds`.
    fn again(&mut self, seconds: f64, topic: &str, payload: &str) -> &mut Self {
        let message = Message::new(topic, payload.as_bytes()).retained_since(at(seconds));
        self.fleet.handle_message(self.now, message);
        self
    }
}

#[test]
fn an_old_word_does_not_change_a_newer_presence() {
    let mut sim = Sim::new();
    sim.publish("p/register/a", "SIGN_OUT");
    sim.until(5.0).publish("p/data/a", r#"{"n":1}"#);
    sim.until(9.0).again(0.0, "p/register/a", "SIGN_OUT");
    assert_eq!(sim.presence("p/a"), Presence::Online { since: at(5.0) });
    // It is silent for too long.
    sim.until(2_000.0);
    assert_eq!(sim.kind("p/a"), PresenceKind::Stale);
    sim.again(1.0, "p/register/a", "SIGN_IN");
    assert_eq!(sim.kind("p/a"), PresenceKind::Stale);
    assert_consistent(&sim.fleet);
}

#[test]
fn a_newer_word_counts() {
    let mut sim = Sim::new();
    sim.publish("p/register/a", "SIGN_IN");
    sim.publish("p/data/a", r#"{"n":1}"#);
    sim.until(9.0).again(5.0, "p/register/a", "SIGN_OUT");
    let reason = OfflineReason::SaidSo;
    let offline = Presence::Offline {
        since: at(9.0),
        reason,
    };
    assert_eq!(sim.presence("p/a"), offline);
    // Of what nothing is known, any word counts.
    sim.again(1.0, "p/register/b", "SIGN_IN");
    assert_eq!(sim.kind("p/b"), PresenceKind::Online);
}

#[test]
fn an_old_value_does_not_replace_a_newer_one() {
    let mut sim = Sim::new();
    sim.until(5.0).publish("home/a/temp", "2");
    sim.until(9.0).again(1.0, "home/a/temp", "1");
    let (_, metric) = sim.device("home/a").metric_named("temp").unwrap();
    assert_eq!((metric.at(), metric.arrived_at()), (at(5.0), at(5.0)));
    assert!(sim.number("home/a", "temp") > 1.5);
    // What was lost meanwhile is shown, with the time at which the broker received it.
    sim.again(7.0, "home/a/temp", "3");
    let (_, metric) = sim.device("home/a").metric_named("temp").unwrap();
    assert_eq!((metric.at(), metric.arrived_at()), (at(7.0), at(7.0)));
    assert!(sim.number("home/a", "temp") > 2.5);
}

#[test]
fn an_old_position_does_not_replace_a_newer_one() {
    let mut sim = Sim::new();
    sim.until(5.0).publish("p/data/a", r#"{"lat":2,"lng":2}"#);
    let known = sim.device("p/a").position().copied();
    assert!(known.is_some());
    sim.until(9.0)
        .again(1.0, "p/data/a", r#"{"lat":1,"lng":1}"#);
    assert_eq!(sim.device("p/a").position().copied(), known);
}

#[test]
fn a_fault_that_is_read_again_is_no_new_one() {
    let mut sim = Sim::new();
    sim.until(5.0).publish("p/data/a", "{");
    let kind = FaultKind::NotJson;
    assert_eq!(sim.fault_count("p/a", kind), 1);
    sim.until(9.0).again(5.0, "p/data/a", "{");
    assert_eq!(sim.fault_count("p/a", kind), 1);
    sim.again(7.0, "p/data/a", "{");
    assert_eq!(sim.fault_count("p/a", kind), 2);
}

/// The broker gives up a retained message: it expired, or there was no room for it.
#[test]
fn a_retained_message_that_is_gone_takes_away_only_what_nobody_has_sent() {
    let mut sim = Sim::new();
    sim.publish("p/register/live", "SIGN_IN")
        .publish("p/data/live", r#"{"n":1,"lat":1,"lng":2}"#)
        .retained("p/data/live", r#"{"old":1}"#)
        .retained("p/register/quiet", "SIGN_IN")
        .retained("p/data/quiet", r#"{"n":1,"lat":1,"lng":2}"#)
        .retained("p/register/gone", "SIGN_IN");
    sim.until(5.0);
    for id in ["live", "quiet", "gone"] {
        for topic in ["register", "data"] {
            let topic = format!("p/{topic}/{id}");
            sim.fleet.handle_retained_gone(sim.now, &topic);
        }
    }
    let live = sim.device("p/live");
    assert!(live.metric_named("n").unwrap().1.has_value());
    assert!(!live.metric_named("old").unwrap().1.has_value());
    assert!(live.position().is_some());
    assert_eq!(sim.presence("p/live"), Presence::Online { since: at(0.0) });
    for id in ["p/quiet", "p/gone"] {
        assert_eq!(sim.fleet.find(id), None, "{id}");
    }
    assert_consistent(&sim.fleet);
}

#[test]
fn what_a_resync_does_not_tell_is_gone() {
    let mut sim = Sim::new();
    sim.retained("p/register/stays", "SIGN_OUT")
        .retained("p/data/stays", r#"{"n":1}"#)
        .retained("p/register/gone", "SIGN_OUT")
        .publish("p/data/live", r#"{"n":1}"#);
    sim.until(5.0);
    sim.fleet.begin_retained();
    sim.again(0.0, "p/register/stays", "SIGN_OUT");
    sim.fleet.end_retained(sim.now);
    assert_eq!(sim.kind("p/stays"), PresenceKind::Offline);
    let (_, n) = sim.device("p/stays").metric_named("n").unwrap();
    assert!(!n.has_value());
    assert_eq!(sim.fleet.find("p/gone"), None);
    assert_eq!(sim.kind("p/live"), PresenceKind::Online);
    // Nobody tells anything now.
    sim.fleet.end_retained(sim.now);
    assert_eq!(sim.fleet.len(), 2);
    assert_consistent(&sim.fleet);
}

/// A server stores anew what has changed.
#[test]
fn a_resync_that_takes_nothing_away_changes_no_device() {
    let mut sim = Sim::new();
    sim.publish("p/data/a", r#"{"n":1}"#)
        .retained("p/register/b", "SIGN_OUT");
    sim.events();
    let revisions = |sim: &Sim| ["p/a", "p/b"].map(|id| sim.device(id).revision());
    sim.fleet.begin_retained();
    sim.again(0.0, "p/register/b", "SIGN_OUT");
    sim.events();
    let before = revisions(&sim);
    sim.fleet.end_retained(sim.now);
    assert_eq!(revisions(&sim), before);
    assert_eq!(sim.events(), []);
}
