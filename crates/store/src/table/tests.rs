//! The table, its file cut and damaged at each byte, its disk full or without power.

use std::collections::BTreeMap;
use std::io;

use broker::Lsn;
use proptest::prelude::*;

use super::*;
use crate::tests::watch::{Disk, Event, Watch};

type Content = BTreeMap<Vec<u8>, Vec<u8>>;

fn content(table: &Table) -> Content {
    let mut content = Content::new();
    let insert = |key: &[u8], value: &[u8]| {
        let before = content.insert(key.to_vec(), value.to_vec());
        assert_eq!(before, None, "given twice");
    };
    table.read(insert).unwrap();
    assert_eq!(table.len(), content.len());
    content
}

fn of(entries: &[(&str, &str)]) -> Content {
    let entries = entries.iter();
    let bytes = |text: &str| text.as_bytes().to_vec();
    entries.map(|(key, it)| (bytes(key), bytes(it))).collect()
}

fn write(table: &mut Table, changes: &[(&str, &str)]) {
    try_write(table, changes).unwrap();
}

/// An empty value removes the key.
fn try_write(table: &mut Table, changes: &[(&str, &str)]) -> Result<(), StoreError> {
    let changes = changes.iter().map(|(key, value)| {
        let value = Some(value.as_bytes()).filter(|it| !it.is_empty());
        (key.as_bytes(), value)
    });
    table.write(&changes.collect::<Vec<_>>())
}

/// A table with a group for each entry.
fn small(folder: &Path) -> Table {
    Table::open_with(folder, 1).unwrap()
}

