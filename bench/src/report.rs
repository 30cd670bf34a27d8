//! Medians, and the tables that show them.

use std::fmt::Write as _;

use anyhow::Error;
use mqtt::ProtocolVersion;
use serde_json::{Value, json};

use crate::options::Options;
use crate::peer::Peer;
use crate::scenario::{Detail, Measurement, Scenario};

/// One run of one scenario against one broker.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) scenario: Scenario,
    pub(crate) broker: &'static str,
    pub(crate) round: u32,
    pub(crate) measurement: Measurement,
}

/// All runs.
pub(crate) struct Report {
    heading: String,
    brokers: Vec<&'static str>,
    records: Vec<Record>,
    failures: Vec<String>,
    /// How many rounds were planned.
    rounds: u32,
    /// The round in which somebody interrupted the run.
    broken_off: Option<u32>,
}

/// The medians of the rounds of one scenario against one broker.
struct Medians {
    /// Microseconds of CPU per received delivery, which equals seconds per million.
    cpu: f64,
    /// Seconds of CPU in all.
    cpu_whole: f64,
    /// Deliveries per second.
    rate: f64,
    /// How many messages were lost, over all rounds.
    lost: u64,
    /// How many messages the generator itself was too late for, over all rounds.
    held_up: u64,
    memory: f64,
    /// The length of a round, in seconds.
    wall: f64,
    before: f64,
    peak: f64,
    after: f64,
    disk: f64,
    p50: f64,
    p99: f64,
    p99_of_turn: f64,
    max: f64,
    connection: f64,
}

impl Measurement {
    /// One line about a run, for somebody who waits.
    pub(crate) fn line(&self) -> String {
        let lost = match self.lost {
            0 => String::new(),
            lost => format!(", {lost} LOST"),
        };
        let what = match &self.detail {
            Detail::Work => format!("{:10.0} received/s", self.rate()),
            Detail::Latency {
                p50,
                p99,
                p99_of_turn,
                max,
                ..
            } => format!(
                "p50 {p50:.0?}, p99 {p99:.0?} (middle turn {p99_of_turn:.0?}), longest {max:.0?}"
            ),
            Detail::Connection(bytes) => format!("{bytes} bytes a connection"),
            Detail::Ebb {
                before,
                peak,
                after,
            } => {
                return format!(
                    "{:.1} MB before, at most {:.1}, {:.1} after, {:.1} after the second time",
                    as_f64(*before) / 1e6,
                    as_f64(*peak) / 1e6,
                    as_f64(*after) / 1e6,
                    as_f64(self.memory) / 1e6,
                );
            }
            Detail::Start { peak, disk } => {
                return format!(
                    "{:.2} s, {:.2} CPU s, {:.0} MB (at most {:.0}), {:.0} MB on disk{lost}",
                    self.wall.as_secs_f64(),
                    self.cpu.as_secs_f64(),
                    as_f64(self.memory) / 1e6,
                    as_f64(*peak) / 1e6,
                    as_f64(*disk) / 1e6,
                );
            }
        };
        format!(
            "{:7.3} CPU s a million received, {what}{lost}",
            self.cpu_a_million()
        )
    }

    fn cpu_a_million(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / as_f64(self.deliveries.max(1))
    }

    fn rate(&self) -> f64 {
        as_f64(self.deliveries) / self.wall.as_secs_f64().max(1e-9)
    }
}

impl Report {
    pub(crate) fn new(options: &Options, scenarios: &[Scenario], brokers: &[Peer]) -> Self {
        let versions: Vec<_> = brokers
            .iter()
            .map(|it| format!("{} {}", it.name(), it.version()))
            .collect();
        let store = if options.store || scenarios.iter().all(Scenario::needs_store) {
            "with the store on disk"
        } else {
            "in memory"
        };
        Self {
            heading: format!(
                "{}, {store}, MQTT {}; medians of {} round(s), losses of all of them together. What \
                 was lost has no latency and no part in CPU and rate, which are of what was \
                 received",
                versions.join(" and "),
                match options.version() {
                    ProtocolVersion::V3_1_1 => "3.1.1",
                    ProtocolVersion::V5 => "5.0",
                },
                options.rounds
            ),
            brokers: brokers.iter().map(Peer::name).collect(),
            records: Vec::new(),
            failures: Vec::new(),
            rounds: options.rounds,
            broken_off: None,
        }
    }

    pub(crate) fn add(&mut self, record: Record) {
        let Record {
            scenario,
            broker,
            measurement,
            ..
        } = &record;
        if measurement.lost > 0 && scenario.has_guarantee() {
            let what = format!("{}, {broker}: {} lost", scenario.name, measurement.lost);
            self.failures.push(what);
        }
        self.records.push(record);
    }

