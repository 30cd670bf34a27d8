//! What the reader of the tap gets to know, and what it loses when it is slow.

mod slow_reader;

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt::packet::{Disconnect, Will, WillProperties};
use mqtt::{Connect, Packet, QoS, ReasonCode, TopicFilter};

use super::{V3, V5, World, lasting, message, retained, topic};
use crate::tap::{self, Publisher, TapEvent};
use crate::{Conn, DenyRules, Grants, Input, Output};

/// A reader as the documentation of the tap tells it to be.
#[derive(Debug, Default)]
struct Reader {
    /// Clients by connection, and whether they are doubtful.
    clients: BTreeMap<Conn, (String, bool)>,
    /// Retained messages by topic, and whether they are doubtful.
    retained: BTreeMap<String, (Vec<u8>, bool)>,
    messages: u64,
    lost: u64,
    is_resyncing: bool,
    /// Every event but those of a resync, for people.
    said: Vec<String>,
}

impl Reader {
    /// Takes a batch and reads it. Returns whether there was anything in it.
    fn read(&mut self, world: &mut World) -> bool {
        let mut batch = Vec::new();
        world.broker.take_tap(&mut batch);
        world.is_tapped = false;
        world.run();
        for event in tap::read(&batch) {
            self.take(&event);
        }
        !batch.is_empty()
    }

    fn take(&mut self, event: &TapEvent<'_>) {
        match *event {
            TapEvent::Message {
                publisher,
                qos,
                retain,
                topic,
                payload,
                ..
            } => {
                self.messages += 1;
                if retain && payload.is_empty() {
                    self.retained.remove(topic);
                } else if retain {
                    self.retained
                        .insert(topic.to_owned(), (payload.to_vec(), false));
                }
                let from = match publisher {
                    Publisher::Connection(conn) => match self.clients.get(&conn) {
                        Some((name, _)) => name.clone(),
                        None if self.is_resyncing => "not told yet".to_owned(),
                        None => panic!("of nobody: {conn:?}"),
                    },
                    Publisher::Will(client_id) => format!("will of {client_id}"),
                };
                let payload = String::from_utf8_lossy(payload);
                let retain = if retain { " retained" } else { "" };
                self.said
                    .push(format!("{from}: {topic} {payload} {}{retain}", qos as u8));
            }
            TapEvent::Connected {
                conn,
                client_id,
                is_news,
                ..
            } => {
                assert!(is_news || self.is_resyncing);
                self.clients.insert(conn, (client_id.to_owned(), false));
                if is_news {
                    self.said.push(format!("{client_id} connected"));
                }
            }
            TapEvent::Left {
                conn,
                client_id,
                how,
                ..
            } => {
                let known = self.clients.remove(&conn);
                assert!(known.is_none_or(|(name, _)| name == client_id));
                self.said.push(format!("{client_id} left: {how:?}"));
            }
            TapEvent::Retained { topic, payload, .. } => {
                assert!(self.is_resyncing && !payload.is_empty());
                self.retained
                    .insert(topic.to_owned(), (payload.to_vec(), false));
            }
            TapEvent::RetainedGone { topic, .. } => {
                self.retained.remove(topic);
                self.said.push(format!("{topic} is gone"));
            }
            TapEvent::ResyncBegins => {
                self.is_resyncing = true;
                self.clients.values_mut().for_each(|it| it.1 = true);
                self.retained.values_mut().for_each(|it| it.1 = true);
            }
            TapEvent::ResyncEnds => {
                assert!(self.is_resyncing);
                self.is_resyncing = false;
                self.clients.retain(|_, it| !it.1);
                self.retained.retain(|_, it| !it.1);
            }
            TapEvent::Lost { messages } => {
                assert!(messages > 0);
                self.lost += messages;
            }
        }
    }

    /// Reads until the broker has nothing more to tell. Fails if a resync never ends.
    fn catch_up(&mut self, world: &mut World) {
        for _ in 0..1_000 {
            let has_read = self.read(world);
            if !has_read && !self.is_resyncing {
                return;
            }
            world.sleep(Duration::from_millis(1));
        }
        panic!("the resync does not end");
    }

    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.said)
    }
}

/// Connected clients, and retained messages with their topics.
type Known = (Vec<(Conn, String)>, Vec<(String, Vec<u8>)>);

