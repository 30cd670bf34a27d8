//! `cargo xtask test`: runs every check and every test, and counts how many passed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    audit,
    build::{self, locked_in_ci},
    command, compiler, conformance,
    counts::Counts,
    fuzz,
    step::Step,
    tools,
    workspace::{WASM, Workspace},
};

/// The crates that only make sense in a browser. They are checked for the browser's target too, and
/// tested in a browser.
const BROWSER_CRATES: &[&str] = &["beaconry-app", "beaconry-link", "beaconry-widgets"];

/// What the server compiles for: large and small computers, containers without a C library, and
/// desktops.
const SERVER_TARGETS: &[&str] = &[
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-pc-windows-msvc",
];

/// How many lines a failed stage shows. Its log has all of them.
const TAIL: usize = 200;

/// The longest that one end-to-end test may take.
const E2E_LIMIT_MS: u32 = 180_000;

/// The longest that Rust's tests may take together, including the build. On a cold machine the
/// build takes most of it.
const RUST_LIMIT: Duration = Duration::from_mins(45);

/// How many times the tests kill the release binary. All of them together take some seconds.
const KILLS: &str = "20";

/// How long each fuzz target runs.
const FUZZ_SECONDS: u64 = 5;

/// A part of the tests that can run alone.
#[derive(Clone, Copy)]
enum Stage {
    Fmt,
    Clippy,
    Targets,
    Deny,
    Conformance,
    Native,
    Fuzz,
    Wasm,
    E2e,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Fmt,
        Self::Clippy,
        Self::Targets,
        Self::Deny,
        Self::Conformance,
        Self::Native,
        Self::Fuzz,
        Self::Wasm,
        Self::E2e,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Targets => "targets",
            Self::Deny => "deny",
            Self::Conformance => "conformance",
            Self::Native => "native",
            Self::Fuzz => "fuzz",
            Self::Wasm => "wasm",
            Self::E2e => "e2e",
        }
    }

    fn run(self, workspace: &Workspace) -> Result<Counts> {
        match self {
            Self::Fmt => fmt(workspace),
            Self::Clippy => clippy(workspace),
            Self::Targets => targets(workspace),
            Self::Deny => deny(workspace),
            Self::Conformance => conformance(workspace),
            Self::Native => native(workspace),
            Self::Fuzz => fuzz::smoke(workspace, FUZZ_SECONDS),
            Self::Wasm => wasm(workspace),
            Self::E2e => end_to_end(workspace),
        }
    }
}

