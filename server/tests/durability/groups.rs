//! Acknowledgements wait for the disk, but they share the wait.

use mqtt::{Connect, Packet, ProtocolVersion, QoS};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use testbed::metric;

use super::client::{Client, publish};
use super::full::leave_subscribed;
use super::server::{Folder, serve};

const PUBLISHERS: u64 = 1_000;
/// How many groups the test allows. The server gathers a group for a millisecond, and takes some to
/// read everything; more on a busy machine.
const MOST_GROUPS: u64 = 100;

#[test]
fn a_thousand_publishers_share_the_flushes_of_the_disk() {
    raise_open_files();
    let folder = Folder::new();
    let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), &[]);
    let (mqtt, http) = server.ready();
    leave_subscribed(mqtt);
    let mut publishers: Vec<_> = (0..PUBLISHERS)
        .map(|number| {
            let name = format!("publisher {number}");
            let connect = Connect::with_client_id(ProtocolVersion::V5, &name).unwrap();
            Client::connect_as(mqtt, connect).unwrap().0
        })
        .collect();
    let counted = || {
        (
            metric(http, "store_records_total"),
            metric(http, "store_groups_total"),
        )
    };
    let (records, groups) = counted();

    // However long writing them takes, the server sees all of them at once.
    server.signal(Signal::STOP);
    for client in &mut publishers {
        let message = publish("stored/x", "reading", QoS::AtLeastOnce, 1);
        client.put(&Packet::Publish(message));
        client.flush().unwrap();
    }
    server.signal(Signal::CONT);
    for client in &mut publishers {
        match client.receive().unwrap() {
            Packet::PubAck(ack) => assert!(!ack.reason_code.is_error(), "{ack:?}"),
            other => panic!("{other:?}"),
        }
    }
    let (records, groups) = (counted().0 - records, counted().1 - groups);
    println!("{records} records in {groups} groups");
    assert!(records >= PUBLISHERS, "{records}");
    assert!((1..=MOST_GROUPS).contains(&groups), "{groups} groups");
    server.end();
}

/// Raises the limit to the most that the system allows: the soft limit is 1,024 in many places.
fn raise_open_files() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let current = maximum;
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
    assert!(
        maximum.is_none_or(|files| files > PUBLISHERS + 500),
        "no more than {maximum:?} open files are allowed"
    );
}
