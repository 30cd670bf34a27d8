//! The gateway beside a broker that cuts its clients off, as ours does with a client that is too slow.

use std::time::Duration;

use bytes::BytesMut;
use mqtt::packet::ReasonProperties;
use mqtt::{
    ConnAck, Decoder, Packet, ProtocolVersion, PubComp, PubRec, ReasonCode, SubAck, encode,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{Settings, spawn};
use crate::clock::Clock;
use crate::gate::ConnectionGate;

/// The longest that a step may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_device_signs_in_again_after_the_broker_has_cut_it_off() {
    let broker = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let settings = Settings {
        clock: Clock::new(),
        mqtt: broker.local_addr().unwrap(),
        max_object: 1_000,
        patience: PATIENCE,
        tcp_keep_alive: None,
    };
    let _gateway = spawn(settings, socket, ConnectionGate::new(10, 10)).unwrap();
    let mut device = TcpStream::connect(address).await.unwrap();
    let sign_up = br#"{"deviceId":"a","messageType":"SIGNUP"}"#;
    device.write_all(sign_up).await.unwrap();

    for knows_session in [false, true, false] {
        let signed_in = until_sign_in(&broker, knows_session);
        timeout(PATIENCE, signed_in).await.expect("SIGN_IN");
    }
}

/// Accepts a connection, answers its packets until `SIGN_IN` is complete, and ends it without a word. With a
/// will, that signs the device out.
async fn until_sign_in(broker: &TcpListener, knows_session: bool) {
    let (mut stream, _) = broker.accept().await.unwrap();
    let mut decoder = Decoder::server();
    let mut input = BytesMut::new();
    let mut has_come = false;
    loop {
        let mut bytes = input.split().freeze();
        while let Some(packet) = decoder.decode(&mut bytes).unwrap() {
            let success = ReasonCode::Success;
            let answer = match packet {
                Packet::Connect(connect) => {
                    assert_eq!(connect.will.unwrap().payload, "SIGN_OUT");
                    Packet::ConnAck(ConnAck::new(knows_session, success))
                }
                Packet::Subscribe(subscribe) => Packet::SubAck(SubAck {
                    packet_id: subscribe.packet_id,
                    reason_codes: vec![ReasonCode::GrantedQoS2],
                    properties: ReasonProperties::default(),
                }),
                Packet::Publish(publish) => {
                    assert_eq!(publish.payload, "SIGN_IN");
                    assert!(publish.retain);
                    has_come = true;
                    Packet::PubRec(PubRec::new(publish.packet_id.unwrap(), success))
                }
                Packet::PubRel(release) => {
                    Packet::PubComp(PubComp::new(release.packet_id, success))
                }
                other => panic!("not expected here: {other:?}"),
            };
            let is_last = has_come && matches!(answer, Packet::PubComp(_));
            let mut output = BytesMut::new();
            encode(&answer, ProtocolVersion::V5, &mut output).unwrap();
            stream.write_all(&output).await.unwrap();
            if is_last {
                return;
            }
        }
        input.extend_from_slice(&bytes);
        assert_ne!(stream.read_buf(&mut input).await.unwrap(), 0);
    }
}
