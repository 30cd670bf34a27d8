//! What must hold for any input in any order.

use crate::sim::{START, Sim, assert_consistent};
use fleet::{
    ClientNews, CommandRequest, DeviceKey, Event, FleetOptions, Message, ObserverState,
    OfflineReason, Timestamp,
};
use proptest::prelude::*;
use std::collections::HashMap;

#[derive(Clone, Debug)]
enum Op {
    Message {
        topic: String,
        payload: Vec<u8>,
        retained: bool,
        duplicate: bool,
        publisher: Option<u8>,
        is_will: bool,
    },
    Client {
        client: u8,
        left: Option<usize>,
    },
    Wait(i64),
    Timeout,
    Observer(bool),
    Command {
        device: u32,
        uuid: u8,
        free: Option<String>,
    },
    Sent {
        device: u32,
        uuid: u8,
    },
    Acked {
        device: u32,
        uuid: u8,
    },
    ForgetCommand {
        device: u32,
        uuid: u8,
    },
    Forget {
        device: u32,
    },
    Watch {
        device: u32,
        watch: bool,
    },
    Poll(u8),
}

fn topic() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just(String::from("register")),
        Just("data".into()),
        Just("cmd/req".into()),
        Just("cmd/resp".into()),
        Just("status".into()),
        Just("presence".into()),
        Just("sensors".into()),
        Just("beaconry".into()),
        Just("temperature".into()),
        Just("iot-2/type/a/id/b".into()),
        Just("evt/status/fmt/json".into()),
        Just("evt/c/fmt/txt".into()),
        Just("mon".into()),
        "[abc]",
        ".{0,3}",
    ];
    proptest::collection::vec(part, 0..5).prop_map(|parts| parts.join("/"))
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just("SIGN_IN".to_owned()),
        Just("SIGN_OUT".into()),
        Just("online".into()),
        Just("sleeping".into()),
        Just(r#"{"Action":"Connect"}"#.into()),
        Just(r#"{"Action":"Disconnect"}"#.into()),
        Just(String::new()),
        any::<f64>().prop_map(|value| format!("{value}")),
        (0i64..200, -5i64..5).prop_map(|(ago, value)| {
            format!(
                r#"{{"ts":{},"n":{value},"b":{}}}"#,
                START.0 / 1000 + ago,
                value > 0
            )
        }),
        (0u8..4)
            .prop_map(|uuid| format!(r#"{{"uuid":"{uuid}","command":"PING","commandResult":1}}"#)),
        ("[a-c]", any::<f64>()).prop_map(|(name, value)| format!(r#"{{"{name}":{value}}}"#)),
        "\\{\"[a-z]{1,3}\":(1|true|null|\"x\"|\\[1,2\\]|\\{\"lat\":[0-9]{1,3},\"lng\":5\\})\\}",
        "[\\[\\]{}\",:0-9a-z\\\\ .-]{0,40}",
        "([a-z]=[0-9]{1,3}[ ,;]?){1,4}",
    ];
    prop_oneof![
        9 => text.prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..60),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (topic(), payload(), any::<[bool; 3]>(), proptest::option::of(0u8..3)).prop_map(
            |(topic, payload, [retained, duplicate, is_will], publisher)| Op::Message {
                topic,
                payload,
                retained,
                duplicate,
                publisher,
                is_will,
            }
        ),
        2 => (0u8..3, proptest::option::of(0..OfflineReason::ALL.len()))
            .prop_map(|(client, left)| Op::Client { client, left }),
        4 => prop_oneof![0i64..2000, 0i64..400_000, -5000i64..0, any::<i64>()].prop_map(Op::Wait),
        4 => Just(Op::Timeout),
        1 => any::<bool>().prop_map(Op::Observer),
        1 => (0u32..4, 0u8..4, proptest::option::of(".{0,20}"))
            .prop_map(|(device, uuid, free)| Op::Command { device, uuid, free }),
        1 => (0u32..4, 0u8..4).prop_map(|(device, uuid)| Op::Sent { device, uuid }),
        1 => (0u32..4, 0u8..4).prop_map(|(device, uuid)| Op::Acked { device, uuid }),
        1 => (0u32..4, 0u8..4).prop_map(|(device, uuid)| Op::ForgetCommand { device, uuid }),
        1 => (0u32..6).prop_map(|device| Op::Forget { device }),
        1 => (0u32..4, any::<bool>()).prop_map(|(device, watch)| Op::Watch { device, watch }),
        2 => any::<u8>().prop_map(Op::Poll),
    ]
}

/// The device at this place; one that is not known, if there is none.
fn key(sim: &Sim, place: u32) -> DeviceKey {
    let mut keys = sim.fleet.devices().map(|(key, _)| key);
    let unknown = DeviceKey { place, number: 0 };
    keys.find(|key| key.place == place).unwrap_or(unknown)
}

/// Applies one operation and checks what must hold after it.
fn apply(sim: &mut Sim, op: Op) {
    let now = sim.now;
    match op {
        Op::Message {
            topic,
            payload,
            retained,
            duplicate,
            publisher,
            is_will,
        } => {
            let publisher = publisher.map(|client| client.to_string());
            let mut message = Message::new(&topic, &payload);
            message.retained = retained;
            message.duplicate = duplicate;
            message.publisher = publisher.as_deref();
            message.is_will = is_will;
            sim.fleet.handle_message(now, message);
        }
        Op::Client { client, left } => {
            let news = left.map_or(ClientNews::Connected, |reason| {
                ClientNews::Left(OfflineReason::ALL[reason])
            });
            sim.fleet.handle_client(now, &client.to_string(), news);
        }
        Op::Wait(ms) => sim.now = now.plus_ms(ms),
        Op::Timeout => {
            sim.fleet.handle_timeout(now);
            if let Some(due) = sim.fleet.poll_timeout() {
                assert!(due > now || now.0 == i64::MAX, "due {due:?}, now {now:?}");
            }
        }
        Op::Observer(connected) => {
            let state = if connected {
                ObserverState::Connected
            } else {
                ObserverState::Disconnected
            };
            sim.fleet.handle_observer(now, state);
            if !connected {
                assert_eq!(sim.fleet.counts().unknown(), sim.fleet.len());
                assert_eq!(sim.fleet.poll_timeout(), None);
            }
        }
        Op::Command { device, uuid, free } => {
            let request = free
                .as_deref()
                .map_or(CommandRequest::Named("PING"), CommandRequest::Json);
            let key = key(sim, device);
            let _ = sim.fleet.command(now, key, &uuid.to_string(), request);
        }
        Op::Sent { device, uuid } => {
            let key = key(sim, device);
            sim.fleet.note_command_sent(now, key, &uuid.to_string());
        }
        Op::Acked { device, uuid } => {
            let key = key(sim, device);
            sim.fleet.note_command_acked(now, key, &uuid.to_string());
        }
        Op::ForgetCommand { device, uuid } => {
            let key = key(sim, device);
            sim.fleet.forget_command(key, &uuid.to_string());
        }
        Op::Forget { device } => {
            let key = key(sim, device);
            sim.fleet.forget(key);
            assert!(sim.fleet.device(key).is_none());
        }
        Op::Watch { device, watch } => {
            let key = key(sim, device);
            if watch {
                sim.fleet.watch(key);
            } else {
                sim.fleet.unwatch(key);
            }
        }
        Op::Poll(count) => {
            for _ in 0..count {
                sim.fleet.poll_event();
            }
        }
    }
    assert_consistent(&sim.fleet);
}

fn small() -> FleetOptions {
    FleetOptions {
        max_devices: 6,
        max_metrics_per_device: 4,
        max_presence_history: 5,
        max_commands_per_device: 3,
        max_queued_samples: 20,
        max_text_len: 8,
        max_bytes: 20_000,
        ..FleetOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn invariants_hold_in_any_order(ops in proptest::collection::vec(op(), 0..80), tight in any::<bool>()) {
        let mut sim = Sim::with(if tight { small() } else { FleetOptions::default() });
        for op in ops {
            apply(&mut sim, op);
        }
        // And it can always be drained.
        let mut left = 0;
        while sim.fleet.poll_event().is_some() {
            left += 1;
            prop_assert!(left < 100_000);
        }
        // What belongs to a device goes with it.
        let keys: Vec<_> = sim.fleet.devices().map(|(key, _)| key).collect();
        for key in keys {
            sim.fleet.forget(key);
        }
        prop_assert_eq!(sim.fleet.memory_used(), 0);
        assert_consistent(&sim.fleet);
    }

    #[test]
    fn any_bytes_on_any_topic(topic in ".{0,40}", payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut sim = Sim::new();
        sim.publish(&topic, &payload);
        sim.publish(&format!("beaconry/data/{topic}"), &payload);
        sim.publish(&format!("beaconry/cmd/resp/{topic}"), &payload);
        assert_consistent(&sim.fleet);
    }

    #[test]
    fn only_a_device_with_a_clock_has_samples_that_go_back(ops in proptest::collection::vec(op(), 0..120)) {
        let mut sim = Sim::new();
        let mut latest: HashMap<_, Timestamp> = HashMap::new();
        for op in ops {
            apply(&mut sim, op);
            while let Some(event) = sim.fleet.poll_event() {
                if let Event::Sample { device, metric, at, value } = event {
                    prop_assert!(value.is_finite());
                    let last = latest.entry((device, metric)).or_insert(at);
                    // Only the payloads with a `ts` have these metrics.
                    let known = sim.fleet.device(device).unwrap();
                    let stamped = matches!(known.metric(metric).unwrap().name(), "n" | "b");
                    prop_assert!(stamped || *last <= at);
                    *last = at.max(*last);
                }
            }
        }
    }

    /// A fleet that adopts what another one describes is the same, and judges the same.
    #[test]
    fn descriptions_lose_nothing(ops in proptest::collection::vec(op(), 0..120)) {
        let mut sim = Sim::new();
        for op in ops {
            match op {
                // Nobody describes while away, and late timers are another matter.
                Op::Observer(_) | Op::Timeout => {}
                Op::Wait(ms) => {
                    let now = sim.now.plus_ms(ms.clamp(0, 400_000));
                    sim.until_moment(now);
                }
                op => apply(&mut sim, op),
            }
        }
        let mut other = Sim::new();
        other.now = sim.now;
        for (key, _) in sim.fleet.devices() {
            let mut described = sim.fleet.describe(key).unwrap();
            described.commands = sim.fleet.describe_commands(key);
            let adopted = other.fleet.adopt(sim.now, &described).unwrap();
            prop_assert_eq!(other.fleet.describe(adopted), sim.fleet.describe(key));
            prop_assert_eq!(other.fleet.describe_commands(adopted), sim.fleet.describe_commands(key));
        }
        assert_consistent(&other.fleet);
        // All verdicts are dated to when they were due.
        let end = sim.now.plus_ms(86_400_000);
        sim.until_moment(end);
        other.until_moment(end);
        for (key, device) in sim.fleet.devices() {
            let mut others = other.fleet.devices();
            let name = (device.prefix(), device.id());
            let same = others.find(|(_, other)| (other.prefix(), other.id()) == name);
            let same = other.fleet.describe(same.unwrap().0).unwrap();
            let described = sim.fleet.describe(key).unwrap();
            prop_assert_eq!(same.presence, described.presence);
            prop_assert_eq!(same.history, described.history);
        }
    }

    #[test]
    fn timers_fire_in_order_and_end(ops in proptest::collection::vec(op(), 0..60)) {
        let mut sim = Sim::new();
        for op in ops {
            // An absurd clock would end the simulation at once.
            if !matches!(op, Op::Wait(ms) if !(-5000..=400_000).contains(&ms)) {
                apply(&mut sim, op);
            }
        }
        let mut last = None;
        let mut fired = 0;
        while let Some(due) = sim.fleet.poll_timeout() {
            prop_assert!(last.is_none_or(|last| due > last));
            last = Some(due);
            sim.fleet.handle_timeout(due);
            fired += 1;
            prop_assert!(fired < 1000, "silence must come to an end");
        }
        assert_consistent(&sim.fleet);
    }
}
