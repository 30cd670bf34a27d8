//! For tests: a parser of Prometheus' text format, version 0.0.4, that is independent of the writer, and
//! checks of the naming conventions.

use std::collections::BTreeMap;
use std::time::Duration;

use super::page;
use crate::devices::Counted;
use crate::gate::ConnectionCounts;
use crate::shard::Snapshot;
use store::Stats;

#[derive(Debug)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug)]
pub(super) struct Sample {
    pub(super) labels: Vec<(String, String)>,
    /// A number, as it is written.
    pub(super) value: String,
}

/// Parses a page into families by name. The error says what is wrong, with the line.
///
/// It is stricter than the format, in which HELP and TYPE may be missing. Here each family has both
/// once, HELP first, then all of its samples, no two of them with the same labels.
pub(super) fn parse(page: &str) -> Result<BTreeMap<String, Family>, String> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut helped = None;
    let mut typed = None;
    if !page.ends_with('\n') {
        return Err("the last line does not end with a line feed".to_owned());
    }
    for line in page.lines() {
        let fault = |what: &str| format!("{what}: {line}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest
                .split_once(' ')
                .ok_or_else(|| fault("HELP without a text"))?;
            check_escapes(help, "").map_err(|what| fault(&what))?;
            if help.is_empty() || families.contains_key(name) {
                return Err(fault("HELP without a text, or a second HELP"));
            }
            helped = Some(name);
            typed = None;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest
                .split_once(' ')
                .ok_or_else(|| fault("TYPE without a type"))?;
            let kinds = ["counter", "gauge", "histogram", "summary", "untyped"];
            if !kinds.contains(&kind) || !is_name(name, ":") || helped != Some(name) {
                return Err(fault(
                    "an unknown type, an invalid name, or no HELP before TYPE",
                ));
            }
            helped = None;
            typed = Some(name);
            let family = Family {
                kind: kind.to_owned(),
                samples: Vec::new(),
            };
            families.insert(name.to_owned(), family);
        } else {
            let (name, sample) = sample(line).map_err(|what| fault(&what))?;
            if typed != Some(name) {
                return Err(fault("a sample that does not follow its TYPE"));
            }
            let samples = &mut families.get_mut(name).ok_or("no family")?.samples;
            if samples.iter().any(|other| other.labels == sample.labels) {
                return Err(fault("a second sample with these labels"));
            }
            samples.push(sample);
        }
    }
    match families
        .iter()
        .find(|(_, family)| family.samples.is_empty())
    {
        Some((name, _)) => Err(format!("{name} has no sample")),
        None => Ok(families),
    }
}

fn sample(line: &str) -> Result<(&str, Sample), String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name, ":") {
        return Err(format!("an invalid name: {name}"));
    }
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, value) = rest.split_once("=\"").ok_or("a label without a value")?;
            let end = unescaped_quote(value).ok_or("a label's value has no end")?;
            check_escapes(&value[..end], "\"")?;
            let is_new = labels.iter().all(|(other, _)| other != label);
            if !is_name(label, "") || label.starts_with("__") || !is_new {
                return Err(format!(
                    "an invalid label, or one that comes twice: {label}"
                ));
            }
            labels.push((label.to_owned(), value[..end].to_owned()));
            rest = &value[end + 1..];
            rest = rest.strip_prefix(',').unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').ok_or("no value")?;
    // Rust parses what Go parses, except for hexadecimal numbers.
    if value.parse::<f64>().is_err() {
        return Err(format!("not a number: {value}"));
    }
    let value = value.to_owned();
    Ok((name, Sample { labels, value }))
}

fn is_name(name: &str, more: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || more.contains(c);
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

fn unescaped_quote(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let is_quote = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_quote
    })
}

/// Checks that each backslash stands before another one, an `n`, or one of `more`.
fn check_escapes(text: &str, more: &str) -> Result<(), String> {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c == '\\'
            && !chars
                .next()
                .is_some_and(|next| "\\n".contains(next) || more.contains(next))
        {
            return Err("a backslash that escapes nothing".to_owned());
        }
    }
    Ok(())
}

/// Checks Prometheus' "metric and label naming": base units, `_total` on counters and nothing else,
/// `_info` always 1.
pub(super) fn check_conventions(name: &str, family: &Family) -> Result<(), String> {
    const NOT_BASE: [&str; 12] = [
        "microseconds",
        "milliseconds",
        "nanoseconds",
        "micros",
        "millis",
        "nanos",
        "ms",
        "us",
        "minutes",
        "hours",
        "kilobytes",
        "megabytes",
    ];
    if !(name.starts_with("beaconry_") || name == "process_start_time_seconds") {
        return Err("the name does not begin with beaconry_".to_owned());
    }
    if let Some(part) = name.split('_').find(|part| NOT_BASE.contains(part)) {
        return Err(format!("{part} is not a base unit"));
    }
    if name.ends_with("_total") != (family.kind == "counter") {
        return Err(format!(
            "only counters end in _total; this is a {}",
            family.kind
        ));
    }
    for (suffix, kind) in [
        ("_bucket", "histogram"),
        ("_count", "summary"),
        ("_sum", "summary"),
    ] {
        if name.ends_with(suffix) && family.kind != kind {
            return Err(format!("{suffix} is for a {kind}"));
        }
    }
    for sample in &family.samples {
        let is_number = sample.value.starts_with(|c: char| c.is_ascii_digit());
        if !is_number || (name.ends_with("_info") && sample.value != "1") {
            return Err(sample.value.clone());
        }
    }
    Ok(())
}

