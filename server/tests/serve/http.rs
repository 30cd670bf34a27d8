//! The web server. Unit tests with their own files test how it serves files: this binary may have
//! been built with or without the dashboard.

use std::io::{Read, Write};
use std::time::{Duration, SystemTime};

use api::{MqttInfo, Problem, ServerInfo};
use mqtt::ProtocolVersion;
use testbed::Answer;

use super::support::{Peer, Server, tcp};

/// What a request must carry to change something.
const CHANGES: &str = "beaconry-request: 1\r\n";

fn request(server: &Server, what: &str) -> Answer {
    testbed::request(server.http, what)
}

/// One header of an answer; empty if it is not there.
fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    let lines = answer.head.lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    values.next().unwrap_or_default()
}

#[test]
fn the_dashboard_or_the_way_to_get_it() {
    let server = Server::start();
    let page = request(&server, "GET /");
    match page.status {
        200 => {
            assert!(page.head.contains("content-type: text/html; charset=utf-8"));
            assert!(
                page.head
                    .contains("content-security-policy: default-src 'none'")
            );
            assert!(page.head.contains("cache-control: no-cache"));
        }
        503 => assert!(String::from_utf8_lossy(&page.body).contains("cargo xtask serve")),
        other => panic!("{other}"),
    }
    assert!(page.head.contains("x-content-type-options: nosniff"));
    let route = request(&server, "GET /device/weather-01");
    // Only the base differs, by the depth of the address.
    let same = |body: &[u8]| {
        let text = String::from_utf8_lossy(body).replace('"', "");
        text.replace("base href=../>", "base href=./>")
    };
    assert_eq!(route.status, page.status);
    assert_eq!(same(&route.body), same(&page.body));

    // If a browser asks for a wrong address, the page says so, where there is one.
    let accept = "accept: text/html,*/*;q=0.8\r\n";
    let missing = testbed::request_with(server.http, "GET /healthzz", accept);
    assert_eq!(missing.status, 404);
    if page.status == 200 {
        assert!(
            missing
                .head
                .contains("content-type: text/html; charset=utf-8")
        );
        assert_eq!(missing.body, page.body);
    }
}

#[test]
fn what_is_not_there_is_not_found() {
    let server = Server::start();
    for path in [
        "/healthzz",
        "/health",
        "/status",
        "/metric",
        "/api/x",
        "/device/",
        "/missing.js",
        "/assets/x",
        "/embed/x",
        "/../../etc/passwd.conf",
        "/%2e%2e/x.html",
    ] {
        let answer = request(&server, &format!("GET {path}"));
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.head.contains("content-type: text/plain"), "{path}");
    }
}

#[test]
fn each_path_says_which_methods_it_answers() {
    let server = Server::start();
    for path in [
        "/",
        "/device/x",
        "/missing",
        "/healthz",
        "/livez",
        "/metrics",
        "/api/v1/server",
    ] {
        for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
            let what = format!("{method} {path}");
            let answer = testbed::request_with(server.http, &what, CHANGES);
            assert_eq!(answer.status, 405, "{what}");
            let allow = header(&answer, "allow").replace(' ', "");
            assert_eq!(allow, "get,head", "{method} {path}");
        }
    }
    // A handshake, whatever the method, is told what is wrong with it.
    let answer = testbed::request_with(server.http, "POST /mqtt", CHANGES);
    assert_eq!(answer.status, 426);
}

/// What keeps a browser from misreading an answer is on each: files, words, errors, the API.
#[test]
fn every_answer_is_hardened() {
    let server = Server::start();
    for what in [
        "GET /",
        "HEAD /",
        "POST /",
        "GET /missing",
        "GET /mqtt",
        "GET /healthz",
        "GET /metrics",
        "GET /api/v1/server",
        "GET /api/v1/missing",
        "GET /api/v1/devices",
        "DELETE /api/v1/devices/x",
    ] {
        let answer = request(&server, what);
        assert!(
            ["no-store", "no-cache"].contains(&header(&answer, "cache-control")),
            "{what}: {}",
            answer.head
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(header(&answer, name), value, "{what}");
        }
        // Behind a proxy all paths may stand below another one: no answer leads to the root.
        assert!(
            !answer.head.contains("location:"),
            "{what}: {}",
            answer.head
        );
        assert!(!answer.head.contains("link:"), "{what}: {}", answer.head);
    }
}

