//! Frames of the journal, and records of a broker.

use beaconry_fuzz::Pen;
use broker::{Lsn, journal};
use bytes::{Bytes, BytesMut};
use mqtt::packet::DisconnectProperties;
use mqtt::{Connect, Disconnect, Packet, PubAck, PubRec, PubRel, QoS, ReasonCode, Unsubscribe};

use crate::made::{connect, filter, id, publish, subscribe, the_will};
use crate::{Seeds, V5, named};

pub(crate) fn seeds() -> Seeds {
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

/// A client whose session ends with its connection.
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
