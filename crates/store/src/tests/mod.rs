//! The store as a whole, on real files, with records of a real broker.

mod full;
mod power;
pub(super) mod watch;

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use broker::{BrokerOptions, Conn, Input, Lsn, Output, Peer};
use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, Instant, Packet, PacketId, ProtocolVersion, Publish, QoS, TopicName, Utf8String,
    encode,
};

use super::folder::Folder;
use super::journal::{Journal, WriteError};
use super::newest;
use super::recover::{Recovered, recover};
use super::salvage::salvage;
use super::segment::{GROUP_LEN, HEADER_LEN};
use super::{Sizes, Stats, Store, StoreError};
use watch::{Event, Watch};

const NOW: Instant = Instant::from_millis(1_000);
const SMALL: Sizes = Sizes {
    segment: 4096,
    most: u64::MAX,
    waiting: 1 << 20,
};

fn options() -> BrokerOptions {
    BrokerOptions {
        durable: true,
        ..BrokerOptions::default()
    }
}

/// A broker whose one client publishes retained messages, each to a topic of its own.
struct Source {
    broker: broker::Broker,
    published: u16,
}

impl Source {
    fn new() -> Self {
        Self::going_on(broker::Broker::new(NOW, options()), 0)
    }

    fn going_on(broker: broker::Broker, published: u16) -> Self {
        let mut source = Self { broker, published };
        source
            .broker
            .handle_input(NOW, Input::Opened(Conn(1), Peer::MEMORY));
        source.send(&Packet::Connect(Connect::new(
            ProtocolVersion::V5,
            "source",
        )));
        source
    }

    /// A group that consists of `count` more messages, and its last record.
    fn group(&mut self, count: u16) -> (BytesMut, Lsn) {
        let mut group = BytesMut::zeroed(GROUP_LEN);
        let mut last = Lsn(0);
        for _ in 0..count {
            self.published += 1;
            let topic = Utf8String::try_from(format!("t/{}", self.published)).unwrap();
            let mut publish = Publish::new(TopicName::new(topic).unwrap(), vec![b'x'; 100]);
            publish.qos = QoS::AtLeastOnce;
            publish.retain = true;
            publish.packet_id = PacketId::new(self.published);
            self.send(&Packet::Publish(publish));
            last = self.drain().unwrap();
            self.broker.take_journal(&mut group);
            self.broker.handle_input(NOW, Input::Persisted(last));
        }
        (group, last)
    }

    fn send(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        encode(packet, ProtocolVersion::V5, &mut bytes).unwrap();
        self.broker
            .handle_input(NOW, Input::Bytes(Conn(1), bytes.freeze()));
    }

