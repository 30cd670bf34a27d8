//! What the server knows of the devices, asked over HTTP.

use std::fmt::Write;

use api::Problem;
use api::fleet::{Device, Devices, PresenceState, Scalar};
use mqtt::{ProtocolVersion, QoS};
use testbed::Answer;

use super::support::{Peer, Server, wait_until};

/// What a request must carry to change something.
pub(crate) const CHANGES: &str = "beaconry-request: 1\r\n";

pub(crate) fn get(server: &Server, path: &str) -> Answer {
    testbed::request(server.http, &format!("GET /api/v1/{path}"))
}

pub(crate) fn list(server: &Server, query: &str) -> Devices {
    let answer = get(server, &format!("devices{query}"));
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    serde_json::from_slice(&unchunked(&answer)).unwrap()
}

/// The body without the framing of chunks.
pub(crate) fn unchunked(answer: &Answer) -> Vec<u8> {
    if !answer.head.contains("transfer-encoding: chunked") {
        return answer.body.clone();
    }
    let (mut rest, mut body) = (&answer.body[..], Vec::new());
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let len = std::str::from_utf8(&rest[..line]).unwrap();
        let len = usize::from_str_radix(len, 16).unwrap();
        let begin = line + 2;
        if len == 0 {
            return body;
        }
        body.extend_from_slice(&rest[begin..begin + len]);
        rest = &rest[begin + len + 2..];
    }
}

/// Devices of these ids have signed in, and the server knows it.
pub(crate) fn sign_in(server: &Server, ids: &[&str]) -> Peer<std::net::TcpStream> {
    let mut peer = Peer::connected(server, ProtocolVersion::V5, "devices");
    for id in ids {
        peer.publish(
            &format!("beaconry/register/{id}"),
            "SIGN_IN",
            QoS::AtMostOnce,
        );
    }
    wait_until("the devices", || {
        list(server, "?hidden=any").total == ids.len()
    });
    peer
}

fn encoded(id: &str) -> String {
    let mut text = String::new();
    for byte in id.bytes() {
        write!(text, "%{byte:02X}").unwrap();
    }
    text
}

#[test]
fn devices_are_there_with_their_values() {
    let server = Server::start();
    let mut peer = sign_in(&server, &["pump-10", "pump-2", "freezer"]);
    peer.publish(
        "beaconry/data/freezer",
        r#"{"temp":-18.5,"door":"open"}"#,
        QoS::AtMostOnce,
    );
    wait_until("the values", || {
        !list(&server, "?q=temp").devices.is_empty()
    });
    let all = list(&server, "");
    let ids: Vec<&str> = all.devices.iter().map(|it| it.id.as_str()).collect();
    assert_eq!(
        ids,
        ["beaconry/freezer", "beaconry/pump-2", "beaconry/pump-10"]
    );
    assert_eq!((all.total, all.counts.online, all.next), (3, 3, None));
    let freezer = &all.devices[0];
    assert_eq!(freezer.presence.state, PresenceState::Online);
    let temp = freezer.metrics.iter().find(|it| it.name == "temp").unwrap();
    assert_eq!(temp.value, Some(Scalar::Number(-18.5)));
    assert_eq!(temp.unit.as_deref(), Some("°C"));

    let first = list(&server, "?limit=2&sort=name");
    assert_eq!((first.devices.len(), first.total), (2, 3));
    let next = encoded(&first.next.unwrap());
    let second = list(&server, &format!("?limit=2&sort=name&after={next}"));
    assert_eq!(second.devices[0].id, "beaconry/pump-10");
    assert_eq!(list(&server, "?q=OPEN&state=online").total, 1);
    assert_eq!(list(&server, "?state=offline").total, 0);

    let one = get(&server, "devices/beaconry/freezer");
    assert_eq!(one.status, 200);
    for header in [
        "access-control-allow-origin: *",
        "cross-origin-resource-policy: cross-origin",
        "beaconry-cursor: ",
    ] {
        assert!(one.head.contains(header), "{}", one.head);
    }
    let one: Device = serde_json::from_slice(&one.body).unwrap();
    assert_eq!(
        (one.history.len(), one.id.as_str()),
        (1, "beaconry/freezer")
    );
    let named = list(&server, "?id=pump-2&id=beaconry/freezer&id=nobody");
    assert_eq!((named.total, named.devices[0].history.len()), (2, 1));
    // The list as a whole is for our own page.
    assert!(!get(&server, "devices").head.contains("access-control"));
}

