//! How long one message takes: `cargo run --release -p beaconry-fleet --example throughput`.
//!
//! A fleet of known devices gets data messages round and round; the events are polled as a page
//! would, once for many messages. Timing is all this is for: the crate itself sees no clock.

use fleet::{Event, Fleet, FleetOptions, Message, Timestamp};
use std::hint::black_box;
use std::time::Instant;

const START: i64 = 1_795_233_600_000;

fn main() {
    println!("{:<44} {:>8} {:>12}", "", "devices", "ns/message");
    for devices in [1_000, 100_000] {
        let topics: Vec<String> = (0..devices)
            .map(|i| format!("beaconry/data/device-{i}"))
            .collect();
        measure("four topics, 1 metric", devices, &topics, |_, turn| {
            format!(r#"{{"temp":{turn}.5}}"#)
        });
        measure(
            "four topics, 4 metrics and position",
            devices,
            &topics,
            |device, turn| {
                format!(
                    r#"{{"deviceId":"device-{device}","messageType":"DATA","temp":{turn}.5,"humidity":5{},"pressure_hpa":1013.25,"battery":98.5,"lat":48.015722,"lng":-88.625528}}"#,
                    turn % 10,
                )
            },
        );
        measure(
            "four topics, 4 metrics and own clock",
            devices,
            &topics,
            |_, turn| {
                format!(
                    r#"{{"ts":{},"temp":{turn}.5,"humidity":51,"pressure_hpa":1013.25,"battery":98.5}}"#,
                    START + i64::try_from(turn).unwrap_or(0),
                )
            },
        );
        let topics: Vec<String> = (0..devices)
            .map(|i| format!("home/room-{i}/temperature"))
            .collect();
        measure("plain, bare number", devices, &topics, |_, turn| {
            format!("{turn}.5")
        });
        let topics: Vec<String> = (0..devices)
            .map(|i| format!("beaconry/register/device-{i}"))
            .collect();
        measure("four topics, SIGN_IN again", devices, &topics, |_, _| {
            "SIGN_IN".into()
        });
    }
    let mut fleet = Fleet::new(FleetOptions::default());
    let started = Instant::now();
    let count = 100_000u32;
    for device in 0..count {
        let topic = format!("beaconry/data/device-{device}");
        fleet.handle_message(
            Timestamp(START),
            Message::new(&topic, br#"{"temp":1,"humidity":2}"#),
        );
    }
    let each = started.elapsed().as_nanos() / u128::from(count);
    println!(
        "{:<44} {count:>8} {each:>12}",
        "first message of a new device"
    );
    println!(
        "memory by its own estimate: {} bytes a device",
        fleet.memory_used() / fleet.len()
    );
}

fn measure(
    what: &str,
    devices: usize,
    topics: &[String],
    payload: impl Fn(usize, usize) -> String,
) {
    const TURNS: usize = 4;
    const POLL_EVERY: usize = 1000;
    let payloads: Vec<Vec<String>> = (0..TURNS)
        .map(|turn| (0..devices).map(|device| payload(device, turn)).collect())
        .collect();
    let mut fleet = Fleet::new(FleetOptions::default());
    let rounds = 1_000_000 / devices;
    let mut now = START;
    let mut samples = 0u64;
    let mut started = Instant::now();
    for round in 0..=rounds {
        if round == 1 {
            // The first round made the devices and their metrics.
            started = Instant::now();
        }
        for (index, topic) in topics.iter().enumerate() {
            let payload = payloads[round % TURNS][index].as_bytes();
            fleet.handle_message(Timestamp(now), Message::new(topic, payload));
            if index % POLL_EVERY == 0 {
                now += 10;
                fleet.handle_timeout(Timestamp(now));
                while let Some(event) = fleet.poll_event() {
                    samples += u64::from(matches!(black_box(event), Event::Sample { .. }));
                }
            }
        }
    }
    let each = started.elapsed().as_nanos() / (rounds * devices) as u128;
    println!("{what:<44} {devices:>8} {each:>12}");
    black_box(samples);
}
