//! No order of calls and no packet makes the client panic. The client frees everything that it
//! takes.

use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::packet::{Auth, AuthProperties, Disconnect, ReasonProperties, SubAck, UnsubAck};

/// What a shell, an application or a server might do next.
#[derive(Clone, Debug)]
enum Step {
    Open,
    Close,
    Timeout,
    Wait(u32),
    Bytes(Vec<u8>),
    Packet(u8, u16, u8, bool),
    Publish(QoS),
    Subscribe,
    Unsubscribe,
    ReconnectNow,
    Credentials,
    Transmit,
    Store,
    Disconnect,
}

fn step() -> impl Strategy<Value = Step> {
    let qos = prop_oneof![
        Just(QoS::AtMostOnce),
        Just(QoS::AtLeastOnce),
        Just(QoS::ExactlyOnce)
    ];
    prop_oneof![
        8 => Just(Step::Open),
        2 => Just(Step::Close),
        2 => Just(Step::Timeout),
        2 => (0..100_000_u32).prop_map(Step::Wait),
        1 => proptest::collection::vec(any::<u8>(), 0..12).prop_map(Step::Bytes),
        30 => (0..15_u8, 1..5_u16, any::<u8>(), any::<bool>())
            .prop_map(|(kind, id, code, flag)| Step::Packet(kind, id, code, flag)),
        12 => qos.prop_map(Step::Publish),
        3 => Just(Step::Subscribe),
        1 => Just(Step::Unsubscribe),
        1 => Just(Step::ReconnectNow),
        1 => Just(Step::Credentials),
        12 => Just(Step::Transmit),
        1 => Just(Step::Store),
        1 => Just(Step::Disconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_order_of_calls_panics(
        v5 in any::<bool>(),
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let options = || ClientOptions {
            receive_maximum: 3,
            queue_limit_messages: 8,
            ..if v5 { options() } else { options_3_1_1() }
        };
        let mut bench = Bench::new(options());
        let mut accepted = 0_usize;
        let mut ended = 0_usize;
        for step in steps {
            accepted += usize::from(act(&mut bench, step));
            let published = |event: &Event| matches!(event, Event::Published { .. });
            ended += bench.events().iter().filter(|event| published(event)).count();
            let (messages, _) = bench.client.queued();
            prop_assert!(messages <= 8);
            prop_assert_eq!(accepted, ended + messages, "each publication ends once");
            if let Some((at, _)) = bench.client.poll_timeout() {
                bench.client.handle_timeout(bench.now);
                let again = bench.client.poll_timeout().map(|(at, _)| at);
                prop_assert!(at > bench.now || again != Some(at), "a timer that never ends");
            }
            ended += bench.events().iter().filter(|event| published(event)).count();
        }
    }
}

/// Does the step. Returns whether the client accepted a publication.
fn act(bench: &mut Bench, step: Step) -> bool {
    let now = bench.now;
    let client = &mut bench.client;
    match step {
        Step::Open => {
            client.handle_transport_open(now);
            let connack = ConnAck::new(false, ReasonCode::Success);
            let _ = bench.try_feed(&Packet::ConnAck(connack));
        }
        Step::Close => client.handle_transport_closed(now),
        Step::Timeout => {
            if let Some((at, _)) = client.poll_timeout() {
                bench.now = bench.now.max(at);
                client.handle_timeout(bench.now);
            }
        }
        Step::Wait(millis) => bench.wait(Duration::from_millis(u64::from(millis))),
        Step::Bytes(bytes) => drop(client.handle_input(now, Bytes::from(bytes))),
        Step::Packet(kind, number, code, flag) => {
            if let Some(packet) = packet(kind, number, code, flag) {
                let mut wire = BytesMut::new();
                let version = match client.state() {
                    State::Connected { version, .. } => *version,
                    _ => ProtocolVersion::V5,
                };
                if encode(&packet, version, &mut wire).is_ok() {
                    let _ = client.handle_input(now, wire.freeze());
                }
            }
        }
        Step::Publish(qos) => return client.publish(now, message(qos, "a")).is_ok(),
        Step::Subscribe => {
            let everything =
                Subscription::new(TopicFilter::try_from("#").unwrap(), QoS::AtMostOnce);
            let _ = client.subscribe(now, vec![everything]);
        }
        Step::Unsubscribe => {
            let everything = TopicFilter::try_from("#").unwrap();
            let _ = client.unsubscribe(now, vec![everything]);
        }
        Step::ReconnectNow => client.reconnect_now(now),
        Step::Credentials => client.set_credentials(now, None, None),
        Step::Transmit => {
            let mut wire = BytesMut::new();
            while client.poll_transmit(&mut wire) {}
        }
        Step::Store => {
            let stored = client.session().to_bytes().unwrap();
            let read = SessionSnapshot::from_bytes(stored).unwrap();
            assert_eq!(read, client.session());
        }
        // After DISCONNECT, messages in flight stay in flight, so the counts still add up.
        Step::Disconnect => client.disconnect(now, ReasonCode::Success),
    }
    false
}

fn packet(kind: u8, number: u16, code: u8, flag: bool) -> Option<Packet> {
    let packet_id = id(number);
    let reason_code = ReasonCode::from_u8(code).unwrap_or(ReasonCode::Success);
    let properties = ReasonProperties::default;
    Some(match kind {
        0 => Packet::ConnAck(ConnAck::new(flag, reason_code)),
        1..=4 => {
            let mut publish = message(QoS::from_u8(code % 3)?, "b");
            publish.packet_id = (publish.qos != QoS::AtMostOnce).then_some(packet_id);
            publish.dup = flag && publish.packet_id.is_some();
            Packet::Publish(publish)
        }
        5 => Packet::PubAck(PubAck::new(packet_id, reason_code)),
        6 => Packet::PubRec(PubRec::new(packet_id, reason_code)),
        7 => pubrel(packet_id),
        8 => pubcomp(packet_id),
        9 => Packet::SubAck(SubAck {
            packet_id,
            reason_codes: vec![ReasonCode::Success; 1 + usize::from(flag)],
            properties: properties(),
        }),
        10 => Packet::UnsubAck(UnsubAck {
            packet_id,
            reason_codes: vec![ReasonCode::Success; 1 + usize::from(flag)],
            properties: properties(),
        }),
        11 => puback(packet_id),
        12 => pubrec(packet_id),
        13 => Packet::Disconnect(Disconnect::new(reason_code)),
        _ => Packet::Auth(Auth {
            reason_code: ReasonCode::ReAuthenticate,
            properties: AuthProperties::default(),
        }),
    })
}
