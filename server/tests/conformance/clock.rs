//! Waits for time to pass at the server. Nothing here sleeps: the server tells when it is over.

use crate::raw::{Connect, SESSION_EXPIRY, V5, WILL_DELAY, Will, four};
use crate::wire::Site;

/// Returns when this many seconds have passed by the server's own clock: when it publishes a will
/// with that delay.
pub(crate) fn seconds(site: &Site, delay: u32) {
    let mut watcher = site.connected(V5, "clock watcher");
    watcher.subscribe("clock", 0);
    let clock = Connect {
        properties: vec![four(SESSION_EXPIRY, 3_600)],
        will: Some(Will {
            properties: vec![four(WILL_DELAY, delay)],
            ..Will::new("clock", "now")
        }),
        ..Connect::new(V5, "clock")
    };
    site.connect(&clock).0.cut();
    watcher.message("clock", "now");
}
