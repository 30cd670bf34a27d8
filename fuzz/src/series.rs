//! Blocks of series: what a disk may give back.
//!
//! Byte 0 of the input says how to read the rest. If it is even, the rest is a block without its checksum. The
//! target adds one that fits, so that it does not keep the content from the readers. If it is odd, the rest is a
//! list of rows, which the target seals, and then what to change in the block.
//!
//! The target checks that nothing panics; that rows are read back from the block as they were pushed, whole, by
//! column and by time; that merging a block with itself changes nothing; that a rollup counts all numbers; and
//! that a changed block is told, or is the same.

use series::{
    Block, Level, M4, Millis, Open, OwnedValue, RollupBlock, Rows, Value, merge, merge_rollups,
    rollup,
};

use crate::Script;

/// A block that claims to have more cells is not read whole: that takes long, and nothing else.
const CELLS: usize = 1 << 18;

type Plain = (Millis, Millis, Vec<(u16, OwnedValue)>);

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    if script.flag() {
        let plain = rows(&mut script);
        let block = seal(&plain);
        check(&plain, &block);
        harm(&mut script, block);
    } else {
        read_all(&with_checksum(script.rest().to_vec()));
    }
}

/// A whole block, for the seeds: without its checksum.
pub fn whole() -> Vec<u8> {
    let mut plain = Vec::new();
    for row in 0..20i64 {
        let text = if row % 7 < 3 { "open" } else { "closed" };
        let mut values = vec![(0, OwnedValue::Number(20.0 + f64::from(row as u8) / 10.0))];
        values.push((1, OwnedValue::Text(text.into())));
        values.push((2, OwnedValue::Bool(row % 2 == 0)));
        if row % 5 == 0 {
            values.push((4, OwnedValue::Integer(i64::MAX - row)));
            values.push((
                7,
                OwnedValue::Number(std::f64::consts::PI * f64::from(row as u8)),
            ));
        }
        plain.push((row * 1000 + row % 3, row * 1000 + 40, values));
    }
    let mut block = seal(&plain);
    block.truncate(block.len() - 4);
    block
}

/// The same as rollups of minutes.
pub fn whole_rollups() -> Vec<u8> {
    let block = with_checksum(whole());
    let block = Block::parse(&block[..]).expect("just written");
    let mut bytes = rollup(&block, Level::Minute, None).expect("just written");
    bytes.truncate(bytes.len() - 4);
    bytes
}

fn rows(script: &mut Script<'_>) -> Vec<Plain> {
    let mut plain = Vec::new();
    let mut time: Millis = 0;
    for _ in 0..script.byte() {
        time = match script.below(8) {
            0 => time.wrapping_sub(Millis::from(script.word())),
            1 => Millis::from(script.word()) << (script.byte() % 49),
            2 => -(Millis::from(script.word()) << (script.byte() % 49)),
            step => time.wrapping_add(Millis::from(step) * 250),
        };
        // Nothing can be asked about the last millisecond of all, as ranges end before their end.
        time = time.min(Millis::MAX - 1);
        let arrived = if script.flag() {
            time.wrapping_add(Millis::from(script.word()) - 100)
        } else {
            time
        };
        let mut values: Vec<(u16, OwnedValue)> = Vec::new();
        for column in 0..script.below(5) {
            values.extend(value(script).map(|value| (u16::from(column) * 3, value)));
        }
        plain.push((time, arrived, values));
    }
    plain
}

fn value(script: &mut Script<'_>) -> Option<OwnedValue> {
    let number = |number: f64| number.is_finite().then_some(OwnedValue::Number(number));
    match script.below(8) {
        0 => None,
        1 => Some(OwnedValue::Bool(script.flag())),
        2 => Some(OwnedValue::Text(
            ["on", "off", "", "ü"][usize::from(script.below(4))].into(),
        )),
        3 => Some(OwnedValue::Text(
            String::from_utf8_lossy(script.bytes()).into(),
        )),
        4 => Some(OwnedValue::Integer(bits(script).cast_signed())),
        5 => number(f64::from_bits(bits(script))),
        6 => number(f64::from(script.word()) / 10f64.powi(i32::from(script.below(24)))),
        _ => number((f64::from(script.byte()) - 20.0) / 10.0),
    }
}

fn bits(script: &mut Script<'_>) -> u64 {
    (0..4).fold(0, |bits, _| bits << 16 | u64::from(script.word()))
}

