//! How small and how fast series are: `cargo run --release -p beaconry-series --example figures`.
//!
//! The streams are those of the demo's weather stations, pumps and freezers (`server/src/demo/kinds`): the same
//! metrics, digits and noise. One core, one thread. Bytes are those of whole blocks: values, times, checksums.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unwrap_used
)]

use std::hint::black_box;
use std::time::Instant;

use series::{
    Block, Level, M4, Millis, Open, Rollup, RollupBlock, Row, Rows, Value, level_for, merge,
    merge_rollups, rollup,
};

const DAY: Millis = 86_400_000;
const START: Millis = 1_795_219_200_000;
/// Rows of a sealed block, and of a merged one.
const SEALED: usize = 8192;
const MERGED: usize = 16_384;

/// A row: when it was measured, when it arrived, its values.
type Said = (Millis, Millis, Vec<(u16, Value<'static>)>);

/// splitmix64, as in the demo.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.unit()).ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// A value that wanders about zero and always comes back.
struct Drift {
    value: f64,
    spread: f64,
    memory: f64,
}

impl Drift {
    fn new(spread: f64, memory: f64, random: &mut Random) -> Self {
        let value = spread * random.normal();
        Self {
            value,
            spread,
            memory,
        }
    }

    fn step(&mut self, dt: f64, random: &mut Random) -> f64 {
        let keep = (-dt / self.memory).exp();
        self.value = self.value * keep + self.spread * (1.0 - keep * keep).sqrt() * random.normal();
        self.value
    }
}

fn round(value: f64, digits: i32) -> f64 {
    // As a device writes it and a reader reads it.
    format!("{value:.*}", digits as usize).parse().unwrap()
}

#[derive(Copy, Clone)]
enum Noise {
    /// With so many digits behind the point.
    Digits(i32),
    /// What a converter of 12 bits measures, times a factor: all digits of a 64-bit float.
    Converter,
    /// 32-bit floats, sent as 64-bit ones.
    Single,
    /// All bits of a 64-bit float.
    Double,
}

enum Kind {
    Weather {
        air: Drift,
        barometer: Drift,
        breeze: Drift,
        gust: Drift,
        temp: f64,
    },
    Pump {
        level: f64,
        speed: f64,
        is_running: bool,
        draw: Drift,
        wear: Drift,
        bearing: f64,
    },
    Freezer {
        temp: f64,
        is_on: bool,
        noise: Drift,
    },
    /// Six numbers full of noise.
    Noise(Noise),
}

impl Kind {
    fn all(random: &mut Random) -> Vec<Self> {
        vec![
            Self::Weather {
                air: Drift::new(2.0, 40_000.0, random),
                barometer: Drift::new(7.0, 60_000.0, random),
                breeze: Drift::new(5.0, 8_000.0, random),
                gust: Drift::new(2.5, 90.0, random),
                temp: 12.0,
            },
            Self::Pump {
                level: 60.0,
                speed: 0.0,
                is_running: false,
                draw: Drift::new(3.0, 1_200.0, random),
                wear: Drift::new(0.25, 300.0, random),
                bearing: 24.0,
            },
            Self::Freezer {
                temp: -18.0,
                is_on: true,
                noise: Drift::new(0.08, 60.0, random),
            },
        ]
    }

    fn columns(&self) -> usize {
        match self {
            Self::Weather { .. } | Self::Freezer { .. } => 5,
            Self::Pump { .. } => 7,
            Self::Noise(_) => 6,
        }
    }

    fn read(
        &mut self,
        time: Millis,
        dt: f64,
        random: &mut Random,
        row: &mut Vec<(u16, Value<'static>)>,
    ) {
        row.clear();
        let hour = (time % DAY) as f64 / 3_600_000.0;
        let mut say = |value: Value<'static>| row.push((row.len() as u16, value));
        match self {
            Self::Weather {
                air,
                barometer,
                breeze,
                gust,
                temp,
            } => {
                let target = 12.0
                    + 6.0 * ((hour - 9.0) / 24.0 * std::f64::consts::TAU).sin()
                    + air.step(dt, random);
                *temp += (target - *temp) * (dt / 900.0).min(1.0);
                let wind = (11.0 + breeze.step(dt, random) + gust.step(dt, random)).max(0.0);
                say(Value::Number(round(*temp, 1)));
                say(Value::Number(round(
                    (105.0 - 3.2 * *temp).clamp(28.0, 99.0),
                    0,
                )));
                say(Value::Number(round(
                    1_014.0 + barometer.step(dt, random),
                    1,
                )));
                say(Value::Number(round(wind, 1)));
                say(Value::Number(0.0));
            }
            Self::Pump {
                level,
                speed,
                is_running,
                draw,
                wear,
                bearing,
            } => {
                if *level < 35.0 {
                    *is_running = true;
                } else if *level > 90.0 {
                    *is_running = false;
                }
                let target = if *is_running { 100.0 } else { 0.0 };
                *speed += (target - *speed) * (dt / 12.0).min(1.0);
                let peak = |at: f64| (-(hour - at).powi(2) / 4.0).exp();
                let draw =
                    (8.0 + 22.0 * peak(7.5) + 18.0 * peak(19.0) + draw.step(dt, random)).max(0.0);
                let flow = 62.0 * *speed / 100.0;
                *level = (*level + (flow - draw) * dt / 60.0 / 60.0).clamp(0.0, 100.0);
                *bearing += (24.0 + 0.27 * *speed - *bearing) * (dt / 600.0).min(1.0);
                let turning = *speed / 100.0;
                let wear = wear.step(dt, random);
                say(Value::Bool(*speed > 5.0));
                say(Value::Number(round(*level, 1)));
                say(Value::Number(round(flow, 1)));
                say(Value::Number(round(1.1 + 2.7 * turning * turning, 2)));
                say(Value::Number(round(2_900.0 * turning, 0)));
                say(Value::Number(round(*bearing, 1)));
                say(Value::Number(round(turning * (1.8 + wear), 2)));
            }
            Self::Freezer { temp, is_on, noise } => {
                if *temp > -17.0 {
                    *is_on = true;
                } else if *temp < -19.0 {
                    *is_on = false;
                }
                *temp += if *is_on { -0.002 } else { 0.001 } * dt;
                say(Value::Bool(false));
                say(Value::Bool(false));
                say(Value::Number(if *is_on {
                    round(105.0 + 3.0 * random.normal(), 0)
                } else {
                    2.0
                }));
                say(Value::Number(-18.0));
                say(Value::Number(round(*temp + noise.step(dt, random), 1)));
            }
            Self::Noise(of) => (0..6).for_each(|_| {
                let noise = random.normal();
                say(Value::Number(match of {
                    Noise::Digits(digits) => round(noise, *digits),
                    Noise::Converter => (2048.0 + 300.0 * noise).round() * 3.3 / 4095.0,
                    Noise::Single => f64::from(noise as f32),
                    Noise::Double => noise,
                }));
            }),
        }
    }
}

/// A day of a device, in rows, with the time and the arrival of each.
fn rows(kind: &mut Kind, random: &mut Random, times: &[(Millis, Millis)]) -> Vec<Said> {
    let mut before = times[0].0 - 1000;
    times
        .iter()
        .map(|(time, arrived)| {
            let mut row = Vec::new();
            kind.read(
                *time,
                ((*time - before).max(1) as f64) / 1000.0,
                random,
                &mut row,
            );
            before = *time;
            (*time, *arrived, row)
        })
        .collect()
}

/// Seals as rows come, then merges, as the archive does. Gives the bytes before and after merging.
fn sealed(rows: &[Said]) -> (usize, usize, Vec<Vec<u8>>) {
    let mut blocks = Vec::new();
    let mut open = Open::new();
    for (time, arrived, values) in rows {
        open.push(*time, *arrived, values);
        if open.rows() == SEALED {
            blocks.push(std::mem::take(&mut open).seal());
        }
    }
    if open.rows() > 0 {
        blocks.push(open.seal());
    }
    let parsed: Vec<Block<&[u8]>> = blocks
        .iter()
        .map(|it| Block::parse(&it[..]).unwrap())
        .collect();
    let all: Vec<&dyn Rows> = parsed.iter().map(|it| it as &dyn Rows).collect();
    let merged: Vec<Vec<u8>> = all
        .chunks(MERGED / SEALED)
        .map(|some| merge(some).unwrap())
        .collect();
    let (first, second) = (
        blocks.iter().map(Vec::len).sum(),
        merged.iter().map(Vec::len).sum(),
    );
    (first, second, merged)
}

fn bytes_a_sample(name: &str, kinds: Vec<Kind>, random: &mut Random, times: &[(Millis, Millis)]) {
    let (mut samples, mut first, mut second) = (0, 0, 0);
    for mut kind in kinds {
        let rows = rows(&mut kind, random, times);
        samples += rows.len() * kind.columns();
        let (a, b, _) = sealed(&rows);
        // A frame and an entry of the index for each block.
        first += a + rows.len().div_ceil(SEALED) * 72;
        second += b + rows.len().div_ceil(MERGED) * 72;
    }
    println!(
        "{name}: {:.3} bytes a sample sealed, {:.3} merged ({samples} samples)",
        first as f64 / samples as f64,
        second as f64 / samples as f64
    );
}

fn main() {
    let mut random = Random(7);
    let even: Vec<_> = (0..86_400)
        .map(|at| START + at * 1000)
        .map(|it| (it, it))
        .collect();
    let jitter: Vec<_> = even
        .iter()
        .map(|(it, _)| it + (random.unit() * 100.0 - 50.0) as i64)
        .map(|it| (it, it))
        .collect();
    // The clock of a real program: a millisecond late now and then.
    let real: Vec<_> = even
        .iter()
        .map(|(it, _)| it + 176 + i64::from(random.unit() < 0.2))
        .map(|it| (it, it))
        .collect();
    let kinds = Kind::all(&mut random);
    bytes_a_sample("demo at 1 Hz", kinds, &mut random, &real);
    let kinds = Kind::all(&mut random);
    bytes_a_sample(
        "demo at 1 Hz, times on the second",
        kinds,
        &mut random,
        &even,
    );
    let kinds = Kind::all(&mut random);
    bytes_a_sample("demo at 1 Hz, arrival ±50 ms", kinds, &mut random, &jitter);
    for (name, noise) in [
        ("noise of five digits", Noise::Digits(4)),
        (
            "noise of a 12-bit converter, as 64-bit floats",
            Noise::Converter,
        ),
        ("noise of 32-bit floats, as 64-bit floats", Noise::Single),
        ("noise in all bits of 64-bit floats", Noise::Double),
    ] {
        bytes_a_sample(name, vec![Kind::Noise(noise)], &mut random, &real);
    }
    let house = house(&mut random);
    let kinds = Kind::all(&mut random);
    bytes_a_sample("a day like a real house", kinds, &mut random, &house);
    backlog(&mut random, &house);
    speeds(&mut random, &real);
}

/// Two hours that come when the day is sealed already. They bring a block and rollups of their own, and merging
/// puts each row into its place.
fn backlog(random: &mut Random, times: &[(Millis, Millis)]) {
    let mut kind = Kind::all(random).swap_remove(0);
    let all = rows(&mut kind, random, times);
    let late = all.iter().filter(|row| row.1 == START + DAY - 1).count();
    let (day, late) = all.split_at(all.len() - late);
    let blocks = [seal(day), seal(late)].map(|bytes| Block::parse(bytes).unwrap());
    let begin = Instant::now();
    let merged = Block::parse(merge(&[&blocks[0], &blocks[1]]).unwrap()).unwrap();
    let took = begin.elapsed();
    let whole = opened(&all);
    let mut times = Vec::new();
    let mut sink = |row: Row<'_>| times.push(row.time);
    merged
        .read_rows(Millis::MIN, Millis::MAX, &mut sink)
        .unwrap();
    assert!(times.is_sorted() && times.len() == all.len());
    for level in Level::ALL {
        let of = |rows: &dyn Rows| RollupBlock::parse(rollup(rows, level, None).unwrap()).unwrap();
        let parts = merge_rollups(&[of(&blocks[0]), of(&blocks[1])]).unwrap();
        let (parts, whole) = (RollupBlock::parse(parts).unwrap(), of(&whole));
        let counts = |block: &RollupBlock<Vec<u8>>| {
            let mut counts = Vec::new();
            let mut sink = |it: &Rollup| counts.push((it.start, it.count, it.min, it.max));
            block.read(3, START, START + DAY, &mut sink).unwrap();
            counts
        };
        assert_eq!(counts(&parts), counts(&whole), "{level:?}");
    }
    println!(
        "a backlog of {} rows into a sealed day of {}: merged in {:.2} ms, rollups are those of the whole day",
        late.len(),
        day.len(),
        took.as_secs_f64() * 1e3
    );
}

fn opened(rows: &[Said]) -> Open {
    let mut open = Open::new();
    for (time, arrived, values) in rows {
        open.push(*time, *arrived, values);
    }
    open
}

fn seal(rows: &[Said]) -> Vec<u8> {
    opened(rows).seal()
}

/// Irregular times, gaps of restarts, and a backlog of two hours that comes at the end.
fn house(random: &mut Random) -> Vec<(Millis, Millis)> {
    let mut times = Vec::new();
    let mut late = Vec::new();
    let mut at = START;
    while at < START + DAY {
        at += (1000.0 - 20_000.0 * (1.0 - random.unit()).ln()) as i64;
        if random.unit() < 0.0005 {
            at += 900_000;
        }
        let is_late = (9..11).contains(&((at - START) / 3_600_000));
        if is_late {
            late.push((at, START + DAY - 1));
        } else {
            times.push((at, at + (random.unit() * 40.0) as i64));
        }
    }
    times.extend(late);
    times
}

fn speeds(random: &mut Random, times: &[(Millis, Millis)]) {
    let mut kinds = Kind::all(random);
    let day: Vec<_> = kinds
        .iter_mut()
        .map(|kind| rows(kind, random, times))
        .collect();
    let samples: usize = day.iter().flatten().map(|row| row.2.len()).sum();
    let best = |what: &mut dyn FnMut()| {
        let took = (0..5).map(|_| {
            let begin = Instant::now();
            what();
            begin.elapsed().as_secs_f64()
        });
        took.fold(f64::INFINITY, f64::min)
    };
    let took = best(&mut || {
        for rows in &day {
            let mut open = Open::new();
            for (time, arrived, values) in rows {
                open.push(*time, *arrived, values);
                if open.rows() == SEALED {
                    black_box(std::mem::take(&mut open).seal());
                }
            }
            black_box(open.seal());
        }
    });
    println!(
        "append with sealing: {:.1} million samples a second",
        samples as f64 / took / 1e6
    );
    let took = best(&mut || {
        for rows in &day {
            let mut open = Open::new();
            for (time, arrived, values) in rows {
                open.push(*time, *arrived, values);
                if open.rows() == SEALED {
                    let full = std::mem::take(&mut open);
                    for level in Level::ALL {
                        black_box(rollup(&full, level, None).unwrap());
                    }
                    black_box(full.seal());
                }
            }
            black_box(open.seal());
        }
    });
    println!(
        "the same with rollups: {:.1} million samples a second",
        samples as f64 / took / 1e6
    );

    let halves: Vec<Vec<u8>> = day[0].chunks(SEALED).take(2).map(seal).collect();
    let halves: Vec<Block<&[u8]>> = halves
        .iter()
        .map(|it| Block::parse(&it[..]).unwrap())
        .collect();
    let took = best(&mut || drop(black_box(merge(&[&halves[0], &halves[1]]).unwrap())));
    let samples = 2 * SEALED * day[0][0].2.len();
    println!(
        "merging two blocks: {:.1} million samples a second",
        samples as f64 / took / 1e6
    );
    let few: Vec<Open> = (0..100_000).map(|_| opened(&day[0][..10])).collect();
    println!(
        "100,000 open groups of five metrics, ten rows each: {} bytes a group, {} when empty",
        few.iter().map(Open::memory).sum::<usize>() / few.len(),
        Open::new().memory()
    );
    drop(few);

    let (_, _, blocks) = sealed(&day[0]);
    let took = best(&mut || {
        let mut chart = M4::new(START, START + DAY, 1200, None);
        for bytes in &blocks {
            let block = Block::parse(&bytes[..]).unwrap();
            block
                .read(3, START, START + DAY, &mut |time, value| {
                    chart.sample(time, value.as_number().unwrap());
                })
                .unwrap();
        }
        assert!(black_box(chart.finish()).len() > 1000);
    });
    println!("a day at 1 Hz to 1,200 pixels: {:.2} ms", took * 1e3);

    let level = level_for(START, START + 365 * DAY, 1200).unwrap();
    let days: Vec<Vec<u8>> = (0..365)
        .map(|_| {
            let rollups: Vec<RollupBlock<Vec<u8>>> = blocks
                .iter()
                .map(|bytes| {
                    RollupBlock::parse(
                        rollup(&Block::parse(&bytes[..]).unwrap(), level, None).unwrap(),
                    )
                    .unwrap()
                })
                .collect();
            merge_rollups(&rollups).unwrap()
        })
        .collect();
    let took = best(&mut || {
        let mut chart = M4::new(START, START + 365 * DAY, 1200, Some(level));
        for bytes in &days {
            let block = RollupBlock::parse(&bytes[..]).unwrap();
            block
                .read(3, START, START + 365 * DAY, &mut |it| chart.rollup(it))
                .unwrap();
        }
        black_box(chart.finish());
    });
    println!(
        "a year at 1 Hz to 1,200 pixels, from rollups of {level:?}s: {:.2} ms",
        took * 1e3
    );

    let block = Block::parse(&blocks[2][..]).unwrap();
    let middle = block.span().unwrap().0 + 7_654_321;
    let took = best(&mut || {
        for _ in 0..1000 {
            black_box(block.at_all(&[0, 1, 2, 3, 4], middle).unwrap());
        }
    });
    println!(
        "all values at one time, from a block of 16,384 rows and 5 columns: {:.1} µs",
        took * 1e3
    );
}
