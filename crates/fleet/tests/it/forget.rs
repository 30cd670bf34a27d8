//! Forgetting devices: when a person says so, and strangers when the table is full.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{
    CommandError, CommandRequest, DeviceKey, Event, FleetOptions, Limit, ObserverState,
    PresenceKind,
};
use proptest::prelude::*;

const PING: CommandRequest<'static> = CommandRequest::Named("PING");

fn small(max_devices: usize) -> Sim {
    Sim::with(FleetOptions {
        max_devices,
        ..FleetOptions::default()
    })
}

/// A stranger sends one value.
fn stranger(sim: &mut Sim, name: &str) {
    sim.publish(&format!("strangers/{name}/temperature"), "1");
}

#[test]
fn a_forgotten_device_comes_back_by_a_live_message_only() {
    let mut sim = Sim::new();
    sim.publish("p/register/a", "SIGN_OUT");
    sim.publish(
        "p/data/a",
        r#"{"messageType":"ANNOUNCE","commands":["GO"]}"#,
    );
    let old = sim.key("a");
    sim.events();
    sim.fleet.forget(old);
    assert_eq!(sim.fleet.device(old).map(fleet::Device::full_id), None);
    assert_eq!(sim.fleet.find("p/a"), None);
    assert_eq!(sim.fleet.counts().total(), 0);
    assert_eq!(sim.events(), [Event::DeviceForgotten(old)]);

    // The broker sends what is retained again after each subscribing.
    for _ in 0..2 {
        sim.fleet
            .handle_observer(sim.now, ObserverState::Disconnected);
        sim.fleet.handle_observer(sim.now, ObserverState::Connected);
        sim.retained("p/register/a", "SIGN_OUT");
        sim.retained("p/data/a", r#"{"temp":1}"#);
        assert_eq!(sim.fleet.find("p/a"), None);
    }
    // A command to it is none of its own messages.
    sim.publish("p/cmd/req/a", r#"{"uuid":"1","command":"PING"}"#);
    assert!(sim.fleet.is_empty());
    // Another device of the same id was not forgotten.
    sim.retained("q/register/a", "SIGN_IN");
    assert_eq!(sim.fleet.len(), 1);

    sim.publish("p/data/a", r#"{"temp":2}"#);
    let new = sim.key("p/a");
    assert_ne!(new, old);
    assert_eq!(sim.fleet.device(old).map(fleet::Device::full_id), None);
    let known: Vec<_> = sim
        .device("p/a")
        .known_commands()
        .map(|known| known.name)
        .collect();
    assert_eq!(known, ["PING"], "nothing is left of what it was");
    // From now on its retained messages count again.
    sim.retained("p/register/a", "SIGN_OUT");
    assert_eq!(sim.kind("p/a"), PresenceKind::Offline);
    assert_consistent(&sim.fleet);
}

#[test]
fn what_belongs_to_a_device_goes_with_it() {
    let mut sim = Sim::new();
    sim.publish("beaconry/register/stays", "SIGN_IN");
    let before = sim.fleet.memory_used();
    sim.publish("p/register/a", "SIGN_IN");
    sim.publish(
        "p/data/a",
        r#"{"n":1,"text":"abc","lat":1,"lng":2,"commands":["GO"],"units":{"n":"bar"}}"#,
    );
    sim.publish("p/data/a", "{broken");
    let key = sim.key("a");
    sim.fleet.command(sim.now, key, "u", PING).unwrap();
    sim.fleet.note_command_sent(sim.now, key, "u");
    assert!(sim.fleet.memory_used() > before);
    sim.events();
    sim.publish("p/data/a", r#"{"n":2}"#);
    sim.fleet.forget(key);
    assert_eq!(sim.fleet.memory_used(), before);
    // No sample, no timer and no command of it is left to act.
    assert_eq!(sim.events(), [Event::DeviceForgotten(key)]);
    sim.until(100_000.0);
    sim.publish("p/cmd/resp/a", r#"{"uuid":"u","commandResult":1}"#);
    sim.fleet.note_command_acked(sim.now, key, "u");
    let error = sim.fleet.command(sim.now, key, "v", PING);
    assert_eq!(error, Err(CommandError::UnknownDevice));
    assert_eq!(sim.device("a").commands().count(), 0);
    assert_consistent(&sim.fleet);
}

#[test]
fn a_prefix_is_known_as_long_as_a_device_under_it() {
    let mut sim = Sim::new();
    sim.publish("p/register/a", "SIGN_IN");
    sim.publish("p/register/b", "SIGN_IN");
    let key = sim.key("a");
    sim.fleet.forget(key);
    sim.publish("p/data/b", "not JSON");
    assert_eq!(sim.device("b").faults().len(), 1, "its prefix is known");
    let key = sim.key("b");
    sim.fleet.forget(key);
    assert_eq!(sim.fleet.memory_used(), 0);
    sim.publish("p/data/b", "not JSON");
    assert_eq!(sim.device("p/data").convention().name(), "plain topics");
}

#[test]
fn prefixes_that_are_not_learnt_are_counted() {
    let mut sim = Sim::new();
    for prefix in 0..65 {
        sim.publish(&format!("p{prefix}/register/a"), "SIGN_IN");
    }
    assert_eq!(sim.fleet.limits().count(Limit::Prefixes), 1);
    let key = sim.key("p0/a");
    sim.fleet.forget(key);
    // There is a place for it now.
    sim.publish("p64/register/a", "SIGN_IN");
    sim.publish("p64/data/a", "not JSON");
    assert_eq!(sim.device("p64/a").faults().len(), 1);
}

#[test]
fn the_more_particular_convention_wins_in_any_order() {
    let messages = [
        ("kitchen/temperature", "21"),
        ("register/kitchen", "SIGN_IN"),
    ];
    for order in [[0, 1], [1, 0]] {
        let mut sim = Sim::new();
        for index in order {
            sim.publish(messages[index].0, messages[index].1);
        }
        assert_eq!(sim.fleet.len(), 1);
        let device = sim.device("kitchen");
        assert_eq!(device.convention().name(), "four topics");
        assert!(device.takes_commands());
        let key = sim.key("kitchen");
        sim.fleet.forget(key);
        assert_eq!(sim.fleet.memory_used(), 0);
    }
}

#[test]
fn the_first_of_an_id_is_found_whoever_was_forgotten() {
    let mut sim = Sim::new();
    for site in ["a", "b", "c", "d"] {
        sim.publish(&format!("{site}/register/x"), "SIGN_IN");
    }
    for (forgotten, first) in [("b", "a"), ("a", "c"), ("d", "c")] {
        let key = sim.key(&format!("{forgotten}/x"));
        sim.fleet.forget(key);
        assert_eq!(sim.device("x").prefix(), first);
    }
    // It takes a place that is free, but is the newest all the same.
    sim.publish("b/register/x", "SIGN_IN");
    assert_eq!(sim.device("x").prefix(), "c");
    let key = sim.key("c/x");
    sim.fleet.forget(key);
    assert_eq!(sim.device("x").prefix(), "b");
    let key = sim.key("x");
    sim.fleet.forget(key);
    assert_eq!(sim.fleet.find("x"), None);
}

#[test]
fn the_longest_forgotten_may_come_back_when_there_are_too_many() {
    let mut sim = Sim::with(FleetOptions {
        max_forgotten: 2,
        ..FleetOptions::default()
    });
    for id in ["a", "b", "c"] {
        sim.retained(&format!("p/register/{id}"), "SIGN_OUT");
        let key = sim.key(id);
        sim.fleet.forget(key);
    }
    for id in ["a", "b", "c"] {
        sim.retained(&format!("p/register/{id}"), "SIGN_OUT");
    }
    assert_eq!(sim.fleet.len(), 1);
    assert!(sim.fleet.find("a").is_some());
}

#[test]
fn the_newest_and_least_heard_stranger_goes_first() {
    let mut sim = small(4);
    stranger(&mut sim, "old");
    stranger(&mut sim, "talks");
    stranger(&mut sim, "talks");
    sim.retained("strangers/kept/temperature", "1");
    stranger(&mut sim, "new");
    let gone = |sim: &mut Sim, newcomer: &str| {
        let before: Vec<String> = ids(sim);
        stranger(sim, newcomer);
        let after = ids(sim);
        let mut gone = before.into_iter().filter(|id| !after.contains(id));
        gone.next()
    };
    let kept = gone(&mut sim, "first");
    assert_eq!(kept.as_deref(), Some("strangers/kept"), "never heard live");
    assert_eq!(gone(&mut sim, "second").as_deref(), Some("strangers/first"));
    stranger(&mut sim, "second");
    assert_eq!(gone(&mut sim, "third").as_deref(), Some("strangers/new"));
    assert_eq!(sim.fleet.limits().count(Limit::Strangers), 3);
    assert_eq!(sim.fleet.limits().count(Limit::Devices), 0);
}

fn ids(sim: &Sim) -> Vec<String> {
    let devices = sim.fleet.devices();
    devices.map(|(_, device)| device.full_id()).collect()
}

#[test]
fn those_who_matter_stay() {
    let mut sim = small(6);
    sim.publish("p/register/signed-in", "SIGN_IN");
    sim.publish("p/register/sleeper", "SIGN_IN");
    for cycle in 1..4 {
        let start = f64::from(cycle) * 60.0;
        sim.until(start).publish("p/register/sleeper", "SIGN_OUT");
        sim.until(start + 55.0)
            .publish("p/register/sleeper", "SIGN_IN");
    }
    sim.until(240.0).publish("p/register/sleeper", "SIGN_OUT");
    assert_eq!(sim.kind("sleeper"), PresenceKind::Sleeping);
    for _ in 0..8 {
        stranger(&mut sim, "often-heard");
    }
    stranger(&mut sim, "looked-at");
    let key = sim.key("strangers/looked-at");
    sim.fleet.watch(key);
    sim.publish("q/data/commanded", r#"{"temp":1}"#);
    let commanded = sim.key("commanded");
    sim.fleet.command(sim.now, commanded, "u", PING).unwrap();
    sim.retained("p/register/signed-out", "SIGN_OUT");
    let all = ids(&sim);

    // Nobody there is a stranger but the device that signed out.
    for index in 0..100 {
        stranger(&mut sim, &format!("flood-{index}"));
    }
    let left = ids(&sim);
    assert_eq!(left[..5], all[..5]);
    assert_eq!(sim.fleet.limits().count(Limit::Strangers), 100);

    // While we cannot see, they are who they were.
    sim.fleet
        .handle_observer(sim.now, ObserverState::Disconnected);
    sim.until(300.0);
    stranger(&mut sim, "unseen");
    assert_eq!(ids(&sim)[..5], all[..5]);

    sim.fleet.unwatch(key);
    sim.fleet.handle_observer(sim.now, ObserverState::Connected);
    stranger(&mut sim, "looked-at-2");
    stranger(&mut sim, "looked-at-2");
    assert_eq!(ids(&sim)[..5], all[..5], "it is older than the newest");
}

#[test]
fn a_table_without_strangers_ignores_new_devices() {
    let mut sim = small(2);
    sim.publish("p/register/a", "SIGN_IN");
    sim.publish("p/register/b", "SIGN_IN");
    sim.publish("p/register/c", "SIGN_IN");
    assert_eq!(sim.fleet.len(), 2);
    assert_eq!(sim.fleet.limits().count(Limit::Devices), 1);
    // A place is free as soon as a person makes one.
    let key = sim.key("a");
    sim.fleet.forget(key);
    sim.publish("p/register/c", "SIGN_IN");
    assert_eq!(sim.kind("c"), PresenceKind::Online);
    // And who signs out may be forgotten, once the table is searched again.
    sim.publish("p/register/b", "SIGN_OUT");
    sim.until(1.0).publish("p/register/d", "SIGN_IN");
    assert_eq!(sim.kind("d"), PresenceKind::Online);
    assert_eq!(sim.fleet.find("b"), None);
}

#[test]
fn who_was_silent_for_a_week_is_a_stranger_again() {
    let mut sim = small(1);
    for _ in 0..100 {
        stranger(&mut sim, "once-busy");
    }
    stranger(&mut sim, "new");
    assert_eq!(sim.fleet.find("strangers/new"), None);
    sim.until(8.0 * 86_400.0);
    stranger(&mut sim, "new");
    assert!(sim.fleet.find("strangers/new").is_some());
}

#[test]
fn memory_that_strangers_fill_is_free_for_new_devices() {
    let mut sim = Sim::with(FleetOptions {
        max_bytes: 200_000,
        ..FleetOptions::default()
    });
    for index in 0..200 {
        let long = "x".repeat(4000);
        sim.publish(&format!("{long}/{index}/temperature"), "1");
    }
    assert!(sim.fleet.len() < 200);
    assert!(sim.fleet.limits().count(Limit::Strangers) > 0);
    sim.publish("p/register/real", "SIGN_IN");
    sim.publish("p/data/real", r#"{"temp":1}"#);
    assert!((sim.number("real", "temp") - 1.0).abs() < 1e-12);
    assert_consistent(&sim.fleet);
}

#[test]
fn a_flood_that_nobody_polls_keeps_no_traces() {
    let mut sim = small(100);
    for index in 0..100_000 {
        stranger(&mut sim, &format!("{index}"));
    }
    assert_eq!(sim.fleet.len(), 100);
    // The events that are left: three for each device (added, presence, shape), two for limits that
    // were reached, and one sample. The other samples were dropped, or their device is forgotten.
    assert_eq!(sim.events().len(), 100 * 3 + 2 + 1);
}

/// What one of several devices or a stranger does.
#[derive(Clone, Debug)]
enum Act {
    Flood { strangers: u16, messages: u8 },
    SignIn(u8),
    SignOut(u8),
    Data(u8),
    Forget(u8),
    Wait(u16),
    Poll,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0u16..40, 1u8..7).prop_map(|(strangers, messages)| Act::Flood { strangers, messages }),
        2 => (0u8..6).prop_map(Act::SignIn),
        1 => (0u8..6).prop_map(Act::SignOut),
        2 => (0u8..6).prop_map(Act::Data),
        1 => (0u8..6).prop_map(Act::Forget),
        2 => (0u16..5000).prop_map(Act::Wait),
        1 => Just(Act::Poll),
    ]
}

/// The devices that no flood may push out: those that are often heard, and those that signed in.
fn regulars(sim: &Sim, signed_in: [bool; 6]) -> Vec<DeviceKey> {
    let mut names = vec!["often-0".to_owned(), "often-1".to_owned()];
    let signed_in = signed_in.iter().enumerate().filter(|(_, is_in)| **is_in);
    names.extend(signed_in.map(|(id, _)| format!("p/d{id}")));
    names.iter().map(|name| sim.key(name)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_flood_of_strangers_pushes_out_nobody_else(
        acts in proptest::collection::vec(act(), 1..60),
        max_devices in 8usize..20,
    ) {
        let mut sim = small(max_devices);
        for id in ["often-0", "often-1"] {
            for _ in 0..8 {
                sim.publish(&format!("{id}/temperature"), "1");
            }
        }
        let (mut flooded, mut seconds) = (0u32, 0.0);
        let mut signed_in = [false; 6];
        for act in acts {
            match act {
                Act::Flood { strangers, messages } => {
                    let before = regulars(&sim, signed_in);
                    for _ in 0..strangers {
                        flooded += 1;
                        for _ in 0..messages {
                            stranger(&mut sim, &flooded.to_string());
                        }
                    }
                    prop_assert_eq!(regulars(&sim, signed_in), before);
                }
                Act::SignIn(id) => {
                    sim.publish(&format!("p/register/d{id}"), "SIGN_IN");
                    signed_in[usize::from(id)] = true;
                    // Two of eight places are of those that are often heard, six are theirs.
                    prop_assert_eq!(sim.kind(&format!("p/d{id}")), PresenceKind::Online);
                }
                Act::SignOut(id) => {
                    sim.publish(&format!("p/register/d{id}"), "SIGN_OUT");
                    signed_in[usize::from(id)] = false;
                }
                Act::Data(id) => {
                    sim.publish(&format!("p/data/d{id}"), r#"{"temp":1}"#);
                }
                Act::Forget(id) => {
                    signed_in[usize::from(id)] = false;
                    if let Some(key) = sim.fleet.find(&format!("p/d{id}")) {
                        sim.fleet.forget(key);
                        sim.retained(&format!("p/register/d{id}"), "SIGN_IN");
                        prop_assert_eq!(sim.fleet.find(&format!("p/d{id}")), None);
                    }
                }
                Act::Wait(ms) => {
                    seconds += f64::from(ms) / 1000.0;
                    sim.until(seconds);
                    prop_assert_eq!(sim.now, at(seconds));
                }
                Act::Poll => drop(sim.events()),
            }
            prop_assert!(sim.fleet.len() <= max_devices);
            assert_consistent(&sim.fleet);
        }
    }
}
