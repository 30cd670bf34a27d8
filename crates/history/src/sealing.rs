//! Open rows become blocks in files.
//!
//! The order makes it safe: the files are written and synced under other names; then the journal says that these
//! files are complete and that these groups have no open rows any more; then the files get their names. A crash
//! before the journal's record leaves the rows in the journal, and files that the next start removes. A crash
//! after it leaves files that the next start names.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use series::{Level, Millis, Open, RollupBlock, Rows, rollup};

use crate::archive::{Archive, EMPTY, FULL, MOST};
use crate::error::Error;
use crate::file::{File, Finished, Writer, remove_leftover};
use crate::journal;
use crate::name::{Kind, Name, day_of_time, start_of};

/// Groups that are sealed at once. More make fewer files, and keep rows from being taken for longer.
const AT_ONCE: usize = 2048;
/// So many full groups are worth a file.
const WORTH: usize = 64;
/// A full group waits at most so long for others.
const PATIENCE: Millis = 5 * 60_000;
/// A group with fewer rows is copied forward in the journal when its segment goes. Small blocks are large for what
/// is in them.
const FEW: usize = 512;
/// The day is over so long after midnight: late rows of the evening still come.
const DAY_IS_OVER: Millis = 10 * 60_000;

/// For [`Archive::seal`]: no day is so late.
const NOTHING_STAYS: i32 = i32::MAX;

/// A block to be written.
struct Sealed {
    level: Option<Level>,
    group: u32,
    rows: usize,
    span: (Millis, Millis),
    block: Vec<u8>,
}

impl Archive {
    /// Does one piece of what keeps the archive in order, if it is time for it. Returns whether there is more to
    /// do: then call it again soon. It may wait for the disk.
    ///
    /// # Errors
    ///
    /// The disk is full or fails. Nothing is lost: it can be tried again.
    pub fn tidy(&mut self, now: Millis) -> Result<bool, Error> {
        if self.seal_if_due(now)? || self.shorten_journal()? || self.end_day(now)? {
            return Ok(true);
        }
        self.expire(now)?;
        self.merge_some(now)
    }

    /// Seals everything, for example at the end.
    ///
    /// # Errors
    ///
    /// As for [`Archive::tidy`].
    pub fn seal_all(&mut self) -> Result<(), Error> {
        let groups: Vec<u32> = self.shared.hot().open_groups().map(|it| it.0).collect();
        for groups in groups.chunks(AT_ONCE) {
            self.seal(groups, NOTHING_STAYS)?;
        }
        Ok(())
    }

    fn seal_if_due(&mut self, now: Millis) -> Result<bool, Error> {
        let memory = self.shared.hot().memory;
        if memory > self.settings.memory {
            let mut sizes: Vec<(usize, u32)> = {
                let hot = self.shared.hot();
                hot.open_groups()
                    .map(|(group, open)| (open.memory(), group))
                    .collect()
            };
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            let largest = sizes.into_iter().take(AT_ONCE).map(|(_, group)| group);
            self.seal(&largest.collect::<Vec<_>>(), NOTHING_STAYS)?;
            return Ok(true);
        }
        let Some(since) = self.full_since else {
            return Ok(false);
        };
        let is_urgent = || {
            let mut hot = self.shared.hot();
            self.full
                .iter()
                .any(|group| hot.open(*group).rows() >= MOST - 1024)
        };
        if self.full.len() < WORTH && now - since < PATIENCE && !is_urgent() {
            return Ok(false);
        }
        let count = self.full.len().min(AT_ONCE);
        let groups: Vec<u32> = self.full[..count].to_vec();
        self.seal(&groups, NOTHING_STAYS)?;
        Ok(true)
    }

    /// If the journal is too long, what is in its oldest segment is sealed or copied forward.
    fn shorten_journal(&mut self) -> Result<bool, Error> {
        let segments = self.log.segments();
        let bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        let ([oldest, .., last], true) = (&segments[..], bytes > self.settings.journal_bytes())
        else {
            return Ok(false);
        };
        let (mut seal, mut copy) = (Vec::new(), Vec::new());
        {
            let mut hot = self.shared.hot();
            let first_in = (0u32..).zip(&self.first_in);
            for (group, _) in first_in.filter(|(_, first)| (1..=oldest.number).contains(*first)) {
                if hot.open(group).rows() < FEW {
                    copy.push(group);
                } else {
                    seal.push(group);
                }
            }
        }
        if !seal.is_empty() {
            seal.truncate(AT_ONCE);
            self.seal(&seal, NOTHING_STAYS)?;
            return Ok(true);
        }
        // Rows that wait are in the snapshots too. They must stand before them, or they would count twice.
        self.commit()?;
        for group in &copy {
            let record = journal::snapshot(*group, self.shared.hot().open(*group));
            self.log.append(&record);
            if self.log.buffered() > 4 << 20 {
                self.log.commit()?;
            }
        }
        self.log.append(&journal::sealed(self.newest_file, &[]));
        self.log.commit()?;
        for group in copy {
            self.first_in[group as usize] = last.number;
        }
        self.log.remove_before(oldest.number + 1)?;
        Ok(true)
    }