/// Runs the named stages, or all of them, even if an earlier one failed. The last line on stdout is
/// `N passed, N failed`.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<ExitCode> {
    let mut total = Counts::default();
    let mut summary = Vec::new();
    for stage in chosen(names)? {
        let counts = stage.run(workspace).unwrap_or_else(|error| {
            eprintln!("\nxtask: {} cannot run: {error:#}\n", stage.name());
            Counts::BROKEN
        });
        summary.push(format!(
            "{:12}{:>6} passed {:>4} failed {:>4} skipped",
            stage.name(),
            counts.passed,
            counts.failed,
            counts.skipped
        ));
        total += counts;
    }
    println!("\n{}\n", summary.join("\n"));
    println!("{} passed, {} failed", total.passed, total.failed);
    Ok(if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn chosen(names: &[String]) -> Result<Vec<Stage>> {
    if names.is_empty() {
        return Ok(Stage::ALL.to_vec());
    }
    for name in names {
        if !Stage::ALL.iter().any(|stage| stage.name() == name) {
            let known = Stage::ALL.map(Stage::name).join(", ");
            bail!("there is no stage `{name}` of the tests; there are {known}");
        }
    }
    Ok(Stage::ALL
        .into_iter()
        .filter(|stage| names.iter().any(|n| n == stage.name()))
        .collect())
}

fn fmt(workspace: &Workspace) -> Result<Counts> {
    let mut cargo = cargo(workspace, &["fmt", "--all", "--check"]);
    let mut counts = check(workspace, "checking the formatting", "fmt", &mut cargo)?;
    let mut apart = command::new("cargo");
    apart
        .args(["fmt", "--check"])
        .current_dir(workspace.root.join("fuzz"));
    let title = "checking the formatting of the fuzz targets";
    counts += check(workspace, title, "fmt-fuzz", &mut apart)?;
    Ok(counts)
}

fn clippy(workspace: &Workspace) -> Result<Counts> {
    let mut native = cargo(workspace, &["clippy", "--workspace", "--all-targets"]);
    locked_in_ci(&mut native).args(["--", "-D", "warnings"]);
    let mut counts = check(workspace, "clippy", "clippy", &mut native)?;

    tools::rust::ensure_target(workspace, WASM)?;
    let mut browser = cargo(workspace, &["clippy", "--all-targets", "--target", WASM]);
    browser.args(packages());
    locked_in_ci(&mut browser).args(["--", "-D", "warnings"]);
    counts += check(
        workspace,
        "clippy for the browser",
        "clippy-wasm",
        &mut browser,
    )?;

    // This program is in a workspace of its own, because it links another database. It also
    // compiles parts of the server.
    let mut apart = cargo(workspace, &["check", "--locked", "--manifest-path"]);
    apart
        .arg("bench/store-compare/Cargo.toml")
        .arg("--target-dir")
        .arg(workspace.target.join("store-compare"));
    let title = "checking the comparison of the store with a database";
    counts += check(workspace, title, "store-compare", &mut apart)?;
    Ok(counts)
}

/// Checks that the server compiles for every system that it is meant for. Nothing is linked, so no
/// system's linker or C compiler has to be here; the dashboard need not be built.
fn targets(workspace: &Workspace) -> Result<Counts> {
    let host = tools::rust::host(workspace)?;
    let mut counts = Counts::default();
    for target in SERVER_TARGETS {
        tools::rust::ensure_target(workspace, target)?;
        let mut cargo = cargo(workspace, &["check", "--package", "beaconry"]);
        locked_in_ci(cargo.args(["--target", target]));
        if *target != host {
            compiler::stand_in(&mut cargo, target)?;
        }
        let title = format!("checking the server for {target}");
        counts += check(workspace, &title, &format!("targets-{target}"), &mut cargo)?;
    }
    Ok(counts)
}

/// Checks licences, duplicates and sources. `cargo xtask audit` does what needs the network.
fn deny(workspace: &Workspace) -> Result<Counts> {
    let mut deny = audit::deny(workspace, &["licenses", "bans", "sources"])?;
    check(workspace, "checking what is linked", "deny", &mut deny)
}

/// Checks that every statement of the standards has its test, and that the table is up to date.
fn conformance(workspace: &Workspace) -> Result<Counts> {
    conformance::run(workspace, &["--check".to_owned()])?;
    Ok(Counts::default())
}

fn native(workspace: &Workspace) -> Result<Counts> {
    let mut cargo = cargo(workspace, &["test", "--workspace", "--no-fail-fast"]);
    rust_tests(
        workspace,
        "the native tests",
        "native",
        locked_in_ci(&mut cargo),
    )
}

/// wasm-bindgen's runner serves each test binary as a page. Our script opens it in the browser.
fn wasm(workspace: &Workspace) -> Result<Counts> {
    tools::node::ensure(workspace)?;
    tools::rust::ensure_target(workspace, WASM)?;
    let bindgen = tools::rust::ensure_bindgen(workspace)?;
    let script = workspace.root.join("xtask/wasm-runner.mjs");

    let mut cargo = cargo(workspace, &["test", "--no-fail-fast", "--target", WASM]);
    cargo
        .args(["--lib", "--bins", "--tests"])
        .args(packages())
        .env("CHROMIUM", tools::browser::ensure(workspace)?)
        .env("PATH", command::path_with(&[&bindgen])?)
        .env("WASM_BINDGEN_USE_BROWSER", "1")
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER",
            format!("node {}", script.display()),
        );
    rust_tests(
        workspace,
        "the tests in the browser",
        "wasm",
        locked_in_ci(&mut cargo),
    )
}

/// Tests the release binary with other people's MQTT programs and a real browser.
fn end_to_end(workspace: &Workspace) -> Result<Counts> {
    build::everything(workspace)?;
    let mut counts = kill_release(workspace)?;
    let npm = tools::node::ensure(workspace)?;
    let browser = tools::browser::ensure(workspace)?;
    let firefox = tools::firefox::ensure(workspace)?;
    let peers = tools::peers::ensure(workspace)?;
    let files = e2e_files(&workspace.root.join("e2e"))?;
    if files.is_empty() {
        bail!("there is no *.test.mjs in e2e/");
    }
    let mut dirs: Vec<&Path> = vec![&npm];
    dirs.extend(peers.programs.iter().map(PathBuf::as_path));
    counts += beside_mosquitto(workspace, &dirs)?;

    let mut node = command::new("node");
    node.current_dir(&workspace.root)
        .env("PATH", command::path_with(&dirs)?)
        .env("BEACONRY_BIN", workspace.server())
        .env("CHROMIUM", browser)
        .env("FIREFOX", firefox)
        .env("PYTHON", peers.python)
        .args(["--test", "--test-reporter=spec"])
        .arg(format!("--test-timeout={E2E_LIMIT_MS}"))
        .args(files);
    let log = log_of(workspace, "e2e");
    let outcome = Step::new("the end-to-end tests")
        .log(log.clone())
        .outcome(&mut node)?;
    let of_node = Counts::of_node(&outcome.lines).checked(outcome.status.success());
    if of_node.failed > 0 {
        explain(&outcome.tail(TAIL), &log, &node);
    }
    counts += of_node;
    Ok(counts)
}

