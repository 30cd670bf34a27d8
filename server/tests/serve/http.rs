//! The web server. What it does with files is tested where it is written, with files of its own:
//! this binary may have been built with or without the dashboard.

use testbed::Answer;

use super::support::Server;

fn request(server: &Server, what: &str) -> Answer {
    testbed::request(server.http, what)
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
    assert_eq!((route.status, &route.body), (page.status, &page.body));

    // Who mistypes an address in a browser is told so on the page, where there is one.
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
    let post = request(&server, "POST /");
    assert_eq!(post.status, 405);
    assert!(post.head.contains("allow: get, head"));
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
