//! What the members of groups (shared subscriptions) have to hear: one of them each message.

use bytes::Bytes;
use mqtt::{Instant, PacketId, Publish, QoS};

/// How a member may get a message: `QoS`, the retain flag, the subscription's identifier.
pub(super) type Form = (QoS, bool, Option<u32>);

/// A message that one member of a group has to be sent.
#[derive(Clone, Debug)]
struct Shared {
    /// The whole filter, `$share/…`.
    group: String,
    topic: String,
    payload: Bytes,
    qos: QoS,
    retain: bool,
    published: Instant,
    expires: Option<Instant>,
    /// What each has subscribed with who was a member since.
    forms: Vec<(String, Form)>,
    /// Whether somebody must hear it.
    is_required: bool,
    /// Whether its publisher has repeated it, so that nobody can tell which one is heard.
    is_repeated: bool,
    heard: Vec<Heard>,
}

/// That a member has heard a message.
#[derive(Clone, Debug)]
struct Heard {
    client_id: String,
    packet_id: Option<PacketId>,
    qos: QoS,
}

/// All that groups have to hear.
#[derive(Debug, Default)]
pub(super) struct Groups {
    list: Vec<Shared>,
    /// When each client last lost its connection.
    lost: std::collections::BTreeMap<String, Instant>,
}

impl Groups {
    /// A message for a group of these members.
    pub(super) fn push(
        &mut self,
        now: Instant,
        group: &str,
        publish: &Publish,
        expires: Option<Instant>,
        members: Vec<(String, Form)>,
    ) {
        if !is_told_apart(publish) {
            return;
        }
        let mut shared = Shared {
            group: group.to_owned(),
            topic: publish
                .topic
                .as_ref()
                .map_or("", |it| it.as_str())
                .to_owned(),
            payload: publish.payload.clone(),
            qos: publish.qos,
            retain: publish.retain,
            published: now,
            expires,
            forms: Vec::new(),
            is_required: publish.qos > QoS::AtMostOnce,
            is_repeated: false,
            heard: Vec::new(),
        };
        for (client_id, form) in members {
            shared.add(client_id, form);
        }
        let mut is_repeated = false;
        for other in self.list.iter_mut().filter(|it| it.is_alike(&shared)) {
            other.is_repeated = true;
            is_repeated = true;
        }
        shared.is_repeated = is_repeated;
        self.list.push(shared);
    }

    /// A client has joined a group, or has other options there from now on.
    pub(super) fn join(&mut self, group: &str, client_id: &str, form: Form) {
        for shared in self.of(group) {
            shared.add(client_id.to_owned(), form);
        }
    }

    /// The group's last member has left.
    pub(super) fn empty(&mut self, group: &str) {
        for shared in self.of(group) {
            shared.is_required = false;
        }
    }

    /// A client has lost its connection.
    pub(super) fn lose(&mut self, now: Instant, client_id: &str) {
        self.lost.insert(client_id.to_owned(), now);
    }

    /// A client's session has ended: what it was sent with `QoS` 2 is lost
    /// `[MQTT-4.8.2-5]`.
    pub(super) fn end_session(&mut self, client_id: &str) {
        for shared in &mut self.list {
            if shared
                .forms
                .iter()
                .any(|(id, form)| id == client_id && form.0 == QoS::ExactlyOnce)
            {
                shared.is_required &= shared.qos < QoS::ExactlyOnce;
            }
        }
    }

    /// A client has heard `publish`.
    ///
    /// # Errors
    /// It is no member's message, or another has it.
    pub(super) fn hear(&mut self, client_id: &str, publish: &Publish) -> Result<(), String> {
        if !is_told_apart(publish) {
            return Ok(());
        }
        let lost = &self.lost;
        // `QoS` 1 may be heard twice where the first to hear it went away before that was
        // known. `QoS` 2 never is, and `QoS` 0 is nothing to be sent again.
        let may_hear = |it: &Shared| {
            it.is_repeated
                || it.heard.iter().all(|heard| {
                    let lost = lost.get(&heard.client_id);
                    heard.qos == QoS::AtLeastOnce && lost.is_some_and(|at| *at >= it.published)
                })
        };
        let same = |heard: &Heard| {
            heard.client_id == client_id
                && heard.packet_id.is_some()
                && heard.packet_id == publish.packet_id
        };
        let alike = self.list.iter_mut().filter(|it| it.is(client_id, publish));
        let mut alike: Vec<_> = alike.collect();
        if publish.dup && alike.iter().any(|it| it.heard.iter().any(same)) {
            return Ok(());
        }
        alike.sort_by_key(|it| it.heard.len());
        let Some(shared) = alike.into_iter().find(|it| may_hear(it)) else {
            let known = self.list.iter().filter(|it| it.payload == publish.payload);
            let known: Vec<_> = known.collect();
            return Err(format!("heard what no group expects: {known:?}"));
        };
        shared.heard.push(Heard {
            client_id: client_id.to_owned(),
            packet_id: publish.packet_id,
            qos: publish.qos,
        });
        Ok(())
    }

    /// What somebody should have heard by now and nobody did.
    pub(super) fn missing(&self, now: Instant) -> Vec<String> {
        let is_heard = |it: &Shared| {
            let mut alike = self.list.iter().filter(|other| other.is_alike(it));
            alike.any(|other| !other.heard.is_empty())
        };
        let is_missing =
            |it: &&Shared| it.is_required && it.expires.is_none_or(|at| at > now) && !is_heard(it);
        let missing = self.list.iter().filter(is_missing);
        missing.map(|it| format!("{it:?}")).collect()
    }

    /// How many were heard.
    pub(super) fn heard(&self) -> usize {
        self.list.iter().filter(|it| !it.heard.is_empty()).count()
    }

    fn of(&mut self, group: &str) -> impl Iterator<Item = &mut Shared> {
        self.list.iter_mut().filter(move |it| it.group == group)
    }
}

/// Whether one can tell which message this is: wills and messages without a payload are alike,
/// and where one of them may be heard twice nobody can say which one was.
fn is_told_apart(publish: &Publish) -> bool {
    !publish.payload.is_empty() && !publish.payload.starts_with(b"will")
}

impl Shared {
    fn add(&mut self, client_id: String, (qos, as_published, identifier): Form) {
        let form = (qos.min(self.qos), as_published && self.retain, identifier);
        // With `QoS` 0 it may be dropped.
        self.is_required &= form.0 > QoS::AtMostOnce;
        self.forms.push((client_id, form));
    }

    fn is_alike(&self, other: &Self) -> bool {
        self.group == other.group && self.topic == other.topic && self.payload == other.payload
    }

    fn is(&self, client_id: &str, publish: &Publish) -> bool {
        let identifiers = &publish.properties.subscription_identifiers;
        let identifier = identifiers.first().map(|it| it.get());
        let form = (publish.qos, publish.retain, identifier);
        identifiers.len() < 2
            && publish
                .topic
                .as_ref()
                .is_some_and(|it| it.as_str() == self.topic)
            && publish.payload == self.payload
            && self
                .forms
                .iter()
                .any(|(id, it)| id == client_id && *it == form)
    }
}
