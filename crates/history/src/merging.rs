//! Many files of a day become one: its blocks are longer, so they are smaller, and found with fewer reads.
//!
//! It goes on a little with each call, so that rows never wait for it. The new file is complete in the journal
//! before it has its name, and its name says that it replaces all older files of its day and kind. So a crash at
//! any time leaves nothing twice.

use std::sync::Arc;

use series::{Block, Level, Millis, Open, RollupBlock, Rows as _, merge, merge_rollups};

use crate::archive::{Archive, MOST};
use crate::error::Error;
use crate::file::{Entry, File, Writer, code_of};
use crate::journal;
use crate::name::{Name, day_of_time, start_of};

/// Rows that are merged in one call.
const AT_ONCE: u64 = 100_000;

/// A merge that goes on.
#[derive(Debug)]
pub(crate) struct Merging {
    day: i32,
    files: Vec<(Arc<File>, std::fs::File)>,
    /// The blocks of all files, in the order of level and group.
    entries: Vec<(Entry, usize)>,
    next: usize,
    writer: Writer,
}

impl Archive {
    /// Merges some more. Returns whether there is more to do.
    pub(crate) fn merge_some(&mut self, now: Millis) -> Result<bool, Error> {
        let Some(mut merging) = self.merging.take() else {
            return self.begin_merge(now);
        };
        match merging.go_on() {
            Ok(true) => {
                self.merging = Some(merging);
                Ok(true)
            }
            Ok(false) => self.end_merge(merging).map(|()| true),
            Err(error) => {
                merging.writer.discard();
                Err(error)
            }
        }
    }

    /// Begins with a day that is over and has more than one file of a kind.
    fn begin_merge(&mut self, now: Millis) -> Result<bool, Error> {
        let files = self.shared.files();
        let over = self.sealed_days.min(day_of_time(now));
        let many = files.windows(2).find(|pair| {
            let (a, b) = (pair[0].name(), pair[1].name());
            a.day == b.day && a.kind == b.kind && a.day < over
        });
        let Some((day, kind)) = many.map(|pair| (pair[0].name().day, pair[0].name().kind)) else {
            return Ok(false);
        };
        let of_day = files
            .iter()
            .filter(|it| it.name().day == day && it.name().kind == kind);
        let mut opened = Vec::new();
        let mut entries = Vec::new();
        for file in of_day {
            let handle = file.open()?;
            for level in [
                None,
                Some(Level::Minute),
                Some(Level::Hour),
                Some(Level::Day),
            ] {
                let blocks = file.all(&handle, level)?;
                entries.extend(blocks.into_iter().map(|entry| (entry, opened.len())));
            }
            opened.push((Arc::clone(file), handle));
        }
        entries.sort_by_key(|(entry, file)| (entry.level, entry.group, entry.first, *file));
        let number = self.newest_file + 1;
        let name = Name {
            day,
            kind,
            number,
            is_merged: true,
        };
        let writer = Writer::create(&self.settings.folder.join("blocks"), name)?;
        // The number is taken, whatever becomes of the merge.
        self.newest_file = number;
        self.merging = Some(Merging {
            day,
            files: opened,
            entries,
            next: 0,
            writer,
        });
        Ok(true)
    }

    fn end_merge(&mut self, merging: Merging) -> Result<(), Error> {
        let Merging {
            files: old, writer, ..
        } = merging;
        let number = writer.name().number;
        let newest = self.newest_file.max(number);
        let finished = writer.finish()?;
        let merged = self.publish(newest, &[journal::sealed(newest, &[])], vec![finished])?;
        let is_old = |file: &Arc<File>| old.iter().any(|(it, _)| it.name() == file.name());
        let keep = self.shared.files();
        let keep = keep.iter().filter(|file| !is_old(file)).cloned();
        let keep = keep.chain(merged.into_iter().map(Arc::new)).collect();
        let gone: Vec<Arc<File>> = old.iter().map(|(file, _)| Arc::clone(file)).collect();
        self.remove(keep, &gone)
    }
}

impl Merging {
    /// Returns whether there is more to do.
    fn go_on(&mut self) -> Result<bool, Error> {
        let mut rows = 0;
        while rows < AT_ONCE {
            let Some((first, _)) = self.entries.get(self.next) else {
                return Ok(false);
            };
            let key = (first.level, first.group);
            let of_group = self.entries[self.next..].iter();
            let count = of_group
                .take_while(|(it, _)| (it.level, it.group) == key)
                .count();
            let blocks: Vec<(Entry, usize)> = self.entries[self.next..self.next + count].to_vec();
            rows += blocks
                .iter()
                .map(|(entry, _)| u64::from(entry.rows))
                .sum::<u64>()
                + 100;
            self.merge_group(&blocks)?;
            self.next += count;
        }
        Ok(true)
    }

