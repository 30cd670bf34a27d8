//! What goes in comes out, bit for bit, whatever happens in between.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use series::{
    Block, Level, M4, Millis, Open, OwnedValue, Pixel, Rollup, RollupBlock, Rows, Value, level_for,
    merge, merge_rollups, rollup,
};

type Plain = (Millis, Millis, Vec<(u16, OwnedValue)>);

fn value() -> impl Strategy<Value = OwnedValue> {
    prop_oneof![
        4 => (-100_000i64..100_000, 0usize..4)
            .prop_map(|(n, digits)| OwnedValue::Number(format!("{n}e-{digits}").parse().unwrap())),
        1 => any::<f64>().prop_filter("finite", |it| it.is_finite()).prop_map(OwnedValue::Number),
        1 => Just(OwnedValue::Number(-0.0)),
        1 => any::<i64>().prop_map(OwnedValue::Integer),
        1 => any::<bool>().prop_map(OwnedValue::Bool),
        2 => "(open|closed|ü|)".prop_map(|text| OwnedValue::Text(text.into())),
        1 => ".{0,40}".prop_map(|text| OwnedValue::Text(text.into())),
    ]
}

fn rows(most: usize) -> impl Strategy<Value = Vec<Plain>> {
    let row = (
        0i64..200_000,
        prop_oneof![Just(0i64), -50i64..5000],
        prop::collection::btree_map(0u16..5, value(), 0..4),
    );
    let row =
        row.prop_map(|(time, delay, values)| (time, time + delay, values.into_iter().collect()));
    prop::collection::vec(row, 0..most)
}

fn open(rows: &[Plain]) -> Open {
    let mut open = Open::new();
    for (time, arrived, values) in rows {
        let values: Vec<_> = values
            .iter()
            .map(|(column, value)| (*column, value.borrow()))
            .collect();
        open.push(*time, *arrived, &values);
    }
    open
}

fn all(rows: &dyn Rows) -> Vec<Plain> {
    between(rows, Millis::MIN, Millis::MAX)
}

fn between(rows: &dyn Rows, from: Millis, to: Millis) -> Vec<Plain> {
    let mut found = Vec::new();
    rows.read_rows(from, to, &mut |row| {
        let values = row
            .values
            .iter()
            .map(|(column, value)| (*column, value.owned()));
        found.push((row.time, row.arrived, values.collect()));
    })
    .unwrap();
    found
}

/// The same by bits: `-0.0` is not `0.0`.
fn assert_same(found: &[Plain], expected: &[Plain]) {
    assert_eq!(format!("{found:?}"), format!("{expected:?}"));
}

fn sorted(rows: &[Plain]) -> Vec<Plain> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|row| row.0);
    rows
}

fn column_of(rows: &dyn Rows, column: u16, from: Millis, to: Millis) -> Vec<(Millis, OwnedValue)> {
    let mut found = Vec::new();
    rows.read(column, from, to, &mut |time, value| {
        found.push((time, value.owned()));
    })
    .unwrap();
    found
}

