//! The dashboard's files over HTTP.
//!
//! **Invariant.** The server can send only what is in the table. It looks a path up there as it is,
//! without decoding it, and never gives it to a file system. So no path leads anywhere else.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};

use super::assets::Asset;
use super::negotiate::{self, Coding};
use super::respond;

/// The table of files, by path.
#[derive(Debug)]
pub(crate) struct StaticFiles {
    by_path: HashMap<&'static str, &'static Asset>,
    content_security_policy: HeaderValue,
}

const INDEX: &str = "/index.html";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const CHECK_FIRST: &str = "no-cache";
/// It names no absolute path, because a proxy may serve this server below a path of its own.
const NOTHING_HERE: &str = "There is nothing here. Below the address of the dashboard are healthz, livez, metrics \
     and api/v1/server.\n";

impl StaticFiles {
    /// `script_hashes` are the hashes of the inline scripts in index.html.
    pub(crate) fn new(assets: &'static [Asset], script_hashes: &[&str]) -> Self {
        Self {
            by_path: assets.iter().map(|asset| (asset.path, asset)).collect(),
            content_security_policy: content_security_policy(script_hashes),
        }
    }

    /// Whether this binary was built with the dashboard.
    pub(crate) fn has_dashboard(&self) -> bool {
        self.by_path.contains_key(INDEX)
    }

    /// Answers GET. (For HEAD the router sends the same headers and no body.)
    pub(crate) fn answer(&self, path: &str, headers: &HeaderMap) -> Response {
        if let Some(asset) = self.by_path.get(path) {
            return self.send(asset, headers);
        }
        match self.index(path) {
            Some(index) if is_route(path) => self.send(index, headers),
            None if is_route(path) && !self.has_dashboard() => no_dashboard(),
            Some(_) | None => self.not_found(path, headers),
        }
    }

    /// The page for an address. Its `<base>` leads back from there to the root of the dashboard;
    /// `build.rs` makes one page for each depth. `None`: the address is deeper than all of them.
    fn index(&self, path: &str) -> Option<&'static Asset> {
        let depth = path.matches('/').count().saturating_sub(1);
        let page = match depth {
            0 => self.by_path.get(INDEX),
            _ => self
                .by_path
                .get(&*["../".repeat(depth), "index.html".to_owned()].concat()),
        };
        page.copied()
    }

    fn send(&self, asset: &Asset, request: &HeaderMap) -> Response {
        let coding = coding(asset, request);
        let tag = negotiate::entity_tag(asset.etag, coding);
        let known = text(request, &header::IF_NONE_MATCH)
            .is_some_and(|tags| negotiate::matches(tags, &tag));

        let mut response = if known {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            whole(asset, coding)
        };
        let headers = response.headers_mut();
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(header::ETAG, tag);
        }
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(if asset.immutable {
                FOR_EVER
            } else {
                CHECK_FIRST
            }),
        );
        self.restrict(asset, headers);
        response
    }

    /// Browsers get the dashboard, which says that there is no such page. Programs get plain text,
    /// because they would take the page for what they asked for. The answer is the same if a browser
    /// has the page already (RFC 9110, section 13.2.1), and no cache may keep it for this path.
    fn not_found(&self, path: &str, request: &HeaderMap) -> Response {
        let page = text(request, &header::ACCEPT).is_some_and(negotiate::names_html);
        let index = self.index(path).filter(|_| page);
        let mut response = index.map_or_else(
            || respond::text(StatusCode::NOT_FOUND, NOTHING_HERE),
            |index| {
                let mut response = whole(index, coding(index, request));
                *response.status_mut() = StatusCode::NOT_FOUND;
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
                self.restrict(index, headers);
                response
            },
        );
        response.headers_mut().insert(
            header::VARY,
            HeaderValue::from_static("accept, accept-encoding"),
        );
        response
    }

    /// Says who may load a file, and what it may do.
    fn restrict(&self, asset: &Asset, headers: &mut HeaderMap) {
        if asset.path.starts_with("/embed/") {
            // Other people's pages load these.
            headers.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
            headers.insert(
                respond::RESOURCE_POLICY,
                HeaderValue::from_static("cross-origin"),
            );
        }
        if asset.content_type.starts_with("text/html") {
            headers.insert(
                header::CONTENT_SECURITY_POLICY,
                self.content_security_policy.clone(),
            );
        }
    }
}

fn coding(asset: &Asset, request: &HeaderMap) -> Coding {
    negotiate::coding(text(request, &header::ACCEPT_ENCODING), |coding| {
        body(asset, coding).is_some()
    })
}

