//! Which test holds which statement: the table, and what is missing in it.

use std::{collections::BTreeMap, fmt::Write as _};

use super::statements::{Id, Side, Statement, Statements, Version};

/// What a test speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    /// The running server, over sockets.
    Wire,
    /// The broker or a part of the server, without sockets.
    Broker,
    /// Our client, without sockets.
    Client,
    /// The codec, which both use.
    Codec,
}

impl Layer {
    /// Of the test's file; `None` where nothing of MQTT is tested.
    pub(super) fn of(path: &str) -> Option<Self> {
        const PLACES: &[(&str, Layer)] = &[
            ("server/tests/", Layer::Wire),
            ("e2e/", Layer::Wire),
            ("server/src/", Layer::Broker),
            ("crates/broker/", Layer::Broker),
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
            Self::Wire | Self::Broker => side == Side::Server,
            Self::Client => side == Side::Client,
            Self::Codec => true,
        }
    }
}

/// The tests of each statement, as `path::name`.
pub(super) type Held = BTreeMap<Id, Vec<(Layer, String)>>;

/// Each statement that some side can break and that nothing holds; and reasons that no longer hold.
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
                (true, false) | (false, true) => {}
            }
        }
    }
    gaps
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

Written by `cargo xtask conformance`; do not edit. It lists the normative statements of MQTT 5, and
those of 3.1.1 that differ, in our own words; who can break each (a server, a client, or both); and
the tests that name its id, or why no test can hold it.

**wire**: raw bytes to the running server; what is in `server/tests/conformance` goes over TCP and over
WebSocket. **broker**: the broker without sockets. **client**: our client without sockets. **codec**:
the packets, which both sides share.

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
        let wire = binding(Side::Server).filter(|(id, _)| {
            held.get(id)
                .is_some_and(|tests| tests.iter().any(|(layer, _)| *layer == Layer::Wire))
        });
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
        }
    }

    /// `excused`: nothing, or the one thing that is not testable.
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
            (&[Layer::Wire], Who::Both, server, 2), // a reason too many, and no test of the client
            (&[Layer::Broker], Who::Client, nothing, 1),
            (&[Layer::Client], Who::Server, nothing, 1),
            (&[Layer::Codec], Who::Both, nothing, 0),
            (&[Layer::Broker, Layer::Client], Who::Both, nothing, 0),
        ] {
            let (statements, held) = table(tests, who, excused);
            let gaps = gaps(&statements, &held);
            assert_eq!(gaps.len(), missing, "{tests:?} {who:?} {gaps:?}");
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