/// The native tests kill the binary that was built for them. This kills the one that people run.
fn kill_release(workspace: &Workspace) -> Result<Counts> {
    let tests = ["test", "--package", "beaconry", "--test", "durability"];
    let mut cargo = cargo(workspace, &tests);
    cargo
        .arg("kills::")
        .env("BEACONRY_BIN", workspace.server())
        .env("BEACONRY_KILLS", KILLS);
    rust_tests(
        workspace,
        "killing the release binary",
        "kills",
        locked_in_ci(&mut cargo),
    )
}

/// The native tests work without mosquitto's tools. Here `pub` and `sub` stand in for them, in the same
/// scripts.
fn beside_mosquitto(workspace: &Workspace, programs: &[&Path]) -> Result<Counts> {
    let tests = ["test", "--package", "beaconry", "--test", "programs"];
    let mut cargo = cargo(workspace, &tests);
    // Before the arguments of the tests.
    locked_in_ci(&mut cargo)
        .args(["beside_mosquitto::", "--", "--ignored"])
        .env("PATH", command::path_with(programs)?)
        .env("BEACONRY_BIN", workspace.server());
    rust_tests(
        workspace,
        "pub and sub beside mosquitto's",
        "beside-mosquitto",
        &mut cargo,
    )
}

fn e2e_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(".test.mjs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn check(workspace: &Workspace, title: &str, name: &str, cargo: &mut Command) -> Result<Counts> {
    let log = log_of(workspace, name);
    let outcome = Step::new(title).log(log.clone()).outcome(cargo)?;
    if outcome.status.success() {
        return Ok(Counts::default());
    }
    explain(&outcome.tail(TAIL), &log, cargo);
    Ok(Counts::BROKEN)
}

fn rust_tests(
    workspace: &Workspace,
    title: &str,
    name: &str,
    cargo: &mut Command,
) -> Result<Counts> {
    let log = log_of(workspace, name);
    let outcome = Step::new(title)
        .log(log.clone())
        .limit(RUST_LIMIT)
        .outcome(cargo)?;
    let counts = Counts::of_rust(&outcome.lines).checked(outcome.status.success());
    if outcome.hung {
        eprintln!("{}", what_hung(&outcome.lines));
    } else if counts.failed > 0 {
        explain(&outcome.tail(TAIL), &log, cargo);
    }
    Ok(counts)
}

/// Rust's test harness names a test that has run for a minute. The one that hung has no result.
fn what_hung(lines: &[String]) -> String {
    let running = lines
        .iter()
        .rev()
        .find(|line| line.trim_start().starts_with("Running ") || line.contains("Doc-tests "))
        .map_or("", |line| line.trim());
    let has_ended = |name: &str| {
        let result = format!("test {name} ... ");
        lines.iter().any(|line| line.starts_with(&result))
    };
    let names: Vec<&str> = lines
        .iter()
        .filter_map(|line| {
            let (name, _) = line
                .strip_prefix("test ")?
                .split_once(" has been running for over")?;
            (!has_ended(name)).then_some(name)
        })
        .collect();
    let minutes = RUST_LIMIT.as_secs() / 60;
    match names.as_slice() {
        [] => format!("After {minutes} minutes this had not finished: {running}"),
        names => format!(
            "After {minutes} minutes these hang: {}\nin: {running}",
            names.join(", ")
        ),
    }
}

fn explain(tail: &str, log: &Path, command: &Command) {
    eprintln!(
        "{tail}\n\nThe whole output is in {}. To run it by hand:",
        log.display()
    );
    eprintln!("  {}\n", command::shown(command));
}

fn cargo(workspace: &Workspace, args: &[&str]) -> Command {
    let mut cargo = command::new("cargo");
    cargo.args(args).current_dir(&workspace.root);
    cargo
}

fn packages() -> impl Iterator<Item = &'static str> {
    BROWSER_CRATES.iter().flat_map(|name| ["--package", name])
}

fn log_of(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.scratch().join("logs").join(format!("{name}.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hung_is_the_test_without_a_result() {
        let lines = [
            "     Running unittests src/lib.rs (target/debug/deps/a-1)",
            "test quick ... ok",
            "test slow has been running for over 60 seconds",
            "test stuck::here has been running for over 60 seconds",
            "test slow ... ok",
        ]
        .map(str::to_owned);
        let text = what_hung(&lines);
        assert!(
            text.contains("these hang: stuck::here\nin: Running unittests"),
            "{text}"
        );
        assert!(what_hung(&lines[..2]).contains("not finished: Running unittests"));
    }

    #[test]
    fn stages_run_in_their_own_order_and_unknown_ones_are_refused() {
        let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        let picked = chosen(&names(&["e2e", "fmt"])).unwrap();
        assert_eq!(
            picked.iter().map(|stage| stage.name()).collect::<Vec<_>>(),
            ["fmt", "e2e"]
        );
        assert_eq!(chosen(&[]).unwrap().len(), Stage::ALL.len());
        assert!(chosen(&names(&["unit"])).is_err());
    }
}
