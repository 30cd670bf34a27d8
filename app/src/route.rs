//! Which page is shown. There are two routes: a router's crate would be a sixth of the program.
//!
//! The address is the truth: links write it ([`Navigation::go`]), the browser's own buttons
//! change it, and [`Navigation::route`] follows.
//!
//! The dashboard may stand under any path, behind a proxy that strips it. The document's `<base>`
//! says where the dashboard begins: links are relative to it, and so are the paths here.

use gloo_events::EventListener;
use leptos::prelude::*;
use web_sys::Window;

/// The page that an address asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// The address is the base itself, or the file that stands there.
    Fleet,
    /// `device/{id}`, the id decoded. It may have slashes.
    Device(String),
    /// Anything else.
    Unknown,
}

/// The current route, which components find in the context.
#[derive(Copy, Clone)]
pub struct Navigation {
    route: RwSignal<Route>,
    /// Where the reader was on the fleet's page.
    place: StoredValue<Option<Place>>,
    _listener: StoredValue<Option<EventListener>, LocalStorage>,
}

/// Where the reader was on the fleet's page.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The full id of the device whose page was opened from there.
    pub device: String,
    /// How far the page was scrolled, in CSS pixels.
    pub top: f64,
}

impl Route {
    /// The route of an address's path, as it stands behind the base. The server decides by the same
    /// rule (`is_route` in `server/src/http/static_files.rs`), and answers all other paths with
    /// 404.
    pub fn of_path(path: &str) -> Self {
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() || path == "index.html" {
            return Self::Fleet;
        }
        match path.strip_prefix("device/") {
            Some(id) if !id.is_empty() => Self::Device(decode(id)),
            Some(_) | None => Self::Unknown,
        }
    }

    fn current() -> Self {
        let window = web_sys::window();
        let path = window
            .as_ref()
            .and_then(|window| window.location().pathname().ok());
        let base = window
            .and_then(|window| window.document())
            .and_then(|document| document.base_uri().ok().flatten());
        let (path, base) = (path.unwrap_or_default(), base.unwrap_or_default());
        // A page without a base of its own is its own base.
        let behind = path.strip_prefix(folder(&base)).unwrap_or_default();
        Self::of_path(behind)
    }
}

impl Navigation {
    /// Follows the address, and provides itself as a context. Call this once for each page.
    pub fn provide() -> Self {
        let route = RwSignal::new(Route::current());
        let listener = web_sys::window().map(|window| {
            EventListener::new(&window, "popstate", move |_| {
                route.set(Route::current());
            })
        });
        let navigation = Self {
            route,
            place: StoredValue::new(None),
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

    /// The page to show. It is set only when it changes.
    pub fn route(self) -> Memo<Route> {
        Memo::new(move |_| self.route.get())
    }

    /// Notes where the reader is on the fleet's page, before following the link to a device.
    pub fn leave_place(self, device: String) {
        let top = web_sys::window().and_then(|window| window.scroll_y().ok());
        let place = Place {
            device,
            top: top.unwrap_or(0.0),
        };
        self.place.set_value(Some(place));
    }

    /// Where the reader was, once.
    pub fn take_place(self) -> Option<Place> {
        self.place.try_update_value(Option::take).flatten()
    }

    /// Goes to an address, which may be relative to the base, and scrolls to the top.
    pub fn go(self, href: &str) {
        if let Some(window) = web_sys::window()
            && push(&window, href)
        {
            self.route.set(Route::current());
            window.scroll_to_with_x_and_y(0.0, 0.0);
        }
    }
}

/// Writes an address into the history. Returns whether the browser took it. If it did not (in a
/// frame without an origin), this loads the page.
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

/// The path of a URL up to its last slash: `/some/prefix/`.
fn folder(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let path = rest[..end].find('/').map_or("/", |start| &rest[start..end]);
    path.rfind('/').map_or("/", |last| &path[..=last])
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
            ("", Route::Fleet),
            ("index.html", Route::Fleet),
            ("device/a", device("a")),
            ("device/a/", device("a")),
            ("device/beaconry/pump-02", device("beaconry/pump-02")),
            ("device/beaconry%2Fpump-02", device("beaconry/pump-02")),
            ("device/", Route::Unknown),
            ("device", Route::Unknown),
            ("devices", Route::Unknown),
            ("fleet", Route::Unknown),
            ("healthzz", Route::Unknown),
        ] {
            assert_eq!(Route::of_path(path), route, "{path}");
        }
    }

    #[test]
    fn the_base_is_the_folder_of_its_url() {
        for (url, base) in [
            ("http://h:1/", "/"),
            ("http://h:1", "/"),
            ("https://h/some/prefix/", "/some/prefix/"),
            ("https://h/some/page?x=/y/#/z/", "/some/"),
            ("https://h?x=/y/", "/"),
            ("about:blank", "/"),
        ] {
            assert_eq!(folder(url), base, "{url}");
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
