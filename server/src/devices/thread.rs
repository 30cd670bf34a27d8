//! The thread that owns the model.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use fleet::{FleetOptions, Limit, Timestamp};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::error;

use super::changes::ChangeLog;
use super::model::{Model, stamp, time};
use super::question::Question;
use super::{Counted, Handle, QUESTIONS, Shared};
use crate::clock::Clock;

/// Changes are told at most this often. So a thousand devices that leave at once are a few events.
const PAUSE: Duration = Duration::from_millis(200);
/// After a batch, at most this many questions are answered before the next one.
const AT_ONCE: usize = 4;

/// What the thread needs.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) clock: Clock,
    pub(crate) server_id: String,
    pub(crate) fleet: FleetOptions,
    /// The most bytes of the change log.
    pub(crate) change_log: usize,
    /// The most who may follow the changes at once.
    pub(crate) streams: usize,
}

/// Starts the thread. It ends when `batches` ends. The second value resolves when it has ended.
pub(crate) fn spawn(
    settings: Settings,
    batches: mpsc::Receiver<Vec<u8>>,
) -> io::Result<(Handle, oneshot::Receiver<()>)> {
    let Settings {
        clock,
        server_id,
        fleet,
        change_log,
        streams,
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
    });
    let (ask, questions) = mpsc::channel(QUESTIONS);
    let (ended, has_ended) = oneshot::channel();
    let handle = Handle {
        questions: ask,
        shared: Arc::clone(&shared),
    };
    std::thread::Builder::new()
        .name("devices".to_owned())
        .spawn(move || {
            // What the panic leaves half done is dropped with the model; nobody sees it.
            let run = AssertUnwindSafe(|| {
                let mut running = Running::new(Model::new(fleet), &shared);
                runtime.block_on(running.run(batches, questions));
            });
            if catch_unwind(run).is_err() {
                error!(
                    "the model of the devices has ended because of a fault in beaconry: the API does not tell of devices any more, while MQTT goes on; please report it with this log, and restart the server"
                );
            }
            shared.log.close();
            // This fails if the main thread has ended, and then nobody waits.
            let _ = ended.send(());
        })?;
    Ok((handle, has_ended))
}

struct Running<'a> {
    model: Model,
    shared: &'a Shared,
    /// When changes may be told again.
    tell_at: Instant,
    /// Something has happened since changes were told.
    is_fresh: bool,
}

/// What the thread does next.
enum Next {
    Read(Vec<u8>),
    Answer(Question),
    LookAtTheTime,
    End,
}

impl<'a> Running<'a> {
    fn new(model: Model, shared: &'a Shared) -> Self {
        Self {
            model,
            shared,
            tell_at: Instant::now(),
            is_fresh: false,
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
        self.count();
    }

    /// When something is to be done, if nothing else happens.
    fn due(&self) -> Instant {
        let timeout = self.model.poll_timeout().map(|at| self.moment(at));
        let tell = self.is_fresh.then_some(self.tell_at);
        let far = Instant::now() + Duration::from_hours(1);
        timeout.into_iter().chain(tell).fold(far, Instant::min)
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
        self.count();
    }

    /// Writes what has changed into the log.
    fn tell(&mut self) {
        let told = self.model.take_changes();
        let (now, counts) = (time(self.now()), self.model.counts());
        self.shared.log.append(now, counts, &told);
        self.is_fresh = false;
        self.tell_at = Instant::now() + PAUSE;
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
        let shared = self.shared.counted.lock();
        *shared.unwrap_or_else(PoisonError::into_inner) = Counted {
            online: of.online as u64,
            sleeping: of.sleeping as u64,
            stale: of.stale as u64,
            offline: of.offline as u64,
            unknown: of.unknown as u64,
            hidden: (fleet.len() - shown) as u64,
            bytes: fleet.memory_used() as u64,
            messages: counted.messages,
            faults: counted.faults,
            strangers: self.model.limit_count(Limit::Strangers),
            ignored_devices: self.model.limit_count(Limit::Devices),
            ignored_bytes: self.model.limit_count(Limit::Bytes),
            ..Counted::default()
        };
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
