//! Packets byte by byte: what a test sends and what it reads.

pub(crate) use Version::{V3, V5};

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.1.1
    V3,
    V5,
}

/// Both versions, for rules that they share.
pub(crate) const VERSIONS: [Version; 2] = [V3, V5];

pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];
pub(crate) const PINGRESP: [u8; 2] = [0xD0, 0];
/// Normal disconnection, in both versions.
pub(crate) const DISCONNECT: [u8; 2] = [0xE0, 0];

// First bytes of packets that have no flags of their own.
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const PUBACK: u8 = 0x40;
pub(crate) const PUBREC: u8 = 0x50;
pub(crate) const PUBREL: u8 = 0x62;
pub(crate) const PUBCOMP: u8 = 0x70;
pub(crate) const SUBSCRIBE: u8 = 0x82;
pub(crate) const SUBACK: u8 = 0x90;
pub(crate) const UNSUBSCRIBE: u8 = 0xA2;
pub(crate) const UNSUBACK: u8 = 0xB0;

/// The last bit of a PUBLISH's first byte.
pub(crate) const RETAIN: u8 = 1;

// Identifiers of properties (section 2.2.2.2).
pub(crate) const PAYLOAD_FORMAT: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_ID: u8 = 0x0B;
pub(crate) const SESSION_EXPIRY: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_ID: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
pub(crate) const REASON_STRING: u8 = 0x1F;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const MAXIMUM_QOS: u8 = 0x24;
pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const WILDCARDS_AVAILABLE: u8 = 0x28;
pub(crate) const SUBSCRIPTION_IDS_AVAILABLE: u8 = 0x29;
pub(crate) const SHARED_AVAILABLE: u8 = 0x2A;

/// A packet: its first byte, the length of the rest, and the rest.
pub(crate) fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
    [&[first], &variable(rest.len())[..], rest].concat()
}

/// A Variable Byte Integer.
pub(crate) fn variable(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(value % 128).unwrap();
        value /= 128;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// A string or Binary Data, with its length before it.
pub(crate) fn string(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u16::try_from(content.len()).unwrap();
    [&length.to_be_bytes(), content].concat()
}

/// A property of a single byte.
pub(crate) fn byte(id: u8, value: u8) -> Vec<u8> {
    vec![id, value]
}

pub(crate) fn two(id: u8, value: u16) -> Vec<u8> {
    [&[id], &value.to_be_bytes()[..]].concat()
}

pub(crate) fn four(id: u8, value: u32) -> Vec<u8> {
    [&[id], &value.to_be_bytes()[..]].concat()
}

/// A property that is a string or Binary Data.
pub(crate) fn text(id: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![id], string(value)].concat()
}

pub(crate) fn user(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![USER_PROPERTY], string(name), string(value)].concat()
}

pub(crate) fn subscription_id(id: usize) -> Vec<u8> {
    [vec![SUBSCRIPTION_ID], variable(id)].concat()
}

/// Properties with their length before them. In 3.1.1, nothing at all.
pub(crate) fn properties(version: Version, all: &[Vec<u8>]) -> Vec<u8> {
    match version {
        V3 => Vec::new(),
        V5 => {
            let all = all.concat();
            [variable(all.len()), all].concat()
        }
    }
}

/// A CONNECT. Use `..Connect::new(…)` for everything that a test does not care about.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    /// Clean Session in 3.1.1.
    pub(crate) clean_start: bool,
    pub(crate) keep_alive: u16,
    pub(crate) properties: Vec<Vec<u8>>,
    pub(crate) will: Option<Will>,
    pub(crate) user_name: Option<Vec<u8>>,
    pub(crate) password: Option<Vec<u8>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) properties: Vec<Vec<u8>>,
}

impl Connect {
    /// A clean start without will, user name and password.
    pub(crate) fn new(version: Version, client_id: &str) -> Self {
        Self {
            version,
            client_id: client_id.to_owned(),
            clean_start: true,
            keep_alive: 0,
            properties: Vec::new(),
            will: None,
            user_name: None,
            password: None,
        }
    }

    /// A session that is resumed, and that lasts.
    pub(crate) fn lasting(version: Version, client_id: &str) -> Self {
        Self {
            clean_start: false,
            properties: vec![four(SESSION_EXPIRY, 3600)],
            ..Self::new(version, client_id)
        }
    }

    pub(crate) fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| {
            0x04 | (will.qos << 3) | (u8::from(will.retain) << 5)
        });
        (u8::from(self.clean_start) << 1)
            | will
            | (u8::from(self.password.is_some()) << 6)
            | (u8::from(self.user_name.is_some()) << 7)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_flags(self.flags())
    }

    /// Encodes it with flags that need not fit the rest.
    pub(crate) fn with_flags(&self, flags: u8) -> Vec<u8> {
        let level = match self.version {
            V3 => 4,
            V5 => 5,
        };
        let payload = [
            string(&self.client_id),
            self.will.as_ref().map_or_else(Vec::new, |will| {
                [
                    properties(self.version, &will.properties),
                    string(&will.topic),
                    string(&will.payload),
                ]
                .concat()
            }),
            self.user_name.as_ref().map_or_else(Vec::new, string),
            self.password.as_ref().map_or_else(Vec::new, string),
        ]
        .concat();
        connect(
            "MQTT",
            level,
            flags,
            self.keep_alive,
            &self.head(),
            &payload,
        )
    }

    /// Its properties.
    fn head(&self) -> Vec<u8> {
        properties(self.version, &self.properties)
    }
}

