//! Loss of power: everything that was reported as durable is there, whatever the disk has of the rest.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use broker::{Input, Lsn, Output};
use bytes::BytesMut;

use super::super::segment::{file_name, number_of};
use super::watch::{Disk, Event, Watch};
use super::{
    Folder, GROUP_LEN, HEADER_LEN, Journal, NOW, SMALL, Source, Store, StoreError, WriteError,
    newest, open, options, recover, resume, retained,
};

/// The error of a disk that has failed.
const EIO: i32 = 5;
/// The error of a full disk.
const ENOSPC: i32 = 28;

/// A folder that does not exist yet, in another one that does not exist yet.
fn data(root: &Path) -> PathBuf {
    root.join("new/data")
}

/// A process that stores messages, and reports each group as durable.
struct Life<'a> {
    watch: &'a Watch,
    journal: Journal,
    source: Source,
    history: &'a mut History,
}

/// How many messages are retained after each record.
#[derive(Clone)]
struct History(Vec<u64>);

impl History {
    fn new() -> Self {
        Self(vec![0])
    }

    fn at(&self, lsn: Lsn) -> u64 {
        self.0[usize::try_from(lsn.0).unwrap()]
    }
}

impl<'a> Life<'a> {
    /// Continues with what is stored. That may include messages that were not reported yet.
    fn begin(root: &Path, watch: &'a Watch, history: &'a mut History) -> Result<Self, StoreError> {
        let folder = Folder::open(&data(root))?;
        let recovered = recover(&folder, &options(), NOW)?;
        let last = recovered.last;
        let messages = retained(&recovered);
        assert_eq!(messages, history.at(last), "at {last:?}");
        history.0.truncate(usize::try_from(last.0).unwrap() + 1);
        let journal = Journal::resume(folder, SMALL, recovered.segments, last)?;
        watch.announce(last);
        let published = u16::try_from(messages).unwrap();
        Ok(Self {
            watch,
            journal,
            source: Source::going_on(recovered.broker, published),
            history,
        })
    }

    /// Writes several segments, and removes old ones.
    fn run(&mut self) -> Result<(), StoreError> {
        for _ in 0..11 {
            self.publish(3)?;
        }
        self.copy()?;
        for _ in 0..3 {
            self.publish(3)?;
        }
        Ok(())
    }

    fn publish(&mut self, count: u16) -> Result<(), StoreError> {
        let (group, last) = self.source.group(count);
        let known = self.history.0.len() as u64;
        let before = *self.history.0.last().unwrap();
        // The first record after a start says that the server has started.
        let first = last.0 + 1 - u64::from(count);
        assert!(first == known || first == known + 1, "a record a message");
        self.history.0.extend((known..first).map(|_| before));
        let retained = (1..=u64::from(count)).map(|more| before + more);
        self.history.0.extend(retained);
        self.write(group, last)
    }

    /// Makes a checkpoint, and removes what is before it.
    fn copy(&mut self) -> Result<(), StoreError> {
        let mut group = BytesMut::zeroed(GROUP_LEN);
        assert!(!self.source.broker.checkpoint(NOW, usize::MAX));
        let last = self.source.drain().unwrap();
        self.source.broker.take_journal(&mut group);
        let retained = *self.history.0.last().unwrap();
        let len = usize::try_from(last.0).unwrap() + 1;
        self.history.0.resize(len, retained);
        self.write(group, last)?;
        let broker = &mut self.source.broker;
        broker.handle_input(NOW, Input::Persisted(last));
        loop {
            match broker.poll_output() {
                Output::Checkpointed(from) => return self.journal.trim(from),
                Output::Idle(_) => panic!("no copy"),
                _ => {}
            }
        }
    }

    /// Writes as the thread does.
    fn write(&mut self, mut group: BytesMut, last: Lsn) -> Result<(), StoreError> {
        let written = self.journal.write(&mut group, last);
        written
            .and_then(|()| self.journal.seal())
            .map_err(|error| match error {
                WriteError::Broken(error) => error,
                WriteError::Full(error) => panic!("full: {error}"),
            })?;
        self.watch.announce(last);
        self.journal.look_ahead()
    }
}

