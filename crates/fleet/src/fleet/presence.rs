//! How messages change a device's presence.

use super::ties::may_be_sleep;
use super::{CLEAR, Fleet, Message};
use crate::conventions::Said;
use crate::device::DeviceKey;
use crate::event::Dirty;
use crate::options::ObserverState;
use crate::presence::{OfflineReason, Presence, PresenceKind, PresenceSpan, UnknownReason};
use crate::time::{Timestamp, millis};
use crate::{ADOPT, COMMANDS, TIES};

impl Fleet {
    /// We, the observer, have become connected and subscribed, or disconnected.
    ///
    /// While we are disconnected, every device's presence is unknown, and silence means nothing.
    /// Afterwards each device is what its retained message or its own next message says. If nothing
    /// is heard of a device, it is offline again if it was so before; if it used to send, it becomes
    /// stale after its usual time.
    pub fn handle_observer(&mut self, now: Timestamp, state: ObserverState) {
        let now = self.advance(now);
        if self.timers.state() == state {
            return;
        }
        match state {
            ObserverState::Connected => {
                self.timers.watch_from(now);
                let extended = now.plus(self.options.command_timeout);
                for place in self.devices.places() {
                    let Some(key) = self.devices.key_at(place) else {
                        continue;
                    };
                    if COMMANDS {
                        self.devices[key].extend_commands(extended);
                    }
                    self.reschedule(key);
                }
            }
            ObserverState::Disconnected => {
                self.timers.stop();
                for place in self.devices.places() {
                    let Some(key) = self.devices.key_at(place) else {
                        continue;
                    };
                    let device = &mut self.devices[key];
                    device.scheduled = None;
                    device.intervals.interrupt();
                    device.rhythm.interrupt();
                    if device.presence.presence.kind() != PresenceKind::Unknown {
                        let before = device.presence;
                        let unknown = Presence::Unknown {
                            since: now,
                            reason: UnknownReason::Away,
                        };
                        self.turn(key, unknown, true);
                        self.devices[key].before_outage = Some(before);
                    }
                }
            }
        }
    }

    /// The device itself sent a message: just now, unless the message is retained.
    pub(super) fn alive(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        message: &Message<'_>,
        values: bool,
    ) {
        if message.retained || message.is_will {
            return;
        }
        let follows = self.follows();
        let device = &mut self.devices[key];
        device.last_seen = Some(now);
        device.heard = device.heard.saturating_add(1);
        if values {
            device.sends_values = true;
        }
        if follows {
            return;
        }
        if values && device.intervals.note(now) {
            device.update_staleness(&self.options);
        }
        if device.presence.presence.kind() == PresenceKind::Online {
            self.reschedule(key);
        } else if self.timers.state() == ObserverState::Connected {
            let exact = device.presence.presence.kind() != PresenceKind::Unknown;
            self.come(now, key, exact);
        }
    }

    /// The device, its will or its broker reported its presence.
    pub(super) fn said(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        said: Said,
        message: &Message<'_>,
    ) {
        let retained = message.retained;
        if CLEAR {
            self.devices[key].presence_topic = self.topic_hash;
        }
        let device = &mut self.devices[key];
        device.registered = true;
        // That a device is gone, its will says in the same words. Only who knows the publisher can tell.
        let may_be_will = match said {
            Said::Offline(_) => message.is_will || message.publisher.is_none(),
            Said::Online | Said::Sleeping => message.is_will,
        };
        if !retained && !may_be_will {
            device.last_seen = Some(now);
            device.heard = device.heard.saturating_add(1);
        }
        if self.timers.state() == ObserverState::Disconnected || self.follows() {
            return;
        }
        if TIES && message.is_will && self.knows_better_than_will(key, message.publisher) {
            // The broker has told when and why it left, and whether it may be asleep. Or it has another
            // connection already.
            return;
        }
        if TIES && self.knows_better_than_retained(key) {
            return;
        }
        let device = &mut self.devices[key];
        match said {
            Said::Online => self.come(now, key, !retained),
            Said::Offline(reason) => self.leave(now, key, reason, retained),
            Said::Sleeping => {
                device.intervals.interrupt();
                let asleep = Presence::Sleeping {
                    since: now,
                    wakes_about: None,
                };
                self.turn(key, asleep, !retained);
                self.reschedule(key);
            }
        }
    }