    pub(crate) fn fail(&mut self, scenario: &str, broker: &str, error: &Error) {
        self.failures
            .push(format!("{scenario}, {broker}: {error:#}"));
    }

    /// Notes that somebody interrupted the run, so nothing more will come.
    pub(crate) fn break_off(&mut self, round: u32) {
        self.broken_off = Some(round);
    }

    /// Whether all scenarios ran, and none lost a message that must not be lost.
    pub(crate) fn is_good(&self) -> bool {
        self.failures.is_empty() && self.broken_off.is_none()
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("{}\n", self.heading);
        if let Some(round) = self.broken_off {
            let _ = writeln!(
                text,
                "\n**Interrupted in round {round} of {}**: the tables show only what was finished.",
                self.rounds
            );
        }
        self.work_table(&mut text);
        self.latency_table(&mut text);
        self.connections_table(&mut text);
        self.ebb_table(&mut text);
        self.start_table(&mut text);
        if !self.failures.is_empty() {
            text += "\nFailed:\n";
            for failure in &self.failures {
                let _ = writeln!(text, "- {failure}");
            }
        }
        text
    }

    fn work_table(&self, text: &mut String) {
        self.table(
            text,
            &[
                "CPU s a million received",
                "received/s",
                "lost",
                "memory, MB",
            ],
            "CPU ratio",
            |detail| matches!(detail, Detail::Work),
            |it| {
                vec![
                    format!("{:.2}", it.cpu),
                    format!("{:.0}", it.rate),
                    it.lost.to_string(),
                    format!("{:.1}", it.memory / 1e6),
                ]
            },
            |it| it.cpu,
        );
    }

    fn latency_table(&self, text: &mut String) {
        self.table(
            text,
            &[
                "p50, µs",
                "p99, µs",
                "p99 of the middle turn, µs",
                "longest, µs",
                "left out",
                "lost",
                "CPU s a million received",
            ],
            "p99 ratio",
            |detail| matches!(detail, Detail::Latency { .. }),
            |it| {
                vec![
                    format!("{:.0}", it.p50),
                    format!("{:.0}", it.p99),
                    format!("{:.0}", it.p99_of_turn),
                    format!("{:.0}", it.max),
                    it.held_up.to_string(),
                    it.lost.to_string(),
                    format!("{:.2}", it.cpu),
                ]
            },
            |it| it.p99,
        );
    }

    fn connections_table(&self, text: &mut String) {
        self.table(
            text,
            &["bytes a connection", "CPU µs to connect"],
            "bytes ratio",
            |detail| matches!(detail, Detail::Connection(_)),
            |it| vec![format!("{:.0}", it.connection), format!("{:.0}", it.cpu)],
            |it| it.connection,
        );
    }

    fn ebb_table(&self, text: &mut String) {
        self.table(
            text,
            &[
                "memory before, MB",
                "at most, MB",
                "after, MB",
                "after the second time, MB",
                "CPU s a million queued",
            ],
            "memory ratio",
            |detail| matches!(detail, Detail::Ebb { .. }),
            |it| {
                let sizes = [it.before, it.peak, it.after, it.memory];
                let mut cells: Vec<_> = sizes.iter().map(|it| format!("{:.1}", it / 1e6)).collect();
                cells.push(format!("{:.2}", it.cpu));
                cells
            },
            |it| it.memory,
        );
    }

    fn start_table(&self, text: &mut String) {
        self.table(
            text,
            &[
                "s until CONNACK",
                "CPU s",
                "memory, MB",
                "most memory, MB",
                "on disk, MB",
                "missing",
            ],
            "time ratio",
            |detail| matches!(detail, Detail::Start { .. }),
            |it| {
                vec![
                    format!("{:.2}", it.wall),
                    format!("{:.2}", it.cpu_whole),
                    format!("{:.0}", it.memory / 1e6),
                    format!("{:.0}", it.peak / 1e6),
                    format!("{:.0}", it.disk / 1e6),
                    it.lost.to_string(),
                ]
            },
            |it| it.wall,
        );
    }