fn whole(asset: &Asset, coding: Coding) -> Response {
    let mut response = Response::new(Body::from(Bytes::from_static(
        body(asset, coding).unwrap_or(asset.identity),
    )));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.content_type),
    );
    if coding != Coding::Identity {
        headers.insert(
            header::CONTENT_ENCODING,
            HeaderValue::from_static(coding.name()),
        );
    }
    response
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn body(asset: &Asset, coding: Coding) -> Option<&'static [u8]> {
    match coding {
        Coding::Brotli => asset.brotli,
        Coding::Gzip => asset.gzip,
        Coding::Identity => Some(asset.identity),
    }
}

/// Whether the dashboard has a page for this path. `Route::of_path` in `app/src/route.rs`, which
/// decides in the browser, must agree. A device's id may have slashes.
fn is_route(path: &str) -> bool {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let device = path.strip_prefix("device/");
    path.is_empty() || device.is_some_and(|id| !id.is_empty())
}

fn no_dashboard() -> Response {
    respond::text(
        StatusCode::SERVICE_UNAVAILABLE,
        "This beaconry was built without its dashboard.\n\n\
         Run `cargo xtask serve`: it builds the dashboard, puts it into the binary and starts it.\n\
         The broker itself works: MQTT over WebSocket is at /mqtt.\n",
    )
}