/// The connected clients and the retained messages, as the broker has them.
fn truth(world: &World) -> Known {
    let broker = &world.broker;
    let conns = (0..=world.next_conn).map(Conn);
    let clients = conns.filter_map(|it| Some((it, broker.client_of(it)?.to_string())));
    let retained = broker.retained.all().into_iter();
    let retained = retained.map(|it| (it.topic().to_owned(), it.publish.payload.to_vec()));
    let mut retained: Vec<_> = retained.collect();
    retained.sort();
    (clients.collect(), retained)
}

fn known(reader: &Reader) -> Known {
    let clients = reader.clients.iter();
    let retained = reader.retained.iter();
    (
        clients.map(|(conn, it)| (*conn, it.0.clone())).collect(),
        retained
            .map(|(topic, it)| (topic.clone(), it.0.clone()))
            .collect(),
    )
}

fn tapped(limit: usize) -> World {
    World::with(|options| {
        options.tap = true;
        options.limits.tap_bytes = limit;
    })
}

fn with_will(mut connect: Connect, retain: bool) -> Connect {
    connect.will = Some(Will {
        topic: topic("status"),
        payload: "gone".into(),
        qos: QoS::AtMostOnce,
        retain,
        properties: WillProperties::default(),
    });
    connect
}

#[test]
fn without_a_tap_nothing_is_told() {
    let mut world = World::new();
    let client = world.client(V5, "a");
    world.publish(client, "t", "1", QoS::AtMostOnce);
    assert!(!world.is_tapped);
    let mut batch = vec![1];
    world.broker.take_tap(&mut batch);
    assert!(batch.is_empty());
}

#[test]
fn a_reader_gets_to_know_everything_in_order() {
    let mut world = tapped(1 << 20);
    let mut reader = Reader::default();
    reader.catch_up(&mut world);
    let client = world.client(V5, "a");
    world.publish(client, "t", "0", QoS::AtMostOnce);
    world.publish(client, "t", "1", QoS::AtLeastOnce);
    // A QoS 2 message comes once, however often it is sent.
    for _ in 0..3 {
        world.publish(client, "t", "2", QoS::ExactlyOnce);
    }
    world.send(client, &retained("r", "3", QoS::AtMostOnce));
    world.send(
        client,
        &Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
    );
    assert!(world.is_tapped);
    reader.read(&mut world);
    assert_eq!(
        reader.said(),
        [
            "a connected",
            "a: t 0 0",
            "a: t 1 1",
            "a: t 2 2",
            "a: r 3 0 retained",
            "a left: Disconnected",
        ]
    );
    assert!(!world.is_tapped, "there is nothing to take");
}

#[test]
fn refused_messages_are_not_told() {
    let mut world = World::with(|options| {
        options.tap = true;
        let denied = TopicFilter::try_from("secret/#").unwrap();
        options.grants = Grants::new(DenyRules::new(vec![denied], Vec::new()));
    });
    let mut reader = Reader::default();
    let client = world.client(V5, "a");
    world.publish(client, "$SYS/x", "1", QoS::AtLeastOnce);
    world.publish(client, "secret/x", "1", QoS::AtLeastOnce);
    reader.catch_up(&mut world);
    assert_eq!(reader.said(), ["a connected"]);
}

#[test]
fn a_topic_alias_is_told_as_the_topic() {
    let mut world = tapped(1 << 20);
    let mut reader = Reader::default();
    let client = world.client(V5, "a");
    let mut publish = message("long/topic", "1", QoS::AtMostOnce, 1);
    publish.properties.topic_alias = std::num::NonZeroU16::new(1);
    world.send(client, &Packet::Publish(publish.clone()));
    publish.topic = None;
    publish.payload = "2".into();
    world.send(client, &Packet::Publish(publish));
    reader.catch_up(&mut world);
    assert_eq!(
        reader.said(),
        ["a connected", "a: long/topic 1 0", "a: long/topic 2 0"]
    );
}

#[test]
fn correlation_data_comes_too() {
    let mut world = tapped(1 << 20);
    let client = world.client(V5, "a");
    let mut publish = message("t", "1", QoS::AtMostOnce, 1);
    publish.properties.correlation_data = Some("c1".into());
    world.send(client, &Packet::Publish(publish));
    let mut batch = Vec::new();
    world.broker.take_tap(&mut batch);
    let data = tap::read(&batch).find_map(|event| match event {
        TapEvent::Message {
            correlation_data, ..
        } => correlation_data,
        _ => None,
    });
    assert_eq!(data, Some(&b"c1"[..]));
}

