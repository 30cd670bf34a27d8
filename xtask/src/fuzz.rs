//! `cargo xtask fuzz`: feeds the targets of `fuzz/` with what strangers and disks may send.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{command, counts::Counts, step::Step, tools, workspace::Workspace};

/// How many seconds each target is fuzzed, unless the user asks for another time.
const SECONDS: u64 = 60;
/// The longest input, in bytes. Longer ones are slow, and find nothing that shorter ones do not
/// find.
const LONGEST: u32 = 4096;
/// How much memory a target may take, in MiB. Everything that it tests is bounded to far less.
const MEMORY: u32 = 1024;
/// How long one input may take, in seconds. A busy machine may stop a run for long; an endless loop
/// still shows after a minute.
const ONE: u32 = 60;
/// How much longer than asked for a run may take before it is killed.
const GRACE: Duration = Duration::from_mins(5);
/// The dictionary for targets that read MQTT.
const DICTIONARY: &str = "mqtt.dict";
const NO_DICTIONARY: &[&str] = &["journal", "messages", "segments", "series"];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    targets: Vec<String>,
    seconds: u64,
    sanitizer: String,
}

/// The folders of a run.
struct Places {
    /// Inputs that libFuzzer has found. It begins with these, and adds new ones.
    found: PathBuf,
    /// Inputs that make a target fail.
    failures: PathBuf,
}

