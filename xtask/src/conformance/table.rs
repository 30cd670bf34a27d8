//! Which test holds which statement: the table, and its gaps.

use std::{collections::BTreeMap, fmt::Write as _};

use super::statements::{Id, Side, Statement, Statements, Version};

/// What a test speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// The running server, in raw bytes, over each transport.
    Wire,
    /// The running server, otherwise.
    Program,
    /// The broker or a part of the server, without sockets.
    Broker,
    /// Our client, without sockets.
    Client,
    /// The codec, which both use.
    Codec,
}

impl Layer {
    /// The layer of a test's file. `None` if nothing there tests MQTT.
    pub(super) fn of(path: &str) -> Option<Self> {
        const PLACES: &[(&str, Layer)] = &[
            ("server/tests/conformance/", Layer::Wire),
            ("server/tests/", Layer::Program),
            ("e2e/", Layer::Program),
            ("server/src/", Layer::Broker),
            ("crates/broker/", Layer::Broker),
            ("crates/store/", Layer::Broker),
            ("crates/transport/", Layer::Broker),
            ("crates/sim/tests/client/", Layer::Client),
            ("crates/sim/tests/", Layer::Broker),
            ("crates/mqtt/src/client/", Layer::Client),
            ("crates/mqtt/tests/conformance_client/", Layer::Client),
            ("crates/mqtt/", Layer::Codec),
            ("crates/widgets/", Layer::Client),
            ("app/", Layer::Client),
        ];
        PLACES
            .iter()
            .find(|(place, _)| path.starts_with(place))
            .map(|(_, layer)| *layer)
    }

    fn holds(self, side: Side) -> bool {
        match self {
            Self::Wire | Self::Program | Self::Broker => side == Side::Server,
            Self::Client => side == Side::Client,
            Self::Codec => true,
        }
    }
}

/// The tests of each statement, as `path::name`.
pub(super) type Held = BTreeMap<Id, Vec<(Layer, String)>>;

/// The statements that a side can break and that no test holds, or that a server can break and no
/// test over the wire holds; and reasons that are no longer needed.
pub(super) fn gaps(statements: &Statements, held: &Held) -> Vec<String> {
    let mut gaps = Vec::new();
    for (id, statement) in statements {
        for side in [Side::Server, Side::Client] {
            if !statement.who.includes(side) {
                continue;
            }
            let name = match side {
                Side::Server => "server",
                Side::Client => "client",
            };
            match (holds(held, id, side), statement.excused(side)) {
                (false, false) => gaps.push(format!(
                    "[{id}] no test holds the {name} to it: {}",
                    statement.wording
                )),
                (true, true) => gaps.push(format!(
                    "[{id}] is listed as untestable for the {name}, but a test names it"
                )),
                (true, false) if side == Side::Server => {
                    gaps.extend(gap_of_the_wire(id, statement, held));
                }
                (true, false) | (false, true) => {}
            }
        }
    }
    gaps
}

/// The gap of a statement that some test holds a server to.
fn gap_of_the_wire(id: &Id, statement: &Statement, held: &Held) -> Option<String> {
    match (is_over_the_wire(held, id), &statement.not_over_the_wire) {
        (false, None) => Some(format!(
            "[{id}] no test over the wire holds the server to it, and no reason says why: {}",
            statement.wording
        )),
        (true, Some(_)) => Some(format!(
            "[{id}] is listed as not over the wire, but a test there names it"
        )),
        (true, None) | (false, Some(_)) => None,
    }
}

fn is_over_the_wire(held: &Held, id: &Id) -> bool {
    held.get(id)
        .is_some_and(|tests| tests.iter().any(|(layer, _)| *layer == Layer::Wire))
}

fn holds(held: &Held, id: &Id, side: Side) -> bool {
    held.get(id)
        .is_some_and(|tests| tests.iter().any(|(layer, _)| layer.holds(side)))
}

