//! The log of messages: its files with holes, flips and torn ends, and blocks that nobody has written.
//!
//! Byte 0 of the input says what follows. If it is even, the rest is a list of records, which stand in a
//! log as they are: blocks and indexes with a good checksum and any content. If it is odd, the rest is a
//! list of messages, commits, and changes to the bytes of the file.
//!
//! The target checks that nothing panics. What is read was written, in the order in which it was
//! written, and nothing twice. Everything before the first changed byte is read. The log takes further
//! messages, whatever has become of it.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use messages::{Kept, Message, Messages, Options, Order, Page, Query};
use store::log::{Log, Position, Settings};

use crate::Script;

const MOST_MESSAGES: usize = 60;

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let folder = Folder::new();
    let mut script = Script::new(data);
    if script.flag() {
        harmed(&mut script, &folder.0);
    } else {
        made_up(&mut script, &folder.0);
    }
    takes_one_more(&folder.0);
}

/// Messages that were written, and a file that has changed since.
fn harmed(script: &mut Script<'_>, folder: &Path) {
    let mut written = Vec::new();
    // Where the commits end, and how many messages there were.
    let mut ends = vec![(0, 0)];
    let mut log = open(folder);
    let count = usize::from(script.byte()) % MOST_MESSAGES;
    for number in 0..count {
        let what = script.byte();
        let topic = ["a", "a/b", "b"][usize::from(what) % 3];
        let payload = vec![script.byte(); usize::from(script.byte())];
        let message = Message::new(i64::try_from(number).expect("few"), topic, &payload);
        log.append(&message);
        written.push((message.time, topic.to_owned(), payload.clone()));
        if what & 0x80 != 0 {
            log.commit().expect("the disk is well");
            ends.push((log.counted().bytes, written.len()));
        }
    }
    drop(log);
    let path = folder.join("00000001.log");
    if let Ok(before) = fs::read(&path) {
        let mut bytes = before.clone();
        crate::harm(script, &mut bytes);
        fs::write(&path, &bytes).expect("the disk is well");
        let same = bytes
            .iter()
            .zip(&before)
            .take_while(|(a, b)| a == b)
            .count() as u64;
        let whole = ends.iter().rev().find(|(end, _)| *end <= same);
        let whole = whole.map_or(0, |(_, count)| *count);
        // Whoever writes 2 where 1 stood makes a file of another version, which is left alone.
        let Ok((log, _)) = Messages::open(Options::new(folder.to_owned())) else {
            return;
        };
        let found = read(&log).messages;
        let numbers = |two: &[Kept]| two[0].number < two[1].number;
        assert!(found.windows(2).all(numbers), "nothing twice");
        let found: Vec<_> = found
            .into_iter()
            .map(|it| (it.time, it.topic, it.payload))
            .collect();
        assert!(found.is_sorted_by_key(|it| it.0), "in the order of writing");
        assert!(
            found.iter().all(|it| written.contains(it)),
            "nobody wrote this"
        );
        let head = written.iter().take(whole);
        assert!(
            head.eq(found.iter().take(whole)),
            "{whole} were before the damage"
        );
    }
}

/// Records that no writer has written.
fn made_up(script: &mut Script<'_>, folder: &Path) {
    let settings = Settings {
        folder: folder.to_owned(),
        segment_bytes: 300,
    };
    let (mut log, _) = Log::open(settings).expect("the disk is well");
    let mut records = Vec::new();
    while !script.is_over() && records.len() < MOST_MESSAGES {
        let record = script.bytes();
        log.append(record);
        records.push(record);
        if records.len() % 4 == 0 {
            log.commit().expect("the disk is well");
        }
    }
    log.commit().expect("the disk is well");
    let mut found = 0;
    let read = log.read(Position::default(), |_, record| {
        assert_eq!(record, records[found]);
        found += 1;
        ControlFlow::Continue(())
    });
    assert_eq!(read.expect("the disk is well").damaged, []);
    assert_eq!(found, records.len());
    drop(log);
    read_both(&open(folder));
}

fn takes_one_more(folder: &Path) {
    let Ok((mut log, _)) = Messages::open(Options::new(folder.to_owned())) else {
        return;
    };
    log.append(&Message::new(0, "one/more", b"x"));
    log.commit().expect("the disk is well");
    drop(log);
    let (log, found) = Messages::open(Options::new(folder.to_owned())).expect("it was well");
    assert_eq!(found.torn_bytes, 0);
    read_both(&log);
}

fn read_both(log: &Messages) {
    let newest = log.reader().read(&Query {
        text: Some("X".to_owned()),
        limit: 5,
        ..Query::default()
    });
    newest.expect("the disk is well");
    read(log);
}

/// Everything, oldest first.
fn read(log: &Messages) -> Page {
    let query = Query {
        order: Order::Oldest,
        limit: usize::MAX,
        work: 64 << 20,
        ..Query::default()
    };
    log.reader().read(&query).expect("the disk is well")
}

fn open(folder: &Path) -> Messages {
    let opened = Messages::open(Options::new(folder.to_owned()));
    opened.expect("nobody has changed the files").0
}

/// An empty folder, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("beaconry-fuzz-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
