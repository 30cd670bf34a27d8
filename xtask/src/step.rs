//! A long step of work by another program, with its time and, if it fails, its last lines.

use std::{
    fs,
    io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{command, processes};

/// How often the elapsed time on a terminal is redrawn.
const TICK: Duration = Duration::from_millis(200);
/// How long a program's pipes may outlive it, because a grandchild can hold them.
const DRAIN: Duration = Duration::from_secs(2);
/// How many of its last lines a failed step shows.
const TAIL: usize = 60;

/// A step: its title, and where its whole output is kept.
pub(crate) struct Step {
    title: String,
    log: Option<PathBuf>,
    limit: Option<Duration>,
}

/// What a step's program did.
pub(crate) struct Outcome {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// What it printed: stdout and stderr in the order of arrival.
    pub(crate) lines: Vec<String>,
    /// Whether it was killed because it took longer than the step's limit.
    pub(crate) hung: bool,
}

impl Step {
    /// Creates a step with a title, such as "building the dashboard".
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            log: None,
            limit: None,
        }
    }

    /// Also keeps the whole output in this file.
    pub(crate) fn log(mut self, path: PathBuf) -> Self {
        self.log = Some(path);
        self
    }

    /// Kills the program, and everything that it started, if it takes longer than this.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the program to its end. If it fails, returns an error with the tail of its output.
    pub(crate) fn run(self, command: &mut Command) -> Result<Outcome> {
        let outcome = self.outcome(command)?;
        if !outcome.status.success() {
            bail!(
                "{}\n\nThis failed ({}). To run it by hand:\n  {}",
                outcome.tail(TAIL),
                outcome.status,
                command::shown(command)
            );
        }
        Ok(outcome)
    }

    /// Runs the program to its end, whatever its result.
    pub(crate) fn outcome(self, command: &mut Command) -> Result<Outcome> {
        let mut display = Display::start(&self.title);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{}`", command::shown(command)))?;
        let outcome = follow(&mut child, &mut display, self.limit)?;
        display.end(outcome.status.success());
        if outcome.hung {
            eprintln!("xtask: it took too long, and was killed");
        }
        if let Some(path) = &self.log {
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::write(path, outcome.lines.join("\n") + "\n")
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(outcome)
    }
}

impl Outcome {
    /// The last lines of the output.
    pub(crate) fn tail(&self, count: usize) -> String {
        self.lines[self.lines.len().saturating_sub(count)..].join("\n")
    }
}

fn follow(child: &mut Child, display: &mut Display, limit: Option<Duration>) -> Result<Outcome> {
    let (sender, receiver) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        read_lines(pipe, sender.clone());
    }
    if let Some(pipe) = child.stderr.take() {
        read_lines(pipe, sender);
    }
    let mut lines = Vec::new();
    let mut ended: Option<(ExitStatus, Instant)> = None;
    let started = Instant::now();
    let mut hung = false;
    loop {
        if !hung && ended.is_none() && limit.is_some_and(|limit| started.elapsed() > limit) {
            hung = true;
            processes::kill(child)?;
        }
        match receiver.recv_timeout(TICK) {
            Ok(line) => {
                display.line(&line);
                lines.push(line);
            }
            Err(RecvTimeoutError::Timeout) => display.tick(),
            Err(RecvTimeoutError::Disconnected) => {
                let status = wait(child, started, limit, &mut hung)?;
                return Ok(Outcome {
                    status,
                    lines,
                    hung,
                });
            }
        }
        match ended {
            Some((status, at)) if at.elapsed() > DRAIN => {
                return Ok(Outcome {
                    status,
                    lines,
                    hung,
                });
            }
            Some(_) => {}
            None => ended = child.try_wait()?.map(|status| (status, Instant::now())),
        }
    }
}

/// Waits for a program that has closed its pipes.
fn wait(
    child: &mut Child,
    started: Instant,
    limit: Option<Duration>,
    hung: &mut bool,
) -> Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if !*hung && limit.is_some_and(|limit| started.elapsed() > limit) {
            *hung = true;
            processes::kill(child)?;
        }
        thread::sleep(TICK);
    }
}

fn read_lines(pipe: impl Read + Send + 'static, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            if sender.send(text).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// Shows progress. On a terminal, one line is redrawn with the elapsed time. Elsewhere there is a
/// line at the start and one at the end. With `BEACONRY_VERBOSE` everything is shown.
struct Display {
    title: String,
    started: Instant,
    drawn: Instant,
    last: String,
    mode: Mode,
}

enum Mode {
    Terminal,
    Plain,
    Verbose,
}

impl Display {
    fn start(title: &str) -> Self {
        let mode = if std::env::var_os("BEACONRY_VERBOSE").is_some() {
            Mode::Verbose
        } else if std::io::stderr().is_terminal() {
            Mode::Terminal
        } else {
            Mode::Plain
        };
        if !matches!(mode, Mode::Terminal) {
            eprintln!("xtask: {title} …");
        }
        let now = Instant::now();
        Self {
            title: title.to_owned(),
            started: now,
            drawn: now,
            last: String::new(),
            mode,
        }
    }

    fn line(&mut self, line: &str) {
        match self.mode {
            Mode::Verbose => eprintln!("{line}"),
            Mode::Plain => {}
            Mode::Terminal => {
                self.last = line
                    .trim()
                    .chars()
                    .filter(|c| !c.is_control())
                    .take(60)
                    .collect();
                if self.drawn.elapsed() >= TICK {
                    self.tick();
                }
            }
        }
    }

    fn tick(&mut self) {
        if matches!(self.mode, Mode::Terminal) {
            self.drawn = Instant::now();
            eprint!(
                "\r\x1b[2Kxtask: {} … {} s  {}",
                self.title,
                self.started.elapsed().as_secs(),
                self.last
            );
            let _ = std::io::stderr().flush();
        }
    }

    fn end(&self, success: bool) {
        if matches!(self.mode, Mode::Terminal) {
            eprint!("\r\x1b[2K");
        }
        let word = if success { "done" } else { "FAILED" };
        eprintln!(
            "xtask: {}: {word} in {:.1} s",
            self.title,
            self.started.elapsed().as_secs_f64()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_shows_its_tail_and_the_command() {
        let mut command = Command::new("cargo");
        command.args(["build", "--no-such-flag"]);
        let error = Step::new("trying")
            .run(&mut command)
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.contains("unexpected argument '--no-such-flag'"),
            "{error}"
        );
        assert!(
            error.contains("To run it by hand:\n  cargo build --no-such-flag"),
            "{error}"
        );
    }

    /// The program that hangs is a child of the one that was started.
    #[cfg(unix)]
    #[test]
    fn what_takes_too_long_is_killed_with_what_it_started() {
        let started = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo begun; sleep 100; echo never"]);
        let outcome = Step::new("hanging")
            .limit(Duration::from_millis(300))
            .outcome(&mut shell)
            .unwrap();
        assert!(outcome.hung && !outcome.status.success());
        assert_eq!(outcome.lines, ["begun"]);
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn the_tail_is_no_longer_than_the_output() {
        let mut command = Command::new("cargo");
        let outcome = Step::new("asking").run(command.arg("--version")).unwrap();
        assert!(outcome.tail(5).starts_with("cargo "));
    }
}