#[test]
fn a_table_is_read_without_a_change() {
    let root = testbed::Folder::new();
    let folder = root.path().join("devices");
    assert!(Table::of_files(&folder).unwrap().is_empty());
    assert!(!folder.exists());
    let mut table = small(&folder);
    write(&mut table, &[("a", "1"), ("b", "2")]);
    let path = folder.join("table");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(b"half");
    fs::write(&path, &bytes).unwrap();
    let read = Table::of_files(&folder).unwrap();
    assert_eq!(content(&read), of(&[("a", "1"), ("b", "2")]));
    assert_eq!(read.opening().torn_bytes, 4);
    // Its end is damaged: an open would keep a copy.
    bytes[HEAD.len() + 20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(Table::of_files(&folder).unwrap().opening().damaged_bytes > 0);
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn what_was_written_is_read_at_the_next_start() {
    let root = testbed::Folder::new();
    let folder = root.path().join("new/devices");
    let mut table = small(&folder);
    assert!(table.is_empty());
    write(&mut table, &[]);
    assert!(!folder.join("table").exists(), "nothing to write");
    write(&mut table, &[("a", "1"), ("b", "2"), ("gone", "")]);
    write(&mut table, &[("b", ""), ("c", "x"), ("c", "3")]);
    let expected = of(&[("a", "1"), ("c", "3")]);
    assert_eq!(content(&table), expected);
    drop(table);
    let table = small(&folder);
    assert_eq!(content(&table), expected);
    assert_eq!(table.opening(), Opening::default());
}

#[test]
fn a_value_that_is_too_large_changes_nothing() {
    let root = testbed::Folder::new();
    let mut table = Table::open(root.path()).unwrap();
    write(&mut table, &[("a", "1")]);
    let large = vec![7; MAX_ENTRY];
    let error = table
        .write(&[(b"b", Some(b"2")), (b"c", Some(&large))])
        .unwrap_err();
    assert!(error.to_string().contains("bytes"), "{error}");
    let large = &large[1..];
    table.write(&[(b"c", Some(large))]).unwrap();
    let table = Table::open(root.path()).unwrap();
    assert_eq!(content(&table).len(), 2);
    assert_eq!(content(&table)[&b"c"[..]], large);
}

/// A process that is killed while it writes leaves a part of what it wrote.
#[test]
fn a_torn_end_is_cut_off_wherever_it_tears() {
    let root = testbed::Folder::new();
    let mut table = small(root.path());
    write(&mut table, &[("a", "1"), ("b", "1")]);
    let whole = table.file_bytes();
    write(&mut table, &[("a", "2"), ("b", "")]);
    drop(table);
    let path = root.path().join("table");
    let bytes = fs::read(&path).unwrap();
    let before = of(&[("a", "1"), ("b", "1")]);
    let half = of(&[("a", "2"), ("b", "1")]);
    for cut in usize::try_from(whole).unwrap()..bytes.len() {
        for rest in [0, 3, 200] {
            // The disk may have made the file longer before it wrote what stands there.
            let torn = [&bytes[..cut], &vec![0; rest]].concat();
            if torn.starts_with(&bytes) {
                // Only zeros were missing.
                continue;
            }
            fs::write(&path, &torn).unwrap();
            let mut table = small(root.path());
            let found = content(&table);
            assert!(found == before || found == half, "cut at {cut}: {found:?}");
            assert_eq!(table.opening().damaged_bytes, 0);
            let torn_bytes = torn.len() as u64 - table.file_bytes();
            assert_eq!(table.opening().torn_bytes, torn_bytes);
            write(&mut table, &[("c", "3")]);
            drop(table);
            let table = small(root.path());
            assert_eq!(content(&table).len(), found.len() + 1);
            assert_eq!(table.opening(), Opening::default());
        }
    }
}

#[test]
fn damage_costs_what_is_damaged_and_nothing_else() {
    let root = testbed::Folder::new();
    let mut table = small(root.path());
    write(&mut table, &[("a", "1")]);
    let begin = table.file_bytes();
    write(&mut table, &[("b", "1")]);
    let end = table.file_bytes();
    write(&mut table, &[("c", "1"), ("d", "1")]);
    drop(table);
    let path = root.path().join("table");
    let bytes = fs::read(&path).unwrap();
    for at in begin..end {
        let mut damaged = bytes.clone();
        damaged[usize::try_from(at).unwrap()] ^= 0x41;
        fs::write(&path, &damaged).unwrap();
        let mut table = small(root.path());
        let left = of(&[("a", "1"), ("c", "1"), ("d", "1")]);
        assert_eq!(content(&table), left, "damaged at {at}");
        assert_eq!(table.opening().damaged_bytes, end - begin);
        assert_eq!(
            fs::read(root.path().join("table.damaged")).unwrap(),
            damaged
        );
        // The next write repairs the file.
        write(&mut table, &[("b", "2")]);
        let table = small(root.path());
        assert_eq!(content(&table).len(), 4);
        assert_eq!(table.opening(), Opening::default());
    }
}

/// A disk that has lost the end of a file may have lost all of it.
#[test]
fn a_file_without_its_beginning_takes_what_is_written_next() {
    for cut in 0..=HEAD.len() {
        let root = testbed::Folder::new();
        fs::write(root.path().join("table"), &HEAD[..cut]).unwrap();
        let mut table = small(root.path());
        assert_eq!(content(&table), Content::new());
        write(&mut table, &[("a", "1")]);
        write(&mut table, &[("b", "2")]);
        let table = small(root.path());
        assert_eq!(content(&table), of(&[("a", "1"), ("b", "2")]), "{cut}");
        assert_eq!(table.opening(), Opening::default(), "{cut}");
    }
}

#[test]
fn a_damaged_beginning_costs_nothing_else() {
    let root = testbed::Folder::new();
    let mut table = small(root.path());
    write(&mut table, &[("a", "1")]);
    let path = root.path().join("table");
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] = 0;
    fs::write(&path, &bytes).unwrap();
    let mut table = small(root.path());
    assert_eq!(content(&table), of(&[("a", "1")]));
    assert_eq!(table.opening().damaged_bytes, HEAD.len() as u64);
    write(&mut table, &[("b", "1")]);
    let table = small(root.path());
    assert_eq!(content(&table), of(&[("a", "1"), ("b", "1")]));
    assert_eq!(table.opening(), Opening::default());
}

#[test]
fn a_file_of_another_format_is_left_alone() {
    let root = testbed::Folder::new();
    let path = root.path().join("table");
    fs::write(&path, "beaconry table 2\nwhatever").unwrap();
    let error = Table::open(root.path()).unwrap_err().to_string();
    assert!(error.contains("newer beaconry"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"beaconry table 2\nwhatever");
}

/// Values that change again and again, beside others that never do.
#[test]
fn the_file_stays_twice_as_large_as_its_content() {
    let root = testbed::Folder::new();
    let mut table = Table::open_with(root.path(), 4_096).unwrap();
    let noise = |seed: u32| -> String {
        let mut random = seed.wrapping_mul(2_654_435_761) | 1;
        let next = |_| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            char::from(b' ' + (random % 90) as u8)
        };
        (0..400).map(next).collect()
    };
    let still: Vec<_> = (0..300)
        .map(|it| (format!("still/{it}"), noise(it)))
        .collect();
    let mut expected = Content::new();
    let mut round = |table: &mut Table, changes: &[(String, String)]| {
        let changes: Vec<_> = changes.iter().map(|(a, b)| (&a[..], &b[..])).collect();
        write(table, &changes);
        expected.extend(of(&changes));
        assert_eq!(content(table), expected);
        table.file_bytes()
    };
    let content_bytes = 2 * round(&mut table, &still);
    for number in 0..40_u32 {
        let moving = |it| (format!("moving/{it}"), noise(1_000 + 300 * number + it));
        let moving: Vec<_> = (0..300).map(moving).collect();
        let bytes = round(&mut table, &moving);
        assert!(bytes <= 2 * content_bytes + Table::SLACK, "{bytes}");
        assert_eq!(
            bytes,
            fs::metadata(root.path().join("table")).unwrap().len()
        );
    }
    let again = Table::open(root.path()).unwrap();
    assert_eq!(content(&again), expected);
}

/// A whole life: appends, removals, and files written anew. `announce` is called after each write.
fn live(folder: &Path, announce: &mut dyn FnMut(usize)) -> Result<Vec<Content>, StoreError> {
    let mut table = Table::open_with(folder, 300)?;
    let mut contents = vec![content(&table)];
    for number in 0..6_usize {
        let text = |it: usize| "x".repeat(20 * it + number) + &number.to_string();
        let changes: Vec<_> = (0..12)
            .map(|it| (format!("key/{}", (it * 5 + number) % 17), text(it)))
            .collect();
        let mut changes: Vec<_> = changes.iter().map(|(a, b)| (&a[..], &b[..])).collect();
        changes[number].1 = "";
        // A file that is small is never written anew, except for this.
        table.is_suspect |= number % 3 == 2;
        let mut next = contents[contents.len() - 1].clone();
        for (key, value) in &changes {
            next.remove(key.as_bytes());
            if !value.is_empty() {
                next.insert(key.as_bytes().to_vec(), value.as_bytes().to_vec());
            }
        }
        contents.push(next);
        try_write(&mut table, &changes)?;
        announce(contents.len() - 1);
    }
    Ok(contents)
}

/// Each key has its value of before or of after.
fn is_between(found: &Content, before: &Content, after: &Content) -> bool {
    let mut keys = found.keys().chain(before.keys()).chain(after.keys());
    keys.all(|key| {
        let value = found.get(key);
        value == before.get(key) || value == after.get(key)
    })
}

#[test]
fn what_was_written_is_there_whenever_the_power_fails() {
    let root = testbed::Folder::new();
    let folder = root.path().join("devices");
    let watch = Watch::new(root.path());
    let contents = live(&folder, &mut |at| watch.announce(Lsn(at as u64))).unwrap();
    let events = watch.events();
    drop(watch);
    let renames = events.iter().filter(|it| matches!(it, Event::Renamed(..)));
    assert_eq!(renames.count(), 3, "the first write, and two more");
    let mut disk = Disk::new(root.path());
    let mut random = 7_u64;
    for event in &events {
        disk.happened(event);
        let announced = usize::try_from(disk.announced.0).unwrap();
        let next = (announced + 1).min(contents.len() - 1);
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
            let table = Table::open_with(&left.path().join("devices"), 300).unwrap();
            let found = content(&table);
            assert!(
                is_between(&found, &contents[announced], &contents[next]),
                "after {announced}: {found:?}"
            );
        }
    }
}

