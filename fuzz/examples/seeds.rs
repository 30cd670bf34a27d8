//! Writes the kept inputs to `corpus/`: `cargo run --manifest-path fuzz/Cargo.toml --example seeds`.
//!
//! They are small, and each has a name; what fuzzing finds beside them is not kept. A finding becomes
//! a test of the crate that it was found in.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::{fs, io};

use beaconry_fuzz::Pen;
use beaconry_fuzz::broker::Op;
use broker::{Lsn, journal};
use bytes::{Bytes, BytesMut};
use mqtt::packet::{
    AuthProperties, ConnAckProperties, ConnectProperties, DisconnectProperties, PublishProperties,
    ReasonProperties, UserProperty, WillProperties,
};
use mqtt::{
    Auth, ConnAck, Connect, Disconnect, Packet, PacketId, ProtocolVersion, PubAck, PubComp, PubRec,
    PubRel, Publish, QoS, ReasonCode, SubAck, Subscribe, Subscription, TopicFilter, TopicName,
    UnsubAck, Unsubscribe, Utf8String, Will, encode,
};

const V3: ProtocolVersion = ProtocolVersion::V3_1_1;
const V5: ProtocolVersion = ProtocolVersion::V5;

fn main() -> io::Result<()> {
    let mut count = 0;
    for (target, seeds) in [
        ("packets", packets()),
        ("client", client()),
        ("broker", broker()),
        ("journal", journals()),
        ("segments", segments()),
        ("topics", topics()),
        ("websocket", websocket()),
    ] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&dir)?;
        for (name, bytes) in seeds {
            fs::write(dir.join(name), bytes)?;
            count += 1;
        }
    }
    println!("{count} seeds");
    Ok(())
}

type Seeds = Vec<(String, Vec<u8>)>;

fn named(seeds: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Seeds {
    seeds
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect()
}

/// One packet of each type, side and version, with everything in it that there is.
fn packets() -> Seeds {
    let mut seeds = Vec::new();
    let sides = [
        (0, V3, vec![connect(V3)]),
        (0, V5, vec![connect(V5)]),
        (1, V3, from_client(V3)),
        (2, V5, from_client(V5)),
        (3, V3, from_server(V3)),
        (4, V5, from_server(V5)),
    ];
    for (side, version, packets) in sides {
        for packet in packets {
            let mut seed = vec![side, 7];
            seed.extend_from_slice(&wire(&packet, version));
            let from = if side < 3 { "client" } else { "server" };
            let name = packet.packet_type().name().to_lowercase();
            seeds.push((format!("{name}-{}-from-{from}", tag(version)), seed));
        }
    }
    let mut two = vec![4, 2];
    two.extend_from_slice(&wire(&publish(QoS::AtLeastOnce), V5));
    two.extend_from_slice(b"\xd0\x80\x00");
    seeds.push(("a-length-longer-than-it-need-be".to_owned(), two));
    seeds.push((
        "a-length-of-256-mb".to_owned(),
        b"\x00\x00\x10\xff\xff\xff\x7f".to_vec(),
    ));
    seeds.push((
        "http".to_owned(),
        b"\x00\x00GET / HTTP/1.1\r\n\r\n".to_vec(),
    ));
    seeds
}

/// Byte 0: options, byte 1: version; then the server's side as bytes (4).
fn client() -> Seeds {
    let talk = |version: u8, steps: &dyn Fn(&mut Pen)| {
        let mut pen = Pen::default();
        pen.byte(0).byte(version);
        steps(&mut pen);
        pen.into_bytes()
    };
    let connected = |pen: &mut Pen| {
        pen.byte(0).byte(0); // open, no session
    };
    named([
        (
            "answers-to-everything",
            talk(0, &|pen| {
                connected(pen);
                // Publish at each QoS, subscribe, unsubscribe; then the server answers.
                for qos in 0..3 {
                    pen.byte(9).byte(1).word(5).byte(qos);
                    if qos > 0 {
                        pen.byte(0);
                    }
                    pen.byte(0);
                }
                pen.byte(10)
                    .byte(0)
                    .byte(1)
                    .byte(0)
                    .byte(1)
                    .byte(1)
                    .byte(0)
                    .byte(3);
                pen.byte(11).byte(0).byte(1);
                for _ in 0..10 {
                    pen.byte(8);
                }
            }),
        ),
        (
            "messages-of-every-qos-5",
            talk(0, &|pen| {
                connected(pen);
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    pen.byte(4).bytes(&wire(&publish(qos), V5));
                }
                pen.byte(4).bytes(&wire(
                    &Packet::PubRel(PubRel::new(id(7), ReasonCode::Success)),
                    V5,
                ));
            }),
        ),
        (
            "messages-of-every-qos-3-1-1",
            talk(1, &|pen| {
                connected(pen);
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    pen.byte(4).bytes(&wire(&publish(qos), V3));
                }
            }),
        ),
        (
            "refused-then-credentials",
            talk(0, &|pen| {
                pen.byte(0).byte(0);
                pen.byte(1);
                pen.byte(12)
                    .byte(4)
                    .bytes(&wire(&connack(ReasonCode::BadUserNameOrPassword), V5));
                pen.byte(13).byte(1).byte(0).byte(1);
            }),
        ),
        (
            "lost-and-resumed",
            talk(0, &|pen| {
                connected(pen);
                pen.byte(9).byte(1).word(5).byte(2).byte(0).byte(0);
                pen.byte(1).byte(2).byte(0).byte(1).byte(8).byte(8).byte(14);
            }),
        ),
        (
            "disconnected-by-the-server",
            talk(0, &|pen| {
                connected(pen);
                let bye = Packet::Disconnect(Disconnect::new(ReasonCode::ServerShuttingDown));
                pen.byte(4).bytes(&wire(&bye, V5)).byte(2).byte(0).byte(0);
            }),
        ),
        ("a-stored-session", {
            let mut pen = Pen::default();
            let mut stored = wire(&repeated(QoS::AtLeastOnce, 3), V5);
            stored.extend_from_slice(&wire(&repeated(QoS::ExactlyOnce, 4), V5));
            stored.extend_from_slice(&wire(&publish(QoS::AtMostOnce), V5));
            stored.extend_from_slice(&wire(
                &Packet::PubRel(PubRel::new(id(5), ReasonCode::Success)),
                V5,
            ));
            stored.extend_from_slice(&wire(
                &Packet::PubRec(PubRec::new(id(6), ReasonCode::Success)),
                V5,
            ));
            pen.byte(64).byte(0).bytes(&stored).byte(0).byte(1);
            pen.into_bytes()
        }),
    ])
}