fn seal(plain: &[Plain]) -> Vec<u8> {
    let mut open = Open::new();
    for (time, arrived, values) in plain {
        let values: Vec<(u16, Value<'_>)> = values
            .iter()
            .map(|(id, value)| (*id, value.borrow()))
            .collect();
        open.push(*time, *arrived, &values);
    }
    open.seal()
}

fn check(plain: &[Plain], bytes: &[u8]) {
    let block = Block::parse(bytes).expect("just written");
    let mut expected = plain.to_vec();
    expected.sort_by_key(|row| row.0);
    // By their text, as -0.0 is not 0.0.
    let text = |rows: &[Plain]| format!("{rows:?}");
    assert_eq!(text(&all(&block)), text(&expected));
    for column in block.columns() {
        let of_column: Vec<(Millis, OwnedValue)> = expected
            .iter()
            .filter_map(|row| {
                let cell = row.2.iter().find(|(id, _)| *id == column)?;
                Some((row.0, cell.1.clone()))
            })
            .collect();
        let mut found = Vec::new();
        let mut sink = |time, value: Value<'_>| found.push((time, value.owned()));
        block
            .read(column, Millis::MIN, Millis::MAX, &mut sink)
            .expect("just written");
        assert_eq!(format!("{found:?}"), format!("{of_column:?}"));
        for (time, _) in of_column.iter().step_by(7) {
            let last = of_column.iter().rfind(|(at, _)| at <= time);
            let found = block.at(column, *time).expect("just written");
            assert_eq!(format!("{:?}", found.as_ref()), format!("{last:?}"));
        }
        for level in Level::ALL {
            let rollups = rollup(&block, level, None).expect("just written");
            let rollups = RollupBlock::parse(rollups).expect("just written");
            let merged = merge_rollups(&[rollups]).expect("just written");
            let rollups = RollupBlock::parse(merged).expect("just written");
            let mut count = 0;
            let mut sink = |rollup: &series::Rollup| count += rollup.count;
            rollups
                .read(column, Millis::MIN, Millis::MAX, &mut sink)
                .expect("just written");
            let numbers = of_column
                .iter()
                .filter(|it| it.1.borrow().as_number().is_some());
            assert_eq!(count, numbers.count() as u64, "rollups of {level:?}s");
        }
    }
    let merged = merge(&[&block, &block]).expect("just written");
    let again = merge(&[&Block::parse(&merged[..]).expect("just written")]).expect("just written");
    assert_eq!(merged, again, "merged again");
}

fn all(rows: &dyn Rows) -> Vec<Plain> {
    let mut found = Vec::new();
    rows.read_rows(Millis::MIN, Millis::MAX, &mut |row| {
        let values = row.values.iter().map(|(id, value)| (*id, value.owned()));
        found.push((row.time, row.arrived, values.collect()));
    })
    .expect("just written");
    found
}

/// Changes the block, with its checksum and without.
fn harm(script: &mut Script<'_>, mut bytes: Vec<u8>) {
    let whole = bytes.clone();
    while !script.is_over() {
        let at = usize::from(script.word()) % bytes.len();
        if script.flag() {
            bytes.truncate(at.max(1));
        } else {
            bytes[at] ^= script.byte();
        }
    }
    // Four bytes do not tell every change of many bytes from another. But what libFuzzer finds in them is a
    // checksum that fits by chance once in four billion inputs.
    assert!(
        bytes == whole || Block::parse(&bytes[..]).is_err(),
        "a change was not told"
    );
    bytes.truncate(bytes.len().saturating_sub(4));
    read_all(&with_checksum(bytes));
}

/// Reads everything that there is in any bytes. Only a panic is wrong.
fn read_all(bytes: &[u8]) {
    if let Ok(block) = Block::parse(bytes) {
        let columns = block.columns();
        let is_small = block.rows() * columns.len().max(1) <= CELLS;
        let middle = block.span().map_or(0, |(first, last)| first / 2 + last / 2);
        let _ = block.at_all(&columns[..columns.len().min(64)], middle);
        if is_small {
            let _ = block.read_rows(Millis::MIN, Millis::MAX, &mut |_| {});
            let _ = merge(&[&block]);
            for level in Level::ALL {
                let _ = rollup(&block, level, None);
            }
        }
    }
    if let Ok(block) = RollupBlock::parse(bytes) {
        if block.buckets() * block.columns().len().max(1) > CELLS {
            return;
        }
        let (first, last) = block.span().unwrap_or((0, 0));
        for column in block.columns() {
            let mut chart = M4::new(first, last, 100, None);
            let _ = block.read(column, Millis::MIN, Millis::MAX, &mut |it| chart.rollup(it));
            chart.finish();
            let _ = block.read_states(column, Millis::MIN, Millis::MAX, &mut |_, _, _| {});
        }
        let _ = merge_rollups(&[block]);
    }
}

fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend(checksum.to_le_bytes());
    bytes
}