/// Each call to the disk fails once: it is full, or it is broken.
#[test]
fn a_disk_that_fails_once_costs_nothing() {
    const ENOSPC: i32 = 28;
    const EIO: i32 = 5;
    let events = {
        let root = testbed::Folder::new();
        let watch = Watch::new(root.path());
        live(&root.path().join("devices"), &mut |_| {}).unwrap();
        watch.events().len()
    };
    for errno in [ENOSPC, EIO] {
        for at in 0..events {
            let root = testbed::Folder::new();
            let folder = root.path().join("devices");
            let watch = Watch::new(root.path());
            let mut has_failed = false;
            watch.set_fate(move |number, _| {
                if number == at && !std::mem::replace(&mut has_failed, true) {
                    return Err(io::Error::from_raw_os_error(errno));
                }
                Ok(())
            });
            fails_once(&folder);
        }
    }
}

/// Writes the same thing twice if it fails the first time.
fn fails_once(folder: &Path) {
    let open = || Table::open_with(folder, 300);
    let mut table = open().or_else(|_| open()).unwrap();
    for number in 0..6_usize {
        let before = content(&table);
        let value = number.to_string().repeat(50);
        let key = format!("key/{}", number % 4);
        table.is_suspect |= number % 3 == 2;
        let changes = [(&key[..], &value[..]), ("still", "there")];
        if let Err(error) = try_write(&mut table, &changes) {
            assert!(matches!(error, StoreError::Io { .. }));
            let mut after = before.clone();
            after.extend(of(&changes));
            assert!(is_between(&content(&table), &before, &after), "{error}");
            write(&mut table, &changes);
        }
        let mut expected = before;
        expected.extend(of(&changes));
        assert_eq!(content(&table), expected);
    }
    let expected = content(&table);
    drop(table);
    let table = open().or_else(|_| open()).unwrap();
    assert_eq!(content(&table), expected);
}