/// Bytes 0 and 1: options. Then operations, most with a connection's number.
fn broker() -> Seeds {
    struct Play(Pen);
    impl Play {
        fn new(flags: u8, more: u8) -> Self {
            let mut pen = Pen::default();
            pen.byte(flags).byte(more);
            Self(pen)
        }
        fn op(mut self, op: Op, at: u8) -> Self {
            self.0.byte(op as u8).byte(at);
            self
        }
        fn send(self, at: u8, version: ProtocolVersion, packet: &Packet) -> Self {
            let mut play = self.op(Op::Bytes, at);
            play.0.bytes(&wire(packet, version));
            play
        }
        fn join(self, at: u8, name: &'static str, version: ProtocolVersion) -> Self {
            let mut connect = Connect::new(version, name);
            connect.clean_start = false;
            if version == V5 {
                connect.properties.session_expiry_interval = Some(100);
                connect.properties.topic_alias_maximum = Some(2);
            }
            connect.keep_alive = 10;
            self.op(Op::Open, at)
                .send(at, version, &Packet::Connect(connect))
        }
        fn number(mut self, number: u8) -> Self {
            self.0.byte(number);
            self
        }
        fn end(self) -> Vec<u8> {
            self.0.into_bytes()
        }
    }
    let pair = |flags, qos| {
        let mut play = Play::new(flags, 0).join(0, "x", V5).join(1, "y", V3);
        play = play
            .send(0, V5, &subscribe("a/#", qos))
            .send(1, V3, &subscribe("#", qos));
        play = play
            .op(Op::Drained, 0)
            .op(Op::Drained, 1)
            .send(1, V3, &publish(qos));
        play.op(Op::Drained, 0).op(Op::Drained, 1)
    };
    let answers = |play: Play| {
        let code = ReasonCode::Success;
        play.send(0, V5, &Packet::PubAck(PubAck::new(id(1), code)))
            .send(1, V3, &Packet::PubRel(PubRel::new(id(7), code)))
            .send(0, V5, &Packet::PubRec(PubRec::new(id(1), code)))
            .send(0, V5, &Packet::PubComp(PubComp::new(id(1), code)))
            .op(Op::Drained, 1)
    };
    let mut will = Connect::new(V5, "z");
    will.will = Some(the_will());
    will.keep_alive = 1;
    named([
        ("a-pair-qos-0", pair(0, QoS::AtMostOnce).end()),
        ("a-pair-qos-1", answers(pair(0, QoS::AtLeastOnce)).end()),
        ("a-pair-qos-2", answers(pair(8, QoS::ExactlyOnce)).end()),
        ("a-pair-qos-2-durable", {
            let play = pair(2, QoS::ExactlyOnce).op(Op::Persisted, 0).number(0);
            answers(play).op(Op::Persisted, 0).number(0).end()
        }),
        ("a-full-store", {
            let play = Play::new(2, 0)
                .op(Op::Store, 0)
                .number(1)
                .join(0, "x", V5)
                .join(1, "y", V3);
            play.send(0, V5, &subscribe("#", QoS::AtLeastOnce))
                .send(1, V3, &publish(QoS::AtLeastOnce))
                .op(Op::Store, 0)
                .number(0)
                .send(1, V3, &publish(QoS::AtLeastOnce))
                .end()
        }),
        ("absent-then-resumed", {
            let play =
                Play::new(0, 0)
                    .join(0, "x", V5)
                    .send(0, V5, &subscribe("#", QoS::ExactlyOnce));
            let play =
                play.op(Op::Close, 0)
                    .join(1, "y", V5)
                    .send(1, V5, &publish(QoS::ExactlyOnce));
            play.join(0, "x", V5).op(Op::Drained, 0).end()
        }),
        (
            "a-takeover",
            Play::new(1, 0)
                .join(0, "x", V5)
                .op(Op::Authenticated, 0)
                .number(0)
                .join(1, "x", V3)
                .op(Op::Authenticated, 1)
                .number(0)
                .end(),
        ),
        ("a-will-after-silence", {
            let play =
                Play::new(0, 0)
                    .join(0, "x", V5)
                    .send(0, V5, &subscribe("#", QoS::AtLeastOnce));
            let play = play.op(Op::Open, 1).send(1, V5, &Packet::Connect(will));
            let mut play = play.op(Op::Sleep, 0);
            play.0.word(500);
            play.op(Op::Drained, 0).end()
        }),
        ("retained", {
            let Packet::Publish(mut kept) = publish(QoS::AtMostOnce) else {
                unreachable!()
            };
            kept.retain = true;
            let play = Play::new(2, 0)
                .join(0, "x", V5)
                .send(0, V5, &Packet::Publish(kept));
            play.send(0, V5, &subscribe("a/+", QoS::AtLeastOnce))
                .op(Op::Drained, 0)
                .end()
        }),
        ("a-copy-of-everything", {
            let play = pair(2, QoS::AtLeastOnce).op(Op::Persisted, 0).number(0);
            let mut play = play.op(Op::Close, 0);
            for _ in 0..3 {
                play = play.op(Op::Checkpoint, 0);
                play.0.word(100);
            }
            play.op(Op::Persisted, 0).number(0).end()
        }),
        ("too-fast", {
            let mut play = Play::new(0, 1).join(0, "x", V5);
            for _ in 0..5 {
                play = play.send(0, V5, &publish(QoS::AtMostOnce));
            }
            let mut play = play.op(Op::Sleep, 0);
            play.0.word(200);
            play.send(0, V5, &publish(QoS::AtMostOnce)).end()
        }),
        ("shared", {
            let mut play = Play::new(0, 0);
            for (at, name) in [(0, "x"), (1, "y")] {
                play = play.join(at, name, V5).send(
                    at,
                    V5,
                    &subscribe("$share/g/a/#", QoS::AtLeastOnce),
                );
            }
            play = play.send(0, V5, &publish(QoS::AtLeastOnce)).send(
                0,
                V5,
                &publish(QoS::AtLeastOnce),
            );
            play.op(Op::Close, 1).op(Op::Drained, 0).end()
        }),
    ])
}

