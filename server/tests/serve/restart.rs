//! What the server knows of the devices outlives it.

use api::fleet::{Device, PresenceState};
use mqtt::{Connect, ProtocolVersion, QoS};
use testbed::Folder;

use super::devices::{CHANGES, get, list};
use super::support::{Peer, Server, tcp, wait_until};

/// Everything that was known up to now is on the disk.
fn wait_until_saved(server: &Server) {
    let before = server.metric("devices_saved_total");
    // The next round may have begun before.
    wait_until("the devices to be stored", || {
        server.metric("devices_saved_total") >= before + 2
    });
}

fn one(server: &Server, id: &str) -> Device {
    let answer = get(server, &format!("devices/{id}"));
    assert_eq!(answer.status, 200, "{id}");
    serde_json::from_slice(&answer.body).unwrap()
}

/// A device that publishes by itself, with values in a rhythm. The server ties it to its client.
fn probe(server: &Server) -> Peer<std::net::TcpStream> {
    let mut peer = Peer::over(tcp(server.mqtt), ProtocolVersion::V5);
    peer.connect(Connect::with_client_id(ProtocolVersion::V5, "probe-client").unwrap());
    let mut n = 0;
    wait_until("the tie", || {
        n += 1;
        peer.publish("garden/probe/temperature", format!("{n}"), QoS::AtMostOnce);
        let found = list(server, "?q=probe").devices;
        found
            .first()
            .is_some_and(|it| it.client.is_some() && it.rhythm.interval_ms.is_some())
    });
    peer
}

/// A device without a will, whose retained message says that it is online.
fn signed_in(server: &Server, id: &str) -> Peer<std::net::TcpStream> {
    let mut peer = Peer::connected(server, ProtocolVersion::V5, id);
    let register = format!("beaconry/register/{id}");
    let mut publish = peer.publication(&register, "SIGN_IN".to_owned(), QoS::AtLeastOnce);
    publish.retain = true;
    peer.send(&mqtt::Packet::Publish(publish));
    wait_until("the tie", || {
        let data = format!("beaconry/data/{id}");
        peer.publish(&data, r#"{"temp":1}"#.to_owned(), QoS::AtMostOnce);
        let found = list(server, &format!("?q={id}")).devices;
        found.first().is_some_and(|it| it.client.is_some())
    });
    peer
}

fn folder_arguments(folder: &Folder) -> [&str; 2] {
    ["--data", folder.path().to_str().unwrap()]
}

#[test]
fn a_killed_server_knows_its_devices_again() {
    let folder = Folder::new();
    let server = Server::start_with(&folder_arguments(&folder));
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "publisher");
    let mut retain = |topic: &str, payload: &str| {
        let mut publish = peer.publication(topic, payload.to_owned(), QoS::AtLeastOnce);
        publish.retain = true;
        peer.send(&mqtt::Packet::Publish(publish));
    };
    retain("beaconry/register/pump", "SIGN_IN");
    retain("beaconry/register/valve", "SIGN_OUT");
    retain("beaconry/register/old", "SIGN_IN");
    peer.publish(
        "beaconry/data/pump",
        r#"{"flow":1.5,"mode":"auto"}"#,
        QoS::AtMostOnce,
    );
    let _probe = probe(&server);
    wait_until("all devices", || list(&server, "?q=flow").total == 1);
    let forget = "DELETE /api/v1/devices/beaconry/old";
    assert_eq!(
        testbed::request_with(server.http, forget, CHANGES).status,
        204
    );
    wait_until_saved(&server);
    let ids = ["beaconry/pump", "beaconry/valve", "garden/probe"];
    let before = ids.map(|id| one(&server, id));
    server.kill();

    let server = Server::start_with(&folder_arguments(&folder));
    wait_until("the retained messages", || {
        server.metric("devices_messages_total") >= 3
    });
    let after = ids.map(|id| one(&server, id));
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.metrics, after.metrics, "{}", before.id);
        assert_eq!(before.rhythm, after.rhythm, "{}", before.id);
        assert_eq!(
            (&before.client, before.first_seen),
            (&after.client, after.first_seen)
        );
        assert_eq!(before.last_seen, after.last_seen, "{}", before.id);
    }
    // The presence topics of two speak for them.
    for (before, after) in before.iter().zip(&after).take(2) {
        assert_eq!(before.presence, after.presence, "{}", before.id);
    }
    // Nobody speaks for the third one.
    let presence = &after[2].presence;
    assert_eq!(presence.state, PresenceState::Unknown);
    assert_eq!(presence.reason.as_deref(), Some("server-restarted"));
    // The broker still has its retained message, but a person has forgotten it.
    assert_eq!(get(&server, "devices/beaconry/old").status, 404);

    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "probe-client");
    peer.publish("garden/probe/temperature", "20", QoS::AtMostOnce);
    wait_until("the device", || {
        one(&server, "garden/probe").presence.state == PresenceState::Online
    });
}