proptest! {
    #[test]
    fn rows_come_out_as_they_went_in(plain in rows(300), from in 0i64..200_000, len in 0i64..100_000) {
        let open = open(&plain);
        let block = Block::parse(open.seal()).unwrap();
        let expected = sorted(&plain);
        for rows in [&open as &dyn Rows, &block] {
            assert_same(&all(rows), &expected);
            prop_assert_eq!(rows.rows(), plain.len());
            prop_assert_eq!(rows.span(), expected.first().map(|it| it.0).zip(expected.last().map(|it| it.0)));
            let to = from + len;
            let part: Vec<_> = expected.iter().filter(|row| (from..to).contains(&row.0)).cloned().collect();
            assert_same(&between(rows, from, to), &part);
            for column in 0..5 {
                let of = |rows: &[Plain]| -> Vec<(Millis, OwnedValue)> {
                    let has = rows.iter().filter_map(|row| {
                        let value = row.2.iter().find(|(id, _)| *id == column)?;
                        Some((row.0, value.1.clone()))
                    });
                    has.collect()
                };
                let found = column_of(rows, column, from, to);
                prop_assert_eq!(format!("{:?}", found), format!("{:?}", of(&part)));
                let before: Vec<_> = expected.iter().filter(|row| row.0 <= from).cloned().collect();
                let last = of(&before).pop();
                prop_assert_eq!(format!("{:?}", rows.at(column, from).unwrap()), format!("{:?}", last));
            }
        }
    }

    #[test]
    fn blocks_that_overlap_merge_into_one_without_repetitions(a in rows(80), b in rows(80)) {
        let (first, second) = (open(&a), Block::parse(open(&b).seal()).unwrap());
        let merged = merge(&[&first, &second, &second]).unwrap();
        let merged = Block::parse(merged).unwrap();
        let mut expected: Vec<Plain> = Vec::new();
        for row in sorted(&[a, b].concat()) {
            let text = |row: &Plain| format!("{:?}", (row.0, &row.2));
            if !expected.iter().any(|known| text(known) == text(&row)) {
                expected.push(row);
            }
        }
        assert_same(&all(&merged), &expected);
    }

    #[test]
    fn a_block_of_many_pages_can_be_read_anywhere(step in 1i64..5000, at in 0usize..5000, gap in 1usize..50) {
        let plain: Vec<Plain> = (0..5000).map(|row| {
            let time = row * step;
            let mut values = vec![(0, OwnedValue::Number((row % 977) as f64 / 100.0))];
            if (row as usize).is_multiple_of(gap) {
                values.push((1, OwnedValue::Text(if row % 2 == 0 { "on".into() } else { "off".into() })));
            }
            (time, time, values)
        }).collect();
        let block = Block::parse(open(&plain).seal()).unwrap();
        let time = at as i64 * step + step / 2;
        prop_assert_eq!(block.at(0, time).unwrap(), Some((at as i64 * step, plain[at].2[0].1.clone())));
        let with = &plain[at - at % gap];
        prop_assert_eq!(block.at(1, time).unwrap(), Some((with.0, with.2[1].1.clone())));
        assert_same(&between(&block, time, time + 100 * step), &plain[(at + 1).min(5000)..(at + 101).min(5000)].iter().filter(|row| row.0 >= time).cloned().collect::<Vec<_>>());
    }

    #[test]
    fn rollups_merge_exactly_however_the_rows_were_split(plain in rows(200), cut in 0usize..200, late in any::<bool>()) {
        let numbers: Vec<Plain> = plain.iter().map(|row| {
            let whole = row.2.iter().map(|(column, _)| (*column, OwnedValue::Number((row.0 % 1000) as f64 / 4.0)));
            (row.0, row.1, whole.collect())
        }).collect();
        // Values of the same time have no order between blocks.
        let mut numbers = sorted(&numbers);
        numbers.dedup_by_key(|row| row.0);
        let cut = cut.min(numbers.len());
        let (a, b): (Vec<Plain>, Vec<Plain>) = if late {
            numbers.iter().cloned().partition(|row| row.0 % 3 == 0)
        } else {
            (numbers[..cut].to_vec(), numbers[cut..].to_vec())
        };
        for level in Level::ALL {
            let of = |rows: &[Plain]| RollupBlock::parse(rollup(&open(rows), level, None).unwrap()).unwrap();
            let whole = of(&numbers);
            let merged = RollupBlock::parse(merge_rollups(&[of(&a), of(&b)]).unwrap()).unwrap();
            for column in 0..5 {
                let read = |block: &RollupBlock<Vec<u8>>| {
                    let mut found: Vec<Rollup> = Vec::new();
                    block.read(column, Millis::MIN, Millis::MAX, &mut |it| found.push(*it)).unwrap();
                    found
                };
                prop_assert_eq!(read(&whole), read(&merged));
                let count: u64 = read(&whole).iter().map(|it| it.count).sum();
                let expected = numbers.iter().filter(|row| row.2.iter().any(|it| it.0 == column)).count();
                prop_assert_eq!(count, expected as u64);
            }
        }
    }

    #[test]
    fn a_chart_of_rollups_is_the_chart_of_the_values(
        values in prop::collection::vec((0i64..20_000_000, -1000i64..1000), 1..300),
        from in 0i64..1_000_000, width in 1usize..200,
    ) {
        let mut values: Vec<(i64, f64)> = values.into_iter().map(|(t, v)| (t, v as f64 / 8.0)).collect();
        values.sort_by_key(|it| it.0);
        values.dedup_by_key(|it| it.0);
        let plain: Vec<Plain> = values.iter().map(|(t, v)| (*t, *t, vec![(0, OwnedValue::Number(*v))])).collect();
        let to = 20_000_000;
        let Some(level) = level_for(from, to, width) else { return Ok(()) };
        let mut chart = M4::new(from, to, width, Some(level));
        prop_assert_eq!(chart.resolution() % level.millis(), 0);
        let resolution = chart.resolution();
        let block = RollupBlock::parse(rollup(&open(&plain), level, None).unwrap()).unwrap();
        block.read(0, Millis::MIN, Millis::MAX, &mut |it| chart.rollup(it)).unwrap();
        let mut exact = M4::aligned(from, to, resolution);
        let start = from - from % resolution;
        for (time, value) in values.iter().filter(|it| it.0 >= start && it.0 < to) {
            exact.sample(*time, *value);
        }
        let (chart, exact): (Vec<Pixel>, Vec<Pixel>) = (chart.finish(), exact.finish());
        prop_assert!(chart.len() <= width.max(1) + 1);
        prop_assert_eq!(chart, exact);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Block::parse(bytes).is_err());
    }

    /// With a checksum that fits, so that the content is really read.
    #[test]
    fn no_content_makes_it_panic(plain in rows(40), flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let mut bytes = open(&plain).seal();
        let content = bytes.len() - 4;
        for (at, byte) in flips {
            bytes[at.index(content)] ^= byte;
        }
        let checksum = checksum(&bytes[..content]);
        bytes[content..].copy_from_slice(&checksum.to_le_bytes());
        if let Ok(block) = Block::parse(&bytes[..]) {
            let _ = block.read_rows(Millis::MIN, Millis::MAX, &mut |_| {});
            for column in block.columns() {
                let _ = block.at(column, 100_000);
            }
        }
        if let Ok(block) = RollupBlock::parse(&bytes[..]) {
            for column in block.columns() {
                let _ = block.read(column, Millis::MIN, Millis::MAX, &mut |_| {});
                let _ = block.read_states(column, Millis::MIN, Millis::MAX, &mut |_, _, _| {});
            }
        }
    }
}

