//! For tests: what is documented is what is there.

use std::fmt::Debug;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Command, ServeArgs};

/// The names of a structure's fields, as it prints itself.
pub(crate) fn field_names(structure: &impl Debug) -> Vec<String> {
    let text = format!("{structure:#?}");
    let field = |line: &str| {
        let (name, _) = line.strip_prefix("    ")?.split_once(':')?;
        (!name.starts_with(' ')).then(|| name.to_owned())
    };
    let names: Vec<_> = text.lines().filter_map(field).collect();
    assert!(!names.is_empty(), "{text}");
    names
}

/// The rows of docs/limits.md: their cells.
fn rows() -> Vec<Vec<&'static str>> {
    include_str!("../../docs/limits.md")
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains("`--"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn every_limit_of_the_broker_is_set_by_a_flag_that_is_documented() {
    let source = include_str!("cli/limits.rs");
    let setting = source.split("        broker::Limits {\n").nth(1).unwrap();
    let setting = setting.split("\n        }").next().unwrap();
    for field in field_names(&broker::Limits::default()) {
        let line = setting
            .lines()
            .find(|line| line.trim().starts_with(&format!("{field}:")));
        assert!(line.is_some(), "no flag sets {field}");
    }
    assert!(!setting.contains(".."), "a limit is left at its default");
}

/// The flags that set a field of the broker's limits: a value that is not the default, the fields
/// that it changes, and how the first of them shows itself then.
const FLAGS: [(&str, &str, &[&str], &str); 28] = [
    (
        "max-memory",
        "333MiB",
        &[
            "memory_bytes",
            "all_subscriptions_bytes",
            "all_queues_bytes",
            "all_wills_bytes",
            "all_out_buffers_bytes",
            "all_partial_bytes",
            "retained_bytes",
        ],
        "349175808",
    ),
    ("connect-timeout", "7s", &["connect_timeout"], "7s"),
    ("max-packet-size", "1001", &["maximum_packet_size"], "1001"),
    ("max-early-bytes", "1002", &["early_bytes"], "1002"),
    ("max-topic-length", "1003", &["topic_bytes"], "1003"),
    ("max-topic-levels", "1004", &["topic_levels"], "1004"),
    ("max-topic-alias", "1005", &["topic_alias_maximum"], "1005"),
    (
        "server-topic-aliases",
        "1006",
        &["server_topic_aliases"],
        "1006",
    ),
    ("max-sessions", "1007", &["sessions"], "1007"),
    (
        "max-session-expiry",
        "1008s",
        &["session_expiry_interval"],
        "1008",
    ),
    ("max-will-size", "1009", &["will_bytes"], "1009"),
    ("max-all-wills-bytes", "1010", &["all_wills_bytes"], "1010"),
    (
        "max-subscriptions",
        "1011",
        &["subscriptions_per_client"],
        "1011",
    ),
    (
        "max-subscription-bytes",
        "1012",
        &["subscription_bytes_per_client"],
        "1012",
    ),
    (
        "max-all-subscriptions-bytes",
        "1013",
        &["all_subscriptions_bytes"],
        "1013",
    ),
    ("max-publish-rate", "1014", &["publish_rate"], "1014"),
    ("receive-maximum", "1015", &["receive_maximum"], "1015"),
    ("inflight-window", "1016", &["inflight_window"], "1016"),
    ("max-queued-messages", "1017", &["queue_messages"], "1017"),
    ("max-queued-bytes", "3000018", &["queue_bytes"], "3000018"),
    (
        "max-all-queues-bytes",
        "1019",
        &["all_queues_bytes"],
        "1019",
    ),
    ("queue-full", "drop-oldest", &["queue_full"], "DropOldest"),
    (
        "max-out-buffer",
        "3000020",
        &["out_buffer_bytes"],
        "3000020",
    ),
    (
        "max-all-out-buffers",
        "1021",
        &["all_out_buffers_bytes"],
        "1021",
    ),
    (
        "max-all-partial-bytes",
        "1022",
        &["all_partial_bytes"],
        "1022",
    ),
    (
        "max-retained-messages",
        "1023",
        &["retained_messages"],
        "1023",
    ),
    ("max-retained-bytes", "1024", &["retained_bytes"], "1024"),
    (
        "max-journal-backlog",
        "1025",
        &["journal_backlog_bytes"],
        "1025",
    ),
];

/// So that what follows from it is the same on every machine.
const MEMORY: &str = "--max-memory=8GiB";

#[test]
fn every_flag_sets_the_limit_that_it_names_and_no_other() {
    let parse = |flags: &[String]| {
        let line = ["beaconry", "serve"].map(str::to_owned);
        let cli = Cli::try_parse_from(line.iter().chain(flags)).unwrap();
        let Command::Serve(arguments) = cli.command;
        arguments
    };
    let with = |flag: &str, value: &str| {
        let mut flags = vec![format!("--{flag}={value}")];
        if flag != "max-memory" {
            flags.push(MEMORY.to_owned());
        }
        parse(&flags)
    };
    let fields = |arguments: &ServeArgs| {
        let limits = arguments.limits.broker();
        let text = format!("{limits:#?}");
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        let names = field_names(&limits);
        assert_eq!(names.len(), lines.len() - 2, "each has a line: {text}");
        names
            .into_iter()
            .map(|name| {
                let head = format!("    {name}: ");
                let line = lines.iter().find_map(|line| line.strip_prefix(&head));
                (name.clone(), line.unwrap().trim_end_matches(',').to_owned())
            })
            .collect::<Vec<_>>()
    };
    let before = fields(&parse(&[MEMORY.to_owned()]));
    for (flag, value, changed, expected) in FLAGS {
        let after = fields(&with(flag, value));
        let differ = before.iter().zip(&after).filter(|(a, b)| a != b);
        let differ: Vec<_> = differ.map(|(_, after)| after).collect();
        for (name, text) in &differ {
            assert!(changed.contains(&name.as_str()), "--{flag} changes {name}");
            assert!(changed[0] != name || text == expected, "--{flag}: {text}");
        }
        assert_eq!(differ.len(), changed.len(), "--{flag}");
    }

    // The broker knows nothing of the others.
    let given = with("max-connections", "1026");
    assert_eq!(given.limits.max_connections, 1_026);
    let given = with("max-connections-per-address", "1027");
    assert_eq!(given.limits.connections_per_address(), 1_027);
    let given = with("tcp-keep-alive", "1028s");
    assert_eq!(given.limits.tcp_keep_alive, Duration::from_secs(1_028));
    let given = with("max-store-size", "1029KiB");
    assert_eq!(given.store.settings(0).unwrap().sizes.most, 1_029 << 10);
    let others = [
        "max-connections",
        "max-connections-per-address",
        "tcp-keep-alive",
        "max-store-size",
    ];

    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    for argument in serve.get_arguments() {
        if argument.get_help_heading() == Some("Limits") {
            let flag = argument.get_long().unwrap();
            let is_here = FLAGS.iter().any(|it| it.0 == flag) || others.contains(&flag);
            assert!(is_here, "nobody looks at what --{flag} sets");
        }
    }
}

#[test]
fn every_flag_that_is_a_limit_is_documented_with_its_variable_and_default() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let rows = rows();
    let mut limits = 0;
    for argument in serve.get_arguments() {
        if argument.get_help_heading() != Some("Limits") {
            continue;
        }
        limits += 1;
        let flag = format!("`--{}", argument.get_long().unwrap());
        let row = rows
            .iter()
            .find(|row| {
                row.iter()
                    .any(|cell| cell.split(' ').next() == Some(flag.as_str()))
            })
            .unwrap_or_else(|| panic!("docs/limits.md has no row for {flag}"));
        assert_eq!(row.len(), 6, "{row:?}");
        assert!(row.iter().all(|cell| !cell.is_empty()), "{row:?}");
        let variable = argument.get_env().unwrap().to_str().unwrap();
        assert_eq!(row[3], format!("`{variable}`"));
        match argument.get_default_values() {
            [] => {}
            [default, ..] => assert_eq!(row[1], format!("`{}`", default.to_str().unwrap())),
        }
    }
    assert_eq!(limits, rows.len(), "docs/limits.md has rows for no flag");
}

#[test]
fn every_metric_that_the_table_of_limits_names_is_shown() {
    let page = crate::http::metrics_page();
    let shown: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("beaconry_")?.split(' ').next())
        .collect();
    for row in rows() {
        let metrics = row[5].split('`').skip(1).step_by(2);
        let mut named = 0;
        for metric in metrics {
            named += 1;
            assert!(shown.contains(&metric), "{metric}");
        }
        assert!(named > 0, "no metric: {row:?}");
    }
}

#[test]
fn what_the_log_says_of_a_limit_names_flags_that_there_are() {
    let command = Cli::command();
    let serve = command.find_subcommand("serve").unwrap();
    let flags: Vec<_> = serve
        .get_arguments()
        .filter_map(|argument| argument.get_long())
        .collect();
    let source = include_str!("limits.rs");
    let mut named = 0;
    for word in source.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
        if let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
            named += 1;
            assert!(flags.contains(&flag), "--{flag}");
        }
    }
    assert!(named > 10);
}
