//! What one fleet describes, another one adopts.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{
    CommandRequest, Event, FaultKind, Fleet, FleetOptions, OfflineReason, Presence, PresenceKind,
    UnknownReason,
};

const DATA: &str = r#"{"temp":21.5,"door":"open","on":true,"lat":48.0,"lng":-88.5}"#;

/// A fleet that has adopted everything that `sim` describes.
fn adopter(sim: &Sim, follows: bool) -> Sim {
    let mut other = Sim::with(FleetOptions {
        follows,
        ..FleetOptions::default()
    });
    other.now = sim.now;
    for (key, _) in sim.fleet.devices() {
        let mut described = sim.fleet.describe(key).unwrap();
        described.commands = sim.fleet.describe_commands(key);
        other.fleet.adopt(sim.now, &described).unwrap();
    }
    other
}

fn assert_same(sim: &Sim, other: &Sim) {
    for (key, device) in sim.fleet.devices() {
        let found = other.key(&device.full_id());
        assert_eq!(other.fleet.describe(found), sim.fleet.describe(key));
        assert_eq!(
            other.fleet.describe_commands(found),
            sim.fleet.describe_commands(key)
        );
    }
    assert_eq!(sim.fleet.describe_counts(), other.fleet.describe_counts());
    assert_consistent(&other.fleet);
}

