//! `mosquitto_pub` and `mosquitto_sub` replaced by `beaconry pub` and `beaconry sub` in scripts: the same
//! output and the same exit codes, with each publisher and each subscriber.
//!
//! These need mosquitto's clients. `cargo xtask test e2e` installs and runs them; a plain `cargo test` does
//! not, because it must work on every machine.

use std::process::Command;
use std::thread;

use super::script::{Cast, Maker, play};
use super::support::Server;

/// How a script's output is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    Exactly,
    /// Every digit counts as any other: there are times in it.
    WithoutDigits,
    /// Retained messages come in no order.
    WithoutOrder,
}

use Compare::{Exactly, WithoutDigits, WithoutOrder};

/// The scripts. Each stands for what someone does with mosquitto's tools.
const SCRIPTS: &[(&str, Compare, &str)] = &[
    ("a retained message", Exactly, "
        pub -t {t} -m hello -r
        sub -t {t} -C 1"),
    ("the topic too", Exactly, "
        pub -t {t} -m 'hello world' -r
        sub -t {t} -C 1 -v"),
    ("long names", Exactly, "
        pub --topic {t} --message hello --retain --qos 1 --id me-{t} --keepalive 30
        sub --topic {t} -C 1 --verbose --qos 1 --id you-{t} --keepalive 30"),
    ("live messages in their order", Exactly, "
        sub& -t {t}/# -v -C 4
        pub -t {t}/a -m one
        pub -t {t}/b -m two -q 1
        pub -t {t}/c -m three -q 2
        pub -t {t} -m four
        wait"),
    ("two filters", Exactly, "
        sub& -t {t}/a -t {t}/+/c -v -C 2
        pub -t {t}/x -m no
        pub -t {t}/a -m one
        pub -t {t}/b/c -m two
        wait"),
    ("filtered out", Exactly, "
        sub& -t {t}/# -T {t}/no/+ -T {t}/never -v -C 2
        pub -t {t}/a -m one
        pub -t {t}/no/b -m two
        pub -t {t}/never -m three
        pub -t {t}/no -m four
        wait"),
    ("a line for each line", Exactly, "
        sub& -t {t} -C 4
        pub -t {t} -l -q 1 <'one\\ntwo\\n three \\nfour'
        wait"),
    ("an empty line is a message", Exactly, "
        sub& -t {t} -C 3 -v
        pub -t {t} -l -q 1 <'one\\n\\nthree\\n'
        wait"),
    ("no line at all", Exactly, "
        pub -t {t} -l <''"),
    ("standard input as one message", Exactly, "
        pub -t {t} -s -r <'one\\ntwo\\n'
        sub -t {t} -C 1"),
    ("empty standard input", Exactly, "
        pub -t {t} -s <''"),
    ("a file", Exactly, "
        pub -t {t} -f Cargo.toml -r
        sub -t {t} -C 1"),
    ("a file that is not there", Exactly, "
        pub -t {t} -f no/such/file"),
    ("an empty message removes the retained one", Exactly, "
        pub -t {t} -m one -r
        pub -t {t} -n -r
        sub -t {t} -W 1"),
    ("an empty message", Exactly, "
        sub& -t {t} -v -C 1
        pub -t {t} -n
        wait
        sub& -t {t} -C 1
        pub -t {t} -m ''
        wait"),
    ("without ends of lines", Exactly, "
        sub& -t {t} -N -C 3
        pub -t {t} -l -q 1 <'one\\ntwo\\nthree\\n'
        wait"),
    ("a message several times", Exactly, "
        sub& -t {t} -C 3
        pub -t {t} -m again --repeat 3 --repeat-delay 0.1 -q 1
        wait"),
    ("a format", Exactly, "
        sub& -t {t} -F '%t: %p (%l bytes) qos %q retained %r %%' -C 1 -q 2
        pub -t {t} -m 'a b' -q 1
        wait"),
    ("hexadecimal", Exactly, "
        pub -t {t} -m 'hé\\o' -r
        sub -t {t} -F '%x %X' -C 1"),
    ("widths", Exactly, "
        pub -t {t} -m payload -r
        sub -t {t} -F '%20t|%-20t|%.3t|%10.4t|%5l|%-5l|%05l|%12p|%-12p|%3p|%012p|%4m' -C 1"),
    ("escapes", Exactly, "
        pub -t {t} -m x -r
        sub -t {t} -F 'a\\tb\\\\c\\ed\\0e\\v\\a\\r\\n@@' -C 1"),
    ("times", WithoutDigits, "
        pub -t {t} -m x -r
        sub -t {t} -F '%I %U @Y-@m-@d @H:@M:@S.@N @s @j @y @C @u @V @G @z @Z @D @F @T @R @x @X' -C 1"),
    ("names of days and months", Exactly, "
        pub -t {t} -m x -r
        sub -t {t} -F '@a @A @b @B @h @p @P' -C 1"),
    ("JSON", WithoutDigits, "
        pub -t {t} -m '{\"a\": \"b\\\\c\", \"d\": [true, null]}' -r
        sub -t {t} -F %j -C 1
        sub -t {t} -F '%J' -C 1
        sub -t {t} -F %j --pretty -C 1
        sub -t {t} -F %J --pretty -C 1"),
    ("JSON with a packet id", WithoutDigits, "
        sub& -t {t} -F %j -C 1 -q 1
        pub -t {t} -m text -q 1
        wait"),
    ("JSON that is none", Exactly, "
        pub -t {t} -m nonsense -r
        sub -t {t} -F 'before %J after' -C 1"),
    ("properties", Exactly, "
        sub& -t {t} -V 5 -C 1 -F '%C|%P|%R|%D|%E|%F|%S|%10C|%-4F|%04F|%A|' -D subscribe subscription-identifier 7
        pub -t {t} -m x -D publish content-type text/plain -D publish user-property k v -D publish user-property k2 'v 2' -D publish response-topic answers -D publish correlation-data 0815 -D publish payload-format-indicator 1
        wait"),
    ("properties in JSON", WithoutDigits, "
        pub -t {t} -m x -r -V mqttv5 -D publish content-type text/plain -D publish user-property k v -D publish message-expiry-interval 100
        sub -t {t} -V mqttv5 -F %j -C 1"),
    ("no properties", Exactly, "
        pub -t {t} -m x -r
        sub -t {t} -V 5 -C 1 -F '%C|%P|%R|%D|%E|%F|%S|%5C|%5E|%5R|%5S|%A|'"),
    ("only what is new", Exactly, "
        pub -t {t} -m old -r
        sub& -t {t} -R -C 1
        pub -t {t} -m new
        wait"),
    ("only what is new, version 5", Exactly, "
        pub -t {t} -m old -r
        sub& -V 5 -t {t} -R -C 1
        pub -t {t} -m new
        wait"),
    ("only what is retained", WithoutOrder, "
        pub -t {t}/a -m one -r
        pub -t {t}/b -m two -r
        sub& -t {t}/# --retained-only -v
        pub -t {t}/c -m three
        wait"),
    ("retained as published", Exactly, "
        sub& -V 5 -t {t} --retain-as-published -F '%r %p' -C 2
        pub -t {t} -m one -r -q 1
        pub -t {t} -m two -q 1
        wait"),
    ("end at the subscription", Exactly, "
        sub -t {t} -E"),
    ("nothing in time", Exactly, "
        sub -t {t} -W 1"),
    ("a session keeps what comes meanwhile", Exactly, "
        sub -t {t} -c -i one-{t} -q 1 -E
        pub -t {t} -l -q 1 <'one\\ntwo\\nthree\\nfour\\n'
        sub -t {t} -c -i one-{t} -q 1 -C 4"),
    ("a session of version 5", Exactly, "
        sub -V 5 -t {t} -c -i one-{t} -x 60 -q 2 -E
        pub -t {t} -l -q 2 <'one\\ntwo\\nthree\\n'
        sub -V 5 -t {t} -c -i one-{t} -x 60 -q 2 -C 3"),
    ("an ended subscription", Exactly, "
        sub -t {t}/a -c -i one-{t} -q 1 -E
        sub -t {t}/b -U {t}/a -c -i one-{t} -q 1 -W 1
        pub -t {t}/a -m one -q 1
        pub -t {t}/b -m two -q 1
        sub -t {t}/b -c -i one-{t} -q 1 -W 1 -v"),
    ("refused", Exactly, "
        sub -t secret/{t}
        sub -t secret/{t} -V 5
        pub -t secret/{t} -m x -q 1 -V 5"),
    ("a will", Exactly, "
        sub& -t {t}/gone -C 1 -v
        sub -V 5 -t {t} -W 1 --will-topic {t}/gone --will-payload gone --will-qos 1 --will-retain
        wait
        sub -t {t}/gone -C 1 -F '%p %r'"),
    ("a URL", Exactly, "
        pub -L mqtt://user:secret@127.0.0.1/{t} -p {p} -m x -r
        sub -L mqtt://127.0.0.1/{t} -p {p} -C 1 -v"),
    ("wrong command lines", Exactly, "
        sub -C 1
        sub -t {t}/#/x
        sub -t {t} -C 0
        sub -t {t} -q 3
        sub -t {t} -F %Z
        sub -t {t} -F '%'
        sub -t {t} -F '\\q'
        sub -t {t} -R --retained-only
        sub -t {t} -c
        sub -t {t} -i a -I b
        sub -t {t} -k 3
        sub -t {t} --no-such-option
        sub -t {t} -D publish no-such-property x
        sub -t {t} -D connect receive-maximum"),
    ("wrong command lines of a publisher", Exactly, "
        pub -t {t}/+ -m x
        pub -m x -m y -s -t {t}
        pub -t {t} -m x -q 5
        pub -t {t} -m x --repeat 0
        pub -t {t} -m x --will-payload x
        pub -t {t} -m x -V 7
        pub -t {t} -m x -x never
        pub -t {t} -m x --cert only"),
    ("nobody there", Exactly, "
        pub -p 1 -t {t} -m x
        sub -p 1 -t {t}
        pub -h no-such-host.invalid -t {t} -m x
        sub -h no-such-host.invalid -t {t}"),
];

#[test]
#[ignore = "needs mosquitto's clients: cargo xtask test e2e"]
fn scripts_print_the_same() {
    for tool in ["mosquitto_pub", "mosquitto_sub"] {
        let found = Command::new(tool).arg("--help").output();
        found.unwrap_or_else(|error| panic!("{tool}: {error}; install mosquitto-clients"));
    }
    assert!(SCRIPTS.len() >= 30);
    // mosquitto's own tools say what is right.
    let expected = thread::spawn(|| play_all(Maker::Mosquitto, Maker::Mosquitto));
    let others = [
        (Maker::Beaconry, Maker::Beaconry),
        (Maker::Beaconry, Maker::Mosquitto),
        (Maker::Mosquitto, Maker::Beaconry),
    ];
    let others = others.map(|(publisher, subscriber)| {
        let played = thread::spawn(move || play_all(publisher, subscriber));
        (publisher, subscriber, played)
    });
    let expected = expected.join().unwrap();
    let mut faults = Vec::new();
    for (publisher, subscriber, played) in others {
        for ((name, expected), (_, found)) in expected.iter().zip(played.join().unwrap()) {
            if *expected != found {
                faults.push(format!(
                    "--- {name}: {publisher:?} publishes, {subscriber:?} subscribes\nexpected:\n\
                     {expected}\nfound:\n{found}\n"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// All scripts, on a server of their own.
fn play_all(publisher: Maker, subscriber: Maker) -> Vec<(&'static str, String)> {
    let cast = Cast {
        publisher,
        subscriber,
    };
    let server = Server::start(&["--deny-subscribe", "secret/#", "--deny-publish", "secret/#"]);
    let port = server.mqtt.port().to_string();
    let play_one = |(index, (name, compare, script)): (usize, &(&'static str, Compare, &str))| {
        let topic = format!("script-{index:02}");
        let script = script.replace("{p}", &port);
        (
            *name,
            compare.normalised(&play(&server, cast, &topic, &script)),
        )
    };
    SCRIPTS.iter().enumerate().map(play_one).collect()
}

impl Compare {
    fn normalised(self, transcript: &str) -> String {
        match self {
            Exactly => transcript.to_owned(),
            WithoutDigits => {
                let any = |it: char| if it.is_ascii_digit() { '0' } else { it };
                transcript.chars().map(any).collect()
            }
            WithoutOrder => {
                let mut lines: Vec<&str> = transcript.lines().collect();
                lines.sort_unstable();
                lines.join("\n")
            }
        }
    }
}
