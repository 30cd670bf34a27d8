//! What the members of groups (shared subscriptions) have to hear: one member hears each message.
//!
//! Another member may hear a `QoS` 1 message while the broker has no acknowledgement and the first
//! member's connection is gone. Only one member hears a `QoS` 2 message. That also holds over
//! crashes if the message was published with `QoS` 2 by a client that goes on after a crash.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use mqtt::{Instant, PacketId, Publish, QoS};

/// How a member may receive a message: `QoS`, the retain flag, the subscription's identifier.
pub(super) type Form = (QoS, bool, Option<u32>);

/// A message that the broker has to send to one member of a group.
// The flags say different things and occur in all combinations.
#[allow(clippy::struct_excessive_bools)]
#[derive(Clone, Debug)]
struct Shared {
    /// The whole filter, `$share/…`.
    group: String,
    publisher: String,
    topic: String,
    payload: Bytes,
    qos: QoS,
    retain: bool,
    published: Instant,
    expires: Option<Instant>,
    /// The message's publisher makes sure that it is published exactly once, and the group had
    /// members whose sessions survive a crash.
    is_exact: bool,
    /// The subscription options of everyone who has been a member since the message was published.
    forms: Vec<(String, Form)>,
    /// A member must hear it.
    is_required: bool,
    /// The group has always had members whose sessions survive a crash. Otherwise a message that
    /// one member has is lost when that member's session ends.
    is_kept: bool,
    /// The publisher has repeated the message, so nobody can tell which of the copies a member
    /// hears.
    is_repeated: bool,
    /// The broker has crashed since the message was published, and may not know what it sent to
    /// whom.
    is_shaken: bool,
    /// The last member has left the group since the message was published. A later group of the
    /// same name is another one.
    is_over: bool,
    heard: Vec<Heard>,
}

/// The part of a message's state that may be lost with the last records.
#[derive(Clone, Debug)]
struct Known {
    is_required: bool,
    is_kept: bool,
    is_over: bool,
    /// One entry for each time that it was heard: whether the member acknowledged it.
    done: Vec<bool>,
}

/// The state at some time.
#[derive(Clone, Debug, Default)]
pub(super) struct Mark(Vec<Known>);

/// A member has heard a message.
#[derive(Clone, Debug)]
struct Heard {
    client_id: String,
    packet_id: Option<PacketId>,
    qos: QoS,
    /// The broker has received the member's acknowledgement.
    is_done: bool,
}

/// Everything that groups have to hear.
#[derive(Debug, Default)]
pub(super) struct Groups {
    list: Vec<Shared>,
    /// When each client last lost its connection.
    lost: BTreeMap<String, Instant>,
}

