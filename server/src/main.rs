//! The program `beaconry`; see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    beaconry::run(std::env::args_os())
}
