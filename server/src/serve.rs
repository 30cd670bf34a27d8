//! `beaconry serve`: starts everything, waits for a signal, and ends everything in order.

use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker::{Broker, BrokerOptions};
use fleet::FleetOptions;
use mqtt::Utf8String;
use store::{Opened, Settings, Store, StoreError};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

use crate::cli::{self, ServeArgs};
use crate::clock::{self, Clock};
use crate::gate::{self, ConnectionGate};
use crate::http::{About, Http, Inside};
use crate::listener::{Accepted, Listener};
use crate::platform::Signals;
use crate::shard::{self, Authenticate, Framing, NewConnection, ShardLimits};
use crate::{demo, devices, gateway, history, logging};

/// Why the server could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("cannot listen on {address} for {what}: {error}{hint}", hint = hint(error, flag))]
    Listen {
        address: SocketAddr,
        what: &'static str,
        flag: &'static str,
        error: io::Error,
    },
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error(
        "the broker's thread ended by itself, which is a bug in beaconry: please report it with the log, and start the server again"
    )]
    BrokerEnded,
}

fn hint(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("; another program uses this address. Give a different one with {flag} ADDR")
        }
        io::ErrorKind::PermissionDenied => {
            format!("; ports below 1024 need privileges. Give a different one with {flag} ADDR")
        }
        _ => format!("; give a different one with {flag} ADDR"),
    }
}

/// Serves until a signal ends the server.
pub(crate) fn run(arguments: &ServeArgs) -> Result<(), ServeError> {
    logging::start(&arguments.log);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(serve(arguments));
    // This cuts HTTP answers that are not finished. A browser can ask for them again.
    runtime.shutdown_background();
    served
}

