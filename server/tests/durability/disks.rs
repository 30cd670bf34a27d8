//! Real disks, small ones in memory: one that has no room, and one that is read-only.
//!
//! Only root may mount, and not everywhere. Where it is not allowed, a line says that nothing was
//! tested.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use mqtt::{Packet, QoS, ReasonCode};
use testbed::metric;

use super::client::{Client, publish};
use super::full::{assert_lives_without_room, leave_subscribed, offer, take_stored};
use super::server::{Folder, serve, wait_until};

const ANY: &str = "127.0.0.1:0";
/// So that several files fit: the disk is the only limit.
/// The store is tried here, so the history takes no room.
const SMALL: &[&str] = &["--store-segment-size", "1MiB", "--no-history"];

/// A small disk, mounted until it is dropped.
struct Disk(Folder);

impl Disk {
    /// Mounts a disk. Where nothing can be mounted, prints a line and returns `None`.
    fn mount(test: &str, size: &str) -> Option<Self> {
        let folder = Folder::new();
        let size = format!("size={size}");
        match run(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs"], &folder) {
            Ok(()) => Some(Self(folder)),
            Err(why) => {
                // Not with println!, because nobody sees that of a test that has passed.
                let _ = writeln!(std::io::stderr(), "NOT TESTED: {test}: {why}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn make_read_only(&self) {
        run(&["mount", "-o", "remount,ro"], &self.0).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // With -l, because a server that is still ending must not keep it.
        if let Err(why) = run(&["umount", "-l"], &self.0) {
            let _ = writeln!(std::io::stderr(), "left mounted: {why}");
        }
    }
}

fn run(command: &[&str], folder: &Folder) -> Result<(), String> {
    let [program, arguments @ ..] = command else {
        return Err("no command".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(folder.path());
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

#[test]
fn a_disk_without_room_refuses_what_is_new_until_there_is_some() {
    let Some(disk) = Disk::mount("a disk without room", "8m") else {
        return;
    };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![1; 3 << 20]).unwrap();
    let data = disk.path().join("data");
    let server = serve(&data, ANY.parse().unwrap(), SMALL);
    let (mqtt, http) = server.ready();
    leave_subscribed(mqtt);
    let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
    let mut stored = 0;
    loop {
        match offer(&mut client, "stored/x", stored) {
            ReasonCode::Success => stored += 1,
            ReasonCode::QuotaExceeded => break,
            other => panic!("{other:?}"),
        }
        assert!(stored < 2_000, "never full");
    }
    assert!(stored > 500, "{stored}");
    let line = server.log_line(" is full: ");
    for part in [data.to_str().unwrap(), "Make room on the disk"] {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
    assert_lives_without_room(mqtt, &mut client);

    // Another program takes the rest: from now on every write gets "No space left on device".
    let rest = disk.path().join("rest");
    let error = fs::write(&rest, vec![1; 64 << 20]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(28), "{error}");
    wait_until("it to be seen", || {
        metric(http, "store_free_bytes") <= 1 << 20
    });
    assert_lives_without_room(mqtt, &mut client);

    fs::remove_file(&rest).unwrap();
    fs::remove_file(&ballast).unwrap();
    server.log_line("the store has space again");
    wait_until("room", || metric(http, "store_full") == 0);
    assert_eq!(
        offer(&mut client, "stored/x", stored),
        ReasonCode::Success,
        "with room again"
    );
    server.kill();

    let server = serve(&data, ANY.parse().unwrap(), SMALL);
    let (mqtt, _) = server.ready();
    let mut absent = take_stored(mqtt, stored + 1);
    absent.put(&Packet::PingReq);
    absent.flush().unwrap();
    assert_eq!(absent.receive().unwrap(), Packet::PingResp, "none twice");
    server.end();
}

/// Whatever the default of `--store-segment-size` is, a smaller disk must not stop the start, nor
/// be full from the beginning.
#[test]
fn a_new_folder_on_a_small_disk_is_used_as_far_as_there_is_room() {
    for (size, least) in [("40m", 1_000), ("8m", 500), ("1m", 50), ("128k", 1)] {
        let Some(disk) = Disk::mount("a small disk", size) else {
            return;
        };
        let data = disk.path().join("data");
        let server = serve(&data, ANY.parse().unwrap(), &[]);
        let (mqtt, _) = server.ready();
        leave_subscribed(mqtt);
        let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
        let mut stored = 0;
        while stored < least && offer(&mut client, "stored/x", stored) == ReasonCode::Success {
            stored += 1;
        }
        assert_eq!(stored, least, "{size}");
        server.kill();

        let server = serve(&data, ANY.parse().unwrap(), &[]);
        let (mqtt, http) = server.ready();
        let _absent = take_stored(mqtt, stored);
        wait_until("room", || metric(http, "store_full") == 0);
        let (mut client, _) = Client::connect(mqtt, "publisher").unwrap();
        let answer = offer(&mut client, "stored/x", stored);
        assert_eq!(answer, ReasonCode::Success, "{size}");
        server.end();
    }
    let Some(disk) = Disk::mount("a disk that is too small", "64k") else {
        return;
    };
    let data = disk.path().join("data");
    let (status, _, log) = serve(&data, ANY.parse().unwrap(), &[]).ended();
    assert_eq!(status.code(), Some(1), "{log}");
    for part in [data.to_str().unwrap(), "needs 128.0 KiB", "--data DIR"] {
        assert!(log.contains(part), "no {part:?} in: {log}");
    }
}

/// No client was there, so nobody misses what it would have written.
#[test]
fn an_idle_server_ends_well_on_a_full_disk() {
    let Some(disk) = Disk::mount("an idle server on a full disk", "8m") else {
        return;
    };
    let data = disk.path().join("data");
    let server = serve(&data, ANY.parse().unwrap(), SMALL);
    leave_subscribed(server.ready().0);
    server.end();
    let error = fs::write(disk.path().join("rest"), vec![1; 64 << 20]).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(28), "{error}");
    let server = serve(&data, ANY.parse().unwrap(), SMALL);
    server.ready();
    server.log_line("no space is left");
    server.end();
}

#[test]
fn a_disk_that_may_only_be_read_is_named_and_nothing_starts() {
    let Some(disk) = Disk::mount("a disk that may only be read", "8m") else {
        return;
    };
    let used = disk.path().join("used");
    let server = serve(&used, ANY.parse().unwrap(), SMALL);
    let (mqtt, _) = server.ready();
    let (mut client, _) = Client::connect(mqtt, "filler").unwrap();
    let mut message = publish("t", "kept", QoS::AtLeastOnce, 1);
    message.retain = true;
    client.put(&Packet::Publish(message));
    client.flush().unwrap();
    assert!(matches!(client.receive().unwrap(), Packet::PubAck(_)));
    server.end();
    disk.make_read_only();
    for data in [used, disk.path().join("new")] {
        let server = serve(&data, ANY.parse().unwrap(), SMALL);
        let (status, _, log) = server.ended();
        assert_eq!(status.code(), Some(1), "{log}");
        let lines: Vec<_> = log.lines().filter(|it| it.contains("beaconry: ")).collect();
        assert_eq!(lines.len(), 1, "{log}");
        for part in [
            data.to_str().unwrap(),
            "os error 30",
            "a writable folder with --data DIR",
            "--in-memory",
        ] {
            assert!(lines[0].contains(part), "no {part:?} in: {log}");
        }
    }
}
