//! The Beaconry dashboard.

fn main() {}