    fn drain(&mut self) -> Option<Lsn> {
        let mut last = None;
        loop {
            match self.broker.poll_output() {
                Output::Persist(lsn) => {
                    last = Some(lsn);
                    // The broker would ask for this without end, because nothing answers it here.
                    return last;
                }
                Output::Write(conn) => {
                    self.broker.take_writes(conn, &mut BytesMut::new());
                    self.broker.handle_input(NOW, Input::Drained(conn));
                }
                Output::Idle(_) => return last,
                Output::Connected(..) | Output::Limited(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Writes `groups` groups of four messages each, and closes properly or as a crash would.
fn filled(path: &Path, groups: u16, clean: bool) {
    let mut journal = resume(path, SMALL);
    let mut source = Source::new();
    for _ in 0..groups {
        let (mut group, last) = source.group(4);
        journal.write(&mut group, last).unwrap();
        journal.look_ahead().unwrap();
    }
    if clean {
        journal.close().unwrap();
    }
}

fn open(path: &Path) -> Result<Recovered, StoreError> {
    recover(&Folder::open(path).unwrap(), &options(), NOW)
}

fn resume(path: &Path, sizes: Sizes) -> Journal {
    let folder = Folder::open(path).unwrap();
    let recovered = recover(&folder, &options(), NOW).unwrap();
    Journal::resume(folder, sizes, recovered.segments, recovered.last).unwrap()
}

fn open_folder(folder: &testbed::Folder) -> Folder {
    Folder::open(folder.path()).unwrap()
}

fn retained(recovered: &Recovered) -> u64 {
    recovered.broker.metrics().retained_messages
}

fn segment(folder: &testbed::Folder, number: u64) -> PathBuf {
    folder.path().join(format!("journal/{number:08}.log"))
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

#[test]
fn everything_is_read_again_after_an_end_and_after_a_crash() {
    for clean in [true, false] {
        let folder = testbed::Folder::new();
        filled(folder.path(), 20, clean);
        let recovered = open(folder.path()).unwrap();
        assert_eq!(retained(&recovered), 80);
        assert_eq!(recovered.torn_bytes, 0);
        assert!(recovered.segments.len() > 2, "{:?}", recovered.segments);
        let last = recovered.last;

        // New records follow the old ones, and are read too.
        let mut source = Source::going_on(recovered.broker, 80);
        let mut journal = resume(folder.path(), SMALL);
        assert_eq!(journal.durable(), last);
        let (mut group, last) = source.group(4);
        journal.write(&mut group, last).unwrap();
        drop(journal);
        let recovered = open(folder.path()).unwrap();
        assert_eq!((retained(&recovered), recovered.last), (84, last));
    }
}

#[test]
fn a_torn_tail_is_cut_off_once_and_costs_only_itself() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 3, false);
    let recovered = open(folder.path()).unwrap();
    let path = segment(&folder, 1);
    let end = recovered.segments[0].bytes;
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    // Half a frame.
    file.write_all_at(&[90, 0, 0, 0, 1, 2, 3, 4, 13, 0, 0, 0, 0, 0, 0, 0, 7], end)
        .unwrap();
    let recovered = open(folder.path()).unwrap();
    assert_eq!((retained(&recovered), recovered.torn_bytes), (12, 17));
    let recovered = open(folder.path()).unwrap();
    assert_eq!((retained(&recovered), recovered.torn_bytes), (12, 0));
}

#[test]
fn damage_before_the_last_group_is_refused_and_nothing_is_changed() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 20, false);
    let path = segment(&folder, 1);
    flip(&path, HEADER_LEN as u64 + 300);
    let before = fs::read(&path).unwrap();
    let error = open(folder.path()).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, StoreError::Damaged(_)), "{text}");
    for part in [
        path.to_str().unwrap(),
        "byte ",
        "record ",
        "backup",
        "--salvage",
        "--data",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(fs::read(&path).unwrap(), before);
}

/// The seal tells damage of the last group from a torn tail.
#[test]
fn damage_to_the_last_group_is_seen_after_a_clean_end() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 1, true);
    flip(&segment(&folder, 1), HEADER_LEN as u64 + 300);
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
}

#[test]
fn a_file_of_another_folder_is_refused() {
    let (folder, other) = (testbed::Folder::new(), testbed::Folder::new());
    filled(folder.path(), 20, true);
    filled(other.path(), 20, true);
    fs::copy(segment(&other, 2), segment(&folder, 2)).unwrap();
    let text = open(folder.path()).unwrap_err().to_string();
    assert!(text.contains("another data folder"), "{text}");
}

#[test]
fn salvage_changes_nothing_where_nothing_is_damaged() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 20, true);
    let ours = Folder::open(folder.path()).unwrap();
    let recovered = salvage(&ours, &options(), NOW).unwrap();
    assert_eq!(retained(&recovered), 80);
    assert!(!folder.path().join("damaged").exists());
}

