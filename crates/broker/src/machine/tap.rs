//! Tells the tap what happens, and during a resync what is there: see [`crate::tap`].
//!
//! **Invariant.** One turn of a resync looks at a bounded number of places. What a place holds when
//! its turn comes is told; each later change is told when it happens. So at the end the reader knows
//! what is there, whichever changes came meanwhile.

use mqtt::{Instant, Publish};

use crate::admission::WorkBudget;
use crate::delivery::Phase;
use crate::machine::Broker;
use crate::session::Session;
use crate::tap::{Departure, Publisher, Stage, Tap, TapEvent, retained_gone};
use crate::types::{Conn, Limit, NodeId, Slot, topic};

impl Broker {
    /// Gives everything that waits for the reader of the tap, as one batch for
    /// [`tap::read`](crate::tap::read). It replaces what `out` held, and the memory of `out` is used
    /// again, so pass the buffer of a batch that was read. Without a tap, `out` is only cleared.
    ///
    /// Call this after [`Output::Tapped`](crate::Output::Tapped), and poll the outputs afterwards:
    /// now there is room for more.
    pub fn take_tap(&mut self, out: &mut Vec<u8>) {
        match &mut self.tap {
            Some(tap) => tap.take(out),
            None => out.clear(),
        }
    }

    /// Whether somebody reads the tap: [`BrokerOptions::tap`](crate::BrokerOptions::tap).
    pub fn is_tapped(&self) -> bool {
        self.tap.is_some()
    }

    /// Tells the tap of a message that was accepted or published.
    #[inline]
    pub(crate) fn tap_message(&mut self, at: Instant, publisher: Publisher<'_>, publish: &Publish) {
        if let Some(tap) = &mut self.tap
            && !tap.message(at, publisher, publish)
        {
            self.limit_log.note(Limit::Tap, None);
        }
    }

    /// Tells the tap of a client that has connected.
    pub(crate) fn tap_connected(&mut self, at: Instant, conn: Conn, client_id: &str) {
        if let Some(tap) = &mut self.tap {
            tap.change(&TapEvent::Connected {
                at,
                conn,
                client_id,
                is_news: true,
            });
        }
    }

    /// Tells the tap of a client that has left.
    pub(crate) fn tap_left(&mut self, at: Instant, conn: Conn, client_id: &str, how: Departure) {
        if let Some(tap) = &mut self.tap {
            tap.change(&TapEvent::Left {
                at,
                conn,
                client_id,
                how,
            });
        }
    }

    /// Removes the retained message at `node`, because its timer was due.
    pub(crate) fn retained_expired(&mut self, at: Instant, node: NodeId) {
        let expired = self.retained.expire(node);
        self.retained.count(&mut self.memory);
        if let Some(message) = expired {
            retained_gone(&mut self.tap, at, message.topic());
        }
    }

    /// Whether a resync can go on now.
    pub(crate) fn may_resync(&self) -> bool {
        !self.is_shut_down() && self.tap.as_ref().is_some_and(Tap::may_resync)
    }

    /// Goes on with a resync, if one is under way and the reader has room. This is deferrable.
    pub(crate) fn resync(&mut self, now: Instant) {
        while self.may_resync() && !self.work.is_spent() {
            self.work.spend(1);
            self.resync_one(now);
        }
    }

    /// Tells what stands at one place.
    fn resync_one(&mut self, now: Instant) {
        let Some(tap) = &mut self.tap else { return };
        let told = match tap.stage() {
            Stage::Clients { next } if self.connections.has_place(next) => {
                tap.set_stage(Stage::Clients { next: next.next() });
                self.tell_client(now, next)
            }
            Stage::Clients { .. } => {
                let next = NodeId::ROOT;
                tap.set_stage(Stage::Retained { next });
                None
            }
            Stage::Retained { next } if self.retained.has_place(next) => {
                let following = next.following();
                tap.set_stage(Stage::Retained { next: following });
                self.tell_retained(now, next)
            }
            Stage::Retained { .. } => {
                tap.end_resync();
                None
            }
            Stage::Live | Stage::Behind => None,
        };
        if let Some(bytes) = told {
            let steps = WorkBudget::TELL + bytes / WorkBudget::BYTES;
            self.work.spend(steps);
        }
    }

    /// Tells of the client in this slot, if one is connected. Returns how many bytes that took.
    fn tell_client(&mut self, now: Instant, slot: Slot) -> Option<usize> {
        let (tap, connection) = (self.tap.as_mut()?, self.connections.get(slot)?);
        let Phase::Connected(agreement) = connection.phase() else {
            return None;
        };
        let client_id = self
            .sessions
            .get(agreement.session())
            .map(Session::client_id)?;
        Some(tap.tell(&TapEvent::Connected {
            at: now,
            conn: connection.conn(),
            client_id,
            is_news: false,
        }))
    }

    /// Tells of the retained message at this place, if there is one. Returns how many bytes that
    /// took.
    fn tell_retained(&mut self, now: Instant, node: NodeId) -> Option<usize> {
        let (tap, message) = (self.tap.as_mut()?, self.retained.at(node)?);
        if message.is_expired(now) {
            return None;
        }
        let publish = &message.publish;
        Some(tap.tell(&TapEvent::Retained {
            at: message.received(),
            publisher: &message.publisher,
            qos: publish.qos,
            topic: topic(publish),
            payload: &publish.payload,
            correlation_data: publish.properties.correlation_data.as_deref(),
        }))
    }
}
