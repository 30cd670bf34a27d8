//! Deferrable work: many things that end at once are dealt with piece by piece, and no client can
//! tell.

use std::time::Duration;

use mqtt::{Connect, Instant, Packet, PubAck, QoS, ReasonCode, Utf8String};

use super::{V5, World, lasting, message, retained, to};
use crate::admission::WorkBudget;
use crate::{Conn, Input, Output};

/// The most connections that one period of the work budget closes.
const CLOSED: usize = WorkBudget::STEPS / WorkBudget::CLOSE + 1;
pub(super) const MESSAGES: usize = 500;

pub(super) fn named(mut connect: Connect, id: &str) -> Connect {
    connect.client_id = Utf8String::try_from(id).unwrap();
    connect
}

/// Subscribers that read nothing and whose queues are full, and a publisher. The next message is
/// one too many for all of them at once.
pub(super) fn stuck(subscribers: usize) -> (World, Vec<Conn>, Conn) {
    stuck_at(subscribers, |_| "t".to_owned())
}

/// The same, but each subscriber has a filter of its own.
fn stuck_at(subscribers: usize, filter: impl Fn(usize) -> String) -> (World, Vec<Conn>, Conn) {
    let mut world = World::with(|options| {
        options.limits.inflight_window = 1;
        options.limits.queue_messages = MESSAGES - 1;
    });
    let conns = (0..subscribers).map(|number| {
        let connect = named(Connect::new(V5, ""), &format!("stuck-{number}"));
        let (conn, _) = world.connect(&connect);
        world.subscribe(conn, &[to(&filter(number), QoS::AtLeastOnce)]);
        world.set_reads(conn, false);
        conn
    });
    let conns: Vec<_> = conns.collect();
    let publisher = world.client(V5, "p");
    for _ in 0..MESSAGES {
        world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    }
    world.received(publisher);
    // A new period begins, of which other inputs have used no steps.
    world.now = world.now + Duration::from_secs(1);
    (world, conns, publisher)
}

pub(super) fn closed(world: &World, conns: &[Conn]) -> usize {
    let closed = conns.iter().filter(|conn| world.closed(**conn).is_some());
    closed.count()
}

/// Lets just enough time pass to close all these connections, but not to free their queues.
pub(super) fn until_dismissed(world: &mut World, conns: &[Conn]) {
    while closed(world, conns) < conns.len() {
        world.sleep(WorkBudget::PERIOD);
    }
}

