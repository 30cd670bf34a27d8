//! The log, its files cut and damaged at each byte.

mod disk;

use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::segment::file_name;

fn settings(folder: &Path, segment_bytes: u64) -> Settings {
    Settings {
        folder: folder.to_owned(),
        segment_bytes,
    }
}

fn open(folder: &Path) -> (Log, Found) {
    Log::open(settings(folder, 150)).unwrap()
}

/// Appends records, and commits them as one group.
fn commit(log: &mut Log, records: &[&str]) {
    for record in records {
        log.append(record.as_bytes());
    }
    log.commit().unwrap();
}

fn all(reader: &Reader) -> (Vec<String>, Read) {
    let mut records = Vec::new();
    let mut last = Position::default();
    let read = reader.read(last, |position, record| {
        assert!(position > last, "{position:?} after {last:?}");
        last = position;
        let record = String::from_utf8(record.to_vec()).unwrap();
        assert_eq!(reader.record(position).unwrap().unwrap(), record.as_bytes());
        records.push(record);
        ControlFlow::Continue(())
    });
    (records, read.unwrap())
}

/// All records of a log without damage.
fn content(log: &Log) -> Vec<String> {
    let (records, read) = all(&log.reader());
    assert_eq!(read.damaged, []);
    records
}

#[test]
fn records_come_back_in_order_where_they_were_said_to_be() {
    let root = testbed::Folder::new();
    let (mut log, found) = open(root.path());
    assert_eq!(found, Found::default());
    let mut expected = Vec::new();
    for number in 0..60 {
        let record = "x".repeat(number % 7) + &number.to_string();
        let position = log.append(record.as_bytes());
        expected.push((position, record));
        if number % 3 == 2 {
            assert_eq!(
                log.reader().record(position).unwrap(),
                None,
                "not committed"
            );
            log.commit().unwrap();
            assert_eq!(log.buffered(), 0);
        }
        if number % 21 == 20 {
            drop(log);
            let found;
            (log, found) = open(root.path());
            assert_eq!(found, Found::default());
        }
    }
    assert!(log.segments().len() > 3, "{:?}", log.segments());
    for (at, (position, record)) in expected.iter().enumerate() {
        let mut records = Vec::new();
        let read = log.read(*position, |position, record| {
            records.push((position, String::from_utf8(record.to_vec()).unwrap()));
            if records.len() == 2 {
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        });
        let read = read.unwrap();
        assert_eq!(read.damaged, []);
        assert_eq!(records, expected[at..(at + 2).min(expected.len())]);
        assert_eq!(records[0].1, *record);
        // What is read next follows.
        let mut next = None;
        log.read(read.next, |position, _| {
            next = Some(position);
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(next, expected.get(at + 2).map(|it| it.0));
    }
}

#[test]
fn nothing_is_a_record_where_none_was_written() {
    let root = testbed::Folder::new();
    let (mut log, _) = open(root.path());
    // A record that contains the bytes of another one.
    commit(&mut log, &["inner"]);
    let bytes = fs::read(root.path().join(file_name(1))).unwrap();
    let position = log.append(&bytes);
    log.commit().unwrap();
    let end = log.segments()[0].bytes;
    for offset in (0..end + 9).filter(|&it| it != position.offset) {
        let other = Position { segment: 1, offset };
        let record = log.reader().record(other).unwrap();
        let is_inner = offset == (HEAD + GROUP) as u64;
        assert_eq!(record.is_some(), is_inner, "{offset}");
    }
}

#[test]
fn a_file_that_is_cut_loses_the_group_that_it_tears() {
    let root = testbed::Folder::new();
    let (mut log, _) = Log::open(settings(root.path(), 1 << 20)).unwrap();
    let mut ends = vec![HEAD];
    for group in [&["a", "b"][..], &["c"], &["", "d", "e"]] {
        commit(&mut log, group);
        ends.push(usize::try_from(log.segments()[0].bytes).unwrap());
    }
    let expected = [
        &[][..],
        &["a", "b"],
        &["a", "b", "c"],
        &["a", "b", "c", "", "d", "e"],
    ];
    drop(log);
    let bytes = fs::read(root.path().join(file_name(1))).unwrap();
    assert_eq!(bytes.len(), ends[3]);
    for cut in 0..=bytes.len() {
        for rest in [0, 3, 200] {
            // The disk may have made the file longer before it wrote what stands there.
            let torn = [&bytes[..cut], &vec![0; rest]].concat();
            if cut < HEAD && torn.len() > HEAD {
                // The head is durable before anything is behind it.
                continue;
            }
            let whole = ends
                .iter()
                .rposition(|&end| end <= cut || torn.starts_with(&bytes[..end]));
            let root = copy(&[(file_name(1), torn.clone())]);
            let (mut log, found) = open(root.path());
            let expected = whole.map_or(&[][..], |it| expected[it]);
            assert_eq!(content(&log), expected, "cut at {cut}");
            let durable = whole.map_or(0, |it| ends[it]);
            assert_eq!(found.torn_bytes, (torn.len() - durable) as u64);
            assert_eq!(found.damaged, []);
            commit(&mut log, &["new"]);
            assert_eq!(content(&log), [expected, &["new"]].concat());
            drop(log);
            let (log, found) = open(root.path());
            assert_eq!(found, Found::default());
            assert_eq!(content(&log), [expected, &["new"]].concat());
        }
    }
}

/// The files of a log, to damage copies of them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let mut files: Vec<_> = entries
        .map(|it| {
            (
                it.file_name().into_string().unwrap(),
                fs::read(it.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    files
}

fn copy(files: &[(String, Vec<u8>)]) -> testbed::Folder {
    let root = testbed::Folder::new();
    for (name, bytes) in files {
        fs::write(root.path().join(name), bytes).unwrap();
    }
    root
}

/// Eight groups of three records, in several segments.
fn eight_groups(folder: &Path) -> Vec<String> {
    let (mut log, _) = open(folder);
    let expected: Vec<_> = (0..24).map(|it| format!("record {it}")).collect();
    for group in expected.chunks(3) {
        let group: Vec<_> = group.iter().map(|it| &it[..]).collect();
        commit(&mut log, &group);
    }
    assert!(log.segments().len() >= 3);
    expected
}

#[test]
fn a_flipped_byte_costs_little_and_is_named() {
    let root = testbed::Folder::new();
    let expected = eight_groups(root.path());
    let files = files(root.path());
    let mut whole = 0;
    for (number, (name, bytes)) in files.iter().enumerate() {
        // 2: makes another digit of the format's number.
        for (at, flip) in (0..bytes.len()).flat_map(|at| [(at, 0x41), (at, 2)]) {
            let mut damaged = files.clone();
            damaged[number].1[at] ^= flip;
            let root = copy(&damaged);
            let (mut log, found) = open(root.path());
            let (records, read) = all(&log.reader());
            let lost: Vec<_> = expected.iter().filter(|it| !records.contains(it)).collect();
            assert_eq!(records.len() + lost.len(), expected.len());
            if found.torn_bytes > 0 {
                // Nobody can tell this from a write that was interrupted.
                assert_eq!(number, files.len() - 1);
                assert_eq!(lost, expected[21..].iter().collect::<Vec<_>>());
            } else if !lost.is_empty() {
                assert_eq!(read.damaged.len(), 1, "{name} {at}");
                let damage = &read.damaged[0];
                assert_eq!(damage.path, root.path().join(name));
                // Who does not know how long a record is does not find the next one in its group.
                let is_length = damage.offset.abs_diff(at as u64) < 4;
                let most = if is_length { 3 } else { 1 };
                assert!(lost.len() <= most, "{name} {at}: {lost:?}");
                let place = damage.offset..damage.offset + damage.bytes;
                assert!(
                    place.contains(&(at as u64)) && damage.bytes < 80,
                    "{at}: {damage}"
                );
            } else {
                whole += 1;
            }
            // What is written next is there.
            commit(&mut log, &["new"]);
            let after = [&records[..], &["new".to_owned()]].concat();
            assert_eq!(all(&log.reader()).0, after);
            drop(log);
            let (log, found) = open(root.path());
            assert_eq!(found.torn_bytes, 0);
            assert_eq!(all(&log.reader()).0, after);
        }
    }
    assert!(whole > 100, "heads cost nothing: {whole}");
}

#[test]
fn a_missing_file_is_named_and_the_others_are_read() {
    let root = testbed::Folder::new();
    let expected = eight_groups(root.path());
    fs::remove_file(root.path().join(file_name(2))).unwrap();
    let (log, found) = open(root.path());
    assert_eq!(found.damaged.len(), 1, "{found:?}");
    assert!(found.damaged[0].to_string().contains("00000002.log"));
    let (records, read) = all(&log.reader());
    assert!(records.len() > 6 && records.len() < expected.len());
    assert_eq!(read.damaged.len(), 1);
    let text = read.damaged[0].to_string();
    assert!(text.contains("should be there"), "{text}");
    // Gone while the log is open.
    fs::remove_file(root.path().join(file_name(1))).unwrap();
    let read = all(&log.reader()).1;
    let text = read.damaged[0].to_string();
    assert!(
        text.contains("00000001.log") && text.contains("missing"),
        "{text}"
    );
}

/// Its number is only in the first segment, so groups must say it too.
#[test]
fn a_segment_that_has_lost_its_beginning_is_read_and_not_cut() {
    let root = testbed::Folder::new();
    let (mut log, _) = Log::open(settings(root.path(), 1 << 20)).unwrap();
    commit(&mut log, &["a"]);
    commit(&mut log, &["b"]);
    drop(log);
    let files = files(root.path());
    for (zeros, left) in [(HEAD, &["a", "b"][..]), (HEAD + GROUP, &[])] {
        let mut damaged = files.clone();
        damaged[0].1[..zeros].fill(0);
        let root = copy(&damaged);
        let (mut log, found) = open(root.path());
        assert_eq!(found.torn_bytes, 0);
        assert!(!found.damaged.is_empty());
        assert_eq!(all(&log.reader()).0, left);
        assert_eq!(
            fs::read(root.path().join(file_name(1))).unwrap(),
            damaged[0].1
        );
        commit(&mut log, &["c"]);
        assert_eq!(all(&log.reader()).0, [left, &["c"]].concat());
    }
}

#[test]
fn a_file_of_another_format_is_left_alone() {
    let root = testbed::Folder::new();
    let path = root.path().join(file_name(1));
    fs::write(&path, "beaconry log 2\nwhatever").unwrap();
    let error = Log::open(settings(root.path(), 150))
        .unwrap_err()
        .to_string();
    assert!(error.contains("newer beaconry"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"beaconry log 2\nwhatever");
}

#[test]
fn old_segments_go_and_numbers_never_come_again() {
    let root = testbed::Folder::new();
    let (mut log, _) = open(root.path());
    commit(&mut log, &["a", "b"]);
    let reader = log.reader();
    let before = log.segments();
    log.append(b"c");
    log.begin_segment().unwrap();
    assert_eq!(content(&log), ["a", "b", "c"]);
    assert_eq!(log.segments().last().unwrap().number, 2);
    assert_eq!(reader.first_record(1).unwrap().unwrap(), b"a");
    assert_eq!(reader.first_record(2).unwrap(), None);
    // Nothing is in it, so it is the new one.
    log.begin_segment().unwrap();
    assert_eq!(log.segments().last().unwrap().number, 2);
    assert!(log.remove_before(99).unwrap() > before[0].bytes);
    assert_eq!(all(&reader).0, [""; 0]);
    assert_eq!(files(root.path()).len(), 1);
    drop(log);
    let (mut log, found) = open(root.path());
    assert_eq!(found, Found::default());
    assert_eq!(log.append(b"d").segment, 2);
    log.commit().unwrap();
    assert_eq!(content(&log), ["d"]);
}

fn record(number: usize) -> String {
    format!("{number} {}", "x".repeat(number * 7 % 40))
}

#[test]
fn readers_see_each_commit_while_the_log_is_written() {
    let root = testbed::Folder::new();
    let (mut log, _) = Log::open(settings(root.path(), 2_000)).unwrap();
    let reader = log.reader();
    let total = 3_000;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let reader = reader.clone();
            scope.spawn(move || {
                let (mut next, mut seen) = (Position::default(), 0_usize);
                while seen < total {
                    let read = reader.read(next, |_, bytes| {
                        assert_eq!(bytes, record(seen).as_bytes());
                        seen += 1;
                        ControlFlow::Continue(())
                    });
                    let read = read.unwrap();
                    assert_eq!(read.damaged, []);
                    next = read.next;
                    std::thread::yield_now();
                }
            });
        }
        for number in 0..total {
            log.append(record(number).as_bytes());
            if number % 50 == 49 {
                log.commit().unwrap();
            }
        }
    });
    assert!(log.segments().len() > 20);
    // Without the writer, and without changing anything.
    let (files, torn) = Reader::of_files(root.path()).unwrap();
    assert_eq!((all(&files).0.len(), torn), (total, 0));
    // A commit that was interrupted is no damage, and stays where it is.
    let last = log.segments().last().unwrap().number;
    let path = root.path().join(file_name(last));
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 3]).unwrap();
    let (files, torn) = Reader::of_files(root.path()).unwrap();
    let read = files.read(Position::default(), |_, _| ControlFlow::Continue(()));
    assert_eq!(read.unwrap().damaged, []);
    assert!(torn > 0);
    assert_eq!(fs::metadata(&path).unwrap().len(), whole.len() as u64 - 3);
}

proptest! {
    /// Whatever stands in the files: the log is opened, or it is an error, and it can be written to.
    #[test]
    fn no_bytes_make_it_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        file in any::<prop::sample::Index>(),
        has_log in any::<bool>(),
    ) {
        let root = testbed::Folder::new();
        let mut name = file_name(1);
        let mut content = bytes;
        if has_log {
            eight_groups(root.path());
            let files = files(root.path());
            let (its, mut whole) = files[file.index(files.len())].clone();
            for (at, byte) in damage {
                let at = at.index(whole.len());
                whole[at] = byte;
            }
            whole.append(&mut content);
            (name, content) = (its, whole);
        }
        fs::write(root.path().join(name), &content).unwrap();
        if let Ok((mut log, _)) = Log::open(settings(root.path(), 150)) {
            let before = all_bytes(&log);
            log.append(b"new");
            log.commit().unwrap();
            drop(log);
            let (log, found) = open(root.path());
            prop_assert_eq!(found.torn_bytes, 0);
            prop_assert_eq!(all_bytes(&log), [&before[..], &[b"new".to_vec()]].concat());
        }
    }
}

fn all_bytes(log: &Log) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    log.read(Position::default(), |_, record| {
        records.push(record.to_vec());
        ControlFlow::Continue(())
    })
    .unwrap();
    records
}