/// Fuzzes the named targets, or all. Continues with the inputs that earlier runs have found.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let asked = parse(args, &targets(workspace)?)?;
    let programs = build(workspace, &asked.sanitizer)?;
    let mut failed = false;
    for target in &asked.targets {
        let places = Places {
            found: workspace.scratch().join("fuzz/found").join(target),
            failures: workspace.scratch().join("fuzz/failures"),
        };
        failed |= !fuzz(workspace, &programs, target, asked.seconds, &places)?;
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The stage of the tests: builds all targets, and gives each the kept inputs and some seconds.
pub(crate) fn smoke(workspace: &Workspace, seconds: u64) -> Result<Counts> {
    let programs = build(workspace, "none")?;
    let mut counts = Counts::default();
    for target in targets(workspace)? {
        let places = Places {
            // Each run starts from the kept inputs alone, so it does not depend on the run before.
            found: workspace.scratch().join("fuzz/smoke").join(&target),
            failures: workspace.scratch().join("fuzz/failures"),
        };
        if places.found.is_dir() {
            fs::remove_dir_all(&places.found)?;
        }
        if fuzz(workspace, &programs, &target, seconds, &places)? {
            counts.passed += 1;
        } else {
            counts.failed += 1;
        }
    }
    Ok(counts.checked(true))
}

fn parse(args: &[String], known: &[String]) -> Result<Asked> {
    let mut asked = Asked {
        targets: Vec::new(),
        seconds: SECONDS,
        sanitizer: "none".to_owned(),
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || {
            args.next()
                .with_context(|| format!("`{arg}` needs a value"))
        };
        match arg.as_str() {
            "--seconds" => {
                let seconds = value()?;
                asked.seconds = seconds
                    .parse()
                    .ok()
                    .filter(|&seconds| seconds > 0)
                    .with_context(|| format!("`{seconds}` is not a number of seconds"))?;
            }
            "--sanitizer" => {
                let sanitizer = value()?;
                if !["none", "address"].contains(&sanitizer.as_str()) {
                    bail!("there is no sanitizer `{sanitizer}` here; there are none, address");
                }
                asked.sanitizer.clone_from(sanitizer);
            }
            target if known.iter().any(|name| name == target) => {
                asked.targets.push(target.to_owned());
            }
            other => bail!(
                "there is no fuzz target `{other}`; there are {}",
                known.join(", ")
            ),
        }
    }
    if asked.targets.is_empty() {
        asked.targets = known.to_vec();
    }
    Ok(asked)
}

fn targets(workspace: &Workspace) -> Result<Vec<String>> {
    let dir = home(workspace).join("fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let (Some(stem), Some("rs")) = (stem, path.extension().and_then(|it| it.to_str())) {
            names.push(stem.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Builds all targets, and returns their folder.
///
/// Without a sanitizer the pinned toolchain is enough, and inputs run several times faster: our own
/// code has no `unsafe`, and libFuzzer needs only the coverage that every compiler can count. The
/// address sanitizer, for the `unsafe` code of the crates that we use, needs an option that the
/// compiler calls unstable.
fn build(workspace: &Workspace, sanitizer: &str) -> Result<PathBuf> {
    let cargo_fuzz = tools::rust::ensure_cargo_fuzz(workspace)?;
    tools::rust::ensure_cpp()?;
    let host = tools::rust::host(workspace)?;
    let dir = workspace.target.join(match sanitizer {
        "none" => "fuzz",
        _ => "fuzz-sanitized",
    });
    let mut build = command::new(cargo_fuzz.join("cargo-fuzz"));
    build
        .current_dir(&workspace.root)
        .args(["fuzz", "build", "--sanitizer", sanitizer])
        .args(["--target", &host, "--fuzz-dir"])
        .arg(home(workspace))
        .arg("--target-dir")
        .arg(&dir);
    if sanitizer != "none" {
        build.env("RUSTC_BOOTSTRAP", "1");
    }
    Step::new("building the fuzz targets").run(&mut build)?;
    Ok(dir.join(host).join("release"))
}

/// Runs a target. Returns whether it found nothing.
fn fuzz(
    workspace: &Workspace,
    programs: &Path,
    target: &str,
    seconds: u64,
    places: &Places,
) -> Result<bool> {
    let program = programs.join(format!("{target}{}", std::env::consts::EXE_SUFFIX));
    fs::create_dir_all(&places.found)?;
    fs::create_dir_all(&places.failures)?;
    let mut run = Command::new(&program);
    run.arg(&places.found);
    let kept = home(workspace).join("corpus").join(target);
    if kept.is_dir() {
        run.arg(kept);
    }
    if !NO_DICTIONARY.contains(&target) {
        let dictionary = home(workspace).join(DICTIONARY);
        run.arg(format!("-dict={}", dictionary.display()));
    }
    let prefix = places.failures.join(format!("{target}-"));
    run.arg(format!("-artifact_prefix={}", prefix.display()))
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-timeout={ONE}"))
        .arg("-print_final_stats=1");

    let log = workspace
        .scratch()
        .join("logs")
        .join(format!("fuzz-{target}.log"));
    let outcome = Step::new(format!("fuzzing {target} for {seconds} s"))
        .log(log.clone())
        .limit(Duration::from_secs(seconds) + GRACE)
        .outcome(&mut run)?;
    if outcome.status.success() {
        eprintln!("xtask: {target}: {}", summary(&outcome.lines));
        return Ok(true);
    }
    eprintln!("{}\n", explained(&outcome.lines, &program));
    eprintln!("The whole output is in {}.\n", log.display());
    Ok(false)
}

/// What libFuzzer prints at its end, in one line.
fn summary(lines: &[String]) -> String {
    let stat = |name: &str| {
        lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))
            .map_or("?", |value| value.trim_start_matches(':').trim())
    };
    format!(
        "{} inputs, {} a second, at most {} MiB, nothing found",
        stat("number_of_executed_units"),
        stat("average_exec_per_sec"),
        stat("peak_rss_mb"),
    )
}

/// The first panic, without libFuzzer's progress and dictionaries, and how to repeat it.
fn explained(lines: &[String], program: &Path) -> String {
    let first = lines
        .iter()
        .position(|line| line.contains("panicked at") || line.contains("ERROR: "));
    let mut text = match first {
        Some(first) => lines[first..].iter().take(12).cloned().collect::<Vec<_>>(),
        None => lines[lines.len().saturating_sub(40)..].to_vec(),
    };
    let written = lines
        .iter()
        .find_map(|line| line.split_once("Test unit written to "));
    if let Some((_, input)) = written {
        text.push(String::new());
        text.push("To repeat it, and to make it shorter:".to_owned());
        text.push(format!("  {} {input}", program.display()));
        text.push(format!(
            "  {} -minimize_crash=1 -runs=100000 {input}",
            program.display()
        ));
    }
    text.join("\n")
}

fn home(workspace: &Workspace) -> PathBuf {
    workspace.root.join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|&word| word.to_owned()).collect()
    }

    #[test]
    fn targets_and_seconds_are_read_and_nonsense_is_refused() {
        let known = words(&["broker", "packets"]);
        let asked = parse(&words(&["packets", "--seconds", "9"]), &known).unwrap();
        assert_eq!(asked.targets, ["packets"]);
        assert_eq!((asked.seconds, asked.sanitizer.as_str()), (9, "none"));
        assert_eq!(parse(&[], &known).unwrap().targets, known);
        for bad in [
            &["nothing"][..],
            &["--seconds"],
            &["--seconds", "0"],
            &["--sanitizer", "x"],
        ] {
            assert!(parse(&words(bad), &known).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_target_is_built_and_has_kept_inputs() {
        let workspace = Workspace::load().unwrap();
        let manifest = fs::read_to_string(home(&workspace).join("Cargo.toml")).unwrap();
        let targets = targets(&workspace).unwrap();
        assert!(!targets.is_empty());
        for target in targets {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")),
                "{target}"
            );
            let kept = home(&workspace).join("corpus").join(&target);
            assert!(
                kept.read_dir().unwrap().next().is_some(),
                "{}",
                kept.display()
            );
        }
    }

    #[test]
    fn a_finding_is_told_with_its_words_and_its_input() {
        let lines = words(&[
            "#2 INITED cov: 10",
            "thread '<unnamed>' (1) panicked at src/x.rs:1:2:",
            "the words",
            "artifact_prefix='/x/'; Test unit written to /x/crash-1",
        ]);
        let text = explained(&lines, Path::new("/t/packets"));
        assert!(
            text.starts_with("thread '<unnamed>' (1) panicked"),
            "{text}"
        );
        assert!(text.contains("  /t/packets /x/crash-1\n"), "{text}");
    }

    #[test]
    fn the_end_is_told_in_a_line() {
        let lines = words(&[
            "stat::number_of_executed_units: 12",
            "stat::average_exec_per_sec:     3",
            "stat::peak_rss_mb:              31",
        ]);
        assert_eq!(
            summary(&lines),
            "12 inputs, 3 a second, at most 31 MiB, nothing found"
        );
    }
}
