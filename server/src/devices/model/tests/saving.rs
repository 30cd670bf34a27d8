//! What outlives the server.

use super::*;

#[test]
fn what_was_saved_is_there_after_a_restart() {
    let mut world = World::new();
    world.tie(1, "probe");
    world.publish(2, "beaconry/register/pump", "SIGN_IN");
    world.publish(2, "beaconry/data/pump", r#"{"flow":1.5,"mode":"auto"}"#);
    world.publish(2, "beaconry/register/old", "SIGN_IN");
    world.model.hide("beaconry/pump", true);
    let mut table = Stored::new();
    world.save(&mut table);
    world.model.forget("beaconry/old");
    world.save(&mut table);

    let mut next = world.restarted(&table);
    let (before, after) = (world.described("pump"), next.described("pump"));
    assert_eq!(before, after);
    assert!(after.hidden);
    assert_eq!(
        next.list(&Query {
            hidden: Hidden::Included,
            ..Query::default()
        })
        .0
        .len(),
        2
    );
    let probe = next.described("probe");
    assert_eq!(probe.client.as_deref(), Some("probe"));
    assert_eq!(probe.metrics, world.described("probe").metrics);
    assert_eq!(probe.presence.state, PresenceState::Unknown);
    assert_eq!(probe.presence.reason.as_deref(), Some("server-restarted"));
    // The retained message is still there.
    next.retained("beaconry/register/old", "SIGN_IN");
    assert!(next.model.one("beaconry/old").is_none());
    next.publish(1, "probe/temperature", "9");
    assert_eq!(
        next.described("probe").presence.state,
        PresenceState::Online
    );
}

#[test]
fn only_what_has_changed_is_saved() {
    let mut world = World::new();
    for n in 0..10 {
        world.publish(1, &format!("p/register/device-{n}"), "SIGN_IN");
    }
    let mut table = Stored::new();
    // With the list of forgotten names.
    assert_eq!(world.save(&mut table), 11);
    assert_eq!(world.save(&mut table), 0);
    world.publish(1, "p/register/device-3", "SIGN_OUT");
    assert_eq!(world.save(&mut table), 1);
    world.model.hide("p/device-4", true);
    assert_eq!(world.save(&mut table), 1);
    world.model.save_again();
    assert_eq!(world.save(&mut table), 11);
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let mut world = World::new();
    world.publish(1, "p/register/a", "SIGN_IN");
    let mut table = Stored::new();
    world.save(&mut table);
    table.insert(b"device:0:broken".to_vec(), b"{\"id\":".to_vec());
    table.insert(b"forgotten".to_vec(), b"7".to_vec());
    table.insert(b"a later version's".to_vec(), b"\xff".to_vec());
    assert_eq!(world.restarted(&table).list(&Query::default()).0, ["p/a"]);
}

/// The fleet forgets a device by itself, or a person does, before anybody was told of it.
#[test]
fn a_device_that_was_saved_and_not_told_of_leaves_nothing() {
    let mut world = World::new();
    world.publish(1, "p/register/a", "SIGN_IN");
    world.publish(1, "p/register/b", "SIGN_IN");
    let mut table = Stored::new();
    world.save(&mut table);
    assert!(world.model.forget("p/a"));
    // Another device gets its place, or it comes back itself.
    world.publish(1, "p/register/c", "SIGN_IN");
    assert!(world.model.forget("p/b"));
    world.publish(1, "p/register/b", "SIGN_IN");
    world.save(&mut table);
    let keys: Vec<_> = table
        .keys()
        .map(|key| str::from_utf8(key).unwrap())
        .collect();
    assert_eq!(keys, ["device:2:p/b", "device:2:p/c", "forgotten"]);
    assert_eq!(world.save(&mut table), 0);
}

#[test]
fn what_a_lower_limit_keeps_out_leaves_the_table() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.publish(1, &format!("p/register/{id}"), "SIGN_IN");
    }
    let mut table = Stored::new();
    world.save(&mut table);
    let mut next = World::with(FleetOptions {
        max_devices: 2,
        ..FleetOptions::default()
    });
    let now = stamp(next.at());
    for (key, value) in &table {
        next.model.restore(now, key, value);
    }
    next.model.restored(now);
    next.save(&mut table);
    assert_eq!(table.len(), 3, "two devices and the forgotten names");
}

/// It is no message that is counted, and yet a restart must not bring the value back.
#[test]
fn what_was_cleared_is_not_there_after_a_restart() {
    let mut world = World::new();
    for n in 0..9 {
        world.publish(1, "probe/humidity", &n.to_string());
        world.ms += 1000;
    }
    world.retained("probe/temperature", "21");
    let mut table = Stored::new();
    world.save(&mut table);
    let at = world.at();
    let topic = "probe/temperature";
    world.model.handle(TapEvent::RetainedGone { at, topic });
    let before = world.described("probe");
    let values = before.metrics.iter().filter(|it| it.value.is_some());
    assert_eq!(values.count(), 1);
    world.save(&mut table);
    let after = world.restarted(&table).described("probe");
    assert_eq!(before.metrics, after.metrics);
}

#[test]
fn a_device_that_was_forgotten_is_not_restored() {
    let mut world = World::new();
    world.publish(1, "p/register/a", "SIGN_IN");
    world.publish(1, "p/register/b", "SIGN_IN");
    let mut table = Stored::new();
    world.save(&mut table);
    let left = table.clone();
    world.model.forget("p/a");
    world.save(&mut table);
    // After a crash some keys have their new values, and others do not.
    table.extend(left.into_iter().filter(|(key, _)| key.ends_with(b"p/a")));
    let mut next = world.restarted(&table);
    assert!(next.model.one("p/a").is_none());
    next.retained("p/register/a", "SIGN_IN");
    assert!(next.model.one("p/a").is_none());
    next.save(&mut table);
    assert_eq!(table.len(), 2, "p/b and the forgotten names");
}

#[test]
fn a_device_that_is_too_large_costs_its_neighbours_nothing() {
    let mut world = World::with(FleetOptions {
        max_text_len: 4 << 20,
        ..FleetOptions::default()
    });
    world.publish(1, "p/register/large", "SIGN_IN");
    let text = "x".repeat(2 << 20);
    let json = format!(r#"{{"note":"{text}","flow":1.5}}"#);
    world.publish(1, "p/data/large", &json);
    world.publish(1, "p/register/small", "SIGN_IN");
    let mut table = Stored::new();
    world.save(&mut table);
    assert!(table.values().all(|value| value.len() <= 1 << 20));
    let next = world.restarted(&table);
    assert_eq!(next.described("p/small").id, "p/small");
    let numbers = next.described("p/large").metrics;
    let numbers = numbers.iter().filter(|metric| metric.value.is_some());
    assert_eq!(numbers.count(), 1);
}