/// The power fails now. `seed` chooses what the disk has of what was not synced. A server starts on that
/// and continues; then the power fails again.
fn assert_outlives(disk: &Disk, history: &History, seed: u64, again: bool) {
    let root = testbed::Folder::new();
    let mut random = Random(seed);
    disk.leave(root.path(), &mut || match seed {
        NOTHING => false,
        EVERYTHING => true,
        _ => random.flip(),
    });
    if seed == NOTHING {
        assert_is_noted(root.path());
    }
    let watch = Watch::new(root.path());
    let mut history = history.clone();
    let mut life = Life::begin(root.path(), &watch, &mut history)
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let last = life.journal.durable();
    assert!(
        last >= disk.announced,
        "seed {seed}: {:?} was announced, {last:?} is left",
        disk.announced
    );
    if again {
        life.publish(2).unwrap();
        drop(life);
        let mut disk = Disk::new(root.path());
        for event in watch.events() {
            disk.happened(&event);
        }
        assert_outlives(&disk, &history, NOTHING, false);
        assert_outlives(&disk, &history, seed, false);
    }
}

/// Checks that a missing last segment would be noticed, if something is stored in it.
fn assert_is_noted(root: &Path) {
    let folder = data(root);
    let segments = std::fs::read_dir(folder.join("journal"));
    let names = segments.into_iter().flatten();
    let names = names.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let Some(last) = names.filter_map(|name| number_of(&name)).max() else {
        return;
    };
    let bytes = std::fs::read(folder.join("journal").join(file_name(last))).unwrap();
    if bytes[HEADER_LEN..].iter().any(|&byte| byte != 0) {
        assert_eq!(newest::read(&folder).unwrap(), Some(last));
    }
}

/// Seeds for what the disk has of what was not synced. Any other number means a part of it.
const NOTHING: u64 = 0;
const EVERYTHING: u64 = 1;

/// xorshift64*: the same each time.
struct Random(u64);

impl Random {
    fn flip(&mut self) -> bool {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 63 == 1
    }
}

/// The events of a whole life on a new disk.
fn whole_life() -> (testbed::Folder, Vec<Event>, History) {
    let root = testbed::Folder::new();
    let watch = Watch::new(root.path());
    let mut history = History::new();
    let mut life = Life::begin(root.path(), &watch, &mut history).unwrap();
    life.run().unwrap();
    assert!(life.journal.segments() > 1, "{}", life.journal.segments());
    life.journal.close().unwrap();
    let events = watch.events();
    drop(watch);
    (root, events, history)
}

/// A life that `fate` ends, then another one that continues with the files as the system has them. Then
/// the power fails.
fn assert_next_life_outlives(
    seed: u64,
    fate: impl FnMut(usize, &Event) -> io::Result<()> + Send + 'static,
) -> Result<(), StoreError> {
    let root = testbed::Folder::new();
    let watch = Watch::new(root.path());
    let mut history = History::new();
    watch.set_fate(fate);
    let lived = Life::begin(root.path(), &watch, &mut history).and_then(|mut life| {
        life.run()?;
        life.journal.close()
    });
    watch.set_fate(|_, _| Ok(()));
    let before = watch.events().len();
    let mut life = Life::begin(root.path(), &watch, &mut history).unwrap();
    life.publish(2).unwrap();
    drop(life);
    let mut disk = Disk::new(root.path());
    for (number, event) in watch.events().iter().enumerate() {
        disk.happened(event);
        if number >= before && matches!(event, Event::Announced(_)) {
            assert_outlives(&disk, &history, NOTHING, false);
            assert_outlives(&disk, &history, seed, false);
        }
    }
    lived
}

#[test]
fn what_was_announced_is_there_whenever_the_power_fails() {
    let (root, events, history) = whole_life();
    let mut disk = Disk::new(root.path());
    for (number, event) in events.iter().enumerate() {
        disk.happened(event);
        let some = 2 * number as u64 + 2;
        for (seed, again) in [
            (NOTHING, true),
            (EVERYTHING, false),
            (some, true),
            (some + 1, false),
        ] {
            assert_outlives(&disk, &history, seed, again);
        }
    }
    assert_eq!(disk.announced, Lsn(history.0.len() as u64 - 1));
}

