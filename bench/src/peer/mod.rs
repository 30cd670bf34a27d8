//! The measured brokers, as separate processes.

mod beaconry;
mod mosquitto;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use testbed::Folder;

use crate::interrupt;
use crate::platform::{self, Cores};
use crate::swarm::Route;

/// How long a broker may take to start, with much to read, or to end, with much to write.
const PATIENCE: Duration = Duration::from_mins(2);

/// A broker that can be started.
#[derive(Clone, Debug)]
pub(crate) enum Peer {
    Beaconry { program: PathBuf },
    Mosquitto { program: PathBuf },
}

/// How a broker runs.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Whether it stores on the disk what must not be lost.
    pub(crate) store: bool,
    /// Whether it must drop nothing, however much waits. Otherwise it has its default limits.
    pub(crate) unlimited: bool,
}

/// A running broker. Dropping it ends the process and removes its files.
pub(crate) struct Running {
    peer: Peer,
    cores: Cores,
    setting: Setting,
    process: Process,
    files: Folder,
}

/// A broker's process, and its addresses.
struct Process {
    child: Child,
    tcp: SocketAddr,
    websocket: SocketAddr,
}

impl Peer {
    /// The mosquitto that is installed, from Debian or elsewhere.
    pub(crate) fn mosquitto() -> Result<Self> {
        const PLACES: &[&str] = &["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin"];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let program = std::env::split_paths(&path)
            .chain(PLACES.iter().map(PathBuf::from))
            .map(|folder| folder.join("mosquitto"))
            .find(|program| program.is_file());
        let program = program.context(
            "mosquitto is not installed, so there is nothing to compare with. Install it \
             (Debian: `sudo apt-get install mosquitto`), or measure Beaconry alone with \
             `--peer none`",
        )?;
        Ok(Self::Mosquitto { program })
    }

    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Beaconry { .. } => "Beaconry",
            Self::Mosquitto { .. } => "mosquitto",
        }
    }

    /// Its version, for the report.
    pub(crate) fn version(&self) -> String {
        let version = match self {
            Self::Beaconry { program } => beaconry::version(program),
            Self::Mosquitto { program } => mosquitto::version(program),
        };
        version.unwrap_or_else(|| "of an unknown version".to_owned())
    }

    /// Starts the broker on its core, and waits until it accepts connections.
    pub(crate) fn start(&self, cores: Cores, setting: Setting) -> Result<Running> {
        let files = Folder::create().context("cannot make a temporary folder")?;
        Ok(Running {
            peer: self.clone(),
            cores,
            setting,
            process: self.launch(cores, setting, &files)?,
            files,
        })
    }

    fn launch(&self, cores: Cores, setting: Setting, files: &Folder) -> Result<Process> {
        let launched = match self {
            Self::Beaconry { program } => beaconry::start(program, cores, setting, files),
            Self::Mosquitto { program } => mosquitto::start(program, cores, setting, files),
        };
        launched.with_context(|| format!("{} did not start", self.name()))
    }
}

impl Running {
    pub(crate) fn route(&self, websocket: bool) -> Route {
        if websocket {
            Route::WebSocket(self.process.websocket)
        } else {
            Route::Tcp(self.process.tcp)
        }
    }

    /// Asks the broker to end, and waits until it has. Its folder then holds what it keeps.
    pub(crate) fn end(&mut self) -> Result<()> {
        self.process.end()
    }

    /// Starts the broker again on its folder, and waits until it accepts connections. A process
    /// that still runs ends at once.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        self.process = self.peer.launch(self.cores, self.setting, &self.files)?;
        Ok(())
    }

    /// How many bytes its folder takes on the disk.
    pub(crate) fn disk(&self) -> Result<u64> {
        platform::disk(self.files.path())
    }

    pub(crate) fn cpu(&self) -> Result<Duration> {
        platform::cpu(self.process.child.id())
    }

    pub(crate) fn memory(&self) -> Result<u64> {
        platform::memory(self.process.child.id())
    }

    /// The most memory that it has used, in bytes.
    pub(crate) fn peak_memory(&self) -> Result<u64> {
        platform::peak_memory(self.process.child.id())
    }
}

impl Process {
    fn end(&mut self) -> Result<()> {
        platform::terminate(&self.child).context("cannot end the broker")?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            interrupt::check()?;
            if Instant::now() > deadline {
                bail!("it did not end within {PATIENCE:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has nothing left to write, and may hold the sockets of thousands of clients.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two addresses on which nobody listens at the moment.
fn free_addresses() -> Result<(SocketAddr, SocketAddr)> {
    let (one, other) = (
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    );
    Ok((one.local_addr()?, other.local_addr()?))
}

/// Waits until somebody listens on `address`. Checks often, because the time of a start is
/// measured.
fn wait_for(child: &mut Child, address: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(address).is_err() {
        interrupt::check()?;
        if let Some(status) = child.try_wait()? {
            bail!("it ended ({status})");
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            bail!("nobody listens on {address} after {PATIENCE:?}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}