    /// One table for the scenarios whose detail satisfies `is_one`: `columns` for each broker, and
    /// the ratio of the first broker's `key` to the second's.
    fn table(
        &self,
        text: &mut String,
        columns: &[&str],
        ratio: &str,
        is_one: impl Fn(&Detail) -> bool,
        cells: impl Fn(&Medians) -> Vec<String>,
        key: impl Fn(&Medians) -> f64,
    ) {
        let mut names: Vec<(&str, &str)> = Vec::new();
        for Record {
            scenario,
            measurement,
            ..
        } in &self.records
        {
            let name = (scenario.name, scenario.what);
            if is_one(&measurement.detail) && !names.contains(&name) {
                names.push(name);
            }
        }
        if names.is_empty() {
            return;
        }
        let mut head = vec!["scenario".to_owned(), "what".to_owned()];
        for broker in &self.brokers {
            head.extend(columns.iter().map(|column| format!("{broker}: {column}")));
        }
        let compares = self.brokers.len() > 1;
        if compares {
            head.push(ratio.to_owned());
        }
        text.push('\n');
        row(text, &head);
        let rule = vec!["---".to_owned(); head.len()];
        row(text, &rule);
        let missing = if self.broken_off.is_some() {
            "—"
        } else {
            "failed"
        };
        for (name, what) in names {
            let mut line = vec![name.to_owned(), what.to_owned()];
            let all: Vec<_> = self
                .brokers
                .iter()
                .map(|broker| self.medians(name, broker))
                .collect();
            for medians in &all {
                line.extend(match medians {
                    Some(medians) => cells(medians),
                    None => vec![missing.to_owned(); columns.len()],
                });
            }
            if compares {
                line.push(match &all[..] {
                    [Some(ours), Some(theirs), ..] => compared(key(ours), key(theirs)),
                    _ => "—".to_owned(),
                });
            }
            row(text, &line);
        }
    }

    fn medians(&self, scenario: &str, broker: &str) -> Option<Medians> {
        let of: Vec<&Measurement> = self
            .records
            .iter()
            .filter(|it| it.scenario.name == scenario && it.broker == broker)
            .map(|it| &it.measurement)
            .collect();
        let middle = |value: &dyn Fn(&Measurement) -> f64| {
            median(of.iter().map(|measurement| value(measurement)).collect())
        };
        // The median, the two percentiles, the longest.
        let latency = |which: usize| {
            middle(&|it| match it.detail {
                Detail::Latency {
                    p50,
                    p99,
                    p99_of_turn,
                    max,
                    ..
                } => [p50, p99, p99_of_turn, max][which].as_secs_f64() * 1e6,
                Detail::Work
                | Detail::Connection(_)
                | Detail::Ebb { .. }
                | Detail::Start { .. } => 0.0,
            })
        };
        // Before, at most, after, on the disk.
        let bytes = |choose: fn([u64; 4]) -> u64| {
            middle(&|it| match it.detail {
                Detail::Ebb {
                    before,
                    peak,
                    after,
                } => as_f64(choose([before, peak, after, 0])),
                Detail::Start { peak, disk } => as_f64(choose([0, peak, 0, disk])),
                Detail::Work | Detail::Latency { .. } | Detail::Connection(_) => 0.0,
            })
        };
        Some(Medians {
            cpu: middle(&Measurement::cpu_a_million)?,
            cpu_whole: middle(&|it| it.cpu.as_secs_f64())?,
            rate: middle(&Measurement::rate)?,
            lost: of.iter().map(|it| it.lost).sum(),
            held_up: of.iter().map(|it| it.detail.held_up()).sum(),
            memory: middle(&|it| as_f64(it.memory))?,
            p50: latency(0)?,
            p99: latency(1)?,
            p99_of_turn: latency(2)?,
            max: latency(3)?,
            connection: middle(&|it| match it.detail {
                Detail::Connection(bytes) => as_f64(bytes),
                Detail::Work
                | Detail::Latency { .. }
                | Detail::Ebb { .. }
                | Detail::Start { .. } => 0.0,
            })?,
            wall: middle(&|it| it.wall.as_secs_f64())?,
            before: bytes(|[it, ..]| it)?,
            peak: bytes(|[_, it, ..]| it)?,
            after: bytes(|[.., it, _]| it)?,
            disk: bytes(|[.., it]| it)?,
        })
    }

    pub(crate) fn json(&self) -> Value {
        let results: Vec<_> = self.records.iter().map(Record::json).collect();
        json!({ "heading": self.heading, "results": results, "failures": self.failures,
            "broken_off_in_round": self.broken_off })
    }
}

impl Record {
    fn json(&self) -> Value {
        let it = &self.measurement;
        let mut value = json!({
            "scenario": self.scenario.name,
            "broker": self.broker,
            "round": self.round,
            "deliveries": it.deliveries,
            "lost": it.lost,
            "wall_seconds": it.wall.as_secs_f64(),
            "cpu_seconds": it.cpu.as_secs_f64(),
            "memory_bytes": it.memory,
        });
        match it.detail {
            Detail::Work => {}
            Detail::Latency {
                p50,
                p99,
                p99_of_turn,
                max,
                held_up,
            } => {
                value["held_up_by_the_generator"] = json!(held_up);
                value["p99_seconds_of_middle_turn"] = json!(p99_of_turn.as_secs_f64());
                value["p50_seconds"] = json!(p50.as_secs_f64());
                value["p99_seconds"] = json!(p99.as_secs_f64());
                value["longest_seconds"] = json!(max.as_secs_f64());
            }
            Detail::Connection(bytes) => value["bytes_a_connection"] = json!(bytes),
            Detail::Ebb {
                before,
                peak,
                after,
            } => {
                value["memory_before_bytes"] = json!(before);
                value["peak_memory_bytes"] = json!(peak);
                value["memory_after_bytes"] = json!(after);
            }
            Detail::Start { peak, disk } => {
                value["peak_memory_bytes"] = json!(peak);
                value["disk_bytes"] = json!(disk);
            }
        }
        value
    }
}

