//! The archive against a list of everything that was appended: over days of simulated time, with restarts and
//! kills in between.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation
)]

mod kills;
mod questions;
mod support;

use std::fs;

use history::{Archive, Error, Point, SeriesQuery, Settings};
use series::{Millis, OwnedValue, Value};

use support::{DAY, HOUR, Model, NOW, compare, open, say, settings, tidy};

#[test]
fn ten_days_with_restarts_are_read_back_as_they_were_said() {
    let folder = testbed::Folder::new();
    let settings = settings(folder.path());
    let mut model = Model::new();
    let mut archive = open(&settings, NOW);
    let mut now = NOW;
    let end = NOW + 10 * DAY;
    let mut step = 0i64;
    while now < end {
        step += 1;
        now += 60_000;
        for device in ["a", "b"] {
            let values = [
                ("t", Value::Number(step as f64 / 8.0)),
                ("on", Value::Bool(step % 7 == 0)),
            ];
            say(&mut archive, &mut model, device, now, now, &values);
        }
        if step % 10 == 0 {
            say(
                &mut archive,
                &mut model,
                "a",
                now,
                now,
                &[("state", Value::Text(["x", "y"][(step % 20 / 10) as usize]))],
            );
        }
        if step % 777 == 0 {
            // A backlog of the last three hours.
            for late in 0..50 {
                let at = now - 3 * HOUR + late * 1000 + 7;
                say(
                    &mut archive,
                    &mut model,
                    "b",
                    at,
                    now,
                    &[("t", Value::Number(-1.0))],
                );
            }
        }
        if step % 5 == 0 {
            archive.commit().unwrap();
            tidy(&mut archive, now);
        }
        if step % 1000 == 0 {
            archive.commit().unwrap();
            drop(archive);
            archive = open(&settings, now);
        }
    }
    archive.commit().unwrap();
    compare(&archive.view(), &model);
    now += 2 * DAY;
    tidy(&mut archive, now);
    compare(&archive.view(), &model);
    // Each day has one file of each kind now.
    let files = fs::read_dir(settings.folder.join("blocks"))
        .unwrap()
        .count();
    assert!(files <= 11 * 3, "{files}");
    drop(archive);
    let archive = open(&settings, now);
    compare(&archive.view(), &model);

    let view = archive.view();
    for (width, from, to) in [
        (100, NOW, end + 1),
        (10, NOW, end + 1),
        (1000, NOW + 3 * HOUR, NOW + 9 * HOUR),
        (500, NOW, NOW + 2 * DAY),
    ] {
        let query = SeriesQuery {
            from,
            to,
            width,
            ..SeriesQuery::new("b", "t")
        };
        let answer = view.series(&query).unwrap().unwrap();
        let all = &model[&("b".to_owned(), "t".to_owned())];
        let start = if answer.is_raw {
            from
        } else {
            from - from.rem_euclid(answer.resolution)
        };
        let expected: Vec<f64> = all
            .iter()
            .filter(|(at, _)| (start..to).contains(at))
            .filter_map(|(_, it)| it.borrow().as_number())
            .collect();
        let count: u64 = answer
            .points
            .iter()
            .map(|point| match point {
                Point::Value(..) => 1,
                Point::Pixel(pixel) => pixel.count,
            })
            .sum();
        assert_eq!(count, expected.len() as u64, "width {width}");
        assert!(
            answer.points.len() <= width + 1,
            "{} points for {width}",
            answer.points.len()
        );
        let min = answer
            .points
            .iter()
            .map(|point| match point {
                Point::Value(_, value) => value.borrow().as_number().unwrap(),
                Point::Pixel(pixel) => pixel.min,
            })
            .fold(f64::INFINITY, f64::min);
        assert_eq!(
            min.to_bits(),
            expected
                .iter()
                .copied()
                .fold(f64::INFINITY, f64::min)
                .to_bits()
        );
    }
    for at in [NOW + 61_000, NOW + 5 * HOUR + 1, NOW + 4 * DAY, end + DAY] {
        let moment = view.moment(at).unwrap();
        assert!(moment.is_exact);
        for (device, values) in &moment.devices {
            for value in values.iter().filter(|it| !it.name.starts_with('@')) {
                let all = &model[&(device.clone(), value.name.clone())];
                let last = all
                    .iter()
                    .filter(|(time, _)| *time <= at)
                    .max_by_key(|(time, _)| *time)
                    .unwrap();
                assert_eq!(
                    (value.time, &value.value),
                    (last.0, &last.1),
                    "{device} {} at {at}",
                    value.name
                );
                assert_eq!(
                    view.at(device, &value.name, at, 0).unwrap(),
                    Some(last.clone())
                );
            }
        }
        assert_eq!(moment.devices.len(), 2);
    }
}

