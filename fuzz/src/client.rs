//! The sans-IO client: any calls and any bytes, in any order.
//!
//! The target checks that nothing panics. Each publication ends once. The queue, the packet
//! identifiers and what is written stay within their limits. The client writes only packets that a
//! server accepts. A stored session reads back the same. Once a server has answered everything, no
//! packet identifier is in use.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqtt::client::{SessionSnapshot, SubscribeProperties};
use mqtt::{
    Client, ClientOptions, ConnAck, Connect, Decoder, DisconnectCause, Event, Instant, Packet,
    ProtocolVersion, PubAck, PubComp, PubRec, PubRel, QoS, ReasonCode, State, SubAck, UnsubAck,
    Utf8String, encode,
};

use crate::Script;

const QUEUE_MESSAGES: usize = 8;
const QUEUE_BYTES: usize = 4_000;
const SUBSCRIPTIONS: usize = 6;
const RECEIVE_MAXIMUM: u16 = 3;
/// If a server that answers everything needs more rounds than this, something is stuck.
const ROUNDS: usize = 200;

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let mut page = Page::new(&mut script);
    page.settle();
    while !script.is_over() {
        page.step(&mut script);
        page.settle();
    }
    page.end_well(&mut script);
}

/// The client with its shell, and counts that must add up.
struct Page {
    now: Instant,
    client: Client,
    decoder: Decoder,
    /// How many publications are queued or have not reported their end.
    pending: usize,
    /// What the server has received and not answered.
    unanswered: Vec<Packet>,
}

impl Page {
    fn new(script: &mut Script<'_>) -> Self {
        let flags = script.byte();
        let mut options = ClientOptions {
            version: script.version(),
            fall_back: flags & 1 == 0,
            clean_start: flags & 2 == 0,
            keep_alive: if flags & 4 == 0 {
                0
            } else {
                script.byte().into()
            },
            lower_qos: flags & 8 == 0,
            session_expiry_interval: if flags & 16 == 0 { 300 } else { 0 },
            receive_maximum: RECEIVE_MAXIMUM,
            maximum_packet_size: 2_000,
            topic_alias_maximum: 3,
            outgoing_topic_aliases: 2,
            queue_limit_bytes: QUEUE_BYTES,
            queue_limit_messages: QUEUE_MESSAGES,
            subscription_limit: SUBSCRIPTIONS,
            ..ClientOptions::new(Utf8String::from_static(if flags & 32 == 0 {
                "c"
            } else {
                ""
            }))
        };
        let mut pending = 0;
        if flags & 64 != 0 {
            // A page's storage may hold anything.
            let stored = Bytes::copy_from_slice(script.bytes());
            options.session = SessionSnapshot::from_bytes(stored).ok();
        }
        let now = Instant::from_millis(1);
        let client = Client::new(now, options);
        pending += client.queued().0;
        Self {
            now,
            client,
            decoder: Decoder::server(),
            pending,
            unanswered: Vec::new(),
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        let now = self.now;
        match script.below(16) {
            0 => self.open(script.flag()),
            1 => {
                self.client.handle_transport_closed(now);
                self.unanswered.clear();
            }
            2 => {
                if let Some((at, _)) = self.client.poll_timeout() {
                    self.now = self.now.max(at);
                    self.client.handle_timeout(self.now);
                    let again = self.client.poll_timeout().map(|(at, _)| at);
                    assert!(
                        again.is_none_or(|at| at > self.now),
                        "a timer that never ends"
                    );
                }
            }
            3 => {
                self.now = self.now + Duration::from_millis(u64::from(script.word()) * 4);
                self.client.handle_timeout(self.now);
            }
            4 => self.feed(Bytes::copy_from_slice(script.bytes())),
            5..=7 => {
                let packet = script.server_packet();
                self.feed_packet(&packet);
            }
            8 => self.answer(),
            9 => {
                let publish = script.publish();
                self.pending += usize::from(self.client.publish(now, publish).is_ok());
            }
            10 => {
                let filters = vec![script.subscription(), script.subscription()];
                let properties = SubscribeProperties {
                    identifier: core::num::NonZeroU32::new(script.byte().into()),
                    ..SubscribeProperties::default()
                };
                let _ = self.client.subscribe_with(now, filters, properties);
            }
            11 => drop(
                self.client
                    .unsubscribe(now, vec![script.filter(), script.filter()]),
            ),
            12 => self.client.reconnect_now(now),
            13 => self
                .client
                .set_credentials(now, None, script.flag().then(Bytes::new)),
            14 => self.store(),
            _ => {
                // Rarely, because little is left to do afterwards.
                if script.byte() == 0 {
                    self.client.disconnect(now, script.reason_code());
                }
            }
        }
    }

    fn open(&mut self, session_present: bool) {
        self.client.handle_transport_open(self.now);
        self.transmit();
        let connack = ConnAck::new(session_present, ReasonCode::Success);
        self.feed_packet(&Packet::ConnAck(connack));
    }

    fn version(&self) -> ProtocolVersion {
        self.decoder.version().unwrap_or(ProtocolVersion::V5)
    }

    fn feed_packet(&mut self, packet: &Packet) {
        let mut wire = BytesMut::new();
        if encode(packet, self.version(), &mut wire).is_ok() {
            self.feed(wire.freeze());
        }
    }

    fn feed(&mut self, bytes: Bytes) {
        // The client deals with an error itself, and reports it in events.
        let _ = self.client.handle_input(self.now, bytes);
    }

    /// The loop of a shell, and what must hold after every call.
    fn settle(&mut self) {
        loop {
            while let Some(event) = self.client.poll_event() {
                self.event(event);
            }
            if !self.transmit() {
                break;
            }
        }
        let (messages, bytes) = self.client.queued();
        assert!(
            messages <= QUEUE_MESSAGES && bytes <= QUEUE_BYTES,
            "{messages} {bytes}"
        );
        assert_eq!(messages, self.pending, "each publication ends once");
        let most = QUEUE_MESSAGES + 2 * SUBSCRIPTIONS + usize::from(RECEIVE_MAXIMUM);
        assert!(self.client.packet_ids_in_use() <= most + self.pending);
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::OpenTransport | Event::CloseTransport => {}
            Event::Published { .. } => {
                assert!(self.pending > 0, "a publication ends twice");
                self.pending -= 1;
            }
            Event::Message(publish) => assert!(publish.topic.is_some()),
            Event::Subscribed {
                topic_filters,
                reason_codes,
                ..
            } => assert_eq!(topic_filters.len(), reason_codes.len()),
            Event::Connected { .. }
            | Event::Disconnected { .. }
            | Event::CredentialsNeeded { .. }
            | Event::Unsubscribed { .. } => {}
        }
    }

