//! The model behind a real broker, in simulated time.

use std::time::Duration;

use broker::{Broker, BrokerOptions, Conn, Input, Limits, Output, Peer};
use bytes::BytesMut;
use fleet::{FleetOptions, Presence, PresenceKind};
use mqtt::packet::{Will, WillProperties};
use mqtt::{Connect, Instant, Packet, ProtocolVersion, Publish, QoS, TopicName, encode};

use super::*;

struct World {
    broker: Broker,
    model: Model,
    now: Instant,
    conns: u64,
}

impl World {
    fn new(limits: Limits) -> Self {
        let now = Instant::from_millis(1_790_000_000_000);
        let options = BrokerOptions {
            tap: true,
            limits,
            ..BrokerOptions::default()
        };
        let mut world = Self {
            broker: Broker::new(now, options),
            model: Model::new(FleetOptions::default(), broker::Grants::default()),
            now,
            conns: 0,
        };
        world.settle();
        world
    }

    fn input(&mut self, input: Input) {
        self.broker.handle_input(self.now, input);
        self.settle();
    }

    /// Lets the broker do what it has to, and the model read what the tap has.
    fn settle(&mut self) {
        let mut batch = Vec::new();
        loop {
            let output = self.broker.poll_output();
            if matches!(output, Output::Idle(_)) {
                return;
            }
            if matches!(output, Output::Tapped) {
                self.broker.take_tap(&mut batch);
                self.model.read(&batch);
            }
        }
    }

    fn send(&mut self, conn: Conn, packet: &Packet) {
        let mut wire = BytesMut::new();
        encode(packet, ProtocolVersion::V5, &mut wire).unwrap();
        self.input(Input::Bytes(conn, wire.freeze()));
    }

    fn connect(&mut self, connect: Connect) -> Conn {
        self.conns += 1;
        let conn = Conn(self.conns);
        self.input(Input::Opened(conn, Peer::MEMORY));
        self.send(conn, &Packet::Connect(connect));
        conn
    }

    fn publish(&mut self, conn: Conn, topic: &str, payload: &'static str, retain: bool) {
        let topic = TopicName::try_from(topic).unwrap();
        let publish = Publish {
            retain,
            ..Publish::new(topic, payload)
        };
        self.send(conn, &Packet::Publish(publish));
    }

    fn presence(&self, id: &str) -> Presence {
        let fleet = self.model.fleet();
        *fleet.device(fleet.find(id).unwrap()).unwrap().presence()
    }
}

/// A client whose will says that its device is gone.
fn pump(expiry_interval: u32) -> Connect {
    let mut connect = Connect::new(ProtocolVersion::V5, "pump");
    connect.properties.session_expiry_interval = Some(expiry_interval);
    connect.clean_start = expiry_interval == 0;
    connect.will = Some(Will {
        topic: TopicName::try_from("p/register/pump").unwrap(),
        payload: "SIGN_OUT".into(),
        qos: QoS::AtMostOnce,
        retain: true,
        properties: WillProperties::default(),
    });
    connect
}

#[test]
fn a_device_whose_client_is_taken_over_stays_online() {
    for expiry_interval in [0, 3600] {
        let mut world = World::new(Limits::default());
        let conn = world.connect(pump(expiry_interval));
        world.publish(conn, "p/register/pump", "SIGN_IN", true);
        let begin = world.presence("p/pump");
        for _ in 0..4 {
            world.publish(conn, "p/data/pump", r#"{"flow":1}"#, false);
            world.now = world.now + Duration::from_secs(1);
        }
        let next = world.connect(pump(expiry_interval));
        assert_eq!(world.presence("p/pump"), begin, "{expiry_interval}");
        // The new connection's will counts.
        world.input(Input::Closed(next));
        assert_eq!(world.presence("p/pump").kind(), PresenceKind::Offline);
    }
}
