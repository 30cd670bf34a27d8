//! Kills the process again and again while it records.
//!
//! `BEACONRY_KILLS` says how often, `BEACONRY_SEED` at which moments.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use mqtt::{Connect, Packet, ProtocolVersion, QoS};

use super::client::{Client, publish};
use super::server::{Folder, binary, serve};

/// A small journal, so that blocks are sealed all the time.
const ARGUMENTS: &[&str] = &["--history-size", "16MiB"];
/// Metrics of each message.
const METRICS: u64 = 24;
/// What is younger may be lost.
const YOUNG: Duration = Duration::from_millis(1500);

#[test]
fn no_value_older_than_a_second_is_lost_or_doubled_however_often_the_server_is_killed() {
    let kills = number("BEACONRY_KILLS").unwrap_or(4);
    let seed = number("BEACONRY_SEED").unwrap_or(7);
    println!(
        "BEACONRY_KILLS={kills} BEACONRY_SEED={seed} {}",
        binary().display()
    );
    let mut random = seed;
    let start = SystemTime::now();
    let folder = Folder::new();
    let mut sent: Vec<Instant> = Vec::new();
    let (mut lost, mut longest) = (0, Duration::ZERO);
    // The values that a kill has taken. They may not come back.
    let mut gone: Vec<std::ops::Range<u64>> = Vec::new();
    for _ in 0..kills {
        let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), ARGUMENTS);
        let (mqtt, http) = server.ready();
        let begun = sent.len() as u64;
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let run = Duration::from_millis(1700 + (random >> 33) % 1500);
        say(mqtt, &mut sent, run);
        let killed = Instant::now();
        server.kill();

        let server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), ARGUMENTS);
        let (_, http) = (http, server.ready().1);
        let found = recorded(http, "m0", start);
        let kept = found
            .iter()
            .copied()
            .filter(|value| *value >= begun)
            .max()
            .map_or(begun, |last| last + 1);
        let missing = kept..sent.len() as u64;
        let old = missing
            .clone()
            .find(|value| killed - sent[usize::try_from(*value).unwrap()] > YOUNG);
        assert_eq!(old, None, "older than {YOUNG:?} and lost");
        lost += missing.end - missing.start;
        if let Some(first) = missing.clone().next() {
            longest = longest.max(killed - sent[usize::try_from(first).unwrap()]);
            gone.push(missing);
        }
        let is_gone = |value: &u64| gone.iter().any(|range| range.contains(value));
        let expected: Vec<u64> = (0..sent.len() as u64)
            .filter(|value| !is_gone(value))
            .collect();
        assert_eq!(found, expected, "values are missing, or are there twice");
        assert_eq!(recorded(http, "m23", start).len(), expected.len());
        server.kill();
    }
    println!(
        "{} messages with {METRICS} values each, {lost} of them lost with a kill, the oldest {longest:?} before it",
        sent.len()
    );
}

/// Sends numbers for a while, and notes when each was sent.
fn say(mqtt: SocketAddr, sent: &mut Vec<Instant>, run: Duration) {
    let connect = Connect::with_client_id(ProtocolVersion::V5, "counter").unwrap();
    let (mut client, _) = Client::connect_as(mqtt, connect).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < run {
        let value = sent.len();
        let metrics: Vec<String> = (0..METRICS)
            .map(|metric| format!("\"m{metric}\":{value}"))
            .collect();
        let payload = format!("{{{}}}", metrics.join(","));
        client.put(&Packet::Publish(publish(
            "beaconry/data/counter",
            payload,
            QoS::AtMostOnce,
            0,
        )));
        client.flush().unwrap();
        sent.push(Instant::now());
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The values of a metric that the server remembers, in the order of their times. An answer has room for 20,000,
/// so it asks for twenty seconds at a time.
fn recorded(http: SocketAddr, metric: &str, since: SystemTime) -> Vec<u64> {
    const STEP: u64 = 20_000;
    let millis = |time: SystemTime| -> u64 {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        since_1970.as_millis().try_into().unwrap()
    };
    let mut values = Vec::new();
    let mut from = millis(since) - 1000;
    while from < millis(SystemTime::now()) + 1000 {
        let to = from + STEP;
        let path = format!(
            "GET /api/v1/devices/beaconry%2Fcounter/metrics/{metric}?from={from}&to={to}&width=20000"
        );
        from = to;
        let answer = testbed::request(http, &path);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["raw"], true);
        assert_eq!(answer.get("damaged"), None);
        for point in answer["points"].as_array().unwrap() {
            let value = point[1].as_f64().unwrap();
            values.push(format!("{value}").parse().unwrap());
        }
    }
    values
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}
