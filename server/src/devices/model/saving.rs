//! What of the model outlives the server, as keys and values for a table.
//!
//! A device is stored as the API describes it. A round of saving takes the devices that have changed
//! since the round before, some at a time.

use std::collections::VecDeque;

use api::fleet::{Device as Described, Scalar};
use fleet::{Device, DeviceKey, Fleet, Timestamp};
use tracing::warn;

use super::{Detail, Model};

/// A key, and its new value. `None`: the key goes.
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// The key of the list of forgotten names. Keys of devices begin with another letter.
const FORGOTTEN: &[u8] = b"forgotten";

/// The most bytes of a stored device. One that is larger is stored without its texts, or not at all:
/// a table refuses a write with an entry that is too large, and with it the devices beside it.
const MAX_BYTES: usize = 1 << 20;

/// What is saved, and what is still to be.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// What the table has, by the places of the devices.
    saved: Vec<Option<Saved>>,
    /// The devices that this round still has to save.
    queue: VecDeque<DeviceKey>,
    /// Keys of the table that belong to no device any more.
    gone: Vec<Vec<u8>>,
    /// The list of forgotten names in the table.
    forgotten: Option<Vec<String>>,
    /// The list that an earlier run has stored, until all devices are here.
    to_forget: Vec<String>,
    /// A device was too large, and the log says so.
    has_warned: bool,
}

/// A device in the table.
#[derive(Debug)]
struct Saved {
    number: u32,
    /// The revision that was saved. `None`: it is to be saved again.
    revision: Option<u64>,
    key: Vec<u8>,
}

impl Saving {
    fn has_saved(&self, key: DeviceKey, device: &Device) -> bool {
        let saved = self.saved.get(key.place as usize);
        let saved = saved.and_then(Option::as_ref);
        saved.is_some_and(|it| it.number == key.number && it.revision == Some(device.revision()))
    }

    /// The device at this place is in the table with this key. If another one was, that goes.
    fn note(&mut self, place: u32, saved: Saved) {
        let place = place as usize;
        if self.saved.len() <= place {
            self.saved.resize_with(place + 1, || None);
        }
        let key = saved.key.clone();
        if let Some(before) = self.saved[place].replace(saved)
            && before.key != key
        {
            self.gone.push(before.key);
        }
    }

    /// Finds the keys of devices that the fleet does not know any more. It forgets some without telling:
    /// those of which nobody was told.
    fn find_gone(&mut self, fleet: &Fleet) {
        for (place, saved) in (0..).zip(&mut self.saved) {
            let is_gone = |it: &mut Saved| {
                let number = it.number;
                fleet.device(DeviceKey { place, number }).is_none()
            };
            self.gone.extend(saved.take_if(is_gone).map(|it| it.key));
        }
    }
}

impl Model {
    /// Adds a value that an earlier run has saved.
    pub(crate) fn restore(&mut self, now: Timestamp, key: &[u8], value: &[u8]) {
        let restored = if key == FORGOTTEN {
            // Adopting a device takes its name from the fleet's list.
            serde_json::from_slice(value).map(|names| self.saving.to_forget = names)
        } else {
            serde_json::from_slice(value).map(|described: Described| {
                self.restore_device(now, key, &described);
            })
        };
        if let Err(error) = restored {
            warn!(
                "what is stored as {:?} cannot be read and is left out: {error}",
                String::from_utf8_lossy(key)
            );
        }
    }

    fn restore_device(&mut self, now: Timestamp, key: &[u8], described: &Described) {
        let Some(DeviceKey { place, number }) = self.fleet.adopt(now, described) else {
            // A limit was lowered, which counts it.
            self.saving.gone.push(key.to_vec());
            return;
        };
        let saved = Saved {
            number,
            revision: None,
            key: key.to_vec(),
        };
        self.saving.note(place, saved);
    }

    /// A command to a device that was restored, as far as it had got.
    pub(crate) fn restore_command(
        &mut self,
        now: Timestamp,
        device: &str,
        command: &api::fleet::Command,
    ) {
        self.fleet.adopt_command(now, device, command);
    }

