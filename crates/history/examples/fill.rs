//! Fills a data folder with a past, to look at: `cargo run --release -p beaconry-history --example fill -- DIR DAYS`.
//!
//! DIR is the data folder of a server that is not running. Four devices of the demo get DAYS days: a reading a
//! minute, and one every two seconds in the last nine days; outages, and a spike of one reading. Then
//! `beaconry serve --demo 24 --data DIR` goes on with them.

#![allow(clippy::cast_precision_loss, clippy::expect_used, clippy::unwrap_used)]

use std::time::SystemTime;

use history::{Archive, DEVICE, LATITUDE, LONGITUDE, MetricRef, PRESENCE, Settings};
use series::{Millis, Value};

const DAY: Millis = 86_400_000;

struct Device {
    id: &'static str,
    names: &'static [(&'static str, f64, f64, &'static str)],
    /// Milliseconds of every day in which it is away, by day.
    away: fn(Millis) -> Option<(Millis, Millis, &'static str)>,
}

const DEVICES: [Device; 4] = [
    Device {
        id: "beaconry/weather-01",
        names: &[
            ("temp", 11.0, 7.0, "°C"),
            ("humidity", 65.0, 20.0, "%"),
            ("pressure_hpa", 1014.0, 9.0, "hPa"),
            ("wind_kmh", 12.0, 8.0, "km/h"),
        ],
        away: |_| None,
    },
    Device {
        id: "beaconry/pump-01",
        names: &[
            ("level", 60.0, 30.0, "%"),
            ("flow", 30.0, 30.0, "L/min"),
            ("bearing_temp", 40.0, 12.0, "°C"),
        ],
        away: |day| (day % 9 == 4).then_some((11 * 3_600_000, 14 * 3_600_000, "connection-lost")),
    },
    Device {
        id: "beaconry/freezer-01",
        names: &[("temp", -18.0, 1.2, "°C"), ("power_w", 60.0, 50.0, "W")],
        away: |day| (day % 31 == 17).then_some((2 * 3_600_000, 22 * 3_600_000, "keep-alive")),
    },
    Device {
        id: "beaconry/tracker-01",
        names: &[
            ("speed_kmh", 40.0, 40.0, "km/h"),
            ("battery", 80.0, 20.0, "%"),
        ],
        away: |day| (day % 2 == 1).then_some((20 * 3_600_000, 23 * 3_600_000, "lost")),
    },
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().expect("DIR, the data folder");
    let days: Millis = arguments
        .next()
        .and_then(|days| days.parse().ok())
        .unwrap_or(365);
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let now = Millis::try_from(since_1970.as_millis()).unwrap();
    let start = now - days * DAY;
    let settings = Settings::new(std::path::Path::new(&folder).join("history"));
    std::fs::create_dir_all(&folder).unwrap();
    let mut archive = Archive::open(settings, start).unwrap().archive;
    let placed: Vec<(u32, Vec<MetricRef>, MetricRef)> = DEVICES
        .iter()
        .map(|device| {
            let number = archive.device(device.id);
            let names: Vec<&str> = device.names.iter().map(|it| it.0).collect();
            let metrics = archive.metrics(number, &names);
            for (metric, (_, _, _, unit)) in metrics.iter().zip(device.names) {
                archive.set_unit(*metric, Some(unit));
            }
            let presence = archive.metrics(number, &[PRESENCE])[0];
            (number, metrics, presence)
        })
        .collect();
    let mut at = start;
    let mut day = None;
    let mut is_away = [true; DEVICES.len()];
    while at < now {
        let of_day = at.div_euclid(DAY);
        let is_new_day = day.replace(of_day) != Some(of_day);
        for (index, device) in DEVICES.iter().enumerate() {
            let (number, metrics, presence) = &placed[index];
            let away = (device.away)(of_day)
                .filter(|(from, to, _)| (*from..*to).contains(&at.rem_euclid(DAY)));
            if is_new_day {
                let json = format!(
                    r#"{{"id":"{id}","prefix_len":9,"name":"{name}","convention":"four topics","presence":{{"state":"online","since":"2026-01-01T00:00:00.000Z"}},"topics":["beaconry/register/{name}","beaconry/data/{name}"],"first_seen":"2025-01-01T00:00:00.000Z","metrics":[],"registered":true,"sends_values":true}}"#,
                    id = device.id,
                    name = &device.id[9..]
                );
                let of = archive.metrics(*number, &[DEVICE])[0];
                archive.append(at, at, &[(of, Value::Text(&json))], None);
            }
            if away.is_some() != is_away[index] || is_new_day {
                let since = time(at);
                let json = match away {
                    Some((_, _, reason)) => {
                        format!(r#"{{"state":"offline","reason":"{reason}","since":"{since}"}}"#)
                    }
                    None => format!(r#"{{"state":"online","since":"{since}"}}"#),
                };
                archive.append(at, at, &[(*presence, Value::Text(&json))], None);
            }
            is_away[index] = away.is_some();
            if is_away[index] {
                continue;
            }
            let values: Vec<(MetricRef, Value<'_>)> = device
                .names
                .iter()
                .zip(metrics)
                .enumerate()
                .map(|(which, ((_, middle, swing, _), metric))| {
                    let value = middle + swing * wave(at, which + index * 7);
                    let spike =
                        index == 1 && which == 2 && (now - at).div_euclid(2000) == 3 * 43_200 + 777;
                    let value = if spike { 118.4 } else { value };
                    (*metric, Value::Number((value * 10.0).round() / 10.0))
                })
                .collect();
            archive.append(at, at, &values, Some(&device.id[9..]));
            if index == 3 {
                let of = archive.metrics(*number, &[LATITUDE, LONGITUDE]);
                let angle = at as f64 / 3_600_000.0;
                let (lat, lng) = (47.6 + 0.2 * angle.sin(), 9.2 + 0.3 * (angle * 0.7).cos());
                let round = |value: f64| (value * 1e5).round() / 1e5;
                let values = [
                    (of[0], Value::Number(round(lat))),
                    (of[1], Value::Number(round(lng))),
                ];
                archive.append(at, at, &values, None);
            }
        }
        let step = if now - at > 9 * DAY { 60_000 } else { 2_000 };
        at += step;
        if is_new_day {
            archive.commit().unwrap();
            while archive.tidy(at).unwrap() {}
            print!("\r{} days left ", (now - at) / DAY);
        }
    }
    archive.commit().unwrap();
    while archive.tidy(now).unwrap() {}
    println!("\rdone: {:?}", archive.counted());
}

/// Day and night, weather, and a little noise: between -1 and 1.
fn wave(at: Millis, seed: usize) -> f64 {
    let days = at as f64 / DAY as f64;
    let turn = std::f64::consts::TAU;
    let shift = seed as f64 * 1.7;
    let noise = ((at / 1000).wrapping_mul(2_654_435_761) >> 7) % 1000;
    let year = (days / 365.0 * turn + shift).sin() * 0.35;
    let weather = (days / 5.3 * turn + shift * 2.0).sin() * 0.2;
    let day = (days * turn + shift).sin() * 0.35;
    year + weather + day + (noise as f64 / 1000.0 - 0.5) * 0.1
}

fn time(at: Millis) -> String {
    let (days, ms) = (at.div_euclid(DAY), at.rem_euclid(DAY));
    let z = days + 719_468;
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
        ms % 1000
    )
}
