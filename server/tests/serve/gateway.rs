//! `--tcp-gateway`: devices that write JSON over plain TCP.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

use api::fleet::PresenceState;
use mqtt::{Connect, ProtocolVersion, QoS};
use serde_json::{Value, json};

use super::devices::list;
use super::support::{PATIENCE, Peer, Server, tcp, wait_until};

/// A device of the founding documents.
struct Device {
    socket: TcpStream,
    read: Vec<u8>,
}

impl Device {
    fn connect(server: &Server) -> Self {
        let socket = TcpStream::connect(server.gateway.unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self {
            socket,
            read: Vec::new(),
        }
    }

    fn signed_up(server: &Server, id: &str) -> Self {
        let mut device = Self::connect(server);
        device.write(&json!({"deviceId": id, "messageType": "SIGNUP"}));
        device
    }

    fn write(&mut self, object: &Value) {
        self.socket
            .write_all(object.to_string().as_bytes())
            .unwrap();
    }

    /// The next object that the gateway sends. `None`: it has closed the connection.
    fn object(&mut self) -> Option<Value> {
        loop {
            let mut objects = serde_json::Deserializer::from_slice(&self.read).into_iter();
            if let Some(Ok(object)) = objects.next() {
                let end = objects.byte_offset();
                self.read.drain(..end);
                return Some(object);
            }
            let mut bytes = [0; 4096];
            let count = self.socket.read(&mut bytes).unwrap();
            if count == 0 {
                return None;
            }
            self.read.extend_from_slice(&bytes[..count]);
        }
    }

    /// Why the gateway has closed the connection.
    fn refusal(mut self) -> String {
        let said = self.object().expect("a reason");
        assert_eq!(self.object(), None, "the connection stays open");
        said["error"].as_str().unwrap().to_owned()
    }
}

fn server() -> Server {
    Server::start_with(&["--tcp-gateway", "127.0.0.1:0"])
}

fn state(server: &Server, id: &str) -> Option<PresenceState> {
    let found = list(server, &format!("?q={id}")).devices;
    found.first().map(|device| device.presence.state)
}

#[test]
fn a_device_over_tcp_is_like_any_other() {
    let server = server();
    let mut client = Peer::connected(&server, ProtocolVersion::V5, "client");
    client.subscribe("beaconry/#", QoS::ExactlyOnce);
    let mut device = Device::signed_up(&server, "tcp-1");
    assert_eq!(
        client.message(),
        ("beaconry/register/tcp-1".into(), "SIGN_IN".into())
    );
    let data = json!({"deviceId": "tcp-1", "messageType": "DATA", "temp": 23.6});
    device.write(&data);
    assert_eq!(
        client.message(),
        ("beaconry/data/tcp-1".into(), data.to_string().into())
    );
    wait_until("the device", || {
        state(&server, "tcp-1") == Some(PresenceState::Online)
    });

    let command = json!({"uuid": "u-1", "command": "PING"});
    client.publish(
        "beaconry/cmd/req/tcp-1",
        command.to_string(),
        QoS::ExactlyOnce,
    );
    assert_eq!(device.object().unwrap(), command);
    assert_eq!(client.message().0, "beaconry/cmd/req/tcp-1");
    let answer = json!({"deviceId": "tcp-1", "messageType": "COMMAND_RESP", "commandResult": "PONG", "uuid": "u-1"});
    device.write(&answer);
    assert_eq!(
        client.message(),
        ("beaconry/cmd/resp/tcp-1".into(), answer.to_string().into())
    );

    drop(device);
    assert_eq!(
        client.message(),
        ("beaconry/register/tcp-1".into(), "SIGN_OUT".into())
    );
    wait_until("the end", || {
        state(&server, "tcp-1") == Some(PresenceState::Offline)
    });
    // A command waits for it.
    client.publish(
        "beaconry/cmd/req/tcp-1",
        command.to_string(),
        QoS::ExactlyOnce,
    );
    let mut device = Device::signed_up(&server, "tcp-1");
    assert_eq!(device.object().unwrap(), command);
}

#[test]
fn objects_are_whole_wherever_they_are_split() {
    let server = server();
    let mut client = Peer::connected(&server, ProtocolVersion::V5, "client");
    client.subscribe("beaconry/data/+", QoS::ExactlyOnce);
    let data = json!({"messageType": "DATA", "text": "grün }{\"\\ 🎉", "n": [1, {"a": {}}]});
    let all = format!(
        "{}{data}{data}",
        json!({"deviceId": "split", "messageType": "SIGNUP"})
    );
    for at in 1..all.len() {
        let mut device = Device::connect(&server);
        let (first, second) = all.as_bytes().split_at(at);
        device.socket.write_all(first).unwrap();
        device.socket.write_all(second).unwrap();
        for _ in 0..2 {
            let (_, payload) = client.message();
            assert_eq!(
                serde_json::from_slice::<Value>(&payload).unwrap(),
                data,
                "{at}"
            );
        }
    }
}

#[test]
fn what_is_wrong_is_told_and_harms_nobody_else() {
    let server = server();
    let mut good = Device::signed_up(&server, "good");
    let refused = |first: &[u8]| {
        let mut device = Device::connect(&server);
        device.socket.write_all(first).unwrap();
        device.refusal()
    };
    for (bytes, said) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "must begin here"),
        (b"\x10\x0e\0\x04MQTT\x04\x02", "byte 0x10"),
        (b"{\"messageType\":\"DATA\"}", "SIGNUP must come first"),
        (b"{\"deviceId\":\"a/b\",\"messageType\":\"SIGNUP\"}", "cannot end a topic"),
        (b"{\"deviceId\":\"x\",\"messageType\":\"SIGNUP\"}{\"deviceId\":\"x\",\"messageType\":\"SIGNUP\"}", "a second SIGNUP"),
        (b"{\"deviceId\":\"\xff\",\"messageType\":\"SIGNUP\"}", "UTF-8"),
    ] {
        let reason = refused(bytes);
        assert!(reason.contains(said), "{reason}");
    }
    let before = server.resident();
    // It is read to its end, so that the reason arrives: a reset could overtake it.
    let ten_megabytes = format!("{{\"a\":\"{}", "x".repeat(10_000_000));
    let reason = refused(ten_megabytes.as_bytes());
    assert!(reason.contains("closing brace is missing"), "{reason}");
    assert_eq!(server.metric("gateway_too_large_total"), 1);
    server.assert_grew_less_than(before, 8 * 1024 * 1024);
    assert_eq!(server.metric("gateway_refused_total"), 6);
    // The others go on.
    good.write(&json!({"messageType": "DATA", "temp": 1}));
    wait_until("data", || list(&server, "?q=temp").total == 1);
}

