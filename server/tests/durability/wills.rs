//! The server is killed while clients are connected that have wills, and whose sessions end with
//! their connections.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use mqtt::packet::WillProperties;
use mqtt::{
    Connect, Disconnect, Packet, ProtocolVersion, PubComp, PubRec, Publish, QoS, ReasonCode,
    TopicName, Will,
};
use testbed::metric;

use super::client::{Client, publish, subscribe};
use super::server::{Folder, serve, wait_until};

const ANY: &str = "127.0.0.1:0";

/// A device that publishes that it is online. Its will says that it is offline.
fn device(address: SocketAddr, version: ProtocolVersion, name: &str) -> Client {
    let mut connect = Connect::with_client_id(version, name).unwrap();
    connect.keep_alive = 0;
    let topic = format!("status/{name}");
    connect.will = Some(Will {
        topic: TopicName::try_from(topic.clone()).unwrap(),
        payload: "offline".into(),
        qos: QoS::ExactlyOnce,
        retain: true,
        properties: WillProperties {
            // Its session ends before that, with the connection.
            will_delay_interval: (version == ProtocolVersion::V5).then_some(3_600),
            ..WillProperties::default()
        },
    });
    let (mut client, _) = Client::connect_as(address, connect).unwrap();
    let mut online = publish(&topic, "online", QoS::ExactlyOnce, 1);
    online.retain = true;
    client.put(&Packet::Publish(online));
    client.flush().unwrap();
    match client.receive().unwrap() {
        Packet::PubRec(ack) => assert!(!ack.reason_code.is_error(), "{ack:?}"),
        other => panic!("{other:?}"),
    }
    client
}

/// Asks, and takes all messages that come before the answer, and completes the `QoS` 2 exchanges.
/// Returns topics and payloads, sorted.
fn taken(client: &mut Client) -> Vec<(String, String)> {
    let mut taken = Vec::new();
    let mut open = BTreeSet::new();
    let mut is_answered = false;
    client.put(&Packet::PingReq);
    client.flush().unwrap();
    while !is_answered || !open.is_empty() {
        match client.receive().unwrap() {
            Packet::Publish(message) => {
                if let Some(id) = message.packet_id {
                    assert!(open.insert(id), "{message:?} again");
                    client.put(&Packet::PubRec(PubRec::new(id, ReasonCode::Success)));
                }
                taken.push(said(&message));
            }
            Packet::PubRel(release) => {
                // PUBREL means that the server has the client's PUBREC, after a kill too.
                let id = release.packet_id;
                open.remove(&id);
                client.put(&Packet::PubComp(PubComp::new(id, ReasonCode::Success)));
            }
            Packet::PingResp => is_answered = true,
            Packet::SubAck(answer) => assert!(!answer.reason_codes[0].is_error(), "{answer:?}"),
            other => panic!("{other:?}"),
        }
        client.flush().unwrap();
    }
    taken.sort();
    taken
}

fn said(message: &Publish) -> (String, String) {
    let topic = message.topic.as_ref().unwrap().as_str();
    let payload = String::from_utf8(message.payload.to_vec()).unwrap();
    (topic.to_owned(), payload)
}

/// What a client that subscribes only now receives.
fn retained(address: SocketAddr) -> Vec<(String, String)> {
    let connect = Connect::with_client_id(ProtocolVersion::V5, "newcomer").unwrap();
    let (mut client, _) = Client::connect_as(address, connect).unwrap();
    client.put(&subscribe("status/#", QoS::AtMostOnce));
    taken(&mut client)
}

fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
    let owned = |(a, b): (&str, &str)| (a.to_owned(), b.to_owned());
    pairs.map(owned).to_vec()
}

#[test]
fn mqtt_3_1_2_8_the_wills_of_those_who_were_connected_are_published_once_after_a_kill() {
    let folder = Folder::new();
    let start = || {
        let server = serve(&folder.data(), ANY.parse().unwrap(), &[]);
        let (address, _) = server.ready();
        (server, address)
    };
    let (server, address) = start();
    let (mut watcher, _) = Client::connect(address, "watcher").unwrap();
    watcher.put(&subscribe("status/#", QoS::ExactlyOnce));
    assert!(taken(&mut watcher).is_empty());

    let mut polite = device(address, ProtocolVersion::V5, "polite");
    polite.put(&Packet::Disconnect(Disconnect::new(ReasonCode::Success)));
    polite.flush().unwrap();
    // The server has closed the connection, so its record of that comes before what follows.
    assert!(polite.receive().is_err());
    let _new = device(address, ProtocolVersion::V5, "new");
    let _old = device(address, ProtocolVersion::V3_1_1, "old");
    let online = [
        ("status/new", "online"),
        ("status/old", "online"),
        ("status/polite", "online"),
    ];
    assert_eq!(taken(&mut watcher), pairs(online));
    assert_eq!(retained(address), pairs(online));
    server.kill();

    let (server, address) = start();
    let offline = [("status/new", "offline"), ("status/old", "offline")];
    let after = [offline[0], offline[1], online[2]];
    assert_eq!(retained(address), pairs(after));
    let (mut watcher, connack) = Client::connect(address, "watcher").unwrap();
    assert!(connack.session_present);
    assert_eq!(taken(&mut watcher), pairs(offline));
    // One device is back when the server is killed once more.
    let _new = device(address, ProtocolVersion::V5, "new");
    assert_eq!(taken(&mut watcher), pairs([online[0]]));
    server.kill();

    let (server, address) = start();
    assert_eq!(retained(address), pairs(after));
    let (mut watcher, _) = Client::connect(address, "watcher").unwrap();
    assert_eq!(taken(&mut watcher), pairs([offline[0]]));
    // A server that is stopped leaves the will to its next start in the same way.
    let _new = device(address, ProtocolVersion::V5, "new");
    assert_eq!(taken(&mut watcher), pairs([online[0]]));
    server.end();
    let (_server, address) = start();
    assert_eq!(retained(address), pairs(after));
    let (mut watcher, _) = Client::connect(address, "watcher").unwrap();
    assert_eq!(taken(&mut watcher), pairs([offline[0]]));
}

/// No client has to connect for what is due after a start, or for its record.
#[test]
fn mqtt_3_1_2_8_a_delayed_will_is_published_though_nobody_connects_after_a_start() {
    let folder = Folder::new();
    let server = serve(&folder.data(), ANY.parse().unwrap(), &[]);
    let mut connect = Connect::with_client_id(ProtocolVersion::V5, "device").unwrap();
    connect.keep_alive = 0;
    connect.properties.session_expiry_interval = Some(3_600);
    connect.will = Some(Will {
        topic: TopicName::try_from("status/device").unwrap(),
        payload: "offline".into(),
        qos: QoS::AtMostOnce,
        retain: true,
        properties: WillProperties {
            will_delay_interval: Some(1),
            ..WillProperties::default()
        },
    });
    let _device = Client::connect_as(server.ready().0, connect).unwrap();
    server.kill();

    let server = serve(&folder.data(), ANY.parse().unwrap(), &[]);
    let (_, http) = server.ready();
    wait_until("the records of the start", || {
        metric(http, "store_records_total") > 0
    });
    wait_until("the will", || {
        metric(http, "mqtt_wills_published_total") == 1
    });
    assert_eq!(metric(http, "mqtt_retained_messages"), 1);
}
