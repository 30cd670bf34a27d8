//! The sections of docs/limits.md are made from the table. `UPDATE_DOCS=1 cargo test -p beaconry
//! docs` writes them.

use std::fmt::Write;

use super::row::{Group, Row};
use super::table::TABLE;
use crate::generated;
use crate::metrics::PREFIX;

#[test]
fn docs_limits_is_up_to_date() {
    let mut text = String::new();
    let mut group = None;
    for (row, default) in TABLE.rows_with_defaults() {
        if group != Some(row.group) {
            group = Some(row.group);
            write!(text, "## {}\n\n", title(row.group)).unwrap();
        }
        section(&mut text, row, default);
    }
    generated::compare("docs/limits.md", text.trim_end());
}

fn section(text: &mut String, row: &Row, default: &str) {
    let default = match default.split_once("--max-memory") {
        Some((part, _)) => format!("{part}`--max-memory`"),
        None if default.contains(' ') => default.to_owned(),
        None => format!("`{default}`"),
    };
    let metrics: Vec<_> = row
        .metrics()
        .map(|metric| format!("`{PREFIX}_{metric}`"))
        .collect();
    write!(
        text,
        "### `--{} {}`\n\n{}\n\n**At the limit:** {}\n\n\
         - Default: {default}\n- Variable: `{}`\n- Metrics: {}\n\n",
        row.flag,
        row.unit,
        code(row.help),
        row.at_limit,
        row.variable,
        metrics.join(", ")
    )
    .unwrap();
}

/// `--help` has no markup: flags and values get their backticks here.
fn code(help: &str) -> String {
    let words = help.split(' ').map(|word| {
        let bare = word.trim_end_matches([',', '.', ';', ':']);
        if bare.starts_with("--") || ["disconnect", "drop-newest", "drop-oldest"].contains(&bare) {
            // Only the value is followed by a colon. Without one, "disconnect" is the verb.
            if bare == "disconnect" && bare.len() == word.len() {
                return word.to_owned();
            }
            return format!("`{bare}`{}", &word[bare.len()..]);
        }
        word.to_owned()
    });
    words.collect::<Vec<_>>().join(" ")
}

fn title(group: Group) -> &'static str {
    match group {
        Group::Memory => "Memory",
        Group::Connections => "Connections",
        Group::Packets => "Packets and topics",
        Group::Sessions => "Sessions and wills",
        Group::Subscriptions => "Subscriptions",
        Group::Publishers => "Messages from clients",
        Group::Queues => "Messages to clients",
        Group::Retained => "Retained messages",
        Group::Store => "What is stored",
        Group::Devices => "The model of the devices",
        Group::History => "The history",
    }
}