/// A retained message says what a device was. Whether its client is back, the broker knows.
#[test]
fn a_device_that_does_not_come_back_is_not_online_because_of_what_is_retained() {
    let folder = Folder::new();
    let server = Server::start_with(&folder_arguments(&folder));
    let _here = signed_in(&server, "here");
    drop(signed_in(&server, "lost"));
    let state = |server: &Server, id: &str| one(server, id).presence;
    wait_until("the loss", || {
        state(&server, "beaconry/lost").state == PresenceState::Offline
    });
    let lost = state(&server, "beaconry/lost");
    wait_until_saved(&server);
    server.kill();

    let server = Server::start_with(&folder_arguments(&folder));
    wait_until("the end of what the broker tells first", || {
        let here = state(&server, "beaconry/here");
        here.reason.as_deref() == Some("server-restarted")
    });
    assert_eq!(
        state(&server, "beaconry/here").state,
        PresenceState::Unknown
    );
    assert_eq!(state(&server, "beaconry/lost"), lost);
    let _here = signed_in(&server, "here");
    wait_until("its return", || {
        state(&server, "beaconry/here").state == PresenceState::Online
    });
}

#[test]
fn a_server_that_ends_well_loses_nothing() {
    let folder = Folder::new();
    let server = Server::start_with(&folder_arguments(&folder));
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "publisher");
    for n in 0..500 {
        peer.publish(
            &format!("beaconry/data/device-{n}"),
            format!("{{\"n\":{n}}}"),
            QoS::AtMostOnce,
        );
    }
    wait_until("the devices", || list(&server, "?limit=1").total == 500);
    let hide = "PATCH /api/v1/devices/beaconry/device-7";
    let body = r#"{"hidden":true}"#;
    let headers = format!("{CHANGES}content-length: {}\r\n", body.len());
    let hidden = testbed::request_body(server.http, hide, &headers, body);
    assert_eq!(hidden.status, 200);
    server.signal(rustix::process::Signal::TERM);
    let (status, _) = server.ended();
    assert!(status.success());

    let server = Server::start_with(&folder_arguments(&folder));
    let all = list(&server, "?hidden=any");
    assert_eq!(all.total, 500);
    assert!(
        all.devices
            .iter()
            .all(|it| it.hidden == (it.name == "device-7"))
    );
    assert!(all.devices.iter().all(|it| it.metrics.len() == 1));
}

/// A damaged or unreadable table costs the devices of before, and nothing else.
#[test]
fn a_table_that_cannot_be_read_keeps_nobody_from_starting() {
    let folder = Folder::new();
    let table = folder.path().join("devices/table");
    Server::start_with(&folder_arguments(&folder)).kill();
    std::fs::create_dir_all(table.parent().unwrap()).unwrap();
    std::fs::write(&table, "beaconry table 9\n of a later version").unwrap();
    let server = Server::start_with(&folder_arguments(&folder));
    server.log_line("the devices are not stored");
    assert!(server.metric("devices_store_errors_total") > 0);
    let _peer = Peer::connected(&server, ProtocolVersion::V5, "publisher");
    assert_eq!(list(&server, "").total, 0);
    drop(server);
    let kept = std::fs::read_to_string(&table).unwrap();
    assert_eq!(kept, "beaconry table 9\n of a later version");
}