    /// Takes the bytes to send. A server must understand them.
    fn transmit(&mut self) -> bool {
        let mut wire = BytesMut::new();
        if !self.client.poll_transmit(&mut wire) {
            return false;
        }
        if wire.first() == Some(&0x10) {
            self.decoder = Decoder::server();
            self.unanswered.clear();
        }
        let mut wire = wire.freeze();
        loop {
            match self.decoder.decode(&mut wire) {
                Ok(Some(packet)) => self.unanswered.push(packet),
                Ok(None) => break,
                Err(error) => panic!("the client wrote what no server accepts: {error}"),
            }
        }
        assert_eq!(self.decoder.buffered(), 0, "half a packet");
        true
    }

    /// The server answers the oldest packet that it has not answered.
    fn answer(&mut self) {
        if self.unanswered.is_empty() {
            return;
        }
        let code = ReasonCode::Success;
        let answer = match self.unanswered.remove(0) {
            Packet::Publish(publish) => match (publish.qos, publish.packet_id) {
                (QoS::AtLeastOnce, Some(id)) => Packet::PubAck(PubAck::new(id, code)),
                (QoS::ExactlyOnce, Some(id)) => Packet::PubRec(PubRec::new(id, code)),
                _ => return,
            },
            Packet::PubRec(ack) if !ack.reason_code.is_error() => {
                Packet::PubRel(PubRel::new(ack.packet_id, code))
            }
            Packet::PubRel(ack) => Packet::PubComp(PubComp::new(ack.packet_id, code)),
            Packet::Subscribe(subscribe) => Packet::SubAck(SubAck {
                packet_id: subscribe.packet_id,
                reason_codes: vec![code; subscribe.subscriptions.len()],
                properties: Default::default(),
            }),
            Packet::Unsubscribe(unsubscribe) => Packet::UnsubAck(UnsubAck {
                packet_id: unsubscribe.packet_id,
                reason_codes: vec![code; unsubscribe.topic_filters.len()],
                properties: Default::default(),
            }),
            Packet::PingReq => Packet::PingResp,
            Packet::Connect(Connect { .. })
            | Packet::ConnAck(_)
            | Packet::PubAck(_)
            | Packet::PubRec(_)
            | Packet::PubComp(_)
            | Packet::SubAck(_)
            | Packet::UnsubAck(_)
            | Packet::PingResp
            | Packet::Disconnect(_)
            | Packet::Auth(_) => return,
        };
        self.feed_packet(&answer);
    }

    /// Stores the session, as a page does before it goes away.
    fn store(&self) {
        let session = self.client.session();
        let stored = session.to_bytes().expect("a session can be stored");
        assert_eq!(
            SessionSnapshot::from_bytes(stored).expect("and read"),
            session
        );
    }

    /// Whatever went wrong before, a server that answers everything leaves nothing behind.
    fn end_well(&mut self, script: &mut Script<'_>) {
        let session_present = script.flag();
        self.client.handle_transport_closed(self.now);
        self.settle();
        for _ in 0..ROUNDS {
            match self.client.state() {
                State::Stopped {
                    why: DisconnectCause::Requested | DisconnectCause::NotEncodable(_),
                } => return,
                State::Stopped { .. } | State::Waiting { .. } => {
                    self.client.reconnect_now(self.now)
                }
                State::CredentialsNeeded { .. } => {
                    self.client.set_credentials(self.now, None, None)
                }
                State::Opening { .. } => self.open(session_present),
                State::Connecting { .. } => self.client.handle_transport_closed(self.now),
                State::Connected { .. } if self.unanswered.is_empty() => break,
                State::Connected { .. } => self.answer(),
            }
            self.settle();
        }
        assert!(
            self.client.state().is_connected(),
            "{:?}",
            self.client.state()
        );
        assert_eq!(self.client.queued(), (0, 0));
        assert_eq!(
            self.client.packet_ids_in_use(),
            0,
            "packet identifiers leak"
        );
    }
}
