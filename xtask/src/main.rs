//! Builds, runs and tests Beaconry: `cargo xtask help`.
//!
//! rustup and Node.js are all that must be there before; every other tool is installed once into
//! the user's cache folder ([`cache`]) in the version that this repository names, and found again.
//! Messages go to stderr, so that stdout holds only what the server or the tests have to say.

mod audit;
mod bench;
mod build;
mod cache;
mod command;
mod conformance;
mod counts;
mod doctor;
mod fuzz;
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

  serve [-- ARGS]   Install what is missing, build everything, run `beaconry serve --demo 24 ARGS`
  build             The same without running it
  test [STAGE]...   All tests, or some stages: fmt clippy deny conformance native fuzz wasm e2e
  conformance       Which test holds which statement of the standards, into docs/conformance.md;
                    --check only says whether something is missing there
  bench [ARGS]      Beaconry beside mosquitto, in turns on one core; `bench --help` says more
  fuzz [TARGET]...  Fuzzes the targets of fuzz/, or some; --seconds N for each (60),
                    --sanitizer address for the unsafe code of the crates that are used
  audit             Licences, duplicates and sources of the crates that are used, and known faults in
                    them; --without-advisories where there is no way to the list of faults
  doctor            What is there, what is missing, and what would be done about it
  help              This text

Environment
  BEACONRY_CACHE    Where tools are installed (default: beaconry in the user's cache folder)
  BEACONRY_ADVISORY_DB  A clone of https://github.com/RustSec/advisory-db, for `audit` offline
  BEACONRY_VERBOSE  When set, what the tools print is passed on as it comes
  CHROMIUM          The browser for the tests
  CARGO_TARGET_DIR  Where cargo builds, as everywhere
";

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// One arm a command. Later commands get a module of
/// their own, an arm here and a line in [`HELP`].
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
