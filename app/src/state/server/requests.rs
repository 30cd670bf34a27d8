//! The addresses of the server's API, relative to the document's base.

use std::fmt::Write as _;

use link::http::percent_encode;

/// Who the server is.
pub const SERVER: &str = "api/v1/server";
/// All devices, hidden ones too.
pub const DEVICES: &str = "api/v1/devices?hidden=any";

/// How long an address with ids may be. Servers and proxies refuse longer ones; 8 kB is what most take.
const LONGEST: usize = 6_000;

/// One device, with its commands.
pub fn device(full_id: &str) -> String {
    format!("api/v1/devices/{}", percent_encode(full_id))
}

/// The changes after this cursor.
pub fn changes(after: &str) -> String {
    format!("api/v1/changes?after={}", percent_encode(after))
}

/// Addresses that together ask for these devices.
pub fn some_devices<'a>(full_ids: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for id in full_ids {
        let id = percent_encode(id);
        match addresses.last_mut() {
            Some(last) if last.len() + id.len() < LONGEST => {
                // Writing to a String cannot fail.
                let _ = write!(last, "&id={id}");
            }
            Some(_) | None => addresses.push(format!("{DEVICES}&id={id}")),
        }
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_encoded_and_divided_into_addresses_that_servers_take() {
        assert_eq!(device("a/b c"), "api/v1/devices/a%2Fb%20c");
        let ids: Vec<String> = (0..300).map(|id| format!("site/device-{id}&x")).collect();
        let addresses = some_devices(ids.iter().map(String::as_str));
        assert!(addresses.len() > 1);
        assert!(
            addresses
                .iter()
                .all(|address| address.len() <= LONGEST + 40)
        );
        let all: usize = addresses
            .iter()
            .map(|address| address.matches("&id=").count())
            .sum();
        assert_eq!(all, 300);
        assert!(some_devices([]).is_empty());
    }
}