fn journals() -> Seeds {
    let mut file = BytesMut::new();
    for (lsn, text) in [(0, b"\0durable"), (1, b"\x07record2"), (0, b"\0durable")] {
        journal::write_frame(&mut file, Lsn(lsn), |body| body.extend_from_slice(text));
    }
    let file = |cut: usize, zeros: usize| {
        let mut seed = vec![0];
        seed.extend_from_slice(&file[..file.len() - cut]);
        seed.resize(seed.len() + zeros, 0);
        seed
    };
    let mut seeds = named([
        ("whole", file(0, 0)),
        ("torn", file(5, 0)),
        ("zeros-behind", file(0, 40)),
    ]);
    for (name, records) in recorded() {
        let mut pen = Pen::default();
        pen.byte(1);
        for record in records {
            pen.bytes(&record);
        }
        seeds.push((name.to_owned(), pen.into_bytes()));
    }
    seeds
}

/// Byte 0: a file as it is, or three groups of two records, which are then harmed.
fn segments() -> Seeds {
    let harmed = |harm: &[(u8, u16, Option<u8>)]| {
        let mut pen = Pen::default();
        pen.byte(1).byte(3);
        for _ in 0..3 {
            pen.byte(2).byte(20).byte(7).byte(20).byte(7);
        }
        for &(kind, at, value) in harm {
            pen.byte(kind).word(at);
            if let Some(value) = value {
                pen.byte(value);
            }
        }
        pen.into_bytes()
    };
    let mut whole = vec![0];
    whole.extend_from_slice(&beaconry_fuzz::segments::whole());
    named([
        ("a-whole-file", whole),
        ("nothing-happened", harmed(&[])),
        ("room-behind", harmed(&[(2, 0, Some(99))])),
        (
            "torn-in-the-last-group",
            harmed(&[(0, 280, None), (2, 0, Some(99))]),
        ),
        ("zeros-in-the-last-group", harmed(&[(1, 280, None)])),
        ("a-hole-in-the-first-group", harmed(&[(3, 40, Some(30))])),
        ("a-bit-of-the-second-group", harmed(&[(4, 150, Some(1))])),
    ])
}

