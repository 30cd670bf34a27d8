//! The memory of what happened: a thread that records what the model of the devices tells it, and
//! answers for the API.
//!
//! [`Feed`] is the model's side: it never waits. [`Handle`] is the API's side: it reads what is recorded, beside
//! the recorder. The files are `crates/history`.
//!
//! **Invariants.** The model never waits for the disk: rows that wait for the recorder take at most
//! [`Settings::backlog`], with events at most twice as much, and what is beyond is lost and counted. A full disk stops the recorder and nothing else,
//! and it goes on by itself when there is room.

mod chosen;
pub(crate) mod messages;
mod recorder;
mod thread;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use ::history::{COMMAND, Counted, View};
use api::fleet::{Command, Time};
use broker::Grants;
use fleet::Records;
use tokio::sync::watch;
use tracing::warn;

pub(crate) use self::chosen::Chosen;
pub(crate) use self::messages::MessageCounts;
pub(crate) use self::thread::spawn;
use crate::clock::Clock;
use crate::devices::Recorded;

/// What the recorder needs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) clock: Clock,
    /// The data folder.
    pub(crate) data: PathBuf,
    /// How much is kept.
    pub(crate) archive: ArchiveLimits,
    /// Which topics are recorded.
    pub(crate) chosen: Chosen,
    /// What anybody may receive.
    pub(crate) grants: Grants,
    /// The most bytes that wait for the recorder. As many may wait for the log of messages.
    pub(crate) backlog: usize,
    /// How many messages are kept as they came. `None`: none are.
    pub(crate) messages: Option<MessageLimits>,
}

/// How much is kept.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ArchiveLimits {
    /// How long rows are kept as they came, in milliseconds.
    pub(crate) raw: i64,
    /// How long rollups are kept, in milliseconds.
    pub(crate) rollups: i64,
    /// The most bytes of all files.
    pub(crate) bytes: u64,
    /// The most bytes of memory for rows that are in no file yet.
    pub(crate) memory: usize,
    /// The most metrics.
    pub(crate) series: u64,
    /// The most bytes of memory for names.
    pub(crate) names: u64,
}

/// How many messages are kept as they came.
#[derive(Copy, Clone, Debug)]
pub(crate) struct MessageLimits {
    /// How long.
    pub(crate) keep: Duration,
    /// The most bytes of all files.
    pub(crate) bytes: u64,
    /// A payload is cut behind so many bytes.
    pub(crate) payload: usize,
}

/// Takes what is to be recorded, from the model.
#[derive(Debug)]
pub(crate) struct Feed {
    recorded: mpsc::Sender<Sent>,
    shared: Arc<Shared>,
    chosen: Chosen,
    backlog: usize,
    messages: Option<messages::Feed>,
    view: View,
}

/// What was recorded, for those who ask.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    view: View,
    shared: Arc<Shared>,
    limits: ArchiveLimits,
    messages: Option<messages::Handle>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes that wait for the recorder.
    waiting: AtomicUsize,
    /// Rows and events that were lost because too many bytes waited.
    overrun: AtomicU64,
    counted: Mutex<Counted>,
    has_failed: AtomicBool,
    /// Times that the disk refused to take something.
    errors: AtomicU64,
    /// Becomes true when the recorder has ended.
    has_ended: watch::Sender<bool>,
}

/// What the recorder has counted, for `/metrics`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HistoryCounts {
    pub(crate) rows: u64,
    pub(crate) values: u64,
    pub(crate) series: u64,
    pub(crate) names: u64,
    pub(crate) refused: u64,
    pub(crate) too_old: u64,
    pub(crate) overrun: u64,
    pub(crate) lost: u64,
    pub(crate) waiting: u64,
    pub(crate) memory: u64,
    pub(crate) bytes: u64,
    pub(crate) blocks: u64,
    pub(crate) dropped_by_age: u64,
    pub(crate) dropped_by_size: u64,
    pub(crate) errors: u64,
    pub(crate) is_full: bool,
    pub(crate) messages: MessageCounts,
}

