//! A full store has kept enough room. When clients take all queued messages there is room again,
//! whatever filled the store. No server here restarts for that.

use std::net::SocketAddr;

use mqtt::{Packet, PacketId, PubAck, PubComp, PubRec, PubRel, QoS, ReasonCode};
use testbed::metric;

use super::client::{Client, publish, subscribe};
use super::server::{Folder, Server, serve, wait_until};

/// The smallest allowed size.
const LEAST: &str = "256KiB";

fn serve_limited(folder: &Folder, most: &str) -> Server {
    let limits = ["--max-store-size", most, "--max-queued-messages", "100000"];
    serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &limits)
}

fn client_id(number: usize) -> String {
    format!("absent-{number}")
}

/// Leaves this many absent clients, for each of which the server keeps everything below `stored`.
fn leave_subscribed(mqtt: SocketAddr, count: usize, qos: QoS) {
    for number in 0..count {
        let (mut absent, _) = Client::connect(mqtt, &client_id(number)).unwrap();
        absent.put(&subscribe("stored/#", qos));
        absent.flush().unwrap();
        assert!(matches!(absent.receive().unwrap(), Packet::SubAck(_)));
    }
}

/// Whether the server accepts the message, or refuses it because there is no room.
fn offer(client: &mut Client, topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) -> bool {
    let mut message = publish(topic, payload, qos, 1);
    message.retain = retain;
    client.put(&Packet::Publish(message));
    client.flush().unwrap();
    let reason_code = match client.receive().unwrap() {
        Packet::PubAck(ack) => ack.reason_code,
        Packet::PubRec(rec) => {
            if !rec.reason_code.is_error() {
                release(client, rec.packet_id);
                assert!(matches!(client.receive().unwrap(), Packet::PubComp(_)));
            }
            rec.reason_code
        }
        other => panic!("{other:?}"),
    };
    match reason_code {
        ReasonCode::Success | ReasonCode::NoMatchingSubscribers => true,
        ReasonCode::QuotaExceeded => false,
        other => panic!("{other:?}"),
    }
}

fn release(client: &mut Client, id: PacketId) {
    client.put(&Packet::PubRel(PubRel::new(id, ReasonCode::Success)));
    client.flush().unwrap();
}

/// Publishes until there is no room. Returns how many messages were accepted.
fn fill(client: &mut Client, bytes: usize, qos: QoS) -> usize {
    let mut stored = 0;
    while offer(client, "stored/x", vec![b'x'; bytes], qos, false) {
        stored += 1;
        assert!(stored < 60_000, "never full");
    }
    stored
}

/// The client connects and takes this many messages, and acknowledges each before it reads the
/// next.
fn take(mqtt: SocketAddr, number: usize, stored: usize) {
    let (mut absent, answer) = Client::connect(mqtt, &client_id(number)).unwrap();
    assert!(answer.session_present);
    let mut done = 0;
    while done < stored {
        match absent.receive().unwrap() {
            Packet::Publish(message) => {
                let id = message.packet_id.unwrap();
                absent.put(&if message.qos == QoS::AtLeastOnce {
                    done += 1;
                    Packet::PubAck(PubAck::new(id, ReasonCode::Success))
                } else {
                    Packet::PubRec(PubRec::new(id, ReasonCode::Success))
                });
            }
            Packet::PubRel(release) => {
                let id = release.packet_id;
                absent.put(&Packet::PubComp(PubComp::new(id, ReasonCode::Success)));
                done += 1;
            }
            other => panic!("{other:?}"),
        }
        absent.flush().unwrap();
    }
}

/// The clients take everything, and the server accepts new messages again.
fn drain((mqtt, http): (SocketAddr, SocketAddr), clients: usize, stored: usize) {
    for number in 0..clients {
        take(mqtt, number, stored);
    }
    wait_until("empty queues", || metric(http, "mqtt_queued_messages") == 0);
    wait_until("room", || metric(http, "store_full") == 0);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    let payload = b"new".to_vec();
    assert!(offer(
        &mut client,
        "stored/x",
        payload,
        QoS::AtLeastOnce,
        false
    ));
}

fn what_fills_a_store_is_taken(most: &str, clients: usize, bytes: usize, qos: QoS) {
    let folder = Folder::new();
    let server = serve_limited(&folder, most);
    let (mqtt, http) = server.ready();
    leave_subscribed(mqtt, clients, qos);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    let stored = fill(&mut client, bytes, qos);
    assert!(stored > 10, "{stored}");
    assert_eq!(metric(http, "store_full"), 1);
    drain((mqtt, http), clients, stored);
    server.kill();
    // Only the last one is still there.
    let server = serve_limited(&folder, most);
    let (mqtt, _) = server.ready();
    for number in 0..clients {
        take(mqtt, number, 1);
    }
    server.end();
}

/// The record of a message is small compared with what its receivers write.
#[test]
fn a_store_full_of_messages_for_many_is_drained() {
    what_fills_a_store_is_taken("2MiB", 50, 500, QoS::AtLeastOnce);
}

