//! What an idle client costs in the broker's tables.

use core::mem::size_of;

use mqtt::Instant;

use crate::delivery::{Agreement, Connection};
use crate::session::Session;
use crate::types::Timer;

/// In bytes, with pointers of eight bytes. What most clients do not have is in a box or in a
/// [`ThinVec`](crate::types::ThinVec).
#[test]
#[cfg(target_pointer_width = "64")]
fn the_cost_of_a_client_does_not_grow_unnoticed() {
    assert!(size_of::<Session>() <= 184);
    assert!(size_of::<Connection>() <= 224);
    assert!(size_of::<Agreement>() <= 56);
    assert!(size_of::<(Instant, Timer)>() <= 16);
}
