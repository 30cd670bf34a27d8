//! Every device, live, from one binary.
//!
//! `beaconry serve` is an MQTT broker over TCP and WebSocket, the dashboard's web server and, with
//! `--demo`, a fleet of simulated devices. This crate is the shell: sockets, clocks, threads and
//! signals. What MQTT means is in the pure crates `mqtt` and `broker`.
//!
//! There are up to six threads. The main thread accepts connections and answers HTTP. The shard's thread
//! owns the broker and every MQTT connection. The devices' thread owns the model of the
//! devices, which it learns from the broker's messages. The demo's thread runs the simulated devices. The
//! gateway's thread serves devices that speak JSON over plain TCP. The
//! thread of the crate `store` writes to the disk.
//!
//! The program itself is [`run`]; `main.rs` does nothing but call it.

mod cli;
mod clock;
mod demo;
mod devices;
mod gate;
mod gateway;
#[cfg(test)]
mod generated;
mod history;
mod http;
pub mod limits;
mod listener;
mod logging;
mod memory;
pub mod metrics;
mod mqtt_driver;
mod platform;
mod programs;
mod serve;
mod shard;
mod standstill;

use std::ffi::OsString;
use std::process::ExitCode;

use cli::Command;

/// Does what the command line asks for, and returns when that is done. `arguments` begin with the
/// program's own name; environment variables stand in for flags that are not given.
///
/// It writes to standard output and standard error, and installs the log and signal handlers of the
/// process. So a process calls it once.
///
/// The exit code is 0 if all went well, 1 if the server could not start or go on, and 2 if the command
/// line is wrong. Standard error says why, in one line.
///
/// ```
/// # use std::process::ExitCode;
/// assert_eq!(beaconry::run(["beaconry", "--version"]), ExitCode::SUCCESS);
/// ```
pub fn run<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> ExitCode {
    let command = match cli::parse(arguments) {
        Ok(command) => command,
        Err(code) => return code,
    };
    match command {
        Command::Pub(arguments) => programs::publish::run(&arguments),
        Command::Replay(arguments) => programs::publish::replay(&arguments),
        Command::Completions(arguments) => {
            cli::manual::completions(&arguments);
            ExitCode::SUCCESS
        }
        Command::Man(arguments) => match cli::manual::pages(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("beaconry: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Sub(arguments) => programs::subscribe::run(&arguments),
        Command::Serve(arguments) => match serve::run(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("beaconry: {error}");
                ExitCode::FAILURE
            }
        },
        Command::Device(arguments) => programs::device::run(&arguments).into(),
        Command::Collect(arguments) => programs::collect::run(&arguments).into(),
        Command::Give(arguments) => programs::command::run(&arguments).into(),
    }
}
