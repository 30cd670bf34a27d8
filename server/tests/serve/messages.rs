//! Messages of the last day, asked over HTTP.

use api::Problem;
use api::history::{Message, Messages};
use mqtt::{Packet, ProtocolVersion, QoS};
use testbed::Folder;

use super::devices::{get, sign_in, unchunked};
use super::support::{Peer, Server, run, wait_until};

/// A server that keeps messages.
fn server(folder: &Folder, more: &[&str]) -> Server {
    let data = folder.data();
    let data = ["--data", data.to_str().unwrap()];
    Server::start_with(&[&data[..], more].concat())
}

fn ask(server: &Server, path: &str) -> Messages {
    let answer = get(server, path);
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, 200, "{path}: {text}");
    serde_json::from_slice(&unchunked(&answer)).unwrap()
}

fn payloads(messages: &[Message]) -> Vec<&str> {
    let payloads = messages.iter().map(|it| it.payload.as_deref().unwrap());
    payloads.collect()
}

/// The model reads them a moment after the broker.
fn wait_for(server: &Server, count: usize) {
    wait_until("the messages", || {
        ask(server, "messages?limit=1000").messages.len() == count
    });
}

#[test]
fn messages_are_found_by_topic_text_time_and_device() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let mut peer = sign_in(&server, &["pump"]);
    for number in 1..=5 {
        peer.publish(
            "beaconry/data/pump",
            format!(r#"{{"flow":{number}}}"#),
            QoS::AtLeastOnce,
        );
    }
    peer.publish("house/door", "Open", QoS::AtMostOnce);
    let mut retained = peer.publication("house/key", b"\xFF\x00".to_vec(), QoS::AtMostOnce);
    retained.retain = true;
    peer.send(&Packet::Publish(retained));
    wait_for(&server, 8);

    let newest = ask(&server, "messages?limit=2");
    let [key, door] = &newest.messages[..] else {
        panic!("{newest:?}");
    };
    assert_eq!((key.topic.as_str(), key.retain), ("house/key", true));
    assert_eq!((key.base64.as_deref(), key.bytes), (Some("/wA="), 2));
    assert_eq!(door.payload.as_deref(), Some("Open"));
    assert_eq!((door.qos, door.client.as_deref()), (0, Some("devices")));
    assert!(newest.looked_back_to.is_some());

    // Page by page.
    let mut path = "messages?topic=beaconry/data/%2B&limit=2".to_owned();
    let mut found = Vec::new();
    loop {
        let page = ask(&server, &path);
        found.extend(page.messages);
        let Some(next) = page.next else {
            break;
        };
        path = format!("messages?topic=beaconry/data/%2B&limit=2&before={next}");
    }
    let flows: Vec<_> = (1..=5)
        .rev()
        .map(|it| format!(r#"{{"flow":{it}}}"#))
        .collect();
    assert_eq!(payloads(&found), flows);
    assert!(found.iter().all(|it| it.qos == 1));

    let texts = ask(&server, "messages?q=open&order=oldest").messages;
    assert_eq!(payloads(&texts), ["Open"]);
    let texts = ask(&server, "messages?q=HOUSE&topic=house/%23").messages;
    assert_eq!(texts.len(), 2);
    let of_pump = ask(&server, "devices/beaconry%2Fpump/messages").messages;
    assert_eq!(of_pump.len(), 6, "with its registration");
    let time = door.time.0;
    let before = ask(&server, &format!("messages?to={time}&topic=house/door"));
    assert_eq!(before.messages, []);
    let then = format!("messages?from={time}&to={}&topic=house/door", time + 1);
    assert_eq!(ask(&server, &then).messages.len(), 1);

    // All of them, oldest first, a line for each.
    let answer = get(&server, "messages?format=ndjson");
    assert!(
        answer.head.contains("application/x-ndjson"),
        "{}",
        answer.head
    );
    let lines = String::from_utf8(unchunked(&answer)).unwrap();
    let all = lines.lines().map(|it| serde_json::from_str(it).unwrap());
    let mut all: Vec<Message> = all.collect();
    all.reverse();
    assert_eq!(all, ask(&server, "messages").messages);
    let some = unchunked(&get(&server, "messages?format=ndjson&limit=3"));
    assert!(lines.as_bytes().starts_with(&some));
    assert_eq!(String::from_utf8(some).unwrap().lines().count(), 3);

    for (path, part) in [
        ("devices/nobody/messages", "no device"),
        (
            "devices/beaconry%2Fpump/messages?topic=a",
            "the device has its own",
        ),
        ("messages?topic=%23/a", "a topic filter"),
        ("messages?limit=0", "from 1 to 1000"),
    ] {
        let answer = get(&server, path);
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert!(problem.detail.contains(part), "{path}: {}", problem.detail);
    }
}

#[test]
fn a_killed_server_has_the_messages_of_a_second_ago() {
    let folder = Folder::new();
    let server = self::server(&folder, &["--max-history-payload", "4"]);
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "publisher");
    for number in 0..500 {
        peer.publish("a/b", format!("number {number}"), QoS::AtMostOnce);
    }
    wait_until("the disk", || server.metric("history_messages_kept") == 500);
    assert_eq!(server.metric("history_messages_cut_total"), 500);
    server.kill();
    let server = self::server(&folder, &[]);
    let found = ask(&server, "messages?limit=1000").messages;
    assert_eq!(found.len(), 500);
    assert_eq!((payloads(&found)[0], found[0].bytes), ("numb", 10));
    assert_eq!(server.metric("history_messages_damaged"), 0);
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "publisher");
    peer.publish("a/b", "new", QoS::AtMostOnce);
    wait_for(&server, 501);
}