    pub(super) fn come(&mut self, now: Timestamp, key: DeviceKey, exact: bool) {
        let device = &mut self.devices[key];
        match device.presence.presence {
            Presence::Offline { .. } | Presence::Sleeping { .. } => device.rhythm.wakes(now),
            // A sign-in that we saw begins a cycle. A first message may come anywhere in a cycle.
            Presence::Unknown { .. } if exact => device.rhythm.wakes(now),
            Presence::Unknown { .. } | Presence::Online { .. } | Presence::Stale { .. } => {}
        }
        self.turn(key, Presence::Online { since: now }, exact);
        self.reschedule(key);
    }

    pub(super) fn leave(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        reason: OfflineReason,
        retained: bool,
    ) {
        let max_cycle = millis(self.options.max_cycle);
        let device = &mut self.devices[key];
        device.intervals.interrupt();
        let known = match device.presence.presence {
            // The device has said so already: it, its will and its broker all say it.
            Presence::Sleeping {
                wakes_about: Some(_),
                ..
            } => may_be_sleep(reason),
            // The broker knows better than what was retained.
            Presence::Offline { reason: known, .. } => {
                TIES && known.is_of_broker() && !reason.is_of_broker()
            }
            Presence::Sleeping { .. }
            | Presence::Online { .. }
            | Presence::Stale { .. }
            | Presence::Unknown { .. } => false,
        };
        if known {
            return;
        }
        let wakes_about = match (may_be_sleep(reason), retained) {
            // We did not see when it fell asleep, but it must wake within one cycle from now.
            (true, true) => {
                let cycle = device.rhythm.period().filter(|cycle| *cycle <= max_cycle);
                cycle.map(|cycle| now.plus_ms(cycle))
            }
            (true, false) => device.rhythm.sleeps(now, max_cycle),
            (false, _) => None,
        };
        let left = match wakes_about {
            Some(_) => Presence::Sleeping {
                since: now,
                wakes_about,
            },
            None => Presence::Offline { since: now, reason },
        };
        self.turn(key, left, !retained);
        self.reschedule(key);
    }

    /// The device's presence is `to` from now on.
    pub(super) fn turn(&mut self, key: DeviceKey, to: Presence, exact: bool) {
        let device = &mut self.devices[key];
        let from = device.presence;
        let (old, new) = (from.presence.kind(), to.kind());
        let span = PresenceSpan {
            presence: to,
            exact,
        };
        if old == new {
            // The presence is the same, perhaps for another reason, so its beginning stays.
            let presence = lasting(to, from.presence.since());
            if presence != from.presence {
                device.presence.presence = presence;
                self.mark(key, Dirty::PRESENCE);
            }
            return;
        }
        // If the presence is the same as before our own outage, nothing contradicts that it lasted
        // through the outage.
        device.presence = match device.before_outage.take() {
            Some(before) if before.presence.kind() == new => PresenceSpan {
                presence: lasting(to, before.presence.since()),
                exact: before.exact,
            },
            Some(_) | None => span,
        };
        self.note_span(key, span);
        self.recount(key, old, new);
        self.mark(key, Dirty::PRESENCE);
    }

    /// A hidden device does not count.
    pub(super) fn recount(&mut self, key: DeviceKey, old: PresenceKind, new: PresenceKind) {
        if ADOPT && self.devices[key].hidden {
            return;
        }
        self.counts.remove(old);
        self.counts.add(new);
    }

    /// Adds a presence to the device's history.
    pub(super) fn note_span(&mut self, key: DeviceKey, span: PresenceSpan) {
        let device = &mut self.devices[key];
        let before = device.history.len();
        device.history.push(span);
        while device.history.len() > self.options.max_presence_history.max(1) {
            device.history.forget_oldest();
        }
        if device.history.len() > before
            && !self
                .budget
                .charge_to(&mut device.account, size_of::<PresenceSpan>())
        {
            device.history.forget_oldest();
        }
        for _ in device.history.len()..before {
            let cost = size_of::<PresenceSpan>();
            self.budget.refund_from(&mut device.account, cost);
        }
    }
}

/// The same presence, since an earlier moment.
const fn lasting(presence: Presence, since: Timestamp) -> Presence {
    match presence {
        Presence::Online { .. } => Presence::Online { since },
        Presence::Offline { reason, .. } => Presence::Offline { since, reason },
        Presence::Sleeping { wakes_about, .. } => Presence::Sleeping { since, wakes_about },
        Presence::Stale { last_seen, .. } => Presence::Stale { since, last_seen },
        Presence::Unknown { reason, .. } => Presence::Unknown { since, reason },
    }
}
