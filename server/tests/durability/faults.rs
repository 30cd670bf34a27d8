//! Folders that cannot be used: the server prints one clear line and changes nothing.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mqtt::{Packet, QoS};

use super::client::{Client, publish};
use super::server::{Folder, Server, binary, serve, wait_until};

const ANY: &str = "127.0.0.1:0";

fn any() -> SocketAddr {
    ANY.parse().unwrap()
}

/// Starts a server that must not start. Returns the one line that it prints.
fn refusal(data: &Path, arguments: &[&str]) -> String {
    let server = serve(data, any(), arguments);
    let (status, _, log) = server.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    one_line(&log)
}

fn one_line(log: &str) -> String {
    let errors: Vec<_> = log
        .lines()
        .filter(|line| line.starts_with("beaconry: "))
        .collect();
    assert_eq!(errors.len(), 1, "{log}");
    errors[0].to_owned()
}

fn assert_says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "no {part:?} in: {line}");
    }
}

/// Publishes `count` retained messages with `QoS` 1 to separate topics. All are acknowledged.
fn fill(address: SocketAddr, from: u16, count: u16) {
    let (mut client, _) = Client::connect(address, "filler").unwrap();
    for number in from..from + count {
        let topic = format!("t/{number}");
        let mut message = publish(&topic, vec![b'x'; 1_000], QoS::AtLeastOnce, number + 1);
        message.retain = true;
        client.put(&Packet::Publish(message));
    }
    client.flush().unwrap();
    for _ in 0..count {
        match client.receive().unwrap() {
            Packet::PubAck(ack) => assert!(!ack.reason_code.is_error(), "{ack:?}"),
            other => panic!("{other:?}"),
        }
    }
}

fn filled(folder: &Folder, arguments: &[&str], count: u16) -> PathBuf {
    let server = serve(&folder.data(), any(), arguments);
    let (address, _) = server.ready();
    // In two groups at least, because a crash can tear only the last one.
    fill(address, 0, count / 2);
    fill(address, count / 2, count - count / 2);
    server.kill();
    folder.data()
}

fn segments(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("journal")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some());
    paths.sort();
    paths
}

#[test]
fn a_file_is_no_folder() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_says(
        &refusal(&file, &[]),
        &[file.to_str().unwrap(), "is a file", "--data"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_made_says_what_to_do() {
    assert_says(
        &refusal(Path::new("/proc/beaconry"), &[]),
        &["/proc/beaconry", "cannot be created there", "--data DIR"],
    );
}

/// SECURITY.md says so.
#[test]
fn what_is_in_the_folder_is_for_its_owner_only() {
    let folder = Folder::new();
    let data = folder.data();
    let server = serve(&data, any(), &[]);
    let (address, _) = server.ready();
    fill(address, 0, 1);
    wait_until("the clock", || data.join("clock").exists());
    let mut folders = vec![data];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files >= 5, "{files}");
    server.end();
}

#[test]
fn a_folder_of_somebody_else_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.path().join("letter.txt"), "dear").unwrap();
    let line = refusal(folder.path(), &[]);
    assert_says(
        &line,
        &[folder.path().to_str().unwrap(), "letter.txt", "--data"],
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn two_servers_cannot_share_a_folder() {
    let folder = Folder::new();
    let first = serve(&folder.data(), any(), &[]);
    first.ready();
    let line = refusal(&folder.data(), &[]);
    assert_says(
        &line,
        &[
            folder.data().to_str().unwrap(),
            "in use by another",
            "--data",
        ],
    );
    first.end();
    serve(&folder.data(), any(), &[]).ready();
}

/// Runs as a user who may not write there, because root may write everywhere.
#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    const NOBODY: u32 = 65_534;
    let folder = Folder::new();
    // Where every user can run it.
    let program = folder.path().join("beaconry");
    fs::copy(binary(), &program).unwrap();
    let locked = folder.path().join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    for path in [locked.clone(), locked.join("below")] {
        let mut command = Command::new(&program);
        command
            .args(["serve", "--mqtt", ANY, "--http", ANY, "--data"])
            .arg(&path)
            .stdin(Stdio::null());
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        let output = command.output().unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        let line = one_line(&log);
        assert_says(&line, &[locked.to_str().unwrap(), "ermission", "--data"]);
    }
}

#[test]
fn a_folder_of_a_newer_version_says_which_beaconry_it_needs() {
    let folder = Folder::new();
    let data = filled(&folder, &[], 1);
    let version = data.join("VERSION");
    let text = fs::read_to_string(&version).unwrap();
    let newer = text
        .replace("format: 1", "format: 2")
        .replace("needs: beaconry 0.1.0", "needs: beaconry 3.4.0");
    assert_ne!(newer, text);
    fs::write(&version, newer).unwrap();
    let line = refusal(&data, &[]);
    assert_says(
        &line,
        &[
            version.to_str().unwrap(),
            "format 2",
            "beaconry 3.4.0 or newer",
            "--data",
        ],
    );
}

