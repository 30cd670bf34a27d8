//! The memory for a flood of clients is freed when they have gone.

use mqtt::packet::Disconnect;
use mqtt::{Packet, QoS, ReasonCode};

use super::{V5, World, lasting, retained, to};
use crate::Conn;
use crate::types::shrink::MIN_CAPACITY;

/// The capacity of all tables that grow with the clients and with what they ask for.
fn places(world: &World) -> usize {
    let broker = &world.broker;
    broker.connections.capacity()
        + broker.sessions.capacity()
        + broker.subscriptions.capacity("all")
        + broker.retained.capacity()
}

/// Clients connect, each with a filter and a group of its own, a filter and a group that all
/// share, and a retained message.
fn come(world: &mut World, clients: u32) -> Vec<Conn> {
    let conns = (0..clients).map(|number| {
        let mut connect = lasting(V5, "x");
        connect.client_id = format!("device-{number}").try_into().unwrap();
        let (conn, _) = world.connect(&connect);
        let own = format!("device/{number}/command");
        let shared = format!("$share/group-{number}/work");
        let filters = [own.as_str(), "all", "$share/group/work", shared.as_str()];
        world.subscribe(conn, &filters.map(|filter| to(filter, QoS::AtLeastOnce)));
        let state = format!("device/{number}/state");
        world.send(conn, &retained(&state, "on", QoS::AtMostOnce));
        world.received(conn);
        conn
    });
    conns.collect()
}

/// Their sessions end, and their retained messages are removed. The last one goes first, which
/// takes least time.
fn go(world: &mut World, conns: &[Conn]) {
    let mut goodbye = Disconnect::new(ReasonCode::Success);
    goodbye.properties.session_expiry_interval = Some(0);
    let goodbye = Packet::Disconnect(goodbye);
    for (number, conn) in conns.iter().enumerate().rev() {
        let state = format!("device/{number}/state");
        world.send(*conn, &retained(&state, "", QoS::AtMostOnce));
        world.send(*conn, &goodbye);
    }
}

#[test]
fn tables_are_small_again_after_twenty_thousand_sessions() {
    let mut world = World::new();
    let conns = come(&mut world, 20_000);
    let flood = places(&world);
    assert!(flood > 200_000, "{flood}");
    go(&mut world, &conns);
    let metrics = world.broker.metrics();
    assert_eq!((metrics.sessions, metrics.subscriptions), (0, 0));
    assert_eq!((metrics.connections, metrics.retained_messages), (0, 0));
    let left = places(&world);
    assert!(left < 16 * MIN_CAPACITY, "{left}");
}