    /// When a day is over, its rows are sealed, however few there are.
    fn end_day(&mut self, now: Millis) -> Result<bool, Error> {
        let today = day_of_time(now - DAY_IS_OVER);
        if self.sealed_days >= today {
            return Ok(false);
        }
        let groups: Vec<u32> = {
            let hot = self.shared.hot();
            let open = hot.open_groups();
            let of_before = open.filter(|(_, open)| {
                open.span()
                    .is_some_and(|(first, _)| day_of_time(first) < today)
            });
            of_before.map(|(group, _)| group).take(AT_ONCE).collect()
        };
        if groups.is_empty() {
            self.sealed_days = today;
            return Ok(false);
        }
        self.seal(&groups, today)?;
        Ok(true)
    }

    /// Seals groups. Rows of this day and later ones stay open, unless they are many: so states go on.
    fn seal(&mut self, groups: &[u32], stays_from: i32) -> Result<(), Error> {
        // What is sealed is in the journal, too, until the files are complete.
        self.commit()?;
        let taken: Vec<Taken> = {
            let mut hot = self.shared.hot();
            let taken = groups.iter().map(|group| {
                let open = Arc::new(hot.take(*group));
                hot.sealing.insert(*group, Arc::clone(&open));
                let is_events = hot.catalog.group(*group).is_some_and(|it| it.is_events);
                Taken::new(*group, open, is_events, stays_from)
            });
            taken.collect()
        };
        let segment = self.segment();
        let written = self.write_sealed(&taken);
        let (shared, mut hot);
        shared = Arc::clone(&self.shared);
        match written {
            Ok((files, blocks)) => {
                hot = shared.hot();
                let all = shared.files();
                let all = all.iter().cloned().chain(files.into_iter().map(Arc::new));
                shared.set_files(all.collect());
                for Taken { group, stays, .. } in taken {
                    hot.sealing.remove(&group);
                    let has_rows = stays.is_some();
                    hot.put(group, stays.unwrap_or(EMPTY));
                    if let Some(first_in) = self.first_in.get_mut(group as usize) {
                        *first_in = if has_rows { segment } else { 0 };
                    }
                    self.forget_client(group);
                }
                let groups: HashSet<u32> = groups.iter().copied().collect();
                self.full.retain(|group| !groups.contains(group));
                self.full_since = self.full_since.filter(|_| !self.full.is_empty());
                self.counted.blocks += blocks;
                Ok(())
            }
            Err(error) => {
                hot = shared.hot();
                for Taken { group, open, .. } in taken {
                    hot.sealing.remove(&group);
                    hot.put(
                        group,
                        Arc::try_unwrap(open).unwrap_or_else(|open| (*open).clone()),
                    );
                }
                Err(error)
            }
        }
    }

    fn write_sealed(&mut self, taken: &[Taken]) -> Result<(Vec<File>, u64), Error> {
        let mut by_file: BTreeMap<(i32, Kind), Vec<Sealed>> = BTreeMap::new();
        for it in taken {
            for part in &it.parts {
                seal_rows(it.group, part, it.is_events, &mut by_file);
            }
        }
        let mut finished = Vec::new();
        let mut blocks = 0;
        let mut number = self.newest_file;
        for ((day, kind), sealed) in by_file {
            number += 1;
            blocks += sealed.len() as u64;
            let name = Name {
                day,
                kind,
                number,
                is_merged: false,
            };
            match self.write_file(name, &sealed) {
                Ok(file) => finished.push(file),
                Err(error) => {
                    self.discard(finished);
                    return Err(error);
                }
            }
        }
        let mut records = vec![journal::sealed(
            number,
            &taken.iter().map(|it| it.group).collect::<Vec<_>>(),
        )];
        let stay = taken
            .iter()
            .filter_map(|it| Some((it.group, it.stays.as_ref()?)));
        records.extend(stay.map(|(group, rows)| journal::snapshot(group, rows)));
        let files = self.publish(number, &records, finished)?;
        Ok((files, blocks))
    }

    fn write_file(&self, name: Name, sealed: &[Sealed]) -> Result<Finished, Error> {
        let mut writer = Writer::create(&self.settings.folder.join("blocks"), name)?;
        for it in sealed {
            let added = writer.add(it.level, it.group, it.rows, it.span, &it.block);
            if let Err(error) = added {
                writer.discard();
                return Err(error);
            }
        }
        writer.finish()
    }

    /// The journal gets these records, of which the first says that the files up to `newest` are complete. Then the
    /// files get their names. After an error nothing has happened: the files are gone and the rows are open.
    pub(crate) fn publish(
        &mut self,
        newest: u64,
        records: &[Vec<u8>],
        finished: Vec<Finished>,
    ) -> Result<Vec<File>, Error> {
        if let Err(error) = self.call_complete(records) {
            self.discard(finished);
            return Err(error);
        }
        self.newest_file = newest;
        // From here on the rows are in the files, and nowhere else. So nothing may fail any more.
        let files = finished.into_iter().map(Finished::publish).collect();
        let folder = self.settings.folder.join("blocks");
        if let Err(error) = store::files::sync_folder(&folder) {
            // A power loss may undo the names. Then the next start gives them again.
            tracing::warn!("cannot sync {}: {error}", folder.display());
        }
        Ok(files)
    }

