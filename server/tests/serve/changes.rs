//! The changes of the devices, followed over HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use api::Problem;
use api::fleet::{Change, Changes, Presence, PresenceState};
use mqtt::QoS;

use super::devices::{get, list, sign_in};
use super::support::{PATIENCE, Server, tcp, wait_until};

/// One who follows the changes.
struct Follower {
    stream: TcpStream,
    /// What has come behind the head, without the framing of chunks.
    text: String,
    raw: Vec<u8>,
}

/// A server-sent event.
struct Event {
    id: String,
    changes: Vec<Change>,
}

impl Follower {
    fn new(server: &Server, query: &str, headers: &str) -> Self {
        let mut follower = Self::that_reads_nothing(server, query, headers);
        let head = follower.head();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        // Other sites' pages may follow the devices that they name, and nothing else.
        let for_all_sites = head.contains("access-control-allow-origin: *");
        assert_eq!(for_all_sites, query.contains("id="), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
        follower
    }

    fn that_reads_nothing(server: &Server, query: &str, headers: &str) -> Self {
        let mut stream = tcp(server.http);
        let request = format!(
            "GET /api/v1/changes{query} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        Self {
            stream,
            text: String::new(),
            raw: Vec::new(),
        }
    }

    fn head(&mut self) -> String {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// Reads more. Returns whether there was more.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let len = self.stream.read(&mut buffer).unwrap();
        self.raw.extend_from_slice(&buffer[..len]);
        while let Some(line) = self.raw.windows(2).position(|two| two == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..line]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            let end = line + 2 + size + 2;
            if self.raw.len() < end {
                break;
            }
            let chunk = &self.raw[line + 2..end - 2];
            self.text.push_str(std::str::from_utf8(chunk).unwrap());
            self.raw.drain(..end);
        }
        len > 0
    }

    /// The next block of lines, up to an empty one.
    fn block(&mut self) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "waited in vain for an event");
            if let Some(end) = self.text.find("\n\n") {
                let block = self.text[..end].to_owned();
                self.text.drain(..end + 2);
                return Some(block);
            }
            if !self.read() {
                return None;
            }
        }
    }

    /// The next event.
    fn event(&mut self) -> Event {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Beats come all the time.
            assert!(Instant::now() < deadline, "waited in vain for an event");
            let block = self.block().expect("an event");
            let field = |name: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            if field("event") != Some("changes") {
                // The beginning, or a beat.
                continue;
            }
            let data = field("data").unwrap();
            let changes: Changes = serde_json::from_str(data).unwrap();
            return Event {
                id: field("id").unwrap().to_owned(),
                changes: changes.changes,
            };
        }
    }

    /// Reads events until one has a change that fits. Returns it with the event's id.
    fn change(&mut self, fits: impl Fn(&Change) -> bool) -> (Change, String) {
        loop {
            let event = self.event();
            if let Some(change) = event.changes.into_iter().find(&fits) {
                return (change, event.id);
            }
        }
    }
}

/// The presence that a change tells of a device. One that has just been told of may come as a whole.
fn presence<'a>(change: &'a Change, of: &str) -> Option<&'a Presence> {
    match change {
        Change::Presence { id, presence, .. } if id == of => Some(presence),
        Change::Device { device } if device.id == of => Some(&device.presence),
        Change::Presence { .. }
        | Change::Device { .. }
        | Change::Fault { .. }
        | Change::Command { .. }
        | Change::Gone { .. }
        | Change::Resync => None,
    }
}

fn is_offline(change: &Change, of: &str) -> bool {
    presence(change, of).is_some_and(|it| it.state == PresenceState::Offline)
}

#[test]
fn a_snapshot_and_the_changes_after_it_are_all() {
    let server = Server::start();
    let mut peer = sign_in(&server, &["pump", "freezer"]);
    let cursor = list(&server, "").cursor;
    // It changes before anybody follows.
    peer.publish("beaconry/register/pump", "SIGN_OUT", QoS::AtMostOnce);
    wait_until("the change", || list(&server, "").counts.offline == 1);
    let mut follower = Follower::new(&server, &format!("?after={cursor}"), "");
    assert!(follower.block().unwrap().starts_with("retry: "));
    let (change, id) = follower.change(|change| is_offline(change, "beaconry/pump"));
    let presence = presence(&change, "beaconry/pump").unwrap();
    assert_eq!(presence.reason.as_deref(), Some("said-so"));

    // A browser that comes again repeats the address, and says where it was.
    peer.publish("beaconry/register/freezer", "SIGN_OUT", QoS::AtMostOnce);
    let headers = format!("last-event-id: {id}\r\n");
    let mut again = Follower::new(&server, &format!("?after={cursor}"), &headers);
    let first = again.event();
    assert!(
        is_offline(&first.changes[0], "beaconry/freezer"),
        "{:?}",
        first.changes
    );
}