#[test]
fn what_is_old_goes_first_by_age_then_by_size() {
    let folder = testbed::Folder::new();
    let settings = Settings {
        raw: 3 * DAY,
        rollups: 30 * DAY,
        ..settings(folder.path())
    };
    let mut archive = open(&settings, NOW);
    let mut model = Model::new();
    let end = NOW + 20 * DAY;
    for step in 1..20 * 96 {
        let now = NOW + step * 15 * 60_000;
        say(
            &mut archive,
            &mut model,
            "a",
            now,
            now,
            &[("t", Value::Number(step as f64))],
        );
        if step % 8 == 0 {
            archive.commit().unwrap();
            tidy(&mut archive, now);
        }
    }
    tidy(&mut archive, end);
    let view = archive.view();
    let kept = view.kept();
    assert!(kept.raw_since.unwrap() >= end - 4 * DAY);
    assert!(kept.rollups_since.unwrap() <= NOW);
    assert!(archive.counted().dropped_by_age > 0);
    // Months are there still, by the minute.
    let query = SeriesQuery {
        from: NOW,
        to: NOW + DAY,
        width: 5000,
        ..SeriesQuery::new("a", "t")
    };
    let answer = view.series(&query).unwrap().unwrap();
    assert!(!answer.is_raw && answer.resolution == 60_000);
    assert_eq!(answer.points.len(), 95);
    let moment = view.moment(NOW + DAY).unwrap();
    assert!(!moment.is_exact);
    assert_eq!(
        moment.devices[0]
            .1
            .iter()
            .find(|it| it.name == "t")
            .unwrap()
            .value,
        OwnedValue::Number(96.0)
    );
    drop(archive);

    let bytes = kept.bytes / 2;
    let mut archive = open(
        &Settings {
            bytes,
            journal: 1,
            ..settings
        },
        end,
    );
    tidy(&mut archive, end + 120_000);
    assert!(archive.counted().dropped_by_size > 0);
    assert!(archive.counted().bytes <= bytes.max(1 << 20) + (1 << 20));
}

#[test]
fn one_day_alone_stays_within_the_size() {
    let folder = testbed::Folder::new();
    let settings = Settings {
        bytes: 1 << 20,
        ..settings(folder.path())
    };
    let mut archive = open(&settings, NOW);
    let mut now = NOW;
    let mut noise = 1u64;
    for _ in 0..30 {
        for _ in 0..10_000 {
            now += 100;
            noise = noise
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let device = archive.device("a");
            let metric = archive.metrics(device, &["t"])[0];
            let value = Value::Number(noise as f64);
            archive.append(now, now, &[(metric, value)], None);
        }
        archive.commit().unwrap();
        archive.seal_all().unwrap();
        now += 60_000;
        tidy(&mut archive, now);
        let bytes = archive.counted().bytes;
        assert!(
            bytes <= 3 << 20,
            "{bytes}: the journal has a MiB of its own, and what was just sealed"
        );
    }
    assert!(archive.counted().dropped_by_size > 0);
    // The newest rows are there.
    let (found, _) = archive
        .view()
        .read("a", "t", now - 200_000, Millis::MAX)
        .unwrap()
        .unwrap();
    assert!(!found.is_empty());
}