/// What a broker records when it is used.
fn recorded() -> Vec<(&'static str, Vec<Bytes>)> {
    let conversations: [(&str, Vec<Packet>); 7] = [
        (
            "retained",
            vec![Packet::Connect(Connect::new(V5, "x")), {
                let Packet::Publish(mut kept) = publish(QoS::AtLeastOnce) else {
                    unreachable!()
                };
                kept.retain = true;
                Packet::Publish(kept)
            }],
        ),
        ("a-session-with-a-will", {
            let Packet::Connect(mut connect) = connect(V5) else {
                unreachable!()
            };
            connect.properties.session_expiry_interval = Some(100);
            connect.properties.authentication_method = None;
            connect.properties.authentication_data = None;
            vec![Packet::Connect(connect), subscribe("a/#", QoS::ExactlyOnce)]
        }),
        ("a-will-alone", vec![Packet::Connect(passing())]),
        (
            "a-will-taken-back",
            vec![
                Packet::Connect(passing()),
                Packet::Disconnect(Disconnect::new(ReasonCode::Success)),
            ],
        ),
        ("a-message-to-itself-qos-2", exchange(QoS::ExactlyOnce)),
        ("a-message-to-itself-qos-1", exchange(QoS::AtLeastOnce)),
        ("unsubscribed-and-gone", {
            let mut packets = exchange(QoS::AtLeastOnce);
            packets.push(Packet::Unsubscribe(Unsubscribe {
                packet_id: id(3),
                topic_filters: vec![filter("a/#")],
                user_properties: Vec::new(),
            }));
            packets.push(Packet::Disconnect(Disconnect {
                reason_code: ReasonCode::Success,
                properties: DisconnectProperties {
                    session_expiry_interval: Some(0),
                    ..DisconnectProperties::default()
                },
            }));
            packets
        }),
    ];
    conversations
        .map(|(name, packets)| (name, beaconry_fuzz::journal::record(&packets)))
        .into()
}

