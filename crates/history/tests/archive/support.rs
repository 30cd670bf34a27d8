//! The archive's model: a list of everything that was appended.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use history::{Archive, Settings, View};
use series::{Millis, OwnedValue, Value};

pub(crate) const NOW: Millis = 1_795_233_600_000;
pub(crate) const HOUR: Millis = 3_600_000;
pub(crate) const DAY: Millis = 24 * HOUR;

pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        journal: 1 << 20,
        ..Settings::new(folder.join("history"))
    }
}

pub(crate) fn open(settings: &Settings, now: Millis) -> Archive {
    let opened = Archive::open(settings.clone(), now).unwrap();
    assert_eq!(opened.damaged, Vec::<String>::new());
    opened.archive
}

pub(crate) fn tidy(archive: &mut Archive, now: Millis) {
    while archive.tidy(now).unwrap() {}
}

/// What was appended, by device and metric.
pub(crate) type Model = BTreeMap<(String, String), Vec<(Millis, OwnedValue)>>;

pub(crate) fn say(
    archive: &mut Archive,
    model: &mut Model,
    device: &str,
    at: Millis,
    now: Millis,
    values: &[(&str, Value<'_>)],
) {
    let number = archive.device(device);
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    let metrics = archive.metrics(number, &names);
    let row: Vec<_> = metrics
        .into_iter()
        .zip(values.iter().map(|(_, value)| *value))
        .collect();
    archive.append(at, now, &row, Some("client"));
    for (name, value) in values {
        let key = (device.to_owned(), (*name).to_owned());
        model.entry(key).or_default().push((at, value.owned()));
    }
}

pub(crate) fn compare(view: &View, model: &Model) {
    for ((device, metric), values) in model {
        let mut expected = values.clone();
        expected.sort_by_key(|it| it.0);
        let (found, damaged) = view
            .read(device, metric, Millis::MIN, Millis::MAX)
            .unwrap()
            .unwrap();
        assert_eq!(damaged, []);
        assert_eq!(found.len(), expected.len(), "{device} {metric}");
        assert_eq!(
            format!("{found:?}"),
            format!("{expected:?}"),
            "{device} {metric}"
        );
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
