//! The founding documents' programs, `beaconry device`, `collect` and `command`: signals, a full disk, errors.

use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use testbed::Folder;

use super::support::{
    Ended, Relay, Running, Server, Signal, Stage, beaconry, packet, run, wait_until,
};

/// `beaconry PROGRAM -h … -p …` with these arguments, which spaces part, in a folder without `.env`.
fn start(program: &str, server: &Server, arguments: &str) -> Running {
    let (host, port) = (server.mqtt.ip().to_string(), server.mqtt.port().to_string());
    let mut command = beaconry();
    command.args([program, "-h", &host, "-p", &port]);
    Running::start(command.args(arguments.split_whitespace()))
}

fn finish(program: &str, server: &Server, arguments: &str) -> Ended {
    start(program, server, arguments).ended()
}

fn publish(server: &Server, topic: &str, payload: &str) {
    let sent = finish("pub", server, &format!("-q 2 -t {topic} -m {payload}"));
    assert_eq!(sent.code, Some(0), "{}", sent.stderr);
}

/// What the broker keeps on this topic.
fn retained(server: &Server, topic: &str) -> String {
    let read = finish(
        "sub",
        server,
        &format!("-C 1 -W 20 -F %r:%q:%p -q 2 -t {topic}"),
    );
    String::from_utf8(read.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn either_signal_lets_a_device_sign_out_awake_or_asleep() {
    let server = Server::start(&[]);
    let awake = ("--always-on --every 1h", "SENDING DATA");
    let asleep = ("--awake 10ms --every 1h", "CLOSING CONNECTION");
    for (n, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        for (rhythm, state) in [awake, asleep] {
            let id = format!("d{n}-{}", state.len());
            let device = start("device", &server, &format!("--device {id} {rhythm}"));
            device.printed(state);
            let topic = format!("beaconry/register/{id}");
            assert_eq!(retained(&server, &topic), "1:2:SIGN_IN");
            device.signal(signal);
            let ended = device.ended();
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            let printed = String::from_utf8(ended.stdout).unwrap();
            assert!(printed.contains("SENDING SIGN OUT MESSAGE"), "{printed}");
            assert_eq!(retained(&server, &topic), "1:2:SIGN_OUT");
        }
    }
}

/// The broker publishes its will when the link breaks. Nobody would command it any more.
#[test]
fn a_device_whose_link_was_cut_signs_in_again_at_once() {
    let server = Server::start(&[]);
    let rhythms = [
        ("steady", "--always-on --every 1h"),
        ("sleepy", "--awake 50m --every 1h"),
    ];
    for (id, rhythm) in rhythms {
        let relay = Relay::to(server.mqtt);
        let mut command = beaconry();
        command.args(["device", "-h", "127.0.0.1", "-p", &relay.port().to_string()]);
        command.args(["--device", id]);
        let device = Running::start(command.args(rhythm.split_whitespace()));
        device.printed("SENDING DATA");
        relay.cut();
        device.printed("SENDING SIGN IN MESSAGE");
        let topic = format!("beaconry/register/{id}");
        wait_until("its word", || retained(&server, &topic) == "1:2:SIGN_IN");
    }
}

/// Whoever reads what it prints has gone, as `head` does.
#[test]
fn a_device_that_nobody_reads_signs_out_and_ends() {
    let server = Server::start(&[]);
    // The usual will would sign it out too.
    let arguments = "--device a --always-on --every 100ms --will-topic gone --will-payload a";
    let mut device = start("device", &server, arguments);
    device.printed("SENDING DATA");
    device.close_stdout();
    let ended = device.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(retained(&server, "beaconry/register/a"), "1:2:SIGN_OUT");
}

/// A device on this stage, which has connected and subscribes. The broker acknowledges nothing.
fn on_stage(stage: &Stage) -> (Running, TcpStream) {
    let mut command = beaconry();
    command.args(["device", "-h", "127.0.0.1", "-V", "311", "-p"]);
    let device = Running::start(command.arg(stage.port()));
    let mut broker = stage.accept();
    device.printed("CONNECTED");
    assert_eq!(packet(&mut broker).unwrap()[0], 0x82, "SUBSCRIBE");
    (device, broker)
}

#[test]
fn a_device_that_never_signed_in_does_not_wait_to_sign_out() {
    let stage = Stage::new();
    let (device, mut broker) = on_stage(&stage);
    device.signal(Signal::TERM);
    assert_eq!(packet(&mut broker).unwrap()[0], 0xe0, "DISCONNECT");
    drop(broker);
    assert_eq!(device.ended().code, Some(0));
}

#[test]
fn a_second_signal_ends_a_device_that_waits_for_the_broker() {
    let stage = Stage::new();
    let (device, mut broker) = on_stage(&stage);
    // SUBACK, to its first packet identifier.
    broker.write_all(&[0x90, 3, 0, 1, 2]).unwrap();
    device.printed("SENDING DATA");
    device.signal(Signal::TERM);
    device.printed("SENDING SIGN OUT");
    device.signal(Signal::TERM);
    assert_eq!(device.ended().code, Some(1));
}

#[test]
fn several_devices_have_sessions_of_their_own_and_all_sign_out() {
    let server = Server::start(&[]);
    let devices = start(
        "device",
        &server,
        "--device many --count 30 --every 1s --awake 10ms --json",
    );
    let mut printed = String::new();
    while printed.matches("\"data\"").count() < 60 {
        printed += &devices.printed("\n");
    }
    devices.signal(Signal::TERM);
    assert_eq!(devices.ended().code, Some(0));
    for n in [1, 30] {
        let topic = format!("beaconry/register/many-{n:04}");
        assert_eq!(retained(&server, &topic), "1:2:SIGN_OUT");
    }
}

#[test]
fn the_broker_keeps_what_comes_while_no_collector_runs() {
    let server = Server::start(&[]);
    let folder = Folder::new();
    let out = folder.path().join("out.ndjson");
    let arguments = format!("--out {}", out.display());
    for (n, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let collector = start("collect", &server, &arguments);
        collector.printed("SUCCESSFULLY SUBSCRIBED");
        wait_until("what came meanwhile", || lines(&out).len() == 2 * n);
        publish(&server, "beaconry/data/a", "1");
        wait_until("the message", || lines(&out).len() == 2 * n + 1);
        collector.signal(signal);
        let ended = collector.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        publish(&server, "beaconry/data/a", "2");
    }
    let payloads: Vec<_> = lines(&out)
        .into_iter()
        .map(|it| it["payload"].clone())
        .collect();
    assert_eq!(payloads, [1, 2, 1]);
}

/// What cannot be written is not acknowledged, so the broker sends it again.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing() {
    let server = Server::start(&[]);
    let collector = start("collect", &server, "--out /dev/full");
    collector.printed("SUCCESSFULLY SUBSCRIBED");
    publish(&server, "beaconry/data/a", "1");
    // It drops the connection, and tries again: it gets the same message.
    for _ in 0..2 {
        collector.printed("RECEIVED MESSAGE");
    }
    collector.signal(Signal::TERM);
    let ended = collector.ended();
    assert!(
        ended
            .stderr
            .contains("/dev/full cannot be written: No space left"),
        "{}",
        ended.stderr
    );

    let folder = Folder::new();
    let out = folder.path().join("out.ndjson");
    let collector = start("collect", &server, &format!("--out {}", out.display()));
    collector.printed("SUCCESSFULLY SUBSCRIBED");
    publish(&server, "beaconry/data/a", "2");
    wait_until("both messages", || lines(&out).len() >= 2);
    let payloads: Vec<_> = lines(&out)
        .into_iter()
        .map(|it| it["payload"].clone())
        .collect();
    assert_eq!(payloads, [1, 2]);
}

#[test]
fn a_command_is_answered_at_once_or_after_sleep_or_not_in_time() {
    let server = Server::start(&[]);
    let rhythms = [
        ("awake", "--always-on", "SENDING DATA"),
        ("sleepy", "--every 4s --awake 10ms", "CLOSING CONNECTION"),
        ("deep", "--every 1h --awake 10ms", "CLOSING CONNECTION"),
    ];
    let devices = rhythms.map(|(id, rhythm, state)| {
        let device = start("device", &server, &format!("--device {id} {rhythm}"));
        device.printed(state);
        device
    });
    let give = |arguments: &str| finish("command", &server, arguments);

    let answered = give("beaconry/awake PING");
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    let answer: serde_json::Value = serde_json::from_slice(&answered.stdout).unwrap();
    assert_eq!(
        (&answer["commandResult"], &answer["deviceId"]),
        (&"PONG".into(), &"awake".into())
    );

    devices[1].printed("CLOSING CONNECTION");
    let answered = give(r#"sleepy {"command":"PING","uuid":"mine"}"#);
    assert_eq!(answered.code, Some(0), "{}", answered.stderr);
    assert!(
        answered.stderr.contains("sleepy is signed in"),
        "{}",
        answered.stderr
    );
    let answer: serde_json::Value = serde_json::from_slice(&answered.stdout).unwrap();
    assert_eq!(answer["uuid"], "mine");

    let unanswered = give("deep PING --wait 300ms");
    assert_eq!((unanswered.code, unanswered.stdout.len()), (Some(27), 0));
    assert!(
        unanswered
            .stderr
            .contains("deep has not answered within 300ms"),
        "{}",
        unanswered.stderr
    );
}

#[test]
fn a_command_that_cannot_be_is_explained() {
    let server = Server::start(&[]);
    for (arguments, code, said) in [
        (r#"x {"command":"#, 1, "no JSON object"),
        (r#"x {"a":1}"#, 1, "\"command\""),
        ("beaconry/ PING", 1, "its id is missing"),
        (
            "nobody PING --wait 20s",
            1,
            "nobody listens at beaconry/cmd/req/nobody",
        ),
    ] {
        let ended = finish("command", &server, arguments);
        assert_eq!(ended.code, Some(code), "{arguments}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments}: {}", ended.stderr);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    }
    let nowhere = run(&["command", "-p", "1", "x", "PING"], b"");
    assert!(nowhere.stderr.contains("localhost:1"), "{}", nowhere.stderr);
    assert_eq!(nowhere.code, Some(1));
}

#[test]
fn either_signal_ends_a_command_that_waits() {
    let server = Server::start(&[]);
    let device = start("device", &server, "--device a --every 1h --awake 10ms");
    device.printed("CLOSING CONNECTION");
    wait_until("its sleep", || server.connections() == 0);
    for signal in [Signal::TERM, Signal::INT] {
        let waiting = start("command", &server, "a PING --wait 1h");
        wait_until("its connection", || server.connections() == 1);
        waiting.signal(signal);
        let ended = waiting.ended();
        // Without an answer it has not succeeded.
        assert_eq!((ended.code, ended.stdout.len()), (Some(1), 0));
        wait_until("its end", || server.connections() == 0);
    }
}
