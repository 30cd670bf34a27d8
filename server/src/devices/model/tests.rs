//! The model in simulated time: no thread, no socket, no clock.

use std::collections::BTreeMap;

use api::fleet::{Change, PresenceState};
use broker::Conn;
use broker::tap::{Departure, Publisher, TapEvent};
use fleet::{PresenceKind, Search, Sort};
use mqtt::{Instant, QoS};

use super::super::question::{Detail, Hidden, Query};
use super::*;

mod saving;

type Stored = BTreeMap<Vec<u8>, Vec<u8>>;

struct World {
    model: Model,
    ms: u64,
}

impl World {
    fn new() -> Self {
        Self::with(FleetOptions::default())
    }

    fn with(options: FleetOptions) -> Self {
        let model = Model::new(options, Grants::default());
        let ms = 1_790_000_000_000;
        Self { model, ms }
    }

    fn at(&self) -> Instant {
        Instant::from_millis(self.ms)
    }

    fn publish(&mut self, conn: u64, topic: &str, payload: &str) {
        self.model.handle(TapEvent::Message {
            at: self.at(),
            publisher: Publisher::Connection(Conn(conn)),
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            payload: payload.as_bytes(),
            correlation_data: None,
        });
    }

    /// Messages that are to be kept: topic, payload, client.
    fn kept(&mut self) -> Vec<(String, String, Option<String>)> {
        let batch = self.model.take_messages();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let messages = batch.iter().flat_map(messages::Batch::iter);
        messages
            .map(|it| {
                assert_eq!(it.time, stamp(self.at()).0);
                let client = it.client.map(str::to_owned);
                (it.topic.to_owned(), text(it.payload), client)
            })
            .collect()
    }

    fn retained(&mut self, topic: &str, payload: &str) {
        self.model.handle(TapEvent::Retained {
            at: self.at(),
            publisher: "somebody",
            qos: QoS::AtLeastOnce,
            topic,
            payload: payload.as_bytes(),
            correlation_data: None,
        });
    }

    fn connect(&mut self, conn: u64, client_id: &str, is_news: bool) {
        self.model.handle(TapEvent::Connected {
            at: self.at(),
            conn: Conn(conn),
            client_id,
            is_news,
        });
    }

    fn leave(&mut self, conn: u64, client_id: &str, how: Departure) {
        self.model.handle(TapEvent::Left {
            at: self.at(),
            conn: Conn(conn),
            client_id,
            how,
        });
    }

    /// A device that publishes by itself, and is tied to its client.
    fn tie(&mut self, conn: u64, id: &str) {
        self.connect(conn, id, true);
        for value in 0..4 {
            self.publish(conn, &format!("{id}/temperature"), &value.to_string());
            self.ms += 1000;
        }
        self.model.take_changes();
    }

    fn changes(&mut self) -> Vec<Change> {
        let told = self.model.take_changes();
        told.into_iter().map(|told| told.change).collect()
    }

    /// What is told of presences: id, state and reason.
    fn presences(&mut self) -> Vec<(String, PresenceState, String)> {
        let changes = self.changes().into_iter();
        let presences = changes.filter_map(|change| match change {
            Change::Presence { id, presence, .. } => {
                Some((id, presence.state, presence.reason.unwrap_or_default()))
            }
            Change::Device { .. }
            | Change::Fault { .. }
            | Change::Command { .. }
            | Change::Gone { .. }
            | Change::Resync => None,
        });
        presences.collect()
    }

    /// What a table has after a round of saving, and how much was written.
    fn save(&mut self, table: &mut Stored) -> usize {
        self.model.begin_saving();
        let mut written = 0;
        loop {
            let entries = self.model.save_some(2);
            if entries.is_empty() {
                return written;
            }
            written += entries.len();
            for (key, value) in entries {
                match value {
                    Some(value) => table.insert(key, value),
                    None => table.remove(&key),
                };
            }
        }
    }

