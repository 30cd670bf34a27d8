//! Topic names and filters: which are valid, and which match. The target compares them with a plain
//! model, and the broker's subscription tree and retained messages with the same model.
//!
//! The input is lines. `+ filter` subscribes, `- filter` unsubscribes, `! name` retains, `? name`
//! clears. Anything else is a name to publish to.

use broker::{Broker, BrokerOptions, Conn, Input, Limits, Output, Peer};
use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, Decoder, Instant, Packet, PacketId, ProtocolVersion, Publish, QoS, Subscribe,
    Subscription, TopicFilter, TopicName, Unsubscribe, encode, topic_matches,
};

const VERSION: ProtocolVersion = ProtocolVersion::V5;
/// More would only be slower.
const MOST: usize = 40;

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut clients = Clients::new();
    for line in text.split('\n').take(MOST) {
        clients.line(line);
    }
}

/// Section 4.7, as plainly as possible.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 65_535 && !text.contains(['+', '#', '\0'])
}

fn is_filter(text: &str) -> bool {
    if text.len() > 65_535 || text.contains('\0') {
        return false;
    }
    let levels: Vec<&str> = text.split('/').collect();
    if levels[0] == "$share" {
        let is_named = levels.len() > 2 && !levels[1].is_empty() && !levels[1].contains(['+', '#']);
        return is_named && is_proper(&levels[2..]);
    }
    is_proper(&levels)
}

fn is_proper(levels: &[&str]) -> bool {
    let last = levels.len() - 1;
    levels != [""]
        && levels.iter().enumerate().all(|(at, level)| {
            let hash = !level.contains('#') || (*level == "#" && at == last);
            let plus = !level.contains('+') || *level == "+";
            hash && plus
        })
}

/// Whether the inner filter of `filter` matches.
fn matches(filter: &str, name: &str) -> bool {
    let filter: Vec<&str> = proper(filter).split('/').collect();
    let name: Vec<&str> = name.split('/').collect();
    if name[0].starts_with('$') && matches!(filter[0], "+" | "#") {
        return false;
    }
    rest_matches(&filter, &name)
}

