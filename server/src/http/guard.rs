//! Keeps other sites' pages from changing anything.
//!
//! A browser sends a form or a request of any page to any address, and with it what lets people in.
//! So a request that may change something must carry a header of our own. A browser sends such a
//! header to another site only if that site allows it, which this server never does. And it must come
//! from our own page, or from no page at all.
//!
//! **Invariant.** This layer stands before every route of the API. Only GET, HEAD and OPTIONS pass it
//! unasked, and no handler of those changes anything. No route outside of the API takes anything else.

use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::api;

/// The header that a request must carry to change something. Its value is 1.
pub(super) const REQUEST: HeaderName = HeaderName::from_static("beaconry-request");
/// Which site a request comes from, as the browser says. No page can set it.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The host that a proxy was asked for. No page can set it without asking first.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Refuses requests that may change something and may come from another site.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let refusal = match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => None,
        _ => refusal(request.headers()),
    };
    match refusal {
        None => next.run(request).await,
        Some(what) => api::problem(StatusCode::FORBIDDEN, what.to_owned()),
    }
}

fn refusal(headers: &HeaderMap) -> Option<&'static str> {
    if headers.get(REQUEST).is_none_or(|value| value != "1") {
        return Some(
            "a request that may change something needs the header \"beaconry-request: 1\"",
        );
    }
    (!is_of_our_own(headers))
        .then_some("this request comes from a page of another site, which may change nothing here")
}

/// Whether the request comes from our own page, or from no page.
fn is_of_our_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get(SITE) {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    // `scheme://host:port`, or `null`.
    let origin = origin.to_str().unwrap_or_default();
    let Some((_, asking)) = origin.split_once("://") else {
        return false;
    };
    let hosts = [headers.get(FORWARDED_HOST), headers.get(header::HOST)];
    hosts
        .into_iter()
        .flatten()
        .any(|host| host.as_bytes().eq_ignore_ascii_case(asking.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| {
            let value = HeaderValue::from_str(value).unwrap();
            (HeaderName::from_static(name), value)
        });
        lines.collect()
    }

    #[test]
    fn our_own_page_and_programs_may_change_things() {
        let ours = ("beaconry-request", "1");
        let host = ("host", "device.local:8080");
        for more in [
            &[][..],
            &[("origin", "http://device.local:8080")],
            &[("origin", "https://Device.local:8080")],
            &[
                ("sec-fetch-site", "same-origin"),
                ("origin", "https://behind.a.proxy"),
            ],
            &[("sec-fetch-site", "none")],
            &[
                ("x-forwarded-host", "fleet.example"),
                ("origin", "https://fleet.example"),
            ],
        ] {
            let lines = [&[ours, host], more].concat();
            assert_eq!(refusal(&headers(&lines)), None, "{more:?}");
        }
    }

    #[test]
    fn other_sites_may_not() {
        let ours = ("beaconry-request", "1");
        let host = ("host", "device.local:8080");
        for lines in [
            &[host][..],
            &[("beaconry-request", "0"), host],
            &[ours, host, ("origin", "http://evil.example")],
            &[ours, host, ("origin", "http://device.local")],
            &[
                ours,
                host,
                ("origin", "http://device.local:8080.evil.example"),
            ],
            &[
                ours,
                host,
                ("origin", "http://evil.example?://device.local:8080"),
            ],
            &[ours, host, ("origin", "null")],
            &[ours, host, ("origin", "")],
            &[ours, ("origin", "http://device.local:8080")],
            &[ours, host, ("sec-fetch-site", "cross-site")],
            &[
                ours,
                host,
                ("sec-fetch-site", "same-site"),
                ("origin", "http://device.local:8080"),
            ],
        ] {
            assert!(refusal(&headers(lines)).is_some(), "{lines:?}");
        }
    }
}