    fn merge_group(&mut self, blocks: &[(Entry, usize)]) -> Result<(), Error> {
        let mut good = Vec::new();
        for (entry, file) in blocks {
            let (file, handle) = &self.files[*file];
            let bytes = file.block(handle, entry)?;
            if let Ok(block) = Block::parse(bytes) {
                good.push((*entry, block));
            } else {
                // It stays, so that whoever asks for its time is told.
                let bytes = file.block(handle, entry)?;
                self.copy(entry, &bytes)?;
            }
        }
        let level = Level::ALL
            .into_iter()
            .find(|level| code_of(Some(*level)) == blocks[0].0.level);
        let Some(entry) = good.first().map(|(entry, _)| *entry) else {
            return Ok(());
        };
        if let Some(level) = level {
            self.merge_rollups(level, entry.group, blocks)
        } else if good.len() == 1 {
            let of_good = blocks.iter().find(|(it, _)| *it == entry);
            let (file, handle) = &self.files[of_good.map_or(0, |(_, file)| *file)];
            let bytes = file.block(handle, &entry)?;
            self.copy(&entry, &bytes)
        } else {
            self.merge_rows(entry.group, good)
        }
    }

    fn copy(&mut self, entry: &Entry, bytes: &[u8]) -> Result<(), Error> {
        let start = start_of(self.day);
        let span = (
            start + Millis::from(entry.first),
            start + Millis::from(entry.last),
        );
        let level = Level::ALL
            .into_iter()
            .find(|level| code_of(Some(*level)) == entry.level);
        self.writer
            .add(level, entry.group, entry.rows as usize, span, bytes)
    }

    fn merge_rows(&mut self, group: u32, good: Vec<(Entry, Block<Vec<u8>>)>) -> Result<(), Error> {
        // Blocks that do not overlap are not merged beyond the size of a block.
        let mut batch: Vec<Block<Vec<u8>>> = Vec::new();
        let (mut rows, mut last) = (0, Millis::MIN);
        let mut rest = good.into_iter().peekable();
        while let Some((_, block)) = rest.next() {
            rows += block.rows();
            last = last.max(block.span().map_or(Millis::MIN, |span| span.1));
            batch.push(block);
            let next = rest
                .peek()
                .and_then(|(_, block)| Some((block.span()?.0, block.rows())));
            let goes_on = next.is_some_and(|(first, more)| first <= last || rows + more <= MOST);
            if !goes_on {
                self.write_rows(group, &batch)?;
                batch.clear();
                rows = 0;
            }
        }
        Ok(())
    }

    fn write_rows(&mut self, group: u32, blocks: &[Block<Vec<u8>>]) -> Result<(), Error> {
        let rows: Vec<&dyn series::Rows> =
            blocks.iter().map(|it| it as &dyn series::Rows).collect();
        let mut give = |block: Vec<u8>| -> Result<(), Error> {
            let read = Block::parse(&block[..]).ok();
            let Some((span, count)) = read.and_then(|it| Some((it.span()?, it.rows()))) else {
                return Ok(());
            };
            self.writer.add(None, group, count, span, &block)
        };
        // Their checksums fit, so they can be read, or were written wrongly: then they are left as they are.
        let Ok(merged) = merge(&rows) else {
            return Ok(());
        };
        let count = Block::parse(&merged[..]).map_or(0, |block| block.rows());
        if count <= MOST {
            return give(merged);
        }
        let Ok(whole) = Block::parse(&merged[..]) else {
            return Ok(());
        };
        let (mut open, mut result) = (Open::new(), Ok(()));
        let read = whole.read_rows(Millis::MIN, Millis::MAX, &mut |row| {
            open.push(row.time, row.arrived, row.values);
            if open.rows() == MOST && result.is_ok() {
                result = give(std::mem::take(&mut open).seal());
            }
        });
        result?;
        if read.is_ok() && open.rows() > 0 {
            give(open.seal())?;
        }
        Ok(())
    }

    fn merge_rollups(
        &mut self,
        level: Level,
        group: u32,
        blocks: &[(Entry, usize)],
    ) -> Result<(), Error> {
        let mut good = Vec::new();
        for (entry, file) in blocks {
            let (file, handle) = &self.files[*file];
            good.extend(RollupBlock::parse(file.block(handle, entry)?).ok());
        }
        let Ok(merged) = merge_rollups(&good) else {
            return Ok(());
        };
        let read = RollupBlock::parse(&merged[..]).ok();
        let Some((span, buckets)) = read.and_then(|it| Some((it.span()?, it.buckets()))) else {
            return Ok(());
        };
        let span = (span.0.max(start_of(self.day)), span.1);
        self.writer.add(Some(level), group, buckets, span, &merged)
    }
}