/// The time at which the broker wants to continue.
fn idle(world: &mut World) -> Option<Instant> {
    match world.broker.poll_output() {
        Output::Idle(at) => at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clients_that_are_too_slow_at_once_are_dismissed_a_few_at_a_time() {
    let (mut world, conns, publisher) = stuck(100);
    assert_eq!(world.broker.metrics().queued_messages, 50_000);
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    // The publisher is answered in the meantime.
    assert!(matches!(world.take(publisher), Packet::PubAck(_)));
    assert_eq!(world.broker.metrics().closed_queue_full, 100);
    let (mut gone, mut held) = (0, 50_000);
    let mut turns = 0;
    while gone < 100 || held > 0 {
        let now = closed(&world, &conns);
        assert!(now - gone <= CLOSED, "{gone} to {now}");
        let metrics = world.broker.metrics();
        // The broker still holds the memory, and counts it.
        assert_eq!(metrics.sessions, 101 - now as u64);
        assert!(metrics.memory_bytes > metrics.queued_bytes);
        let messages = usize::try_from(metrics.queued_messages).unwrap();
        assert!(held - messages <= WorkBudget::STEPS, "{held} to {messages}");
        (gone, held) = (now, messages);
        turns += 1;
        if gone == 100 && held == 0 {
            break;
        }
        // It continues even if nothing else happens, and does nothing before.
        let at = idle(&mut world).unwrap();
        assert!(at > world.now && at <= world.now + WorkBudget::PERIOD);
        world.input(Input::Timeout);
        assert_eq!(closed(&world, &conns), gone);
        world.now = at;
        world.input(Input::Timeout);
    }
    assert!(turns > 100 / CLOSED + 50_000 / WorkBudget::STEPS, "{turns}");
    for conn in conns {
        let reason = world.closed(conn).unwrap();
        assert_eq!(reason.cause.reason_code(), ReasonCode::QuotaExceeded);
    }
    let metrics = world.broker.metrics();
    assert_eq!((metrics.queued_messages, metrics.queued_bytes), (0, 0));
    assert_eq!(metrics.dropped_session_ended, 50_000);
    assert_eq!((metrics.clients, metrics.unwritten_bytes), (1, 0));
    assert!(idle(&mut world).unwrap() > world.now + Duration::from_secs(1));
}

#[test]
fn a_client_that_will_be_dismissed_is_not_read() {
    let (mut world, conns, publisher) = stuck(100);
    let witness = world.client(V5, "witness");
    world.subscribe(witness, &[to("#", QoS::AtMostOnce)]);
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    world.received(witness);
    let mut going = conns.clone();
    going.retain(|conn| world.closed(*conn).is_none());
    assert!((1..100).contains(&going.len()));
    for conn in going {
        world.publish(conn, "last words", "x", QoS::AtMostOnce);
        let id = super::packet_id(1);
        world.send(conn, &Packet::PubAck(PubAck::new(id, ReasonCode::Success)));
    }
    assert_eq!(world.payloads(witness), [""; 0]);
    world.sleep(Duration::from_secs(1));
    assert_eq!(closed(&world, &conns), 100);
    assert_eq!(world.broker.metrics().queued_messages, 0);
}

#[test]
fn a_session_whose_queue_is_still_being_freed_is_not_found_again() {
    let (mut world, conns, publisher) = stuck(20);
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    world.sleep(Duration::from_millis(2));
    assert_eq!(closed(&world, &conns), 20);
    assert!(world.broker.metrics().queued_messages > 0);
    let mut connect = named(lasting(V5, ""), "stuck-0");
    connect.clean_start = false;
    let (conn, connack) = world.connect(&connect);
    assert!(!connack.session_present);
    world.publish(publisher, "t", "x", QoS::AtLeastOnce);
    assert_eq!(world.received(conn), []);
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.broker.metrics().queued_bytes, 0);
}

#[test]
fn sessions_that_expire_at_once_do_so_a_few_at_a_time_and_are_gone_for_their_clients() {
    let mut world = World::new();
    for number in 0..1_000 {
        let mut connect = named(lasting(V5, ""), &format!("absent-{number}"));
        connect.properties.session_expiry_interval = Some(60);
        let (conn, _) = world.connect(&connect);
        world.subscribe(conn, &[to("t", QoS::AtLeastOnce)]);
        world.cut(conn);
    }
    world.now = world.now + Duration::from_mins(1);
    world.input(Input::Timeout);
    let each = WorkBudget::STEPS / (WorkBudget::SESSION + WorkBudget::SUBSCRIPTION) + 1;
    let expired = world.broker.metrics().sessions_expired;
    assert!((50..=each as u64).contains(&expired), "{expired}");
    // The client of the last session returns before that session expires.
    let (_, connack) = world.connect(&named(lasting(V5, ""), "absent-999"));
    assert!(!connack.session_present);
    assert_eq!(world.broker.metrics().sessions_expired, expired + 1);
    world.sleep(Duration::from_millis(30));
    let metrics = world.broker.metrics();
    assert_eq!((metrics.sessions_expired, metrics.sessions), (1_000, 1));
    assert_eq!((metrics.subscriptions, metrics.subscription_bytes), (0, 0));
}

#[test]
fn mqtt_3_1_2_22_clients_that_are_silent_at_once_are_closed_a_few_at_a_time() {
    let mut world = World::new();
    let conns: Vec<_> = (0..100)
        .map(|number| {
            let mut connect = named(Connect::new(V5, ""), &format!("silent-{number}"));
            connect.keep_alive = 10;
            world.connect(&connect).0
        })
        .collect();
    world.now = world.now + Duration::from_secs(15);
    world.input(Input::Timeout);
    let gone = closed(&world, &conns);
    assert!((1..=CLOSED).contains(&gone), "{gone}");
    // One client is heard in time, as if it had never been silent.
    let late = *conns
        .iter()
        .find(|it| world.closed(**it).is_none())
        .unwrap();
    let heard: Vec<_> = conns
        .iter()
        .filter(|it| world.closed(**it).is_none())
        .copied()
        .collect();
    world.send(*heard.last().unwrap(), &Packet::PingReq);
    world.sleep(Duration::from_millis(20));
    assert!(world.closed(late).is_some());
    assert_eq!(closed(&world, &conns), 99);
    assert_eq!(world.broker.metrics().keep_alive_timeouts, 99);
    world.sleep(Duration::from_secs(15));
    assert_eq!(closed(&world, &conns), 100);
}

#[test]
fn retained_messages_that_expire_at_once_go_a_few_at_a_time_and_are_sent_to_nobody() {
    let mut world = World::new();
    let publisher = world.client(V5, "p");
    for number in 0..5_000 {
        let mut packet = retained(&format!("t/{number}"), "x", QoS::AtMostOnce);
        if let Packet::Publish(publish) = &mut packet {
            publish.properties.message_expiry_interval = Some(10);
        }
        world.send(publisher, &packet);
    }
    world.now = world.now + Duration::from_secs(10);
    world.input(Input::Timeout);
    let kept = world.broker.metrics().retained_messages;
    assert!((4_000..5_000).contains(&kept), "{kept}");
    let subscriber = world.client(V5, "s");
    world.subscribe(subscriber, &[to("#", QoS::AtMostOnce)]);
    assert_eq!(world.received(subscriber), []);
    world.sleep(Duration::from_millis(50));
    let metrics = world.broker.metrics();
    assert_eq!((metrics.retained_messages, metrics.retained_bytes), (0, 0));
}

#[test]
fn urgent_work_does_not_wait_for_sessions_to_expire() {
    let mut world = World::with(|options| options.limits.publish_rate = 10);
    for number in 0..1_000 {
        let mut connect = named(lasting(V5, ""), &format!("absent-{number}"));
        connect.properties.session_expiry_interval = Some(60);
        let (conn, _) = world.connect(&connect);
        world.cut(conn);
    }
    world.now = world.now + Duration::from_mins(1);
    let fast = world.client(V5, "fast");
    for _ in 0..12 {
        let publish = message("t", "x", QoS::AtMostOnce, 1);
        world.send(fast, &Packet::Publish(publish));
    }
    assert!(world.paused.contains(&fast));
    // This comes so late that the client's pause is over while nearly all sessions still exist.
    world.now = world.now + Duration::from_millis(500);
    world.input(Input::Timeout);
    assert!(world.broker.metrics().sessions > 500);
    assert!(!world.paused.contains(&fast));
}

/// If the client got a message, that would be lost with the client's session, or would reach other
/// members late.
#[test]
fn a_client_that_will_be_dismissed_gets_nothing_of_a_group() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (mut world, conns, publisher) = stuck(100);
        let shared = to("$share/g/work", qos);
        for conn in &conns {
            let subscribe = super::subscribe(std::slice::from_ref(&shared), None);
            world.send(*conn, &subscribe);
        }
        let (witness, _) = world.connect(&named(lasting(V5, ""), "witness"));
        world.subscribe(witness, &[shared]);
        // For `QoS` 1 and 2 this member is not connected. The group still prefers it to the clients
        // that will be dismissed.
        if qos != QoS::AtMostOnce {
            world.cut(witness);
        }
        world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
        assert!(closed(&world, &conns) < 50);
        // These clients read what they were sent, and acknowledge nothing more.
        for conn in &conns {
            if world.closed(*conn).is_none() {
                world.set_reads(*conn, true);
            }
        }
        // Their queues have room.
        world.broker.options.limits.queue_messages = 2 * MESSAGES;
        world.broker.options.limits.inflight_window = u16::MAX;
        world.received(publisher);
        for number in 1..=10 {
            let publish = message("work", "x", qos, number);
            world.send(publisher, &Packet::Publish(publish));
        }
        until_dismissed(&mut world, &conns);
        if qos == QoS::AtMostOnce {
            assert_eq!(world.payloads(witness).len(), 10);
            continue;
        }
        assert_eq!(world.broker.metrics().passed_on, 0);
        let (witness, _) = world.connect(&named(lasting(V5, ""), "witness"));
        assert_eq!(world.payloads(witness).len(), 10, "{qos:?}");
    }
}