    fn call_complete(&mut self, records: &[Vec<u8>]) -> Result<(), Error> {
        while let Some(path) = self.leftovers.last() {
            remove_leftover(path)?;
            self.leftovers.pop();
        }
        // If the record below is dropped, no row may go with it.
        self.commit()?;
        // The journal must not call a file complete whose name a power loss can undo.
        let folder = self.settings.folder.join("blocks");
        store::files::sync_folder(&folder).map_err(Error::io("write", &folder))?;
        // One commit is durable as a whole, or not at all.
        for record in records {
            self.log.append(record);
        }
        self.log.commit().map_err(|error| {
            // The records would become durable with a later commit. But the files that they name go.
            self.log.drop_buffered();
            error.into()
        })
    }

    /// Removes files that the journal does not call complete. Those that cannot be removed now must go before it
    /// calls others complete.
    fn discard(&mut self, finished: Vec<Finished>) {
        let leftovers = finished.into_iter().filter_map(Finished::discard);
        self.leftovers.extend(leftovers);
    }
}

/// A group whose rows are sealed.
struct Taken {
    group: u32,
    open: Arc<Open>,
    is_events: bool,
    parts: Vec<Part>,
    /// What stays open.
    stays: Option<Open>,
}

impl Taken {
    fn new(group: u32, open: Arc<Open>, is_events: bool, stays_from: i32) -> Self {
        let mut parts = by_day(&open);
        let staying = parts.iter().filter(|part| part.day >= stays_from).count();
        let mut stays = None;
        if staying == 1
            && parts.len() > 1
            && let Some(part) = parts.pop()
        {
            stays = Some(Arc::try_unwrap(part.rows).unwrap_or_else(|rows| (*rows).clone()));
        }
        Self {
            group,
            open,
            is_events,
            parts,
            stays,
        }
    }
}

/// Rows of one day that become one block.
struct Part {
    day: i32,
    rows: Arc<Open>,
    /// The last states last until then: to the next row, and not beyond the day. `None`: nothing is known of it.
    until: Option<Millis>,
}

/// The rows by the day to which they belong.
fn by_day(open: &Arc<Open>) -> Vec<Part> {
    let Some((first, last)) = open.span() else {
        return Vec::new();
    };
    let (first, last) = (day_of_time(first), day_of_time(last));
    if first == last && open.rows() <= MOST {
        return vec![Part {
            day: first,
            rows: Arc::clone(open),
            until: None,
        }];
    }
    let mut days: Vec<(i32, Open)> = Vec::new();
    // Open rows are never damaged.
    let _ = open.read_rows(Millis::MIN, Millis::MAX, &mut |row| {
        let day = day_of_time(row.time);
        match days.last_mut() {
            Some((last, rows)) if *last == day && rows.rows() < FULL => {
                rows.push(row.time, row.arrived, row.values);
            }
            Some(_) | None => {
                let mut rows = Open::new();
                rows.push(row.time, row.arrived, row.values);
                days.push((day, rows));
            }
        }
    });
    let firsts: Vec<Option<Millis>> = days
        .iter()
        .skip(1)
        .map(|(_, rows)| rows.span().map(|(first, _)| first))
        .collect();
    let until = firsts.into_iter().chain([None]);
    let parts = days.into_iter().zip(until);
    let parts = parts.map(|((day, rows), until)| Part {
        day,
        rows: Arc::new(rows),
        until: until.map(|until| until.min(start_of(day + 1))),
    });
    parts.collect()
}

fn seal_rows(
    group: u32,
    part: &Part,
    is_events: bool,
    by_file: &mut BTreeMap<(i32, Kind), Vec<Sealed>>,
) {
    let Part { day, rows, until } = part;
    let Some(span) = rows.span() else {
        return;
    };
    let mut add = |kind, level: Option<Level>, count, span, block| {
        by_file.entry((*day, kind)).or_default().push(Sealed {
            level,
            group,
            rows: count,
            span,
            block,
        });
    };
    if is_events {
        add(Kind::Events, None, rows.rows(), span, rows.seal());
        return;
    }
    add(Kind::Raw, None, rows.rows(), span, rows.seal());
    for level in Level::ALL {
        // Open rows are never damaged, nor is a block that was just made.
        let Ok(block) = rollup(&**rows, level, *until) else {
            continue;
        };
        let read = RollupBlock::parse(&block[..]).ok();
        let read = read.and_then(|it| Some((it.span()?, it.buckets())));
        if let Some((span, buckets)) = read {
            let span = (span.0.max(start_of(*day)), span.1);
            add(Kind::of_level(level), Some(level), buckets, span, block);
        }
    }
}