/// Our figure divided by theirs. A ratio below one is written as docs/benchmarks.md writes its
/// goals: "1/5.2" is about a fifth.
fn compared(ours: f64, theirs: f64) -> String {
    if ours <= 0.0 || theirs <= 0.0 {
        "—".to_owned()
    } else if ours <= theirs {
        format!("1/{:.1}", theirs / ours)
    } else {
        format!("{:.2}", ours / theirs)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

fn row(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// Converts a count. The counts here are so small that this does not round.
#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::ALL;
    use clap::Parser as _;

    fn report(values: &[(&'static str, u64)]) -> Report {
        let options = Options::parse_from(["bench"]);
        let mut report = Report::new(&options, ALL, &[]);
        report.brokers = vec!["Beaconry", "mosquitto"];
        for (round, (broker, micros)) in (1..).zip(values) {
            report.add(Record {
                scenario: ALL[0],
                broker,
                round,
                measurement: Measurement {
                    deliveries: 1_000_000,
                    lost: 0,
                    wall: Duration::from_secs(1),
                    cpu: Duration::from_micros(*micros),
                    memory: 0,
                    detail: Detail::Work,
                },
            });
        }
        report
    }

    #[test]
    fn the_table_compares_medians() {
        let one = 1_000_000;
        let report = report(&[
            ("Beaconry", one),
            ("mosquitto", 7 * one),
            ("Beaconry", 9 * one),
            ("mosquitto", 4 * one),
            ("Beaconry", 2 * one),
            ("mosquitto", 5 * one),
        ]);
        let text = report.markdown();
        assert!(text.contains("| 2.00 | 1000000 | 0 |"), "{text}");
        assert!(text.contains("| 5.00 | 1000000 | 0 |"), "{text}");
        assert!(text.contains("| 1/2.5 |"), "{text}");
        assert!(report.is_good());
    }

    #[test]
    fn what_was_lost_is_in_the_row_of_its_percentiles() {
        let mut report = report(&[]);
        for (round, lost) in [(1, 3), (2, 4)] {
            let measurement = Measurement {
                deliveries: 100,
                lost,
                wall: Duration::from_secs(1),
                cpu: Duration::from_micros(100),
                memory: 0,
                detail: Detail::Latency {
                    p50: Duration::from_micros(10),
                    p99: Duration::from_micros(20),
                    p99_of_turn: Duration::from_micros(15),
                    max: Duration::from_micros(30),
                    held_up: 5,
                },
            };
            assert!(measurement.line().ends_with(&format!(", {lost} LOST")));
            report.add(Record {
                scenario: ALL[0],
                broker: "Beaconry",
                round,
                measurement,
            });
        }
        let text = report.markdown();
        assert!(
            text.contains("| 10 | 20 | 15 | 30 | 10 | 7 | 1.00 |"),
            "{text}"
        );
    }

    #[test]
    fn a_run_that_failed_is_in_the_report_and_makes_it_bad() {
        let mut report = report(&[("Beaconry", 1)]);
        report.fail("fan-in", "mosquitto", &anyhow::anyhow!("stalled: 7 of 9"));
        let text = report.markdown();
        assert!(text.contains("failed") && text.contains("stalled: 7 of 9"));
        assert!(!report.is_good());
    }

    #[test]
    fn a_run_that_was_broken_off_tells_what_was_finished() {
        let mut report = report(&[("Beaconry", 1_000_000)]);
        report.break_off(2);
        let text = report.markdown();
        assert!(text.contains("Interrupted in round 2 of 3"), "{text}");
        assert!(text.contains("| 1.00 | 1000000 | 0 |"), "{text}");
        assert_eq!(report.json()["broken_off_in_round"], 2);
        assert!(!report.is_good());
    }

    #[test]
    fn a_ratio_reads_as_the_targets_do() {
        assert_eq!(compared(1.0, 5.0), "1/5.0");
        assert_eq!(compared(3.0, 2.0), "1.50");
        assert_eq!(compared(0.0, 2.0), "—");
    }
}
