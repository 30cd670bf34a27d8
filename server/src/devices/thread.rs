//! The thread that owns the model.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use broker::Grants;
use fleet::{DeviceKey, FleetOptions, Limit, Timestamp};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::error;

use super::changes::ChangeLog;
use super::keeper::{Keeper, Written};
use super::model::{Model, stamp, time};
use super::panics;
use super::question::Question;
use super::{Counted, Handle, QUESTIONS, Shared};
use crate::clock::Clock;
use crate::history;

/// Changes are told at most this often. So a thousand devices that leave at once are a few events.
const PAUSE: Duration = Duration::from_millis(200);
/// The time between two rounds of saving. What is younger is lost if the server is killed.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// So many devices are saved at once, and then the model looks at the broker's messages.
const SAVE_AT_ONCE: usize = 128;
/// The pause until more is saved.
const SAVE_PAUSE: Duration = Duration::from_millis(5);
/// What lasts is recorded of so many devices at once.
const LASTING_AT_ONCE: usize = 1000;
/// After a batch, at most this many questions are answered before the next one.
const AT_ONCE: usize = 4;

/// What the thread needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) clock: Clock,
    pub(crate) server_id: String,
    pub(crate) fleet: FleetOptions,
    /// What anybody may receive. The model leaves out the rest.
    pub(crate) grants: Grants,
    /// The most bytes of the change log.
    pub(crate) change_log: usize,
    /// The most who may follow the changes at once.
    pub(crate) streams: usize,
    /// The data folder, where the devices outlive the server. `None`: they do not.
    pub(crate) data: Option<PathBuf>,
    /// Takes what is to be recorded. `None`: nothing is.
    pub(crate) history: Option<history::Feed>,
}

/// Starts the thread. It ends when `batches` ends.
pub(crate) fn spawn(settings: Settings, batches: mpsc::Receiver<Vec<u8>>) -> io::Result<Handle> {
    let Settings {
        clock,
        server_id,
        fleet,
        grants,
        change_log,
        streams,
        data,
        history,
    } = settings;
    let streams = streams.min(Semaphore::MAX_PERMITS);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let shared = Arc::new(Shared {
        clock,
        log: ChangeLog::new(&server_id, change_log),
        counted: Mutex::default(),
        streams: Arc::new(Semaphore::new(streams)),
        max_streams: streams,
        streams_refused: 0.into(),
        resyncs: 0.into(),
        kept: Arc::default(),
        has_failed: AtomicBool::new(false),
        has_ended: watch::Sender::new(false),
    });
    let (ask, questions) = mpsc::channel(QUESTIONS);
    let handle = Handle {
        questions: ask,
        shared: Arc::clone(&shared),
    };
    std::thread::Builder::new()
        .name("devices".to_owned())
        .spawn(move || {
            contain(&shared, || {
                let mut model = Model::new(fleet, grants);
                let keeper =
                    data.and_then(|data| restore(&mut model, &shared, &data, history.as_ref()));
                // What is restored was recorded in its time.
                if let Some(history) = &history {
                    model.record(history.chosen().clone());
                    if let Some(messages) = history.messages() {
                        model.keep_messages(messages.batch());
                    }
                }
                let mut running = Running::new(model, &shared, keeper, history);
                runtime.block_on(running.run(batches, questions));
            });
        })?;
    Ok(handle)
}

/// Fills the model with what an earlier run has stored. If the table cannot be opened, the model does
/// without: MQTT and the devices of now matter more.
fn restore(
    model: &mut Model,
    shared: &Shared,
    data: &Path,
    history: Option<&history::Feed>,
) -> Option<Keeper> {
    let now = stamp(shared.clock.now());
    let kept = Keeper::open_table(data).and_then(|table| {
        table.read(|key, value| model.restore(now, key, value))?;
        Ok(table)
    });
    // The table has the devices without their commands.
    if let Some(history) = history {
        for (device, command) in history.commands(now.0) {
            model.restore_command(now, &device, &command);
        }
    }
    model.restored(now);
    let keeper = kept
        .map_err(io::Error::other)
        .and_then(|table| Keeper::new(table, Arc::clone(&shared.kept)));
    keeper
        .inspect_err(|error| {
            shared.kept.count_error();
            error!("the devices are not stored, and do not outlive the server: {error}");
        })
        .ok()
}

/// Runs the model so that a panic of it does not end the server, and says when it has ended.
fn contain(shared: &Arc<Shared>, run: impl FnOnce()) {
    let of_model = Arc::clone(shared);
    panics::stay(move || {
        error!(
            "the model of the devices has ended because of a fault in beaconry: the API does not tell of devices any more, and what the broker tells the model is lost, while MQTT goes on; please report it with this log, and restart the server"
        );
        of_model.has_failed.store(true, Ordering::Release);
        of_model.end();
    });
    run();
    shared.end();
}