/// How the recorder does.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Recording,
    DiskFull,
    Failed,
}

/// The commands of a device, by the time at which they were given and their id.
type Commands = BTreeMap<(Time, String), Command>;

/// So many commands of each device are known after a restart. The model keeps no more.
const MOST_COMMANDS: usize = 50;

impl Feed {
    /// Which topics are recorded.
    pub(crate) const fn chosen(&self) -> &Chosen {
        &self.chosen
    }

    /// Takes messages as they came. `None`: they are not kept.
    pub(crate) const fn messages(&self) -> Option<&messages::Feed> {
        self.messages.as_ref()
    }

    /// The newest commands of the last week, each as far as it had got: the device's id, and the command. For the model,
    /// after a restart.
    pub(crate) fn commands(&self, now: i64) -> Vec<(String, Command)> {
        const WEEK: i64 = 7 * 86_400_000;
        let mut newest: BTreeMap<String, Commands> = BTreeMap::new();
        let read = self.view.read_everyone(
            COMMAND,
            now - WEEK,
            now + 1,
            |value| match value {
                series::Value::Text(text) => serde_json::from_str::<Command>(text).ok(),
                series::Value::Number(_) | series::Value::Integer(_) | series::Value::Bool(_) => {
                    None
                }
            },
            |device, steps| {
                let of_device = newest.entry(device.to_owned()).or_default();
                for (_, command) in steps {
                    of_device.insert((command.created, command.uuid.clone()), command);
                    if of_device.len() > MOST_COMMANDS {
                        of_device.pop_first();
                    }
                }
            },
        );
        if let Err(error) = read {
            warn!("history: the commands before the restart are not known: {error}");
        }
        let commands = newest.into_iter().flat_map(|(device, of_device)| {
            let commands = of_device.into_values();
            commands.map(move |command| (device.clone(), command))
        });
        let mut commands: Vec<_> = commands.collect();
        commands.sort_by_key(|(_, command)| command.created);
        commands
    }