#[test]
fn a_will_comes_after_its_client_has_left() {
    for version in [V5, V3] {
        let mut world = tapped(1 << 20);
        let mut reader = Reader::default();
        let (conn, _) = world.connect(&with_will(Connect::new(version, "a"), true));
        world.cut(conn);
        reader.catch_up(&mut world);
        assert_eq!(
            reader.said(),
            [
                "a connected",
                "a left: ConnectionLost",
                "will of a: status gone 0 retained",
            ]
        );
    }
}

#[test]
fn a_takeover_is_told_before_the_new_connection() {
    for connect in [Connect::new(V5, "a"), lasting(V5, "a")] {
        let mut world = tapped(1 << 20);
        let mut reader = Reader::default();
        world.connect(&with_will(connect.clone(), false));
        world.connect(&connect);
        reader.catch_up(&mut world);
        assert_eq!(
            reader.said(),
            [
                "a connected",
                "a left: TakenOver",
                "will of a: status gone 0",
                "a connected",
            ]
        );
    }
}

#[test]
fn the_reader_gets_to_know_how_a_client_left() {
    let mut world = tapped(1 << 20);
    let mut reader = Reader::default();
    let mut connect = Connect::new(V5, "silent");
    connect.keep_alive = 1;
    world.connect(&connect);
    world.sleep(Duration::from_secs(2));
    let unhappy = world.client(V5, "unhappy");
    let with_will = Disconnect::new(ReasonCode::DisconnectWithWill);
    world.send(unhappy, &Packet::Disconnect(with_will));
    let rude = world.client(V5, "rude");
    world.send_bytes(rude, &b"\x00\x00"[..]);
    world.client(V5, "last");
    world.input(Input::Shutdown);
    reader.read(&mut world);
    let said = reader.said();
    let left: Vec<_> = said.iter().filter(|it| it.contains("left")).collect();
    assert_eq!(
        left,
        [
            "silent left: KeepAliveTimeout",
            "unhappy left: DisconnectedWithWill",
            "rude left: Dismissed",
            "last left: ServerShutDown",
        ]
    );
}

#[test]
fn a_client_that_never_connected_does_not_leave() {
    let mut world = World::with(|options| {
        options.tap = true;
        options.authenticate = true;
    });
    let mut reader = Reader::default();
    let conn = world.open(V5);
    world.send(conn, &Packet::Connect(Connect::new(V5, "a")));
    world.cut(conn);
    let conn = world.open(V5);
    world.send_bytes(conn, &b"GET / HTTP/1.1\r\n"[..]);
    reader.catch_up(&mut world);
    assert!(reader.said().is_empty());
}

#[test]
fn a_start_begins_with_what_was_stored() {
    let mut world = World::with(|options| {
        options.tap = true;
        options.durable = true;
    });
    let client = world.client(V5, "a");
    world.send(client, &retained("kept", "1", QoS::AtLeastOnce));
    let (_, connack) = world.connect(&with_will(Connect::new(V5, "b"), false));
    assert_eq!(connack.reason_code, ReasonCode::Success);
    world.crash();
    let mut reader = Reader::default();
    reader.catch_up(&mut world);
    assert_eq!(known(&reader), truth(&world));
    assert_eq!(reader.retained.len(), 1);
    assert_eq!(reader.said(), ["will of b: status gone 0"]);
}

#[test]
fn a_retained_message_that_expires_is_told() {
    let mut world = World::with(|options| {
        options.tap = true;
        options.limits.retained_messages = 2;
    });
    let mut reader = Reader::default();
    let client = world.client(V5, "a");
    for name in ["x", "y"] {
        let mut publish = message(name, "1", QoS::AtMostOnce, 1);
        publish.retain = true;
        publish.properties.message_expiry_interval = Some(10);
        world.send(client, &Packet::Publish(publish));
    }
    // There is no room for a third one.
    world.send(client, &retained("z", "1", QoS::AtMostOnce));
    world.sleep(Duration::from_secs(11));
    reader.catch_up(&mut world);
    let said = reader.said();
    let gone: Vec<_> = said.iter().filter(|it| it.ends_with("gone")).collect();
    assert_eq!(gone, ["z is gone", "x is gone", "y is gone"]);
}