impl Groups {
    /// Adds a message for a group of these members. `is_exact`: it is published exactly once.
    /// `is_kept`: some of the members' sessions survive a crash.
    pub(super) fn push(
        &mut self,
        now: Instant,
        group: &str,
        (publisher, publish, is_exact): (&str, &Publish, bool),
        expires: Option<Instant>,
        members: Vec<(String, Form)>,
        is_kept: bool,
    ) {
        if !is_told_apart(publish) {
            return;
        }
        let mut shared = Shared {
            group: group.to_owned(),
            publisher: publisher.to_owned(),
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
            is_exact: is_exact && is_kept && publish.qos == QoS::ExactlyOnce,
            forms: Vec::new(),
            is_required: publish.qos > QoS::AtMostOnce,
            is_kept,
            is_repeated: false,
            is_shaken: false,
            is_over: false,
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

    /// A client has joined a group, or has changed its options there.
    pub(super) fn join(&mut self, group: &str, client_id: &str, form: Form) {
        for shared in self.of(group) {
            shared.add(client_id.to_owned(), form);
        }
    }

    /// The group's last member has left.
    pub(super) fn empty(&mut self, group: &str) {
        for shared in self.of(group) {
            shared.is_required = false;
            shared.is_over = true;
        }
    }

    /// These groups have members whose sessions survive a crash.
    pub(super) fn last(&mut self, groups: &BTreeSet<String>) {
        for shared in &mut self.list {
            shared.is_kept &= groups.contains(&shared.group);
        }
    }

    /// The broker has received PUBACK.
    pub(super) fn acknowledge(&mut self, client_id: &str, packet_id: PacketId) {
        for heard in self.list.iter_mut().flat_map(|it| &mut it.heard) {
            if heard.client_id == client_id && heard.packet_id == Some(packet_id) {
                heard.is_done = true;
            }
        }
    }

    /// A client has heard `publish`: the packet identifier of `publish` stands for no other message
    /// now.
    pub(super) fn reuse(&mut self, client_id: &str, publish: &Publish) {
        for shared in &mut self.list {
            let is_again = publish.dup && shared.is(client_id, publish);
            for heard in shared.heard.iter_mut().filter(|_| !is_again) {
                if heard.client_id == client_id && heard.packet_id == publish.packet_id {
                    heard.packet_id = None;
                }
            }
        }
    }

    /// A client has lost its connection.
    pub(super) fn lose(&mut self, now: Instant, client_id: &str) {
        self.lost.insert(client_id.to_owned(), now);
    }

    /// A client's session has ended. The `QoS` 2 messages that the broker sent to it are lost
    /// `[MQTT-4.8.2-5]`.
    pub(super) fn end_session(&mut self, client_id: &str) {
        for shared in &mut self.list {
            // If the message comes again, nobody can recognise it.
            shared.is_exact &= shared.publisher != client_id;
            if shared
                .forms
                .iter()
                .any(|(id, form)| id == client_id && form.0 == QoS::ExactlyOnce)
            {
                shared.is_required &= shared.qos < QoS::ExactlyOnce;
            }
        }
    }

    /// Notes that a client has heard `publish`. `is_late`: it came over a connection that the
    /// broker has already given up. The broker may have given the message to another member since,
    /// if its `QoS` is not 2.
    ///
    /// # Errors
    /// The message is not for a member, or another member has it.
    pub(super) fn hear(
        &mut self,
        client_id: &str,
        publish: &Publish,
        is_late: bool,
    ) -> Result<(), String> {
        if !is_told_apart(publish) {
            return Ok(());
        }
        let lost = &self.lost;
        let is_once = publish.qos == QoS::ExactlyOnce;
        let heard_once: Vec<_> = self
            .list
            .iter()
            .filter(|it| is_once && it.is_exact && !it.is_over && it.is_heard_once())
            .map(|it| (it.group.clone(), it.payload.clone()))
            .collect();
        // Two members may hear a `QoS` 1 message if the first one went away before the broker knew
        // that it had it. That never happens with `QoS` 2, and the broker never repeats `QoS` 0.
        let may_hear = |it: &Shared| {
            let is_again =
                |(group, payload): &(String, Bytes)| *group == it.group && *payload == it.payload;
            let allow_repeats = |heard: &Heard| match heard.qos {
                QoS::AtMostOnce => it.is_shaken,
                QoS::AtLeastOnce => {
                    let lost = lost.get(&heard.client_id);
                    !heard.is_done && lost.is_some_and(|at| *at >= it.published)
                }
                QoS::ExactlyOnce => false,
            };
            let is_taken = !it.is_repeated && !it.heard.iter().all(allow_repeats);
            let was_taken = is_late && publish.qos < QoS::ExactlyOnce;
            let was_heard = it.is_exact && heard_once.iter().any(is_again);
            !was_heard && (was_taken || !is_taken)
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
            return Err(format!(
                "heard what no group expects: {publish:?}, known: {known:?}"
            ));
        };
        shared.heard.push(Heard {
            client_id: client_id.to_owned(),
            packet_id: publish.packet_id,
            qos: publish.qos,
            is_done: false,
        });
        Ok(())
    }

    /// The present state.
    pub(super) fn mark(&self) -> Mark {
        let known = |it: &Shared| Known {
            is_required: it.is_required,
            is_kept: it.is_kept,
            is_over: it.is_over,
            done: it.heard.iter().map(|heard| heard.is_done).collect(),
        };
        Mark(self.list.iter().map(known).collect())
    }

    /// The broker has forgotten everything since `mark`. `lasts` says whether a client has had a
    /// session that survives a crash until now.
    ///
    /// # Errors
    /// A member has heard a `QoS` 2 message that the broker will send again.
    pub(super) fn rewind(
        &mut self,
        mark: &Mark,
        lasts: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        let Mark(known) = mark;
        for (shared, known) in self.list.iter_mut().zip(known) {
            shared.is_required = known.is_required;
            shared.is_kept = known.is_kept;
            shared.is_over = known.is_over;
            let later = core::iter::repeat(&false);
            for (heard, is_done) in shared.heard.iter_mut().zip(known.done.iter().chain(later)) {
                heard.is_done = *is_done;
            }
        }
        for shared in self.list.iter_mut().skip(known.len()) {
            let is_early = |heard: &Heard| {
                heard.qos == QoS::ExactlyOnce && (shared.is_exact || lasts(&heard.client_id))
            };
            if shared.heard.iter().any(is_early) {
                return Err(format!("heard before it was durable: {shared:?}"));
            }
            // The message may be on its way.
            shared.is_required = false;
            for heard in &mut shared.heard {
                heard.is_done = false;
            }
        }
        Ok(())
    }

    /// The broker restarts. These groups have members.
    pub(super) fn crash(&mut self, groups: &BTreeSet<&str>) {
        for shared in &mut self.list {
            shared.is_shaken = true;
            shared.is_required &= shared.is_kept;
            if !groups.contains(shared.group.as_str()) {
                shared.is_required = false;
                shared.is_over = true;
            }
        }
    }

    /// The messages that some member should have heard by now and none has.
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

    /// How many messages members have heard.
    pub(super) fn heard(&self) -> usize {
        self.list.iter().filter(|it| !it.heard.is_empty()).count()
    }

    fn of(&mut self, group: &str) -> impl Iterator<Item = &mut Shared> {
        self.list.iter_mut().filter(move |it| it.group == group)
    }
}

/// Whether this message can be told from others. Wills and messages without a payload are alike. If
/// one of them may be heard twice, nobody can say which one was.
fn is_told_apart(publish: &Publish) -> bool {
    !publish.payload.is_empty() && !publish.payload.starts_with(b"will")
}

impl Shared {
    fn add(&mut self, client_id: String, (qos, as_published, identifier): Form) {
        let form = (qos.min(self.qos), as_published && self.retain, identifier);
        // With `QoS` 0 the broker may drop it.
        self.is_required &= form.0 > QoS::AtMostOnce;
        self.forms.push((client_id, form));
    }

    /// Whether a member has heard it with `QoS` 2.
    fn is_heard_once(&self) -> bool {
        let is_once = |heard: &Heard| heard.qos == QoS::ExactlyOnce;
        self.heard.iter().any(is_once)
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
