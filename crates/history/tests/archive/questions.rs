//! Questions have limits: what they gather does not grow with what was recorded.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use history::{Error, LATITUDE, LONGITUDE, PRESENCE, SeriesQuery, View};
use series::{Millis, OwnedValue, Value};

use crate::support::{DAY, HOUR, NOW, open, settings, tidy};

const GO_ON: ControlFlow<()> = ControlFlow::Continue(());

#[test]
fn values_are_given_one_by_one_and_only_so_many_are_gathered() {
    let folder = testbed::Folder::new();
    let mut archive = open(&settings(folder.path()), NOW);
    let device = archive.device("a");
    let metric = archive.metrics(device, &["t"])[0];
    let count = i64::try_from(View::MOST_VALUES).unwrap();
    // Over three days, with a late half that overlaps the first one.
    let step = 2 * DAY / count;
    let even = (0..count).step_by(2);
    let times = even.chain((1..count).step_by(2)).map(|at| NOW + at * step);
    for (at, time) in times.enumerate() {
        let value = Value::Number((time - NOW) as f64);
        archive.append(time, NOW + 2 * DAY, &[(metric, value)], None);
        if at % 10_000 == 0 {
            archive.commit().unwrap();
            tidy(&mut archive, NOW + 2 * DAY);
        }
    }
    archive.commit().unwrap();
    let view = archive.view();
    let all = || view.read("a", "t", Millis::MIN, Millis::MAX);
    let (values, damaged) = all().unwrap().unwrap();
    assert_eq!((values.len(), damaged.len()), (View::MOST_VALUES, 0));
    for (at, (time, value)) in (0i64..).zip(&values) {
        assert_eq!(*time, NOW + at * step);
        assert_eq!(*value, OwnedValue::Number((at * step) as f64));
    }

    let one_more = [(metric, Value::Number(1.0))];
    archive.append(NOW + 2 * DAY, NOW + 2 * DAY, &one_more, None);
    assert!(matches!(all(), Err(Error::TooMany)));
    let mut given = Vec::new();
    let some = view.read_each("a", "t", NOW + 5 * step, Millis::MAX, |time, _| {
        given.push(time);
        if given.len() == 3 {
            return ControlFlow::Break(());
        }
        GO_ON
    });
    assert_eq!(some.unwrap(), Some(Vec::new()));
    assert_eq!(given, [5, 6, 7].map(|at| NOW + at * step));
    let mut count = 0;
    let every = view.read_each("a", "t", Millis::MIN, Millis::MAX, |_, _| {
        count += 1;
        GO_ON
    });
    assert!(every.unwrap().is_some());
    assert_eq!(count, View::MOST_VALUES + 1);
}

#[test]
fn everyone_is_read_by_device_and_day_in_order() {
    let folder = testbed::Folder::new();
    let settings = settings(folder.path());
    let mut archive = open(&settings, NOW);
    let say = |archive: &mut history::Archive, id: &str, time: Millis, now: Millis| {
        let device = archive.device(id);
        let metric = archive.metrics(device, &[PRESENCE])[0];
        let text = format!("{id} {}", (time - NOW) / HOUR);
        archive.append(time, now, &[(metric, Value::Text(&text))], None);
    };
    let days = 5;
    for hour in 0..days * 24 {
        let now = NOW + hour * HOUR;
        say(&mut archive, "b", now, now);
        // It tells three hours later, in the wrong order.
        if hour % 3 == 2 {
            for late in 0..3 {
                say(&mut archive, "a", now - late * HOUR, now);
            }
        }
        archive.commit().unwrap();
        tidy(&mut archive, now);
    }
    let (from, to) = (NOW + 3 * HOUR, NOW + (days * 24 - 3) * HOUR);
    let check = |view: &View| {
        let mut found: Vec<(String, Millis)> = Vec::new();
        let read = |value: Value<'_>| match value {
            Value::Text(text) if text.ends_with('7') => None,
            Value::Text(text) => Some(text.to_owned()),
            Value::Number(_) | Value::Integer(_) | Value::Bool(_) => panic!("{value:?}"),
        };
        view.read_everyone(PRESENCE, from, to, read, |device, values| {
            let day = values[0].0.div_euclid(DAY);
            for (time, text) in values {
                assert_eq!(time.div_euclid(DAY), day);
                assert_eq!(text, format!("{device} {}", (time - NOW) / HOUR));
                found.push((device.to_owned(), time));
            }
        })
        .unwrap();
        for id in ["a", "b"] {
            let of = found.iter().filter(|(device, _)| device == id);
            let times: Vec<Millis> = of.map(|(_, time)| *time).collect();
            let all = (3..days * 24 - 3).filter(|hour| hour % 10 != 7);
            let all: Vec<Millis> = all.map(|hour| NOW + hour * HOUR).collect();
            assert_eq!(times, all, "{id}");
        }
    };
    check(&archive.view());
    drop(archive);
    let mut archive = open(&settings, NOW + 7 * DAY);
    tidy(&mut archive, NOW + 7 * DAY);
    check(&archive.view());
}

#[test]
fn positions_come_together() {
    let folder = testbed::Folder::new();
    let mut archive = open(&settings(folder.path()), NOW);
    let device = archive.device("a");
    assert_eq!(read_positions(&archive.view()), None);
    let metrics = archive.metrics(device, &[LATITUDE, LONGITUDE]);
    for (time, lat, lng) in [(2, 2.0, 12.0), (1, 1.0, 11.0), (DAY, 3.0, 13.0)] {
        let values = [
            (metrics[0], Value::Number(lat)),
            (metrics[1], Value::Number(lng)),
        ];
        archive.append(NOW + time, NOW + DAY, &values, None);
        if time == 1 {
            archive.commit().unwrap();
            tidy(&mut archive, NOW + DAY);
        }
    }
    let found = read_positions(&archive.view()).unwrap();
    let expected = [(1, 1.0, 11.0), (2, 2.0, 12.0), (DAY, 3.0, 13.0)];
    assert_eq!(found, expected);
}

fn read_positions(view: &View) -> Option<Vec<(Millis, f64, f64)>> {
    let mut found = Vec::new();
    let damaged = view.read_positions("a", NOW, NOW + 2 * DAY, |time, lat, lng| {
        found.push((time - NOW, lat, lng));
    });
    damaged.unwrap().map(|_| found)
}

#[test]
fn a_question_that_nobody_waits_for_ends() {
    let folder = testbed::Folder::new();
    let mut archive = open(&settings(folder.path()), NOW);
    let device = archive.device("a");
    let metric = archive.metrics(device, &["t"])[0];
    archive.append(NOW, NOW, &[(metric, Value::Number(1.0))], None);
    let later = NOW + 2 * DAY;
    tidy(&mut archive, later);
    let is_over = Arc::new(AtomicBool::new(false));
    let view = archive.view().until(Arc::clone(&is_over));
    let query = SeriesQuery {
        from: NOW,
        to: later,
        ..SeriesQuery::new("a", "t")
    };
    let ask = || {
        let everyone = view.read_everyone("t", NOW, later, |_| Some(()), |_, _| ());
        [
            view.series(&query).err(),
            view.moment(later).err(),
            view.at("a", "t", later, NOW).err(),
            view.read("a", "t", NOW, later).err(),
            everyone.err(),
        ]
    };
    assert!(ask().iter().all(Option::is_none));
    is_over.store(true, Ordering::Relaxed);
    for error in ask() {
        assert!(matches!(error, Some(Error::GivenUp)), "{error:?}");
    }
}
