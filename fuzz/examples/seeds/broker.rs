//! Several clients and one broker.

use beaconry_fuzz::Pen;
use beaconry_fuzz::broker::Op;
use mqtt::{Connect, Packet, ProtocolVersion, PubAck, PubComp, PubRec, PubRel, QoS, ReasonCode};

use crate::made::{id, publish, subscribe, the_will, wire};
use crate::{Seeds, V3, V5, named};

/// Bytes 0 and 1 are options. Operations follow; most of them have a connection's number.
pub(crate) fn seeds() -> Seeds {
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
