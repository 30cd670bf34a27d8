//! A fleet that shows the past.

use fleet::{Fleet, FleetOptions, Message, PresenceKind, Timestamp};

const NOW: i64 = 1_795_233_600_000;

#[test]
fn what_is_adopted_after_going_back_is_all_there_is() {
    let mut live = Fleet::new(FleetOptions::default());
    let say = |fleet: &mut Fleet, at: i64, topic: &str, payload: &str| {
        fleet.handle_message(Timestamp(NOW + at), Message::new(topic, payload.as_bytes()));
    };
    say(&mut live, 0, "beaconry/register/pump-1", "SIGN_IN");
    say(
        &mut live,
        1000,
        "beaconry/data/pump-1",
        r#"{"flow":1,"lat":1,"lng":2}"#,
    );
    let key = live.find("pump-1").unwrap();
    let then = live.describe(key).unwrap();
    say(
        &mut live,
        5000,
        "beaconry/data/pump-1",
        r#"{"flow":9,"state":"open","lat":3,"lng":4}"#,
    );
    say(&mut live, 6000, "beaconry/register/pump-1", "SIGN_OUT");
    let later = live.describe(key).unwrap();

    let options = FleetOptions {
        follows: true,
        ..FleetOptions::default()
    };
    let mut past = Fleet::new(options);
    let key = past.adopt(Timestamp(NOW + 7000), &later).unwrap();
    assert_eq!(
        past.device(key).unwrap().presence().kind(),
        PresenceKind::Offline
    );
    let used = past.memory_used();
    past.rewind(Timestamp(NOW + 2000));
    assert_eq!(past.adopt(Timestamp(NOW + 2000), &then), Some(key));
    let device = past.device(key).unwrap();
    let flow = device.metric_named("flow").unwrap().1;
    assert_eq!(flow.value().as_number(), Some(1.0));
    assert!(!device.metric_named("state").unwrap().1.has_value());
    assert_eq!(device.position().unwrap().lat.to_bits(), 1f64.to_bits());
    assert_eq!(device.presence().kind(), PresenceKind::Online);
    assert_eq!(
        device.last_seen(),
        then.last_seen.map(|time| Timestamp(time.0))
    );

    // And on again. Going back and forth costs no memory.
    for _ in 0..100 {
        past.rewind(Timestamp(NOW + 7000));
        past.adopt(Timestamp(NOW + 7000), &later).unwrap();
    }
    assert_eq!(
        past.device(key)
            .unwrap()
            .metric_named("flow")
            .unwrap()
            .1
            .value()
            .as_number(),
        Some(9.0)
    );
    assert_eq!(past.memory_used(), used);
}