#[test]
fn what_nobody_may_receive_and_what_is_left_out_is_not_kept() {
    let folder = Folder::new();
    let flags = [
        "--deny-subscribe",
        "secret/#",
        "--history-exclude",
        "noise/#",
    ];
    let server = server(&folder, &flags);
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "publisher");
    for topic in ["secret/door", "noise/1", "plain"] {
        peer.publish(topic, "x", QoS::AtMostOnce);
    }
    wait_for(&server, 1);
    assert_eq!(ask(&server, "messages").messages[0].topic, "plain");
    wait_until("the disk", || server.metric("history_messages_kept") == 1);
    server.kill();
    // What nobody may receive any more, nobody may read either.
    let server = self::server(&folder, &["--deny-subscribe", "plain"]);
    assert_eq!(ask(&server, "messages").messages, []);
    assert_eq!(server.metric("history_messages_kept"), 1);
}

#[test]
fn a_server_without_messages_says_so() {
    let folder = Folder::new();
    for (server, part) in [
        (
            server(&folder, &["--history-messages", "0"]),
            "--history-messages 0",
        ),
        (Server::start(), "--in-memory"),
    ] {
        let answer = get(&server, "messages");
        assert_eq!(answer.status, 404);
        let problem: Problem = serde_json::from_slice(&answer.body).unwrap();
        assert!(problem.detail.contains(part), "{}", problem.detail);
    }
}

#[test]
fn what_was_kept_can_be_replayed() {
    let folder = Folder::new();
    let server = server(&folder, &[]);
    let mut peer = Peer::connected(&server, ProtocolVersion::V5, "publisher");
    for number in 0..200 {
        let payload = match number % 2 {
            0 => format!("line\n{number}").into_bytes(),
            _ => vec![0xFF, u8::try_from(number).unwrap()],
        };
        peer.publish(&format!("a/{}", number % 3), payload, QoS::AtLeastOnce);
    }
    wait_for(&server, 200);
    let exported = unchunked(&get(&server, "messages?format=ndjson"));
    let file = folder.path().join("messages.ndjson");
    std::fs::write(&file, exported).unwrap();
    let (file, port) = (file.to_str().unwrap(), server.mqtt.port().to_string());
    for speed in ["max", "1000"] {
        let prefix = format!("{speed}/");
        let flags = ["--speed", speed, "--prefix", &prefix];
        let command = [
            &["replay", file, "-h", "127.0.0.1", "-p", &port][..],
            &flags,
        ]
        .concat();
        let (code, _, stderr) = run(&command);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{speed}");
        let path = format!("messages?topic={speed}/%23&order=oldest&limit=1000");
        wait_until("the messages", || ask(&server, &path).messages.len() == 200);
        let again = ask(&server, &path).messages;
        let first = ask(&server, "messages?topic=a/%23&order=oldest&limit=1000").messages;
        for (first, again) in first.iter().zip(&again) {
            assert_eq!(again.topic, format!("{prefix}{}", first.topic));
            assert_eq!(
                (&again.payload, &again.base64),
                (&first.payload, &first.base64)
            );
            assert_eq!((again.qos, again.bytes), (first.qos, first.bytes));
        }
    }
}
