//! `beaconry pub` and `beaconry sub` alone: bounded memory, signals, JSON, errors.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::{Running, Server, Signal, Stage, beaconry, packet, run, wait_until};

/// More than every buffer on the way: of the pipe, the program, the socket.
const MORE_THAN_BUFFERS: usize = 64 << 20;

/// Waits until a count has not moved for a while, and returns it. That nothing happens has no event.
fn at_rest(count: &AtomicUsize) -> usize {
    wait_until("a begin", || count.load(Ordering::Relaxed) > 0);
    let (mut last, mut since) = (count.load(Ordering::Relaxed), Instant::now());
    while since.elapsed() < Duration::from_millis(700) {
        thread::sleep(Duration::from_millis(20));
        let now = count.load(Ordering::Relaxed);
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

fn start(arguments: &[&str]) -> Running {
    Running::start(beaconry().args(arguments))
}

#[test]
fn lines_wait_in_standard_input_while_the_broker_does_not_read() {
    let stage = Stage::new();
    let mut running = start(&[
        "pub",
        "-h",
        "127.0.0.1",
        "-p",
        &stage.port(),
        "-t",
        "t",
        "-l",
    ]);
    let mut broker = stage.accept();
    let line = format!("{}\n", "x".repeat(99));
    let lines = 2 * MORE_THAN_BUFFERS / line.len();
    let given = Arc::new(AtomicUsize::new(0));
    let mut stdin = running.stdin();
    let feeder = {
        let given = Arc::clone(&given);
        let block = line.repeat(1_000);
        thread::spawn(move || {
            for _ in 0..lines / 1_000 {
                stdin.write_all(block.as_bytes()).unwrap();
                given.fetch_add(block.len(), Ordering::Relaxed);
            }
        })
    };
    let held = at_rest(&given);
    assert!(
        held > 0 && held < MORE_THAN_BUFFERS,
        "{held} bytes were taken"
    );
    // Once the broker reads, every line comes.
    let mut broker = std::io::BufReader::with_capacity(1 << 20, &mut broker);
    let mut messages = 0;
    loop {
        match packet(&mut broker) {
            Some(packet) if packet[0] == 0x30 => messages += 1,
            Some(packet) if packet == [0xE0, 0] => break,
            other => panic!("unexpected: {other:?}"),
        }
    }
    feeder.join().unwrap();
    assert_eq!(messages, lines / 1_000 * 1_000);
    drop(broker);
    drop(stage);
    assert_eq!(running.ended().code, Some(0));
}

#[test]
fn messages_wait_in_the_socket_while_nobody_reads_the_output() {
    let stage = Stage::new();
    let running = start(&[
        "sub",
        "-h",
        "127.0.0.1",
        "-p",
        &stage.port(),
        "-t",
        "t",
        "-k",
        "0",
    ]);
    let mut broker = stage.accept();
    let subscribe = packet(&mut broker).unwrap();
    broker
        .write_all(&[0x90, 3, subscribe[2], subscribe[3], 0])
        .unwrap();
    let mut publish = vec![0x30, 104, 0, 1, b't'];
    publish.resize(106, b'x');
    let block = publish.repeat(1_000);
    let given = Arc::new(AtomicUsize::new(0));
    let count = 2 * MORE_THAN_BUFFERS / block.len();
    let feeder = {
        let (given, mut broker) = (Arc::clone(&given), broker.try_clone().unwrap());
        thread::spawn(move || {
            for _ in 0..count {
                broker.write_all(&block).unwrap();
                given.fetch_add(block.len(), Ordering::Relaxed);
            }
        })
    };
    let held = at_rest(&given);
    assert!(
        held > 0 && held < MORE_THAN_BUFFERS,
        "{held} bytes were taken"
    );
    let reader = thread::spawn(move || running.ended());
    feeder.join().unwrap();
    // A lost connection makes it try again, and a refusal ends it.
    drop(broker);
    drop(stage.accept_refusing(5));
    let ended = reader.join().unwrap();
    assert_eq!(ended.code, Some(5));
    let lines = String::from_utf8(ended.stdout).unwrap().lines().count();
    assert_eq!(lines, count * 1_000);
}

#[test]
fn many_lines_arrive_in_order() {
    // The subscriber may be slower than the publisher.
    let server = Server::start(&["--max-queued-messages", "100000"]);
    let port = server.mqtt.port().to_string();
    let mut subscriber = start(&["sub", "-p", &port, "-t", "lines", "-q", "1", "-C", "20000"]);
    drop(subscriber.stdin());
    wait_until("a subscription", || server.subscriptions() == 1);
    let lines: String = (0..20_000)
        .flat_map(|number| [number.to_string(), "\n".to_owned()])
        .collect();
    let reader = thread::spawn(move || subscriber.ended());
    let ended = run(
        &["pub", "-p", &port, "-t", "lines", "-l", "-q", "1"],
        lines.as_bytes(),
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let received = reader.join().unwrap();
    assert_eq!(received.code, Some(0));
    assert!(received.stdout == lines.as_bytes());
}

#[test]
fn a_signal_ends_a_subscriber_with_disconnect() {
    for signal in [Signal::INT, Signal::TERM] {
        let stage = Stage::new();
        let running = start(&["sub", "-h", "127.0.0.1", "-p", &stage.port(), "-t", "t"]);
        let mut broker = stage.accept();
        let subscribe = packet(&mut broker).unwrap();
        assert_eq!(subscribe[0], 0x82);
        running.signal(signal);
        assert_eq!(packet(&mut broker), Some(vec![0xE0, 0]));
        drop(broker);
        let ended = running.ended();
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_signal_ends_a_publisher_with_disconnect() {
    for signal in [Signal::INT, Signal::TERM] {
        let stage = Stage::new();
        let mut running = start(&[
            "pub",
            "-h",
            "127.0.0.1",
            "-p",
            &stage.port(),
            "-t",
            "t",
            "-l",
            "-q",
            "1",
        ]);
        let mut stdin = running.stdin();
        let mut broker = stage.accept();
        stdin.write_all(b"one\n").unwrap();
        let publish = packet(&mut broker).unwrap();
        assert_eq!(publish[0], 0x32);
        // It is not acknowledged.
        running.signal(signal);
        assert_eq!(packet(&mut broker), Some(vec![0xE0, 0]));
        drop(broker);
        let ended = running.ended();
        assert_eq!(ended.code, Some(255));
        assert!(
            ended.stderr.contains("1 messages not sent"),
            "{}",
            ended.stderr
        );
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let stage = Stage::new();
    let running = start(&["sub", "-h", "127.0.0.1", "-p", &stage.port(), "-t", "t"]);
    let mut broker = stage.accept();
    packet(&mut broker).unwrap();
    let begin = Instant::now();
    running.signal(Signal::INT);
    // The broker does not close, so the program waits for it, but not after the second signal.
    assert_eq!(packet(&mut broker), Some(vec![0xE0, 0]));
    running.signal(Signal::INT);
    assert_eq!(running.ended().code, Some(0));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_closed_pipe_ends_a_subscriber_quietly() {
    let server = Server::start(&[]);
    let port = server.mqtt.port().to_string();
    let mut running = start(&["sub", "-p", &port, "-t", "t"]);
    drop(running.stdin());
    wait_until("a subscription", || server.subscriptions() == 1);
    run(&["pub", "-p", &port, "-t", "t", "-m", "one"], b"");
    running.printed("one\n");
    running.close_stdout();
    // The first message may still fit into a buffer, but not all.
    let many = "more\n".repeat(1_000);
    while server.subscriptions() == 1 {
        run(&["pub", "-p", &port, "-t", "t", "-l"], many.as_bytes());
    }
    let ended = running.ended();
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
}

#[test]
fn json_is_valid_whatever_the_payload_is() {
    let server = Server::start(&[]);
    let port = server.mqtt.port().to_string();
    let payloads: [&[u8]; 4] = [b"text \"quoted\"\n", b"\xff\x00", b"", "h\u{e9}".as_bytes()];
    let mut running = start(&["sub", "-p", &port, "-t", "t", "-C", "4", "--json"]);
    drop(running.stdin());
    wait_until("a subscription", || server.subscriptions() == 1);
    for payload in payloads {
        let how = if payload.is_empty() { "-n" } else { "-s" };
        assert_eq!(
            run(&["pub", "-p", &port, "-t", "t", how], payload).code,
            Some(0)
        );
    }
    let ended = running.ended();
    let text = String::from_utf8(ended.stdout).unwrap();
    let objects: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(objects[0]["payload"], "text \"quoted\"\n");
    assert_eq!(objects[1]["payload"], serde_json::Value::Null);
    assert_eq!(objects[1]["payload_hex"], "ff00");
    assert_eq!(objects[2]["payload"], serde_json::Value::Null);
    assert_eq!(objects[3]["payload"], "h\u{e9}");
    assert!(
        objects
            .iter()
            .all(|it| it["topic"] == "t" && it["tst"].is_string())
    );
}

#[test]
fn a_subscriber_comes_back_when_the_connection_is_lost() {
    let stage = Stage::new();
    let running = start(&[
        "sub",
        "-h",
        "127.0.0.1",
        "-p",
        &stage.port(),
        "-t",
        "t",
        "-C",
        "1",
    ]);
    drop(stage.accept());
    let mut broker = stage.accept();
    assert_eq!(packet(&mut broker).unwrap()[0], 0x82);
    broker
        .write_all(&[0x30, 6, 0, 1, b't', b'y', b'e', b's'])
        .unwrap();
    assert_eq!(packet(&mut broker), Some(vec![0xE0, 0]));
    drop(broker);
    let ended = running.ended();
    assert_eq!(
        (ended.code, ended.stdout.as_slice()),
        (Some(0), &b"yes\n"[..])
    );
    assert!(
        ended.stderr.contains("closed the connection; trying again"),
        "{}",
        ended.stderr
    );
}

/// `mosquitto_sub` loses an acknowledgement here now and then: it closes before it has read everything.
#[test]
fn what_is_not_printed_stays_in_the_session() {
    let server = Server::start(&[]);
    let port = server.mqtt.port().to_string();
    for (version, qos) in [("311", "1"), ("311", "2"), ("5", "1"), ("5", "2")] {
        let topic = format!("session/{version}/{qos}");
        let sub = |more: &[&str]| {
            let fixed = [
                "sub", "-p", &port, "-t", &topic, "-i", &topic, "-V", version, "-q", qos, "-c",
            ];
            let ended = run(&[&fixed[..], more].concat(), b"");
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            String::from_utf8(ended.stdout).unwrap()
        };
        sub(&["-E"]);
        run(
            &["pub", "-p", &port, "-t", &topic, "-q", qos, "-l"],
            b"1\n2\n3\n4\n5\n6\n",
        );
        assert_eq!(sub(&["-C", "1"]), "1\n");
        assert_eq!(sub(&["-C", "2"]), "2\n3\n");
        assert_eq!(sub(&["-C", "3"]), "4\n5\n6\n");
    }
}

#[test]
fn removed_retained_messages_are_gone() {
    let server = Server::start(&[]);
    let port = server.mqtt.port().to_string();
    for topic in ["r/1", "r/2"] {
        run(
            &["pub", "-p", &port, "-t", topic, "-m", "x", "-r", "-q", "1"],
            b"",
        );
    }
    assert_eq!(testbed::metric(server.http, "mqtt_retained_messages"), 2);
    let ended = run(
        &[
            "sub",
            "-p",
            &port,
            "-t",
            "r/#",
            "--remove-retained",
            "-C",
            "2",
        ],
        b"",
    );
    assert_eq!(
        (ended.code, ended.stdout.as_slice()),
        (Some(0), &b"x\nx\n"[..])
    );
    assert_eq!(testbed::metric(server.http, "mqtt_retained_messages"), 0);
}

#[test]
fn what_is_missing_says_what_to_do() {
    for (arguments, part) in [
        (&["sub", "-t", "x", "--watch"][..], "--json"),
        (&["sub", "-t", "x", "--psk", "00"], "--cafile"),
        (
            &["pub", "-t", "x", "-m", "y", "--proxy", "socks5h://x"],
            "ssh -L",
        ),
        (&["pub", "-t", "x", "-m", "y", "-S"], "-h and -p"),
        (&["pub", "-t", "x", "-m", "y", "-V", "31"], "311"),
        (
            &["pub", "-t", "x", "-m", "y", "-p", "1"],
            "localhost:1: connection refused",
        ),
    ] {
        let ended = run(arguments, b"");
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
        let quiet = run(&[arguments, &["--quiet"]].concat(), b"");
        assert_eq!(quiet.code, Some(1));
    }
}