/// What the page may do: run its own scripts and WebAssembly, use its own styles, pictures and
/// fonts, and connect to brokers anywhere (`?broker=wss://…`). It may do nothing else, and no
/// other page may frame it. `'self'` is an origin, so the policy works below any path of a proxy.
fn content_security_policy(script_hashes: &[&str]) -> HeaderValue {
    let mut scripts = String::from("'self' 'wasm-unsafe-eval'");
    for hash in script_hashes {
        scripts.push_str(" '");
        scripts.push_str(hash.trim_matches('\''));
        scripts.push('\'');
    }
    let policy = format!(
        "default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' data:; font-src 'self'; \
         connect-src 'self' ws: wss:; manifest-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    // Hashes are base64, so they are always valid in a header.
    HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    static FIXTURE: &[Asset] = &[
        Asset {
            path: "/index.html",
            content_type: "text/html; charset=utf-8",
            etag: "\"i1\"",
            immutable: false,
            identity: b"<!doctype html>",
            brotli: Some(b"brotli"),
            gzip: Some(b"gzip"),
        },
        Asset {
            path: "../index.html",
            content_type: "text/html; charset=utf-8",
            etag: "\"i2\"",
            immutable: false,
            identity: b"<!doctype html><base>",
            brotli: None,
            gzip: None,
        },
        Asset {
            path: "../../index.html",
            content_type: "text/html; charset=utf-8",
            etag: "\"i3\"",
            immutable: false,
            identity: b"<!doctype html><base><base>",
            brotli: None,
            gzip: None,
        },
        Asset {
            path: "/app-0123.wasm",
            content_type: "application/wasm",
            etag: "\"w1\"",
            immutable: true,
            identity: b"\0asm",
            brotli: Some(b"wasm-br"),
            gzip: None,
        },
        Asset {
            path: "/embed/beaconry.js",
            content_type: "text/javascript; charset=utf-8",
            etag: "\"e1\"",
            immutable: false,
            identity: b"export {}",
            brotli: None,
            gzip: None,
        },
    ];

    fn files() -> StaticFiles {
        StaticFiles::new(FIXTURE, &["sha256-AbC="])
    }

    fn get(path: &str, headers: &[(HeaderName, &'static str)]) -> Response {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        files().answer(path, &headers)
    }

    fn header<'a>(response: &'a Response, name: &str) -> &'a str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    fn size(response: &Response) -> u64 {
        use axum::body::HttpBody;
        response.body().size_hint().exact().unwrap()
    }

    #[test]
    fn hashed_names_are_kept_for_ever_and_the_index_never() {
        let wasm = get("/app-0123.wasm", &[(header::ACCEPT_ENCODING, "gzip, br")]);
        assert_eq!(wasm.status(), StatusCode::OK);
        assert_eq!(header(&wasm, "content-type"), "application/wasm");
        assert_eq!(header(&wasm, "content-encoding"), "br");
        assert_eq!(header(&wasm, "vary"), "accept-encoding");
        assert_eq!(
            header(&wasm, "cache-control"),
            "public, max-age=31536000, immutable"
        );
        assert_eq!(size(&wasm), 7);

        let index = get("/", &[]);
        assert_eq!(header(&index, "cache-control"), "no-cache");
        assert_eq!(header(&index, "content-encoding"), "");
        assert_eq!(size(&index), 15);
    }

    #[test]
    fn the_page_runs_under_a_strict_policy() {
        let policy = get("/", &[]).headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with(
                "default-src 'none'; script-src 'self' 'wasm-unsafe-eval' 'sha256-AbC=';"
            ),
            "{policy}"
        );
        assert!(
            !policy.contains("unsafe-inline") && !policy.contains("unsafe-eval'  "),
            "{policy}"
        );
        assert!(policy.contains("frame-ancestors 'none'"));
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let first = get("/index.html", &[(header::ACCEPT_ENCODING, "br")]);
        assert_eq!(header(&first, "etag"), "\"i1-br\"");
        let again = get(
            "/index.html",
            &[
                (header::ACCEPT_ENCODING, "br"),
                (header::IF_NONE_MATCH, "\"i1-br\""),
            ],
        );
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(size(&again), 0);
        assert_eq!(header(&again, "cache-control"), "no-cache");
        let other_coding = get("/index.html", &[(header::IF_NONE_MATCH, "\"i1-br\"")]);
        assert_eq!(other_coding.status(), StatusCode::OK);
    }

    #[test]
    fn routes_give_the_app_and_all_else_404() {
        // Each page has the base of its depth.
        for (page, size_of_it) in [
            ("/", 15),
            ("/index.html", 15),
            ("/device/weather-01", 21),
            ("/device/weather-01/", 27),
            ("/device/a.b.c", 21),
            ("/device/beaconry%2Fpump-02", 21),
            ("/device/beaconry/pump-02", 27),
        ] {
            let response = get(page, &[]);
            assert_eq!(
                (response.status(), size(&response)),
                (StatusCode::OK, size_of_it),
                "{page}"
            );
        }
        for missing in [
            "/healthzz",
            "/healthz/",
            "/health",
            "/status",
            "/metric",
            "/api/x",
            "/fleet",
            "/device",
            "/device/",
            "/devices",
            "/app-9999.js",
            "/favicon.ico",
            "/assets/x",
            "/embed/other",
            "/../etc/passwd.txt",
            "/%2e%2e/%2e%2e/x.html",
        ] {
            for headers in [&[][..], &[(header::ACCEPT, "*/*")]] {
                let response = get(missing, headers);
                assert_eq!(response.status(), StatusCode::NOT_FOUND, "{missing}");
                assert_eq!(
                    header(&response, "content-type"),
                    "text/plain; charset=utf-8",
                    "{missing}"
                );
            }
        }
    }

    /// No page was made for that depth, which does not mean that there is no dashboard.
    #[test]
    fn an_address_deeper_than_any_page_is_not_found() {
        let html = [(header::ACCEPT, "text/html")];
        for headers in [&[][..], &html] {
            for deep in ["/device/a/b/c", "/device/a/b/c/d/e/f/g/h/i/", "/x/y/z/a"] {
                let response = get(deep, headers);
                assert_eq!(response.status(), StatusCode::NOT_FOUND, "{deep}");
                assert_eq!(
                    header(&response, "content-type"),
                    "text/plain; charset=utf-8",
                    "{deep}"
                );
            }
        }
    }

    #[test]
    fn people_see_that_there_is_no_such_page() {
        let accept = (
            header::ACCEPT,
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        );
        let has_it = (header::IF_NONE_MATCH, "\"i1-gz\"");
        let gzip = (header::ACCEPT_ENCODING, "gzip");
        let response = get("/healthzz", &[accept, gzip, has_it]);
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(
            header(&response, "content-type"),
            "text/html; charset=utf-8"
        );
        assert_eq!(header(&response, "content-encoding"), "gzip");
        assert_eq!(size(&response), 4);
        assert_eq!(header(&response, "cache-control"), "no-store");
        assert_eq!(header(&response, "etag"), "");
        assert_eq!(header(&response, "vary"), "accept, accept-encoding");
        assert!(header(&response, "content-security-policy").starts_with("default-src 'none'"));
    }

    #[test]
    fn only_embedded_scripts_are_for_other_origins() {
        let script = get(
            "/embed/beaconry.js",
            &[(header::ACCEPT_ENCODING, "br, gzip")],
        );
        assert_eq!(header(&script, "access-control-allow-origin"), "*");
        assert_eq!(
            header(&script, "cross-origin-resource-policy"),
            "cross-origin"
        );
        assert_eq!(header(&script, "content-encoding"), "");
        let wasm = get("/app-0123.wasm", &[]);
        assert_eq!(header(&wasm, "access-control-allow-origin"), "");
        // The router adds "same-origin" where there is none.
        assert_eq!(header(&wasm, "cross-origin-resource-policy"), "");
    }

    #[test]
    fn without_a_dashboard_the_page_says_what_to_do() {
        let response = StaticFiles::new(&[], &[]).answer("/", &HeaderMap::new());
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            header(&response, "content-type"),
            "text/plain; charset=utf-8"
        );
        let accept =
            HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("text/html"))]);
        let missing = StaticFiles::new(&[], &[]).answer("/healthzz", &accept);
        assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    }
}