/// The whole of docs/conformance.md.
pub(super) fn render(statements: &Statements, held: &Held) -> String {
    let mut text = String::from(HEAD);
    totals(statements, held, &mut text);
    for (version, title) in [
        (Version::V5, "MQTT 5"),
        (Version::V3_1_1, "MQTT 3.1.1, where it differs"),
    ] {
        let _ = writeln!(text, "\n## {title}");
        let mut chapter = None;
        for (id, statement) in statements.iter().filter(|(id, _)| id.version == version) {
            if chapter != Some(id.chapter()) {
                chapter = Some(id.chapter());
                let _ = writeln!(
                    text,
                    "\n### Chapter {}\n\n| statement | who | held by |\n|---|---|---|",
                    id.chapter()
                );
            }
            row(id, statement, held, &mut text);
        }
    }
    text
}

const HEAD: &str = "\
# Conformance

Written by `cargo xtask conformance`; do not edit. The table lists the normative statements of MQTT 5,
and those of 3.1.1 that differ, in our own words. It says who can break each statement (a server, a
client, or both), and names the tests that cite its id, or why no test can hold it.

**wire** tests send raw bytes to the running server, over TCP, over WebSocket, and to a server that
stores things. Every statement that a server can break has to be held there, or a reason says why not.
**program** tests use the running server in other ways. **broker** tests use the broker without
sockets. **client** tests use our client without sockets. **codec** tests check the packets, which both
sides share.

";

fn totals(statements: &Statements, held: &Held, text: &mut String) {
    text.push_str("| | statements | a server can break | over the wire | a client can break | held there | not testable |\n|---|---|---|---|---|---|---|\n");
    for (version, title) in [(Version::V5, "MQTT 5"), (Version::V3_1_1, "MQTT 3.1.1")] {
        let of_version: Vec<(&Id, &Statement)> = statements
            .iter()
            .filter(|(id, _)| id.version == version)
            .collect();
        let binding = |side| {
            of_version
                .iter()
                .filter(move |(_, statement)| statement.who.includes(side))
        };
        let wire = binding(Side::Server).filter(|(id, _)| is_over_the_wire(held, id));
        let client = binding(Side::Client).filter(|(id, _)| holds(held, id, Side::Client));
        let excused = of_version
            .iter()
            .filter(|(_, statement)| statement.untestable.is_some());
        let _ = writeln!(
            text,
            "| {title} | {} | {} | {} | {} | {} | {} |",
            of_version.len(),
            binding(Side::Server).count(),
            wire.count(),
            binding(Side::Client).count(),
            client.count(),
            excused.count(),
        );
    }
}

fn row(id: &Id, statement: &Statement, held: &Held, text: &mut String) {
    let mut cells = Vec::new();
    let tests = held.get(id).map_or(&[][..], Vec::as_slice);
    for (layer, name) in [
        (Layer::Wire, "wire"),
        (Layer::Program, "program"),
        (Layer::Broker, "broker"),
        (Layer::Client, "client"),
        (Layer::Codec, "codec"),
    ] {
        let of_layer: Vec<String> = tests
            .iter()
            .filter(|(of, _)| *of == layer)
            .map(|(_, test)| format!("`{test}`"))
            .collect();
        if !of_layer.is_empty() {
            cells.push(format!("**{name}** {}", of_layer.join(", ")));
        }
    }
    if let Some((side, reason)) = &statement.untestable {
        cells.push(match side {
            None => format!("*not testable:* {reason}"),
            Some(Side::Server) => format!("*not testable of a server:* {reason}"),
            Some(Side::Client) => format!("*not testable of a client:* {reason}"),
        });
    }
    if let Some(reason) = &statement.not_over_the_wire {
        cells.push(format!("*not over the wire:* {reason}"));
    }
    if cells.is_empty() {
        cells.push("**nothing**".to_owned());
    }
    let _ = writeln!(
        text,
        "| **{id}** {} | {} | {} |",
        escaped(&statement.wording),
        statement.who.name(),
        escaped(&cells.join("<br>"))
    );
}

