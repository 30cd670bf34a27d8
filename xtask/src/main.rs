//! Builds, runs and tests Beaconry.

fn main() {}
