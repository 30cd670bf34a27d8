//! The journal: what a disk may give back.
//!
//! Byte 0 of the input says how to read the rest. If it is even, the rest is a file's bytes. If it
//! is odd, the rest is a list of records, each with two bytes of length. The target puts them into
//! good frames, so that no checksum keeps them from the replay.
//!
//! The target checks that nothing panics. The reader reads only whole frames, and reads what was
//! written. Whatever replays gives a broker that works.

use broker::{Broker, BrokerOptions, Conn, Input, Limits, Lsn, Output, Peer, Recovery, journal};
use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, Decoder, Instant, Packet, PacketId, ProtocolVersion, QoS, ReasonCode, Subscribe,
    Subscription, TopicFilter, encode,
};

use crate::Script;

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let file = if script.flag() {
        let mut file = BytesMut::new();
        let mut lsn = 0;
        while !script.is_over() {
            let record = script.bytes();
            if !record.is_empty() {
                lsn += 1;
                journal::write_frame(&mut file, Lsn(lsn), |body| body.extend_from_slice(record));
            }
        }
        file.freeze()
    } else {
        Bytes::copy_from_slice(script.rest())
    };
    let frames = read(file);
    if let Some(broker) = replay(frames) {
        use_it(broker);
    }
}

/// All frames before the end or the damage.
fn read(mut file: Bytes) -> Vec<journal::Frame> {
    let mut frames = Vec::new();
    loop {
        let before = file.clone();
        match journal::next_frame(&mut file) {
            Ok(Some(frame)) => {
                assert_eq!(before.len() - file.len(), frame.encoded_len());
                let mut again = BytesMut::new();
                journal::write_frame(&mut again, frame.lsn, |body| {
                    body.extend_from_slice(&frame.body);
                });
                assert_eq!(again, before[..frame.encoded_len()]);
                frames.push(frame);
            }
            Ok(None) => return frames,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(file, before, "damaged bytes stay in the input");
                return frames;
            }
        }
    }
}

fn replay(frames: Vec<journal::Frame>) -> Option<Broker> {
    let mut recovery = Recovery::new(options());
    for frame in frames {
        if frame.lsn == journal::GROUP {
            continue;
        }
        if let Err(error) = recovery.replay(frame.lsn, frame.body) {
            assert!(!error.to_string().is_empty());
            return None;
        }
    }
    recovery.finish(Instant::from_millis(1)).ok()
}

fn options() -> BrokerOptions {
    BrokerOptions {
        durable: true,
        limits: Limits {
            retained_messages: 8,
            sessions: 8,
            ..Limits::default()
        },
        ..BrokerOptions::default()
    }
}

/// The records of a broker whose only client sends `packets`: for the seeds.
pub fn record(packets: &[Packet]) -> Vec<Bytes> {
    let now = Instant::from_millis(1);
    let mut broker = Broker::new(now, options());
    let conn = Conn(1);
    broker.handle_input(now, Input::Opened(conn, Peer::MEMORY));
    let mut file = BytesMut::new();
    for packet in packets {
        let mut wire = BytesMut::new();
        encode(packet, ProtocolVersion::V5, &mut wire).expect("a packet");
        broker.handle_input(now, Input::Bytes(conn, wire.freeze()));
        file.extend_from_slice(&settle(&mut broker, now, |_| {}));
    }
    let frames = read(file.freeze());
    frames.into_iter().map(|frame| frame.body).collect()
}

/// A client connects and asks for everything. Then time passes.
fn use_it(mut broker: Broker) {
    let now = Instant::from_millis(2);
    let version = ProtocolVersion::V5;
    let conn = Conn(1);
    broker.handle_input(now, Input::Opened(conn, Peer::MEMORY));
    let subscribe = Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: vec![Subscription::new(
            TopicFilter::try_from("#").expect("a filter"),
            QoS::ExactlyOnce,
        )],
        subscription_identifier: None,
        user_properties: Vec::new(),
    });
    let mut told = Vec::new();
    let mut decoder = Decoder::client(version);
    for packet in [
        Packet::Connect(Connect::new(version, "x")),
        subscribe,
        Packet::PingReq,
    ] {
        let mut wire = BytesMut::new();
        encode(&packet, version, &mut wire).expect("a packet");
        broker.handle_input(now, Input::Bytes(conn, wire.freeze()));
        settle(&mut broker, now, |wire| {
            let mut wire = Bytes::copy_from_slice(wire);
            while let Some(packet) = decoder.decode(&mut wire).expect("good packets") {
                told.push(packet);
            }
        });
    }
    let Some(Packet::ConnAck(connack)) = told.first() else {
        panic!("{told:?}")
    };
    let is_full = connack.reason_code == ReasonCode::QuotaExceeded;
    assert!(is_full || told.contains(&Packet::PingResp), "{told:?}");

    broker.handle_input(now, Input::Closed(conn));
    broker.handle_input(Instant::FAR_FUTURE, Input::Timeout);
    settle(&mut broker, Instant::FAR_FUTURE, |_| {});
    assert_eq!(broker.metrics().connections, 0);
}

fn settle(broker: &mut Broker, now: Instant, mut heard: impl FnMut(&[u8])) -> BytesMut {
    let mut recorded = BytesMut::new();
    loop {
        match broker.poll_output() {
            Output::Write(conn) => {
                let mut wire = BytesMut::new();
                broker.take_writes(conn, &mut wire);
                heard(&wire);
                broker.handle_input(now, Input::Drained(conn));
            }
            Output::Persist(lsn) => {
                broker.take_journal(&mut recorded);
                broker.handle_input(now, Input::Persisted(lsn));
            }
            Output::Idle(_) => return recorded,
            Output::Close(..)
            | Output::Connected(..)
            | Output::Checkpointed(_)
            | Output::Pause(_)
            | Output::Resume(_)
            | Output::Tapped
            | Output::Limited(_) => {}
            Output::Authenticate(..) => panic!("not asked for"),
        }
    }
}