/// Each message of a member that leaves a group is offered to the other members.
#[test]
fn messages_that_members_leave_are_offered_in_pieces() {
    // Each client is in a group of its own, so no other member can take its messages.
    let (mut world, conns, publisher) = stuck_at(20, |number| format!("$share/g{number}/t"));
    world.publish(publisher, "t", "too much", QoS::AtLeastOnce);
    let each = WorkBudget::STEPS / (WorkBudget::CLOSE + MESSAGES * WorkBudget::OFFER) + 1;
    let mut gone = 0;
    while gone < conns.len() {
        let now = closed(&world, &conns);
        assert!(now - gone <= each, "{gone} to {now}");
        gone = now;
        world.sleep(WorkBudget::PERIOD);
    }
    assert_eq!(world.broker.metrics().dropped_session_ended, 10_000);
}

/// A piece of work that is larger than a period takes several periods.
#[test]
fn a_large_piece_of_work_delays_the_next_one() {
    let mut world = World::with(|options| options.limits.subscriptions_per_client = 3_000);
    for number in 0..10 {
        let mut connect = named(lasting(V5, ""), &format!("absent-{number}"));
        connect.properties.session_expiry_interval = Some(60);
        let (conn, _) = world.connect(&connect);
        let filters: Vec<_> = (0..3_000)
            .map(|filter| to(&format!("{number}/{filter}"), QoS::AtMostOnce))
            .collect();
        world.subscribe(conn, &filters);
        world.cut(conn);
    }
    world.now = world.now + Duration::from_mins(1);
    let began = world.now;
    while world.broker.metrics().sessions_expired < 10 {
        world.sleep(WorkBudget::PERIOD);
    }
    let rests = 9 * 3_000 * WorkBudget::SUBSCRIPTION / WorkBudget::STEPS;
    let least = WorkBudget::PERIOD * u32::try_from(rests).unwrap();
    let took = world.now.saturating_since(began);
    assert!((least..2 * least).contains(&took), "{took:?}");
}
