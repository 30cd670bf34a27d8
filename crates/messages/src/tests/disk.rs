//! Torn and damaged files.

use std::fs;
use std::path::PathBuf;

use super::{HOUR, START, all_pages, append, message, open};
use crate::{Found, Kept, Messages, Options, Query};

/// Files of the log, the oldest first.
fn files(folder: &testbed::Folder) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.path().join("messages")).unwrap();
    let mut files: Vec<_> = entries.map(|it| it.unwrap().path()).collect();
    files.sort();
    files
}

/// Ten blocks of a hundred messages, in several files.
fn ten_blocks(folder: &testbed::Folder) -> Vec<Kept> {
    let mut messages = open(folder);
    let mut all = Vec::new();
    for number in 0..1_000_u64 {
        // A new file each hour.
        let kept = message(number, START + number.cast_signed() * 20_000);
        append(&mut messages, &kept);
        all.push(kept);
        if number % 100 == 99 {
            messages.commit().unwrap();
        }
    }
    all
}

fn everything() -> Query {
    Query {
        limit: 10_000,
        ..Query::default()
    }
}

#[test]
fn a_torn_commit_is_cut_off_and_its_numbers_are_used_again() {
    let folder = testbed::Folder::new();
    let all = ten_blocks(&folder);
    let last = files(&folder).pop().unwrap();
    let bytes = fs::read(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() - 5]).unwrap();
    let (mut messages, found) =
        Messages::open(Options::new(folder.path().join("messages"))).unwrap();
    assert!(found.torn_bytes > 0);
    assert_eq!(messages.counted().torn_bytes, found.torn_bytes);
    assert_eq!(found.damaged, []);
    for kept in &all[900..] {
        append(&mut messages, kept);
    }
    messages.commit().unwrap();
    let mut found = all_pages(&messages.reader(), &everything());
    found.reverse();
    assert_eq!(found, all);
}

#[test]
fn damage_costs_its_block_and_is_named() {
    let folder = testbed::Folder::new();
    let all = ten_blocks(&folder);
    let files = files(&folder);
    assert!(files.len() >= 4, "{files:?}");
    let mut most = 0;
    for file in &files {
        let bytes = fs::read(file).unwrap();
        for at in (0..bytes.len()).step_by(29) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            fs::write(file, &damaged).unwrap();
            let (messages, opened) =
                Messages::open(Options::new(folder.path().join("messages"))).unwrap();
            let page = messages.reader().read(&everything()).unwrap();
            let lost = all.len() - page.messages.len();
            assert!(lost <= 100, "{lost} lost by a byte at {at}");
            assert!(page.messages.iter().all(|it| all.contains(it)));
            let is_named = !page.damaged.is_empty() || opened != Found::default();
            assert!(lost == 0 || is_named, "{at}");
            most = most.max(lost);
            drop(messages);
            // The file may have been cut.
            fs::write(file, &bytes).unwrap();
        }
    }
    assert_eq!(most, 100);
}

#[test]
fn what_can_be_read_is_told_without_a_change() {
    let folder = testbed::Folder::new();
    let all = ten_blocks(&folder);
    let path = folder.path().join("messages");
    let verified = crate::verify(&path).unwrap();
    let span = (all[0].time, all[999].time);
    assert_eq!((verified.messages, verified.span), (1_000, Some(span)));
    let files = files(&folder);
    assert_eq!(verified.files, files.len() as u64);
    assert_eq!(verified.damaged, []);
    // The last file is damaged at its end, where an open would cut it.
    let last = files.last().unwrap();
    let mut bytes = fs::read(last).unwrap();
    let end = bytes.len();
    bytes[end - 3] ^= 1;
    fs::write(last, &bytes).unwrap();
    let verified = crate::verify(&path).unwrap();
    assert_eq!((verified.messages, verified.damaged.len()), (900, 1));
    assert_eq!(verified.damaged[0].path, *last);
    assert_eq!(fs::read(last).unwrap(), bytes);
}

