//! For tests: what is documented is what is there.

use std::fmt::Debug;

use clap::CommandFactory;

use crate::cli::Cli;

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
