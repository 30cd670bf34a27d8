//! From a message to every session that is subscribed to its topic.
//!
//! **Invariant.** A live message reaches a session only through
//! [`Egress::deliver_in_turn`]: no retained message that has to go first is overtaken.

use mqtt::{Instant, QoS};

use crate::delivery::{Egress, Outcome, Routed};
use crate::types::{Conn, Delivery, Identifiers, Limit, Origin, SessionId, Subscriber};

impl Egress<'_> {
    /// Hands a message to every session of `found`, which lists the matching subscriptions of one
    /// session next to each other. Calls `write` with each connection that the shell has to be
    /// told of.
    ///
    /// A session with several matching subscriptions gets the message once `[MQTT-3.3.4-2]`: see
    /// [`combined`].
    // One loop over hundreds of subscribers: what is the same for all is looked up before it.
    pub(crate) fn fan_out(
        &mut self,
        now: Instant,
        routed: &mut Routed,
        publisher: Option<SessionId>,
        found: &[Subscriber],
        mut write: impl FnMut(Conn),
    ) {
        let publish = routed.publish();
        let (qos, retain, payload) = (publish.qos, publish.retain, publish.payload.len());
        let (mut refused, mut refused_last) = (0, None);
        for matching in found.chunk_by(|a, b| a.session == b.session) {
            let Some(delivery) = combined(qos, retain, publisher, matching) else {
                continue;
            };
            let session = matching[0].session;
            if !self.may_be_sent(matching, routed.topic()) {
                continue;
            }
            if delivery.qos == QoS::AtMostOnce && self.means.stalled.refuses(session, payload) {
                refused += 1;
                refused_last = Some(session);
                continue;
            }
            let outcome = self.deliver_in_turn(now, session, routed, delivery, Origin::Live);
            if let Outcome::Written(Some(conn)) = outcome {
                write(conn);
            }
        }
        if let Some(session) = refused_last.and_then(|session| self.sessions.get(session)) {
            self.means.metrics.dropped_slow += refused;
            let client = Some(session.client_id());
            self.means
                .limit_log
                .note_times(Limit::SlowReader, client, refused);
        }
    }

    /// Hands a message to a session, behind the retained messages that have to go before it.
    #[inline]
    pub(crate) fn deliver_in_turn(
        &mut self,
        now: Instant,
        id: SessionId,
        routed: &mut Routed,
        delivery: Delivery,
        origin: Origin,
    ) -> Outcome {
        let must_wait =
            origin != Origin::Retained && self.waits_for_retained(id, routed, delivery.qos);
        if must_wait {
            self.enqueue(now, id, routed, delivery, origin)
        } else {
            self.deliver(now, id, routed, delivery, origin)
        }
    }

    /// Whether a message to `topic` may go to a session for one of these subscriptions, which all
    /// match it. Counts it if not.
    pub(crate) fn may_be_sent(&mut self, matching: &[Subscriber], topic: &str) -> bool {
        // A filter that is not restricted matches nothing that the client may not be sent.
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

    /// Whether a message that was just published has to wait until the session has the retained
    /// messages that it asked for. It waits if one of the same topic is among them: that one must
    /// not come after it `[MQTT-4.6.0-6]`. A message that replaces the retained one need not wait:
    /// the old one is not sent then.
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
        // Usually no message is retained for the topic, and then the number of look-ups does not
        // matter.
        let Some(number) = self.retained.number(topic) else {
            return false;
        };
        session
            .lookups_mut()
            .is_some_and(|lookups| lookups.must_go_before(topic, number))
    }
}

/// How a session gets a message that was published with `qos` and `retain`, given all of
/// its subscriptions that match: once, at the highest of their `QoS` levels, with all of
/// their identifiers `[MQTT-3.3.4-4]`, and with the retain flag as published if any of them
/// asks for that `[MQTT-3.3.1-12]` `[MQTT-3.3.1-13]`. A subscription with No Local does not count
/// for its own client's messages `[MQTT-3.8.3-3]`.
#[inline]
fn combined(
    qos: QoS,
    retain: bool,
    publisher: Option<SessionId>,
    matching: &[Subscriber],
) -> Option<Delivery> {
    let wants = |it: &&Subscriber| !(it.no_local && publisher == Some(it.session));
    let granted = matching.iter().filter(wants).map(|it| it.qos).max()?;
    let as_published = || {
        let mut wanting = matching.iter().filter(wants);
        wanting.any(|it| it.retain_as_published)
    };
    let identifiers = match matching {
        [only] => only.identifier.into(),
        several => {
            Identifiers::collect(several.iter().filter(wants).filter_map(|it| it.identifier))
        }
    };
    Some(Delivery {
        qos: qos.min(granted),
        retain: retain && as_published(),
        identifiers,
    })
}