/// What the next process reads may be only in the memory of the system.
#[test]
fn what_is_read_after_a_kill_is_there_whenever_the_power_fails() {
    let (_, events, _) = whole_life();
    for at in 0..events.len() {
        let killed = move |number, _: &Event| {
            if number < at {
                Ok(())
            } else {
                Err(io::Error::other("killed"))
            }
        };
        assert!(assert_next_life_outlives(at as u64 + 2, killed).is_err());
    }
}

/// Linux reports such an error once, and then behaves as if nothing had happened.
#[test]
fn a_sync_that_fails_is_not_made_good_by_another_one() {
    let (root, events, _) = whole_life();
    for (at, event) in events.iter().enumerate() {
        let matters = match event {
            Event::Synced(_) => true,
            Event::SyncedFolder(path) => path.starts_with(data(root.path())),
            _ => false,
        };
        if matters {
            let fails = move |number, _: &Event| {
                if number == at {
                    Err(io::Error::from_raw_os_error(EIO))
                } else {
                    Ok(())
                }
            };
            let error = assert_next_life_outlives(at as u64 + 2, fails).unwrap_err();
            assert!(matches!(error, StoreError::Io { .. }), "{error}");
        }
    }
}

/// The thread, through the handle that the shard has.
#[tokio::test]
async fn nothing_is_announced_before_the_disk_has_it() {
    let folder = testbed::Folder::new();
    let watch = Watch::new(folder.path());
    let (store, _failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    let (asks, asked) = mpsc::channel();
    let (lets, is_let) = mpsc::channel();
    watch.set_fate(move |_, event| {
        if matches!(event, Event::Synced(_)) {
            asks.send(()).unwrap();
            let () = is_let.recv().unwrap();
        }
        Ok(())
    });
    let mut source = Source::new();
    for _ in 0..3 {
        let before = store.durable();
        let (group, last) = source.group(2);
        store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
        let asked = asked.recv_timeout(testbed::PATIENCE);
        asked.expect("the disk is asked to have it");
        assert_eq!(store.durable(), before);
        lets.send(()).unwrap();
        while store.durable() < last {
            store.news().await;
        }
    }
    drop(lets);
    drop(asked);
    watch.set_fate(|_, _| Ok(()));
    store.close();
}

#[tokio::test]
async fn a_sync_that_fails_ends_the_store_and_is_not_tried_again() {
    let folder = testbed::Folder::new();
    let watch = Watch::new(folder.path());
    let (store, failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    watch.set_fate(move |_, event| match event {
        // Only the first sync fails.
        Event::Synced(_) if count.fetch_add(1, Ordering::Relaxed) == 0 => {
            Err(io::Error::from_raw_os_error(EIO))
        }
        _ => Ok(()),
    });
    let mut source = Source::new();
    let (group, _) = source.group(2);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    let failed = tokio::time::timeout(testbed::PATIENCE, failed).await;
    let text = failed.expect("an end").unwrap().to_string();
    assert!(text.contains("journal/00000001.log"), "{text}");
    let (group, _) = source.group(2);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    assert_eq!(store.durable(), Lsn(0));
    store.close();
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

/// If there was no space, it can work later, if the whole group is written again.
#[tokio::test]
async fn a_sync_without_room_is_tried_again_with_all_of_the_group() {
    let folder = testbed::Folder::new();
    let watch = Watch::new(folder.path());
    let (store, _failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    watch.set_fate(move |_, event| match event {
        // Only the first sync fails.
        Event::Synced(_) if count.fetch_add(1, Ordering::Relaxed) == 0 => {
            Err(io::Error::from_raw_os_error(ENOSPC))
        }
        _ => Ok(()),
    });
    let (group, last) = Source::new().group(2);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    while store.durable() < last {
        store.news().await;
    }
    assert!(asked.load(Ordering::Relaxed) > 1);
    let mut disk = Disk::new(folder.path());
    for event in watch.events() {
        disk.happened(&event);
    }
    let left = testbed::Folder::new();
    disk.leave(left.path(), &mut || false);
    assert_eq!(open(left.path()).unwrap().last, last);
    store.close();
}
