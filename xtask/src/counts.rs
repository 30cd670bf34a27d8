//! How many tests ran, read from what the test runners print.

use std::ops::AddAssign;

/// Tests that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Those that passed.
    pub(crate) passed: u64,
    /// Tests that failed, and programs that ended badly without naming a test.
    pub(crate) failed: u64,
    /// Tests that their source marks as not to be run.
    pub(crate) skipped: u64,
}

impl Counts {
    /// A check that is not a test. It counts only when it fails.
    pub(crate) const BROKEN: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };

    /// Sums the results of Rust's and wasm-bindgen's test harness, one for each test binary: `test
    /// result: ok. 12 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn of_rust(lines: &[String]) -> Self {
        let mut sum = Self::default();
        for line in lines {
            let Some((_, result)) = line.split_once("test result: ") else {
                continue;
            };
            for part in result.split([';', '.']) {
                match part.trim().split_once(' ') {
                    Some((count, "passed")) => sum.passed += number(count),
                    Some((count, "failed")) => sum.failed += number(count),
                    Some((count, "ignored")) => sum.skipped += number(count),
                    _ => {}
                }
            }
        }
        sum
    }

    /// Sums what Node.js's runner prints at its end: `ℹ pass 12`, or `# pass 12` in TAP.
    pub(crate) fn of_node(lines: &[String]) -> Self {
        let mut sum = Self::default();
        for line in lines {
            let Some(rest) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# ")) else {
                continue;
            };
            match rest.split_once(' ') {
                Some(("pass", count)) => sum.passed += number(count),
                Some(("fail" | "cancelled", count)) => sum.failed += number(count),
                Some(("skipped" | "todo", count)) => sum.skipped += number(count),
                _ => {}
            }
        }
        sum
    }

    /// A run that failed counts a failure even if its output shows none. A run that should hold
    /// tests and holds none is broken.
    pub(crate) fn checked(mut self, success: bool) -> Self {
        if self.failed == 0 && (!success || self.passed == 0) {
            self.failed = 1;
        }
        self
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn results_of_several_binaries_are_summed() {
        let output = lines(
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; \
             finished in 0.00s\n\
             test a ... ok\n\
             test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        );
        assert_eq!(
            Counts::of_rust(&output),
            Counts {
                passed: 15,
                failed: 2,
                skipped: 1
            }
        );
    }

    #[test]
    fn both_forms_of_nodes_summary_are_read() {
        let expected = Counts {
            passed: 4,
            failed: 3,
            skipped: 1,
        };
        let spec = lines("ℹ tests 8\nℹ pass 4\nℹ fail 2\nℹ cancelled 1\nℹ skipped 1\nℹ todo 0");
        let tap = lines("# tests 8\n# pass 4\n# fail 2\n# cancelled 1\n# skipped 1\n# todo 0");
        assert_eq!(Counts::of_node(&spec), expected);
        assert_eq!(Counts::of_node(&tap), expected);
    }

    #[test]
    fn a_crash_or_an_empty_run_counts_as_a_failure() {
        let good = Counts {
            passed: 3,
            failed: 0,
            skipped: 0,
        };
        assert_eq!(good.checked(true), good);
        assert_eq!(good.checked(false).failed, 1);
        assert_eq!(Counts::default().checked(true).failed, 1);
        assert_eq!(Counts { failed: 2, ..good }.checked(false).failed, 2);
    }
}