/// What a process that is killed has written may be only in the memory of the system.
#[test]
fn a_kill_costs_the_write_that_it_interrupts() {
    let root = testbed::Folder::new();
    let folder = root.path().join("devices");
    let watch = Watch::new(root.path());
    let contents = live(&folder, &mut |_| {}).unwrap();
    let events = watch.events().len();
    drop(watch);
    for at in 0..events {
        let root = testbed::Folder::new();
        let folder = root.path().join("devices");
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
        let table = Table::open_with(&folder, 300).unwrap();
        let found = content(&table);
        assert!(
            is_between(&found, &contents[written], &contents[written + 1]),
            "after {written}: {found:?}"
        );
    }
}

fn change() -> impl Strategy<Value = (u8, Option<Vec<u8>>)> {
    let value = prop::collection::vec(any::<u8>(), 0..200);
    (0..20u8, prop::option::weighted(0.8, value))
}

proptest! {
    #[test]
    fn a_table_is_a_map(
        writes in prop::collection::vec(prop::collection::vec(change(), 0..12), 0..20),
        reopens in any::<u32>(),
        group in prop_oneof![Just(1usize), Just(150), Just(100_000)],
    ) {
        let root = testbed::Folder::new();
        let mut table = Table::open_with(root.path(), group).unwrap();
        let mut expected = Content::new();
        for (number, changes) in writes.iter().enumerate() {
            if reopens >> number & 1 == 1 {
                drop(table);
                table = Table::open_with(root.path(), group).unwrap();
                prop_assert_eq!(table.opening(), Opening::default());
            }
            let keys: Vec<[u8; 1]> = changes.iter().map(|it| [it.0]).collect();
            let changes: Vec<Change<'_>> = keys
                .iter()
                .zip(changes)
                .map(|(key, (_, value))| (&key[..], value.as_deref()))
                .collect();
            table.is_suspect |= reopens >> number & 3 == 2;
            table.write(&changes).unwrap();
            for (key, value) in changes {
                match value {
                    Some(value) => drop(expected.insert(key.to_vec(), value.to_vec())),
                    None => drop(expected.remove(key)),
                }
            }
            prop_assert_eq!(content(&table), expected.clone());
        }
    }

    /// Whatever stands in the file: it is opened, or it is an error, and it can be written to.
    #[test]
    fn no_file_makes_opening_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        has_table in any::<bool>(),
    ) {
        let root = testbed::Folder::new();
        let path = root.path().join("table");
        let mut file = bytes;
        if has_table {
            let mut table = Table::open_with(root.path(), 50).unwrap();
            write(&mut table, &[("a", "1"), ("b", &"2".repeat(100)), ("c", "3")]);
            let mut whole = fs::read(&path).unwrap();
            for (at, byte) in damage {
                let at = at.index(whole.len());
                whole[at] = byte;
            }
            whole.append(&mut file);
            file = whole;
        }
        fs::write(&path, &file).unwrap();
        if let Ok(mut table) = Table::open_with(root.path(), 50) {
            let before = content(&table);
            write(&mut table, &[("new", "x")]);
            let table = Table::open_with(root.path(), 50).unwrap();
            prop_assert_eq!(content(&table).len(), before.len() + usize::from(!before.contains_key(&b"new"[..])));
            prop_assert_eq!(table.opening(), Opening::default());
        }
    }
}
