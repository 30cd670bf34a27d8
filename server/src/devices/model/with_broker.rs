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
    /// Nobody reads the tap.
    is_stalled: bool,
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
            is_stalled: false,
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
            if matches!(output, Output::Tapped) && !self.is_stalled {
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

    /// Loses so much that a resync follows.
    fn resync(&mut self) {
        self.is_stalled = true;
        let conn = self.connect(Connect::new(ProtocolVersion::V5, "filler"));
        for _ in 0..2000 {
            self.publish(conn, "filler/n", "1", true);
        }
        let before = self.broker.metrics().tap_resyncs;
        self.is_stalled = false;
        self.read_what_waits();
        assert_eq!(self.broker.metrics().tap_resyncs, before + 1);
        self.input(Input::Closed(conn));
    }

    fn read_what_waits(&mut self) {
        let mut batch = Vec::new();
        self.broker.take_tap(&mut batch);
        self.model.read(&batch);
        self.settle();
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.input(Input::Timeout);
    }

    /// All that is known of the device but the number of its messages: a resync repeats them.
    fn described(&self, id: &str) -> wire::Device {
        let fleet = self.model.fleet();
        let mut device = fleet.describe(fleet.find(id).unwrap()).unwrap();
        device.messages = 0;
        device
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
            world.pass(1);
        }
        let next = world.connect(pump(expiry_interval));
        assert_eq!(world.presence("p/pump"), begin, "{expiry_interval}");
        // The new connection's will counts.
        world.input(Input::Closed(next));
        assert_eq!(world.presence("p/pump").kind(), PresenceKind::Offline);
    }
}

/// A resync tells retained messages of any age. What is known is newer.
#[test]
fn a_resync_in_which_nothing_has_changed_changes_nothing() {
    let limits = Limits {
        tap_bytes: 64 * 1024,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    // It leaves without a will, and what it has said of itself stays.
    let mut silent = Connect::new(ProtocolVersion::V5, "silent");
    silent.keep_alive = 2;
    let silent = world.connect(silent);
    world.publish(silent, "p/register/silent", "SIGN_IN", true);
    // An earlier will has stayed.
    let earlier = world.connect(pump(0));
    world.input(Input::Closed(earlier));
    let conn = world.connect(Connect::new(ProtocolVersion::V5, "pump"));
    world.publish(conn, "home/pump/flow", "1", true);
    for second in 0..4 {
        if second < 3 {
            world.publish(silent, "p/data/silent", r#"{"n":1}"#, false);
        }
        world.publish(conn, "p/data/pump", r#"{"flow":1}"#, false);
        world.publish(conn, "home/pump/flow", "2", false);
        world.pass(1);
    }
    for _ in 0..4 {
        world.publish(conn, "p/data/pump", r#"{"flow":2}"#, false);
        world.pass(1);
    }
    let ids = ["p/silent", "p/pump", "home/pump"];
    let before = ids.map(|id| world.described(id));
    let reason = before[0].presence.reason.as_deref();
    assert_eq!(reason, Some("keep-alive"));
    world.resync();
    assert_eq!(ids.map(|id| world.described(id)), before);
}

/// A retained message that is cleared while the tap loses everything is told by nobody.
#[test]
fn what_was_cleared_while_the_tap_lost_everything_is_gone_after_the_resync() {
    let limits = Limits {
        tap_bytes: 64 * 1024,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let conn = world.connect(Connect::new(ProtocolVersion::V5, "setup"));
    world.publish(conn, "home/shed/mode", "eco", true);
    world.publish(conn, "home/hall/mode", "eco", true);
    // The model is new: it knows the messages only as retained ones.
    world.model = Model::new(FleetOptions::default(), broker::Grants::default());
    world.resync();
    assert!(world.model.fleet().find("home/shed").is_some());
    world.is_stalled = true;
    for _ in 0..2000 {
        world.publish(conn, "filler/n", "1", true);
    }
    world.publish(conn, "home/shed/mode", "", true);
    world.is_stalled = false;
    let before = world.broker.metrics().tap_resyncs;
    world.read_what_waits();
    assert_eq!(world.broker.metrics().tap_resyncs, before + 1);
    world.pass(1);
    assert!(world.model.fleet().find("home/shed").is_none());
    assert!(world.model.fleet().find("home/hall").is_some());
}

/// There is no room for it, but the device has said it all the same.
#[test]
fn a_retained_message_that_is_refused_takes_no_live_value_away() {
    let limits = Limits {
        retained_messages: 1,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    let conn = world.connect(Connect::new(ProtocolVersion::V5, "setup"));
    world.publish(conn, "filler/n", "1", true);
    for _ in 0..3 {
        world.publish(conn, "home/shed/temperature", "21", true);
        world.pass(1);
        let shed = world.described("home/shed");
        assert!(shed.metrics[0].value.is_some());
    }
}