    /// All that was saved is here again. Judges what can still be said of it. Nobody follows the changes of
    /// this run yet, so none of it is told as one.
    pub(crate) fn restored(&mut self, now: Timestamp) {
        for name in std::mem::take(&mut self.saving.to_forget) {
            while let Some(key) = self.fleet.find(&name)
                && let Some(device) = self.fleet.device(key)
                && device.full_id() == name
            {
                self.fleet.forget(key);
            }
            self.fleet.forget_name(&name);
        }
        self.fleet.handle_restart(now);
        self.take_changes();
    }

    /// Begins a round of saving.
    pub(crate) fn begin_saving(&mut self) {
        let (saving, fleet) = (&mut self.saving, &self.fleet);
        // First, because another device may have the key of one that is gone.
        saving.find_gone(fleet);
        let changed = fleet.devices();
        let changed = changed.filter(|(key, device)| !saving.has_saved(*key, device));
        saving.queue = changed.map(|(key, _)| key).collect();
    }

    /// What is to be saved next, of at most so many devices. Nothing: the round is over.
    pub(crate) fn save_some(&mut self, most: usize) -> Vec<Entry> {
        let gone = self.saving.gone.drain(..);
        let mut entries: Vec<Entry> = gone.map(|key| (key, None)).collect();
        entries.extend(self.save_forgotten());
        // Of the first devices there may be none to write.
        while entries.is_empty() && !self.saving.queue.is_empty() {
            for _ in 0..most {
                let Some(key) = self.saving.queue.pop_front() else {
                    break;
                };
                entries.extend(self.save(key));
            }
        }
        entries
    }

    /// What was saved last may not be there: the next round saves everything. Whoever writes the entries
    /// tries again to remove what is gone.
    pub(crate) fn save_again(&mut self) {
        for saved in self.saving.saved.iter_mut().flatten() {
            saved.revision = None;
        }
        self.saving.forgotten = None;
    }

    fn save(&mut self, key: DeviceKey) -> Option<Entry> {
        let revision = self.fleet.device(key)?.revision();
        let mut described = self.description(key, Detail::Whole)?;
        described.commands.clear();
        let table_key = key_of(&described.id, described.prefix_len);
        let value = self.encode(described);
        let saved = Saved {
            number: key.number,
            revision: Some(revision),
            key: table_key.clone(),
        };
        self.saving.note(key.place, saved);
        Some((table_key, Some(value?)))
    }

    /// The device as JSON. `None`: it is too large, and an older description stays in the table.
    fn encode(&mut self, mut described: Described) -> Option<Vec<u8>> {
        let value = serde_json::to_vec(&described).ok()?;
        if value.len() <= MAX_BYTES {
            return Some(value);
        }
        for metric in &mut described.metrics {
            let is_text = matches!(metric.value, Some(Scalar::Text(_)));
            metric.value.take_if(|_| is_text);
        }
        let value = serde_json::to_vec(&described).ok()?;
        if value.len() <= MAX_BYTES {
            return Some(value);
        }
        self.counted.not_saved += 1;
        if !self.saving.has_warned {
            self.saving.has_warned = true;
            warn!(
                "the device {:?} is too large to be stored, and so may others be: a restart shows them as they were before, or not at all",
                described.id
            );
        }
        None
    }

    fn save_forgotten(&mut self) -> Option<Entry> {
        let names: Vec<String> = self.fleet.forgotten_names().map(str::to_owned).collect();
        if self.saving.forgotten.as_ref() == Some(&names) {
            return None;
        }
        let value = serde_json::to_vec(&names).ok()?;
        self.saving.forgotten = Some(names);
        Some((FORGOTTEN.to_vec(), Some(value)))
    }
}

/// The same id may belong to several devices with prefixes of different lengths.
fn key_of(id: &str, prefix_len: usize) -> Vec<u8> {
    format!("device:{prefix_len}:{id}").into_bytes()
}