async fn serve(arguments: &ServeArgs) -> Result<(), ServeError> {
    let started = clock::since_1970();
    for name in cli::unknown_variables(std::env::vars_os().map(|(name, _)| name)) {
        warn!("nothing reads the variable {name}; beaconry serve --help lists all variables");
    }
    let mqtt = listen(arguments.mqtt, "MQTT", "--mqtt").await?;
    let http = listen(arguments.http, "HTTP", "--http").await?;
    let gateway = match arguments.tcp_gateway {
        Some(address) => Some(listen(address, "the TCP gateway", "--tcp-gateway").await?),
        None => None,
    };
    let listening = Listening {
        mqtt: mqtt.local_addr()?,
        http: http.local_addr()?,
        gateway: gateway.as_ref().map(TcpListener::local_addr).transpose()?,
    };
    let mut signals = Signals::new()?;

    let room = gate::raise_open_files();
    let wanted = usize::try_from(arguments.limits.connections).unwrap_or(usize::MAX);
    let gate = ConnectionGate::new(wanted.min(room), arguments.limits.connections_per_address());
    let tcp_keep_alive = Some(arguments.limits.tcp_keep_alive).filter(|idle| !idle.is_zero());
    if room < wanted {
        info!(
            "the system's limit of open files (ulimit -n) allows only {room} connections at once, not {wanted}"
        );
    }

    let settings = arguments.store.settings(&arguments.limits);
    let folder = settings.as_ref().map(|settings| settings.folder.clone());
    let clock = folder
        .as_deref()
        .and_then(store::clock::read)
        .map_or_else(Clock::new, Clock::continuing);
    let authenticator: Arc<dyn Authenticate> = Arc::new(shard::Everyone);
    let mut options = broker_options(arguments);
    options.authenticate = authenticator.asks();
    options.grants = arguments.access.grants();
    let id = server_id();
    options.server_id = Utf8String::try_from(id.as_str()).ok();
    options.tap = !arguments.no_devices;
    let Some(opened) = open_store(options, settings, clock, &mut signals).await? else {
        return Ok(());
    };
    let (broker, store, mut store_failed) = opened;
    if let Some(folder) = folder.clone() {
        tokio::spawn(store::clock::keep(folder, move || clock.note()));
    }
    let max_packet_size = arguments.limits.maximum_packet_size;
    let shard_limits = ShardLimits {
        packet_size: max_packet_size,
        page_frames: arguments.limits.page_frames,
    };
    let (shard, mut shard_ended, tap) =
        shard::spawn(clock, broker, authenticator, store, shard_limits)?;
    let (feed, history) = match (&folder, &tap) {
        (Some(folder), Some(_)) => start_history(arguments, clock, folder.clone())?.unzip(),
        (None, _) | (_, None) => (None, None),
    };
    let devices = start_devices(arguments, clock, &id, folder, tap, feed)?;
    let (end, shutdown) = watch::channel(false);
    tokio::spawn(accept_mqtt(
        Listener::new(mqtt, "mqtt", Arc::clone(&gate), tcp_keep_alive),
        shard.clone(),
        shutdown.clone(),
    ));
    let gateway = gateway.map(|socket| {
        let settings = gateway::Settings {
            clock,
            mqtt: reachable(listening.mqtt),
            max_object: arguments.limits.gateway_object,
            patience: arguments.limits.connect_timeout,
            tcp_keep_alive,
        };
        gateway::spawn(settings, socket, Arc::clone(&gate))
    });
    let gateway = gateway.transpose()?;
    let website = Arc::new(Http::new(
        About {
            id,
            started,
            mqtt: listening.mqtt,
            max_packet_size,
        },
        shard.clone(),
        Inside {
            devices: devices.clone(),
            gateway: gateway.as_ref().map(gateway::Handle::reader),
            history: history.clone(),
        },
        Arc::clone(&gate),
        arguments.limits.connect_timeout,
        shutdown.clone(),
    ));
    let has_dashboard = website.has_dashboard();
    tokio::spawn(website.serve(Listener::new(http, "http", gate, tcp_keep_alive), shutdown));
    let demo = start_demo(arguments, listening.mqtt)?;

    say_where(&listening, has_dashboard)?;

    tokio::select! {
        name = signals.next() => info!("{name}: the server ends and tells its clients"),
        _ = &mut shard_ended => return Err(ServeError::BrokerEnded),
        error = failure(&mut store_failed) => return Err(error.into()),
    }
    tokio::select! {
        () = wind_down(demo, gateway, end, shard, shard_ended, devices, history) => {
            // No need to wait: the thread has ended and has sent its error, if it had one.
            if let Ok(error) = store_failed.try_recv() {
                return Err(error.into());
            }
            info!("ended");
        }
        name = signals.next() => warn!("{name} again: the server ends at once"),
    }
    Ok(())
}

/// The broker, its store, and what reports that the store has failed.
type Stored = (Broker, Option<Store>, oneshot::Receiver<StoreError>);

/// Opens the store and reads the broker's state from it. `None`: a signal came before that was done.
async fn open_store(
    mut options: BrokerOptions,
    settings: Option<Settings>,
    clock: Clock,
    signals: &mut Signals,
) -> Result<Option<Stored>, ServeError> {
    let Some(settings) = settings else {
        info!("--in-memory: nothing is stored, sessions and messages end with the server");
        let (_, never) = oneshot::channel();
        return Ok(Some((Broker::new(clock.now(), options), None, never)));
    };
    options.durable = true;
    let opening =
        tokio::task::spawn_blocking(move || store::open(&settings, &options, clock.now()));
    tokio::select! {
        opened = opening => {
            let Opened { broker, store, failed } = opened.map_err(io::Error::other)??;
            Ok(Some((broker, Some(store), failed)))
        }
        name = signals.next() => {
            info!("{name}: the server ends before it has read the whole store");
            Ok(None)
        }
    }
}

/// Resolves only if the store fails.
async fn failure(failed: &mut oneshot::Receiver<StoreError>) -> StoreError {
    match failed.await {
        Ok(error) => error,
        // There is no store, or it was closed properly.
        Err(_) => std::future::pending().await,
    }
}