#[test]
fn the_whole_page_is_as_the_format_and_the_conventions_want_it() {
    let broker = broker::Metrics {
        messages_in: 7,
        ..broker::Metrics::default()
    };
    let stats = Stats {
        sync_time: Duration::from_micros(2_500_004),
        ..Stats::default()
    };
    let text = page(
        Duration::from_millis(1_790_000_000_250),
        &Snapshot {
            broker,
            websocket_faults: 3,
            postponed_frames: 5,
            store: Some(stats),
        },
        &ConnectionCounts {
            max: 10,
            open: 2,
            ..ConnectionCounts::default()
        },
        Some(&Counted {
            sleeping: 4,
            ..Counted::default()
        }),
        None,
        None,
    );
    let families = parse(&text).unwrap();
    for (name, family) in &families {
        if let Err(fault) = check_conventions(name, family) {
            panic!("{name}: {fault}");
        }
        // OpenMetrics, and programs that convert to it, take both for one family.
        let base = name.strip_suffix("_total").unwrap_or(name);
        assert!(base == name || !families.contains_key(base), "{base}");
    }
    let value = |name: &str, labels: &[(&str, &str)]| {
        let found = families[name].samples.iter().find(|sample| {
            let given = sample.labels.iter().map(|(k, v)| (k.as_str(), v.as_str()));
            given.eq(labels.iter().copied())
        });
        found.unwrap_or_else(|| panic!("{name}")).value.as_str()
    };
    assert_eq!(value("process_start_time_seconds", &[]), "1790000000.25");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    assert_eq!(value("beaconry_build_info", &version), "1");
    assert_eq!(value("beaconry_connections_open", &[]), "2");
    assert_eq!(value("beaconry_mqtt_received_messages_total", &[]), "7");
    assert_eq!(value("beaconry_websocket_faults_total", &[]), "3");
    assert_eq!(value("beaconry_store_sync_seconds_total", &[]), "2.500004");
    let sleeping = [("state", "sleeping")];
    assert_eq!(value("beaconry_devices", &sleeping), "4");
    let limit = [("limit", "store_full")];
    assert_eq!(value("beaconry_mqtt_refused_total", &limit), "0");
}

#[test]
fn the_page_has_nothing_of_what_is_not_there() {
    let shard = Snapshot::default();
    let text = page(
        Duration::ZERO,
        &shard,
        &ConnectionCounts::default(),
        None,
        None,
        None,
    );
    assert!(!text.contains("beaconry_store_"), "{text}");
    assert!(!text.contains("beaconry_devices"), "{text}");
}

#[test]
fn the_reader_finds_what_is_wrong() {
    let head = "# HELP a Help.\n# TYPE a counter\n";
    let good = format!("{head}a{{b=\"c\\\"d\",e=\"\"}} 1.5e3\na 2\n");
    let families = parse(&good).unwrap();
    assert_eq!(families["a"].samples.len(), 2);
    assert_eq!(families["a"].samples[0].labels[0].1, "c\\\"d");
    assert!(check_conventions("a", &families["a"]).is_err(), "no prefix");
    for bad in [
        "a 1",
        "a 1\n",
        "# TYPE a counter\na 1\n",
        "# HELP a Help.\na 1\n",
        "# HELP a Help.\n# TYPE a number\na 1\n",
        "# HELP a \\x\n# TYPE a counter\na 1\n",
        head,
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
    for bad in [
        "a\n",
        "a one\n",
        "b 1\n",
        "a  1\n",
        "a 1\na 2\n",
        "a{b=\"c} 1\n",
        "a{b=\"c\"}1\n",
        "a{1=\"c\"} 1\n",
        "a{b=\"c\",b=\"d\"} 1\n",
        "a{b=\"\\x\"} 1\n",
        "\na 1\n",
        "1a 1\n",
    ] {
        assert!(parse(&format!("{head}{bad}")).is_err(), "{bad}");
    }
    for (name, kind, value) in [
        ("beaconry_x", "counter", "1"),
        ("beaconry_x_total", "gauge", "1"),
        ("beaconry_x_microseconds_total", "counter", "1"),
        ("beaconry_x_info", "gauge", "2"),
        ("beaconry_x_count", "gauge", "2"),
        ("beaconry_x", "gauge", "NaN"),
        ("beaconry_x", "gauge", "-1"),
    ] {
        let page = format!("# HELP {name} Help.\n# TYPE {name} {kind}\n{name} {value}\n");
        let families = parse(&page).unwrap();
        assert!(check_conventions(name, &families[name]).is_err(), "{page}");
    }
}
