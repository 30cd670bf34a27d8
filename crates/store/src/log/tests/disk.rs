//! The log on a disk that is full, fails, or loses power.

use std::fs;
use std::io;
use std::path::Path;

use broker::Lsn;

use super::{commit, content, open, record, settings};
use crate::error::StoreError;
use crate::log::{Dropped, Found, Log};
use crate::segment::file_name;
use crate::tests::watch::{Disk, Event, Watch};

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

#[test]
fn a_full_disk_keeps_the_group_until_it_is_written_or_given_up() {
    for errno in [ENOSPC, EIO] {
        let root = testbed::Folder::new();
        let folder = root.path().join("log");
        let watch = Watch::new(root.path());
        let (mut log, _) = open(&folder);
        commit(&mut log, &["a"]);
        let len = fs::metadata(folder.join(file_name(1))).unwrap().len();
        let position = log.append(b"b");
        log.append(b"cc");
        watch.set_fate(move |_, event| match event {
            Event::Wrote(..) | Event::Created(..) => Err(io::Error::from_raw_os_error(errno)),
            _ => Ok(()),
        });
        for _ in 0..2 {
            let error = log.commit().unwrap_err().to_string();
            assert!(error.contains("00000001.log"), "{error}");
            assert!(log.buffered() > 0);
            assert_eq!(content(&log), ["a"]);
            assert_eq!(fs::metadata(folder.join(file_name(1))).unwrap().len(), len);
        }
        watch.set_fate(|_, _| Ok(()));
        log.commit().unwrap();
        assert_eq!(content(&log), ["a", "b", "cc"]);
        assert_eq!(log.reader().record(position).unwrap().unwrap(), b"b");
        log.append(b"given up");
        let dropped = log.drop_buffered();
        assert_eq!((dropped.records, dropped.bytes), (1, 16));
        assert_eq!(log.drop_buffered(), Dropped::default());
        commit(&mut log, &["d"]);
        drop(log);
        let (log, found) = open(&folder);
        assert_eq!(found, Found::default());
        assert_eq!(content(&log), ["a", "b", "cc", "d"]);
    }
}

/// A life of a log. `announce` is called when so many records are durable.
fn live(folder: &Path, announce: &mut dyn FnMut(usize)) -> Result<(), StoreError> {
    let (mut log, _) = Log::open(settings(folder, 150))?;
    let mut written = 0;
    for round in 0..14_usize {
        for _ in 0..=round % 4 {
            log.append(record(written).as_bytes());
            written += 1;
        }
        match round {
            6 => log.begin_segment()?,
            9 => {
                log.commit()?;
                log.remove_before(2)?;
            }
            _ => log.commit()?,
        }
        announce(written);
    }
    Ok(())
}

/// Records without a gap, from the first or a later segment on. Returns how many there have ever been.
fn count(log: &Log) -> usize {
    let records = content(log);
    let Some(first) = records.first() else {
        return 0;
    };
    let first: usize = first.split(' ').next().unwrap().parse().unwrap();
    let expected: Vec<_> = (first..first + records.len()).map(record).collect();
    assert_eq!(records, expected);
    first + records.len()
}

#[test]
fn what_was_committed_is_there_whenever_the_power_fails() {
    let root = testbed::Folder::new();
    let watch = Watch::new(root.path());
    let folder = root.path().join("log");
    live(&folder, &mut |written| watch.announce(Lsn(written as u64))).unwrap();
    let events = watch.events();
    drop(watch);
    let mut disk = Disk::new(root.path());
    let mut random = 7_u64;
    for event in &events {
        disk.happened(event);
        for part in 0..6 {
            let left = testbed::Folder::new();
            disk.leave(left.path(), &mut || {
                random = random.wrapping_mul(6_364_136_223_846_793_005) + 1;
                match part {
                    0 => false,
                    1 => true,
                    _ => random >> 63 == 1,
                }
            });
            let folder = left.path().join("log");
            let (mut log, found) = open(&folder);
            assert_eq!(found.damaged, []);
            let found = count(&log);
            let announced = usize::try_from(disk.announced.0).unwrap();
            assert!(
                (announced..=announced + 4).contains(&found),
                "{announced}: {found}"
            );
            commit(&mut log, &[&record(found)]);
            drop(log);
            let (log, again) = open(&folder);
            assert_eq!(again, Found::default());
            assert_eq!(count(&log), found + 1);
        }
    }
}

#[test]
fn a_kill_costs_the_commit_that_it_interrupts() {
    let root = testbed::Folder::new();
    let watch = Watch::new(root.path());
    live(&root.path().join("log"), &mut |_| {}).unwrap();
    let events = watch.events().len();
    drop(watch);
    for at in 0..events {
        let root = testbed::Folder::new();
        let folder = root.path().join("log");
        let watch = Watch::new(root.path());
        watch.set_fate(move |number, _| {
            if number < at {
                Ok(())
            } else {
                Err(io::Error::other("killed"))
            }
        });
        let mut written = 0;
        assert!(live(&folder, &mut |at| written = at).is_err());
        drop(watch);
        let (log, found) = open(&folder);
        assert_eq!(found.damaged, []);
        let found = count(&log);
        assert!(
            (written..=written + 4).contains(&found),
            "{written}: {found}"
        );
    }
}

/// Each call to the disk fails once. The caller tries again.
#[test]
fn a_disk_that_fails_once_costs_nothing() {
    for errno in [ENOSPC, EIO] {
        for at in 0..80 {
            let root = testbed::Folder::new();
            let folder = root.path().join("log");
            let watch = Watch::new(root.path());
            let mut has_failed = false;
            watch.set_fate(move |number, _| {
                if number == at && !std::mem::replace(&mut has_failed, true) {
                    return Err(io::Error::from_raw_os_error(errno));
                }
                Ok(())
            });
            let open = || Log::open(settings(&folder, 300));
            let (mut log, _) = open().or_else(|_| open()).unwrap();
            for number in 0..20 {
                log.append(record(number).as_bytes());
                if log.commit().is_err() {
                    log.commit().unwrap();
                }
                if number == 11 && log.begin_segment().is_err() {
                    log.begin_segment().unwrap();
                }
            }
            assert_eq!(count(&log), 20);
            drop(log);
            drop(watch);
            let (log, found) = open().unwrap();
            assert_eq!(found, Found::default(), "{at}");
            assert_eq!(count(&log), 20);
        }
    }
}