/// A bar would end the cell.
fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::statements::Who;
    use super::*;

    fn id(text: &str) -> Id {
        Id::read(text, Version::V5).unwrap()
    }

    fn statement(who: Who, untestable: Option<(Option<Side>, String)>) -> Statement {
        Statement {
            who,
            wording: "a | b".to_owned(),
            untestable,
            not_over_the_wire: None,
        }
    }

    /// `excused` is nothing, or the only thing that is not testable.
    fn table(tests: &[Layer], who: Who, excused: &[Option<Side>]) -> (Statements, Held) {
        let untestable = excused.first().map(|side| (*side, "because".to_owned()));
        let tests = tests.iter().map(|layer| (*layer, "t".to_owned())).collect();
        (
            Statements::from([(id("3.1.4-3"), statement(who, untestable))]),
            Held::from([(id("3.1.4-3"), tests)]),
        )
    }

    #[test]
    fn each_side_needs_a_test_or_a_reason() {
        let nothing = &[][..];
        let server = &[Some(Side::Server)];
        let client = &[Some(Side::Client)];
        for (tests, who, excused, missing) in [
            (&[][..], Who::Server, nothing, 1),
            (&[], Who::Both, nothing, 2),
            (&[], Who::Both, &[None], 0),
            (&[], Who::Both, client, 1),
            (&[Layer::Wire], Who::Both, client, 0),
            (&[Layer::Wire], Who::Both, server, 2), // one reason too many, and no test of the client
            (&[Layer::Broker], Who::Client, nothing, 1),
            (&[Layer::Client], Who::Server, nothing, 1),
            (&[Layer::Codec], Who::Client, nothing, 0),
            (&[Layer::Codec, Layer::Wire], Who::Both, nothing, 0),
            (&[Layer::Wire, Layer::Client], Who::Both, nothing, 0),
        ] {
            let (statements, held) = table(tests, who, excused);
            let gaps = gaps(&statements, &held);
            assert_eq!(gaps.len(), missing, "{tests:?} {who:?} {gaps:?}");
        }
    }

    #[test]
    fn what_a_server_can_break_is_held_over_the_wire_or_a_reason_says_why_not() {
        for (tests, who, reason, missing) in [
            (&[Layer::Wire][..], Who::Server, false, 0),
            (&[Layer::Broker], Who::Server, false, 1),
            (&[Layer::Program, Layer::Codec], Who::Server, false, 1),
            (&[Layer::Codec], Who::Both, false, 1),
            (&[Layer::Codec], Who::Both, true, 0),
            (&[Layer::Broker, Layer::Wire], Who::Server, true, 1), // one reason too many
            (&[], Who::Server, true, 1),                           // it excuses from no other test
        ] {
            let (mut statements, held) = table(tests, who, &[]);
            for statement in statements.values_mut() {
                statement.not_over_the_wire = reason.then(|| "for this".to_owned());
            }
            let gaps = gaps(&statements, &held);
            assert_eq!(gaps.len(), missing, "{tests:?} {who:?} {gaps:?}");
            let told = "*not over the wire:* for this";
            assert_eq!(render(&statements, &held).contains(told), reason);
        }
    }

    #[test]
    fn a_row_names_its_tests_and_its_reason() {
        let (statements, held) = table(&[Layer::Wire], Who::Both, &[Some(Side::Client)]);
        let text = render(&statements, &held);
        let row = "| **MQTT-3.1.4-3** a \\| b | both | **wire** `t`<br>*not testable of a client:* because |";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("| MQTT 5 | 1 | 1 | 1 | 1 | 0 | 1 |"),
            "{text}"
        );
    }

    #[test]
    fn a_path_tells_what_is_spoken_to() {
        for (path, layer) in [
            ("server/tests/conformance/connect.rs", Some(Layer::Wire)),
            ("server/tests/serve/tcp.rs", Some(Layer::Program)),
            (
                "crates/mqtt/src/client/tests/messages.rs",
                Some(Layer::Client),
            ),
            ("crates/mqtt/tests/golden.rs", Some(Layer::Codec)),
            ("crates/sim/tests/broker.rs", Some(Layer::Broker)),
            ("crates/fleet/src/lib.rs", None),
        ] {
            assert_eq!(Layer::of(path), layer, "{path}");
        }
    }
}
