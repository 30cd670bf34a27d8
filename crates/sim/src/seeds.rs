//! Runs a scenario over many seeds, and says how to repeat the one that failed.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs `scenario` with the seeds from 0 on: `SEEDS` of them, or `default`. If `SEED` is set, runs
/// only that one.
///
/// If one fails, a line on stderr has the command that repeats just that seed. `test` is the
/// argument of `--test`, `name` is the test's own name.
///
/// # Panics
/// Panics when `scenario` does.
pub fn for_each(test: &str, name: &str, default: u64, scenario: impl Fn(u64)) {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..number("SEEDS").unwrap_or(default),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| scenario(seed))) {
            eprintln!(
                "failed; repeat it with: SEED={seed} cargo test -p beaconry-sim --test {test} {name} -- --exact --nocapture"
            );
            resume_unwind(panic);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
