//! Every device, live, from one binary.
//!
//! `beaconry serve` is an MQTT broker over TCP and WebSocket, the dashboard's web server
//! and, with `--demo`, a fleet of simulated devices. This crate is the shell: sockets,
//! clocks, threads and signals. What MQTT means is in the pure crates `mqtt` and `broker`.
//!
//! Three threads: the main one accepts connections and answers HTTP, the shard's owns the
//! broker and every MQTT connection, the demo's runs the simulated devices.

mod cli;
mod clock;
mod demo;
#[cfg(test)]
mod docs;
mod http;
mod limits;
mod listener;
mod logging;
mod memory;
mod mqtt_driver;
mod serve;
mod shard;

use std::process::ExitCode;

use cli::Command;

/// 0: ended as asked; 1: could not do it; 2: did not understand the command line.
fn main() -> ExitCode {
    let command = match cli::parse() {
        Ok(command) => command,
        Err(code) => return code,
    };
    match command {
        Command::Serve(arguments) => match serve::run(&arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("beaconry: {error}");
                ExitCode::FAILURE
            }
        },
    }
}
