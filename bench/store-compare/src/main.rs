//! What durability costs: Beaconry's journal beside fjall 3, with the same records.
//!
//! ```text
//! cargo run --release --manifest-path bench/store-compare/Cargo.toml --target-dir target/store-compare
//! ```
//!
//! One writer gives records in groups and waits until each group is on the disk, as the broker does
//! with what it acknowledges. The stores take turns, each time in a process of its own, so that
//! threads that go on in the background count too. An argument names the folder to write to; its
//! disk decides the time on the clock.
//!
//! Only this program is built with fjall. It stands outside the workspace, and CI only checks that
//! it compiles.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use broker::{BrokerOptions, Lsn, journal};
use fjall::{Database, KeyspaceCreateOptions, PersistMode};
use rustix::time::{ClockId, clock_gettime};

const RECORDS: u64 = 400_000;
const GROUP: u64 = 200;
/// Size of each record in bytes.
const RECORD: usize = 100;
const ROUNDS: usize = 3;

const STORES: [&str; 2] = ["journal", "fjall"];

/// The costs of one run.
#[derive(Copy, Clone, Debug)]
struct Cost {
    cpu: f64,
    wall: f64,
    /// How much the system was given to write, in MB.
    written: f64,
    /// How much the folder takes in the end, in MB.
    kept: f64,
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next()) {
        (Some("--measure"), Some(store)) => {
            let folder = arguments.next().context("which folder?")?;
            measure(&store, Path::new(&folder))
        }
        (Some(flag), _) if flag.starts_with('-') => bail!("give a folder to write to, or nothing"),
        (folder, _) => compare(Path::new(folder.unwrap_or("target/store-compare-data"))),
    }
}

/// Runs all stores in turns, and prints the medians.
fn compare(folder: &Path) -> Result<()> {
    println!(
        "{RECORDS} records of {RECORD} bytes in groups of {GROUP}, each on the disk before the \
         next; {ROUNDS} rounds"
    );
    let mut costs = [Vec::new(), Vec::new()];
    for round in 1..=ROUNDS {
        for (store, costs) in STORES.iter().zip(&mut costs) {
            let cost = in_a_process(store, &folder.join(store))?;
            eprintln!("round {round}: {store:8} {cost:?}");
            costs.push(cost);
        }
    }
    println!(
        "| store | CPU s a million | s on the clock a million | MB written a million | MB in the end |"
    );
    println!("| --- | --- | --- | --- | --- |");
    for (store, costs) in STORES.iter().zip(&costs) {
        let middle = |value: fn(&Cost) -> f64| {
            let mut values: Vec<_> = costs.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let millions = RECORDS as f64 / 1e6;
        println!(
            "| {store} | {:.2} | {:.1} | {:.0} | {:.0} |",
            middle(|it| it.cpu) / millions,
            middle(|it| it.wall) / millions,
            middle(|it| it.written) / millions,
            middle(|it| it.kept),
        );
    }
    Ok(())
}

fn in_a_process(store: &str, folder: &Path) -> Result<Cost> {
    clear(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let output = Command::new(std::env::current_exe()?)
        .args(["--measure", store])
        .arg(folder)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    if !output.status.success() {
        bail!("{store} failed ({})", output.status);
    }
    let text = String::from_utf8(output.stdout)?;
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    let kept = size(folder)? as f64 / 1e6;
    clear(folder)?;
    match numbers?[..] {
        [cpu, wall, written] => Ok(Cost {
            cpu,
            wall,
            written,
            kept,
        }),
        _ => bail!("{store} said {text:?}"),
    }
}

/// Runs in the process of one run: writes, and prints the costs.
fn measure(store: &str, folder: &Path) -> Result<()> {
    let (began, cpu) = (Instant::now(), cpu());
    match store {
        "journal" => write_journal(folder)?,
        "fjall" => write_fjall(folder)?,
        other => bail!("there is no store {other}"),
    }
    let wall = began.elapsed().as_secs_f64();
    let cpu = (self::cpu() - cpu).as_secs_f64();
    println!("{cpu} {wall} {}", written()? as f64 / 1e6);
    Ok(())
}

fn record(number: u64) -> [u8; RECORD] {
    let mut record = [b'x'; RECORD];
    record[..8].copy_from_slice(&number.to_be_bytes());
    // The bytes differ everywhere. A database might need less space for equal ones.
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for byte in &mut record[8..] {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
    record
}

fn write_journal(folder: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let settings = store::Settings {
        folder: PathBuf::from(folder),
        sizes: store::Sizes {
            segment: 64 << 20,
            most: u64::MAX,
            waiting: 128 << 20,
        },
        salvage: false,
    };
    let opened = store::open(&settings, &BrokerOptions::default(), mqtt::Instant::ZERO)?;
    let (store, mut failed) = (opened.store, opened.failed);
    for first in (0..RECORDS).step_by(GROUP as usize) {
        let last = RECORDS.min(first + GROUP);
        store.append(|out| {
            for number in first..last {
                let record = record(number);
                journal::write_frame(out, Lsn(number + 1), |out| out.extend_from_slice(&record));
            }
        });
        runtime.block_on(async {
            while store.durable() < Lsn(last) {
                tokio::select! {
                    () = store.news() => {}
                    error = &mut failed => {
                        return Err(error.map_or_else(Into::into, Into::into));
                    }
                }
            }
            anyhow::Ok(())
        })?;
    }
    store.close();
    Ok(())
}

fn write_fjall(folder: &Path) -> Result<()> {
    let database = Database::builder(folder).open()?;
    let records = database.keyspace("records", KeyspaceCreateOptions::default)?;
    for first in (0..RECORDS).step_by(GROUP as usize) {
        let mut batch = database.batch().durability(Some(PersistMode::SyncData));
        for number in first..RECORDS.min(first + GROUP) {
            batch.insert(&records, number.to_be_bytes(), record(number));
        }
        batch.commit()?;
    }
    // What the store still does in the background is part of its cost.
    drop(records);
    drop(database);
    Ok(())
}

/// CPU time of this process, all threads.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// How many bytes this process has given the disk to write.
fn written() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/io")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    Ok(line
        .context("/proc does not tell how much was written")?
        .parse()?)
}

fn size(folder: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        total += if metadata.is_dir() {
            size(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(total)
}

fn clear(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
