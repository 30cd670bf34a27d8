//! What of the model outlives the server, as keys and values for a table.
//!
//! A device is stored as the API describes it. A round of saving takes the devices that have changed
//! since the round before, some at a time.

use std::collections::VecDeque;

use api::fleet::Device as Described;
use fleet::{Device, DeviceKey, Timestamp};
use tracing::warn;

use super::{Detail, Model};

/// A key, and its new value. `None`: the key goes.
pub(crate) type Entry = (Vec<u8>, Option<Vec<u8>>);

/// The key of the list of forgotten names. Keys of devices begin with another letter.
const FORGOTTEN: &[u8] = b"forgotten";

/// What is saved, and what is still to be.
#[derive(Debug, Default)]
pub(super) struct Saving {
    /// What each device was when it was saved, by its place.
    saved: Vec<Option<Print>>,
    /// The devices that this round still has to save.
    queue: VecDeque<DeviceKey>,
    /// The keys of devices that were saved and are gone.
    gone: Vec<Vec<u8>>,
    forgotten: Option<Vec<String>>,
}

/// What changes whenever something about a device changes that is worth saving.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
struct Print {
    number: u32,
    messages: u64,
    since: Timestamp,
    presence: fleet::PresenceKind,
    is_hidden: bool,
}

impl Print {
    fn of(key: DeviceKey, device: &Device) -> Self {
        Self {
            number: key.number,
            messages: device.message_count(),
            since: device.presence().since(),
            presence: device.presence().kind(),
            is_hidden: device.is_hidden(),
        }
    }
}

impl Saving {
    fn has_saved(&self, key: DeviceKey, print: Print) -> bool {
        self.saved.get(key.place as usize) == Some(&Some(print))
    }

    fn note(&mut self, key: DeviceKey, print: Print) {
        let place = key.place as usize;
        if self.saved.len() <= place {
            self.saved.resize(place + 1, None);
        }
        self.saved[place] = Some(print);
    }

    /// This device is gone.
    pub(super) fn note_gone(&mut self, id: &str, prefix_len: usize) {
        self.gone.push(key_of(id, prefix_len));
    }
}

impl Model {
    /// Adds a value that an earlier run has saved.
    pub(crate) fn restore(&mut self, now: Timestamp, key: &[u8], value: &[u8]) {
        let restored = if key == FORGOTTEN {
            serde_json::from_slice(value).map(|names: Vec<String>| {
                for name in &names {
                    self.fleet.forget_name(name);
                }
            })
        } else {
            serde_json::from_slice(value).map(|described: Described| {
                // If there is no place for it, a limit was lowered, which counts it.
                let _ = self.fleet.adopt(now, &described);
            })
        };
        if let Err(error) = restored {
            warn!(
                "what is stored as {:?} cannot be read and is left out: {error}",
                String::from_utf8_lossy(key)
            );
        }
    }

    /// All that was saved is here again. Judges what can still be said of it. Nobody follows the changes of
    /// this run yet, so none of it is told as one.
    pub(crate) fn restored(&mut self, now: Timestamp) {
        self.fleet.handle_restart(now);
        self.take_changes();
    }

    /// Begins a round of saving.
    pub(crate) fn begin_saving(&mut self) {
        let saving = &mut self.saving;
        let changed = self.fleet.devices().filter(|(key, device)| {
            let print = Print::of(*key, device);
            !saving.has_saved(*key, print)
        });
        saving.queue = changed.map(|(key, _)| key).collect();
    }

    /// What is to be saved next, of at most so many devices. Nothing: the round is over.
    pub(crate) fn save_some(&mut self, most: usize) -> Vec<Entry> {
        let mut entries: Vec<Entry> = Vec::new();
        for key in self.saving.gone.drain(..) {
            entries.push((key, None));
        }
        entries.extend(self.save_forgotten());
        for _ in 0..most {
            let Some(key) = self.saving.queue.pop_front() else {
                break;
            };
            entries.extend(self.save(key));
        }
        entries
    }

    /// What was saved last may not be there: the next round saves everything.
    pub(crate) fn save_again(&mut self) {
        self.saving.saved.clear();
        self.saving.forgotten = None;
    }

    fn save(&mut self, key: DeviceKey) -> Option<Entry> {
        let print = Print::of(key, self.fleet.device(key)?);
        let mut described = self.description(key, Detail::Whole)?;
        described.commands.clear();
        self.saving.note(key, print);
        let value = serde_json::to_vec(&described).ok()?;
        Some((key_of(&described.id, described.prefix_len), Some(value)))
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
