//! Short scripts of command lines, run with different programs in the places of `pub` and `sub`.
//!
//! A line is `pub …` or `sub …`: the program runs to its end. `sub& …` starts it and waits until it has
//! subscribed, and `wait` waits for its end. `put …` is mosquitto's publisher in any case. `{t}` is a topic
//! of the script's own. Words in '…' may hold spaces, `<'…'` is standard input, and `\n` in it is a new
//! line.

use std::fmt::Write;
use std::process::Command;

use super::support::{Ended, Running, Server, beaconry, run_command, wait_until};

/// Whose programs take the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Mosquitto,
    Beaconry,
}

/// Who publishes and who subscribes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    pub(crate) publisher: Maker,
    pub(crate) subscriber: Maker,
}

/// What a script printed, with the exit codes.
pub(crate) fn play(server: &Server, cast: Cast, topic: &str, script: &str) -> String {
    let mut transcript = String::new();
    let mut running: Option<Running> = None;
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (words, stdin) = words(&line.replace("{t}", topic));
        let (verb, rest) = words.split_first().unwrap();
        let port = server.mqtt.port().to_string();
        let command = |maker, name| {
            let mut command = program(maker, name);
            command.args(["-h", "127.0.0.1", "-p", &port]).args(rest);
            command
        };
        match verb.as_str() {
            "pub" => note(
                &mut transcript,
                &run_command(&mut command(cast.publisher, "pub"), &stdin),
            ),
            "sub" => note(
                &mut transcript,
                &run_command(&mut command(cast.subscriber, "sub"), &stdin),
            ),
            "put" => {
                let ended = run_command(&mut command(Maker::Mosquitto, "pub"), &stdin);
                assert_eq!(ended.code, Some(0), "{line}: {ended:?}");
            }
            "sub&" => {
                // Who ended a moment ago may still count.
                wait_until("an idle server", || server.connections() == 0);
                let before = server.subscriptions();
                let mut started = Running::start(&mut command(cast.subscriber, "sub"));
                drop(started.stdin());
                wait_until(line, || server.subscriptions() > before);
                running = Some(started);
            }
            "wait" => note(&mut transcript, &running.take().unwrap().ended()),
            other => panic!("{other} is no verb of a script"),
        }
    }
    transcript.replace(topic, "{t}")
}

fn program(maker: Maker, name: &str) -> Command {
    match maker {
        Maker::Mosquitto => Command::new(format!("mosquitto_{name}")),
        Maker::Beaconry => {
            let mut command = beaconry();
            command.arg(name);
            command
        }
    }
}

fn note(transcript: &mut String, ended: &Ended) {
    let stdout = String::from_utf8_lossy(&ended.stdout);
    writeln!(transcript, "{stdout}[exit {}]", ended.code.unwrap()).unwrap();
}

/// The words of a line, and its standard input.
fn words(line: &str) -> (Vec<String>, Vec<u8>) {
    let (mut words, mut stdin) = (Vec::new(), Vec::new());
    let mut rest = line;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return (words, stdin);
        }
        let is_input = rest.starts_with("<'");
        let (word, after) = match rest.trim_start_matches('<').strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'').unwrap(),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        rest = after;
        if is_input {
            stdin = word.replace("\\n", "\n").into_bytes();
        } else {
            words.push(word.to_owned());
        }
    }
}
