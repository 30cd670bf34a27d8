//! The normative statements, in our own words, and who can break each.
//!
//! Each line is one statement: `id | who | wording`. It may end in `| untestable: why` if no test
//! can hold it; `untestable by server: why` and `untestable by client: why` excuse one side of a
//! statement for `both`. It may also end in `| not over the wire: why` if a test can hold a server
//! to it, but none that speaks to the server over a network.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result, bail};

const V5: [&str; 2] = [
    include_str!("v5-connect-publish.txt"),
    include_str!("v5-behaviour.txt"),
];
const V3_1_1: &str = include_str!("v3.1.1.txt");

/// The version of MQTT that a statement belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// Version 5 comes first in the table. 3.1.1 is listed only where it differs.
    V5,
    V3_1_1,
}

/// A statement's id. Ids are ordered as in the standard.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) version: Version,
    /// Section and number together: `[3, 1, 4, 3]` is 3.1.4-3.
    numbers: Vec<u16>,
}

/// Who can break a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Server,
    Client,
    Both,
}

/// One of the two sides that a statement may bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

#[derive(Debug)]
pub(super) struct Statement {
    pub(super) who: Who,
    pub(super) wording: String,
    /// Why no test can hold it, and for which side (`None`: for both).
    pub(super) untestable: Option<(Option<Side>, String)>,
    /// Why no test over the wire can hold a server to it.
    pub(super) not_over_the_wire: Option<String>,
}

pub(super) type Statements = BTreeMap<Id, Statement>;

/// All statements in this repository's lists.
pub(super) fn all() -> Result<Statements> {
    let mut statements = Statements::new();
    for text in V5 {
        read(text, Version::V5, &mut statements)?;
    }
    read(V3_1_1, Version::V3_1_1, &mut statements)?;
    Ok(statements)
}

fn read(text: &str, version: Version, statements: &mut Statements) -> Result<()> {
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (id, statement) = statement(line, version)
            .with_context(|| format!("in the list of statements: {line}"))?;
        if statements.insert(id, statement).is_some() {
            bail!("in the list of statements twice: {line}");
        }
    }
    Ok(())
}

fn statement(line: &str, version: Version) -> Result<(Id, Statement)> {
    let fields: Vec<&str> = line.split(" | ").map(str::trim).collect();
    let [id, who, wording, ref reasons @ ..] = fields[..] else {
        bail!("expected `id | who | wording`, then perhaps `| untestable: why`");
    };
    let who = match who {
        "server" => Who::Server,
        "client" => Who::Client,
        "both" => Who::Both,
        other => bail!("`{other}` is not one of server, client, both"),
    };
    let (reasons, wire) = match reasons {
        [others @ .., last] if last.starts_with(NOT_OVER_THE_WIRE) => (others, Some(last)),
        all => (all, None),
    };
    let statement = Statement {
        who,
        wording: wording.to_owned(),
        untestable: match reasons {
            [] => None,
            [reason] => Some(untestable(reason)?),
            _ => bail!("too many reasons"),
        },
        not_over_the_wire: wire.map(|why| why[NOT_OVER_THE_WIRE.len()..].to_owned()),
    };
    if wire.is_some() && (!who.includes(Side::Server) || statement.excused(Side::Server)) {
        bail!("this statement needs no test over the wire, so it needs no reason");
    }
    let id = Id::read(id, version).context("an id looks like 3.1.4-3")?;
    Ok((id, statement))
}

/// How such a reason begins.
const NOT_OVER_THE_WIRE: &str = "not over the wire: ";

fn untestable(field: &str) -> Result<(Option<Side>, String)> {
    let (head, reason) = field.split_once(": ").context("a reason is missing")?;
    let side = match head {
        "untestable" => None,
        "untestable by server" => Some(Side::Server),
        "untestable by client" => Some(Side::Client),
        other => bail!("`{other}` is not known here"),
    };
    Ok((side, reason.to_owned()))
}

impl Id {
    /// Reads an id such as `3.1.4-3`.
    pub(super) fn read(text: &str, version: Version) -> Option<Self> {
        let (section, number) = text.split_once('-')?;
        let mut numbers = section
            .split('.')
            .map(str::parse)
            .collect::<Result<Vec<u16>, _>>()
            .ok()?;
        numbers.push(number.parse().ok()?);
        Some(Self { version, numbers })
    }

    pub(super) fn of(numbers: Vec<u16>, version: Version) -> Self {
        Self { version, numbers }
    }

    /// The number of its chapter.
    pub(super) fn chapter(&self) -> u16 {
        self.numbers[0]
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, section) = self.numbers.split_last().ok_or(fmt::Error)?;
        let section: Vec<String> = section.iter().map(u16::to_string).collect();
        write!(f, "MQTT-{}-{number}", section.join("."))?;
        match self.version {
            Version::V5 => Ok(()),
            Version::V3_1_1 => write!(f, " of 3.1.1"),
        }
    }
}

impl Who {
    pub(super) fn includes(self, side: Side) -> bool {
        match self {
            Self::Both => true,
            Self::Server => side == Side::Server,
            Self::Client => side == Side::Client,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::Both => "both",
        }
    }
}

impl Statement {
    /// Whether this side needs no test.
    pub(super) fn excused(&self, side: Side) -> bool {
        self.untestable
            .as_ref()
            .is_some_and(|(excused, _)| excused.is_none_or(|excused| excused == side))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many normative statements the standard of version 5 has.
    const STATEMENTS_OF_5: usize = 251;

    #[test]
    fn every_statement_of_version_5_is_listed() {
        let statements = all().unwrap();
        let of_5 = |id: &&Id| id.version == Version::V5;
        assert_eq!(statements.keys().filter(of_5).count(), STATEMENTS_OF_5);
    }

    #[test]
    fn a_line_says_all() {
        let line = "3.1.4-3 | both | Words, and words | untestable by client: because";
        let (id, statement) = statement(line, Version::V5).unwrap();
        assert_eq!(id.to_string(), "MQTT-3.1.4-3");
        assert!(statement.who.includes(Side::Server));
        assert!(statement.excused(Side::Client) && !statement.excused(Side::Server));
        let more = format!("{line} | not over the wire: for this");
        let (_, statement) = super::statement(&more, Version::V5).unwrap();
        assert_eq!(statement.not_over_the_wire.as_deref(), Some("for this"));
        assert!(statement.excused(Side::Client));
        for wrong in [
            "3.1.4-3 | both",
            "3.1.4 | both | x",
            "3.1.4-3 | nobody | x",
            "3.1.4-3 | both | x | because",
            "3.1.4-3 | both | x | untestable: because | untestable: because",
            "3.1.4-3 | both | x | not over the wire: for this | untestable by client: because",
            "3.1.4-3 | both | x | untestable by server: because | not over the wire: for this",
            "3.1.4-3 | client | x | not over the wire: for this",
        ] {
            assert!(super::statement(wrong, Version::V5).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ids_are_ordered_as_numbers() {
        let id = |text| Id::read(text, Version::V5).unwrap();
        assert!(id("3.2.2-9") < id("3.2.2-10"));
        assert!(id("4.2-1") < id("4.3.1-1"));
        assert!(Id::read("3.1.2", Version::V5).is_none());
        assert!(Id::read("3.x.2-1", Version::V5).is_none());
    }
}