    /// The next run of the server, some seconds later.
    fn restarted(&self, table: &Stored) -> Self {
        let mut next = Self::new();
        next.ms = self.ms + 5000;
        let now = stamp(next.at());
        // A table gives its values in any order.
        for (key, value) in table.iter().rev() {
            next.model.restore(now, key, value);
        }
        next.model.restored(now);
        assert_eq!(next.changes(), []);
        next
    }

    fn described(&self, id: &str) -> wire::Device {
        let json = self.model.one(id).unwrap();
        serde_json::from_slice(&json).unwrap()
    }

    fn list(&self, query: &Query) -> (Vec<String>, Listed) {
        let listed = self.model.list(Timestamp(0), "x-0".to_owned(), query);
        let fleet = self.model.fleet();
        let ids = listed
            .keys
            .iter()
            .map(|key| fleet.device(*key).unwrap().full_id());
        (ids.collect(), listed.clone())
    }
}

#[test]
fn a_new_device_is_told_once_and_its_values_are_not() {
    let mut world = World::new();
    world.connect(1, "c", true);
    world.publish(1, "beaconry/register/pump-1", "SIGN_IN");
    world.publish(1, "beaconry/data/pump-1", r#"{"flow":1}"#);
    let [Change::Device { device }] = &world.changes()[..] else {
        panic!("one change");
    };
    assert_eq!(
        (device.id.as_str(), device.prefix_len),
        ("beaconry/pump-1", 9)
    );
    assert_eq!(device.metrics.len(), 1);
    assert_eq!(device.presence.state, PresenceState::Online);
    world.ms += 1000;
    world.publish(1, "beaconry/data/pump-1", r#"{"flow":2}"#);
    assert_eq!(world.changes(), []);
    assert_eq!(world.model.counted().messages, 3);
}

#[test]
fn a_tied_device_leaves_with_the_brokers_reason() {
    for (how, reason) in [
        (Departure::KeepAliveTimeout, "keep-alive"),
        (Departure::ConnectionLost, "connection-lost"),
        (Departure::Disconnected, "disconnected"),
        (Departure::Dismissed, "put-out"),
    ] {
        let mut world = World::new();
        world.tie(1, "probe");
        world.leave(1, "probe", how);
        let left = (
            "probe".to_owned(),
            PresenceState::Offline,
            reason.to_owned(),
        );
        assert_eq!(world.presences(), [left], "{how:?}");
        assert_eq!(world.model.counts().offline, 1);
    }
}

#[test]
fn what_is_no_leaving_changes_nothing() {
    for how in [Departure::TakenOver, Departure::ServerShutDown] {
        let mut world = World::new();
        world.tie(1, "probe");
        world.leave(1, "probe", how);
        if how == Departure::TakenOver {
            world.connect(2, "probe", true);
        }
        assert_eq!(world.presences(), [], "{how:?}");
        assert_eq!(world.model.counts().online, 1);
    }
}

#[test]
fn who_is_missing_in_a_resync_has_left() {
    let mut world = World::new();
    world.tie(1, "gone");
    world.tie(2, "there");
    world.tie(3, "back");
    world.model.handle(TapEvent::ResyncBegins);
    world.connect(2, "there", false);
    // It has another connection now.
    world.connect(4, "back", false);
    assert_eq!(world.presences(), []);
    world.model.handle(TapEvent::ResyncEnds);
    let left = (
        "gone".to_owned(),
        PresenceState::Offline,
        "connection-lost".to_owned(),
    );
    assert_eq!(world.presences(), [left]);
}

#[test]
fn a_thousand_devices_that_leave_are_told_together() {
    let mut world = World::new();
    world.connect(1, "gateway", true);
    for round in 0..4 {
        for n in 0..1000 {
            world.publish(1, &format!("home/{n}/temperature"), &round.to_string());
        }
        world.ms += 1000;
    }
    world.model.take_changes();
    world.leave(1, "gateway", Departure::ConnectionLost);
    let told = world.presences();
    assert_eq!(told.len(), 1000);
    assert!(
        told.iter().all(|(_, _, reason)| reason == "unreachable"),
        "{:?}",
        told[0]
    );
}

#[test]
fn silence_is_judged_when_time_passes() {
    let mut world = World::new();
    world.connect(1, "relay", true);
    for n in 0..5 {
        world.publish(1, "probe/temperature", &n.to_string());
        world.ms += 1000;
    }
    world.model.take_changes();
    let last = world.ms - 1000;
    // An earlier deadline comes first: each message has moved it, and the timer looks anew.
    while let Some(due) = world.model.poll_timeout() {
        world.model.handle_timeout(due);
    }
    let [Change::Presence { id, presence, .. }] = &world.changes()[..] else {
        panic!("one change");
    };
    assert_eq!(presence.state, PresenceState::Stale);
    let silent = presence.since.0 - i64::try_from(last).unwrap();
    assert_eq!(silent, 30_000);
    assert_eq!(id, "probe");
}

#[test]
fn a_forgotten_device_is_told_and_stays_forgotten() {
    let mut world = World::new();
    world.publish(1, "beaconry/register/pump-1", "SIGN_IN");
    world.model.take_changes();
    assert!(!world.model.forget("beaconry/pump-2"));
    assert!(world.model.forget("beaconry/pump-1"));
    let gone = Change::Gone {
        id: "beaconry/pump-1".to_owned(),
    };
    assert_eq!(world.changes(), [gone]);
    world.retained("beaconry/register/pump-1", "SIGN_IN");
    assert_eq!(world.changes(), []);
    assert_eq!(world.model.one("beaconry/pump-1"), None);
}

#[test]
fn a_hidden_device_does_not_count() {
    let mut world = World::new();
    world.publish(1, "beaconry/register/pump-1", "SIGN_IN");
    world.publish(1, "beaconry/register/pump-2", "SIGN_IN");
    world.model.take_changes();
    let json = world.model.hide("beaconry/pump-1", true).unwrap();
    let device: wire::Device = serde_json::from_slice(&json).unwrap();
    assert!(device.hidden);
    assert_eq!(world.model.counts().online, 1);
    assert!(matches!(&world.changes()[..], [Change::Device { device }] if device.hidden));
    for (hidden, expected) in [
        (Hidden::LeftOut, &["beaconry/pump-2"][..]),
        (Hidden::Alone, &["beaconry/pump-1"]),
        (Hidden::Included, &["beaconry/pump-1", "beaconry/pump-2"]),
    ] {
        let query = Query {
            hidden,
            ..Query::default()
        };
        assert_eq!(world.list(&query).0, expected);
    }
    assert_eq!(world.model.hide("nobody", true), None);
}

#[test]
fn lists_are_filtered_sorted_and_paged() {
    let mut world = World::new();
    for n in 0..25 {
        let said = if n % 5 == 0 { "SIGN_OUT" } else { "SIGN_IN" };
        world.publish(1, &format!("beaconry/register/pump-{n}"), said);
        world.ms += 10;
    }
    let offline = Query {
        state: Some(PresenceKind::Offline),
        ..Query::default()
    };
    let (ids, listed) = world.list(&offline);
    assert_eq!(ids.len(), 5);
    assert_eq!(
        (ids[1].as_str(), listed.answer.total),
        ("beaconry/pump-5", 5)
    );
    assert_eq!(
        (listed.answer.counts.online, listed.answer.next),
        (20, None)
    );
    let found = Query {
        search: Search::new("PUMP-1"),
        ..Query::default()
    };
    assert_eq!(world.list(&found).0.len(), 11);
    for sort in Sort::ALL {
        let all = Query {
            sort,
            ..Query::default()
        };
        let (expected, _) = world.list(&all);
        let mut query = Query {
            limit: Some(7),
            ..all
        };
        let mut paged = Vec::new();
        loop {
            let (ids, listed) = world.list(&query);
            assert_eq!(listed.answer.total, 25);
            paged.extend(ids);
            let Some(next) = listed.answer.next else {
                break;
            };
            query.after = Some(Place::parse(sort, &next).unwrap());
        }
        assert_eq!(paged, expected, "{sort:?}");
    }
}

/// The device at which a page ended may be gone when the next page is asked for.
#[test]
fn a_page_continues_behind_a_device_that_is_gone() {
    let mut world = World::new();
    for id in ["a", "b", "c", "d"] {
        world.publish(1, &format!("beaconry/register/{id}"), "SIGN_IN");
    }
    let mut query = Query {
        limit: Some(2),
        ..Query::default()
    };
    let (_, listed) = world.list(&query);
    query.after = Place::parse(Sort::Name, &listed.answer.next.unwrap());
    assert!(world.model.forget("beaconry/b"));
    assert_eq!(world.list(&query).0, ["beaconry/c", "beaconry/d"]);
}

#[test]
fn devices_that_are_named_come_with_their_history() {
    let mut world = World::new();
    world.publish(1, "beaconry/register/a", "SIGN_IN");
    world.ms += 1000;
    world.publish(1, "beaconry/register/a", "SIGN_OUT");
    world.publish(1, "beaconry/cmd/req/a", r#"{"uuid":"u","command":"PING"}"#);
    let query = Query {
        ids: vec!["a".to_owned(), "beaconry/a".to_owned(), "nobody".to_owned()],
        ..Query::default()
    };
    let (ids, listed) = world.list(&query);
    assert_eq!(ids, ["beaconry/a"]);
    let describe = |detail| {
        let json = world.model.describe(&listed.keys, detail);
        let device: wire::Device = serde_json::from_slice(&json).unwrap();
        (device.history.len(), device.commands.len())
    };
    assert_eq!(query.detail(), Detail::Whole);
    assert_eq!(describe(Detail::Whole), (2, 1));
    assert_eq!(describe(Detail::Now), (0, 0));
}

#[test]
fn devices_that_are_gone_leave_no_commas() {
    let mut world = World::new();
    for id in ["a", "b", "c"] {
        world.publish(1, &format!("beaconry/register/{id}"), "SIGN_IN");
    }
    let (_, listed) = world.list(&Query::default());
    for id in ["a", "c"] {
        assert!(world.model.forget(&format!("beaconry/{id}")));
    }
    let json = world.model.describe(&listed.keys, Detail::Now);
    let device: wire::Device = serde_json::from_slice(&json).unwrap();
    assert_eq!(device.id, "beaconry/b");
}

/// What was retained before is no news, and what nobody may receive is nobody's to read later.
#[test]
fn messages_are_kept_but_for_what_is_hidden_or_left_out() {
    let mut world = World::new();
    let filter = |text: &str| mqtt::TopicFilter::try_from(text).unwrap();
    let hidden = broker::DenyRules::new(Vec::new(), vec![filter("secret/#")]);
    world.model.grants = Grants::new(hidden);
    world.publish(1, "a", "too early");
    assert_eq!(world.kept(), []);
    world.model.keep_messages(messages::Batch::new(100));
    world.model.record(Chosen {
        include: Vec::new(),
        exclude: vec![filter("noise/+")],
    });
    world.connect(1, "pump", true);
    world.retained("plant/state", "on");
    for topic in ["plant/flow", "secret/door", "noise/1", "noise/1/2"] {
        world.publish(1, topic, "7");
    }
    world.publish(2, "plant/flow", "8");
    let kept = |topic: &str, payload: &str, client: Option<&str>| {
        let client = client.map(str::to_owned);
        (topic.to_owned(), payload.to_owned(), client)
    };
    let expected = [
        kept("plant/flow", "7", Some("pump")),
        kept("noise/1/2", "7", Some("pump")),
        kept("plant/flow", "8", None),
    ];
    assert_eq!(world.kept(), expected);
    assert_eq!(world.kept(), []);
}
