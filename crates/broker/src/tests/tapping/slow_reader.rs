//! A reader that reads whenever it likes, held against the broker itself.

use std::time::Duration;

use mqtt::packet::Disconnect;
use mqtt::{Connect, Packet, PubRel, QoS, ReasonCode};
use proptest::prelude::*;

use super::{Reader, known, truth, with_will};
use crate::Conn;
use crate::tap::Departure;
use crate::tests::{V5, World, lasting, message, packet_id};

/// What a client, or the reader, does.
#[derive(Clone, Debug)]
enum Step {
    Connect {
        who: usize,
        lasts: bool,
        will: Option<bool>,
    },
    Leave {
        who: usize,
        how: Departure,
    },
    Publish {
        who: usize,
        topic: usize,
        qos: QoS,
        retain: bool,
        bytes: usize,
        expires: Option<u32>,
    },
    Sleep(u64),
    Read,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const TOPICS: [&str; 6] = ["r", "r/1", "r/2", "r/1/x", "s", "status"];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let who = 0..NAMES.len();
    let qos = prop_oneof![
        Just(QoS::AtMostOnce),
        Just(QoS::AtLeastOnce),
        Just(QoS::ExactlyOnce)
    ];
    let bytes = prop_oneof![1 => Just(0usize), 6 => 1..200usize, 1 => 200..2_000usize];
    let how = prop_oneof![
        Just(Departure::Disconnected),
        Just(Departure::DisconnectedWithWill),
        Just(Departure::ConnectionLost),
        Just(Departure::Dismissed)
    ];
    let will = prop::option::of(any::<bool>());
    let expires = prop::option::weighted(0.2, 0..3u32);
    let step = prop_oneof![
        2 => (who.clone(), any::<bool>(), will)
            .prop_map(|(who, lasts, will)| Step::Connect { who, lasts, will }),
        1 => (who.clone(), how).prop_map(|(who, how)| Step::Leave { who, how }),
        8 => (who, 0..TOPICS.len(), qos, any::<bool>(), bytes, expires).prop_map(
            |(who, topic, qos, retain, bytes, expires)| Step::Publish {
                who, topic, qos, retain, bytes, expires,
            }
        ),
        1 => (0..1_500u64).prop_map(Step::Sleep),
        1 => Just(Step::Read),
    ];
    prop::collection::vec(step, 0..300)
}

/// Does one step. `conns` are the clients' last connections.
fn take_step(world: &mut World, reader: &mut Reader, conns: &mut [Option<Conn>], step: &Step) {
    match *step {
        Step::Connect { who, lasts, will } => {
            let connect = if lasts {
                lasting(V5, NAMES[who])
            } else {
                Connect::new(V5, NAMES[who])
            };
            let connect = match will {
                Some(retain) => with_will(connect, retain),
                None => connect,
            };
            conns[who] = Some(world.connect(&connect).0);
        }
        Step::Leave { who, how } => {
            let Some(conn) = conns[who].take() else {
                return;
            };
            match how {
                Departure::Disconnected | Departure::DisconnectedWithWill => {
                    let reason_code = if how == Departure::Disconnected {
                        ReasonCode::Success
                    } else {
                        ReasonCode::DisconnectWithWill
                    };
                    world.send(conn, &Packet::Disconnect(Disconnect::new(reason_code)));
                }
                Departure::Dismissed => world.send_bytes(conn, &b"\x00\x00"[..]),
                _ => world.cut(conn),
            }
        }
        Step::Publish {
            who,
            topic,
            qos,
            retain,
            bytes,
            expires,
        } => {
            let Some(conn) = conns[who] else { return };
            let mut publish = message(TOPICS[topic], &"x".repeat(bytes), qos, 7);
            publish.retain = retain;
            publish.properties.message_expiry_interval = expires;
            world.send(conn, &Packet::Publish(publish));
            if qos == QoS::ExactlyOnce {
                let release = PubRel::new(packet_id(7), ReasonCode::Success);
                world.send(conn, &Packet::PubRel(release));
            }
        }
        Step::Sleep(millis) => world.sleep(Duration::from_millis(millis)),
        Step::Read => {
            reader.read(world);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However slow the reader is: in the end it knows the clients and the retained messages, and it
    /// knows exactly how many messages it has lost.
    #[test]
    fn a_slow_reader_knows_everything_in_the_end(
        steps in steps(),
        limit in prop_oneof![1_000..4_000usize, Just(100_000)],
        retained_messages in prop_oneof![Just(3usize), Just(1_000)],
        each in prop_oneof![Just(1usize), Just(4_096)],
    ) {
        let mut world = World::with(|options| {
            options.tap = true;
            options.limits.tap_bytes = limit;
            options.limits.retained_messages = retained_messages;
            options.steps.each = each;
        });
        let mut reader = Reader::default();
        let mut conns = [None; NAMES.len()];
        for step in &steps {
            take_step(&mut world, &mut reader, &mut conns, step);
            prop_assert!(world.broker.metrics().tap_bytes <= limit as u64);
        }
        reader.catch_up(&mut world);
        let (clients, mut retained) = truth(&world);
        // The broker may not yet have removed what has expired, and what is too large is not told.
        let now = world.now;
        let is_expired = |topic: &str| {
            let all = world.broker.retained.all();
            all.iter().any(|it| it.topic() == topic && it.is_expired(now))
        };
        retained.retain(|(topic, payload)| payload.len() + 100 < limit / 4 * 3 && !is_expired(topic));
        let (known_clients, mut known_retained) = known(&reader);
        known_retained.retain(|(topic, payload)| payload.len() + 100 < limit / 4 * 3 && !is_expired(topic));
        prop_assert_eq!(known_clients, clients);
        prop_assert_eq!(known_retained, retained);
        let metrics = world.broker.metrics();
        let accepted = metrics.messages_in - metrics.duplicates_in + metrics.wills_published;
        prop_assert_eq!(reader.messages + reader.lost, accepted);
        prop_assert_eq!(reader.lost, metrics.tap_lost);
    }
}
