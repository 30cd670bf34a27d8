//! The shard's loop: an input goes into the broker, and the shard carries out the broker's outputs.
//!
//! Writes are gathered. The flush task runs after the other tasks that are ready in the same round
//! of the runtime, so under load more bytes leave with each system call.

use std::cell::{Cell, RefCell, RefMut};
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use broker::{
    Broker, CloseCause, CloseReason, Conn, ConnectedClient, Decision, Input, LimitReached, Metrics,
    Output, Peer, Transport,
};
use bytes::BytesMut;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use mqtt::{Instant, ProtocolVersion};
use store::Store;
use tokio::sync::{Notify, mpsc};
use tokio::task::{AbortHandle, spawn_local};
use tracing::{debug, warn};

use super::Snapshot;
use super::auth::{Answer, Authenticate, Deciding};
use super::connection::Connection;
use super::frames::Gathering;
use super::storing::Storing;
use super::tapping::Tapping;
use crate::clock::Clock;
use crate::limits;
use crate::listener::{Budget, Spending};
use crate::{memory, standstill};

pub(super) struct Core {
    clock: Clock,
    broker: RefCell<Broker>,
    /// A reference to this value, for the tasks that it spawns.
    this: Weak<Self>,
    authentication: Deciding,
    /// The tasks that wait for slow decisions, at most one for each connection.
    deciding: RefCell<HashMap<Conn, AbortHandle, FixedState>>,
    /// `None`: nothing is stored.
    storing: Option<Storing>,
    /// `None`: nobody reads the tap.
    tapping: Option<Tapping>,
    /// The fixed hash seed is safe here: we choose the keys, no client does.
    connections: RefCell<HashMap<Conn, Rc<Connection>, FixedState>>,
    next_conn: Cell<u64>,
    /// Connections for which the broker has bytes to send.
    dirty: RefCell<Vec<Conn>>,
    flush: Notify,
    gathering: Gathering,
    timer: Timer,
    read_buffer: RefCell<BytesMut>,
    /// Empty write buffers, to be used again.
    spare: RefCell<Vec<BytesMut>>,
    websocket_faults: Cell<u64>,
    tasks: Cell<usize>,
    /// How often a connection's task has had its turn.
    turns: Cell<u64>,
    task_ended: Notify,
    warnings: RefCell<Budget>,
}

/// The one timer of the shard.
#[derive(Default)]
struct Timer {
    due: Cell<Option<Instant>>,
    changed: Notify,
}

impl Core {
    pub(super) fn new(
        clock: Clock,
        broker: Broker,
        authenticator: Arc<dyn Authenticate>,
        store: Option<Store>,
        tap: Option<mpsc::Sender<Vec<u8>>>,
        page_frames: u32,
    ) -> Rc<Self> {
        Rc::new_cyclic(|this| Self {
            clock,
            broker: RefCell::new(broker),
            this: Weak::clone(this),
            authentication: Deciding::new(authenticator),
            deciding: RefCell::default(),
            storing: store.map(Storing::new),
            tapping: tap.map(Tapping::new),
            connections: RefCell::default(),
            next_conn: Cell::new(0),
            dirty: RefCell::default(),
            flush: Notify::new(),
            gathering: Gathering::new(page_frames),
            timer: Timer::default(),
            read_buffer: RefCell::default(),
            spare: RefCell::default(),
            websocket_faults: Cell::new(0),
            tasks: Cell::new(0),
            turns: Cell::new(0),
            task_ended: Notify::new(),
            warnings: RefCell::default(),
        })
    }

    /// Returns a new number for a connection. No number is used twice.
    pub(super) fn next_conn(&self) -> Conn {
        let conn = self.next_conn.get() + 1;
        self.next_conn.set(conn);
        Conn(conn)
    }

    /// Tells the broker of a new connection. From now on the broker can send to it.
    pub(super) fn open(&self, conn: Conn, peer: Peer, connection: Rc<Connection>) {
        self.connections.borrow_mut().insert(conn, connection);
        self.input(Input::Opened(conn, peer));
    }

