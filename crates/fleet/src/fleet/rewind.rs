//! Going back in time, to look at what was.

use super::Fleet;
use super::values::{Memory, take_away};
use crate::event::Dirty;
use crate::fault::Fault;
use crate::presence::{History, PresenceSpan};
use crate::time::Timestamp;

impl Fleet {
    /// Sets the time, which may be earlier than it was, and forgets what is known of each device but its name, its
    /// key and the names of its metrics. For a fleet that shows the past: [`Fleet::adopt`] then tells it what was.
    /// A device that is not adopted after this stays as it is, so forget it.
    pub fn rewind(&mut self, now: Timestamp) {
        self.now = now;
        for place in self.devices.places() {
            let Some(key) = self.devices.key_at(place) else {
                continue;
            };
            let device = &mut self.devices[key];
            while let Some(command) = device.commands.remove(0) {
                self.budget.refund_from(&mut device.account, command.cost());
            }
            while device.faults.remove(0).is_some() {
                self.budget.refund_from(&mut device.account, Fault::COST);
            }
            for metric in &mut *device.metrics {
                let mut memory = Memory {
                    budget: &mut self.budget,
                    account: &mut device.account,
                };
                take_away(metric, &mut memory);
                metric.drawn_at = None;
            }
            device.command_deadline = None;
            device.position = None;
            device.last_seen = None;
            device.first_seen = now;
            device.messages = 0;
            for _ in 1..device.history.len() {
                let cost = size_of::<PresenceSpan>();
                self.budget.refund_from(&mut device.account, cost);
            }
            device.history = History::new(device.presence);
            self.mark(key, Dirty::SHAPE);
            self.mark(key, Dirty::VALUES);
            self.mark(key, Dirty::POSITION);
            self.mark(key, Dirty::COMMANDS);
            self.mark(key, Dirty::PRESENCE);
        }
    }
}