struct Running<'a> {
    model: Model,
    shared: &'a Shared,
    /// When changes may be told again.
    tell_at: Instant,
    /// Something has happened since changes were told.
    is_fresh: bool,
    /// `None`: nothing is stored.
    keeper: Option<Keeper>,
    saving: Rounds,
    history: Option<history::Feed>,
    /// The day for which everything that lasts is recorded, counted from 1970.
    day: i64,
    /// The devices of which that is still to be done.
    lasting: Vec<DeviceKey>,
}

/// When the model is saved.
#[derive(Copy, Clone, Debug)]
enum Rounds {
    /// The next round begins at this time.
    Next(Instant),
    /// A round goes on at this time.
    GoesOn(Instant),
}

/// What the thread does next.
enum Next {
    Read(Vec<u8>),
    Answer(Question),
    LookAtTheTime,
    End,
}

impl<'a> Running<'a> {
    fn new(
        model: Model,
        shared: &'a Shared,
        keeper: Option<Keeper>,
        history: Option<history::Feed>,
    ) -> Self {
        Self {
            model,
            shared,
            tell_at: Instant::now(),
            is_fresh: true,
            keeper,
            saving: Rounds::Next(Instant::now() + SAVE_EVERY),
            history,
            day: i64::MIN,
            lasting: Vec::new(),
        }
    }

    async fn run(
        &mut self,
        mut batches: mpsc::Receiver<Vec<u8>>,
        mut questions: mpsc::Receiver<Question>,
    ) {
        loop {
            let next = tokio::select! {
                batch = batches.recv() => batch.map_or(Next::End, Next::Read),
                Some(question) = questions.recv() => Next::Answer(question),
                () = sleep_until(self.due()) => Next::LookAtTheTime,
            };
            match next {
                Next::Read(batch) => {
                    self.model.read(&batch);
                    self.is_fresh = true;
                    self.record();
                    for _ in 0..AT_ONCE {
                        let Ok(question) = questions.try_recv() else {
                            break;
                        };
                        self.answer(question);
                    }
                }
                Next::Answer(question) => self.answer(question),
                Next::LookAtTheTime => {}
                Next::End => break,
            }
            self.look_at_the_time();
        }
        self.tell();
        // The recorder ends when its feed does.
        drop(self.history.take());
        self.save_all().await;
        self.count();
    }

    /// When something is to be done, if nothing else happens.
    fn due(&self) -> Instant {
        let timeout = self.model.poll_timeout().map(|at| self.moment(at));
        let tell = self.is_fresh.then_some(self.tell_at);
        let far = Instant::now() + Duration::from_hours(1);
        let (Rounds::Next(save) | Rounds::GoesOn(save)) = self.saving;
        let save = self.keeper.is_some().then_some(save);
        let all = timeout.into_iter().chain(tell).chain(save);
        all.fold(far, Instant::min)
    }

    fn look_at_the_time(&mut self) {
        let now = self.now();
        if self.model.poll_timeout().is_some_and(|due| due <= now) {
            self.model.handle_timeout(now);
            self.is_fresh = true;
        }
        if self.is_fresh && Instant::now() >= self.tell_at {
            self.tell();
        }
        self.save();
        self.count();
    }

    /// Goes on with saving, if it is time.
    fn save(&mut self) {
        let Some(keeper) = &self.keeper else {
            return;
        };
        let now = Instant::now();
        match self.saving {
            Rounds::Next(at) if at <= now => {
                if keeper.take_failure() {
                    self.model.save_again();
                }
                self.model.begin_saving();
                self.saving = Rounds::GoesOn(now);
            }
            Rounds::GoesOn(at) if at <= now => {
                let model = &mut self.model;
                self.saving = match keeper.write(|| model.save_some(SAVE_AT_ONCE)) {
                    Written::All => Rounds::Next(now + SAVE_EVERY),
                    Written::Some | Written::Nothing => Rounds::GoesOn(now + SAVE_PAUSE),
                };
            }
            Rounds::Next(_) | Rounds::GoesOn(_) => {}
        }
    }

    /// Saves everything that is not saved yet, and waits for the disk.
    async fn save_all(&mut self) {
        let Some(keeper) = self.keeper.take() else {
            return;
        };
        if keeper.take_failure() {
            self.model.save_again();
        }
        self.model.begin_saving();
        loop {
            let entries = self.model.save_some(SAVE_AT_ONCE);
            if entries.is_empty() {
                break;
            }
            keeper.write_soon(entries).await;
        }
        keeper.close().await;
    }

    /// Writes what has changed into the log.
    fn tell(&mut self) {
        self.model.note_time(self.now());
        let told = self.model.take_changes();
        let (now, counts) = (time(self.now()), self.model.counts());
        self.shared.log.append(now, counts, &told);
        self.is_fresh = false;
        self.tell_at = Instant::now() + PAUSE;
        self.record();
    }