/// Ends everything: the demo's devices sign out, the listeners stop, and the shard tells its clients.
async fn wind_down(
    demo: Option<demo::Handle>,
    gateway: Option<gateway::Handle>,
    end: watch::Sender<bool>,
    shard: shard::Handle,
    shard_ended: oneshot::Receiver<()>,
    model: Option<devices::Handle>,
    history: Option<history::Handle>,
) {
    /// Longer than the shard's own time-outs.
    const PATIENCE: Duration = Duration::from_secs(5);
    /// The disk may be slow, and the devices may be many.
    const MODEL_PATIENCE: Duration = Duration::from_secs(10);
    if let Some(demo) = demo {
        demo.stop().await;
    }
    if let Some(gateway) = gateway {
        gateway.stop().await;
    }
    end.send_replace(true);
    shard.shut_down().await;
    if tokio::time::timeout(PATIENCE, shard_ended).await.is_err() {
        warn!("the broker did not end within {PATIENCE:?}: the server ends without it");
        // It has not told the model everything, so the model does not end either.
        return;
    }
    let Some(model) = model else {
        return;
    };
    let ended = tokio::time::timeout(MODEL_PATIENCE, model.ended());
    if ended.await.is_err() {
        warn!(
            "the devices were not all stored within {MODEL_PATIENCE:?}: the server ends, and the next start shows some as they were before"
        );
    }
    let Some(history) = history else {
        return;
    };
    if tokio::time::timeout(MODEL_PATIENCE, history.ended())
        .await
        .is_err()
    {
        warn!(
            "what happened last was not recorded within {MODEL_PATIENCE:?}: the server ends without it"
        );
    }
}

async fn listen(
    address: SocketAddr,
    what: &'static str,
    flag: &'static str,
) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|error| ServeError::Listen {
            address,
            what,
            flag,
            error,
        })
}

fn broker_options(arguments: &ServeArgs) -> BrokerOptions {
    BrokerOptions {
        limits: arguments.limits.broker(),
        seed: RandomState::new().hash_one("broker"),
        ..arguments.mqtt_options.broker()
    }
}

/// Starts the recorder. `None`: nothing is to be remembered.
fn start_history(
    arguments: &ServeArgs,
    clock: Clock,
    data: PathBuf,
) -> io::Result<Option<(history::Feed, history::Handle)>> {
    let limits = &arguments.limits;
    let Some(archive) = arguments.history.limits(limits) else {
        info!("--no-history: nothing of what happens is remembered");
        return Ok(None);
    };
    let settings = history::Settings {
        clock,
        data,
        archive,
        chosen: arguments.history.chosen(),
        grants: arguments.access.grants(),
        messages: arguments.history.messages(limits),
        backlog: limits.history_backlog,
    };
    history::spawn(settings).map(Some)
}

/// Starts the thread of the devices' model, which reads the broker's tap. `None`: there is no tap.
fn start_devices(
    arguments: &ServeArgs,
    clock: Clock,
    server_id: &str,
    data: Option<PathBuf>,
    tap: Option<mpsc::Receiver<Vec<u8>>>,
    history: Option<history::Feed>,
) -> io::Result<Option<devices::Handle>> {
    let limits = &arguments.limits;
    let settings = devices::Settings {
        clock,
        server_id: server_id.to_owned(),
        fleet: FleetOptions {
            seed: RandomState::new().hash_one("devices"),
            max_devices: limits.devices,
            max_bytes: limits.devices_bytes,
            // Nobody draws here.
            max_queued_samples: 0,
            records: history.is_some(),
            ..FleetOptions::default()
        },
        grants: arguments.access.grants(),
        change_log: limits.change_log_bytes,
        streams: limits.change_streams,
        data,
        history,
    };
    tap.map(|batches| devices::spawn(settings, batches))
        .transpose()
}

/// An id that no other run of a server has.
fn server_id() -> String {
    let random = |what: &str| RandomState::new().hash_one(what);
    format!("{:016x}{:016x}", random("first"), random("second"))
}