impl Will {
    pub(crate) fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.to_owned(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            retain: false,
            properties: Vec::new(),
        }
    }
}

/// A CONNECT of any parts, however wrong. `properties` includes their length.
pub(crate) fn connect(
    protocol: &str,
    level: u8,
    flags: u8,
    keep_alive: u16,
    properties: &[u8],
    payload: &[u8],
) -> Vec<u8> {
    let rest = [
        &string(protocol)[..],
        &[level, flags],
        &keep_alive.to_be_bytes(),
        properties,
        payload,
    ];
    packet(0x10, &rest.concat())
}

/// A PUBLISH, sent or received. Use `..Publish::new(…)` for everything that a test does not care
/// about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) dup: bool,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
    pub(crate) topic: String,
    /// Present if the `QoS` is above 0.
    pub(crate) id: u16,
    /// Each with its identifier.
    pub(crate) properties: Vec<Vec<u8>>,
    pub(crate) payload: Vec<u8>,
}

impl Publish {
    /// A message with `QoS` 0.
    pub(crate) fn new(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            dup: false,
            qos: 0,
            retain: false,
            topic: topic.to_owned(),
            id: 0,
            properties: Vec::new(),
            payload: payload.as_ref().to_vec(),
        }
    }

    pub(crate) fn of_qos(qos: u8, id: u16, topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            qos,
            id,
            ..Self::new(topic, payload)
        }
    }

    pub(crate) fn retained(topic: &str, payload: impl AsRef<[u8]>) -> Self {
        Self {
            retain: true,
            ..Self::new(topic, payload)
        }
    }

    pub(crate) fn with(mut self, properties: &[Vec<u8>]) -> Self {
        self.properties = properties.to_vec();
        self
    }

    pub(crate) fn bytes(&self, version: Version) -> Vec<u8> {
        let first = 0x30 | (u8::from(self.dup) << 3) | (self.qos << 1) | u8::from(self.retain);
        let id = match self.qos {
            0 => Vec::new(),
            _ => self.id.to_be_bytes().to_vec(),
        };
        let rest = [
            string(&self.topic),
            id,
            properties(version, &self.properties),
            self.payload.clone(),
        ];
        packet(first, &rest.concat())
    }

    /// Reads a PUBLISH that was received.
    pub(crate) fn read(version: Version, packet: &Received) -> Self {
        assert_eq!(packet.first >> 4, 3, "no PUBLISH: {packet:02x?}");
        let qos = (packet.first >> 1) & 3;
        assert_ne!(qos, 3, "[MQTT-3.3.1-4]");
        let mut rest = &packet.rest[..];
        let topic = String::from_utf8(take_string(&mut rest)).unwrap();
        let id = if qos == 0 { 0 } else { take_two(&mut rest) };
        let properties = match version {
            V3 => Vec::new(),
            V5 => take_properties(&mut rest),
        };
        Self {
            dup: packet.first & 8 != 0,
            qos,
            retain: packet.first & 1 != 0,
            topic,
            id,
            properties,
            payload: rest.to_vec(),
        }
    }

    /// The properties with this identifier, in order.
    pub(crate) fn property(&self, id: u8) -> Vec<Vec<u8>> {
        let found = self.properties.iter().filter(|property| property[0] == id);
        found.cloned().collect()
    }
}

/// SUBSCRIBE to filters with their options.
pub(crate) fn subscribe(version: Version, id: u16, filters: &[(&str, u8)]) -> Vec<u8> {
    subscribe_with(version, id, &[], filters)
}

pub(crate) fn subscribe_with(
    version: Version,
    id: u16,
    all: &[Vec<u8>],
    filters: &[(&str, u8)],
) -> Vec<u8> {
    let filters: Vec<Vec<u8>> = filters
        .iter()
        .map(|(filter, options)| [string(filter), vec![*options]].concat())
        .collect();
    let rest = [
        id.to_be_bytes().to_vec(),
        properties(version, all),
        filters.concat(),
    ];
    packet(SUBSCRIBE, &rest.concat())
}

