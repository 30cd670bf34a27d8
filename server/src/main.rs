//! Every device, live, from one binary.

fn main() {}