#[test]
fn a_flipped_byte_costs_one_block_and_is_named() {
    let folder = testbed::Folder::new();
    let settings = settings(folder.path());
    let mut archive = open(&settings, NOW);
    let mut model = Model::new();
    for step in 0..3000 {
        let now = NOW + step * 1000;
        for device in ["a", "b", "c"] {
            say(
                &mut archive,
                &mut model,
                device,
                now,
                now,
                &[("t", Value::Number((step % 100) as f64))],
            );
        }
    }
    archive.seal_all().unwrap();
    drop(archive);
    let files: Vec<_> = fs::read_dir(settings.folder.join("blocks"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    assert_eq!(files.len(), 3);
    for path in &files {
        let good = fs::read(path).unwrap();
        for at in (0..good.len()).step_by(good.len() / 60) {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(path, &bad).unwrap();
            let archive = open(&settings, NOW + DAY);
            let view = archive.view();
            let mut whole = 0;
            for device in ["a", "b", "c"] {
                let (found, damaged) = view.read(device, "t", 0, Millis::MAX).unwrap().unwrap();
                assert!(
                    found.len() == 3000 || !damaged.is_empty(),
                    "{}: byte {at}",
                    path.display()
                );
                whole += usize::from(found.len() == 3000);
                let query = SeriesQuery {
                    from: NOW,
                    to: NOW + HOUR,
                    width: 10,
                    ..SeriesQuery::new(device, "t")
                };
                let answer = view.series(&query).unwrap().unwrap();
                assert!(!answer.points.is_empty() || !answer.damaged.is_empty());
            }
            assert!(whole >= 2, "{}: byte {at}", path.display());
        }
        fs::write(path, good).unwrap();
    }
}

#[test]
fn a_label_explosion_is_refused_and_counted() {
    let folder = testbed::Folder::new();
    let mut archive = open(
        &Settings {
            series: 100,
            ..settings(folder.path())
        },
        NOW,
    );
    let mut model = Model::new();
    for step in 0..300 {
        say(
            &mut archive,
            &mut model,
            &format!("d{}", step % 3),
            NOW,
            NOW,
            &[(&format!("m{step}"), Value::Number(1.0))],
        );
    }
    let counted = archive.counted();
    assert_eq!((counted.series, counted.refused), (100, 200));
}

#[test]
fn strangers_with_long_names_take_bounded_memory() {
    let folder = testbed::Folder::new();
    let settings = Settings {
        names: 100_000,
        ..settings(folder.path())
    };
    let mut archive = open(&settings, NOW);
    let mut model = Model::new();
    let t = |at: i32| [("t", Value::Number(f64::from(at)))];
    say(&mut archive, &mut model, "a", NOW, NOW, &t(0));
    let mut refused = Model::new();
    for at in 0..1000 {
        let device = format!("{at}{}", "x".repeat(8000));
        let values = [(history::PRESENCE, Value::Text("{}"))];
        say(&mut archive, &mut refused, &device, NOW, NOW, &values);
        let metric = format!("{at}{}", "m".repeat(1000));
        let values = [(&metric[..], Value::Bool(true))];
        say(&mut archive, &mut refused, "b", NOW, NOW, &values);
        let number = archive.device("a");
        let metric = archive.metrics(number, &["t"])[0];
        archive.set_unit(metric, Some(&"u".repeat(at * 1000)));
    }
    let counted = archive.counted();
    assert!(counted.names <= 100_000, "{}", counted.names);
    assert!(counted.refused > 1900, "{}", counted.refused);
    // What is known is recorded as before.
    say(&mut archive, &mut model, "a", NOW + 1, NOW + 1, &t(1));
    archive.commit().unwrap();
    compare(&archive.view(), &model);
    drop(archive);
    let archive = open(&settings, NOW + 1);
    assert_eq!(archive.counted().names, counted.names);
    compare(&archive.view(), &model);
}

/// A door that opens for an hour each day. What lasts is said again each night.
#[test]
fn the_time_in_each_state_is_known_for_years() {
    let folder = testbed::Folder::new();
    let settings = settings(folder.path());
    let mut archive = open(&settings, NOW);
    let mut model = Model::new();
    let midnight = NOW - NOW.rem_euclid(DAY) + DAY;
    let second = 1000;
    for day in 0..7 {
        for (at, state) in [
            (30 * second, "closed"),
            (8 * HOUR, "open"),
            (9 * HOUR, "closed"),
        ] {
            let at = midnight + day * DAY + at;
            let values = [
                ("door", Value::Text(state)),
                ("shut", Value::Bool(state == "closed")),
            ];
            say(&mut archive, &mut model, "house", at, at, &values);
            archive.commit().unwrap();
            tidy(&mut archive, at);
        }
    }
    let now = midnight + 6 * DAY + 12 * HOUR;
    drop(archive);
    let archive = open(&settings, now);
    compare(&archive.view(), &model);
    let view = archive.view();
    let ask = |metric, every| {
        let query = SeriesQuery {
            from: midnight,
            to: midnight + 7 * DAY,
            every,
            now: Some(now),
            ..SeriesQuery::new("house", metric)
        };
        view.series(&query).unwrap().unwrap()
    };
    let raw = ask("door", None);
    assert!(raw.is_raw && raw.states.is_empty());
    assert_eq!(raw.points.len(), 21);
    for (metric, shut, not) in [("door", "closed", "open"), ("shut", "true", "false")] {
        let days = ask(metric, Some(DAY));
        assert!(!days.is_raw);
        assert_eq!(days.states.len(), 7);
        assert_eq!(days.resolution, DAY);
        for (day, (start, states)) in (0..).zip(&days.states) {
            assert_eq!(*start, midnight + day * DAY);
            let of = |name: &str| states.iter().find(|it| *it.0 == *name).map(|it| it.1);
            assert_eq!(of(not), Some(HOUR), "{metric} on day {day}");
            let whole = if day == 6 { 12 * HOUR } else { DAY };
            assert_eq!(
                of(shut),
                Some(whole - HOUR - 30 * second),
                "{metric} on day {day}"
            );
        }
    }
    assert!(ask("door", Some(DAY)).points.is_empty());
    assert_eq!(ask("shut", Some(DAY)).points.len(), 7);
    // More values than pixels, and no rollups of a length that fits.
    let query = SeriesQuery {
        from: midnight + 6 * DAY,
        to: now,
        width: 2,
        every: Some(90 * second),
        now: Some(now),
        ..SeriesQuery::new("house", "door")
    };
    let windows = view.series(&query).unwrap().unwrap();
    let open: Millis = windows
        .states
        .iter()
        .flat_map(|it| &it.1)
        .filter(|it| *it.0 == *"open")
        .map(|it| it.1)
        .sum();
    assert_eq!(open, HOUR);
    assert_eq!(windows.states.len(), 480);
}

#[test]
fn errors_say_what_was_tried() {
    let folder = testbed::Folder::new();
    let file = folder.path().join("history");
    fs::write(&file, "no folder").unwrap();
    let error: Error = Archive::open(Settings::new(file), NOW).unwrap_err();
    assert!(error.to_string().contains("history"), "{error}");
}