pub(crate) fn unsubscribe(version: Version, id: u16, filters: &[&str]) -> Vec<u8> {
    let filters: Vec<Vec<u8>> = filters.iter().map(string).collect();
    let rest = [
        id.to_be_bytes().to_vec(),
        properties(version, &[]),
        filters.concat(),
    ];
    packet(UNSUBSCRIBE, &rest.concat())
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP in the short form, which is the same in both versions.
pub(crate) fn ack(first: u8, id: u16) -> Vec<u8> {
    packet(first, &id.to_be_bytes())
}

/// The same with a reason code, as in version 5.
pub(crate) fn ack_with(first: u8, id: u16, reason: u8) -> Vec<u8> {
    packet(first, &[&id.to_be_bytes()[..], &[reason]].concat())
}

/// DISCONNECT of version 5.
pub(crate) fn disconnect(reason: u8, all: &[Vec<u8>]) -> Vec<u8> {
    packet(0xE0, &[vec![reason], properties(V5, all)].concat())
}

/// A packet that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) first: u8,
    pub(crate) rest: Vec<u8>,
}

impl Received {
    /// The bytes as they came: the length has its shortest form.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        packet(self.first, &self.rest)
    }
}

/// An answer with one or more reason codes: CONNACK, PUBACK, SUBACK, DISCONNECT and so on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) first: u8,
    /// The Packet Identifier. For CONNACK, the flags. For DISCONNECT and AUTH, 0.
    pub(crate) id: u16,
    pub(crate) codes: Vec<u8>,
    pub(crate) properties: Vec<Vec<u8>>,
}

impl Answer {
    pub(crate) fn read(version: Version, packet: &Received) -> Self {
        let mut rest = &packet.rest[..];
        let mut answer = Self {
            first: packet.first,
            id: 0,
            codes: Vec::new(),
            properties: Vec::new(),
        };
        match packet.first {
            CONNACK => {
                answer.id = u16::from(take(&mut rest));
                answer.codes.push(take(&mut rest));
                if version == V5 {
                    answer.properties = take_properties(&mut rest);
                }
                assert!(rest.is_empty(), "too long: {packet:02x?}");
            }
            PUBACK | PUBREC | PUBREL | PUBCOMP => {
                answer.id = take_two(&mut rest);
                answer.reason_and_properties(version, rest);
            }
            SUBACK | UNSUBACK => {
                answer.id = take_two(&mut rest);
                if version == V5 {
                    answer.properties = take_properties(&mut rest);
                }
                answer.codes = rest.to_vec();
            }
            0xE0 | 0xF0 => answer.reason_and_properties(version, rest),
            _ => panic!("no answer: {packet:02x?}"),
        }
        answer
    }

    /// A packet may leave out both, and then the reason is 0.
    fn reason_and_properties(&mut self, version: Version, mut rest: &[u8]) {
        assert!(version == V5 || rest.is_empty(), "3.1.1 has no reason code");
        if rest.is_empty() {
            return self.codes.push(0);
        }
        self.codes.push(take(&mut rest));
        if !rest.is_empty() {
            self.properties = take_properties(&mut rest);
        }
        assert!(rest.is_empty(), "too long: {self:02x?} and {rest:02x?}");
    }

    /// The properties with this identifier, in order.
    pub(crate) fn property(&self, id: u8) -> Vec<Vec<u8>> {
        let found = self.properties.iter().filter(|property| property[0] == id);
        found.cloned().collect()
    }
}

/// All properties, each with its identifier.
fn take_properties(rest: &mut &[u8]) -> Vec<Vec<u8>> {
    let length = take_variable(rest);
    let (mut all, after) = rest.split_at(length);
    *rest = after;
    let mut properties = Vec::new();
    while !all.is_empty() {
        let before = all;
        match take(&mut all) {
            0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => {
                take(&mut all);
            }
            0x13 | 0x21 | 0x22 | 0x23 => {
                take_two(&mut all);
            }
            0x02 | 0x11 | 0x18 | 0x27 => {
                take_two(&mut all);
                take_two(&mut all);
            }
            0x0B => {
                take_variable(&mut all);
            }
            0x03 | 0x08 | 0x09 | 0x12 | 0x15 | 0x16 | 0x1A | 0x1C | 0x1F => {
                take_string(&mut all);
            }
            0x26 => {
                take_string(&mut all);
                take_string(&mut all);
            }
            unknown => panic!("no property has the identifier {unknown:#x}"),
        }
        properties.push(before[..before.len() - all.len()].to_vec());
    }
    properties
}

fn take(rest: &mut &[u8]) -> u8 {
    let (first, after) = rest.split_first().expect("a packet is too short");
    *rest = after;
    *first
}

fn take_two(rest: &mut &[u8]) -> u16 {
    u16::from_be_bytes([take(rest), take(rest)])
}

/// Reads a Variable Byte Integer. Panics if it does not have its shortest form: [MQTT-1.5.5-1].
fn take_variable(rest: &mut &[u8]) -> usize {
    let before = *rest;
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = take(rest);
        value |= usize::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            let read = &before[..before.len() - rest.len()];
            assert_eq!(read, variable(value), "longer than it need be");
            return value;
        }
    }
}

fn take_string(rest: &mut &[u8]) -> Vec<u8> {
    let length = usize::from(take_two(rest));
    let (content, after) = rest.split_at(length);
    *rest = after;
    content.to_vec()
}
