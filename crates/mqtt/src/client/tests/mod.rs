//! The client against packets that are written by hand, with one test for each rule. The simulator
//! tests what holds over a whole life on a bad network.

mod connecting;
mod hostile;
mod liveness;
mod messages;
mod subscribing;

use alloc::vec::Vec;
use core::time::Duration;

use bytes::{Bytes, BytesMut};

use super::*;
use crate::codec::{Decoder, encode};
use crate::packet::{
    ConnAck, Connect, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, QoS,
};
use crate::topic::TopicName;

/// A client, and the test that plays its server.
struct Bench {
    now: Instant,
    client: Client,
    version: ProtocolVersion,
    /// Decodes what the client has sent on this connection.
    decoder: Decoder,
}

impl Bench {
    /// The client has asked for a transport, and nothing else.
    fn new(options: ClientOptions) -> Self {
        let version = options.version;
        Self {
            now: Instant::ZERO,
            client: Client::new(Instant::ZERO, options),
            version,
            decoder: Decoder::server(),
        }
    }

    /// A client that is connected without limits. All events until then are taken.
    fn connected(options: ClientOptions) -> Self {
        Self::connected_as(options, |_| {})
    }

    /// A client that is connected on the terms that `change` puts into CONNACK.
    fn connected_as(options: ClientOptions, change: impl FnOnce(&mut ConnAck)) -> Self {
        let mut bench = Self::new(options);
        bench.connect(change);
        bench
    }

    fn connect(&mut self, change: impl FnOnce(&mut ConnAck)) -> Connect {
        let connect = self.open();
        let mut connack = ConnAck::new(false, ReasonCode::Success);
        change(&mut connack);
        self.feed(Packet::ConnAck(connack));
        while let Some(event) = self.client.poll_event() {
            if let Event::Connected { .. } = event {
                break;
            }
        }
        assert!(self.client.state().is_connected());
        connect
    }

    /// Opens the transport that the client asked for, and returns its CONNECT.
    fn open(&mut self) -> Connect {
        self.decoder = Decoder::server();
        self.client.handle_transport_open(self.now);
        let mut packets = self.sent();
        assert_eq!(packets.len(), 1, "{packets:?}");
        let Some(Packet::Connect(connect)) = packets.pop() else {
            panic!("CONNECT is the first packet [MQTT-3.1.0-1]");
        };
        self.version = connect.version;
        connect
    }

    /// Loses the transport, lets the backoff pass and connects again.
    fn reconnect(&mut self, session_present: bool) -> Connect {
        self.client.handle_transport_closed(self.now);
        self.retry(session_present)
    }

    fn retry(&mut self, session_present: bool) -> Connect {
        if let Some((at, Timer::Reconnect)) = self.client.poll_timeout() {
            self.now = at;
            self.client.handle_timeout(self.now);
        }
        self.connect(|connack| connack.session_present = session_present)
    }

    /// Lets time pass, and fires the timer that is then due.
    fn wait(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.client.handle_timeout(self.now);
    }

    #[allow(clippy::needless_pass_by_value)] // it reads better at each call
    fn feed(&mut self, packet: Packet) {
        self.try_feed(&packet).unwrap();
    }

    fn try_feed(&mut self, packet: &Packet) -> Result<(), ProtocolError> {
        let mut wire = BytesMut::new();
        encode(packet, self.version, &mut wire).unwrap();
        self.client.handle_input(self.now, wire.freeze())
    }

    /// What the client sends now.
    fn sent(&mut self) -> Vec<Packet> {
        let mut wire = BytesMut::new();
        while self.client.poll_transmit(&mut wire) {}
        let mut wire = wire.freeze();
        core::iter::from_fn(|| self.decoder.decode(&mut wire).unwrap()).collect()
    }

    /// The publications that the client sends now.
    fn sent_publishes(&mut self) -> Vec<Publish> {
        let publish = |packet| match packet {
            Packet::Publish(publish) => publish,
            other => panic!("{other:?} instead of PUBLISH"),
        };
        self.sent().into_iter().map(publish).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.client.poll_event()).collect()
    }

    fn publish(&mut self, qos: QoS, payload: &'static str) -> PublishId {
        let message = message(qos, payload);
        self.client.publish(self.now, message).unwrap()
    }

    /// The outcomes of the publications that have ended since the last look.
    fn outcomes(&mut self) -> Vec<(PublishId, PublishOutcome)> {
        let outcome = |event| match event {
            Event::Published { id, outcome } => Some((id, outcome)),
            _ => None,
        };
        self.events().into_iter().filter_map(outcome).collect()
    }
}

fn options() -> ClientOptions {
    ClientOptions::new(Utf8String::from_static("bench"))
}

fn options_3_1_1() -> ClientOptions {
    ClientOptions {
        version: ProtocolVersion::V3_1_1,
        ..options()
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::try_from(name).unwrap()
}

fn message(qos: QoS, payload: &'static str) -> Publish {
    let mut publish = Publish::new(topic("fleet/pump-7"), payload);
    publish.qos = qos;
    publish
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).unwrap()
}

fn puback(packet_id: PacketId) -> Packet {
    Packet::PubAck(PubAck::new(packet_id, ReasonCode::Success))
}

fn pubrec(packet_id: PacketId) -> Packet {
    Packet::PubRec(PubRec::new(packet_id, ReasonCode::Success))
}

fn pubrel(packet_id: PacketId) -> Packet {
    Packet::PubRel(PubRel::new(packet_id, ReasonCode::Success))
}

fn pubcomp(packet_id: PacketId) -> Packet {
    Packet::PubComp(PubComp::new(packet_id, ReasonCode::Success))
}

fn payloads(publishes: &[Publish]) -> Vec<&[u8]> {
    publishes
        .iter()
        .map(|publish| &publish.payload[..])
        .collect()
}
