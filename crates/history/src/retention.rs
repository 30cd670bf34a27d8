//! What is old is dropped: by age, and by size, the oldest raw rows first.

use std::sync::Arc;

use series::Millis;

use crate::archive::Archive;
use crate::error::Error;
use crate::file::{File, remove_leftover};
use crate::name::{Kind, day_of_time};

/// How often retention is looked at.
const EVERY: Millis = 60_000;

impl Archive {
    /// Drops what is older than the settings allow, and what is too much.
    pub(crate) fn expire(&mut self, now: Millis) -> Result<(), Error> {
        if now.saturating_sub(self.tidied) < EVERY {
            return Ok(());
        }
        self.tidied = now;
        let files = self.shared.files();
        let (mut keep, mut drop): (Vec<Arc<File>>, Vec<Arc<File>>) = (Vec::new(), Vec::new());
        for file in files.iter() {
            let age = match file.name().kind {
                Kind::Raw => self.settings.raw,
                Kind::Minutes | Kind::Hours | Kind::Events => self.settings.rollups,
            };
            let is_old = file.name().day < day_of_time(now.saturating_sub(age));
            if is_old { &mut drop } else { &mut keep }.push(Arc::clone(file));
        }
        self.counted.dropped_by_age += bytes_of(&drop);
        let journal = self.bytes().saturating_sub(bytes_of(&files));
        let mut bytes = journal + bytes_of(&keep);
        // Raw rows go first, then minutes, then the rest; of each the oldest first. Those of today go last, because
        // they are what people look at.
        let today = day_of_time(now);
        let kinds = [Kind::Raw, Kind::Minutes, Kind::Events, Kind::Hours];
        let in_order = kinds.map(|kind| (kind, today));
        for (kind, before) in in_order.into_iter().chain([(Kind::Raw, i32::MAX)]) {
            while bytes > self.settings.bytes {
                let oldest = keep
                    .iter()
                    .position(|file| file.name().kind == kind && file.name().day < before);
                let Some(oldest) = oldest else {
                    break;
                };
                let file = keep.remove(oldest);
                bytes -= file.bytes();
                self.counted.dropped_by_size += file.bytes();
                drop.push(file);
            }
        }
        self.remove(keep, &drop)
    }

    /// These files stay, and those go.
    pub(crate) fn remove(&mut self, keep: Vec<Arc<File>>, gone: &[Arc<File>]) -> Result<(), Error> {
        if gone.is_empty() {
            return Ok(());
        }
        self.shared.set_files(keep);
        for file in gone {
            remove_leftover(file.path())?;
        }
        Ok(())
    }
}

fn bytes_of(files: &[Arc<File>]) -> u64 {
    files.iter().map(|file| file.bytes()).sum()
}
