//! The change log: what `GET /api/v1/changes` reads. The model's thread writes it, any number of
//! readers follow it.
//!
//! An entry is one server-sent event, written once for all readers. A reader has nothing but its
//! place in the log, so one that does not read costs nothing here.
//!
//! **Invariant.** The entries take at most `max_bytes`. The oldest go first, and a reader that wanted
//! one of them is told to ask for the devices again.

use std::collections::{HashSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::fleet::{Change, Changes, Counts, Time};
use bytes::Bytes;
use tokio::sync::watch;

/// A longer event is divided, so that no reader has to take megabytes at once.
const EVENT: usize = 64 * 1024;
/// What an entry and each of its changes take beside their texts, roughly.
const OVERHEAD: usize = 96;
/// So many entries are copied at once for a reader. A copy shares the entry's texts.
const AT_ONCE: usize = 64;

/// A change, and what finds the readers that asked for its device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) change: Change,
    /// The device's full id.
    pub(crate) id: String,
    /// How many bytes of `id` are its prefix, with the slash.
    pub(crate) prefix_len: usize,
}

/// The changes of one run of the server, as far as they are kept.
#[derive(Debug)]
pub(crate) struct ChangeLog {
    /// What no other run has, at the beginning of each cursor.
    run: String,
    max_bytes: usize,
    kept: Mutex<Kept>,
    /// The number of the newest entry; 0 before the first.
    newest: watch::Sender<u64>,
    /// Nothing will be added any more.
    is_closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// How many entries there have been. Their numbers begin with 1.
    written: u64,
    /// How many changes there have been.
    changes: u64,
    /// How many devices were in each state at the newest entry.
    counts: Counts,
}

/// One server-sent event.
#[derive(Clone, Debug)]
struct Entry {
    event: Bytes,
    /// Where the JSON ends that stands before the changes.
    head: usize,
    parts: Arc<[Part]>,
}

/// One change of an event.
#[derive(Debug)]
struct Part {
    id: Box<str>,
    prefix_len: usize,
    /// Its JSON within the event.
    json: Range<usize>,
}

/// A place in a log: everything up to an entry is known.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cursor {
    /// Behind this entry of this run.
    Behind(u64),
    /// Of another run, whose changes are gone.
    Foreign,
}

/// What comes behind a place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// This event; the place behind it.
    Event(Bytes, u64),
    /// Nothing for this reader, up to this place.
    Nothing(u64),
    /// What came next is gone: an event that says so, and the place at the end of the log.
    Resync(Bytes, u64),
}

/// What the log has taken and written, for `/metrics`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogCounts {
    pub(crate) changes: u64,
    pub(crate) events: u64,
    pub(crate) bytes: usize,
}

