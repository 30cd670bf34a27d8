//! Starting, ending, and what the server prints about it.

use std::net::TcpListener;

use mqtt::{Packet, ProtocolVersion, ReasonCode};
use rustix::process::Signal;

use super::support::{Peer, Server, run};

#[test]
fn ready_is_the_only_line_on_standard_output() {
    let server = Server::start();
    assert_ne!(server.mqtt.port(), 0);
    assert_ne!(server.http.port(), 0);
    server.log_line("devices connect to mqtt://");
    server.signal(Signal::INT);
    let (status, more) = server.ended();
    assert_eq!(status.code(), Some(0));
    assert_eq!(more, "");
}

#[test]
fn clients_are_told_that_the_server_ends() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = Server::start();
        let mut tcp = Peer::connected(&server, ProtocolVersion::V5, "tcp");
        let mut old = Peer::connected(&server, ProtocolVersion::V3_1_1, "old");
        let mut websocket = Peer::connected_by_websocket(&server, "websocket");
        server.signal(signal);
        for packet in [tcp.receive(), websocket.receive()] {
            match packet {
                Some(Packet::Disconnect(disconnect)) => {
                    assert_eq!(disconnect.reason_code, ReasonCode::ServerShuttingDown);
                }
                other => panic!("no DISCONNECT: {other:?}"),
            }
        }
        assert_eq!(tcp.receive(), None);
        assert_eq!(websocket.receive(), None);
        // Version 3.1.1 has no DISCONNECT from the server.
        assert_eq!(old.receive(), None);
        drop((tcp, old, websocket));
        assert_eq!(server.ended().0.code(), Some(0));
    }
}

#[test]
fn a_client_that_does_not_close_cannot_hold_the_end_up() {
    let server = Server::start();
    let _silent = Peer::connected(&server, ProtocolVersion::V5, "silent");
    server.signal(Signal::TERM);
    assert_eq!(server.ended().0.code(), Some(0));
}

#[test]
fn a_port_in_use_is_one_clear_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (flag, other) in [("--mqtt", "--http"), ("--http", "--mqtt")] {
        let (code, stdout, stderr) = run(&["serve", flag, &address, other, "127.0.0.1:0"]);
        assert_eq!(code, Some(1), "{stderr}");
        assert_eq!(stdout, "");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(
            stderr.contains(&address) && stderr.contains(flag),
            "{stderr}"
        );
    }
}

#[test]
fn a_mistake_on_the_command_line_is_one_clear_line() {
    for arguments in [
        &["serve", "--mqtt", "nowhere"][..],
        &["serve", "--unknown"],
        &["serve", "--demo", "many"],
        &["serve", "--log", "loud"],
        &["serve", "--max-packet-size", "1GiB"],
        &["sing"],
        &[],
    ] {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert_eq!(stdout, "");
        assert_eq!(stderr.lines().count(), 1, "{arguments:?}: {stderr}");
    }
}

#[test]
fn help_and_version_are_no_mistakes() {
    let (code, stdout, _) = run(&["--version"]);
    assert_eq!(code, Some(0));
    assert_eq!(
        stdout.trim(),
        format!("beaconry {}", env!("CARGO_PKG_VERSION"))
    );
    let (code, stdout, _) = run(&["serve", "--help"]);
    assert_eq!(code, Some(0));
    for flag in [
        "--mqtt",
        "--http",
        "--demo",
        "--log",
        "--max-packet-size",
        "BEACONRY_MQTT",
    ] {
        assert!(stdout.contains(flag), "{flag}");
    }
}

#[test]
fn a_folder_to_salvage_and_none_at_all_exclude_each_other() {
    let (code, _, stderr) = run(&["serve", "--in-memory", "--salvage"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--in-memory"), "{stderr}");
}
