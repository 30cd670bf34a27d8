//! What is remembered, asked over HTTP.

use std::time::SystemTime;

use api::fleet::Scalar;
use api::history::{Point, Series};
use mqtt::QoS;
use testbed::Folder;

use super::devices::{get, sign_in, unchunked};
use super::support::{Server, wait_until};

fn ask(server: &Server, path: &str) -> Option<Series> {
    let answer = get(server, path);
    let text = String::from_utf8_lossy(&answer.body);
    if answer.status == 404 {
        return None;
    }
    assert_eq!(answer.status, 200, "{path}: {text}");
    Some(serde_json::from_slice(&unchunked(&answer)).unwrap())
}

#[test]
fn texts_come_as_they_are_or_as_times_in_each_state() {
    let folder = Folder::new();
    let data = folder.data();
    let server = Server::start_with(&["--data", data.to_str().unwrap()]);
    let mut peer = sign_in(&server, &["door"]);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_secs()).unwrap();
    let start = (now - 60) * 1_000;
    for (at, state) in [(0, "closed"), (10, "open"), (15, "closed"), (30, "ajar")] {
        let time = start + at * 1_000;
        let payload = format!(r#"{{"ts":{time},"state":"{state}"}}"#);
        peer.publish("beaconry/data/door", payload, QoS::AtLeastOnce);
    }
    let path = "devices/beaconry%2Fdoor/metrics/state";
    wait_until("the four values", || {
        ask(&server, path).is_some_and(|series| series.points.len() == 4)
    });
    let series = ask(&server, path).unwrap();
    assert!(series.raw && series.states.is_empty());
    assert_eq!(
        series.points[1],
        Point::Value(start + 10_000, Scalar::Text("open".to_owned()))
    );
    let to = start + 40_000;
    let windows = ask(&server, &format!("{path}?from={start}&to={to}&every=1h")).unwrap();
    assert!(!windows.raw && windows.points.is_empty());
    let of = |name: &str| -> i64 {
        let times = windows
            .states
            .iter()
            .filter_map(|(_, states)| states.get(name));
        times.sum()
    };
    assert_eq!(
        (of("closed"), of("open"), of("ajar")),
        (25_000, 5_000, 10_000)
    );
}