/// Of a client whose session ends with its connection.
fn passing() -> Connect {
    let mut connect = Connect::new(V5, "x");
    connect.will = Some(the_will());
    connect
}

fn exchange(qos: QoS) -> Vec<Packet> {
    let mut connect = Connect::new(V5, "x");
    connect.properties.session_expiry_interval = Some(100);
    let code = ReasonCode::Success;
    vec![
        Packet::Connect(connect),
        subscribe("a/#", qos),
        publish(qos),
        Packet::PubRel(PubRel::new(id(7), code)),
        match qos {
            QoS::ExactlyOnce => Packet::PubRec(PubRec::new(id(1), code)),
            QoS::AtMostOnce | QoS::AtLeastOnce => Packet::PubAck(PubAck::new(id(1), code)),
        },
    ]
}

fn topics() -> Seeds {
    named([
        (
            "wildcards",
            b"+ #\n+ a/+\n+ a/#\n+ +/b\n+ a/b\na/b\na\na/b/c\n/\n- a/#\na/b".to_vec(),
        ),
        (
            "empty-levels",
            b"+ /\n+ +\n+ /+\n+ +/+\n+ //#\n/\n//\na\n/a".to_vec(),
        ),
        ("dollar", b"+ #\n+ $SYS/#\n+ +/a\n$SYS/a\n$a\na/$b".to_vec()),
        (
            "shared",
            b"+ $share/g/a/#\n+ $share/h/+\n+ $share/g\n+ $share//a\na\na/b".to_vec(),
        ),
        (
            "malformed",
            b"+ a#\n+ #/a\n+ a+/b\n+ a/b+\na+b\na#".to_vec(),
        ),
        (
            "retained",
            b"! a/b\n! a\n! /\n+ a/#\n+ +\n? a\n+ #\n+ $share/g/a".to_vec(),
        ),
        ("replaced", b"+ a/+\n+ a/+\na/b\n- a/+\n- a/+\na/b".to_vec()),
    ])
}

/// Three bytes say in which pieces; then plain bytes (0), the server's own (1) and frames (2, 7).
fn websocket() -> Seeds {
    const FIN: u8 = 0x80;
    let begin = || {
        let mut pen = Pen::default();
        pen.byte(3).byte(20).byte(20);
        pen
    };
    let frames = |frames: &[(u8, &[u8])]| {
        let mut pen = begin();
        for (first, payload) in frames {
            pen.byte(2).byte(*first).byte(0x5A).bytes(payload);
        }
        pen.into_bytes()
    };
    let connect = wire(&connect(V5), V5);
    let close = [3, 0xE8, b'b', b'y', b'e'];
    named([
        ("a-packet", frames(&[(FIN | 2, &connect)])),
        (
            "a-packet-in-fragments",
            frames(&[
                (2, &connect[..9]),
                (0, &connect[9..20]),
                (FIN, &connect[20..]),
            ]),
        ),
        (
            "a-ping-between-fragments",
            frames(&[(2, b"abc"), (FIN | 9, b"ping"), (FIN, b"def")]),
        ),
        ("closed", frames(&[(FIN | 2, b"abc"), (FIN | 8, &close)])),
        ("text", frames(&[(FIN | 1, b"abc")])),
        ("text-that-is-none", frames(&[(1, b"\xC3"), (FIN, b"\xC3")])),
        ("a-long-frame", frames(&[(FIN | 2, &[7; 300])])),
        ("a-continuation-of-nothing", frames(&[(FIN, b"abc")])),
        ("a-pong-unasked", frames(&[(FIN | 10, b""), (FIN | 2, b"")])),
        ("not-masked", {
            let mut pen = begin();
            pen.byte(7).byte(FIN | 2).bytes(b"abc");
            pen.into_bytes()
        }),
        ("a-length-of-all-there-is", {
            let mut pen = begin();
            pen.byte(0)
                .bytes(b"\x82\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\x02\x03\x04abc");
            pen.into_bytes()
        }),
        ("written-meanwhile", {
            let mut pen = begin();
            pen.byte(1)
                .word(500)
                .byte(0xEE)
                .byte(2)
                .byte(FIN | 9)
                .byte(0)
                .bytes(b"ping");
            pen.byte(1)
                .word(3)
                .byte(0xDD)
                .byte(2)
                .byte(FIN | 8)
                .byte(1)
                .bytes(&close);
            pen.into_bytes()
        }),
    ])
}