/// Whatever else somebody publishes there, or the id has subscribed to before, would spoil the stream.
#[test]
fn only_commands_that_are_objects_reach_a_device() {
    let server = server();
    let mut earlier = Peer::over(tcp(server.mqtt), ProtocolVersion::V5);
    let mut connect = Connect::with_client_id(ProtocolVersion::V5, "d-1").unwrap();
    connect.properties.session_expiry_interval = Some(300);
    earlier.connect(connect);
    earlier.subscribe("beaconry/#", QoS::ExactlyOnce);

    let mut client = Peer::connected(&server, ProtocolVersion::V5, "client");
    client.subscribe("beaconry/register/d-1", QoS::ExactlyOnce);
    let mut device = Device::signed_up(&server, "d-1");
    assert_eq!(client.message().1, "SIGN_IN");
    let unfit: [&[u8]; 7] = [
        b"PING",
        b"{\"command\":",
        b"[{\"command\":\"PING\"}]",
        b"",
        b"{}{",
        b"{\"command\":\"\xff\"}",
        b"{\"command\":}",
    ];
    for payload in unfit {
        client.publish("beaconry/cmd/req/d-1", payload, QoS::AtLeastOnce);
    }
    let other = json!({"command": "for another"}).to_string();
    client.publish("beaconry/cmd/req/d-2", other, QoS::AtLeastOnce);
    let command = json!({"uuid": "grün 🎉", "command": "PING"});
    let pretty = format!("\n {command:#}\n");
    client.publish("beaconry/cmd/req/d-1", pretty, QoS::AtLeastOnce);
    assert_eq!(device.object().unwrap(), command);
    assert_eq!(server.metric("gateway_unfit_commands_total"), 7);
    assert_eq!(server.metric("gateway_commands_total"), 1);
    assert!(server.log_line("not passed on").contains("d-1"));
}

#[test]
fn the_newer_connection_of_a_device_counts() {
    let server = server();
    let mut older = Device::signed_up(&server, "twin");
    older.write(&json!({"messageType": "DATA", "n": 1}));
    wait_until("the device", || {
        state(&server, "twin") == Some(PresenceState::Online)
    });
    let mut newer = Device::signed_up(&server, "twin");
    assert!(older.refusal().contains("another connection"));
    newer.write(&json!({"messageType": "DATA", "n": 2}));
    wait_until("its data", || {
        let found = list(&server, "?q=twin").devices;
        found.iter().any(|it| {
            it.metrics
                .iter()
                .any(|metric| metric.value == Some(api::fleet::Scalar::Number(2.0)))
        })
    });
    assert_eq!(state(&server, "twin"), Some(PresenceState::Online));
}

#[test]
fn a_device_that_does_not_sign_up_or_read_is_closed() {
    let server =
        Server::start_with(&["--tcp-gateway", "127.0.0.1:0", "--connect-timeout", "500ms"]);
    assert!(
        Device::connect(&server)
            .refusal()
            .contains("has not come in time")
    );
    let mut client = Peer::connected(&server, ProtocolVersion::V5, "client");
    let deaf = Device::signed_up(&server, "deaf");
    wait_until("it", || state(&server, "deaf").is_some());
    let big = json!({"command": "x".repeat(60_000)}).to_string();
    let begun = Instant::now();
    while server.metric("gateway_not_reading_total") == 0 {
        client.publish("beaconry/cmd/req/deaf", big.clone(), QoS::AtMostOnce);
        assert!(begun.elapsed() < PATIENCE, "it is never closed");
    }
    drop(deaf);
}

#[test]
fn many_devices_sign_out_when_the_server_ends() {
    let server = server();
    let mut devices: Vec<Device> = (0..300)
        .map(|n| Device::signed_up(&server, &format!("many-{n}")))
        .collect();
    for device in &mut devices {
        device.write(&json!({"messageType": "DATA", "n": 1}));
    }
    wait_until("all devices", || {
        list(&server, "?state=online&limit=1").total == 300
    });
    let mut client = Peer::connected(&server, ProtocolVersion::V5, "client");
    client.subscribe("beaconry/register/+", QoS::AtMostOnce);
    for _ in 0..300 {
        assert_eq!(client.message().1, "SIGN_IN");
    }
    server.signal(rustix::process::Signal::TERM);
    for _ in 0..300 {
        assert_eq!(client.message().1, "SIGN_OUT");
    }
    drop(client);
    let (status, _) = server.ended();
    assert!(status.success());
    for device in &mut devices {
        device.socket.shutdown(Shutdown::Write).ok();
        assert_eq!(device.object(), None);
    }
}
