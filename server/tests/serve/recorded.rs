//! What was recorded, asked over HTTP.

use std::time::SystemTime;

use api::Problem;
use api::fleet::{Device, PresenceState};
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

/// How many presences of a device were recorded.
fn presences(folder: &Folder, id: &str) -> usize {
    let settings = history::Settings::new(folder.data().join("history"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap().as_millis()).unwrap();
    let archive = history::Archive::open(settings, now).unwrap().archive;
    let read = archive.view().read(id, history::PRESENCE, 0, i64::MAX);
    read.unwrap().map_or(0, |(rows, _)| rows.len())
}

#[test]
fn a_restart_records_what_lasts_once_more_and_nothing_else_again() {
    let folder = Folder::new();
    let first = server(&folder, &[]);
    let mut peer = sign_in(&first, &["pump"]);
    for (word, state) in [
        ("SIGN_OUT", PresenceState::Offline),
        ("SIGN_IN", PresenceState::Online),
        ("SIGN_OUT", PresenceState::Offline),
    ] {
        peer.publish("beaconry/register/pump", word, QoS::AtMostOnce);
        wait_until(word, || {
            let answer = get(&first, "devices/beaconry%2Fpump/presence");
            let known: Option<PresenceHistory> = serde_json::from_slice(&unchunked(&answer)).ok();
            known.and_then(|it| Some(it.changes.last()?.state)) == Some(state)
        });
    }
    peer.publish(
        "beaconry/cmd/req/pump",
        r#"{"uuid":"u","command":"PING"}"#,
        QoS::AtMostOnce,
    );
    wait_until("the command", || {
        let known: CommandHistory = ask(&first, "devices/beaconry%2Fpump/commands");
        known.commands.len() == 1
    });
    first.signal(rustix::process::Signal::TERM);
    first.ended();
    let before = presences(&folder, "beaconry/pump");
    assert!(before >= 4, "{before}");

    let second = server(&folder, &[]);
    let path = "devices/beaconry%2Fpump?at=now";
    let mut told = None;
    wait_until("what lasts", || {
        let known: Device = ask(&second, path);
        told = Some(known.presence.state);
        second.metric("history_rows_total") > 0 || second.metric("history_too_old_total") > 0
    });
    assert_eq!(told, Some(PresenceState::Offline));
    assert_eq!(second.metric("history_too_old_total"), 0);
    second.signal(rustix::process::Signal::TERM);
    second.ended();
    let after = presences(&folder, "beaconry/pump");
    assert!((before..=before + 1).contains(&after), "{before}, {after}");
}
