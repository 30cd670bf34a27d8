//! `cargo xtask doctor`: lists what is there, what is missing, and what xtask would do about it.

use std::process::ExitCode;

use crate::{
    tools::{self, Need, State},
    workspace::Workspace,
};

/// Prints the table. Returns a failure if a prerequisite is missing.
pub(crate) fn run(workspace: &Workspace) -> ExitCode {
    let findings = tools::findings(workspace);
    let width = findings
        .iter()
        .map(|finding| finding.name.len())
        .max()
        .unwrap_or(0);
    println!("{:width$}  needed    state", "thing");
    for finding in &findings {
        let need = match finding.need {
            Need::Prerequisite => "always",
            Need::Build => "to build",
            Need::Test => "to test",
        };
        let state = match &finding.state {
            State::Found {
                version,
                path: Some(path),
            } => {
                format!("{version}  ({})", path.display())
            }
            State::Found {
                version,
                path: None,
            } => version.clone(),
            State::Missing { remedy } => format!("MISSING: {remedy}"),
        };
        println!("{:width$}  {need:8}  {state}", finding.name);
    }
    println!("\ncache: {}", workspace.cache.root().display());
    println!("builds: {}", workspace.target.display());

    let missing = |need| {
        findings
            .iter()
            .filter(|finding| finding.need == need)
            .any(|finding| matches!(finding.state, State::Missing { .. }))
    };
    if missing(Need::Prerequisite) {
        println!("\nA prerequisite is missing: see above.");
        return ExitCode::FAILURE;
    }
    if missing(Need::Build) || missing(Need::Test) {
        println!("\n`cargo xtask serve` and `cargo xtask test` will do what is missing.");
    } else {
        println!("\nEverything is there.");
    }
    ExitCode::SUCCESS
}
