//! All scenarios, all rounds, all brokers.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;

use crate::options::{Options, PeerName};
use crate::peer::Peer;
use crate::process::{self, Cores};
use crate::report::{Record, Report};

pub(crate) fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    let scenarios = options.scenarios()?;
    let cores = Cores::choose()?;
    if !options.beaconry.is_file() {
        bail!(
            "{} is not there; `cargo xtask bench` builds it",
            options.beaconry.display()
        );
    }
    let program = options.beaconry.canonicalize()?;
    let mut brokers = vec![Peer::Beaconry { program }];
    match options.peer {
        PeerName::Mosquitto => brokers.push(Peer::mosquitto()?),
        PeerName::None => {}
    }
    let open_files = process::raise_open_files();
    if open_files < 11_000 {
        eprintln!("bench: only {open_files} sockets are allowed: idle connections will fail");
    }

    let mut report = Report::new(options, &brokers);
    for round in 1..=options.rounds {
        for scenario in &scenarios {
            for broker in &brokers {
                let name = broker.name();
                eprint!(
                    "round {round} of {}: {:16} {name:10} ",
                    options.rounds, scenario.name
                );
                let measured = broker
                    .start(cores, scenario.setting(options.store))
                    .and_then(|running| {
                        scenario.run(&running, options.version(), options.messages)
                    });
                match measured {
                    Ok(measurement) => {
                        eprintln!("{}", measurement.line());
                        report.add(Record {
                            scenario: *scenario,
                            broker: name,
                            round,
                            measurement,
                        });
                    }
                    Err(error) => {
                        eprintln!("FAILED: {error:#}");
                        report.fail(scenario.name, name, &error);
                    }
                }
            }
        }
    }
    print!("{}", report.markdown());
    if let Some(path) = &options.json {
        let json = serde_json::to_vec_pretty(&report.json())?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
