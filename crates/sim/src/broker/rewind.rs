//! What happens to the model when the broker crashes.

use std::collections::BTreeMap;

use ::broker::Conn;
use mqtt::{Instant, QoS};

use super::expected::{Expected, Mark};
use super::groups;
use super::model::{Kept, Model, Phase, Session};

/// The part of the model that survives a crash of the broker.
#[derive(Debug)]
pub struct Snapshot {
    sessions: BTreeMap<String, Session>,
    retained: BTreeMap<String, Kept>,
    expectations: BTreeMap<String, Mark>,
    groups: groups::Mark,
    published: usize,
}

impl Model {
    /// Its present state.
    pub fn snapshot(&self) -> Snapshot {
        let expectations = self.expectations.iter();
        Snapshot {
            sessions: self.sessions.clone(),
            retained: self.retained.clone(),
            expectations: expectations
                .map(|(client_id, it)| (client_id.clone(), it.mark()))
                .collect(),
            groups: self.groups.mark(),
            published: self.published.len(),
        }
    }

    /// How many published messages may be in records.
    pub fn recorded(&self) -> usize {
        self.published.len()
    }

    /// The published messages after the first `recorded` ones are in no record.
    pub fn pass(&mut self, recorded: usize) {
        self.passed.extend(self.published.drain(recorded..));
    }

    /// The client of `conn` has received CONNACK.
    pub fn welcome(&mut self, conn: Conn) {
        if let Some(connection) = self.connections.get_mut(&conn)
            && let Phase::Connected(link) = &mut connection.phase
        {
            link.is_told = true;
        }
    }

    /// Goes back to the state before the last steps: the broker has forgotten them.
    ///
    /// # Errors
    /// A client has heard something of those steps that it should not have heard.
    pub fn rewind(&mut self, before: Snapshot) -> Result<(), String> {
        self.check_welcomes(&before)?;
        let expiry = |sessions: &BTreeMap<String, Session>, client_id: &str| {
            sessions.get(client_id).map_or(0, |session| session.expiry)
        };
        let lasts = |client_id: &str| {
            expiry(&self.sessions, client_id) > 0 && expiry(&before.sessions, client_id) > 0
        };
        for (client_id, expectations) in &mut self.expectations {
            let lasts = lasts(client_id);
            let none = Mark::default();
            let mark = before.expectations.get(client_id).unwrap_or(&none);
            let rewound = expectations.rewind(mark, lasts);
            rewound.map_err(|error| format!("{client_id}: {error}"))?;
        }
        self.groups.rewind(&before.groups, lasts)?;
        self.sessions = before.sessions;
        self.retained = before.retained;
        self.published.truncate(before.published);
        Ok(())
    }

    /// A client that has heard that it is connected still has its session or its will after the
    /// crash.
    fn check_welcomes(&self, before: &Snapshot) -> Result<(), String> {
        for (conn, connection) in &self.connections {
            let Phase::Connected(link) = &connection.phase else {
                continue;
            };
            let client_id = &link.client_id;
            let has = |it: &Session| it.expiry > 0 || it.will.is_some();
            let is_promised = link.is_told && self.sessions.get(client_id).is_some_and(has);
            let is_there = |it: &Session| it.conn == Some(*conn);
            if is_promised && !before.sessions.get(client_id).is_some_and(is_there) {
                return Err(format!("{client_id} was let in before that was durable"));
            }
        }
        Ok(())
    }

    /// The broker restarts. All connections are gone, with everything that ends with them except
    /// wills.
    pub fn crash(&mut self, now: Instant) {
        self.connections.clear();
        self.wills_published = 0;
        let mut wills = Vec::new();
        self.sessions.retain(|client_id, session| {
            if session.conn.is_some() {
                self.groups.lose(now, client_id);
            }
            let lasts = session.expiry > 0;
            if !lasts {
                self.groups.end_session(client_id);
                if let Some(expectations) = self.expectations.get_mut(client_id) {
                    expectations.end_session();
                }
                let will = session.will.take();
                wills.extend(will.map(|will| (client_id.clone(), will)));
            }
            lasts
        });
        let sessions = self.sessions.values();
        let filters = sessions.flat_map(|session| session.subscriptions.keys());
        self.groups.crash(&filters.map(String::as_str).collect());
        for session in self.sessions.values_mut() {
            if session.conn.take().is_some() {
                session.leave(now);
            }
        }
        self.expect_again(now);
        // These happen at the same time, so their order does not matter.
        let order = self.order;
        for (client_id, will) in wills {
            self.order = order;
            self.publish_will(now, &client_id, &will);
        }
        let due = self.sessions.iter();
        let due = due.filter(|(_, it)| it.will_at.is_some_and(|at| at <= now));
        let due: Vec<String> = due.map(|(client_id, _)| client_id.clone()).collect();
        for client_id in due {
            self.order = order;
            self.speak(now, &client_id);
        }
        self.advance(now);
    }

    /// Expects the messages that the broker may send a second time because it has forgotten that it
    /// sent them.
    fn expect_again(&mut self, now: Instant) {
        for (client_id, session) in &self.sessions {
            let expectations = self.expectations.entry(client_id.clone()).or_default();
            expectations.allow_repeats();
            for (filter, granted, identifier) in &session.asked {
                for (topic, kept) in &self.retained {
                    let is_over = kept.expires.is_some_and(|at| at <= now);
                    let is_begun = *granted > QoS::AtMostOnce;
                    if is_over || !is_begun || !mqtt::topic_matches(filter, topic) {
                        continue;
                    }
                    let identifiers = identifier.iter().copied().collect();
                    let form = (kept.publish.qos.min(*granted), true);
                    expectations.push_optional(
                        Expected::new(None, &kept.publish, form, identifiers, kept.expires)
                            .asked_by(filter),
                    );
                }
            }
        }
    }
}