#[test]
fn the_api_tells_of_the_server() {
    let server = Server::start_with(&["--max-packet-size", "64KiB"]);
    let _client = Peer::connected(&server, ProtocolVersion::V5, "one");
    let answer = request(&server, "GET /api/v1/server");
    assert_eq!(answer.status, 200);
    assert_eq!(header(&answer, "content-type"), "application/json");
    assert_eq!(header(&answer, "cache-control"), "no-store");
    let info: ServerInfo = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert!(!info.stores);
    assert_eq!(
        info.mqtt,
        MqttInfo {
            port: server.mqtt.port(),
            max_packet_size: 64 * 1024,
            clients: 1,
        }
    );
    let started = Duration::from_millis(info.started_at_ms);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    assert!(now.unwrap().abs_diff(started) < Duration::from_mins(10));
}

#[test]
fn errors_of_the_api_are_problems() {
    let server = Server::start();
    let long = "content-length: 65537\r\n";
    for (what, headers, status) in [
        ("GET /api/v1", "", 404),
        ("GET /api/v1/missing", "accept: text/html\r\n", 404),
        ("POST /api/v1/server", CHANGES, 405),
        ("POST /api/v1/server", "", 403),
        ("GET /api/v1/devices?limit=none", "", 400),
        ("GET /api/v1/devices/nobody", "", 404),
        ("GET /api/v1/changes?after=now", "", 400),
        ("GET /api/v1/server", long, 413),
    ] {
        let answer = testbed::request_with(server.http, what, headers);
        assert_eq!(answer.status, status, "{what}");
        assert_eq!(
            header(&answer, "content-type"),
            "application/problem+json",
            "{what}"
        );
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem.status, status, "{what}");
        assert!(
            !problem.title.is_empty() && !problem.detail.is_empty(),
            "{what}"
        );
    }
}

#[test]
fn head_has_no_body() {
    let server = Server::start();
    let (get, head) = (request(&server, "GET /"), request(&server, "HEAD /"));
    assert_eq!(get.status, head.status);
    assert!(!get.body.is_empty() && head.body.is_empty());
}

#[test]
fn a_browser_at_the_websocket_is_told_what_it_is() {
    let server = Server::start();
    let answer = request(&server, "GET /mqtt");
    assert_eq!(answer.status, 426);
    assert!(String::from_utf8_lossy(&answer.body).contains("MQTT over WebSocket"));
}

#[test]
fn health_and_metrics_are_there() {
    let server = Server::start();
    for path in ["/healthz", "/livez"] {
        let answer = request(&server, &format!("GET {path}"));
        assert_eq!((answer.status, answer.body), (200, b"ok\n".to_vec()));
    }
    server.assert_alive();
    let metrics = String::from_utf8(request(&server, "GET /metrics").body).unwrap();
    assert!(
        metrics.contains("beaconry_mqtt_connects_accepted_total 1\n"),
        "{metrics}"
    );
    assert!(
        metrics.contains("beaconry_mqtt_received_messages_total 1\n"),
        "{metrics}"
    );
}

/// What an unfinished request can hold in memory has an end.
#[test]
fn a_head_that_is_too_long_is_refused() {
    let server = Server::start();
    let long = format!("x: {}\r\n", "x".repeat(20 * 1024));
    let answer = testbed::request_with(server.http, "GET /livez", &long);
    assert_eq!(answer.status, 431);
    let shorter = format!("x: {}\r\n", "x".repeat(12 * 1024));
    let answer = testbed::request_with(server.http, "GET /livez", &shorter);
    assert_eq!(answer.status, 200);
}

#[test]
fn a_connection_answers_one_request_after_the_other() {
    let server = Server::start();
    let mut stream = tcp(server.http);
    stream
        .write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nHEAD /livez HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    stream
        .write_all(b"GET /missing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let statuses: Vec<_> = answers
        .lines()
        .filter_map(|line| line.strip_prefix("HTTP/1.1 "))
        .collect();
    assert_eq!(statuses, ["200 OK", "200 OK", "404 Not Found"]);
}

/// A query may hold a token.
#[test]
fn the_log_tells_of_requests_but_not_their_queries() {
    let server = Server::start_with(&["--log", "debug"]);
    let answer = request(&server, "GET /api/v1/server?token=secret");
    assert_eq!(answer.status, 200);
    let line = server.log_line("/api/v1/server");
    for part in ["status=200", "method=GET", "peer=127.0.0.1:"] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("secret"), "{line}");
}