    /// Whether what is handed over now is taken.
    pub(crate) fn has_room(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) < self.backlog
    }

    /// Hands over what happened. If too much waits, rows are lost and counted. Events are few and last, so they may
    /// make twice as much wait before they are lost, too. Names must come, or later rows mean nothing; the limits of
    /// the fleet bound them.
    pub(crate) fn send(&self, mut recorded: Recorded) {
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        let has_room = |recorded: &Recorded, most| waiting.saturating_add(recorded.bytes()) <= most;
        let mut lost = 0;
        if !has_room(&recorded, self.backlog) {
            lost += recorded.rows.len();
            recorded.rows = Records::default();
        }
        if !has_room(&recorded, self.backlog.saturating_mul(2)) {
            lost += recorded.events.len();
            recorded.events = Vec::new();
        }
        self.shared
            .overrun
            .fetch_add(lost as u64, Ordering::Relaxed);
        if recorded.is_empty() && recorded.names.is_empty() {
            return;
        }
        let bytes = recorded.bytes();
        self.shared.waiting.fetch_add(bytes, Ordering::Relaxed);
        // The recorder may have failed: its log says so.
        if self.recorded.send(Sent { recorded, bytes }).is_err() {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

/// What waits for the recorder.
#[derive(Debug)]
struct Sent {
    recorded: Recorded,
    /// As many bytes count as waiting.
    bytes: usize,
}

impl Handle {
    /// Answers questions. They read files: ask from a thread that may wait.
    pub(crate) const fn view(&self) -> &View {
        &self.view
    }

    pub(crate) const fn limits(&self) -> &ArchiveLimits {
        &self.limits
    }

    /// Messages as they came. `None`: they are not kept.
    pub(crate) const fn messages(&self) -> Option<&messages::Handle> {
        self.messages.as_ref()
    }

    /// Waits until everything is on the disk, at the end of the server.
    pub(crate) async fn ended(&self) {
        let mut has_ended = self.shared.has_ended.subscribe();
        // The sender lives as long as this handle.
        let _ = has_ended.wait_for(|has_ended| *has_ended).await;
        if let Some(messages) = &self.messages {
            messages.ended().await;
        }
    }

    pub(crate) fn state(&self) -> State {
        if self.shared.has_failed.load(Ordering::Acquire) {
            State::Failed
        } else if self.shared.counted().is_full {
            State::DiskFull
        } else {
            let messages = self.messages.as_ref();
            messages.map_or(State::Recording, messages::Handle::state)
        }
    }

    /// What was counted.
    pub(crate) fn counted(&self) -> HistoryCounts {
        let shared = &self.shared;
        let counted = shared.counted();
        HistoryCounts {
            rows: counted.rows,
            values: counted.values,
            series: counted.series,
            names: counted.names,
            refused: counted.refused,
            too_old: counted.too_old,
            overrun: shared.overrun.load(Ordering::Relaxed),
            lost: counted.lost,
            waiting: shared.waiting.load(Ordering::Relaxed) as u64,
            memory: counted.memory,
            bytes: counted.bytes,
            blocks: counted.blocks,
            dropped_by_age: counted.dropped_by_age,
            dropped_by_size: counted.dropped_by_size,
            errors: shared.errors.load(Ordering::Relaxed),
            is_full: counted.is_full,
            messages: self
                .messages
                .as_ref()
                .map(messages::Handle::counted)
                .unwrap_or_default(),
        }
    }
}

impl Shared {
    fn counted(&self) -> Counted {
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use ::history::Archive;
    use fleet::{Fleet, FleetOptions, Message, Timestamp};

    use super::*;
    use crate::devices::{RecordedEvent, What};

    const NOW: i64 = 1_795_233_600_000;

    /// Rows of so many messages.
    fn rows(count: i64) -> Records {
        let options = FleetOptions {
            records: true,
            ..FleetOptions::default()
        };
        let mut fleet = Fleet::new(options);
        for at in 0..count {
            let message = Message::new("beaconry/data/pump", br#"{"flow":1.5}"#);
            fleet.handle_message(Timestamp(NOW + at), message);
        }
        let mut rows = Records::default();
        fleet.take_records(&mut rows);
        assert_eq!(rows.len(), usize::try_from(count).unwrap());
        rows
    }

    fn events(count: i64) -> Vec<RecordedEvent> {
        let event = |at| RecordedEvent {
            id: "pump".to_owned(),
            time: NOW + at,
            what: What::Gone,
        };
        (0..count).map(event).collect()
    }

    #[test]
    fn what_waits_is_bounded_and_all_that_is_lost_is_counted() {
        let folder = testbed::Folder::new();
        let settings = ::history::Settings::new(folder.path().join("history"));
        let archive = Archive::open(settings, NOW).unwrap().archive;
        let (recorded, to_record) = mpsc::channel();
        let backlog = 64 << 10;
        // Nobody takes anything: the disk hangs.
        let feed = Feed {
            recorded,
            shared: Arc::default(),
            chosen: Chosen::default(),
            backlog,
            messages: None,
            view: archive.view(),
        };
        for _ in 0..1000 {
            feed.send(Recorded {
                rows: rows(10),
                events: events(2),
                ..Recorded::default()
            });
        }
        let waiting = feed.shared.waiting.load(Ordering::Relaxed);
        assert!((backlog..=2 * backlog).contains(&waiting), "{waiting}");
        let sent: Vec<Sent> = to_record.try_iter().collect();
        let (mut rows, mut events, mut bytes) = (0, 0, 0);
        for Sent {
            recorded,
            bytes: counted,
        } in sent
        {
            rows += recorded.rows.len();
            events += recorded.events.len();
            bytes += recorded.bytes();
            assert_eq!(counted, recorded.bytes());
        }
        assert_eq!(bytes, waiting, "all that was sent was counted");
        assert!(
            rows > 0 && events > rows / 5,
            "{rows} rows, {events} events"
        );
        let lost = feed.shared.overrun.load(Ordering::Relaxed);
        assert_eq!(lost, (12_000 - rows - events) as u64);
    }
}
