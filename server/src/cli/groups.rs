//! The commands in `beaconry --help`, in groups. clap knows no groups of subcommands.

use std::fmt::Write;

use clap::Command;

/// Every command stands in one of these.
const GROUPS: [(&str, &[&str]); 4] = [
    ("The server", &["serve"]),
    (
        "Devices, and who collects from them and commands them",
        &["device", "collect", "command"],
    ),
    (
        "MQTT on the command line, with any broker",
        &["pub", "sub", "replay"],
    ),
    ("The shell", &["completions"]),
];

/// Lets `--help` show the groups.
pub(super) fn grouped(command: Command) -> Command {
    let list = list(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n{list}\nOptions:\n{{options}}\n\n\
         beaconry COMMAND --help says more about a command."
    ))
}

fn list(command: &Command) -> String {
    let names = GROUPS.iter().flat_map(|(_, names)| names.iter());
    let width = names.map(|name| name.len()).max().unwrap_or(0);
    let mut list = String::new();
    for (title, names) in GROUPS {
        let _ = write!(list, "\n{title}:\n");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(list, "  {name:width$}  {about}");
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_stands_in_a_group() {
        let command = crate::cli::Cli::command();
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|it| it.1).copied().collect();
        let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
        let mut all: Vec<&str> = shown.map(Command::get_name).collect();
        grouped.sort_unstable();
        all.sort_unstable();
        assert_eq!(grouped, all);
    }
}