#[test]
fn a_torn_tail_is_cut_off_and_everything_acknowledged_is_there() {
    let folder = Folder::new();
    let data = filled(&folder, &[], 20);
    let path = segments(&data).pop().unwrap();
    let bytes = fs::read(&path).unwrap();
    let used = bytes.iter().rposition(|&byte| byte != 0).unwrap() as u64 + 1;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    // The beginning of a frame of 200 bytes, as a crash in the middle of a write leaves it. There
    // is room for the zeros that may follow the last frame.
    file.write_all_at(&[200, 0, 0, 0, 1, 2, 3, 4, 5], used + 32)
        .unwrap();
    let server = serve(&data, any(), &[]);
    server.ready();
    let line = server.log_line("cut off");
    assert_says(&line, &[path.to_str().unwrap(), "bytes"]);
    server.log_line("20 retained");
    server.end();
    let server = serve(&data, any(), &[]);
    server.ready();
    server.log_line("20 retained");
}

fn spoil(path: &Path, offset: u64) {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[!byte[0]], offset).unwrap();
}

/// The line also counts good files, so that nobody learns of them only afterwards.
#[test]
fn what_salvage_gives_up_is_said_before_and_after() {
    const SHORT: &[&str] = &["--store-segment-size", "64KiB"];
    let folder = Folder::new();
    let data = folder.data();
    let server = serve(&data, any(), SHORT);
    let (address, _) = server.ready();
    for from in 0..10 {
        fill(address, 20 * from, 20);
    }
    server.kill();
    let paths = segments(&data);
    assert!(paths.len() > 2, "{paths:?}");
    spoil(&paths[0], 3_000);
    let files = format!("KiB in {} files", paths.len());
    let line = refusal(&data, SHORT);
    let parts = ["depends on what is missing", "before the damage", "backup"];
    assert_says(&line, &parts);
    assert_says(&line, &[&files, "gives up everything behind it"]);

    let server = serve(&data, any(), &[SHORT, &["--salvage"]].concat());
    server.ready();
    let line = server.log_line("gave up");
    assert_says(&line, &["up to record ", &files, "(records ", " at least)"]);
    let aside = data.join("damaged");
    assert_says(&line, &[aside.to_str().unwrap(), "backup"]);
    assert_eq!(fs::read_dir(aside).unwrap().count(), paths.len());
    server.end();
}

#[test]
fn damage_in_the_middle_is_refused_until_salvage_is_asked_for() {
    let folder = Folder::new();
    // So small that no checkpoint is made, and nothing helps against the damage.
    let data = filled(&folder, &[], 60);
    let path = segments(&data).remove(0);
    spoil(&path, 3_000);
    let damaged = fs::read(&path).unwrap();

    let line = refusal(&data, &[]);
    let parts = [
        path.to_str().unwrap(),
        "is damaged at byte",
        "record",
        "backup",
        "--salvage",
    ];
    assert_says(&line, &parts);
    assert_eq!(fs::read(&path).unwrap(), damaged, "nothing is changed");

    let server = serve(&data, any(), &["--salvage"]);
    let (address, _) = server.ready();
    server.log_line("kept what was stored before the damage");
    let aside = data.join("damaged").join(path.file_name().unwrap());
    assert_eq!(fs::read(aside).unwrap(), damaged);
    fill(address, 100, 1);
    server.end();
    // From now on without the flag.
    serve(&data, any(), &[]).ready();
}

#[test]
fn a_missing_file_is_refused() {
    let folder = Folder::new();
    let data = filled(&folder, &["--store-segment-size", "64KiB"], 200);
    let paths = segments(&data);
    assert!(paths.len() > 1, "{paths:?}");
    // The last file too: nothing behind it says that there was another.
    for path in [&paths[paths.len() - 1], &paths[paths.len() - 2]] {
        let bytes = fs::read(path).unwrap();
        fs::remove_file(path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_says(
            &refusal(&data, &[]),
            &[data.to_str().unwrap(), name, "missing", "backup"],
        );
        fs::write(path, bytes).unwrap();
    }
    serve(&data, any(), &[]).ready();
}

#[test]
fn a_lost_version_is_told_and_written_anew_by_salvage() {
    let folder = Folder::new();
    let data = filled(&folder, &[], 100);
    let version = data.join("VERSION");
    let text = fs::read(&version).unwrap();
    fs::remove_file(&version).unwrap();
    assert_says(
        &refusal(&data, &[]),
        &[version.to_str().unwrap(), "missing", "--salvage"],
    );
    let server = serve(&data, any(), &["--salvage"]);
    server.ready();
    server.log_line("100 retained");
    server.end();
    assert_eq!(fs::read(&version).unwrap(), text);
}

#[test]
fn nothing_is_written_in_memory() {
    let folder = Folder::new();
    let server = Server::start(
        Command::new(binary())
            .args(["serve", "--mqtt", ANY, "--http", ANY, "--in-memory"])
            .current_dir(folder.path()),
    );
    server.ready();
    server.kill();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
