//! What the model knows of shared subscriptions: the members of each group, and which groups
//! survive a crash.

use std::collections::{BTreeMap, BTreeSet};

use mqtt::{Instant, Publish, QoS};

use super::model::Model;

impl Model {
    /// One member of each group with a matching filter has to hear `publish`.
    pub(super) fn share(
        &mut self,
        now: Instant,
        publisher: &str,
        publish: &Publish,
        expires: Option<Instant>,
    ) {
        let session = self.sessions.get(publisher);
        let is_exact = session.is_some_and(|session| session.expiry > 0);
        let topic = publish.topic.as_ref().map_or("", |it| it.as_str());
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        let lasting = self.lasting();
        for (client_id, session) in &self.sessions {
            for (filter, (subscription, identifier)) in &session.subscriptions {
                let shared = subscription.topic_filter.shared();
                if shared.is_some_and(|(_, proper)| mqtt::topic_matches(proper, topic)) {
                    let form = (
                        subscription.qos,
                        subscription.retain_as_published,
                        *identifier,
                    );
                    let members = groups.entry(filter.as_str()).or_default();
                    members.push((client_id.clone(), form));
                }
            }
        }
        for (group, members) in groups {
            let (publish, is_kept) = ((publisher, publish, is_exact), lasting.contains(group));
            self.groups
                .push(now, group, publish, expires, members, is_kept);
        }
    }

    /// The filters of groups that have members whose sessions survive a crash, and no member with
    /// `QoS` 0.
    fn lasting(&self) -> BTreeSet<String> {
        let sessions = self.sessions.values().filter(|session| session.expiry > 0);
        let subscriptions = sessions.flat_map(|session| &session.subscriptions);
        let lasting = subscriptions.filter(|(_, (it, _))| it.qos > QoS::AtMostOnce);
        lasting.map(|(filter, _)| filter.clone()).collect()
    }

    /// Subscriptions or session expiry intervals have changed.
    pub(super) fn tell_lasting(&mut self) {
        let lasting = self.lasting();
        self.groups.last(&lasting);
    }

    /// A client's subscription to `filter` has ended.
    pub(super) fn leave(&mut self, filter: &str) {
        let mut sessions = self.sessions.values();
        if !sessions.any(|it| it.subscriptions.contains_key(filter)) {
            self.groups.empty(filter);
        }
    }
}
