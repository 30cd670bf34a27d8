//! The command line.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Parser, ValueEnum};
use mqtt::ProtocolVersion;

use crate::scenario::{ALL, Fill, Scenario};

/// The costs of a heavy scenario.
const HEAVY: &str = "a minute for each broker and round, 1 GB of memory, 300 MB of disk";

/// Measures Beaconry beside another MQTT broker, in turns on the same core.
///
/// Without scenarios, runs all of them except those that say otherwise. `cargo xtask bench` builds
/// what this needs.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", after_help = scenarios())]
pub(crate) struct Options {
    /// The scenarios to run.
    #[arg(value_name = "SCENARIO")]
    scenarios: Vec<String>,

    /// How often to run each scenario; the table shows medians.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,

    /// How many deliveries, in place of each scenario's own number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) messages: Option<u64>,

    /// `start`: how many retained messages.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    retained: u64,

    /// `start`: how many sessions that last, with a subscription each.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(..=10_000_000))]
    sessions: u64,

    /// `start`: how many messages wait for each session.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(..=1_000))]
    queued: u64,

    /// Keep on disk what must not be lost (mosquitto: `persistence true`).
    #[arg(long)]
    pub(crate) store: bool,

    /// The broker to compare with.
    #[arg(long, value_name = "BROKER", default_value = "mosquitto")]
    pub(crate) peer: PeerName,

    /// The version of MQTT: 3 (3.1.1) or 5.
    #[arg(long, value_name = "VERSION", default_value = "3", value_parser = clap::value_parser!(u8).range(3..=5))]
    protocol: u8,

    /// Write every single result to this file too.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// The server to measure.
    #[arg(
        long,
        value_name = "PROGRAM",
        default_value = "target/release/beaconry"
    )]
    pub(crate) beaconry: PathBuf,
}

/// The broker to compare with.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PeerName {
    Mosquitto,
    None,
}

impl Options {
    pub(crate) fn scenarios(&self) -> Result<Vec<Scenario>> {
        if self.scenarios.is_empty() {
            let light = ALL.iter().filter(|it| !it.is_heavy());
            return Ok(light.copied().collect());
        }
        let mut chosen = Vec::new();
        for name in &self.scenarios {
            let Some(scenario) = ALL.iter().find(|it| it.name == name) else {
                bail!("there is no scenario `{name}`\n\n{}", scenarios());
            };
            chosen.push(*scenario);
        }
        Ok(chosen)
    }

    /// What `start` fills the broker with.
    pub(crate) fn fill(&self) -> Fill {
        Fill {
            retained: self.retained,
            sessions: self.sessions,
            queued: self.queued,
        }
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        match self.protocol {
            5 => ProtocolVersion::V5,
            _ => ProtocolVersion::V3_1_1,
        }
    }
}

fn scenarios() -> String {
    let mut text = String::from("Scenarios:\n");
    for scenario @ Scenario { name, what, .. } in ALL {
        let _ = writeln!(text, "  {name:16}{what}");
        if scenario.is_heavy() {
            let _ = writeln!(text, "  {:16}(only if named: {HEAVY})", "");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_scenario_is_answered_with_those_there_are() {
        let options = Options::try_parse_from(["bench", "qos1", "qos7"]).unwrap();
        let error = options.scenarios().unwrap_err().to_string();
        assert!(error.contains("`qos7`") && error.contains("fan-out-1000"));
        let options = Options::try_parse_from(["bench", "qos1", "--rounds", "1"]).unwrap();
        assert_eq!(options.scenarios().unwrap()[0].name, "qos1");
    }

    #[test]
    fn what_is_heavy_runs_only_if_it_is_named() {
        let names = |arguments: &[&str]| -> Vec<_> {
            let options = Options::try_parse_from(arguments).unwrap();
            let scenarios = options.scenarios().unwrap();
            scenarios.iter().map(|it| it.name).collect()
        };
        let all = names(&["bench"]);
        assert!(all.contains(&"retained") && !all.contains(&"start"));
        assert_eq!(names(&["bench", "start"]), ["start"]);
    }

    #[test]
    fn each_scenario_has_a_name_of_its_own() {
        let mut names: Vec<_> = ALL.iter().map(|it| it.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
