//! Builds, runs and tests Beaconry: `cargo xtask help`.
//!
//! Only rustup and Node.js must be installed before. xtask installs every other tool once into the
//! user's cache folder ([`cache`]), in the version that this repository names, and finds it again.
//! Messages go to stderr, so that stdout holds only what the server or the tests print.

mod audit;
mod bench;
mod build;
mod cache;
mod command;
mod compiler;
mod conformance;
mod counts;
mod doctor;
mod fuzz;
mod interop;
mod platform;
mod processes;
mod step;
mod test;
mod tools;
mod workspace;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::workspace::Workspace;

const HELP: &str = "\
cargo xtask COMMAND

  serve [-- ARGS]   Installs what is missing, builds everything, runs
                    `beaconry serve --demo 24 --data target/beaconry-data ARGS`
  build             Does the same without running it
  split             Divides the page that Trunk is building; Trunk calls it (Trunk.toml)
  test [STAGE]...   Runs all tests, or some stages:
                    fmt clippy targets deny conformance native fuzz wasm e2e
  conformance       Writes docs/conformance.md: which test holds which statement of the standards;
                    --check only reports what is missing there
  interop [WORD]... Writes docs/interop.md: which programs work together. With words it runs only the
                    clients and brokers that have one of them in their names, and prints the tables
  bench [ARGS]      Measures Beaconry beside mosquitto, in turns on one core; see `bench --help`
  fuzz [TARGET]...  Fuzzes the targets of fuzz/, or some of them; --seconds N for each (60),
                    --sanitizer address for the unsafe code of the crates that are used
  audit             Checks licences, duplicates and sources of the crates that are used, and looks for
                    known faults in them; --without-advisories leaves out the known faults
  doctor            Lists what is there, what is missing, and what xtask would do about it
  help              Prints this text

Environment
  BEACONRY_CACHE    Where tools are installed (default: beaconry in the user's cache folder)
  BEACONRY_ADVISORY_DB  A clone of https://github.com/RustSec/advisory-db, for `audit` offline
  BEACONRY_VERBOSE  When set, shows what the tools print as it comes
  CHROMIUM          The browser for the tests
  FIREFOX           The second browser for the tests
  CARGO_TARGET_DIR  Where cargo builds, as everywhere
";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match compiler::act(&args).unwrap_or_else(|| run(&args)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One arm per command. A new command gets its own module, an arm here and a line in [`HELP`].
fn run(args: &[String]) -> Result<ExitCode> {
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", [].as_slice()),
    };
    match command {
        "serve" => build::serve(&Workspace::load()?, rest),
        "build" => {
            no_more(command, rest)?;
            build::everything(&Workspace::load()?)?;
            Ok(ExitCode::SUCCESS)
        }
        "split" => {
            no_more(command, rest)?;
            build::split(&Workspace::load()?)?;
            Ok(ExitCode::SUCCESS)
        }
        "interop" => interop::run(&Workspace::load()?, rest),
        "test" => test::run(&Workspace::load()?, rest),
        "conformance" => {
            conformance::run(&Workspace::load()?, rest)?;
            Ok(ExitCode::SUCCESS)
        }
        "bench" => bench::run(&Workspace::load()?, rest),
        "audit" => audit::run(&Workspace::load()?, rest),
        "fuzz" => fuzz::run(&Workspace::load()?, rest),
        "doctor" => {
            no_more(command, rest)?;
            Ok(doctor::run(&Workspace::load()?))
        }
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("there is no command `{other}`; `cargo xtask help` lists them"),
    }
}

fn no_more(command: &str, rest: &[String]) -> Result<()> {
    match rest.first() {
        None => Ok(()),
        Some(extra) => bail!("`cargo xtask {command}` takes no argument, but got `{extra}`"),
    }
}