/// The reader stands still. Telemetry goes first, then everything that is not retained, and the
/// broker holds no more than the limit.
#[test]
fn telemetry_is_lost_first_and_counted() {
    const LIMIT: usize = 8_192;
    let mut world = tapped(LIMIT);
    let mut reader = Reader::default();
    reader.catch_up(&mut world);
    let client = world.client(V5, "a");
    let bytes = |world: &World| usize::try_from(world.broker.metrics().tap_bytes).unwrap();
    for (qos, most) in [
        (QoS::AtMostOnce, LIMIT / 2),
        (QoS::AtLeastOnce, LIMIT / 4 * 3),
    ] {
        for _ in 0..200 {
            world.publish(client, "t", "telemetry", qos);
        }
        assert!(bytes(&world) <= most && bytes(&world) > most - 100);
    }
    let lost = world.broker.metrics().tap_lost;
    world.send(client, &retained("r", "1", QoS::AtMostOnce));
    assert_eq!(world.broker.metrics().tap_lost, lost, "there is room");
    reader.read(&mut world);
    assert_eq!(reader.messages + reader.lost, 401);
    assert_eq!(reader.lost, lost);
    assert_eq!(reader.said().pop().unwrap(), "a: r 1 0 retained");
    assert_eq!(world.broker.metrics().tap_resyncs, 1, "that of the start");
}

#[test]
fn a_reader_that_lost_a_retained_message_is_told_all_anew() {
    const LIMIT: usize = 4_096;
    let mut world = tapped(LIMIT);
    let mut reader = Reader::default();
    let old = world.client(V5, "old");
    let client = world.client(V5, "a");
    world.send(client, &retained("r/0", "1", QoS::AtMostOnce));
    reader.catch_up(&mut world);
    world.send(client, &retained("r/0", "", QoS::AtMostOnce));
    for number in 1..200 {
        world.send(
            client,
            &retained(&format!("r/{number}"), "1", QoS::AtMostOnce),
        );
    }
    world.cut(old);
    world.client(V5, "new");
    assert!(world.broker.metrics().tap_bytes <= LIMIT as u64);
    reader.catch_up(&mut world);
    assert_eq!(known(&reader), truth(&world));
    assert_eq!(reader.retained.len(), 199);
    assert_eq!(world.broker.metrics().tap_resyncs, 2);
}

#[test]
fn a_message_that_is_too_large_for_the_tap_is_gone_for_the_reader() {
    let mut world = tapped(8_192);
    let mut reader = Reader::default();
    let client = world.client(V5, "a");
    world.send(client, &retained("r", "1", QoS::AtMostOnce));
    reader.catch_up(&mut world);
    let large = "x".repeat(7_000);
    world.send(client, &retained("r", &large, QoS::AtMostOnce));
    world.publish(client, "t", &large, QoS::AtLeastOnce);
    reader.catch_up(&mut world);
    assert!(reader.retained.is_empty());
    assert_eq!(reader.lost, 2);
    assert_eq!(world.broker.metrics().tap_resyncs, 1);
}

/// A million retained messages must not keep a turn busy.
#[test]
fn a_resync_is_divided_into_turns() {
    let mut world = tapped(1 << 20);
    let client = world.client(V5, "a");
    for number in 0..2_000 {
        world.send(
            client,
            &retained(&format!("r/{number}"), "1", QoS::AtMostOnce),
        );
    }
    world.broker.tap = Some(tap::Tap::new(1 << 20));
    let mut reader = Reader::default();
    let mut turns = 0;
    while reader.retained.len() < 2_000 {
        world.sleep(Duration::from_millis(1));
        let before = reader.retained.len();
        reader.read(&mut world);
        turns += 1;
        assert!(reader.retained.len() - before <= 2 * 4_096 / 8);
        assert!(turns < 100);
    }
    assert!(turns >= 4);
    reader.catch_up(&mut world);
    assert_eq!(known(&reader), truth(&world));
}

/// The shell is told once, and again after it has taken.
#[test]
fn the_shell_is_told_once_until_it_takes() {
    let mut world = tapped(1 << 20);
    Reader::default().catch_up(&mut world);
    let client = world.client(V5, "a");
    assert!(std::mem::take(&mut world.is_tapped));
    world.publish(client, "t", "1", QoS::AtMostOnce);
    assert!(!world.is_tapped);
    world.broker.take_tap(&mut Vec::new());
    assert!(matches!(world.broker.poll_output(), Output::Idle(_)));
    world.publish(client, "t", "1", QoS::AtMostOnce);
    assert!(world.is_tapped);
}
