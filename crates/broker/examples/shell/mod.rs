//! A shell for the broker that throws away what it takes, and helpers for the measurements.

use std::hint::black_box;
use std::time::Duration;

use broker::{Broker, BrokerOptions, Conn, Input, Output, Peer};
use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, Instant, Packet, PacketId, ProtocolVersion, Publish, QoS, Subscribe, Subscription,
    TopicFilter, TopicName, Utf8String, encode,
};

pub(crate) const V5: ProtocolVersion = ProtocolVersion::V5;

/// A shell that takes everything, throws it away, and reports it as durable at once.
pub(crate) struct Shell {
    pub(crate) broker: Broker,
    pub(crate) now: Instant,
    pub(crate) out: BytesMut,
    written: Vec<Conn>,
    pub(crate) journal: BytesMut,
    pub(crate) journal_bytes: usize,
    /// Whether to keep the journal.
    pub(crate) keeps: bool,
}

impl Shell {
    pub(crate) fn new(options: BrokerOptions) -> Self {
        Self {
            broker: Broker::new(Instant::ZERO, options),
            now: Instant::ZERO,
            out: BytesMut::new(),
            written: Vec::new(),
            journal: BytesMut::new(),
            journal_bytes: 0,
            keeps: false,
        }
    }

    /// Connects a client, after `change` has changed its CONNECT.
    pub(crate) fn connect_with(&mut self, number: u64, change: impl FnOnce(&mut Connect)) -> Conn {
        let conn = Conn(number);
        let client_id = Utf8String::try_from(format!("device-{number:06}")).ok();
        let mut connect = Connect::new(V5, "");
        connect.client_id = client_id.unwrap_or_default();
        change(&mut connect);
        self.input(Input::Opened(conn, Peer::MEMORY));
        self.input(Input::Bytes(conn, bytes(&Packet::Connect(connect))));
        self.turn();
        conn
    }

    pub(crate) fn subscribe(&mut self, conn: Conn, filter: &str, qos: QoS) {
        let filter = TopicFilter::try_from(filter).ok();
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MAX,
            subscriptions: filter
                .map(|filter| Subscription::new(filter, qos))
                .into_iter()
                .collect(),
            subscription_identifier: None,
            user_properties: Vec::new(),
        });
        self.input(Input::Bytes(conn, bytes(&packet)));
        self.turn();
    }

    pub(crate) fn input(&mut self, input: Input) {
        self.broker.handle_input(self.now, input);
    }

    /// Does everything that the broker asks for.
    pub(crate) fn turn(&mut self) {
        loop {
            match self.broker.poll_output() {
                Output::Write(conn) => {
                    self.broker.take_writes(conn, &mut self.out);
                    black_box(&self.out);
                    self.out.clear();
                    self.written.push(conn);
                }
                Output::Persist(lsn) => {
                    let before = self.journal.len();
                    self.broker.take_journal(&mut self.journal);
                    self.journal_bytes += self.journal.len() - before;
                    if !self.keeps {
                        black_box(&self.journal);
                        self.journal.clear();
                    }
                    self.input(Input::Persisted(lsn));
                }
                Output::Close(conn, reason) => println!("{conn:?} closed: {reason}"),
                Output::Idle(_) => break,
                Output::Authenticate(..)
                | Output::Connected(..)
                | Output::Checkpointed(_)
                | Output::Tapped
                | Output::Limited(_)
                | Output::Pause(_)
                | Output::Resume(_) => {}
            }
        }
        for conn in std::mem::take(&mut self.written) {
            self.input(Input::Drained(conn));
        }
    }
}

pub(crate) fn bytes(packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    if let Err(error) = encode(packet, V5, &mut out) {
        println!("{packet:?}: {error}");
    }
    out.freeze()
}

/// A message with 64 bytes of payload. `id` matters above `QoS` 0.
pub(crate) fn message(topic: &str, qos: QoS, id: u16) -> Publish {
    let mut publish = Publish::new(
        TopicName::try_from(topic).unwrap_or_else(|error| panic!("{error}")),
        Bytes::from_static(&[b'x'; 64]),
    );
    publish.qos = qos;
    publish.packet_id = PacketId::new(id).filter(|_| qos > QoS::AtMostOnce);
    publish
}

/// Encodes packets one after another.
pub(crate) fn batch(packets: impl Iterator<Item = Packet>) -> Bytes {
    let mut out = BytesMut::new();
    for packet in packets {
        out.extend_from_slice(&bytes(&packet));
    }
    out.freeze()
}

/// The memory of this process in bytes, if the system tells, as Linux does. Otherwise 0.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// Nanoseconds for each of `count`.
pub(crate) fn nanos(took: Duration, count: u64) -> f64 {
    took.as_secs_f64() * 1e9 / number(count.max(1))
}

#[allow(clippy::cast_precision_loss)] // of billions, a few digits are shown
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}
