//! Kills and failures at any time: everything that was committed is there once.

use std::fs;

use history::Settings;
use proptest::prelude::*;
use series::Value;

use crate::support::{DAY, Model, NOW, compare, copy, open, say, settings, tidy};

#[test]
fn a_kill_while_a_day_is_merged_loses_nothing() {
    let folder = testbed::Folder::new();
    let settings = settings(folder.path());
    let mut archive = open(&settings, NOW);
    let mut model = Model::new();
    let mut now = NOW;
    for part in 0..3 {
        for row in 0..1000 {
            now += 1000;
            for device in ["a", "b"] {
                let value = Value::Number(f64::from(part * 1000 + row));
                say(&mut archive, &mut model, device, now, now, &[("t", value)]);
            }
        }
        archive.seal_all().unwrap();
    }
    now += 2 * DAY;
    for at in 0.. {
        let goes_on = archive.tidy(now).unwrap();
        // Rows of today are sealed while the merge goes on.
        now += 1000;
        let value = Value::Number(f64::from(at));
        say(&mut archive, &mut model, "c", now, now, &[("t", value)]);
        archive.seal_all().unwrap();
        let killed = folder.path().join(format!("killed-{at}"));
        copy(&settings.folder, &killed);
        let copied = Settings {
            folder: killed,
            ..settings.clone()
        };
        compare(&open(&copied, now).view(), &model);
        // A second start finds what the first has left.
        compare(&open(&copied, now).view(), &model);
        if !goes_on {
            assert!(at > 3, "the merge needs several calls");
            break;
        }
    }
}

#[test]
fn a_file_that_cannot_get_its_name_is_read_and_named_later() {
    let folder = testbed::Folder::new();
    let settings = settings(folder.path());
    let mut archive = open(&settings, NOW);
    let mut model = Model::new();
    // A folder stands where the first file of rows shall be.
    let day = "20261121";
    let taken = (1..=3).map(|number| {
        let name = format!("{day}-raw-{number:010}.seg");
        settings.folder.join("blocks").join(name)
    });
    let taken: Vec<_> = taken.collect();
    for path in &taken {
        fs::create_dir(path).unwrap();
    }
    let values = [("t", Value::Number(21.5))];
    say(&mut archive, &mut model, "a", NOW, NOW, &values);
    archive.seal_all().unwrap();
    compare(&archive.view(), &model);
    drop(archive);
    for path in &taken {
        fs::remove_dir(path).unwrap();
    }
    let archive = open(&settings, NOW);
    compare(&archive.view(), &model);
    let blocks = fs::read_dir(settings.folder.join("blocks")).unwrap();
    for entry in blocks {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().unwrap(), "seg", "{}", path.display());
    }
}

#[test]
fn rows_that_are_copied_forward_in_the_journal_stand_in_it_once() {
    let folder = testbed::Folder::new();
    let settings = settings(folder.path());
    let mut archive = open(&settings, NOW);
    let mut model = Model::new();
    let mut now = NOW;
    let text = "x".repeat(2000);
    for step in 0..100 {
        for device in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            now += 1;
            let text = format!("{step}{text}");
            let values = [("s", Value::Text(&text))];
            say(&mut archive, &mut model, device, now, now, &values);
        }
        archive.commit().unwrap();
    }
    // This row is not committed when the journal is shortened.
    now += 1;
    let values = [("s", Value::Text("last"))];
    say(&mut archive, &mut model, "a", now, now, &values);
    tidy(&mut archive, now);
    archive.commit().unwrap();
    assert_eq!(archive.counted().blocks, 0, "so few rows are not sealed");
    drop(archive);
    compare(&open(&settings, now).view(), &model);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// A copy of the folder at any time is what a kill leaves: everything that was committed is in it once. The
    /// rows are of several days, so days are merged meanwhile.
    #[test]
    fn what_was_committed_survives_a_kill_at_any_time(
        steps in prop::collection::vec((0usize..4, 1i64..40_000, 0u8..10), 50..250),
        size in 256u64..4096,
        text in 0usize..600,
    ) {
        let folder = testbed::Folder::new();
        let settings = Settings { journal: size * 1024, memory: 200_000, ..settings(folder.path()) };
        let mut archive = open(&settings, NOW);
        let mut model = Model::new();
        let mut now = NOW;
        for (at, (device, pause, what)) in steps.into_iter().enumerate() {
            for row in 0..60 {
                now += pause;
                let device = format!("d{device}");
                let text = format!("{row}{}", "x".repeat(text));
                let values = [("t", Value::Number((at * 100 + row) as f64)), ("s", Value::Text(&text))];
                say(&mut archive, &mut model, &device, now, now, &values);
            }
            match what {
                0..6 => archive.commit().unwrap(),
                6 | 7 => drop(archive.tidy(now).unwrap()),
                8 => archive.seal_all().unwrap(),
                _ => {
                    archive.commit().unwrap();
                    let killed = folder.path().join(format!("killed-{at}"));
                    copy(&settings.folder, &killed);
                    let copied = open(&Settings { folder: killed, ..settings.clone() }, now);
                    compare(&copied.view(), &model);
                }
            }
        }
        archive.commit().unwrap();
        compare(&archive.view(), &model);
    }
}