#[test]
fn a_reader_of_one_device_hears_of_it_alone() {
    let server = Server::start();
    let mut peer = sign_in(&server, &["pump", "freezer"]);
    let mut follower = Follower::new(&server, "?id=freezer", "");
    follower.block().unwrap();
    for id in ["pump", "freezer"] {
        peer.publish(
            &format!("beaconry/register/{id}"),
            "SIGN_OUT",
            QoS::AtMostOnce,
        );
    }
    loop {
        let event = follower.event();
        assert_eq!(event.changes.len(), 1);
        let freezer = presence(&event.changes[0], "beaconry/freezer").unwrap();
        // That it has signed in may come before.
        if freezer.state == PresenceState::Offline {
            break;
        }
    }
}

#[test]
fn who_comes_from_another_run_asks_again() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "?after=00000000-7", "");
    assert_eq!(follower.event().changes, [Change::Resync]);
    assert_eq!(server.metric("devices_change_resyncs_total"), 1);
    let bad = get(&server, "changes?after=yesterday");
    assert_eq!(bad.status, 400);
    assert!(!bad.head.contains("access-control-allow-origin"));
    let named = get(&server, "changes?after=yesterday&id=pump");
    assert!(named.head.contains("access-control-allow-origin: *"));
}

/// A reader that stands still keeps a socket and nothing else. When it reads again, it is told that it
/// has lost something.
#[test]
fn a_reader_that_never_reads_loses_and_is_told() {
    let server = Server::start_with(&["--max-change-log", "256KiB"]);
    let mut peer = sign_in(&server, &["pump"]);
    let mut sleeper = Follower::that_reads_nothing(&server, "", "");
    wait_until("the stream", || {
        server.metric("devices_change_streams") == 1
    });
    let before = server.resident();
    // Each device is a change of some hundred bytes, and the sockets' buffers hold a few megabytes.
    let mut n = 0;
    while server.metric("devices_changes_total") < 40_000 {
        for _ in 0..1000 {
            n += 1;
            peer.publish(
                &format!("p/register/device-{n}"),
                "SIGN_IN",
                QoS::AtMostOnce,
            );
        }
        wait_until("the devices", || list(&server, "?limit=1").total == n + 1);
    }
    assert!(server.metric("devices_change_log_bytes") <= 256 * 1024);
    server.assert_grew_less_than(before, 200 << 20);
    server.assert_alive();
    sleeper.head();
    // It is at the end when what it is told of has the newest cursor.
    let end = list(&server, "?limit=1").cursor;
    let mut told = false;
    loop {
        let event = sleeper.event();
        told |= event.changes == [Change::Resync];
        if event.id == end {
            break;
        }
    }
    assert!(told);
}

#[test]
fn only_so_many_may_follow() {
    let server = Server::start_with(&["--max-change-streams", "1"]);
    let mut first = Follower::new(&server, "", "");
    first.block().unwrap();
    let refused = get(&server, "changes");
    assert_eq!(refused.status, 503);
    let problem: Problem = serde_json::from_slice(&refused.body).unwrap();
    assert!(problem.detail.contains("--max-change-streams"));
    assert_eq!(server.metric("devices_change_streams_refused_total"), 1);
    // The place is free again when the follower has gone.
    drop(first);
    wait_until("the place", || server.metric("devices_change_streams") == 0);
    Follower::new(&server, "", "").block().unwrap();
}

#[test]
fn streams_end_with_the_server_and_nobody_waits_for_them() {
    let server = Server::start();
    let mut follower = Follower::new(&server, "", "");
    follower.block().unwrap();
    let _sleeper = Follower::that_reads_nothing(&server, "", "");
    let begun = Instant::now();
    server.signal(rustix::process::Signal::TERM);
    assert!(follower.block().is_none(), "the stream ends");
    let (status, _) = server.ended();
    assert!(status.success());
    assert!(begun.elapsed().as_secs() < 4, "{:?}", begun.elapsed());
}
