//! A shard: one thread that owns one broker and all of its connections.
//!
//! It shares nothing with other threads, so it needs no locks. Other threads hand over sockets
//! through the [`Handle`]. A session stays on its shard.

mod auth;
mod connection;
mod core;
mod frames;
mod storing;
mod tapping;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, Input, Peer};
use bytes::Bytes;
use store::Store;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, coop, spawn_local};
use tokio::time::Instant;
use tracing::warn;
use transport::ByteStream;

pub(crate) use self::auth::{Authenticate, Everyone};
use self::connection::Connection;
use self::core::Core;
use crate::clock::Clock;
use crate::gate::Permit;
use crate::platform::hold_little_unsent;

/// How many commands may wait. When that many wait, the listeners stop accepting connections.
const COMMANDS: usize = 256;
/// How long clients may take to read DISCONNECT and close when the server ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Batches of the broker's [tap](broker::tap).
pub(crate) type Batches = mpsc::Receiver<Vec<u8>>;

/// Talks to the shard from other threads.
#[derive(Clone, Debug)]
pub(crate) struct Handle {
    commands: mpsc::Sender<Command>,
}

/// A socket to be handed to the shard.
#[derive(Debug)]
pub(crate) struct NewConnection {
    pub(crate) stream: std::net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: Arc<Permit>,
    pub(crate) framing: Framing,
}

/// How a new connection carries MQTT.
#[derive(Debug)]
pub(crate) enum Framing {
    /// Without framing.
    Plain,
    /// In the binary messages of a WebSocket, whose handshake is done.
    WebSocket {
        /// Bytes that came behind the handshake.
        already_read: Bytes,
        /// Whether it is a page's: its handshake named an origin, as browsers do.
        is_page: bool,
    },
}

/// What the shard has counted, at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) broker: broker::Metrics,
    pub(crate) websocket_faults: u64,
    /// How often messages to a page had to wait for others.
    pub(crate) postponed_frames: u64,
    /// `None`: nothing is stored.
    pub(crate) store: Option<store::Stats>,
}

#[derive(Debug)]
enum Command {
    Open(NewConnection),
    Snapshot(oneshot::Sender<Snapshot>),
    Shutdown,
}

/// The limits that the shard keeps itself.
#[derive(Copy, Clone, Debug)]
pub(crate) struct ShardLimits {
    /// The largest packet, in bytes.
    pub(crate) packet_size: u32,
    /// The most frames that a page gets in a second. 0: any number.
    pub(crate) page_frames: u32,
}

/// Starts the shard's thread. The second value resolves when the thread has ended and everything is
/// stored.
///
/// The third value gives the batches of the broker's [tap](broker::tap), one at once and then at most
/// one in 5 ms, until the shard has ended. It is `None` without
/// [`BrokerOptions::tap`](broker::BrokerOptions::tap).
pub(crate) fn spawn(
    clock: Clock,
    broker: Broker,
    authenticator: Arc<dyn Authenticate>,
    store: Option<Store>,
    limits: ShardLimits,
) -> io::Result<(Handle, oneshot::Receiver<()>, Option<Batches>)> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (commands, inbox) = mpsc::channel(COMMANDS);
    let (ended, has_ended) = oneshot::channel();
    let (tap, batches) = broker.is_tapped().then(tapping::channel).unzip();
    std::thread::Builder::new()
        .name("shard".to_owned())
        .spawn(move || {
            let core = Core::new(clock, broker, authenticator, store, tap, limits.page_frames);
            let tasks = LocalSet::new();
            let running = run(Rc::clone(&core), inbox, limits.packet_size);
            runtime.block_on(tasks.run_until(running));
            // The tasks hold the core too.
            drop(tasks);
            if let Some(core) = Rc::into_inner(core) {
                core.end();
            }
            // This fails if the main thread has ended, and then nobody waits.
            let _ = ended.send(());
        })?;
    Ok((Handle { commands }, has_ended, batches))
}

impl Handle {
    /// Gives the shard a connection. Waits while the shard has too many new ones. While the shard
    /// ends, the connection is dropped and so closed.
    pub(crate) async fn open(&self, connection: NewConnection) {
        let _ = self.commands.send(Command::Open(connection)).await;
    }

    /// What the shard has counted. `None` if it does not answer within a second.
    pub(crate) async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.commands.send(Command::Snapshot(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(Duration::from_secs(1), asked)
            .await
            .ok()
            .flatten()
    }

    /// Tells every client that the server ends. The thread ends when all have closed, or after a
    /// limited time.
    pub(crate) async fn shut_down(&self) {
        let _ = self.commands.send(Command::Shutdown).await;
    }
}

async fn run(core: Rc<Core>, mut inbox: mpsc::Receiver<Command>, max_packet_size: u32) {
    // It writes for all connections, so tokio must not make it wait because it has written a lot.
    let flushing = Rc::clone(&core);
    spawn_local(coop::unconstrained(
        async move { flushing.flush_loop().await },
    ));
    let timing = Rc::clone(&core);
    spawn_local(async move { timing.timer_loop().await });
    let gathering = Rc::clone(&core);
    spawn_local(coop::unconstrained(async move {
        gathering.gather_loop().await;
    }));
    storing::spawn(&core);
    let tapped = Rc::clone(&core);
    spawn_local(async move {
        if let Some(tapping) = tapped.tapping() {
            tapping.run(&tapped).await;
        }
    });
    // Carries out what the start has left: records to store, and the timer. Otherwise they would
    // wait for the first client.
    core.input(Input::Timeout);

    while let Some(command) = inbox.recv().await {
        match command {
            Command::Open(connection) => open(&core, connection, max_packet_size),
            Command::Snapshot(answer) => drop(answer.send(core.snapshot())),
            Command::Shutdown => break,
        }
    }
    inbox.close();
    core.input(Input::Shutdown);
    wait_for_tasks(&core).await;
}

fn open(core: &Rc<Core>, new: NewConnection, max_packet_size: u32) {
    let NewConnection {
        stream,
        peer,
        permit,
        framing,
    } = new;
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => return warn!(%peer, "closed: cannot use the accepted socket: {error}"),
    };
    hold_little_unsent(&stream);
    let (stream, transport, is_page) = match framing {
        Framing::Plain => (ByteStream::plain(stream), broker::Transport::Tcp, false),
        Framing::WebSocket {
            already_read,
            is_page,
        } => (
            ByteStream::websocket(stream, &already_read, max_packet_size),
            broker::Transport::WebSocket,
            is_page,
        ),
    };
    let conn = core.next_conn();
    let connection = Connection::new(conn, peer, stream, is_page, permit);
    core.open(
        conn,
        Peer {
            address: Some(peer),
            transport,
        },
        Rc::clone(&connection),
    );
    spawn_local(connection.run(Rc::clone(core)));
}

/// Waits until every connection's task has ended, for a limited time.
async fn wait_for_tasks(core: &Core) {
    let end = Instant::now() + SHUTDOWN_TIMEOUT;
    while core.task_count() > 0 && Instant::now() < end {
        let _ = tokio::time::timeout_at(end, core.task_ended()).await;
    }
}
