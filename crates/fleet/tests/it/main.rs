//! The fleet from outside, in simulated time.

// The lint's own exception covers functions marked as tests, but not what they call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod adopt;
mod commands;
mod day;
mod forget;
mod four_topics;
mod groups;
mod hostile;
mod ibm;
mod order;
mod plain;
mod presence;
mod properties;
mod quantities;
mod resync;
mod rewind;
mod sim;
mod spoiled;
mod ties;
mod topics;

/// A fleet can live in a store that is shared between threads.
#[test]
fn a_fleet_can_be_shared() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&fleet::Fleet::new(fleet::FleetOptions::default()));
}