#[test]
fn segments_before_a_record_are_removed_and_no_others() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 20, true);
    let segments = open(folder.path()).unwrap().segments;
    let third = segments[2].first;
    let mut journal = resume(folder.path(), SMALL);
    journal.trim(Lsn(third.0 - 1)).unwrap();
    assert_eq!(
        (segment(&folder, 1).exists(), segment(&folder, 2).exists()),
        (false, true)
    );
    journal.trim(third).unwrap();
    assert_eq!(
        (segment(&folder, 2).exists(), segment(&folder, 3).exists()),
        (false, true)
    );
    // The current segment stays in any case.
    let path = journal.folder().segments_path();
    journal.trim(Lsn(u64::MAX)).unwrap();
    let left: Vec<_> = fs::read_dir(path).unwrap().collect();
    assert_eq!((left.len(), journal.segments()), (1, 1));
}

#[test]
fn a_group_larger_than_a_segment_gets_a_larger_one() {
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), SMALL);
    let (mut group, last) = Source::new().group(100);
    assert!(group.len() as u64 > 2 * SMALL.segment);
    journal.write(&mut group, last).unwrap();
    drop(journal);
    assert_eq!(retained(&open(folder.path()).unwrap()), 100);
}

/// The thread, through the handle that the shard uses.
#[tokio::test]
async fn what_is_given_becomes_durable_in_groups_and_is_there_after_closing() {
    let folder = testbed::Folder::new();
    let watch = Watch::new(folder.path());
    let (store, _failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    // The disk is busy with the first group until all are given.
    let (asks, asked) = mpsc::channel();
    let (lets, is_let) = mpsc::channel::<()>();
    watch.set_fate(move |_, event| {
        if matches!(event, Event::Synced(_)) {
            // Waits the first time; later nobody asks.
            let _ = (asks.send(()), is_let.recv());
        }
        Ok(())
    });
    let mut source = Source::new();
    let mut last = Lsn(0);
    for number in 0..50 {
        let (group, lsn) = source.group(3);
        store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
        last = lsn;
        if number == 0 {
            asked.recv_timeout(testbed::PATIENCE).unwrap();
        }
    }
    drop(lets);
    while store.durable() < last {
        store.news().await;
    }
    let Stats {
        groups,
        records,
        bytes,
        waiting_bytes,
        ..
    } = store.stats();
    assert_eq!((records, groups, waiting_bytes), (150, 2, 0));
    assert!(bytes > 15_000, "{bytes}");
    let (group, _) = source.group(3);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    store.close();
    assert_eq!(retained(&open(folder.path()).unwrap()), 153);
}

/// A process that is killed right after it reported a group leaves the seal of that group.
#[tokio::test]
async fn damage_to_the_last_group_is_seen_as_soon_as_it_is_durable() {
    let folder = testbed::Folder::new();
    let (store, _failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    let (group, last) = Source::new().group(3);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    while store.durable() < last {
        store.news().await;
    }
    let copy = testbed::Folder::new();
    fs::create_dir(copy.path().join("journal")).unwrap();
    for name in ["VERSION", "newest", "journal/00000001.log"] {
        fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    }
    flip(&segment(&copy, 1), HEADER_LEN as u64 + 200);
    let error = open(copy.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error}");
    store.close();
}

#[tokio::test]
async fn records_out_of_order_end_the_store_before_they_are_written() {
    let folder = testbed::Folder::new();
    let (store, failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    let mut source = Source::new();
    source.group(1);
    let (group, _) = source.group(1);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    let error = failed.await.unwrap();
    assert!(
        matches!(
            error,
            StoreError::Order {
                expected: 1,
                found: 2
            }
        ),
        "{error}"
    );
    assert_eq!(store.durable(), Lsn(0));
}

/// An error with another cause than space ends the store, because the content of the disk is unknown.
#[tokio::test]
async fn a_file_that_cannot_be_made_ends_the_store_with_its_name() {
    let folder = testbed::Folder::new();
    let (store, failed) = Store::start(resume(folder.path(), SMALL), 0).unwrap();
    fs::create_dir(folder.path().join("journal/next")).unwrap();
    let (group, _) = Source::new().group(100);
    store.append(|out| out.extend_from_slice(&group[GROUP_LEN..]));
    let text = failed.await.unwrap().to_string();
    assert!(text.contains("journal/next"), "{text}");
    assert_eq!(store.durable(), Lsn(0));
}

#[test]
fn a_record_is_a_slice_and_a_frame_of_another_kind_is_no_segment() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 1, true);
    let path = segment(&folder, 1);
    let mut bytes = Bytes::from(fs::read(&path).unwrap());
    assert!(super::read::header(&mut bytes).unwrap().is_some());
    let mut no_header = bytes;
    assert!(super::read::header(&mut no_header).is_err());
}

#[test]
fn salvage_keeps_what_is_before_a_missing_file() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 30, true);
    fs::remove_file(segment(&folder, 3)).unwrap();
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("00000003.log"), "{error}");
    let folder = Folder::open(folder.path()).unwrap();
    let recovered = salvage(&folder, &options(), NOW).unwrap();
    assert!(retained(&recovered) > 0);
    assert_eq!(folder.segments().unwrap(), [1, 2]);
}