/// CRC-32 as in zip and PNG, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

#[test]
fn every_flipped_bit_is_told() {
    let plain: Vec<Plain> = (0..50)
        .map(|row| {
            (
                row * 1000,
                row * 1000 + 3,
                vec![
                    (0, OwnedValue::Number(row as f64 / 10.0)),
                    (1, OwnedValue::Text("x".into())),
                ],
            )
        })
        .collect();
    let bytes = open(&plain).seal();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            assert!(Block::parse(bytes).is_err(), "byte {at}, bit {bit}");
        }
    }
    for len in 0..bytes.len() {
        assert!(Block::parse(&bytes[..len]).is_err(), "cut to {len}");
    }
}

#[test]
fn states_are_summed_up_by_bucket() {
    let mut open = Open::new();
    for (time, state) in [
        (0, "online"),
        (90_000, "offline"),
        (100_000, "online"),
        (130_000, "online"),
    ] {
        open.push(time, time, &[(0, Value::Text(state))]);
    }
    let bytes = rollup(&open, Level::Minute, Some(180_000)).unwrap();
    let mut found = Vec::new();
    let block = RollupBlock::parse(bytes).unwrap();
    block
        .read_states(0, 0, 1_000_000, &mut |start, state, ms| {
            found.push((start, state.to_owned(), ms));
        })
        .unwrap();
    let expected = [
        (0, "online", 60_000),
        (60_000, "offline", 10_000),
        (60_000, "online", 50_000),
        (120_000, "online", 60_000),
    ];
    assert_eq!(
        found,
        expected.map(|(start, state, ms)| (start, state.to_owned(), ms))
    );
}

