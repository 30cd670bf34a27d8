//! Which page is shown: two routes need no router's crate, which would be a sixth of the
//! program.
//!
//! The address is the truth: links write it ([`Navigation::go`]), the browser's own buttons
//! change it, and [`Navigation::route`] follows.

use leptos::prelude::*;
use link::Listener;
use web_sys::Window;

/// The page that an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/`, and the file that stands there.
    Fleet,
    /// `/device/{id}`, the id decoded.
    Device(String),
    /// Anything else.
    Unknown,
}

/// The current route; lies in the context.
#[derive(Copy, Clone)]
pub struct Navigation {
    route: RwSignal<Route>,
    _listener: StoredValue<Option<Listener>, LocalStorage>,
}

impl Route {
    /// The route of an address's path, as it stands there. The server asks the same
    /// (`is_route` in `server/src/http/static_files.rs`): all else it answers with 404.
    pub fn of_path(path: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() || path == "index.html" {
            return Self::Fleet;
        }
        match path.strip_prefix("device/") {
            Some(id) if !id.is_empty() && !id.contains('/') => Self::Device(decode(id)),
            Some(_) | None => Self::Unknown,
        }
    }

    fn current() -> Self {
        let path = web_sys::window().and_then(|window| window.location().pathname().ok());
        Self::of_path(&path.unwrap_or_default())
    }
}

impl Navigation {
    /// Follows the address, and provides itself as a context. Once a page.
    pub fn provide() -> Self {
        let route = RwSignal::new(Route::current());
        let listener = web_sys::window().map(|window| {
            Listener::new(&window, "popstate", move |_| {
                route.set(Route::current());
            })
        });
        let navigation = Self {
            route,
            _listener: StoredValue::new_local(listener),
        };
        provide_context(navigation);
        navigation
    }

    /// The navigation, provided further up.
    ///
    /// # Panics
    /// Outside of the application.
    pub fn expect() -> Self {
        expect_context()
    }

    /// The page to show; set again only when it is another.
    pub fn route(self) -> Memo<Route> {
        Memo::new(move |_| self.route.get())
    }

    /// Goes to an address of this page, taken as it stands, and to its top.
    pub fn go(self, href: &str) {
        if let Some(window) = web_sys::window()
            && push(&window, href)
        {
            self.route.set(Route::current());
            window.scroll_to_with_x_and_y(0.0, 0.0);
        }
    }
}

/// Whether the browser took it; if not (a frame without an origin), it loads the page.
fn push(window: &Window, href: &str) -> bool {
    let history = window.history().ok();
    let pushed = history.is_some_and(|history| {
        let state = wasm_bindgen::JsValue::NULL;
        history.push_state_with_url(&state, "", Some(href)).is_ok()
    });
    if !pushed {
        // Nothing more can be done if this fails too.
        let _ = window.location().set_href(href);
    }
    pushed
}

/// Percent-decodes; what is no proper encoding stays as it is.
fn decode(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = &tail[2..];
            }
            None => decoded.push(*first),
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str) -> Route {
        Route::Device(id.to_owned())
    }

    #[test]
    fn the_routes() {
        for (path, route) in [
            ("/", Route::Fleet),
            ("", Route::Fleet),
            ("/index.html", Route::Fleet),
            ("/device/a", device("a")),
            ("/device/a/", device("a")),
            ("/device/beaconry%2Fpump-02", device("beaconry/pump-02")),
            ("/device/", Route::Unknown),
            ("/device", Route::Unknown),
            ("/device/a/b", Route::Unknown),
            ("/devices", Route::Unknown),
            ("/fleet", Route::Unknown),
            ("/healthzz", Route::Unknown),
        ] {
            assert_eq!(Route::of_path(path), route, "{path}");
        }
    }

    #[test]
    fn an_id_is_decoded_once_and_whatever_it_is() {
        assert_eq!(decode("50%25%3F%23%3Ca%3E"), "50%?#<a>");
        assert_eq!(decode("%C3%A9%F0%9F%9A%80"), "é🚀");
        assert_eq!(decode("a%252Fb"), "a%2Fb");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%zz%4"), "%zz%4");
        assert_eq!(decode("%ff"), "%ff", "no UTF-8");
    }
}