    /// Removes a connection: nothing is sent to it any more.
    pub(super) fn forget(&self, conn: Conn) {
        self.stop_deciding(conn);
        let mut connections = self.connections.borrow_mut();
        connections.remove(&conn);
        if let Some(less) = memory::less(connections.len(), connections.capacity()) {
            connections.shrink_to(less);
        }
    }

    /// Counts a connection's task that begins. When the server ends, the shard waits for it for a
    /// limited time.
    pub(super) fn task_began(&self) {
        self.tasks.set(self.tasks.get() + 1);
    }

    /// Counts a connection's task that ends.
    pub(super) fn task_ends(&self) {
        self.tasks.set(self.tasks.get().saturating_sub(1));
        self.task_ended.notify_one();
    }

    /// A connection's task has its turn.
    pub(super) fn count_turn(&self) {
        self.turns.set(self.turns.get().wrapping_add(1));
    }

    /// How many connections' tasks there are.
    pub(super) fn task_count(&self) -> usize {
        self.tasks.get()
    }

    /// Waits until a connection's task has ended. Returns at once if one has ended since the last
    /// call.
    pub(super) async fn task_ended(&self) {
        self.task_ended.notified().await;
    }

    pub(super) fn read_buffer(&self) -> RefMut<'_, BytesMut> {
        self.read_buffer.borrow_mut()
    }

    /// Counts and logs a client that broke a rule of WebSocket. The broker knows nothing of
    /// WebSocket. The log names the client, because behind a proxy many clients have one address.
    pub(super) fn websocket_fault(&self, conn: Conn, peer: SocketAddr, what: &str) {
        self.websocket_faults.set(self.websocket_faults.get() + 1);
        self.warn(|| match self.broker.borrow().client_of(conn) {
            Some(client) => {
                warn!(%peer, "closed: client {client:?}: broke the WebSocket protocol: {what}");
            }
            None => {
                warn!(%peer, "closed: client not yet known: broke the WebSocket protocol: {what}");
            }
        });
    }

    /// Logs a warning about a client. The rate is limited, or a hostile client could fill the disk.
    fn warn(&self, log: impl FnOnce()) {
        match self.warnings.borrow_mut().take(tokio::time::Instant::now()) {
            Spending::Allowed { withheld: 0 } => log(),
            Spending::Allowed { withheld } => {
                warn!(
                    "{withheld} warnings about clients were left out: there were too many at once"
                );
                log();
            }
            Spending::Withheld => {}
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot {
            broker: self.broker.borrow().metrics(),
            websocket_faults: self.websocket_faults.get(),
            postponed_frames: self.gathering.postponed(),
            store: self.storing.as_ref().map(Storing::stats),
        }
    }

    pub(super) const fn storing(&self) -> Option<&Storing> {
        self.storing.as_ref()
    }

    pub(super) const fn tapping(&self) -> Option<&Tapping> {
        self.tapping.as_ref()
    }

    /// Takes what waits for the reader of the tap.
    pub(super) fn take_tap(&self) -> Vec<u8> {
        let mut batch = Vec::new();
        let mut broker = self.broker.borrow_mut();
        broker.take_tap(&mut batch);
        // There is room for more now.
        self.drain(&mut broker);
        batch
    }

    /// Ends the shard: stores the broker's last records, and waits until they are durable.
    pub(super) fn end(self) {
        self.store_records();
        let last = self.take_tap();
        if let Some(tapping) = self.tapping {
            tapping.close(last);
        }
        if let Some(storing) = self.storing {
            storing.close();
        }
    }

    /// Gives the broker an input and carries out its outputs.
    pub(super) fn input(&self, input: Input) {
        self.input_at(self.clock.now(), input);
    }

    fn input_at(&self, now: Instant, input: Input) {
        let mut broker = self.broker.borrow_mut();
        broker.handle_input(now, input);
        self.drain(&mut broker);
    }

    /// Lets the broker write about `budget` bytes of a checkpoint. Returns whether there is more.
    pub(super) fn checkpoint(&self, budget: usize) -> bool {
        let mut broker = self.broker.borrow_mut();
        let has_more = broker.checkpoint(self.clock.now(), budget);
        self.drain(&mut broker);
        has_more
    }

    pub(super) fn metrics(&self) -> Metrics {
        self.broker.borrow().metrics()
    }

    pub(super) fn spare_room(&self) -> u64 {
        self.broker.borrow().spare_room()
    }

    /// Carries out all outputs of the broker.
    fn drain(&self, broker: &mut Broker) {
        loop {
            match broker.poll_output() {
                Output::Write(conn) => self.take(broker, conn),
                Output::Close(conn, reason) => self.close(conn, &reason),
                Output::Authenticate(conn, credentials) => {
                    match self.authentication.ask(*credentials) {
                        Answer::Now(decision) => {
                            let decided = Input::Authenticated(conn, decision);
                            broker.handle_input(self.clock.now(), decided);
                        }
                        Answer::Later(work) => self.decide_later(conn, work),
                    }
                }
                Output::Connected(conn, client) => log_connected(conn, &client),
                // Without a store the option `durable` is not set, so neither this output nor
                // `Checkpointed` comes.
                Output::Persist(_) => {
                    if let Some(storing) = &self.storing {
                        storing.has_records();
                        self.flush.notify_one();
                    }
                }
                Output::Checkpointed(from) => {
                    if let Some(storing) = &self.storing {
                        storing.trim(from);
                    }
                }
                // Without a reader the option `tap` is not set.
                Output::Tapped => {
                    if let Some(tapping) = &self.tapping {
                        tapping.has_something();
                    }
                }
                Output::Pause(conn) => self.set_paused(conn, true),
                Output::Resume(conn) => self.set_paused(conn, false),
                Output::Limited(reached) => log_limit(&reached),
                Output::Idle(due) => {
                    self.timer.set(due);
                    break;
                }
            }
        }
        if !self.dirty.borrow().is_empty() {
            self.flush.notify_one();
        }
    }

    /// Authenticates a client on another thread. The shard serves the others meanwhile.
    fn decide_later(&self, conn: Conn, work: Box<dyn FnOnce() -> Decision + Send>) {
        let (this, authentication) = (Weak::clone(&self.this), self.authentication.clone());
        let task = spawn_local(async move {
            let decision = authentication.decide(work).await;
            if let Some(core) = this.upgrade() {
                core.deciding.borrow_mut().remove(&conn);
                core.input(Input::Authenticated(conn, decision));
            }
        });
        let mut deciding = self.deciding.borrow_mut();
        deciding.insert(conn, task.abort_handle());
    }

    /// Nobody waits any more for a decision about this connection's client.
    fn stop_deciding(&self, conn: Conn) {
        let mut deciding = self.deciding.borrow_mut();
        if let Some(task) = deciding.remove(&conn) {
            task.abort();
        }
        if let Some(less) = memory::less(deciding.len(), deciding.capacity()) {
            deciding.shrink_to(less);
        }
    }

    /// Takes the bytes that the broker has for `conn` now, because the broker drops them when it
    /// closes the connection. Messages for a page may stay there for a moment.
    fn take(&self, broker: &mut Broker, conn: Conn) {
        let connections = self.connections.borrow();
        let Some(connection) = connections.get(&conn) else {
            return;
        };
        if let Some(pace) = connection.pace() {
            if self.gathering.is_too_early(self.clock.now(), pace) && broker.postpone(conn) {
                return self.gathering.add(conn, pace);
            }
            Gathering::end_wait(pace);
        }
        let mut unsent = connection.unsent();
        if unsent.capacity() == 0 {
            *unsent = self.spare.borrow_mut().pop().unwrap_or_default();
        }
        broker.take_writes(conn, &mut unsent);
        self.dirty.borrow_mut().push(conn);
    }

    fn set_paused(&self, conn: Conn, is_paused: bool) {
        if let Some(connection) = self.connections.borrow().get(&conn) {
            connection.set_paused(is_paused);
        }
    }

    fn close(&self, conn: Conn, reason: &CloseReason) {
        self.stop_deciding(conn);
        let Some(connection) = self.connections.borrow_mut().remove(&conn) else {
            return;
        };
        let peer = connection.peer();
        if let CloseCause::TakenOver { by } = reason.cause {
            // As a rule this is no fault. It is logged because two devices with the same client
            // identifier close each other again and again, and nothing else shows that.
            let by = self.connections.borrow().get(&by).map(|it| it.peer());
            self.warn(|| warn!(%peer, by = by.map(tracing::field::display), "closed: {reason}"));
        } else if reason.cause.is_fault() {
            let flags = limits::flags_of(&reason.cause);
            self.warn(|| warn!(%peer, "closed: {reason}{flags}"));
        } else {
            debug!(%peer, "closed: {reason}");
        }
        connection.close();
    }

    /// Runs for ever: writes to every connection for which the broker has bytes.
    pub(super) async fn flush_loop(&self) {
        let mut batch = Vec::new();
        loop {
            self.flush.notified().await;
            self.store_records();
            std::mem::swap(&mut batch, &mut self.dirty.borrow_mut());
            for conn in batch.drain(..) {
                self.flush_one(conn);
            }
        }
    }

    /// Runs for ever: writes to every page for which messages have waited long enough.
    pub(super) async fn gather_loop(&self) {
        loop {
            for conn in self.gathering.next().await {
                let connection = self.connections.borrow().get(&conn).cloned();
                if connection.is_some_and(|it| it.pace().is_some_and(Gathering::end_wait)) {
                    self.flush_one(conn);
                }
            }
        }
    }

    /// Gives the store all records that the broker has.
    pub(super) fn store_records(&self) {
        if let Some(storing) = &self.storing {
            storing.take(&mut self.broker.borrow_mut());
        }
    }

    fn flush_one(&self, conn: Conn) {
        let Some(connection) = self.connections.borrow().get(&conn).cloned() else {
            return;
        };
        if let Some(pace) = connection.pace() {
            self.gathering.note_frame(self.clock.now(), pace);
        }
        // Bytes that were added since then leave with the same write.
        self.broker
            .borrow_mut()
            .take_writes(conn, &mut connection.unsent());
        if connection.flush() {
            self.written(conn, &connection);
        }
    }

    /// The system has taken all bytes for `conn`: keeps the buffer, and tells the broker.
    pub(super) fn written(&self, conn: Conn, connection: &Connection) {
        const MOST: usize = 64;
        const LARGEST: usize = 64 * 1024;
        let mut buffer = std::mem::take(&mut *connection.unsent());
        buffer.clear();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < MOST && (1..=LARGEST).contains(&buffer.capacity()) {
            spare.push(buffer);
        }
        drop(spare);
        self.input(Input::Drained(conn));
    }

    /// Runs for ever: tells the broker when the time has come that it waits for. Before that it
    /// reads what waits in the sockets (see [`standstill`]).
    pub(super) async fn timer_loop(&self) {
        loop {
            let changed = self.timer.changed.notified();
            match self.timer.due.get() {
                None => changed.await,
                Some(due) => tokio::select! {
                    () = tokio::time::sleep_until(self.clock.deadline(due)) => {
                        // The server can stand still while it reads. What clients send then is not
                        // read yet, so only what was due before may end them.
                        let begun = self.clock.now();
                        let sockets = self.connections.borrow().len();
                        standstill::read_what_waits(sockets, || self.turns.get()).await;
                        self.timer.due.set(None);
                        self.input_at(begun, Input::Timeout);
                    }
                    () = changed => {}
                },
            }
        }
    }
}