async fn accept_mqtt(
    mut listener: Listener,
    shard: shard::Handle,
    mut shutdown: watch::Receiver<bool>,
) {
    loop {
        let Accepted {
            stream,
            peer,
            permit,
        } = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|shutdown| *shutdown) => return,
        };
        match stream.into_std() {
            Ok(stream) => {
                let permit = Arc::new(permit);
                shard
                    .open(NewConnection {
                        stream,
                        peer,
                        permit,
                        framing: Framing::Plain,
                    })
                    .await;
            }
            Err(error) => warn!(%peer, "closed: cannot give the socket to the broker: {error}"),
        }
    }
}

/// Starts the demo's devices, if the arguments ask for some. The MQTT port is at `mqtt`.
fn start_demo(arguments: &ServeArgs, mqtt: SocketAddr) -> io::Result<Option<demo::Handle>> {
    let ServeArgs {
        demo,
        demo_interval,
        ..
    } = arguments;
    (*demo > 0)
        .then(|| demo::spawn(*demo, reachable(mqtt), *demo_interval))
        .transpose()
}

/// Where the server accepts connections.
#[derive(Copy, Clone, Debug)]
struct Listening {
    mqtt: SocketAddr,
    http: SocketAddr,
    gateway: Option<SocketAddr>,
}

/// Tells people and scripts how to reach the server, which accepts connections now.
fn say_where(listening: &Listening, has_dashboard: bool) -> io::Result<()> {
    let Listening {
        mqtt,
        http,
        gateway,
    } = *listening;
    let all = [Some(mqtt), Some(http), gateway];
    warn_if_open(&all.into_iter().flatten().collect::<Vec<_>>());
    announce(listening)?;
    if has_dashboard {
        info!(
            "open http://{} in a browser; devices connect to mqtt://{}",
            reachable(http),
            reachable(mqtt)
        );
    } else {
        warn!(
            "built without the dashboard: `cargo xtask serve` builds both; devices connect to mqtt://{}",
            reachable(mqtt)
        );
    }
    Ok(())
}

/// Warns if the server can be reached from other machines, because clients do not log in.
fn warn_if_open(listening: &[SocketAddr]) {
    let open: Vec<_> = listening
        .iter()
        .filter(|address| !address.ip().to_canonical().is_loopback())
        .map(ToString::to_string)
        .collect();
    if !open.is_empty() {
        warn!(
            "listening on {} without a login: everyone who can reach it can read and publish everything; see SECURITY.md",
            open.join(" and ")
        );
    }
}

/// Prints the line that scripts and tests wait for: the server accepts connections.
fn announce(listening: &Listening) -> io::Result<()> {
    let Listening {
        mqtt,
        http,
        gateway,
    } = listening;
    let mut stdout = io::stdout().lock();
    write!(stdout, "ready mqtt={mqtt} http={http}")?;
    if let Some(gateway) = gateway {
        write!(stdout, " tcp-gateway={gateway}")?;
    }
    writeln!(stdout)?;
    stdout.flush()
}

/// The address at which a program on this machine reaches a socket that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_one_line_that_says_what_to_do() {
        let error = ServeError::Listen {
            address: SocketAddr::from(([127, 0, 0, 1], 1883)),
            what: "MQTT",
            flag: "--mqtt",
            error: io::Error::from(io::ErrorKind::AddrInUse),
        };
        let line = error.to_string();
        assert!(
            line.contains("127.0.0.1:1883") && line.contains("--mqtt ADDR") && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn the_demo_finds_a_server_that_listens_everywhere() {
        assert_eq!(
            reachable("0.0.0.0:5".parse().unwrap()).to_string(),
            "127.0.0.1:5"
        );
        assert_eq!(reachable("[::]:5".parse().unwrap()).to_string(), "[::1]:5");
        assert_eq!(
            reachable("10.1.2.3:5".parse().unwrap()).to_string(),
            "10.1.2.3:5"
        );
    }
}