#[test]
fn answers_are_compressed_for_those_who_ask() {
    let server = Server::start();
    let ids: Vec<String> = (0..50).map(|n| format!("device-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let _peer = sign_in(&server, &ids);
    let plain = get(&server, "devices");
    let gzip = "accept-encoding: gzip, br\r\n";
    let small = testbed::request_with(server.http, "GET /api/v1/devices", gzip);
    assert!(
        small.head.contains("content-encoding: gzip"),
        "{}",
        small.head
    );
    assert!(small.body.len() < plain.body.len() / 5);
}

/// Whatever another site's page can make a browser send, nothing changes.
#[test]
fn a_page_of_another_site_changes_nothing() {
    let server = Server::start();
    let _peer = sign_in(&server, &["pump"]);
    let evil = "origin: http://evil.example\r\n";
    let form = "origin: http://evil.example\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n";
    let forged = "origin: http://evil.example\r\nbeaconry-request: 1\r\n";
    let nobody = "origin: null\r\nbeaconry-request: 1\r\n";
    let cross = "sec-fetch-site: cross-site\r\nbeaconry-request: 1\r\n";
    for headers in ["", evil, form, forged, nobody, cross] {
        for method in ["DELETE", "PATCH", "POST", "PUT"] {
            let what = format!("{method} /api/v1/devices/beaconry/pump");
            let answer = testbed::request_with(server.http, &what, headers);
            assert_eq!(answer.status, 403, "{what} {headers}");
            let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(problem.status, 403);
        }
    }
    // A browser asks first whether it may send our header. It may not.
    for path in ["devices/beaconry/pump", "changes"] {
        let asks = "origin: http://evil.example\r\naccess-control-request-method: DELETE\r\n\
                    access-control-request-headers: beaconry-request\r\n";
        let what = format!("OPTIONS /api/v1/{path}");
        let answer = testbed::request_with(server.http, &what, asks);
        assert!(answer.status == 405, "{}", answer.status);
        assert!(
            !answer.head.contains("access-control-allow"),
            "{}",
            answer.head
        );
    }
    let all = list(&server, "");
    assert_eq!((all.total, all.devices[0].hidden), (1, false));
}

#[test]
fn devices_are_hidden_and_forgotten() {
    let server = Server::start();
    let mut peer = sign_in(&server, &["pump", "freezer"]);
    let change = |what: &str, body: &str| {
        let len = body.len();
        let headers = format!("{CHANGES}origin: http://localhost\r\ncontent-length: {len}\r\n");
        // The helper ends the headers with an empty line, and the body follows it.
        testbed::request_body(server.http, what, &headers, body)
    };
    let path = "/api/v1/devices/beaconry/pump";
    let hidden = change(&format!("PATCH {path}"), r#"{"hidden":true}"#);
    assert_eq!(hidden.status, 200);
    assert_eq!(list(&server, "").devices[0].id, "beaconry/freezer");
    assert_eq!(list(&server, "?hidden=true").devices[0].id, "beaconry/pump");
    assert_eq!(list(&server, "").counts.online, 1);
    assert_eq!(server.metric(r#"devices{state="hidden"}"#), 1);
    let shown = change(&format!("PATCH {path}"), r#"{"hidden":false}"#);
    assert_eq!((shown.status, list(&server, "").total), (200, 2));
    for body in ["", "{}", r#"{"hidden":1}"#, r#"{"hidden":true,"name":"x"}"#] {
        let refused = change(&format!("PATCH {path}"), body);
        assert_eq!(refused.status, 400, "{body}");
    }

    assert_eq!(change(&format!("DELETE {path}"), "").status, 204);
    assert_eq!(get(&server, "devices/beaconry/pump").status, 404);
    assert_eq!(change(&format!("DELETE {path}"), "").status, 404);
    // A live message brings it back.
    peer.publish("beaconry/data/pump", r#"{"flow":1}"#, QoS::AtMostOnce);
    wait_until("the device", || list(&server, "").total == 2);
}

/// Ids are any text. Each is listed, found by its path, and forgotten by it.
#[test]
fn ids_are_any_text() {
    let server = Server::start();
    let long = "x".repeat(4000);
    let ids = [
        "a/b/c",
        "/leading",
        "trailing/",
        "with space",
        "\"quoted\" 'and' <script>alert(1)</script>",
        "100%",
        "%2F",
        "..",
        "a?b=c&d",
        "ü\u{202e}rtl",
        "back\\slash",
        long.as_str(),
    ];
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "devices");
    for id in ids {
        // Each is a plain topic. `#` in an id is not possible there.
        peer.publish(&format!("{id}/temperature"), "1", QoS::AtMostOnce);
    }
    wait_until("the devices", || list(&server, "").total == ids.len());
    for device in list(&server, "").devices {
        let whole = encoded(&device.id);
        // As the page writes it: slashes stay.
        let parts: Vec<String> = device.id.split('/').map(encoded).collect();
        for path in [whole, parts.join("/")] {
            let one = get(&server, &format!("devices/{path}"));
            assert_eq!(one.status, 200, "{}", device.id);
            let one: Device = serde_json::from_slice(&one.body).unwrap();
            assert_eq!(one.id, device.id);
        }
        let what = format!("DELETE /api/v1/devices/{}", encoded(&device.id));
        let gone = testbed::request_with(server.http, &what, CHANGES);
        assert_eq!(gone.status, 204, "{}", device.id);
    }
    assert_eq!(list(&server, "").total, 0);
    let bad = get(&server, "devices/%FF");
    assert_eq!(bad.status, 400);
    let _: Problem = serde_json::from_slice(&bad.body).unwrap();
}

#[test]
fn the_model_is_bounded() {
    let server = Server::start_with(&["--max-devices", "2"]);
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "devices");
    for n in 0..5 {
        peer.publish(&format!("stranger-{n}/temperature"), "1", QoS::AtMostOnce);
    }
    wait_until("a stranger to be forgotten", || {
        server.metric("devices_forgotten_total") == 3
    });
    assert_eq!(list(&server, "").total, 2);
    // Devices that are signed in are no strangers.
    for n in 0..4 {
        peer.publish(
            &format!("p/register/device-{n}"),
            "SIGN_IN",
            QoS::AtMostOnce,
        );
    }
    wait_until("a message to be ignored", || {
        server.metric("devices_ignored_messages_total") > 0
    });
    assert_eq!(list(&server, "").total, 2);

    let server = Server::start_with(&["--max-devices-bytes", "20000"]);
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "devices");
    for n in 0..100 {
        peer.publish(
            &format!("p/register/device-{n}"),
            "SIGN_IN",
            QoS::AtMostOnce,
        );
    }
    wait_until("the memory to be full", || {
        server.metric("devices_out_of_memory_total") > 0
    });
    assert!(server.metric("devices_bytes") <= 20_000);
    server.assert_alive();
}

#[test]
fn a_server_without_the_model_says_so() {
    let server = Server::start_with(&["--no-devices"]);
    for path in ["devices", "devices/x", "changes"] {
        let answer = get(&server, path);
        assert_eq!(answer.status, 404, "{path}");
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert!(problem.detail.contains("--no-devices"));
    }
    server.assert_alive();
}
