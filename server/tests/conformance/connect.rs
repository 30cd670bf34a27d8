//! Section 3.1: CONNECT.

use crate::raw::{Connect, VERSIONS};
use crate::wire::on_each_transport;

#[test]
fn mqtt_3_1_0_2_a_second_connect_ends_the_connection() {
    on_each_transport(|site| {
        for version in VERSIONS {
            let mut wire = site.connected(version, "twice");
            wire.send(&Connect::new(version, "twice").bytes());
            wire.expect_disconnect(0x82);
        }
    });
}