/// One command that waits for its answer, and one that has it.
fn give_commands(sim: &mut Sim) {
    let key = sim.key("p/d");
    let request = CommandRequest::Named("PING");
    sim.fleet.command(sim.now, key, "one", request).unwrap();
    sim.publish("p/cmd/req/d", r#"{"uuid":"two","command":"PING"}"#);
    sim.publish(
        "p/cmd/resp/d",
        r#"{"uuid":"two","command":"PING","commandResult":"PONG"}"#,
    );
}

/// Five cycles of waking and sleeping, and a device that sends every ten seconds.
fn a_little_fleet() -> Sim {
    let mut sim = Sim::new();
    sim.retained(
        "p/data/d",
        r#"{"messageType":"ANNOUNCE","commands":["PING","REBOOT"],"units":{"temp":"K","flow":"L/min"}}"#,
    );
    for cycle in 0..5 {
        let start = f64::from(cycle) * 15.0;
        sim.until(start).publish("p/register/d", "SIGN_IN");
        sim.until(start + 1.0).publish("p/data/d", DATA);
        if cycle == 0 {
            give_commands(&mut sim);
        }
        sim.until(start + 5.0).publish("p/register/d", "SIGN_OUT");
        sim.until(start + 6.0).publish("home/kitchen", "t=1 u=2");
    }
    sim.publish("p/data/bad", "{");
    sim
}

#[test]
fn who_adopts_describes_the_same() {
    let sim = a_little_fleet();
    let other = adopter(&sim, false);
    assert_same(&sim, &other);
    let described = sim.fleet.describe(sim.key("p/d")).unwrap();
    assert_eq!((described.id.as_str(), described.prefix_len), ("p/d", 2));
    assert_eq!(described.topics, ["p/register/d", "p/data/d"]);
    assert_eq!(
        described.presence.state,
        api::fleet::PresenceState::Sleeping
    );
    assert_eq!(described.rhythm.cycle_ms, Some(15_000));
    assert_eq!(described.history.len(), 10);
    // Adopting twice changes nothing.
    let mut again = adopter(&sim, false);
    again.events();
    let key = again.key("p/d");
    again.fleet.adopt(sim.now, &described);
    let changed = again.events().into_iter();
    assert_eq!(changed.count(), 0);
    assert_eq!(
        again.fleet.describe(key),
        other.fleet.describe(other.key("p/d"))
    );
}

#[test]
fn who_adopts_judges_the_same() {
    let mut sim = a_little_fleet();
    let mut other = adopter(&sim, false);
    let end = 200.0;
    sim.until(end);
    other.until(end);
    assert_eq!(sim.kind("p/d"), PresenceKind::Offline);
    for id in ["p/d", "home/kitchen", "p/bad"] {
        assert_eq!(sim.presence(id), other.presence(id), "{id}");
    }
    // The rhythm goes on where it was.
    let mut sim = a_little_fleet();
    let mut other = adopter(&sim, false);
    for sim in [&mut sim, &mut other] {
        sim.until(75.0).publish("p/register/d", "SIGN_IN");
        sim.until(80.0).publish("p/register/d", "SIGN_OUT");
        assert_eq!(
            sim.presence("p/d"),
            Presence::Sleeping {
                since: at(80.0),
                wakes_about: Some(at(90.0)),
            }
        );
    }
}

#[test]
fn adopting_tells_the_usual_events() {
    let sim = a_little_fleet();
    let mut other = adopter(&sim, true);
    let key = other.key("p/d");
    let events = other.events();
    for expected in [
        Event::DeviceAdded(key),
        Event::PresenceChanged(key),
        Event::ShapeChanged(key),
        Event::ValuesChanged(key),
        Event::PositionChanged(key),
    ] {
        assert!(events.contains(&expected), "{expected:?}");
    }
    let mut other = adopter(&sim, true);
    let samples = other.samples();
    assert!(samples.contains(&("temp".into(), at(61.0), 21.5)));
}

#[test]
fn who_follows_judges_nothing_itself() {
    let sim = a_little_fleet();
    let mut page = adopter(&sim, true);
    page.until(200.0);
    assert_eq!(
        page.kind("p/d"),
        PresenceKind::Sleeping,
        "no silence is judged"
    );
    // Messages bring values and signs of life, and change no presence.
    page.publish("p/data/d", r#"{"temp":5}"#);
    page.publish("p/register/d", "SIGN_IN");
    assert_eq!(page.kind("p/d"), PresenceKind::Sleeping);
    assert!((page.number("p/d", "temp") - 5.0).abs() < 1e-9);
    assert_eq!(page.device("p/d").last_seen(), Some(at(200.0)));
    page.publish("p/data/new", DATA);
    assert_eq!(
        page.fleet.find("p/new"),
        None,
        "the server knows who is there"
    );
    // The server tells.
    let mut server = sim;
    server.until(200.0).publish("p/register/d", "SIGN_IN");
    let told = server.fleet.describe_presence(server.key("p/d")).unwrap();
    page.events();
    let key = page.fleet.adopt_presence(at(200.1), "p/d", &told, None);
    assert_eq!(page.presence("p/d"), Presence::Online { since: at(200.0) });
    assert_eq!(page.events(), [Event::PresenceChanged(key.unwrap()),]);
    assert_consistent(&page.fleet);
    // When it follows no longer, silence counts from then on.
    page.fleet.set_follows(false);
    page.until(1_200.0);
    assert_eq!(page.kind("p/d"), PresenceKind::Stale);
}

#[test]
fn after_an_outage_the_server_tells_again() {
    let sim = a_little_fleet();
    let mut page = adopter(&sim, true);
    page.fleet
        .handle_observer(at(70.0), fleet::ObserverState::Disconnected);
    page.fleet
        .handle_observer(at(71.0), fleet::ObserverState::Connected);
    assert_eq!(page.kind("p/d"), PresenceKind::Unknown);
    for (key, _) in sim.fleet.devices() {
        let described = sim.fleet.describe(key).unwrap();
        page.fleet.adopt(at(71.0), &described);
    }
    for (_, device) in sim.fleet.devices() {
        let id = device.full_id();
        assert_eq!(page.presence(&id), sim.presence(&id), "{id}");
    }
    assert_consistent(&page.fleet);
}

#[test]
fn what_is_newer_wins() {
    let mut old = Sim::new();
    old.publish("p/data/a", r#"{"x":1,"y":1}"#);
    old.publish("p/register/a", "SIGN_OUT");
    let mut new = Sim::new();
    new.until(10.0).publish("p/data/a", r#"{"x":2}"#);
    let described = old.fleet.describe(old.key("p/a")).unwrap();
    new.fleet.adopt(at(11.0), &described);
    assert!((new.number("p/a", "x") - 2.0).abs() < 1e-9);
    assert!((new.number("p/a", "y") - 1.0).abs() < 1e-9);
    assert_eq!(new.kind("p/a"), PresenceKind::Online);
    assert_eq!(new.device("p/a").first_seen(), at(0.0));
    assert_consistent(&new.fleet);
}

#[test]
fn after_a_restart_only_presence_topics_are_believed() {
    let mut sim = Sim::new();
    sim.publish("p/data/mute", DATA)
        .publish("p/register/told", "SIGN_IN");
    let mut other = adopter(&sim, false);
    other.fleet.handle_restart(at(100.0));
    let unknown = Presence::Unknown {
        since: at(100.0),
        reason: UnknownReason::ServerRestarted,
    };
    assert_eq!(other.presence("p/mute"), unknown);
    assert_eq!(
        other.presence("p/told"),
        Presence::Online { since: at(0.0) }
    );
    other.until(105.0).publish("p/data/mute", DATA);
    assert_eq!(
        other.presence("p/mute"),
        Presence::Online { since: at(105.0) }
    );
    // Silence counts from the restart.
    other.until(1_004.9);
    assert_eq!(other.kind("p/mute"), PresenceKind::Online);
    other.until(1_005.0);
    assert_eq!(other.kind("p/mute"), PresenceKind::Stale);
}

#[test]
fn a_hidden_device_does_not_count() {
    let mut sim = Sim::new();
    sim.publish("p/register/a", "SIGN_IN")
        .publish("p/register/b", "SIGN_IN");
    let key = sim.key("p/a");
    sim.events();
    sim.fleet.hide(key, true);
    assert_eq!(sim.events(), [Event::ShapeChanged(key)]);
    assert_eq!(sim.fleet.counts().online(), 1);
    sim.publish("p/register/a", "SIGN_OUT");
    assert_eq!(
        (sim.fleet.counts().offline(), sim.kind("p/a")),
        (0, PresenceKind::Offline)
    );
    let other = adopter(&sim, false);
    assert!(other.device("p/a").is_hidden());
    assert_same(&sim, &other);
    sim.fleet.hide(key, false);
    assert_eq!(sim.fleet.counts().offline(), 1);
    sim.fleet.hide(key, true);
    sim.fleet.forget(key);
    assert_consistent(&sim.fleet);
}

#[test]
fn forgotten_names_survive_a_restart() {
    let mut sim = Sim::new();
    sim.publish("p/register/a", "SIGN_IN");
    sim.fleet.forget(sim.key("p/a"));
    let names: Vec<String> = sim.fleet.forgotten_names().map(Into::into).collect();
    assert_eq!(names, ["p/a"]);
    let mut other = Sim::new();
    for name in &names {
        other.fleet.forget_name(name);
    }
    other.retained("p/register/a", "SIGN_IN");
    assert!(other.fleet.is_empty());
    other.publish("p/register/a", "SIGN_IN");
    assert_eq!(other.fleet.len(), 1);
    assert_eq!(other.fleet.forgotten_names().count(), 0);
}

#[test]
fn commands_get_further_and_not_back() {
    let mut server = Sim::new();
    server.publish("p/register/a", "SIGN_IN");
    let mut page = adopter(&server, true);
    let key = page.key("p/a");
    let request = CommandRequest::Named("PING");
    page.fleet.command(page.now, key, "u", request).unwrap();
    server.publish("p/cmd/req/a", r#"{"uuid":"u","command":"PING"}"#);
    let sent = server
        .fleet
        .describe_command(server.key("p/a"), "u")
        .unwrap();
    server
        .until(1.0)
        .publish("p/cmd/resp/a", r#"{"uuid":"u","commandResult":"PONG"}"#);
    let answered = server
        .fleet
        .describe_command(server.key("p/a"), "u")
        .unwrap();
    for told in [&sent, &answered, &sent] {
        page.fleet.adopt_command(at(1.0), "p/a", told);
    }
    let command = page.device("p/a").command("u").unwrap();
    assert_eq!(
        (command.result(), command.is_ours()),
        (Some("\"PONG\""), true)
    );
    assert_eq!(
        page.fleet.describe_command(key, "u").unwrap().progress,
        answered.progress
    );
}

#[test]
fn faults_are_told_one_by_one() {
    let mut server = Sim::new();
    server
        .publish("p/register/a", "SIGN_IN")
        .publish("p/register/a", "hm");
    let mut page = adopter(&server, true);
    server.until(5.0).publish("p/register/a", "hm");
    let key = server.key("p/a");
    let told = server.fleet.describe_fault(key, FaultKind::UnknownPresence);
    page.fleet.adopt_fault(at(5.0), "p/a", &told.unwrap());
    assert_eq!(page.fault_count("p/a", FaultKind::UnknownPresence), 2);
}

#[test]
fn a_description_that_makes_no_sense_does_no_harm() {
    let sim = a_little_fleet();
    let good = sim.fleet.describe(sim.key("p/d")).unwrap();
    let mut fleet = Fleet::new(FleetOptions::default());
    for len in [1, 3, 99, usize::MAX] {
        let mut bad = good.clone();
        bad.prefix_len = len;
        assert_eq!(fleet.adopt(sim.now, &bad), None);
    }
    let mut bad = good;
    bad.metrics[0].value = Some(api::fleet::Scalar::Number(f64::NAN));
    bad.convention = "smoke signals".into();
    bad.history.reverse();
    bad.presence.reason = Some("because".into());
    bad.presence.state = api::fleet::PresenceState::Offline;
    let key = fleet.adopt(sim.now, &bad).unwrap();
    let presence = fleet.device(key).unwrap().presence();
    let Presence::Offline { reason, .. } = presence else {
        panic!("{presence:?}");
    };
    assert_eq!(*reason, OfflineReason::SaidSo);
    assert_consistent(&fleet);
}

#[test]
fn words_are_read_as_they_are_written() {
    for reason in OfflineReason::ALL {
        assert_eq!(OfflineReason::from_word(reason.word()), Some(reason));
    }
    for reason in UnknownReason::ALL {
        assert_eq!(UnknownReason::from_word(reason.word()), Some(reason));
    }
    for (index, kind) in FaultKind::ALL.into_iter().enumerate() {
        assert_eq!(FaultKind::from_word(kind.word()), Some(kind));
        assert_eq!(kind as usize, index);
    }
}