fn tag(version: ProtocolVersion) -> &'static str {
    match version {
        V3 => "3-1-1",
        V5 => "5",
    }
}

fn wire(packet: &Packet, version: ProtocolVersion) -> Vec<u8> {
    let mut wire = BytesMut::new();
    encode(packet, version, &mut wire).expect("a good packet");
    wire.to_vec()
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

fn text(text: &'static str) -> Utf8String {
    Utf8String::from_static(text)
}

fn topic(name: &'static str) -> TopicName {
    TopicName::try_from(name).expect("a topic name")
}

fn filter(filter: &'static str) -> TopicFilter {
    TopicFilter::try_from(filter).expect("a topic filter")
}

fn user() -> Vec<UserProperty> {
    vec![(text("k"), text("v"))]
}

fn the_will() -> Will {
    Will {
        topic: topic("a/will"),
        payload: Bytes::from_static(b"gone"),
        qos: QoS::AtLeastOnce,
        retain: true,
        properties: WillProperties {
            will_delay_interval: Some(1),
            payload_format_indicator: Some(true),
            message_expiry_interval: Some(60),
            content_type: Some(text("t")),
            response_topic: Some(topic("r")),
            correlation_data: Some(Bytes::from_static(b"c")),
            user_properties: user(),
        },
    }
}

fn connect(version: ProtocolVersion) -> Packet {
    let mut connect = Connect::new(version, "x");
    connect.will = Some(the_will());
    connect.user_name = Some(text("u"));
    connect.password = Some(Bytes::from_static(b"p"));
    if version == V5 {
        connect.properties = ConnectProperties {
            session_expiry_interval: Some(9),
            receive_maximum: Some(3),
            maximum_packet_size: Some(500),
            topic_alias_maximum: Some(2),
            request_response_information: Some(true),
            request_problem_information: Some(false),
            user_properties: user(),
            authentication_method: Some(text("m")),
            authentication_data: Some(Bytes::from_static(b"d")),
        };
    }
    Packet::Connect(connect)
}

fn publish(qos: QoS) -> Packet {
    let mut publish = Publish::new(topic("a/b"), "21.5");
    publish.qos = qos;
    publish.packet_id = (qos != QoS::AtMostOnce).then(|| id(7));
    Packet::Publish(publish)
}

fn repeated(qos: QoS, number: u16) -> Packet {
    let mut publish = Publish::new(topic("a/b"), "21.5");
    publish.qos = qos;
    publish.dup = true;
    publish.packet_id = Some(id(number));
    Packet::Publish(publish)
}

/// With every property; `from_server` with those that only a server may send.
fn rich_publish(from_server: bool) -> Packet {
    let Packet::Publish(mut publish) = publish(QoS::ExactlyOnce) else {
        unreachable!()
    };
    publish.retain = true;
    publish.properties = PublishProperties {
        payload_format_indicator: Some(true),
        message_expiry_interval: Some(60),
        topic_alias: NonZeroU16::new(1),
        response_topic: Some(topic("r")),
        correlation_data: Some(Bytes::from_static(b"c")),
        user_properties: user(),
        subscription_identifiers: if from_server {
            vec![
                NonZeroU32::MIN,
                NonZeroU32::new(268_435_455).expect("not zero"),
            ]
        } else {
            Vec::new()
        },
        content_type: Some(text("t")),
    };
    Packet::Publish(publish)
}

fn subscribe(wanted: &'static str, qos: QoS) -> Packet {
    Packet::Subscribe(Subscribe {
        packet_id: id(2),
        subscriptions: vec![Subscription::new(filter(wanted), qos)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    })
}

fn connack(reason_code: ReasonCode) -> Packet {
    Packet::ConnAck(ConnAck::new(false, reason_code))
}

fn reason() -> ReasonProperties {
    ReasonProperties {
        reason_string: Some(text("why")),
        user_properties: user(),
    }
}

fn acknowledgements(version: ProtocolVersion) -> Vec<Packet> {
    let mut packets = vec![
        Packet::PubAck(PubAck::new(id(7), ReasonCode::Success)),
        Packet::PubRec(PubRec::new(id(7), ReasonCode::Success)),
        Packet::PubRel(PubRel::new(id(7), ReasonCode::Success)),
        Packet::PubComp(PubComp::new(id(7), ReasonCode::Success)),
    ];
    if version == V5 {
        for packet in &mut packets {
            match packet {
                Packet::PubAck(ack) => ack.properties = reason(),
                Packet::PubRec(ack) => ack.reason_code = ReasonCode::QuotaExceeded,
                Packet::PubRel(ack) => ack.reason_code = ReasonCode::PacketIdentifierNotFound,
                Packet::PubComp(ack) => ack.properties = reason(),
                _ => {}
            }
        }
    }
    packets
}

fn auth() -> Packet {
    Packet::Auth(Auth {
        reason_code: ReasonCode::ContinueAuthentication,
        properties: AuthProperties {
            authentication_method: Some(text("m")),
            authentication_data: Some(Bytes::from_static(b"d")),
            reason_string: Some(text("why")),
            user_properties: user(),
        },
    })
}

fn from_client(version: ProtocolVersion) -> Vec<Packet> {
    let mut packets = acknowledgements(version);
    let mut subscribe = Subscribe {
        packet_id: id(2),
        subscriptions: vec![
            Subscription::new(filter("a/+/#"), QoS::ExactlyOnce),
            Subscription::new(filter("$share/g/a"), QoS::AtMostOnce),
        ],
        subscription_identifier: None,
        user_properties: Vec::new(),
    };
    if version == V5 {
        subscribe.subscription_identifier = NonZeroU32::new(300);
        subscribe.subscriptions[0].no_local = true;
        packets.push(rich_publish(false));
        packets.push(auth());
    } else {
        packets.push(publish(QoS::AtLeastOnce));
    }
    packets.push(Packet::Subscribe(subscribe));
    packets.push(Packet::Unsubscribe(Unsubscribe {
        packet_id: id(3),
        topic_filters: vec![filter("a"), filter("+")],
        user_properties: user(),
    }));
    packets.push(Packet::PingReq);
    packets.push(Packet::Disconnect(Disconnect::new(if version == V5 {
        ReasonCode::DisconnectWithWill
    } else {
        ReasonCode::Success
    })));
    packets
}

fn from_server(version: ProtocolVersion) -> Vec<Packet> {
    let mut packets = acknowledgements(version);
    let mut connack = ConnAck::new(true, ReasonCode::Success);
    if version == V5 {
        connack.properties = ConnAckProperties {
            session_expiry_interval: Some(9),
            receive_maximum: Some(3),
            maximum_qos: Some(QoS::AtLeastOnce),
            retain_available: Some(false),
            maximum_packet_size: Some(500),
            assigned_client_identifier: Some(text("i")),
            topic_alias_maximum: Some(2),
            reason_string: Some(text("why")),
            user_properties: user(),
            wildcard_subscription_available: Some(false),
            subscription_identifiers_available: Some(true),
            shared_subscription_available: Some(false),
            server_keep_alive: Some(5),
            response_information: Some(text("r")),
            server_reference: Some(text("s")),
            authentication_method: Some(text("m")),
            authentication_data: Some(Bytes::from_static(b"d")),
        };
        packets.push(rich_publish(true));
        packets.push(auth());
        packets.push(Packet::Disconnect(Disconnect {
            reason_code: ReasonCode::UseAnotherServer,
            properties: DisconnectProperties {
                reason_string: Some(text("why")),
                server_reference: Some(text("s")),
                user_properties: user(),
                ..DisconnectProperties::default()
            },
        }));
    } else {
        packets.push(publish(QoS::AtLeastOnce));
    }
    packets.push(Packet::ConnAck(connack));
    packets.push(Packet::SubAck(SubAck {
        packet_id: id(2),
        reason_codes: vec![ReasonCode::GrantedQoS2, ReasonCode::UnspecifiedError],
        properties: reason(),
    }));
    packets.push(Packet::UnsubAck(UnsubAck {
        packet_id: id(3),
        reason_codes: vec![ReasonCode::Success],
        properties: reason(),
    }));
    packets.push(Packet::PingResp);
    packets
}
