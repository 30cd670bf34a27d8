//! Silence: which device is due when, and how to judge silence when we ourselves were away.

use super::{Fleet, Queue};
use crate::command::CommandState;
use crate::device::DeviceKey;
use crate::event::Dirty;
use crate::options::ObserverState;
use crate::presence::{OfflineReason, Presence};
use crate::time::Timestamp;
use crate::{ADOPT, COMMANDS};
use core::cmp::Reverse;

/// A call this late is on time.
const PUNCTUAL_MS: i64 = 2000;
/// After a later call, messages may still wait to be handed over. They get this long.
const SETTLE_MS: i64 = 5000;
/// After a call this late, the observer must have slept, and silence before it proves nothing.
/// Longer than a minute, because browsers run the timers of a hidden page once a minute.
const SLEPT_MS: i64 = 90_000;

/// When each device is due to be judged.
///
/// A device has at most one valid entry (its `scheduled`). When its deadline moves to later, the entry
/// stays and is checked when it is due, so that a message costs no heap operation.
#[derive(Debug)]
pub(super) struct Timers {
    heap: Queue,
    state: ObserverState,
    /// Silence means something only from this time on.
    watching_since: Timestamp,
    /// Until this time no device is judged.
    hold_until: Option<Timestamp>,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            heap: Queue::new(),
            state: ObserverState::Connected,
            watching_since: Timestamp(i64::MIN),
            hold_until: None,
        }
    }
}

impl Timers {
    pub(super) const fn state(&self) -> ObserverState {
        self.state
    }

    pub(super) fn watch_from(&mut self, now: Timestamp) {
        self.state = ObserverState::Connected;
        self.watching_since = now;
    }

    pub(super) fn stop(&mut self) {
        self.state = ObserverState::Disconnected;
        self.heap.clear();
        self.hold_until = None;
    }

    fn first(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| Timestamp(*at))
    }
}

impl Fleet {
    /// When [`Fleet::handle_timeout`] wants to be called, if nothing else happens. Nothing while
    /// the observer is disconnected. It may be called earlier or later.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let first = self.timers.first()?;
        Some(self.timers.hold_until.map_or(first, |hold| hold.max(first)))
    }

    /// Time has passed: judges silence and gives up commands.
    ///
    /// It may be called late. Up to 2 s count as punctual. After a later call, messages may still
    /// wait to be handed over, so nothing is judged for another 5 s. After a call that is more than
    /// 90 s late (a laptop woke), the silence was ours: every device gets its whole time again.
    /// A verdict is dated to when it was due, not to when it was noticed.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let now = self.advance(now);
        if self.timers.state == ObserverState::Disconnected {
            return;
        }
        let Some(due) = self.poll_timeout().filter(|due| *due <= now) else {
            return;
        };
        let late = now.ms_since(due);
        let held = self.timers.hold_until.take().is_some();
        if late > SLEPT_MS {
            self.watch_anew(now);
        } else if late > PUNCTUAL_MS && !held {
            self.timers.hold_until = Some(now.plus_ms(SETTLE_MS));
            return;
        }
        while let Some(Reverse((at, key))) = self.timers.heap.peek().copied()
            && at <= now.0
        {
            self.timers.heap.pop();
            let Some(device) = self.devices.get_mut(key) else {
                continue;
            };
            if device.scheduled == Some(Timestamp(at)) {
                device.scheduled = None;
                self.judge(now, key);
                self.reschedule(key);
            }
        }
    }

    /// Makes sure that the device is judged when it is due.
    pub(super) fn reschedule(&mut self, key: DeviceKey) {
        if self.timers.state == ObserverState::Disconnected {
            return;
        }
        let Some(device) = self.devices.get_mut(key) else {
            return;
        };
        let follows = ADOPT && self.options.follows;
        let presence = device.presence_deadline(self.timers.watching_since);
        let due = match (presence.filter(|_| !follows), device.command_deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let Some(due) = due else {
            return;
        };
        // What is due already is due now: an entry in the past would look like a timer that came late.
        let due = due.max(self.now);
        if device.scheduled.is_none_or(|scheduled| due < scheduled) {
            device.scheduled = Some(due);
            self.timers.heap.push(Reverse((due.0, key)));
            self.sweep_timers();
        }
    }

    /// Drops entries that no longer count, and those of forgotten devices, if they are too many.
    pub(super) fn sweep_timers(&mut self) {
        if self.timers.heap.len() <= self.devices.len() * 2 + 64 {
            return;
        }
        let devices = &self.devices;
        self.timers.heap.retain(|Reverse((at, key))| {
            let device = devices.get(*key);
            device.is_some_and(|device| device.scheduled == Some(Timestamp(*at)))
        });
    }

    /// From now on only silence after `now` counts.
    pub(super) fn watch_anew(&mut self, now: Timestamp) {
        self.timers.watching_since = now;
        let extended = now.plus(self.options.command_timeout);
        for place in self.devices.places() {
            let Some(key) = self.devices.key_at(place) else {
                continue;
            };
            let device = &mut self.devices[key];
            if COMMANDS && device.command_deadline.is_some() {
                device.extend_commands(extended);
                self.reschedule(key);
            }
        }
    }

    fn judge(&mut self, now: Timestamp, key: DeviceKey) {
        if COMMANDS {
            self.judge_commands(now, key);
        }
        if self.follows() {
            return;
        }
        let Some(device) = self.devices.get(key) else {
            return;
        };
        let Some(due) = device.presence_deadline(self.timers.watching_since) else {
            return;
        };
        if due > now {
            return;
        }
        let before = device.before_outage;
        let verdict = match device.presence.presence {
            Presence::Unknown { .. } if device.was_offline_before_outage() => {
                before.map(|before| before.presence)
            }
            Presence::Online { .. } | Presence::Unknown { .. } => {
                device.last_seen.map(|last_seen| Presence::Stale {
                    since: due,
                    last_seen,
                })
            }
            Presence::Sleeping { .. } => Some(Presence::Offline {
                since: due,
                reason: OfflineReason::DidNotWake,
            }),
            Presence::Offline { .. } | Presence::Stale { .. } => None,
        };
        match verdict {
            // In the history the span begins when we knew of it again.
            Some(Presence::Offline { reason, .. }) => {
                self.turn(
                    key,
                    Presence::Offline { since: due, reason },
                    before.is_none(),
                );
            }
            Some(verdict) => self.turn(key, verdict, true),
            None => {}
        }
    }

    fn judge_commands(&mut self, now: Timestamp, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else {
            return;
        };
        if device
            .command_deadline
            .is_none_or(|deadline| deadline > now)
        {
            return;
        }
        for command in &mut *device.commands {
            if let Some(at) = command.deadline
                && at <= now
                && command.state.is_open()
            {
                command.state = CommandState::TimedOut { at };
                command.changed = true;
            }
        }
        device.update_command_deadline();
        self.mark(key, Dirty::COMMANDS);
    }
}
