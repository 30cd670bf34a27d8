//! Runs all scenarios, all rounds, all brokers.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser as _;

use crate::interrupt;
use crate::json_file::JsonFile;
use crate::options::{Options, PeerName};
use crate::peer::Peer;
use crate::platform::{self, Cores};
use crate::report::{Record, Report};
use crate::scenario::{Measurement, Scenario};

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
    let brokers = brokers(options)?;
    let open_files = platform::raise_open_files();
    if open_files < 11_000 {
        eprintln!("bench: only {open_files} sockets are allowed: idle connections will fail");
    }

    interrupt::listen()?;
    let mut json = options.json.as_deref().map(JsonFile::create).transpose()?;
    let mut report = Report::new(options, &scenarios, &brokers);
    'rounds: for round in 1..=options.rounds {
        for scenario in &scenarios {
            let at_once = if scenario.is_side_by_side() {
                brokers.len()
            } else {
                1
            };
            for brokers in brokers.chunks(at_once) {
                let names: Vec<_> = brokers.iter().map(Peer::name).collect();
                eprint!(
                    "round {round} of {}: {:16} {:10} ",
                    options.rounds,
                    scenario.name,
                    names.join(" and ")
                );
                match measure(options, cores, scenario, brokers) {
                    Ok(measurements) => {
                        for (broker, measurement) in names.into_iter().zip(measurements) {
                            if at_once > 1 {
                                eprint!("\n{broker:>32} ");
                            }
                            eprint!("{}", measurement.line());
                            report.add(Record {
                                scenario: *scenario,
                                broker,
                                round,
                                measurement,
                            });
                        }
                        eprintln!();
                    }
                    Err(_) if interrupt::has_come() => {
                        eprintln!("BROKEN OFF");
                        report.break_off(round);
                        break 'rounds;
                    }
                    Err(error) => {
                        eprintln!("FAILED: {error:#}");
                        for name in names {
                            report.fail(scenario.name, name, &error);
                        }
                    }
                }
                // Whatever ends this process, the file keeps what is finished.
                if let Some(json) = &mut json {
                    json.keep(&report)?;
                }
            }
        }
    }
    print!("{}", report.markdown());
    if let Some(json) = json {
        json.finish(&report)?;
    }
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The brokers that the options name. The first is ours.
fn brokers(options: &Options) -> Result<Vec<Peer>> {
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
    Ok(brokers)
}

/// Starts the brokers and runs a scenario with them. Returns a measurement of each.
fn measure(
    options: &Options,
    cores: Cores,
    scenario: &Scenario,
    brokers: &[Peer],
) -> Result<Vec<Measurement>> {
    let setting = scenario.setting(options.store);
    let running: Result<Vec<_>> = brokers.iter().map(|it| it.start(cores, setting)).collect();
    let messages = options.messages;
    scenario.run(&mut running?, options.version(), messages, options.fill())
}