/// The store does not wait for a seal. A part of one that is left after a crash must not look like damage
/// in a segment that others follow.
#[test]
fn a_segment_that_was_left_ends_with_its_last_group() {
    let folder = testbed::Folder::new();
    let mut journal = resume(folder.path(), SMALL);
    let mut source = Source::new();
    while journal.segments() == 1 {
        let left = journal.bytes();
        journal.seal().unwrap();
        let (mut group, last) = source.group(4);
        journal.write(&mut group, last).unwrap();
        if journal.segments() > 1 {
            assert_eq!(fs::metadata(segment(&folder, 1)).unwrap().len(), left);
        }
    }
}

#[test]
fn a_missing_file_is_refused_wherever_it_was() {
    for missing in [1, 2] {
        let folder = testbed::Folder::new();
        filled(folder.path(), 20, true);
        fs::remove_file(segment(&folder, missing)).unwrap();
        let text = open(folder.path()).unwrap_err().to_string();
        assert!(text.contains(folder.path().to_str().unwrap()), "{text}");
        assert!(text.contains("missing"), "{text}");
    }
}

/// No later file shows that the newest one existed.
#[test]
fn the_newest_file_is_missed_by_its_note() {
    for clean in [true, false] {
        let folder = testbed::Folder::new();
        filled(folder.path(), 20, clean);
        let last = *open_folder(&folder).segments().unwrap().last().unwrap();
        assert!(last > 2);
        fs::remove_file(segment(&folder, last)).unwrap();
        let before = fs::read_dir(folder.path().join("journal")).unwrap().count();
        let error = open(folder.path()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, StoreError::NewestMissing(_)), "{text}");
        let path = segment(&folder, last);
        for part in [path.to_str().unwrap(), "missing", "backup", "--salvage"] {
            assert!(text.contains(part), "{text}");
        }
        let after = fs::read_dir(folder.path().join("journal")).unwrap().count();
        assert_eq!(before, after);

        // It continues with what is left, and then starts without --salvage.
        let ours = open_folder(&folder);
        let recovered = salvage(&ours, &options(), NOW).unwrap();
        let kept = retained(&recovered);
        assert!(kept > 10 && kept < 80, "{kept}");
        drop(ours);
        assert_eq!(retained(&open(folder.path()).unwrap()), kept);
    }
}

/// A crash can come between a file and its note, and older versions wrote no note.
#[test]
fn a_note_that_is_behind_or_missing_is_no_fault_and_is_put_right() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 20, true);
    let last = *open_folder(&folder).segments().unwrap().last().unwrap();
    for note in [Some(last - 1), None] {
        match note {
            Some(number) => newest::write(folder.path(), number).unwrap(),
            None => fs::remove_file(folder.path().join("newest")).unwrap(),
        }
        drop(resume(folder.path(), SMALL));
        let noted = newest::read(folder.path()).unwrap();
        assert!(noted >= Some(last), "{noted:?}");
    }
}