impl Timer {
    /// Arms the timer. A later time than the armed one needs no wake-up: a time-out that comes early
    /// does no harm.
    fn set(&self, due: Option<Instant>) {
        let Some(due) = due else { return };
        if self.due.get().is_none_or(|armed| due < armed) {
            self.due.set(Some(due));
            self.changed.notify_one();
        }
    }
}

/// Needs no rate limit here: the broker reports each limit at most once in five seconds.
fn log_limit(reached: &LimitReached) {
    let LimitReached {
        limit,
        client_id,
        count,
    } = reached;
    let what = limits::describe(*limit);
    let times = match count {
        1 => "once".to_owned(),
        _ => format!("{count} times"),
    };
    if let Some(client_id) = client_id {
        warn!("limit reached {times}, the last by client {client_id:?}: {what}");
    } else {
        warn!("limit reached {times}: {what}");
    }
}

fn log_connected(conn: Conn, client: &ConnectedClient) {
    let ConnectedClient {
        client_id,
        version,
        dialect,
        keep_alive,
        session_present,
        peer,
        ..
    } = client;
    let Conn(number) = conn;
    let version = match version {
        ProtocolVersion::V3_1_1 if dialect.is_v3_1 => "3.1",
        ProtocolVersion::V3_1_1 => "3.1.1",
        ProtocolVersion::V5 => "5.0",
    };
    let over = match peer.transport {
        Transport::Tcp => "TCP",
        Transport::Tls => "TLS",
        Transport::WebSocket => "WebSocket",
        Transport::SecureWebSocket => "WebSocket over TLS",
        Transport::Memory => "memory",
    };
    let address = peer.address.map(|it| it.to_string()).unwrap_or_default();
    debug!(
        number,
        ?client_id,
        version,
        bridge = dialect.is_bridge,
        keep_alive,
        session_present,
        peer = %format_args!("{address} over {over}"),
        "connected"
    );
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use broker::{BrokerOptions, Limits};
    use mqtt::{Connect, Packet};
    use tokio::task::yield_now;
    use tokio::time::sleep_until;

    use super::super::Everyone;
    use super::*;

    const IN_MEMORY: Peer = Peer {
        address: None,
        transport: Transport::Memory,
    };

    /// The server stands still while it reads what waits. A client whose time was not over before
    /// must not be closed.
    #[tokio::test]
    async fn what_comes_during_a_standstill_in_the_reading_is_read_too() {
        let clock = Clock::new();
        let limits = Limits {
            connect_timeout: Duration::from_millis(100),
            ..Limits::default()
        };
        let options = BrokerOptions {
            limits,
            ..BrokerOptions::default()
        };
        let broker = Broker::new(clock.now(), options);
        let core = Core::new(clock, broker, Arc::new(Everyone), None, None, 0);
        let (silent, prompt) = (core.next_conn(), core.next_conn());
        core.input(Input::Opened(silent, IN_MEMORY));
        tokio::time::sleep(Duration::from_millis(50)).await;
        core.input(Input::Opened(prompt, IN_MEMORY));

        let due = clock.deadline(core.timer.due.get().unwrap());
        let standstill = async {
            sleep_until(due).await;
            std::thread::sleep(standstill::LONGEST);
            // What waits in the socket is read in the next round.
            yield_now().await;
            let mut bytes = BytesMut::new();
            let connect = Packet::Connect(Connect::new(ProtocolVersion::V5, "prompt"));
            mqtt::encode(&connect, ProtocolVersion::V5, &mut bytes).unwrap();
            core.input(Input::Bytes(prompt, bytes.freeze()));
            while core.metrics().connect_timeouts == 0 {
                yield_now().await;
            }
        };
        // The timer's loop is asked first, so the standstill falls into its reading.
        tokio::select! {
            biased;
            () = core.timer_loop() => {}
            () = standstill => {}
        }
        assert_eq!(core.metrics().connect_timeouts, 1);
        let is_open = |conn| core.broker.borrow().client_of(conn).is_some();
        assert!(is_open(prompt) && !is_open(silent));
    }
}
