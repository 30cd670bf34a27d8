//! Checkpoints make the journal shorter. A checkpoint is a copy of the whole durable state,
//! written into the journal piece by piece while the broker works on. When it is complete and
//! durable, everything before it can go.
//!
//! A checkpoint does not show one moment. Each session and each retained message is one record with
//! its state at that time. The messages of a session are written before it, a few at a time. The
//! copy of a session or message includes all earlier changes to it. Later changes are in the
//! records that follow. So a replay from the beginning of a checkpoint passes over records about
//! sessions that it does not know yet. At the end of the checkpoint it knows everything.

use std::sync::Arc;

use bytes::BytesMut;
use mqtt::Instant;

use crate::durability::{
    Absence, CheckpointStage, InQueue, InWindow, Ledger, Recipient, Record, SessionState, Terms,
    put_retained,
};
use crate::machine::Broker;
use crate::routing::Lookups;
use crate::session::{Inflight, Outgoing, Stage};
use crate::types::{Holder, MessageId, NodeId, Queued, SessionId};

impl Broker {
    /// Writes the next piece of a checkpoint into the journal: about `budget` bytes. It writes at
    /// least one session, queued message or retained message, and no more than there is time for in
    /// one turn. The first call begins a checkpoint. Returns whether there is more to write. If
    /// not, [`Output::Checkpointed`](crate::Output::Checkpointed) follows when the checkpoint is
    /// durable, and the next call begins another one.
    ///
    /// Does nothing if the broker writes no journal.
    pub fn checkpoint(&mut self, now: Instant, budget: usize) -> bool {
        if !self.ledger.is_kept() || self.ledger.is_stuck() || self.is_shut_down() {
            return false;
        }
        if self.ledger.checkpoint().stage() == CheckpointStage::Nothing {
            self.ledger.checkpoint_mut().clear_bytes();
        }
        let before = self.ledger.backlog();
        let has_more = self.copy_piece(now, before.saturating_add(budget));
        let written = self.ledger.backlog() - before;
        self.ledger.checkpoint_mut().add_bytes(written);
        has_more
    }

    /// Copies until `enough` bytes of records wait to be taken.
    fn copy_piece(&mut self, now: Instant, enough: usize) -> bool {
        let mut looks = Self::VISITS;
        loop {
            looks = looks.saturating_sub(1);
            let stage = match self.ledger.checkpoint().stage() {
                CheckpointStage::Nothing => {
                    let from = self.ledger.record(&Record::CheckpointBegan);
                    self.ledger.record(&Record::Numbers {
                        sessions: self.ledger.sessions(),
                        groups: self.subscriptions.groups().last(),
                    });
                    CheckpointStage::Sessions {
                        from,
                        next: SessionId::FIRST,
                        messages: 0,
                    }
                }
                CheckpointStage::Sessions {
                    from,
                    next,
                    messages,
                } if self.sessions.has_place(next) => {
                    let messages = self.copy_messages(now, next, messages, enough, &mut looks);
                    if messages.is_none() {
                        self.copy_session(now, next);
                    }
                    CheckpointStage::Sessions {
                        from,
                        next: if messages.is_some() {
                            next
                        } else {
                            next.next()
                        },
                        messages: messages.unwrap_or(0),
                    }
                }
                CheckpointStage::Sessions { from, .. } => CheckpointStage::Retained {
                    from,
                    next: NodeId::ROOT,
                },
                CheckpointStage::Retained { from, next } => {
                    if self.retained.has_place(next) {
                        self.copy_retained(next);
                        let next = next.following();
                        CheckpointStage::Retained { from, next }
                    } else {
                        let end = self.ledger.record(&Record::CheckpointEnded { from });
                        if self.ledger.is_stuck() {
                            return false;
                        }
                        self.ledger.checkpoint_mut().end(from, end);
                        return false;
                    }
                }
            };
            self.ledger.checkpoint_mut().set_stage(stage);
            // An incomplete checkpoint is useless, so the old records must stay.
            if self.ledger.is_stuck() {
                return false;
            }
            if self.ledger.backlog() >= enough || looks == 0 {
                return true;
            }
        }
    }

    /// Writes the messages of a session before the session itself, unless a record that will stay
    /// already holds them. The record of a session cannot be divided. So it only names its
    /// messages, and stays small.
    ///
    /// The first `seen` messages are done already. Stops when there are `enough` bytes or no
    /// `looks` left, and returns how many messages are done then. Returns `None` when all are. A
    /// message that arrives or moves before the session is written is written together with the
    /// session.
    fn copy_messages(
        &mut self,
        now: Instant,
        id: SessionId,
        seen: usize,
        enough: usize,
        looks: &mut usize,
    ) -> Option<usize> {
        let session = self.sessions.get(id)?;
        let outgoing = session.outgoing()?;
        let is_lasting = session.number().is_some();
        for (at, queued) in outgoing.all().enumerate().skip(seen) {
            if at > seen && (self.ledger.backlog() >= enough || *looks == 0) {
                return Some(at);
            }
            *looks = looks.saturating_sub(1);
            let is_named = is_lasting || queued.is_held;
            let is_sure = queued.delivery.qos != mqtt::QoS::AtMostOnce;
            if is_named && is_sure && !queued.message.is_expired(now) {
                self.ledger.store_message(&queued.message, true);
            }
        }
        None
    }