#[test]
fn salvage_keeps_what_was_before_the_damage_and_moves_the_rest_aside() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 20, true);
    let count = fs::read_dir(folder.path().join("journal")).unwrap().count();
    flip(&segment(&folder, 2), HEADER_LEN as u64 + 700);
    let damaged = fs::read(segment(&folder, 2)).unwrap();
    let ours = Folder::open(folder.path()).unwrap();
    let recovered = salvage(&ours, &options(), NOW).unwrap();
    let kept = retained(&recovered);
    assert!(kept > 10 && kept < 80, "{kept}");
    let aside = folder.path().join("damaged");
    assert_eq!(fs::read(aside.join("00000002.log")).unwrap(), damaged);
    assert_eq!(fs::read_dir(&aside).unwrap().count(), count - 1);
    drop(ours);
    // From now on it starts without --salvage, and works.
    let mut journal = resume(folder.path(), SMALL);
    let recovered = recover(journal.folder(), &options(), NOW).unwrap();
    assert_eq!(retained(&recovered), kept);
    let published = u16::try_from(kept).unwrap();
    let (mut group, last) = Source::going_on(recovered.broker, published).group(2);
    journal.write(&mut group, last).unwrap();
    drop(journal);
    assert_eq!(retained(&open(folder.path()).unwrap()), kept + 2);
}

/// The error must not recommend what has just failed.
#[test]
fn where_nothing_can_be_salvaged_that_is_said() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 20, true);
    let third = open(folder.path()).unwrap().segments[2].first;
    let mut journal = resume(folder.path(), SMALL);
    // Removes the files before it, as after a checkpoint.
    journal.trim(third).unwrap();
    drop(journal);
    flip(&segment(&folder, 3), HEADER_LEN as u64 + 700);
    let error = salvage(&open_folder(&folder), &options(), NOW).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(error, StoreError::NothingToSalvage { .. }),
        "{text}"
    );
    assert!(
        text.contains("backup") && !text.contains("--salvage"),
        "{text}"
    );
    assert!(!folder.path().join("damaged").exists());
}

/// The file may be good, so the obstacle has to be removed, not the file.
#[test]
fn salvage_moves_nothing_aside_that_it_cannot_read() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 20, true);
    let (path, saved) = (segment(&folder, 2), folder.path().join("saved"));
    let count = || fs::read_dir(folder.path().join("journal")).unwrap().count();
    let before = count();
    let refused = || {
        let error = salvage(&open_folder(&folder), &options(), NOW).unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
        assert_eq!(count(), before);
        assert!(!folder.path().join("damaged").exists());
        error
    };
    fs::rename(&path, &saved).unwrap();
    fs::create_dir(&path).unwrap();
    let error = refused();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    fs::remove_dir(&path).unwrap();

    let mut bytes = Bytes::from(fs::read(&saved).unwrap());
    let whole = bytes.clone();
    let header = super::read::header(&mut bytes).unwrap().unwrap();
    let mut newer = BytesMut::new();
    super::segment::Header {
        version: header.version + 1,
        ..header
    }
    .write(&mut newer);
    newer.extend_from_slice(&whole[HEADER_LEN..]);
    fs::write(&path, newer).unwrap();
    let error = refused();
    assert!(matches!(error, StoreError::Version { .. }), "{error}");

    fs::write(&path, whole).unwrap();
    let recovered = salvage(&open_folder(&folder), &options(), NOW).unwrap();
    assert_eq!(retained(&recovered), 80);
}

#[test]
fn a_folder_whose_files_are_all_gone_is_no_new_one() {
    let folder = testbed::Folder::new();
    filled(folder.path(), 3, true);
    fs::write(folder.path().join("clock"), "").unwrap();
    fs::remove_file(segment(&folder, 1)).unwrap();
    for number in Folder::open(folder.path()).unwrap().segments().unwrap() {
        fs::remove_file(segment(&folder, number)).unwrap();
    }
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(
        error.contains("journal") && error.contains("--salvage"),
        "{error}"
    );
    let folder = Folder::open(folder.path()).unwrap();
    assert_eq!(retained(&salvage(&folder, &options(), NOW).unwrap()), 0);
}