impl ChangeLog {
    /// An empty log of the run of the server that has this id.
    pub(crate) fn new(server_id: &str, max_bytes: usize) -> Self {
        Self {
            run: server_id.chars().take(8).collect(),
            max_bytes,
            kept: Mutex::default(),
            newest: watch::Sender::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// Adds changes that have just happened, as one event or more, and wakes the readers.
    pub(crate) fn append(&self, now: Time, counts: Counts, told: &[Told]) {
        let mut rest = told;
        while !rest.is_empty() {
            // Only the model's thread adds, so no other entry gets this number meanwhile.
            let number = self.kept().written + 1;
            let (entry, taken) = write(&self.cursor_text(number), now, counts, rest);
            rest = &rest[taken..];
            let mut kept = self.kept();
            kept.changes += taken as u64;
            kept.counts = counts;
            kept.add(entry, self.max_bytes);
            drop(kept);
            self.newest.send_replace(number);
        }
    }

    /// The cursor at the end of the log.
    pub(crate) fn cursor(&self) -> String {
        self.cursor_text(self.kept().written)
    }

    /// A place as a text for [`ChangeLog::parse`].
    pub(crate) fn text_of(&self, cursor: Cursor) -> String {
        match cursor {
            Cursor::Behind(number) => self.cursor_text(number),
            // Of no run: it stays foreign.
            Cursor::Foreign => "0-0".to_owned(),
        }
    }

    /// The place that a reader begins at if it names no cursor: the end of the log.
    pub(crate) fn end(&self) -> Cursor {
        Cursor::Behind(self.kept().written)
    }

    /// Reads a cursor. `None`: the text is none.
    pub(crate) fn parse(&self, text: &str) -> Option<Cursor> {
        let (run, number) = text.split_once('-')?;
        let number: u64 = number.parse().ok()?;
        if run.len() > 16 || !run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        Some(if run == self.run {
            Cursor::Behind(number)
        } else {
            Cursor::Foreign
        })
    }

    /// What comes behind this place for a reader of these devices, or of all if there are none.
    ///
    /// It looks for the devices in copies of some entries at a time. So the model, which adds entries,
    /// never waits for the work of a reader.
    pub(crate) fn next(&self, now: Time, cursor: Cursor, ids: &HashSet<String>) -> Next {
        let mut cursor = cursor;
        loop {
            let (at, entries) = match self.behind(cursor) {
                Ok(found) => found,
                Err((end, counts)) => {
                    let event = resync(&self.cursor_text(end), now, counts);
                    return Next::Resync(event, end);
                }
            };
            if entries.is_empty() {
                return Next::Nothing(at);
            }
            for (at, entry) in (at + 1..).zip(&entries) {
                if ids.is_empty() {
                    return Next::Event(entry.event.clone(), at);
                }
                if let Some(event) = entry.narrowed(ids) {
                    return Next::Event(event, at);
                }
            }
            cursor = Cursor::Behind(at + entries.len() as u64);
        }
    }

    /// The place, and some of the entries behind it. An error has the end of the log and its counts:
    /// entries behind the place are gone.
    fn behind(&self, cursor: Cursor) -> Result<(u64, Vec<Entry>), (u64, Counts)> {
        let kept = self.kept();
        let end = kept.written;
        let oldest = end - kept.entries.len() as u64;
        let at = match cursor {
            Cursor::Behind(at) if (oldest..=end).contains(&at) => at,
            Cursor::Behind(_) | Cursor::Foreign => return Err((end, kept.counts)),
        };
        let known = usize::try_from(at - oldest).unwrap_or(usize::MAX);
        let entries = kept.entries.iter().skip(known).take(AT_ONCE);
        Ok((at, entries.cloned().collect()))
    }

    /// Nothing will be added any more: the readers end.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.newest.send_modify(|_| {});
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// Tells of entries that come, by their number, and of the end.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    pub(crate) fn counts(&self) -> LogCounts {
        let kept = self.kept();
        LogCounts {
            changes: kept.changes,
            events: kept.written,
            bytes: kept.bytes,
        }
    }

    fn cursor_text(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, entry: Entry, max_bytes: usize) {
        self.written += 1;
        self.bytes += entry.cost();
        self.entries.push_back(entry);
        while self.bytes > max_bytes
            && let Some(oldest) = self.entries.pop_front()
        {
            self.bytes -= oldest.cost();
        }
    }
}

impl Entry {
    fn cost(&self) -> usize {
        let ids: usize = self.parts.iter().map(|part| part.id.len()).sum();
        self.event.len() + ids + (self.parts.len() + 1) * OVERHEAD
    }

