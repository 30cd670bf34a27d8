//! Addresses of device pages.
//!
//! They are relative to the document's `<base>`, so that they work under any path of a proxy.
//!
//! A device's id is any text: it may hold `/`, `%`, `?`, emoji. In the address it is
//! percent-encoded, except for the slashes between its levels. Proxies that decode a path would
//! turn encoded slashes into slashes anyway. The address's query (`?broker=…`) goes along, so that
//! a reloaded device page talks to the same broker.

use leptos::ev::MouseEvent;

use crate::route::Navigation;

/// Where this device's page is.
pub fn device_href(full_id: &str) -> String {
    format!("device/{}{}", encode(full_id), query())
}

/// Where the fleet's page is.
pub fn fleet_href() -> String {
    format!("./{}", query())
}

/// What follows the path in this page's address: empty, or `?…`.
pub fn query() -> String {
    let location = web_sys::window().map(|window| window.location());
    location
        .and_then(|location| location.search().ok())
        .unwrap_or_default()
}

/// A click handler that goes to the address without loading the page anew. It leaves other clicks,
/// such as those for a new tab, to the browser.
pub fn follow(href: impl Fn() -> String + 'static) -> impl Fn(MouseEvent) {
    let navigation = Navigation::expect();
    move |event: MouseEvent| {
        let plain = event.button() == 0
            && !event.meta_key()
            && !event.ctrl_key()
            && !event.shift_key()
            && !event.alt_key();
        if plain && !event.default_prevented() {
            event.prevent_default();
            navigation.go(&href());
        }
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters and the slashes between levels.
fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    // Browsers and proxies would drop such a level, or take it for the level above.
    let is_lost = |level: &str| matches!(level, "" | "." | "..");
    let keeps_slashes = !text.split('/').any(is_lost);
    let mut encoded = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_plain || (byte == b'/' && keeps_slashes) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn an_id_is_the_rest_of_a_path_whatever_it_is() {
        assert_eq!(encode("beaconry/pump-02"), "beaconry/pump-02");
        assert_eq!(encode("/a"), "%2Fa");
        assert_eq!(encode("a//b/"), "a%2F%2Fb%2F");
        assert_eq!(encode("a/../b"), "a%2F..%2Fb");
        assert_eq!(encode("50%?#<a>"), "50%25%3F%23%3Ca%3E");
        assert_eq!(encode("é🚀"), "%C3%A9%F0%9F%9A%80");
        assert_eq!(encode("a%2Fb"), "a%252Fb");
    }
}
