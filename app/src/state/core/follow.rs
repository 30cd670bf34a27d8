//! What the server says about the devices.

use std::collections::BTreeSet;

use api::fleet::{Change, Device};
use fleet::{DeviceKey, ObserverState, Timestamp};

use super::{Changed, Core, ListChanges};
use crate::state::series::SeriesStore;
use crate::state::server::order::{Asked, Counts, Order, Told};

/// The keys of devices in the past begin here, so that none means another device of now.
const PAST_KEYS: u32 = 1 << 31;

impl Core {
    /// From now on the server says what there is, or, if `follows` is `false`, the devices do.
    pub fn set_follows(&mut self, follows: bool) {
        self.fleet.set_follows(follows);
        self.fold();
    }

    /// The server's devices. `all`: there are no others.
    pub fn adopt_devices(&mut self, now: Timestamp, devices: &[Device], all: bool) {
        let mut adopted = BTreeSet::new();
        // The fleet's queue of samples has a limit.
        for some in devices.chunks(200) {
            for device in some {
                adopted.extend(self.fleet.adopt(now, device));
            }
            self.fold();
        }
        if all {
            let known = self.fleet.devices().map(|(key, _)| key);
            let gone: Vec<DeviceKey> = known.filter(|key| !adopted.contains(key)).collect();
            for key in gone {
                self.fleet.forget(key);
            }
            self.fold();
        }
    }

    /// The server's answer about some devices, which was asked for at `asked`.
    pub fn adopt_answer(
        &mut self,
        now: Timestamp,
        devices: &[Device],
        order: &Order,
        asked: &Asked,
    ) {
        for some in devices.chunks(200) {
            for device in some {
                let known = self.fleet.find(&device.id).is_some();
                match order.judge(asked, &device.id) {
                    Counts::Additions | Counts::AdditionsIfKnown if known => {
                        self.fleet.adopt_late(now, device);
                    }
                    Counts::AdditionsIfKnown => {}
                    // A change of a device that is not known here was not taken.
                    Counts::Whole | Counts::Additions => {
                        self.fleet.adopt(now, device);
                    }
                }
            }
            self.fold();
        }
    }

    /// Something has changed at the server. [`Change::Resync`] is nothing that the page knows.
    pub fn adopt_change(&mut self, now: Timestamp, change: &Change) {
        match change {
            Change::Device { device } => {
                self.fleet.adopt(now, device);
            }
            Change::Presence {
                id,
                presence,
                last_seen,
            } => {
                self.fleet.adopt_presence(now, id, presence, *last_seen);
            }
            Change::Fault { id, fault } => {
                self.fleet.adopt_fault(now, id, fault);
            }
            Change::Command { id, command } => {
                self.fleet.adopt_command(now, id, command);
            }
            Change::Gone { id } => {
                if let Some(key) = self.fleet.find(id) {
                    self.fleet.forget(key);
                }
            }
            Change::Resync => {}
        }
    }

    /// Which device a change tells of, if an answer that is older could undo it.
    pub fn told(change: &Change) -> Option<(&str, Told)> {
        match change {
            Change::Device { device } => Some((&device.id, Told::Changed)),
            Change::Presence { id, .. } => Some((id, Told::Changed)),
            Change::Gone { id } => Some((id, Told::Gone)),
            Change::Fault { .. } | Change::Command { .. } | Change::Resync => None,
        }
    }

    /// Knows nothing yet, and shows the past.
    pub fn of_past() -> Self {
        let mut core = Self::with_first_key(PAST_KEYS);
        core.set_follows(true);
        core
    }

    /// Shows these devices, which are all that there were at this time.
    pub fn show_past(&mut self, at: Timestamp, devices: &[Device]) {
        self.fleet.rewind(at);
        self.series = SeriesStore::default();
        self.fleet.handle_observer(at, ObserverState::Connected);
        self.adopt_devices(at, devices, true);
        self.show_all_again();
    }

    /// Everything is to be drawn again.
    pub fn show_all_again(&mut self) {
        let keys: Vec<DeviceKey> = self.fleet.devices().map(|(key, _)| key).collect();
        for key in keys {
            *self.changed(key) = Changed::ALL;
        }
        self.list = ListChanges {
            devices: true,
            presence: true,
            values: true,
            limits: self.list.limits,
        };
    }

    /// Hides a device, or shows it again.
    pub fn hide(&mut self, device: DeviceKey, hidden: bool) {
        self.fleet.hide(device, hidden);
        self.fold();
    }

    /// The devices that are open on screen.
    pub fn opened(&self) -> Vec<DeviceKey> {
        self.open.iter().map(|(key, _)| *key).collect()
    }
}