#[test]
fn texts_that_are_never_the_same_take_little_of_a_rollup() {
    let mut open = Open::new();
    for row in 0..10_000 {
        let text = if row % 100 < 50 {
            "idle".to_owned()
        } else {
            format!("job {row}")
        };
        open.push(row * 1000, row * 1000, &[(0, Value::Text(&text))]);
    }
    let bytes = rollup(&open, Level::Day, Some(10_000_000)).unwrap();
    assert!(bytes.len() < 2000, "{}", bytes.len());
    let block = RollupBlock::parse(&bytes[..]).unwrap();
    let merged = RollupBlock::parse(merge_rollups(&[block]).unwrap()).unwrap();
    let mut found = BTreeMap::new();
    let mut take = |_: Millis, state: &str, ms: Millis| {
        found.insert(state.to_owned(), ms);
    };
    merged.read_states(0, 0, Millis::MAX, &mut take).unwrap();
    assert_eq!(found.len(), 64);
    assert_eq!(found["idle"], 5_000_000);
    assert_eq!(found.values().sum::<Millis>(), 10_000_000);
}

/// Each was compared with all others of its time.
#[test]
fn many_rows_of_one_time_merge() {
    let plain: Vec<Plain> = (0..20_000)
        .map(|row| (0, row, vec![(0, OwnedValue::Number((row % 15_000) as f64))]))
        .collect();
    let block = Block::parse(open(&plain).seal()).unwrap();
    let merged = Block::parse(merge(&[&block, &block]).unwrap()).unwrap();
    assert_same(&all(&merged), &plain[..15_000]);
}

/// It tried one millisecond more again and again.
#[test]
fn a_chart_of_all_time_is_made_at_once() {
    for (from, to) in [
        (0, 1 << 53),
        (Millis::MIN, Millis::MAX),
        (-1, Millis::MAX),
        (7, 8),
        (8, 7),
    ] {
        for width in [1, 2, 3, 100, 1200] {
            for level in [None, Some(Level::Day)] {
                let mut chart = M4::new(from, to, width, level);
                chart.sample(from, 1.0);
                chart.sample(to - 1, 2.0);
                assert!(chart.finish().len() <= width + 1);
            }
        }
    }
    // Few pixels are too few: a day in 1,200 pixels is drawn by nearly as many.
    for from in [0, 1, 71_999, 12_345_678] {
        let chart = M4::new(from, from + 86_400_000, 1200, None);
        assert!(
            (72_000..72_100).contains(&chart.resolution()),
            "{}",
            chart.resolution()
        );
    }
}

/// Rows a year apart made half a million buckets of minutes each.
#[test]
fn a_clock_that_jumps_about_makes_no_millions_of_buckets() {
    const YEAR: Millis = 365 * 86_400_000;
    let mut open = Open::new();
    for jump in 0..1000 {
        for (time, state) in [(jump * YEAR, "on"), (jump * YEAR + 86_400_000, "off")] {
            open.push(time, time, &[(0, Value::Text(state))]);
        }
    }
    let block = RollupBlock::parse(rollup(&open, Level::Minute, None).unwrap()).unwrap();
    let mut buckets = 0;
    block
        .read_states(0, Millis::MIN, Millis::MAX, &mut |_, state, _| {
            assert_eq!(state, "on");
            buckets += 1;
        })
        .unwrap();
    assert!((1440..50_000).contains(&buckets), "{buckets}");
}

#[test]
fn sensors_cost_less_than_a_byte_a_value() {
    let mut open = Open::new();
    let mut seed = 7u64;
    for second in 0..10_000i64 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let noise = (seed >> 60) as f64 / 10.0;
        open.push(
            second * 1000,
            second * 1000,
            &[
                (0, Value::Number(20.0 + noise)),
                (1, Value::Bool(second % 600 < 300)),
            ],
        );
    }
    assert!(
        open.seal().len() < 10_000 * 2 * 2 / 3,
        "{}",
        open.seal().len()
    );
}

#[test]
fn an_empty_one_takes_little_memory() {
    assert!(size_of::<Open>() <= 100);
    assert!(Block::parse(Open::new().seal()).unwrap().span().is_none());
}