fn rest_matches(filter: &[&str], name: &[&str]) -> bool {
    match (filter.split_first(), name.split_first()) {
        (Some((&"#", _)), _) => true,
        (Some((&"+", filter)), Some((_, name))) => rest_matches(filter, name),
        (Some((wanted, filter)), Some((level, name))) => {
            wanted == level && rest_matches(filter, name)
        }
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn proper(filter: &str) -> &str {
    match filter.strip_prefix("$share/") {
        Some(rest) => rest.split_once('/').map_or("", |(_, proper)| proper),
        None => filter,
    }
}

/// One subscriber that has all subscriptions, each with an identifier of its own, and one
/// publisher.
struct Clients {
    broker: Broker,
    /// Indexed by identifier less one. `None` when the subscription has ended or was replaced.
    filters: Vec<Option<String>>,
    retained: Vec<String>,
    heard: [Decoder; 3],
}

const SUBSCRIBER: Conn = Conn(1);
const PUBLISHER: Conn = Conn(2);
/// Connects for the retained messages only.
const VISITOR: Conn = Conn(3);

impl Clients {
    fn new() -> Self {
        let limits = Limits {
            maximum_packet_size: 200_000,
            topic_bytes: 65_535,
            topic_levels: 65_535,
            ..Limits::default()
        };
        let options = BrokerOptions {
            limits,
            ..BrokerOptions::default()
        };
        let mut clients = Self {
            broker: Broker::new(Instant::ZERO, options),
            filters: Vec::new(),
            retained: Vec::new(),
            heard: [const { Decoder::client(VERSION) }; 3],
        };
        for (conn, name) in [(SUBSCRIBER, "s"), (PUBLISHER, "p"), (VISITOR, "v")] {
            clients.input(Input::Opened(conn, Peer::MEMORY));
            clients.send(conn, &Packet::Connect(Connect::new(VERSION, name)));
        }
        clients
    }

    fn line(&mut self, line: &str) {
        if let Some(filter) = line.strip_prefix("+ ") {
            self.subscribe(filter);
        } else if let Some(filter) = line.strip_prefix("- ") {
            self.unsubscribe(filter);
        } else if let Some(name) = line.strip_prefix("! ") {
            self.retain(name, "kept");
        } else if let Some(name) = line.strip_prefix("? ") {
            self.retain(name, "");
        } else {
            self.publish(line);
        }
    }

    fn subscribe(&mut self, text: &str) {
        let filter = TopicFilter::try_from(text);
        assert_eq!(filter.is_ok(), is_filter(text), "filter {text:?}");
        let Ok(filter) = filter else { return };
        self.filters.iter_mut().for_each(|known| {
            known.take_if(|known| known == text);
        });
        self.filters.push(Some(text.to_owned()));
        let identifier = u32::try_from(self.filters.len()).expect("few");
        let answers = self.send(SUBSCRIBER, &subscribe(filter.clone(), identifier));
        self.expect_retained(&filter, &answers);
    }

    fn unsubscribe(&mut self, text: &str) {
        let Ok(filter) = TopicFilter::try_from(text) else {
            return;
        };
        let known = self
            .filters
            .iter_mut()
            .any(|known| known.take_if(|known| known == text).is_some());
        let unsubscribe = Packet::Unsubscribe(Unsubscribe {
            packet_id: PacketId::MIN,
            topic_filters: vec![filter],
            user_properties: Vec::new(),
        });
        let answers = self.send(SUBSCRIBER, &unsubscribe);
        let [(SUBSCRIBER, Packet::UnsubAck(answer))] = &answers[..] else {
            panic!("{answers:?}")
        };
        let found = answer.reason_codes == [mqtt::ReasonCode::Success];
        assert_eq!(found, known, "{text:?}");
    }

    fn retain(&mut self, text: &str, payload: &'static str) {
        let Ok(topic) = TopicName::try_from(text) else {
            return;
        };
        if text.starts_with('$') {
            return;
        }
        self.retained.retain(|known| known != text);
        if !payload.is_empty() {
            self.retained.push(text.to_owned());
        }
        let mut publish = Publish::new(topic.clone(), payload);
        publish.retain = true;
        self.send(PUBLISHER, &Packet::Publish(publish));
        assert_eq!(
            self.broker.metrics().retained_messages,
            self.retained.len() as u64
        );
        self.visit("#");
    }

    fn visit(&mut self, text: &str) {
        let filter = TopicFilter::try_from(text).expect("a filter");
        let answers = self.send(VISITOR, &subscribe(filter.clone(), 1));
        self.expect_retained(&filter, &answers);
        let unsubscribe = Packet::Unsubscribe(Unsubscribe {
            packet_id: PacketId::MIN,
            topic_filters: vec![filter],
            user_properties: Vec::new(),
        });
        self.send(VISITOR, &unsubscribe);
    }

    fn expect_retained(&self, filter: &TopicFilter, answers: &[(Conn, Packet)]) {
        let mut topics: Vec<&str> = Vec::new();
        for (_, packet) in answers {
            if let Packet::Publish(publish) = packet {
                topics.push(publish.topic.as_ref().expect("no aliases").as_str());
            }
        }
        topics.sort_unstable();
        let mut expected: Vec<&str> = Vec::new();
        // [MQTT-4.8.2] Retained messages are not sent for shared subscriptions.
        if filter.shared().is_none() {
            let retained = self.retained.iter().map(String::as_str);
            expected.extend(retained.filter(|name| matches(filter.as_str(), name)));
        }
        expected.sort_unstable();
        assert_eq!(topics, expected, "retained for {:?}", filter.as_str());
    }

    fn publish(&mut self, text: &str) {
        let name = TopicName::try_from(text);
        assert_eq!(name.is_ok(), is_name(text), "name {text:?}");
        let Ok(name) = name else { return };
        for filter in self.filters.iter().flatten() {
            let expected = matches(filter, text);
            assert_eq!(
                topic_matches(proper(filter), text),
                expected,
                "{filter:?} {text:?}"
            );
        }
        if text.starts_with('$') {
            return; // the broker's own; what clients publish there is refused
        }
        let answers = self.send(PUBLISHER, &Packet::Publish(Publish::new(name, "x")));
        let mut found: Vec<u32> = Vec::new();
        for (conn, packet) in answers {
            let Packet::Publish(publish) = packet else {
                panic!("{packet:?}")
            };
            assert_eq!(conn, SUBSCRIBER);
            let identifiers = publish.properties.subscription_identifiers;
            found.extend(identifiers.iter().map(|identifier| identifier.get()));
        }
        found.sort_unstable();
        assert_eq!(
            found,
            self.expected(text),
            "{text:?} for {:?}",
            self.filters
        );
    }

    /// The identifiers of all subscriptions that match, in order.
    fn expected(&self, name: &str) -> Vec<u32> {
        (1..)
            .zip(&self.filters)
            .filter(|(_, filter)| filter.as_ref().is_some_and(|filter| matches(filter, name)))
            .map(|(identifier, _)| identifier)
            .collect()
    }

    fn input(&mut self, input: Input) {
        self.broker.handle_input(Instant::ZERO, input);
    }

    /// Sends, and returns everything that anyone receives then.
    fn send(&mut self, conn: Conn, packet: &Packet) -> Vec<(Conn, Packet)> {
        let mut wire = BytesMut::new();
        encode(packet, VERSION, &mut wire).expect("a packet");
        self.input(Input::Bytes(conn, wire.freeze()));
        let mut told = Vec::new();
        loop {
            match self.broker.poll_output() {
                Output::Write(conn) => {
                    let mut wire = BytesMut::new();
                    self.broker.take_writes(conn, &mut wire);
                    self.input(Input::Drained(conn));
                    let decoder = &mut self.heard[usize::try_from(conn.0).expect("small") - 1];
                    let mut wire: Bytes = wire.freeze();
                    while let Some(packet) = decoder.decode(&mut wire).expect("good packets") {
                        told.push((conn, packet));
                    }
                }
                Output::Idle(_) => return told,
                Output::Connected(..)
                | Output::Pause(_)
                | Output::Resume(_)
                | Output::Tapped
                | Output::Limited(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

fn subscribe(filter: TopicFilter, identifier: u32) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: vec![Subscription::new(filter, QoS::AtMostOnce)],
        subscription_identifier: core::num::NonZeroU32::new(identifier),
        user_properties: Vec::new(),
    })
}