    /// The event with the changes of these devices alone. `None`: there are none.
    fn narrowed(&self, ids: &HashSet<String>) -> Option<Bytes> {
        let mut event = Vec::new();
        for part in self.parts.iter().filter(|part| part.is_of(ids)) {
            if event.is_empty() {
                event.extend_from_slice(&self.event[..self.head]);
            } else {
                event.push(b',');
            }
            event.extend_from_slice(&self.event[part.json.clone()]);
        }
        if event.is_empty() {
            return None;
        }
        event.extend_from_slice(TAIL);
        Some(Bytes::from(event))
    }
}

impl Part {
    /// A device is named by its full id, or by its id without the prefix.
    fn is_of(&self, ids: &HashSet<String>) -> bool {
        let bare = self.id.get(self.prefix_len..).unwrap_or(&self.id);
        ids.contains(&*self.id) || ids.contains(bare)
    }
}

/// What ends an event, behind its changes.
const TAIL: &[u8] = b"]}\n\n";

fn resync(cursor: &str, now: Time, counts: Counts) -> Bytes {
    let told = Told {
        change: Change::Resync,
        id: String::new(),
        prefix_len: 0,
    };
    write(cursor, now, counts, &[told]).0.event
}

/// Writes one event with as many of the changes as fit, at least one. Returns how many.
fn write(cursor: &str, now: Time, counts: Counts, told: &[Told]) -> (Entry, usize) {
    let frame = Changes {
        now,
        counts,
        changes: Vec::new(),
    };
    let mut event = format!("event: changes\nid: {cursor}\ndata: ").into_bytes();
    // Writing JSON into a buffer cannot fail: our types have text for every key.
    let _ = serde_json::to_writer(&mut event, &frame);
    // The list is the last member, and empty.
    event.truncate(event.len() - "]}".len());
    let head = event.len();
    let mut parts = Vec::new();
    for Told {
        change,
        id,
        prefix_len,
    } in told
    {
        if event.len() > EVENT {
            break;
        }
        if !parts.is_empty() {
            event.push(b',');
        }
        let begin = event.len();
        let _ = serde_json::to_writer(&mut event, change);
        parts.push(Part {
            id: id.as_str().into(),
            prefix_len: *prefix_len,
            json: begin..event.len(),
        });
    }
    event.extend_from_slice(TAIL);
    let taken = parts.len();
    let entry = Entry {
        event: Bytes::from(event),
        head,
        parts: parts.into(),
    };
    (entry, taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::fleet::{Presence, PresenceState};

    const NOW: Time = Time(2);

    fn log(max_bytes: usize) -> ChangeLog {
        ChangeLog::new("0123456789abcdef", max_bytes)
    }

    fn offline(id: &str) -> Told {
        Told {
            change: Change::Presence {
                id: id.to_owned(),
                presence: Presence {
                    state: PresenceState::Offline,
                    reason: Some("keep-alive".to_owned()),
                    since: Time(1),
                    exact: true,
                    wakes_about: None,
                },
                last_seen: None,
            },
            id: id.to_owned(),
            prefix_len: id.rfind('/').map_or(0, |slash| slash + 1),
        }
    }

    fn append(log: &ChangeLog, ids: &[&str]) {
        let told: Vec<Told> = ids.iter().map(|id| offline(id)).collect();
        log.append(Time(1), Counts::default(), &told);
    }

    /// The event's cursor and its data.
    fn read(event: &Bytes) -> (String, serde_json::Value) {
        let text = str::from_utf8(event).unwrap();
        let rest = text.strip_prefix("event: changes\nid: ").unwrap();
        let (cursor, data) = rest.split_once("\ndata: ").unwrap();
        let data = data.strip_suffix("\n\n").unwrap();
        assert!(!data.contains('\n'), "an event's data is one line");
        (cursor.to_owned(), serde_json::from_str(data).unwrap())
    }

    fn changes(event: &Bytes) -> Changes {
        serde_json::from_value(read(event).1).unwrap()
    }

    #[track_caller]
    fn event(log: &ChangeLog, at: u64, ids: &[&str]) -> (Bytes, u64) {
        let ids = ids.iter().map(ToString::to_string).collect();
        match log.next(NOW, Cursor::Behind(at), &ids) {
            Next::Event(event, at) => (event, at),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_read_in_order() {
        let log = log(1 << 20);
        assert_eq!(log.next(NOW, log.end(), &HashSet::new()), Next::Nothing(0));
        append(&log, &["a"]);
        append(&log, &["b\nx", "c"]);
        let (first, at) = event(&log, 0, &[]);
        assert_eq!(
            (changes(&first).changes, at),
            (vec![offline("a").change], 1)
        );
        assert_eq!(read(&first).0, "01234567-1");
        let (second, at) = event(&log, at, &[]);
        let both = vec![offline("b\nx").change, offline("c").change];
        assert_eq!((changes(&second).changes, at), (both, 2));
        assert_eq!(
            log.next(NOW, Cursor::Behind(2), &HashSet::new()),
            Next::Nothing(2)
        );
        assert_eq!(
            (log.cursor(), *log.watch().borrow()),
            ("01234567-2".to_owned(), 2)
        );
    }

    #[test]
    fn a_reader_of_one_device_gets_its_changes_alone() {
        let log = log(1 << 20);
        append(&log, &["a"]);
        append(&log, &["a", "home/b", "c/b", "d"]);
        for (ids, expected) in [
            (&["home/b"][..], &["home/b"][..]),
            (&["b"], &["home/b", "c/b"]),
            (&["d", "c/b"], &["c/b", "d"]),
        ] {
            let (event, at) = event(&log, 0, ids);
            let expected: Vec<Change> = expected.iter().map(|id| offline(id).change).collect();
            assert_eq!((changes(&event).changes, at), (expected, 2), "{ids:?}");
            assert_eq!(read(&event).0, "01234567-2");
        }
        let nobody = HashSet::from(["e".to_owned()]);
        assert_eq!(log.next(NOW, Cursor::Behind(0), &nobody), Next::Nothing(2));
    }

    /// More entries than are looked at together.
    #[test]
    fn a_reader_of_one_device_finds_it_behind_many_others() {
        let log = log(1 << 20);
        for _ in 0..3 * AT_ONCE {
            append(&log, &["other"]);
        }
        let end = 3 * AT_ONCE as u64;
        let ids = HashSet::from(["a".to_owned()]);
        assert_eq!(log.next(NOW, Cursor::Behind(0), &ids), Next::Nothing(end));
        append(&log, &["a"]);
        assert_eq!(event(&log, 0, &["a"]).1, end + 1);
    }

    #[test]
    fn the_log_is_bounded_and_says_what_it_lost() {
        let log = log(2_000);
        for _ in 0..100 {
            append(&log, &["a"]);
        }
        let counts = log.counts();
        assert!(counts.bytes <= 2_000 && counts.bytes > 1_000, "{counts:?}");
        assert_eq!((counts.changes, counts.events), (100, 100));
        for lost in [
            Cursor::Behind(0),
            Cursor::Behind(90),
            Cursor::Behind(101),
            Cursor::Foreign,
        ] {
            let Next::Resync(event, 100) = log.next(NOW, lost, &HashSet::new()) else {
                panic!("{lost:?}");
            };
            assert_eq!(read(&event).0, "01234567-100");
            assert_eq!(changes(&event).changes, [Change::Resync]);
        }
        let (last, 100) = event(&log, 99, &[]) else {
            panic!("the newest is kept");
        };
        assert_eq!(changes(&last).changes.len(), 1);
    }

    #[test]
    fn what_is_larger_than_the_log_is_lost_at_once() {
        let log = log(100);
        append(&log, &["a"]);
        assert_eq!(log.counts().bytes, 0);
        assert!(matches!(
            log.next(NOW, Cursor::Behind(0), &HashSet::new()),
            Next::Resync(_, 1)
        ));
        assert_eq!(
            log.next(NOW, Cursor::Behind(1), &HashSet::new()),
            Next::Nothing(1)
        );
    }

    #[test]
    fn five_thousand_devices_that_leave_are_a_few_events() {
        let log = log(16 << 20);
        let ids: Vec<String> = (0..5_000)
            .map(|n| format!("beaconry/weather-{n}"))
            .collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        append(&log, &ids);
        let events = log.counts().events;
        assert!(events <= 20, "{events}");
        let (mut at, mut read) = (0, 0);
        while let Next::Event(event, behind) = log.next(NOW, Cursor::Behind(at), &HashSet::new()) {
            assert!(event.len() < EVENT + 1024);
            read += changes(&event).changes.len();
            at = behind;
        }
        assert_eq!(read, 5_000);
    }

    #[test]
    fn cursors_are_read_and_nonsense_is_not() {
        let log = log(1000);
        assert_eq!(log.parse("01234567-12"), Some(Cursor::Behind(12)));
        assert_eq!(log.parse("89abcdef-12"), Some(Cursor::Foreign));
        for bad in [
            "",
            "12",
            "01234567",
            "01234567-",
            "01234567--1",
            "0123456g-1",
            "-1 OR 1=1",
        ] {
            assert_eq!(log.parse(bad), None, "{bad}");
        }
    }
}