    /// Hands over what is to be recorded.
    fn record(&mut self) {
        const DAY: i64 = 86_400_000;
        let Some(history) = &self.history else {
            return;
        };
        let now = self.now();
        if now.0.div_euclid(DAY) != self.day {
            self.day = now.0.div_euclid(DAY);
            self.lasting = self.model.keys();
        }
        // A part at a time, so that the descriptions of a large fleet are not all in memory at once.
        if !self.lasting.is_empty() && history.has_room() {
            let rest = self.lasting.len().saturating_sub(LASTING_AT_ONCE);
            self.model
                .record_lasting(now, &self.lasting.split_off(rest));
        }
        // Then there is something to do at the next time.
        self.is_fresh |= !self.lasting.is_empty();
        let recorded = self.model.take_recorded();
        if !recorded.is_empty() {
            history.send(recorded);
        }
        if let (Some(messages), Some(feed)) = (self.model.take_messages(), history.messages()) {
            feed.send(messages);
        }
    }

    fn answer(&mut self, question: Question) {
        // Whoever has asked may have gone: then nobody wants the answer.
        match question {
            Question::List(query, answer) => {
                let cursor = self.shared.log.cursor();
                let _ = answer.send(self.model.list(self.now(), cursor, &query));
            }
            Question::Describe(keys, detail, answer) => {
                let _ = answer.send(self.model.describe(&keys, detail));
            }
            Question::One(id, answer) => drop(answer.send(self.model.one(&id))),
            Question::Topics(id, answer) => drop(answer.send(self.model.topics(&id))),
            Question::Hide(id, hidden, answer) => {
                let _ = answer.send(self.model.hide(&id, hidden));
                self.is_fresh = true;
            }
            Question::Forget(id, answer) => {
                let _ = answer.send(self.model.forget(&id));
                self.is_fresh = true;
            }
        }
    }

    /// Shows what was counted.
    fn count(&self) {
        let (counted, fleet, of) = (
            self.model.counted(),
            self.model.fleet(),
            self.model.counts(),
        );
        let shown = of.online + of.sleeping + of.stale + of.offline + of.unknown;
        // Whoever panics keeps its locks: so nothing is computed under one.
        let counted = Counted {
            online: of.online as u64,
            sleeping: of.sleeping as u64,
            stale: of.stale as u64,
            offline: of.offline as u64,
            unknown: of.unknown as u64,
            hidden: fleet.len().saturating_sub(shown) as u64,
            bytes: fleet.memory_used() as u64,
            messages: counted.messages,
            faults: counted.faults,
            strangers: self.model.limit_count(Limit::Strangers),
            ignored_devices: self.model.limit_count(Limit::Devices),
            ignored_bytes: self.model.limit_count(Limit::Bytes),
            table_errors: counted.not_saved,
            ..Counted::default()
        };
        let shared = self.shared.counted.lock();
        *shared.unwrap_or_else(PoisonError::into_inner) = counted;
    }

    fn now(&self) -> Timestamp {
        stamp(self.shared.clock.now())
    }

    /// The runtime's time for a time of the fleet.
    fn moment(&self, at: Timestamp) -> Instant {
        let ms = u64::try_from(at.0).unwrap_or(0);
        self.shared.clock.deadline(mqtt::Instant::from_millis(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::NoAnswer;

    fn settings() -> Settings {
        Settings {
            clock: Clock::new(),
            server_id: "0123456789".to_owned(),
            fleet: FleetOptions::default(),
            grants: Grants::default(),
            change_log: 1 << 20,
            streams: 2,
            data: None,
            history: None,
        }
    }

    #[tokio::test]
    async fn the_model_answers_until_its_end() {
        let (tap, batches) = mpsc::channel(1);
        let handle = spawn(settings(), batches).unwrap();
        tap.send(Vec::new()).await.unwrap();
        let found = handle.ask(|answer| Question::One("x".to_owned(), answer));
        assert_eq!(found.await, Ok(None));
        drop(tap);
        handle.ended().await;
        let found = handle.ask(|answer| Question::One("x".to_owned(), answer));
        assert_eq!(found.await, Err(NoAnswer::Ended));
        assert!(handle.log().is_closed());
        assert!(!handle.counted().has_failed);
    }

    /// The thread waits for ever then. It ends with the test's process.
    #[tokio::test]
    async fn a_panic_ends_the_model_alone() {
        let (_tap, batches) = mpsc::channel(1);
        let handle = spawn(settings(), batches).unwrap();
        let shared = Arc::clone(&handle.shared);
        std::thread::spawn(move || contain(&shared, || panic!("a fault of the model")));
        handle.ended().await;
        assert!(handle.counted().has_failed && handle.log().is_closed());
        let found = handle.ask(|answer| Question::Forget("x".to_owned(), answer));
        assert_eq!(found.await, Err(NoAnswer::Ended));
    }
}
