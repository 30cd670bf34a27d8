//! Commands from the button to the answer.

use crate::sim::{Sim, at};
use fleet::{CommandError, CommandRequest, CommandState, Event, FleetOptions, ObserverState};

const PING: CommandRequest<'static> = CommandRequest::Named("PING");

fn online(id: &str) -> Sim {
    let mut sim = Sim::new();
    sim.publish(&format!("p/register/{id}"), "SIGN_IN");
    sim.events();
    sim
}

fn state(sim: &Sim, id: &str, uuid: &str) -> CommandState {
    sim.device(id)
        .command(uuid)
        .expect("the command")
        .state()
        .clone()
}

#[test]
fn a_ping_is_answered() {
    let mut sim = online("a");
    let key = sim.key("a");
    let out = sim.fleet.command(at(0.0), key, "u-1", PING).unwrap();
    assert_eq!(out.topic, "p/cmd/req/a");
    assert_eq!(out.response_topic, "p/cmd/resp/a");
    assert_eq!(out.correlation_data, b"u-1");
    assert_eq!(out.payload, br#"{"uuid":"u-1","command":"PING"}"#);
    assert_eq!(state(&sim, "a", "u-1"), CommandState::Queued);
    sim.fleet.note_command_sent(at(0.0), key, "u-1");
    assert_eq!(state(&sim, "a", "u-1"), CommandState::Sent);
    sim.fleet.note_command_acked(at(0.1), key, "u-1");
    assert_eq!(state(&sim, "a", "u-1"), CommandState::Pending);
    // The broker sends us our own command too, if we subscribed to it.
    sim.publish("p/cmd/req/a", &out.payload);
    assert_eq!(sim.device("a").commands().count(), 1);
    sim.until(0.25).publish(
        "p/cmd/resp/a",
        r#"{"deviceId":"a","messageType":"commandResp","commandResult":"PONG","uuid":"u-1","command":"PING"}"#,
    );
    let answered = CommandState::Answered {
        at: at(0.25),
        after_ms: Some(250),
        ok: true,
        result: "\"PONG\"".into(),
    };
    assert_eq!(state(&sim, "a", "u-1"), answered);
    assert_eq!(
        sim.device("a").command("u-1").unwrap().result(),
        Some("\"PONG\"")
    );
    let changed = Event::CommandChanged {
        device: key,
        uuid: "u-1".into(),
    };
    assert_eq!(sim.events(), [changed], "coalesced");
    assert_eq!(sim.fleet.poll_timeout(), Some(at(30.0)));
    sim.until(60.0);
    assert_eq!(
        state(&sim, "a", "u-1"),
        answered,
        "no time-out after the answer"
    );
}

#[test]
fn free_json_gets_its_uuid() {
    let mut sim = online("a");
    let key = sim.key("a");
    let free = CommandRequest::Json(r#" {"command":"SET \"X\"", "seconds": 5, "deep":{"a":[1]}} "#);
    let out = sim.fleet.command(at(0.0), key, "u", free).unwrap();
    let text = String::from_utf8(out.payload).unwrap();
    assert_eq!(
        text,
        r#"{"uuid":"u","command":"SET \"X\"","seconds":5,"deep":{"a":[1]}}"#
    );
    assert_eq!(sim.device("a").command("u").unwrap().name(), "SET \"X\"");
    let hostile = CommandRequest::Named("\"},\"x\":\"\u{1}");
    let out = sim.fleet.command(at(0.0), key, "v", hostile).unwrap();
    assert_eq!(
        out.payload,
        br#"{"uuid":"v","command":"\"},\"x\":\"\u0001"}"#
    );
}

#[test]
fn what_is_no_command_is_refused_with_its_reason() {
    let mut sim = online("a");
    sim.publish("plain/temperature", "1");
    let (key, plain) = (sim.key("a"), sim.key("plain"));
    let mut refused = |device, uuid: &str, request| {
        sim.fleet
            .command(at(0.0), device, uuid, request)
            .unwrap_err()
    };
    assert_eq!(refused(plain, "u", PING), CommandError::NotSupported);
    assert_eq!(refused(key, "", PING), CommandError::InvalidUuid);
    assert_eq!(refused(key, "a b", PING), CommandError::InvalidUuid);
    assert_eq!(
        refused(key, &"x".repeat(129), PING),
        CommandError::InvalidUuid
    );
    assert_eq!(
        refused(key, "u", CommandRequest::Named("")),
        CommandError::NoName
    );
    assert_eq!(
        refused(key, "u", CommandRequest::Json("{}")),
        CommandError::NoName
    );
    assert_eq!(
        refused(key, "u", CommandRequest::Json(r#"{"command":5}"#)),
        CommandError::NoName
    );
    assert_eq!(
        refused(key, "u", CommandRequest::Json("[1]")),
        CommandError::NotAnObject { offset: 0 }
    );
    assert_eq!(
        refused(key, "u", CommandRequest::Json(r#"{"a":1} x"#)),
        CommandError::NotAnObject { offset: 8 }
    );
    assert_eq!(
        refused(
            key,
            "u",
            CommandRequest::Json(r#"{"command":"A","uuid":1}"#)
        ),
        CommandError::HasUuid
    );
    let long = format!(r#"{{"command":"A","x":"{}"}}"#, "y".repeat(1 << 16));
    assert_eq!(
        refused(key, "u", CommandRequest::Json(&long)),
        CommandError::TooLong
    );
    assert_eq!(sim.device("a").commands().count(), 0);
    sim.fleet.command(at(0.0), key, "u", PING).unwrap();
    assert_eq!(
        sim.fleet.command(at(0.0), key, "u", PING),
        Err(CommandError::DuplicateUuid)
    );
}

#[test]
fn no_answer_is_a_time_out_and_a_late_one_still_counts() {
    let mut sim = online("a");
    let key = sim.key("a");
    sim.fleet.command(at(0.0), key, "u", PING).unwrap();
    sim.until(100.0);
    assert_eq!(
        state(&sim, "a", "u"),
        CommandState::Queued,
        "not sent, so nothing to wait for"
    );
    sim.fleet.note_command_sent(at(100.0), key, "u");
    sim.until(129.9);
    assert_eq!(state(&sim, "a", "u"), CommandState::Sent);
    sim.until(130.0);
    assert_eq!(
        state(&sim, "a", "u"),
        CommandState::TimedOut { at: at(130.0) }
    );
    sim.until(140.0)
        .publish("p/cmd/resp/a", r#"{"uuid":"u","commandResult":1}"#);
    let CommandState::Answered { after_ms, .. } = state(&sim, "a", "u") else {
        panic!("a late answer is an answer");
    };
    assert_eq!(after_ms, Some(40_000));
}

#[test]
fn a_sleeping_device_has_time_until_it_wakes() {
    let mut sim = Sim::new();
    for cycle in 0..3 {
        sim.until(f64::from(cycle) * 600.0)
            .publish("p/register/a", "SIGN_IN");
        sim.until(f64::from(cycle) * 600.0 + 5.0)
            .publish("p/register/a", "SIGN_OUT");
    }
    let key = sim.key("a");
    sim.fleet.command(at(1300.0), key, "u", PING).unwrap();
    sim.fleet.note_command_sent(at(1300.0), key, "u");
    sim.until(1829.0);
    assert_eq!(state(&sim, "a", "u"), CommandState::Sent);
    sim.until(1830.0);
    assert_eq!(
        state(&sim, "a", "u"),
        CommandState::TimedOut { at: at(1830.0) }
    );
}

#[test]
fn our_own_absence_gives_no_command_up() {
    let mut sim = online("a");
    let key = sim.key("a");
    sim.fleet.command(at(0.0), key, "u", PING).unwrap();
    sim.fleet.note_command_sent(at(0.0), key, "u");
    sim.fleet
        .handle_observer(at(10.0), ObserverState::Disconnected);
    sim.until(500.0);
    assert_eq!(state(&sim, "a", "u"), CommandState::Sent);
    sim.fleet
        .handle_observer(at(500.0), ObserverState::Connected);
    sim.until(529.0);
    assert_eq!(state(&sim, "a", "u"), CommandState::Sent);
    sim.until(530.0);
    assert_eq!(
        state(&sim, "a", "u"),
        CommandState::TimedOut { at: at(530.0) }
    );
    // The same after a laptop's sleep.
    sim.fleet.command(at(600.0), key, "v", PING).unwrap();
    sim.fleet.note_command_sent(at(600.0), key, "v");
    sim.fleet.handle_timeout(at(9000.0));
    assert_eq!(state(&sim, "a", "v"), CommandState::Sent);
    sim.until(9030.0);
    assert_eq!(
        state(&sim, "a", "v"),
        CommandState::TimedOut { at: at(9030.0) }
    );
}

#[test]
fn failures_are_told_from_successes() {
    for (answer, ok, result) in [
        (r#"{"uuid":"u","commandResult":"PONG"}"#, true, "\"PONG\""),
        (
            r#"{"uuid":"u","commandResult":{"on":true},"error":null}"#,
            true,
            r#"{"on":true}"#,
        ),
        (
            r#"{"uuid":"u","commandResult":null,"error":"unknown command"}"#,
            false,
            "\"unknown command\"",
        ),
        (
            r#"{"uuid":"u","error":"unknown command"}"#,
            false,
            "\"unknown command\"",
        ),
        (
            r#"{"uuid":"u","commandResult":"ERROR: no"}"#,
            false,
            "\"ERROR: no\"",
        ),
        (
            r#"{"uuid":"u","commandResult":"Unknown command"}"#,
            false,
            "\"Unknown command\"",
        ),
        (r#"{"uuid":"u","ok":false,"commandResult":1}"#, false, "1"),
        (
            r#"{"uuid":"u","status":"error","commandResult":1}"#,
            false,
            "1",
        ),
    ] {
        let mut sim = online("a");
        let key = sim.key("a");
        sim.fleet.command(at(0.0), key, "u", PING).unwrap();
        sim.fleet.note_command_sent(at(0.0), key, "u");
        sim.publish("p/cmd/resp/a", answer);
        let CommandState::Answered {
            ok: told,
            result: text,
            ..
        } = state(&sim, "a", "u")
        else {
            panic!("{answer}");
        };
        assert_eq!((told, &*text), (ok, result), "{answer}");
    }
}

#[test]
fn answers_find_their_command_by_correlation_or_by_name() {
    let mut sim = online("a");
    let key = sim.key("a");
    for uuid in ["1", "2", "3"] {
        sim.fleet.command(at(0.0), key, uuid, PING).unwrap();
        sim.fleet.note_command_sent(at(0.0), key, uuid);
    }
    let mut message = fleet::Message::new("p/cmd/resp/a", br#"{"commandResult":"PONG"}"#);
    message.correlation_data = Some(b"2");
    sim.fleet.handle_message(at(1.0), message);
    assert!(state(&sim, "a", "1").is_open());
    assert!(!state(&sim, "a", "2").is_open());
    sim.publish(
        "p/cmd/resp/a",
        r#"{"commandResult":"PONG","command":"PING"}"#,
    );
    assert!(!state(&sim, "a", "1").is_open(), "the oldest open one");
    sim.publish(
        "p/cmd/resp/a",
        r#"{"uuid":"unheard of","commandResult":"PONG"}"#,
    );
    assert!(state(&sim, "a", "3").is_open());
}

#[test]
fn commands_of_others_are_seen_too() {
    let mut sim = online("a");
    sim.publish(
        "p/cmd/req/a",
        r#"{"uuid":"theirs","command":"REBOOT","now":true}"#,
    );
    let command = sim.device("a").command("theirs").unwrap();
    assert!(!command.is_ours());
    assert_eq!(
        (command.name(), command.state()),
        ("REBOOT", &CommandState::Pending)
    );
    sim.until(2.0)
        .publish("p/cmd/resp/a", r#"{"uuid":"theirs","commandResult":"OK"}"#);
    assert!(!state(&sim, "a", "theirs").is_open());
    // An old one out of the store is nothing to wait for; one without an id cannot be followed.
    sim.retained("p/cmd/req/a", r#"{"uuid":"old","command":"PING"}"#);
    sim.publish("p/cmd/req/a", r#"{"command":"PING"}"#);
    assert_eq!(sim.device("a").commands().count(), 1);
}

#[test]
fn finished_commands_make_room_and_open_ones_do_not() {
    let mut sim = Sim::with(FleetOptions {
        max_commands_per_device: 3,
        ..FleetOptions::default()
    });
    sim.publish("p/register/a", "SIGN_IN");
    let key = sim.key("a");
    for uuid in ["1", "2", "3"] {
        sim.fleet.command(at(0.0), key, uuid, PING).unwrap();
    }
    assert_eq!(
        sim.fleet.command(at(0.0), key, "4", PING),
        Err(CommandError::TooMany)
    );
    sim.fleet
        .note_command_failed(at(0.0), key, "2", "not connected");
    sim.fleet.command(at(0.0), key, "4", PING).unwrap();
    let left: Vec<_> = sim
        .device("a")
        .commands()
        .map(fleet::Command::uuid)
        .collect();
    assert_eq!(left, ["4", "3", "1"], "newest first");
    let before = sim.fleet.memory_used();
    sim.fleet.forget_command(key, "3");
    assert!(sim.fleet.memory_used() < before);
    assert_eq!(sim.device("a").commands().count(), 2);
}

/// The page reads and writes without serde; the types of `api` are the definition.
mod as_api_defines_them {
    use super::*;
    use proptest::prelude::*;

    /// JSON of any kind, as a device may write it.
    fn json() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("null".to_owned()),
            Just("false".to_owned()),
            Just("true".to_owned()),
            Just(r#""""#.to_owned()),
            Just(r#""error""#.to_owned()),
            Just(r#""Error: hot""#.to_owned()),
            Just(r#""UNKNOWN command""#.to_owned()),
            Just(r#"{"a":[1,"error"]}"#.to_owned()),
            any::<i32>().prop_map(|number| number.to_string()),
            ".{0,6}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        ]
    }

    proptest! {
        #[test]
        fn a_command_is_written(name in ".{1,12}", member in "[a-c]{1,3}", value in json()) {
            let mut sim = online("a");
            let key = sim.key("a");
            let named = CommandRequest::Named(&name);
            let out = sim.fleet.command(at(0.0), key, "u-1", named).unwrap();
            let written = api::Command::new(&name).with_uuid("u-1").to_json();
            prop_assert_eq!(String::from_utf8(out.payload).unwrap(), written);

            let mut command = api::Command::new(&name);
            command.arguments.push(&member, api::Raw::parse(value).unwrap());
            let typed = command.to_json();
            let typed = CommandRequest::Json(&typed);
            let out = sim.fleet.command(at(0.0), key, "u-2", typed).unwrap();
            let written = command.with_uuid("u-2").to_json();
            prop_assert_eq!(String::from_utf8(out.payload).unwrap(), written);
        }

        #[test]
        fn an_answer_is_read(
            members in proptest::sample::subsequence(
                vec!["commandResult", "error", "ok", "success", "status", "other"], 0..6),
            values in proptest::collection::vec(json(), 6),
        ) {
            let mut answer = String::from(r#"{"uuid":"u""#);
            for (member, value) in members.iter().zip(&values) {
                answer.extend([",\"", member, "\":", value]);
            }
            answer.push('}');
            let mut sim = online("a");
            let key = sim.key("a");
            sim.fleet.command(at(0.0), key, "u", PING).unwrap();
            sim.publish("p/cmd/resp/a", &answer);
            let CommandState::Answered { ok, result, .. } = state(&sim, "a", "u") else {
                panic!("not answered: {answer}");
            };
            let defined = api::CommandAnswer::parse(&answer).unwrap();
            let defined = (defined.is_success(), defined.result());
            prop_assert_eq!((ok, &*result), defined, "{}", answer);
        }
    }
}

#[test]
fn a_request_is_checked_whatever_uuids_were_seen_on_the_wire() {
    let mut sim = online("a");
    sim.publish("p/cmd/req/a", r#"{"uuid":"-","command":"PING"}"#);
    assert!(sim.device("a").command("-").is_some());
    let key = sim.key("a");
    assert_eq!(sim.fleet.check_command(key, PING), Ok(()));
    let again = sim.fleet.command(at(1.0), key, "-", PING);
    assert_eq!(again.unwrap_err(), CommandError::DuplicateUuid);
}
