//! The benchmarks: builds the release server and the load generator, and becomes the load
//! generator.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;

use crate::{build::locked_in_ci, command, platform, step::Step, workspace::Workspace};

/// This does not build the dashboard, because it has no part in the measurement.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<ExitCode> {
    let mut cargo = command::new("cargo");
    cargo
        .args(["build", "--release"])
        .args(["--package", "beaconry", "--package", "beaconry-bench"])
        .current_dir(&workspace.root);
    Step::new("building the server and the load generator").run(locked_in_ci(&mut cargo))?;
    let server = workspace.server();
    let mut bench = command::new(server.with_file_name("beaconry-bench"));
    let mut flag = OsString::from("--beaconry=");
    flag.push(&server);
    platform::become_program(bench.arg(flag).args(args))
}