#[test]
fn the_smallest_store_full_of_messages_of_qos_2_is_drained() {
    what_fills_a_store_is_taken(LEAST, 8, 20, QoS::ExactlyOnce);
}

/// The copy is nearly as large as the data.
#[test]
fn a_store_that_retained_messages_nearly_fill_is_drained() {
    let folder = Folder::new();
    let server = serve_limited(&folder, "1MiB");
    let (mqtt, http) = server.ready();
    leave_subscribed(mqtt, 2, QoS::AtLeastOnce);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    let keep = |client: &mut Client, number: usize, payload, qos| {
        offer(client, &format!("kept/{number}"), payload, qos, true)
    };
    let qos = QoS::AtLeastOnce;
    for number in 0..320 {
        assert!(keep(&mut client, number, vec![b'x'; 1_000], qos));
    }
    let stored = fill(&mut client, 1_000, qos);
    assert!((10..320).contains(&stored), "{stored}");
    drain((mqtt, http), 2, stored);
    // Retained messages alone fill the store, and then some are removed.
    let mut kept = 320;
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    while keep(&mut client, kept, vec![b'x'; 1_000], qos) {
        kept += 1;
        assert!(kept < 2_000, "never full");
    }
    wait_until("a full store", || metric(http, "store_full") == 1);
    for number in 0..kept / 2 {
        let mut removal = publish(&format!("kept/{number}"), "", QoS::AtMostOnce, 1);
        removal.packet_id = None;
        removal.retain = true;
        client.put(&Packet::Publish(removal));
    }
    client.flush().unwrap();
    wait_until("room", || metric(http, "store_full") == 0);
    assert!(keep(&mut client, kept, vec![b'x'; 1_000], qos));
    server.kill();
    let server = serve_limited(&folder, "1MiB");
    let (_, http) = server.ready();
    let expected = u64::try_from(kept - kept / 2 + 1).unwrap();
    assert_eq!(metric(http, "mqtt_retained_messages"), expected);
    server.end();
}

/// The server must answer all messages of a burst before any of them is on the disk.
#[test]
fn a_burst_does_not_use_up_what_is_kept() {
    const WINDOW: u16 = 250;
    let folder = Folder::new();
    let server = serve_limited(&folder, "512KiB");
    let (mqtt, http) = server.ready();
    leave_subscribed(mqtt, 10, QoS::AtLeastOnce);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    for id in 1..=WINDOW {
        let message = publish("stored/x", vec![b'x'; 4_000], QoS::AtLeastOnce, id);
        client.put(&Packet::Publish(message));
    }
    client.flush().unwrap();
    let mut stored = 0;
    for _ in 0..WINDOW {
        match client.receive().unwrap() {
            Packet::PubAck(ack) => stored += usize::from(!ack.reason_code.is_error()),
            other => panic!("{other:?}"),
        }
    }
    assert!((10..usize::from(WINDOW)).contains(&stored), "{stored}");
    assert!(metric(http, "store_journal_bytes") < 300_000);
    drain((mqtt, http), 10, stored);
    server.end();
}

/// The folder was filled under another limit.
#[test]
fn a_limit_in_which_nothing_has_room_is_refused_with_the_least_that_works() {
    let folder = Folder::new();
    let server = serve_limited(&folder, "4MiB");
    let (mqtt, _) = server.ready();
    leave_subscribed(mqtt, 1, QoS::AtLeastOnce);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    for _ in 0..100 {
        let payload = vec![b'x'; 8_000];
        assert!(offer(
            &mut client,
            "stored/x",
            payload,
            QoS::AtLeastOnce,
            false
        ));
    }
    server.kill();
    let (status, _, log) = serve_limited(&folder, "1MiB").ended();
    assert_eq!(status.code(), Some(1), "{log}");
    let line = log.lines().find(|it| it.starts_with("beaconry: ")).unwrap();
    assert!(line.contains(folder.data().to_str().unwrap()), "{line}");
    let (_, least) = line.split_once("needs ").unwrap();
    let (least, _) = least.split_once(' ').unwrap();
    let server = serve_limited(&folder, least);
    let (mqtt, _) = server.ready();
    take(mqtt, 0, 100);
    server.end();
}

/// The size of what a start reads says nothing about how much of it still matters.
#[test]
fn a_journal_that_was_long_at_the_start_gets_shorter() {
    let folder = Folder::new();
    let start = || {
        let arguments = ["--store-segment-size", "64KiB"];
        serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &arguments)
    };
    let server = start();
    let (mqtt, _) = server.ready();
    leave_subscribed(mqtt, 1, QoS::AtLeastOnce);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    for _ in 0..80 {
        let payload = vec![b'x'; 8_000];
        assert!(offer(
            &mut client,
            "stored/x",
            payload,
            QoS::AtLeastOnce,
            false
        ));
    }
    server.kill();
    let server = start();
    let (mqtt, http) = server.ready();
    assert!(metric(http, "store_journal_bytes") > 600_000);
    take(mqtt, 0, 80);
    wait_until("a short journal", || {
        metric(http, "store_journal_bytes") < 100_000
    });
    server.end();
}
