//! No space: the reserve, the records that wait, and what happens in the end.

use std::collections::VecDeque;
use std::fs;

use broker::Lsn;

use super::{
    Folder, GROUP_LEN, HEADER_LEN, Journal, SMALL, Sizes, Source, Store, StoreError, WriteError,
    filled, flip, open, resume, retained, segment,
};

#[test]
fn a_group_without_room_waits_and_is_written_when_there_is_some() {
    let sizes = Sizes {
        most: 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    let mut source = Source::new();
    let mut group = source.group(4);
    while group.0.len() as u64 <= journal.reserve() + journal.free() {
        journal.write(&mut group.0, group.1).unwrap();
        journal.seal().unwrap();
        journal.look_ahead().unwrap();
        group = source.group(4);
    }
    let durable = journal.durable();
    for _ in 0..2 {
        let written = journal.write(&mut group.0, group.1);
        assert!(matches!(written, Err(WriteError::Full(_))), "{written:?}");
        assert!(on_disk(&folder) <= sizes.most);
    }
    // The failed write has changed nothing: with more space everything works again.
    drop(journal);
    let mut journal = resume(folder.path(), SMALL);
    assert_eq!(journal.durable(), durable);
    journal.write(&mut group.0, group.1).unwrap();
    drop(journal);
    let published = u64::from(source.published);
    assert_eq!(retained(&open(folder.path()).unwrap()), published);
}

/// The last acknowledged group is still the last one.
#[test]
fn a_group_that_waits_for_room_does_not_cost_the_seal_of_the_one_before_it() {
    let sizes = Sizes {
        most: 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    let mut source = Source::new();
    let (mut group, last) = source.group(4);
    journal.write(&mut group, last).unwrap();
    journal.seal().unwrap();
    let (mut large, last) = source.group(40);
    for _ in 0..2 {
        let written = journal.write(&mut large, last);
        assert!(matches!(written, Err(WriteError::Full(_))), "{written:?}");
    }
    drop(journal);
    flip(&segment(&folder, 1), HEADER_LEN as u64 + 300);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[test]
fn a_clean_end_seals_the_last_group_though_nothing_was_reserved_for_that() {
    let (mut group, last) = Source::new().group(4);
    let sizes = Sizes {
        segment: (HEADER_LEN + group.len()) as u64,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    journal.write(&mut group, last).unwrap();
    assert_eq!(journal.reserve(), 0);
    journal.close().unwrap();
    flip(&segment(&folder, 1), HEADER_LEN as u64 + 300);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

/// If there is no space for a whole segment, the store reserves what there is.
#[test]
fn the_next_segment_is_as_long_as_there_is_room() {
    let sizes = Sizes {
        most: 4096 + 2500,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    let mut source = Source::new();
    let next = folder.path().join("journal/next");
    while !next.exists() {
        assert_eq!(journal.segments(), 1);
        let (mut group, last) = source.group(1);
        journal.write(&mut group, last).unwrap();
        journal.look_ahead().unwrap();
    }
    assert_eq!(fs::metadata(next).unwrap().len(), 2048);
    assert_eq!(journal.free(), 2500);
    while journal.segments() == 1 {
        let (mut group, last) = source.group(1);
        journal.write(&mut group, last).unwrap();
    }
    assert!(on_disk(&folder) <= sizes.most);
}

/// A checkpoint makes everything before it obsolete, wherever it begins.
#[tokio::test]
async fn a_copy_begins_in_a_file_of_its_own() {
    let folder = testbed::Folder::new();
    let (store, _failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    let mut source = Source::new();
    for _ in 0..3 {
        let (group, last) = source.group(2);
        store.leave();
        store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
        while store.durable() < last {
            store.news().await;
        }
        store.trim(Lsn(last.0 - 1));
        while store.trimmed() < Lsn(last.0 - 1) {
            store.news().await;
        }
        let stats = store.stats();
        let used = (HEADER_LEN + group.len()) as u64;
        assert_eq!((stats.segments, stats.journal_bytes), (1, used));
    }
    store.close();
}

/// An error that has another cause than space is reported as such.
#[test]
fn the_next_segment_that_cannot_be_made_is_named() {
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), SMALL);
    let (mut group, last) = Source::new().group(16);
    journal.write(&mut group, last).unwrap();
    let next = folder.path().join("journal/next");
    fs::create_dir(&next).unwrap();
    let error = journal.look_ahead().unwrap_err().to_string();
    assert!(error.contains(next.to_str().unwrap()), "{error}");
}

/// Nothing is written before a group. So if the group does not fit into the current segment, the space
/// that is left there can be given back.
#[test]
fn a_group_with_room_only_in_all_that_is_left_together_is_written() {
    let sizes = Sizes {
        most: 2 * 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    let mut source = Source::new();
    while journal.reserve() > 1_500 {
        let (mut group, last) = source.group(1);
        journal.write(&mut group, last).unwrap();
    }
    journal.look_ahead().unwrap();
    let reserve = journal.reserve();
    assert!(reserve > 1_000, "{reserve}");
    let (mut group, mut last) = source.group(1);
    while group.len() < 4_500 {
        let (more, lsn) = source.group(1);
        group.extend_from_slice(&more[GROUP_LEN..]);
        last = lsn;
    }
    assert!(group.len() as u64 > journal.free().max(reserve));
    journal.write(&mut group, last).unwrap();
    assert_eq!(journal.segments(), 2);
    // A group that does not fit into all of it waits, and then uses the space that was freed.
    let (mut group, last) = source.group(30);
    for _ in 0..2 {
        let written = journal.write(&mut group, last);
        assert!(matches!(written, Err(WriteError::Full(_))), "{written:?}");
    }
    drop(journal);
    let mut journal = resume(folder.path(), SMALL);
    journal.write(&mut group, last).unwrap();
    drop(journal);
    let recovered = open(folder.path()).unwrap();
    assert_eq!(
        (recovered.last, retained(&recovered)),
        (last, u64::from(source.published))
    );
}

#[tokio::test]
async fn a_store_says_how_much_room_it_has_and_when_there_is_more() {
    let sizes = Sizes {
        most: 4 * 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let (store, _failed) = Store::start(resume(folder.path(), sizes), 0).unwrap();
    let mut source = Source::new();
    let mut last = Lsn(0);
    let mut written = 0;
    while store.room() > 2_000 {
        let (group, lsn) = source.group(2);
        store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
        while store.durable() < lsn {
            store.news().await;
        }
        last = lsn;
        written += group.len() as u64;
        // The store never reports more than there is.
        assert!(store.room() + written <= sizes.most, "{lsn:?}");
        assert!(lsn < Lsn(500), "always room");
    }
    assert_eq!(store.trimmed(), Lsn(0));
    store.trim(last);
    while store.trimmed() < last {
        store.news().await;
    }
    assert!(store.room() > 4_096, "{}", store.room());
    assert_eq!(store.stats().checkpoints, 1);
    store.close();
}

/// When too many records wait, the store ends. Nothing is lost that was reported as durable.
#[tokio::test]
async fn a_store_without_any_reserve_waits_and_then_ends_before_memory_does() {
    const WAITING: usize = 20_000;
    let sizes = Sizes {
        most: 4 * 4096,
        waiting: WAITING,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let (store, mut failed) = Store::start(resume(folder.path(), sizes), 0).unwrap();
    let mut source = Source::new();
    let mut last = Lsn(0);
    // Fills the store, and the reserve too, until a group has no space. The store tries again and again,
    // and reports each time that nothing has changed.
    let mut in_vain = 0;
    while in_vain < 4 {
        let (group, lsn) = source.group(1);
        store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
        in_vain = 0;
        while store.durable() < lsn && in_vain < 4 {
            store.news().await;
            in_vain += 1;
        }
        if store.durable() == lsn {
            (last, in_vain) = (lsn, 0);
        }
        assert!(lsn < Lsn(500), "there is always room");
    }
    assert_eq!(store.durable(), last);
    // Further records wait, up to the limit.
    let mut waiting = 0;
    while waiting < WAITING / 2 {
        let (group, _) = source.group(1);
        waiting += group.len() - GROUP_LEN;
        store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    }
    store.news().await;
    store.news().await;
    assert!(failed.try_recv().is_err(), "it is to wait");
    let (group, _) = source.group(200);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    let error = failed.await.unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, StoreError::Overfull { waiting, .. } if waiting > WAITING),
        "{text}"
    );
    for part in [folder.path().to_str().unwrap(), "full", "Make room"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(store.durable(), last);
    store.close();
    // Exactly what was reported as durable is there. With space the store works again.
    let recovered = open(folder.path()).unwrap();
    assert_eq!((recovered.last, retained(&recovered)), (last, last.0));
    let mut journal = resume(folder.path(), SMALL);
    let published = u16::try_from(last.0).unwrap();
    let (mut group, next) = Source::going_on(recovered.broker, published).group(1);
    journal.write(&mut group, next).unwrap();
    drop(journal);
    assert_eq!(retained(&open(folder.path()).unwrap()), last.0 + 1);
}

/// A store that is closed then does not report that too much waits.
#[tokio::test]
async fn a_store_that_is_closed_while_a_group_waits_for_room_says_what_is_not_stored() {
    let sizes = Sizes {
        most: 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let (store, failed) = Store::start(resume(folder.path(), sizes), 0).unwrap();
    let (group, _) = Source::new().group(100);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    store.close();
    let error = failed.await.unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, StoreError::EndedFull { waiting, .. } if waiting >= group.len()),
        "{text}"
    );
    assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
}

/// Nobody waits for records that only concern the journal, so an idle server ends well on a full disk.
#[tokio::test]
async fn a_store_that_lacks_room_for_its_own_affairs_alone_is_closed_as_always() {
    for is_idle in [true, false] {
        let folder = testbed::Folder::new();
        filled(folder.path(), 30, true);
        let full = Sizes {
            most: on_disk(&folder),
            ..SMALL
        };
        let mut recovered = open(folder.path()).unwrap();
        let before = (retained(&recovered), recovered.last);
        let (store, failed) = Store::start(resume(folder.path(), full), 0).unwrap();
        // The record says that the server has started.
        store.append(|out| recovered.broker.take_journal(out));
        store.news().await;
        if !is_idle {
            let mut source = Source::going_on(recovered.broker, 120);
            let (group, _) = source.group(1);
            store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
        }
        store.close();
        match failed.await {
            Ok(error) => assert!(
                matches!(error, StoreError::EndedFull { .. }) && !is_idle,
                "{error}"
            ),
            Err(_) => assert!(is_idle),
        }
        let after = open(folder.path()).unwrap();
        assert_eq!((retained(&after), after.last), before);
    }
}

/// A new folder on a disk that is smaller than a segment.
#[test]
fn the_first_segment_is_as_long_as_there_is_room() {
    let sizes = Sizes {
        segment: 1 << 20,
        most: 300 << 10,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    assert_eq!(on_disk(&folder), 256 << 10);
    // Otherwise the reserve would be the whole disk.
    assert_eq!(journal.kept(), 32 << 10);
    let (mut group, last) = Source::new().group(4);
    journal.write(&mut group, last).unwrap();
    drop(journal);
    assert_eq!(retained(&open(folder.path()).unwrap()), 4);
}

#[test]
fn a_disk_without_room_for_the_first_segment_says_how_much_it_takes() {
    let sizes = Sizes {
        segment: 1 << 20,
        most: 60 << 10,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let ours = Folder::open(folder.path()).unwrap();
    let error = Journal::resume(ours, sizes, VecDeque::new(), Lsn(0)).unwrap_err();
    let text = error.to_string();
    for part in [folder.path().to_str().unwrap(), "needs 128.0 KiB", "--data"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(on_disk(&folder), 0);
}

/// How many bytes the files take.
fn on_disk(folder: &testbed::Folder) -> u64 {
    let files = fs::read_dir(folder.path().join("journal")).unwrap();
    files.map(|it| it.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn a_full_disk_does_not_keep_a_folder_from_being_opened() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 30, true);
    let before = open(folder.path()).unwrap();
    let kept = (retained(&before), before.last);
    let full = Sizes {
        segment: 1 << 20,
        most: on_disk(&folder),
        ..SMALL
    };
    let journal = resume(folder.path(), full);
    assert_eq!(journal.reserve(), 0);
    assert_eq!(journal.durable(), kept.1);
    drop(journal);
    let after = open(folder.path()).unwrap();
    assert_eq!((retained(&after), after.last), kept);
}

/// The size may have been larger before, or a group larger than a segment.
#[test]
fn a_full_disk_does_not_cost_what_is_in_a_file_that_is_longer_than_they_are_now() {
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), SMALL);
    let (mut group, last) = Source::new().group(100);
    journal.write(&mut group, last).unwrap();
    drop(journal);
    let full = Sizes {
        most: on_disk(&folder),
        ..SMALL
    };
    for _ in 0..2 {
        let journal = resume(folder.path(), full);
        assert_eq!((journal.durable(), journal.reserve()), (last, 0));
        drop(journal);
        let after = open(folder.path()).unwrap();
        assert_eq!((retained(&after), after.last), (100, last));
    }
}

/// The journal never takes more of the disk than is allowed, and leaves no files that it does not
/// count.
#[test]
fn the_limit_holds_however_often_the_server_is_killed_and_started() {
    let folder = testbed::Folder::new();
    let limited = Sizes {
        most: 4 * 4096,
        ..SMALL
    };
    let mut source = Source::new();
    let (mut group, mut last) = source.group(3);
    let mut refused = 0;
    for _ in 0..60 {
        let mut journal = resume(folder.path(), limited);
        assert!(on_disk(&folder) <= limited.most, "{}", on_disk(&folder));
        match journal.write(&mut group, last) {
            Ok(()) => (group, last) = source.group(3),
            Err(WriteError::Full(_)) => refused += 1,
            Err(WriteError::Broken(error)) => panic!("{error}"),
        }
        // Space that is not counted would be used twice.
        let counted = limited.most - journal.free();
        assert_eq!(counted, on_disk(&folder));
        assert!(counted <= limited.most);
    }
    assert!(refused > 10, "{refused}");
}
