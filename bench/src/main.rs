//! Measures MQTT brokers: `cargo xtask bench`.
//!
//! The load generator has raw sockets and packets that were encoded beforehand, so that it never
//! measures itself ([`swarm`], [`scanner`]). It runs Beaconry and a peer in turns on one core and
//! itself on another, and compares the seconds of CPU that each broker took for the same work
//! ([`scenario`], [`report`]).

#[cfg(target_os = "linux")]
mod frames;
#[cfg(target_os = "linux")]
mod interrupt;
#[cfg(target_os = "linux")]
mod json_file;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod packets;
#[cfg(target_os = "linux")]
mod peer;
#[cfg(target_os = "linux")]
mod platform;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod scanner;
#[cfg(target_os = "linux")]
mod scenario;
#[cfg(target_os = "linux")]
mod swarm;

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    run::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!(
        "bench: this program runs on Linux only, because it pins processes to cores and reads /proc"
    );
    ExitCode::FAILURE
}
