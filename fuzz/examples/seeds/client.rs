//! Conversations of a client with its server.

use beaconry_fuzz::Pen;
use mqtt::{ConnAck, Disconnect, Packet, PubRec, PubRel, Publish, QoS, ReasonCode};

use crate::made::{id, publish, topic, wire};
use crate::{Seeds, V3, V5, named};

/// Byte 0: options. Byte 1: version. Then the server's side as bytes (4).
pub(crate) fn seeds() -> Seeds {
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
                // Publishes at each QoS, subscribes, unsubscribes. Then the server answers.
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

fn repeated(qos: QoS, number: u16) -> Packet {
    let mut publish = Publish::new(topic("a/b"), "21.5");
    publish.qos = qos;
    publish.dup = true;
    publish.packet_id = Some(id(number));
    Packet::Publish(publish)
}

fn connack(reason_code: ReasonCode) -> Packet {
    Packet::ConnAck(ConnAck::new(false, reason_code))
}
