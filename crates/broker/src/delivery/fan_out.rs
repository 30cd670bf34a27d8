//! Delivers a message to every session that is subscribed to its topic.
//!
//! **Invariant.** A live message reaches a session only through [`Egress::deliver_in_turn`] or
//! [`Egress::deliver_latest`]. So it never overtakes a retained message that must go first.

use mqtt::{Instant, QoS};

use crate::delivery::{Egress, Outcome, Routed};
use crate::types::{Conn, Delivery, Identifiers, Interval, Origin, SessionId, Subscriber};

impl Egress<'_> {
    /// Delivers a message to every session in `found`, where the matching subscriptions of one
    /// session are adjacent. Calls `write` with each connection that the shell must be told of.
    ///
    /// A session with several matching subscriptions gets the message once `[MQTT-3.3.4-2]`: see
    /// [`combined`].
    // This loop runs over hundreds of subscribers. Anything that is the same for all is computed
    // before it.
    pub(crate) fn fan_out(
        &mut self,
        now: Instant,
        routed: &mut Routed,
        publisher: Option<SessionId>,
        found: &[Subscriber],
        mut write: impl FnMut(Conn),
    ) {
        let publish = routed.publish();
        let (qos, retain) = (publish.qos, publish.retain);
        for matching in found.chunk_by(|a, b| a.session == b.session) {
            let Some((delivery, latest)) = combined(qos, retain, publisher, matching) else {
                continue;
            };
            let session = matching[0].session;
            if !self.check_receive_rule(matching, routed.topic()) {
                continue;
            }
            let outcome = match latest {
                Some(interval) => self.deliver_latest(now, session, routed, delivery, interval),
                None => self.deliver_every(now, session, routed, delivery),
            };
            if let Outcome::Written(Some(conn)) = outcome {
                write(conn);
            }
        }
    }

    /// Delivers a message to a session that gets every message to its topic.
    #[inline]
    fn deliver_every(
        &mut self,
        now: Instant,
        session: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
    ) -> Outcome {
        let outcome = self.deliver_in_turn(now, session, routed, delivery, Origin::Live);
        // The session may have asked for the newest value of the topic before it asked for every
        // message. Usually nobody has asked for newest values.
        if self.means.memory.latest_bytes() > 0 && outcome.is_taken() {
            self.supersede(session, routed.topic());
        }
        outcome
    }

    /// Delivers a message to a session, after the retained messages that must go first.
    #[inline]
    pub(crate) fn deliver_in_turn(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> Outcome {
        if self.waits_for_retained(id, routed, delivery.qos) {
            self.enqueue(now, id, routed, delivery, origin)
        } else {
            self.deliver(now, id, routed, delivery, origin)
        }
    }

    /// Checks that a session may receive a message to `topic`, given its matching subscriptions.
    /// Counts the message as dropped if not.
    pub(crate) fn check_receive_rule(&mut self, matching: &[Subscriber], topic: &str) -> bool {
        // An unrestricted filter matches only topics that the client may receive.
        if !matching.iter().all(Subscriber::is_restricted) {
            return true;
        }
        let session = matching
            .first()
            .and_then(|it| self.sessions.get(it.session));
        let may = session.is_none_or(|session| session.grants().may_receive(topic));
        self.means.metrics.dropped_rule += u64::from(!may);
        may
    }

    /// Whether a message that was just published must wait for a retained look-up of the session.
    /// It waits if the look-up may yet find a message of the same topic, which must not come after
    /// it `[MQTT-4.6.0-6]`. If the new message replaces that retained message, it need not wait,
    /// because the look-up no longer finds the old one.
    fn waits_for_retained(&mut self, id: SessionId, routed: &Routed, qos: QoS) -> bool {
        let Some(session) = self.sessions.get_mut(id) else {
            return false;
        };
        if session.lookups().is_none() {
            return false;
        }
        if qos == QoS::AtMostOnce && session.slot().is_none() {
            return false;
        }
        let topic = routed.topic();
        // Check this first: usually no message is retained for the topic, and then the look-ups
        // do not matter.
        let Some(number) = self.retained.number(topic) else {
            return false;
        };
        session
            .lookups_mut()
            .is_some_and(|lookups| lookups.put_first_if_matching(topic, number))
    }
}

/// How a session gets a message that was published with `qos` and `retain`, given all its
/// matching subscriptions. It gets the message once, at the highest of their `QoS` levels and
/// with all their identifiers `[MQTT-3.3.4-4]`. The retain flag stays as published if any of
/// them asks for that `[MQTT-3.3.1-12]` `[MQTT-3.3.1-13]`. A subscription with No Local does not
/// count for its own client's messages `[MQTT-3.8.3-3]`.
///
/// If all of them ask for newest values only, also returns the shortest of their intervals.
#[inline]
fn combined(
    qos: QoS,
    retain: bool,
    publisher: Option<SessionId>,
    matching: &[Subscriber],
) -> Option<(Delivery, Option<Interval>)> {
    let wants = |it: &&Subscriber| !(it.no_local && publisher == Some(it.session));
    let granted = matching.iter().filter(wants).map(|it| it.qos).max()?;
    let as_published = || {
        let mut wanting = matching.iter().filter(wants);
        wanting.any(|it| it.retain_as_published)
    };
    let (identifiers, latest) = match matching {
        [only] => (only.identifier.into(), only.latest),
        several => {
            let wanting = || several.iter().filter(wants);
            let identifiers = Identifiers::collect(wanting().filter_map(|it| it.identifier));
            let all_latest = wanting().all(|it| it.latest.is_some());
            let shortest = wanting().filter_map(|it| it.latest).min();
            (identifiers, shortest.filter(|_| all_latest))
        }
    };
    let delivery = Delivery {
        qos: qos.min(granted),
        retain: retain && as_published(),
        identifiers,
    };
    Some((delivery, latest))
}