    pub(crate) fn copy_session(&mut self, now: Instant, id: SessionId) {
        let Some(session) = self.sessions.get(id) else {
            return;
        };
        let Some(number) = session.number() else {
            if let Some(outgoing) = session.outgoing() {
                copy_held(&mut self.ledger, outgoing);
            }
            return self.copy_transient_will(id);
        };
        let (ledger, subscriptions) = (&mut self.ledger, &self.subscriptions);
        let direct = session.subscriptions().iter();
        let direct = direct.filter_map(|node| subscriptions.direct(*node, id));
        let shared = session.memberships().iter();
        let shared = shared.filter_map(|it| subscriptions.shared(*it));
        let outgoing = session.outgoing();
        let window = outgoing.into_iter().flat_map(Outgoing::window);
        let window = window.map(|it| in_window(ledger, it)).collect();
        let queue = outgoing.into_iter().flat_map(Outgoing::queue);
        let queue = queue
            .filter(|it| it.delivery.qos != mqtt::QoS::AtMostOnce && !it.message.is_expired(now));
        let queue = queue.map(|it| in_queue(ledger, it)).collect();
        let lookups = session.lookups().into_iter();
        let state = SessionState {
            session: number,
            client_id: session.client_id().clone(),
            terms: Terms {
                expiry_interval: session.expiry_interval(),
                will: session.will().cloned().map(Box::new),
            },
            absence: session.slot().is_none().then_some(Absence {
                expires_at: session.expires_at(),
                will_at: session.will_at(),
            }),
            last_packet_id: session.last_packet_id(),
            incoming: session.incoming().to_vec(),
            subscriptions: direct.chain(shared).collect(),
            window,
            queue,
            lookups: lookups.flat_map(Lookups::recorded).collect(),
        };
        self.ledger.record(&Record::Session(Box::new(state)));
        if let Some(session) = self.sessions.get_mut(id) {
            session.set_will_unrecorded(false);
        }
    }

    /// Copies the will of a session that ends with its connection, if it has one.
    fn copy_transient_will(&mut self, id: SessionId) {
        let Some(session) = self.sessions.get_mut(id) else {
            return;
        };
        if let Some(transient_will) = session.transient_will(|| self.ledger.number_session()) {
            self.ledger
                .record(&Record::TransientWill(Box::new(transient_will)));
            session.set_will_unrecorded(false);
        }
    }

    /// Copies the retained message at this place, if there is one.
    pub(crate) fn copy_retained(&mut self, node: NodeId) {
        let Some(message) = self.retained.at(node) else {
            return;
        };
        let message = Arc::clone(message);
        let oldest = self.ledger.checkpoint().oldest();
        match message.id() {
            Some(id) if message.stored().is_some_and(|it| it >= oldest) => {
                self.ledger.record(&Record::Retained { message: id });
            }
            known => {
                let id = known.or(MessageId::of(self.ledger.next()));
                if let Some(id) = id {
                    let write = |out: &mut BytesMut| {
                        let (publisher, received) = (&message.publisher, message.received());
                        put_retained(out, id, publisher, received, &message.publish);
                    };
                    let lsn = self.ledger.write(write);
                    message.set_stored(id, lsn);
                    message.count(self.ledger.message_bytes());
                }
            }
        }
    }
}

/// Copies messages of shared subscriptions that are in this session's queue. The session ends with
/// its connection, so the journal holds these messages for their groups instead.
fn copy_held(ledger: &mut Ledger, outgoing: &Outgoing) {
    for queued in outgoing.held() {
        let message = ledger.store_message(&queued.message, true);
        ledger.record(&Record::Queued {
            message,
            from: None,
            recipient: Recipient {
                holder: Holder::Group,
                delivery: queued.delivery.clone(),
                origin: queued.origin,
                packet_id: None,
            },
        });
    }
}

fn in_window(ledger: &mut Ledger, inflight: &Inflight) -> InWindow {
    InWindow {
        packet_id: inflight.packet_id(),
        message: match inflight.stage() {
            Stage::Unacknowledged(queued) | Stage::Unreceived(queued) => {
                Some(in_queue(ledger, queued))
            }
            Stage::Released => None,
        },
    }
}

fn in_queue(ledger: &mut Ledger, queued: &Queued) -> InQueue {
    InQueue {
        message: ledger.store_message(&queued.message, true),
        delivery: queued.delivery.clone(),
        origin: queued.origin,
    }
}