/// Then the segments themselves are read.
#[test]
fn a_damaged_index_costs_nothing() {
    let folder = testbed::Folder::new();
    let all = ten_blocks(&folder);
    for file in files(&folder).iter().skip(1) {
        let mut bytes = fs::read(file).unwrap();
        // The first record of a file: behind its head of 35 bytes, and the group's of 28.
        bytes[35 + 28 + 12] ^= 1;
        fs::write(file, &bytes).unwrap();
    }
    let (messages, _) = Messages::open(Options::new(folder.path().join("messages"))).unwrap();
    assert_eq!(messages.counted().messages, 1_000);
    let page = messages.reader().read(&everything()).unwrap();
    let mut found = page.messages;
    found.reverse();
    assert_eq!(found, all);
}

#[test]
fn a_disk_that_cannot_be_written_loses_what_memory_cannot_hold_and_counts_it() {
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    // The first file cannot be created while a folder has its name.
    let in_the_way = folder.path().join("messages/00000001.log");
    fs::create_dir(&in_the_way).unwrap();
    let mut noise = Noise(1);
    let mut number = 0;
    while messages.counted().lost == 0 {
        let mut kept = message(number, START);
        kept.payload = (0..500).flat_map(|_| noise.next().to_le_bytes()).collect();
        append(&mut messages, &kept);
        if number % 500 == 0 {
            assert!(messages.commit().is_err());
        }
        number += 1;
    }
    assert!(messages.wants_commit());
    assert!(messages.counted().waiting_bytes < 10 << 20);
    let query = Query {
        bytes: usize::MAX,
        work: usize::MAX,
        ..everything()
    };
    let before = all_pages(&messages.reader(), &query).len() as u64;
    assert_eq!(before, messages.counted().appended);
    fs::remove_dir(&in_the_way).unwrap();
    messages.commit().unwrap();
    assert_eq!(all_pages(&messages.reader(), &query).len() as u64, before);
    assert_eq!(messages.counted().messages, before);
    append(&mut messages, &message(1, START));
    assert_eq!(messages.counted().lost, 1);
}

/// No writer makes them, but a checksum does not say who has.
#[test]
fn records_with_any_content_are_read_without_a_panic() {
    let folder = testbed::Folder::new();
    let settings = store::log::Settings {
        folder: folder.path().join("messages"),
        segment_bytes: 1,
    };
    let (mut log, _) = store::log::Log::open(settings).unwrap();
    let mut block = crate::block::Builder::default();
    for _ in 0..3 {
        block.push(&crate::Message::new(START, "a", b"x"), 9);
    }
    let (_, block) = block.seal(u64::MAX - 1);
    let index = [&[2_u8][..], &1_u64.to_le_bytes(), &[0xFF; 44]].concat();
    for record in [&block, &index, &block, &block, &index, &b"x".to_vec()] {
        log.append(record);
        log.commit().unwrap();
    }
    drop(log);
    let mut messages = open(&folder);
    for order in [crate::Order::Newest, crate::Order::Oldest] {
        let query = Query {
            order,
            ..everything()
        };
        messages.reader().read(&query).unwrap();
    }
    append(&mut messages, &message(1, START));
    messages.commit().unwrap();
    messages.expire(START).unwrap();
    messages.counted();
}

/// Then messages go on in the file before it.
#[test]
fn a_new_file_that_cannot_be_created_costs_nothing() {
    let folder = testbed::Folder::new();
    let mut messages = open(&folder);
    let in_the_way = folder.path().join("messages/00000002.log");
    let mut all = Vec::new();
    for number in 0..6_u64 {
        let kept = message(number, START + number.cast_signed() * HOUR);
        append(&mut messages, &kept);
        all.push(kept);
        match number {
            0 => {
                messages.commit().unwrap();
                fs::create_dir(&in_the_way).unwrap();
            }
            // The first two are in one file before anyone sees that they are too far apart.
            1 | 5 => messages.commit().unwrap(),
            4 => {
                assert!(messages.commit().is_err());
                fs::remove_dir(&in_the_way).unwrap();
            }
            _ => assert!(messages.commit().is_err()),
        }
        assert_eq!(messages.counted().messages, number + 1);
        let mut found = all_pages(&messages.reader(), &everything());
        found.reverse();
        assert_eq!(found, all);
    }
    assert_eq!(files(&folder).len(), 2);
    drop(messages);
    let mut found = all_pages(&open(&folder).reader(), &everything());
    found.reverse();
    assert_eq!(found, all);
}

/// xorshift64: nothing makes it smaller.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
