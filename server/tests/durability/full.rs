//! A full store: it refuses what is new, keeps what was promised, and everything goes on when there
//! is room.

use std::net::SocketAddr;

use mqtt::{Connect, Packet, PacketId, ProtocolVersion, PubAck, QoS, ReasonCode};
use testbed::{metric, request};

use super::client::{Client, publish, subscribe};
use super::server::{Folder, serve, wait_until};

/// The answer to a message with `QoS` 1.
pub(crate) fn offer(client: &mut Client, topic: &str, number: u16) -> ReasonCode {
    offer_sized(client, topic, number, 4_000)
}

/// The same, with a payload of about this many bytes.
fn offer_sized(client: &mut Client, topic: &str, number: u16, bytes: usize) -> ReasonCode {
    let text = format!("{number} {}", "x".repeat(bytes));
    let message = publish(topic, text, QoS::AtLeastOnce, 1);
    client.put(&Packet::Publish(message));
    client.flush().unwrap();
    loop {
        match client.receive().unwrap() {
            Packet::PubAck(ack) => return ack.reason_code,
            Packet::Publish(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[track_caller]
fn assert_answers(http: SocketAddr, path: &str, status: u16, body: &str) {
    let answer = request(http, &format!("GET {path}"));
    assert_eq!(answer.status, status, "{path}: {answer:?}");
    assert!(answer.text().starts_with(body), "{path}: {answer:?}");
}

/// Leaves an absent client, for which the server keeps everything below `stored`.
pub(crate) fn leave_subscribed(mqtt: SocketAddr) {
    let (mut absent, _) = Client::connect(mqtt, "absent").unwrap();
    absent.put(&subscribe("stored/#", QoS::AtLeastOnce));
    absent.flush().unwrap();
    assert!(matches!(absent.receive().unwrap(), Packet::SubAck(_)));
}

/// The client connects and takes this many queued messages, in order. It acknowledges each before
/// the next.
pub(crate) fn take_stored(mqtt: SocketAddr, stored: u16) -> Client {
    let (mut absent, answer) = Client::connect(mqtt, "absent").unwrap();
    assert!(answer.session_present);
    for number in 0..stored {
        let Packet::Publish(message) = absent.receive().unwrap() else {
            panic!("no message {number}");
        };
        let text = String::from_utf8_lossy(&message.payload);
        assert!(
            text.starts_with(&format!("{number} ")),
            "{number}: {}",
            &text[..8]
        );
        let id: PacketId = message.packet_id.unwrap();
        absent.put(&Packet::PubAck(PubAck::new(id, ReasonCode::Success)));
        absent.flush().unwrap();
    }
    absent
}

/// While nothing can be stored, the server refuses `QoS` 2 messages that it would have to store.
/// What needs no store goes on, also for a client that connects only now.
pub(crate) fn assert_lives_without_room(mqtt: SocketAddr, publisher: &mut Client) {
    let connect = Connect::with_client_id(ProtocolVersion::V5, "present").unwrap();
    let (mut present, _) = Client::connect_as(mqtt, connect).unwrap();
    present.put(&subscribe("#", QoS::AtMostOnce));
    present.flush().unwrap();
    match present.receive().unwrap() {
        Packet::SubAck(ack) => assert_eq!(ack.reason_codes, [ReasonCode::Success]),
        other => panic!("{other:?}"),
    }
    let twice = publish("stored/x", "refused", QoS::ExactlyOnce, 2);
    publisher.put(&Packet::Publish(twice));
    publisher.flush().unwrap();
    match publisher.receive().unwrap() {
        Packet::PubRec(ack) => assert_eq!(
            (ack.packet_id.get(), ack.reason_code),
            (2, ReasonCode::QuotaExceeded)
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(offer(publisher, "stored/x", 0), ReasonCode::QuotaExceeded);
    // The first message also matches the absent client's filter. That must not keep it from others.
    let mut said = Vec::new();
    for number in 0..20 {
        let topic = ["stored/x", "live/x"][number % 2];
        let text = format!("{number} of QoS 0");
        publisher.put(&Packet::Publish(publish(
            topic,
            text.clone(),
            QoS::AtMostOnce,
            0,
        )));
        said.push((topic.to_owned(), text));
    }
    publisher.flush().unwrap();
    // A QoS 1 message that no stored session gets.
    assert_eq!(offer(publisher, "live/x", 20), ReasonCode::Success);
    let heard: Vec<_> = (0..20)
        .map(|_| match present.receive().unwrap() {
            Packet::Publish(message) => (
                message.topic.unwrap().as_str().to_owned(),
                String::from_utf8(message.payload.to_vec()).unwrap(),
            ),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard, said);
    match present.receive().unwrap() {
        Packet::Publish(message) => assert!(message.payload.starts_with(b"20 "), "{message:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_store_refuses_what_is_new_and_makes_room_when_queues_shrink() {
    let folder = Folder::new();
    let limit = ["--max-store-size", "2MiB"];
    let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &limit);
    let (mqtt, http) = server.ready();
    assert_answers(http, "/healthz", 200, "ok\n");

    // Leaves an absent client, and publishes until nothing more can be stored.
    leave_subscribed(mqtt);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    let mut stored = 0;
    loop {
        match offer(&mut client, "stored/x", stored) {
            ReasonCode::Success => stored += 1,
            ReasonCode::QuotaExceeded => break,
            other => panic!("{other:?}"),
        }
        assert!(stored < 2_000, "never full");
    }
    assert!(stored > 100, "{stored}");
    // The server is not well, but a restart would change nothing.
    assert_answers(http, "/healthz", 503, "the store is full");
    assert_answers(http, "/livez", 200, "ok\n");
    let data = folder.data();
    let line = server.log_line(" is full: ");
    assert!(line.contains(data.to_str().unwrap()), "{line}");
    assert_eq!(metric(http, "store_full"), 1);

    client.put(&subscribe("live/#", QoS::AtMostOnce));
    client.flush().unwrap();
    match client.receive().unwrap() {
        Packet::SubAck(ack) => {
            assert_eq!(
                ack.reason_codes,
                [ReasonCode::QuotaExceeded],
                "it is to last for ever"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_lives_without_room(mqtt, &mut client);

    // The absent client takes its queue: everything that was acknowledged, in order.
    let _absent = take_stored(mqtt, stored);
    // So little is left that a copy of it fits into the reserve. The old files go.
    server.log_line("the store has space again");
    wait_until("room", || metric(http, "store_full") == 0);
    assert_answers(http, "/healthz", 200, "ok\n");
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    assert_eq!(offer(&mut client, "stored/x", 9_999), ReasonCode::Success);
    drop(client);
    server.kill();

    // Nothing of that was lost on the way.
    let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &limit);
    let (mqtt, _) = server.ready();
    let (mut absent, answer) = Client::connect(mqtt, "absent").unwrap();
    assert!(answer.session_present);
    loop {
        if let Packet::Publish(message) = absent.receive().unwrap()
            && message.payload.starts_with(b"9999 ")
        {
            break;
        }
    }
    server.end();
}

/// One client is away until the store is full. Then it takes all messages, one after the other,
/// which alone writes more than the rest of the last file holds.
fn a_drained_store_is_not_full_for_ever(most: &str, bytes: usize) {
    let folder = Folder::new();
    let limits = ["--max-store-size", most, "--max-queued-messages", "100000"];
    let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &limits);
    let (mqtt, http) = server.ready();
    leave_subscribed(mqtt);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    let mut stored = 0;
    while offer_sized(&mut client, "stored/x", stored, bytes) == ReasonCode::Success {
        stored += 1;
        assert!(stored < 60_000, "never full");
    }
    assert_eq!(metric(http, "store_full"), 1);

    let _absent = take_stored(mqtt, stored);
    wait_until("an empty queue", || {
        metric(http, "mqtt_queued_messages") == 0
    });
    wait_until("room", || metric(http, "store_full") == 0);
    assert_eq!(
        offer_sized(&mut client, "stored/x", 60_000, bytes),
        ReasonCode::Success
    );
    server.kill();

    // None of the acknowledged messages comes again, but those accepted since do.
    let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &limits);
    let (mqtt, _) = server.ready();
    let (mut absent, answer) = Client::connect(mqtt, "absent").unwrap();
    assert!(answer.session_present);
    let Packet::Publish(message) = absent.receive().unwrap() else {
        panic!("no message");
    };
    assert!(message.payload.starts_with(b"60000 "));
    server.end();
}

#[test]
fn a_store_of_8_mib_is_drained() {
    a_drained_store_is_not_full_for_ever("8MiB", 500);
}

#[test]
fn a_store_of_2_mib_is_drained() {
    a_drained_store_is_not_full_for_ever("2MiB", 20);
}

/// Whether this many messages of 1 kB fit for an absent client.
fn have_room(most: &str, count: u16) -> bool {
    /// How much a client may send before it gets an answer.
    const ONCE: u16 = 200;
    let folder = Folder::new();
    let limits = ["--max-store-size", most];
    let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &limits);
    let (mqtt, _) = server.ready();
    leave_subscribed(mqtt);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    let mut is_stored = true;
    for _ in 0..count / ONCE {
        for id in 1..=ONCE {
            let message = publish("stored/x", vec![b'x'; 1_000], QoS::AtLeastOnce, id);
            client.put(&Packet::Publish(message));
        }
        client.flush().unwrap();
        for _ in 1..=ONCE {
            match client.receive().unwrap() {
                Packet::PubAck(ack) => is_stored &= ack.reason_code == ReasonCode::Success,
                other => panic!("{other:?}"),
            }
        }
    }
    server.end();
    is_stored
}

/// Checks the example in docs/limits.md.
#[test]
fn a_limit_has_room_for_as_many_messages_as_is_documented() {
    assert!(include_str!("../../../docs/limits.md").contains("give `--max-store-size 28MiB`"));
    assert!(have_room("28MiB", 10_000));
    assert!(!have_room("22MiB", 10_000));
}
