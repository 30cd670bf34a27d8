//! What was recorded, asked over HTTP.

use api::Problem;
use api::history::{CommandHistory, ManySeries, Marks, PresenceHistory, Track};
use mqtt::QoS;
use serde::de::DeserializeOwned;
use testbed::Folder;

use super::devices::{get, sign_in, unchunked};
use super::support::{Server, wait_until};

/// A server that remembers.
fn server(folder: &Folder, more: &[&str]) -> Server {
    let data = folder.data();
    let data = ["--data", data.to_str().unwrap()];
    Server::start_with(&[&data[..], more].concat())
}

fn ask<T: DeserializeOwned>(server: &Server, path: &str) -> T {
    let answer = get(server, path);
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{path}: {text}");
    serde_json::from_slice(&unchunked(&answer)).unwrap()
}

#[track_caller]
fn refused(server: &Server, path: &str, part: &str) {
    let answer = get(server, path);
    let text = String::from_utf8(unchunked(&answer)).unwrap();
    assert_eq!(answer.status, 400, "{path}: {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert!(problem.detail.contains(part), "{path}: {}", problem.detail);
}

#[test]
fn questions_that_ask_for_too_much_are_refused_with_what_to_do() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let mut peer = sign_in(&server, &["pump"]);
    peer.publish("beaconry/data/pump", r#"{"flow":1.5}"#, QoS::AtLeastOnce);
    let series = |count: usize, width: &str| {
        let of = "of=beaconry%252Fpump%2Fflow&".repeat(count);
        format!("series?{of}{width}")
    };
    wait_until("the reading", || {
        let found: ManySeries = ask(&server, &series(1, ""));
        found.series[0].points.len() == 1
    });

    refused(&server, "fleet/marks?from=now-30y", "at most 92 days");
    refused(&server, "fleet/marks?from=now-30y", "in parts");
    wait_until("the mark of the device that came", || {
        let marks: Marks = ask(&server, "fleet/marks?from=now-92d");
        marks.marks.iter().map(|mark| mark.1).sum::<u64>() == 1
    });

    refused(&server, &series(11, "width=20000"), "200000 points");
    refused(&server, &series(21, "from=now-10000s&every=1s"), "every");
    let many: ManySeries = ask(&server, &series(10, "width=20000"));
    assert_eq!(many.series.len(), 10);
    let many: ManySeries = ask(&server, &series(20, "from=now-10000s&every=1s"));
    assert_eq!(many.series.len(), 20);
}

#[test]
fn presences_tracks_and_commands_are_told_in_order() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let mut peer = sign_in(&server, &["pump"]);
    for (at, lng) in [8.25, 8.5, 8.5, 8.75].into_iter().enumerate() {
        let payload = format!(r#"{{"n":{at},"lat":47.5,"lng":{lng}}}"#);
        peer.publish("beaconry/data/pump", payload, QoS::AtLeastOnce);
    }
    let path = |part: &str| format!("devices/beaconry%2Fpump/{part}");
    wait_until("the track", || {
        let answer = get(&server, &path("track"));
        let track: Option<Track> = serde_json::from_slice(&unchunked(&answer)).ok();
        track.is_some_and(|track| track.points.len() == 3)
    });
    let track: Track = ask(&server, &path("track?width=2"));
    let ends: Vec<f64> = track.points.iter().map(|point| point.2).collect();
    assert_eq!(ends, [8.25, 8.75]);

    for uuid in ["one", "two", "three"] {
        let command = format!(r#"{{"uuid":"{uuid}","command":"PING"}}"#);
        peer.publish("beaconry/cmd/req/pump", command, QoS::AtLeastOnce);
        wait_until("the command", || {
            let known: CommandHistory = ask(&server, &path("commands"));
            known
                .commands
                .first()
                .is_some_and(|it| it.command.uuid == uuid)
        });
    }
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let page: CommandHistory = ask(&server, &path(&format!("commands?limit=1{next}")));
        found.extend(page.commands.into_iter().map(|it| it.command.uuid));
        let Some(before) = page.next else {
            break;
        };
        next = format!("&before={before}");
    }
    assert_eq!(found, ["three", "two", "one"]);

    let presence: PresenceHistory = ask(&server, &path("presence?from=now-1d"));
    assert_eq!(presence.changes.len(), 1);
}
