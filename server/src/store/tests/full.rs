//! No room: the reserve, what waits, and the end of that.

use broker::{Lsn, StoreState};

use super::{
    GROUP_LEN, SMALL, Sizes, Source, Store, StoreError, WriteError, filled, open, resume, retained,
};

#[test]
fn without_room_the_rest_of_the_segment_is_the_reserve_and_then_a_group_waits() {
    let sizes = Sizes {
        most: 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    let mut source = Source::new();
    let mut group = source.group(4);
    while journal.look_ahead().is_ok() {
        journal.write(&mut group.0, group.1).unwrap();
        group = source.group(4);
    }
    assert!(journal.reserve() > 1000, "{}", journal.reserve());
    while group.0.len() as u64 <= journal.reserve() {
        journal.write(&mut group.0, group.1).unwrap();
        group = source.group(4);
    }
    let durable = journal.durable();
    for _ in 0..2 {
        let written = journal.write(&mut group.0, group.1);
        assert!(matches!(written, Err(WriteError::Full(_))), "{written:?}");
    }
    // It was as if nothing had been tried: with more room all goes on.
    drop(journal);
    let mut journal = resume(folder.path(), SMALL);
    assert_eq!(journal.durable(), durable);
    journal.write(&mut group.0, group.1).unwrap();
    drop(journal);
    let published = u64::from(source.published);
    assert_eq!(retained(&open(folder.path()).unwrap()), published);
}

/// Nothing goes before a group, so what the current segment has left is of use to nobody if the
/// group is longer.
#[test]
fn a_group_with_room_only_in_all_that_is_left_together_is_written() {
    let sizes = Sizes {
        most: 2 * 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), sizes);
    let mut source = Source::new();
    while journal.look_ahead().is_ok() {
        let (mut group, last) = source.group(1);
        journal.write(&mut group, last).unwrap();
    }
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
    // One that has no room in all of it together waits, and then finds what was made.
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
async fn a_full_store_says_so_and_says_when_there_is_room() {
    let sizes = Sizes {
        most: 4 * 4096,
        ..SMALL
    };
    let folder = testbed::Folder::new();
    let (store, _failed) = Store::start(resume(folder.path(), sizes), 0).unwrap();
    let mut source = Source::new();
    let mut last = Lsn(0);
    while store.state() == StoreState::Ready {
        let (group, lsn) = source.group(2);
        store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
        while store.durable() < lsn {
            store.news().await;
        }
        last = lsn;
        // The state follows the group; a quiet moment would bring it, too.
        assert!(lsn < Lsn(500), "never full");
    }
    assert!(store.stats().is_full && store.stats().reserve_bytes > 1000);
    store.trim(last);
    while store.state() == StoreState::Full {
        store.news().await;
    }
    assert_eq!(
        (store.stats().checkpoints, store.stats().times_full),
        (1, 1)
    );
    store.close();
}

/// What cannot even be put by ends the store, and nothing that somebody was told of is lost.
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
    // Through what is refused to clients, and through the reserve, until a group has no room: it
    // is tried again and again, and each time there is news of nothing.
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
    assert_eq!((store.state(), store.durable()), (StoreState::Full, last));
    // What comes meanwhile waits, up to the limit.
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
    // All that was called durable, and nothing else, is there; with room it goes on.
    let recovered = open(folder.path()).unwrap();
    assert_eq!((recovered.last, retained(&recovered)), (last, last.0));
    let mut journal = resume(folder.path(), SMALL);
    let published = u16::try_from(last.0).unwrap();
    let (mut group, next) = Source::going_on(recovered.broker, published).group(1);
    journal.write(&mut group, next).unwrap();
    drop(journal);
    assert_eq!(retained(&open(folder.path()).unwrap()), last.0 + 1);
}

#[test]
fn a_full_disk_does_not_keep_a_folder_from_being_opened() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 30, true);
    let before = open(folder.path()).unwrap();
    let kept = (retained(&before), before.last);
    // No disk has that much room.
    let full = Sizes {
        segment: 1 << 60,
        ..SMALL
    };
    let journal = resume(folder.path(), full);
    assert_eq!(journal.reserve(), 0);
    assert_eq!(journal.durable(), kept.1);
    drop(journal);
    let after = open(folder.path()).unwrap();
    assert_eq!((retained(&after), after.last), kept);
}
