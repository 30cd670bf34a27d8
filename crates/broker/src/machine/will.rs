//! Wills: messages for clients that vanished (section 3.1.2.5).

use mqtt::{Instant, QoS, Utf8String, Will};

use crate::delivery::Routed;
use crate::durability::{Record, StoreCost};
use crate::machine::Broker;
use crate::tap::Publisher;
use crate::types::{Cause, DueWill, Limit, SessionId, to_publish, will_cost};

impl Broker {
    /// Checks that there is room for a client's will. Counts a refusal. The client's earlier will
    /// still counts, because both need room for a moment.
    pub(crate) fn check_will_size(
        &mut self,
        now: Instant,
        client: &Utf8String,
        will: &Will,
    ) -> Result<(), &'static str> {
        let cost = will_cost(will);
        self.expire_while(now, |it| !it.memory.has_will_room(&it.options.limits, cost));
        let limits = &self.options.limits;
        let what = if cost > limits.will_bytes {
            "the will is too large"
        } else if !self.memory.has_will_room(limits, cost) {
            "the wills of all clients take too much memory"
        } else {
            return Ok(());
        };
        self.metrics.refused_will_limit += 1;
        self.limit_log.note(Limit::Will, Some(client));
        Err(what)
    }

    /// Schedules the will of a session that goes on without its connection: for now or after the
    /// will's delay `[MQTT-3.1.2-8]`, but no later than the session ends.
    pub(crate) fn schedule_will(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        match session.will_due_at(now) {
            None => {}
            Some(at) if at <= now => self.will_due(id),
            Some(at) => {
                session.set_will_at(id, Some(at), &mut self.timers);
            }
        }
    }

    /// Drops the will that the client has taken back with DISCONNECT `[MQTT-3.14.4-3]`. If the
    /// session outlives the connection, [`Record::Disconnected`] says so.
    ///
    /// Nothing waits for the record. DISCONNECT has no answer, and anything that the client is
    /// promised later is recorded after it.
    pub(crate) fn take_back_will(&mut self, id: SessionId) {
        let session = self.sessions.get_mut(id);
        let will = session.and_then(|session| session.take_will(&mut self.memory));
        if let Some(session) = will.and_then(|will| will.number()) {
            self.ledger.record(&Record::TransientWillEnded { session });
        }
    }

    /// Publishes the session's will, because its delay is over.
    pub(crate) fn will_due(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(id) {
            session.will_timer_fired();
            // [MQTT-3.1.2-10]
            if let Some(will) = session.take_will(&mut self.memory) {
                self.due_wills.push_back(DueWill {
                    will: will.into_will(),
                    publisher: session.client_id().clone(),
                    session: Some(id),
                    cause: session.number().map_or(Cause::OtherWill, Cause::Will),
                    grants: session.grants().clone(),
                });
            }
        }
    }

    pub(crate) fn publish_will(&mut self, now: Instant, due: DueWill) {
        if !due.grants.may_publish(&due.will.topic) {
            return self.drop_denied_will(now, due);
        }
        self.metrics.wills_published += 1;
        let mut publish = to_publish(&due.will);
        let is_stored =
            publish.retain && !publish.payload.is_empty() || publish.qos != QoS::AtMostOnce;
        let mut is_refused = false;
        // If the store has no room, the will goes to the connected clients now, with `QoS` 0: its
        // client is gone and cannot send it again later. A retained will is stored when there is
        // room again.
        if is_stored && self.may_lack_room_for(&publish) {
            let lasting = self.lasting_recipients(due.session, &publish);
            let is_needed = publish.retain || lasting > 0;
            is_refused = is_needed && self.lacks_room(StoreCost::of(&publish), lasting);
        }
        if is_refused {
            publish.qos = QoS::AtMostOnce;
            self.metrics.wills_not_stored += 1;
            self.limit_log.note(Limit::Store, Some(&due.publisher));
        }
        self.tap_message(now, Publisher::Will(&due.publisher), &publish);
        let routed = Routed::fresh(publish, due.publisher);
        self.route(now, routed, due.session, due.cause);
    }
    /// Drops a will that the present rules deny. Records that the will is gone, so that no later
    /// run publishes it.
    fn drop_denied_will(&mut self, now: Instant, due: DueWill) {
        self.metrics.dropped_rule += 1;
        self.limit_log
            .note(Limit::PublishRule, Some(&due.publisher));
        let mut routed = Routed::fresh(to_publish(&due.will), due.publisher);
        self.record_unrouted(now, &mut routed, due.cause);
    }
}
