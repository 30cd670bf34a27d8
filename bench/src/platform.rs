//! What the measurements need of Linux beyond `std`: cores, CPU time and memory of a process, and
//! options of sockets. The only place here that makes system calls of its own.

use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context as _, Result, bail};
use nix::time::ClockId;
use nix::unistd::Pid;
use rustix::net::sockopt;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The two cores: one for the broker, one for the load.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Cores {
    pub(crate) broker: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// Chooses the first two cores that this process may use.
    pub(crate) fn choose() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot find out which cores may be used")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        match (cores.next(), cores.next()) {
            (Some(broker), Some(load)) => Ok(Self { broker, load }),
            _ => bail!("two cores are needed: one for the broker, one for the load"),
        }
    }

    /// Starts `command` on the broker's core. This thread goes on on the load's core.
    pub(crate) fn spawn(self, command: &mut Command) -> Result<Child> {
        // A child starts on the core of the thread that starts it.
        pin(self.broker)?;
        let child = command.spawn();
        pin(self.load)?;
        child.with_context(|| format!("cannot start {}", command.get_program().display()))
    }
}

fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("cannot run on core {core}"))
}

/// The CPU time of a process, in user and system mode together. It includes threads that have
/// ended, which `/proc/PID/task` forgets.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    let time = ClockId::pid_cpu_clock_id(pid).and_then(ClockId::now);
    Ok(time.context("the broker has ended")?.into())
}

/// Asks a process to end, with SIGTERM.
pub(crate) fn terminate(child: &Child) -> io::Result<()> {
    Ok(kill_process(
        rustix::process::Pid::from_child(child),
        Signal::TERM,
    )?)
}

/// Sets how many bytes the system may keep for this socket until they are read.
pub(crate) fn set_receive_buffer(socket: impl AsFd, bytes: usize) -> io::Result<()> {
    Ok(sockopt::set_socket_recv_buffer_size(socket, bytes)?)
}

/// Memory in use (resident set), in bytes.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The most memory that was ever in use, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

fn status(pid: u32, name: &str) -> Result<u64> {
    let status =
        fs::read_to_string(format!("/proc/{pid}/status")).context("the broker has ended")?;
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.context("/proc does not tell how much memory is in use")? * 1024)
}

/// How many bytes a folder takes on the disk, including space that files reserve and do not use.
pub(crate) fn disk(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() {
            disk(&entry.path())?
        } else {
            metadata.blocks() * 512
        };
    }
    Ok(total)
}

/// Lets this process and its children have as many sockets as the system allows. Returns how many
/// those are.
pub(crate) fn raise_open_files() -> u64 {
    const WANTED: u64 = 100_000;
    let before = getrlimit(Resource::Nofile);
    for maximum in [before.maximum.map(|it| it.max(WANTED)), before.maximum] {
        let wanted = Rlimit {
            current: maximum.map(|it| it.min(WANTED)),
            maximum,
        };
        if setrlimit(Resource::Nofile, wanted).is_ok() {
            break;
        }
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    const ENOUGH: Duration = Duration::from_millis(20);

    #[test]
    fn the_time_of_threads_that_have_ended_counts() {
        let me = std::process::id();
        let before = cpu(me).unwrap();
        thread::spawn(move || while cpu(me).unwrap() < before + ENOUGH {})
            .join()
            .unwrap();
        assert!(cpu(me).unwrap() >= before + ENOUGH);
    }

    #[test]
    fn a_folder_takes_what_its_files_take() {
        let folder = testbed::Folder::new();
        let folder = folder.path();
        fs::create_dir_all(folder.join("inner")).unwrap();
        fs::write(folder.join("inner/file"), vec![1; 100_000]).unwrap();
        let size = disk(folder).unwrap();
        assert!((100_000..200_000).contains(&size), "{size}");
    }
}
