//! What shells and `man` know of the command line: made from its definition, so that it is never older.

use std::io;
use std::path::{Path, PathBuf};

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

/// The options of `beaconry completions`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell that reads it.
    shell: KnownShell,
}

/// A shell.
#[derive(Clone, Copy, Debug)]
struct KnownShell(Shell);

impl ValueEnum for KnownShell {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self(Shell::Bash), Self(Shell::Zsh), Self(Shell::Fish)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        self.0.to_possible_value()
    }
}

/// The options of `beaconry man`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ManArgs {
    /// The folder to write to. It is made if it does not exist.
    folder: PathBuf,
}

/// Prints the script that completes our command lines.
pub(crate) fn completions(arguments: &CompletionsArgs) {
    let mut script = Vec::new();
    generate(
        arguments.shell.0,
        &mut super::command(),
        "beaconry",
        &mut script,
    );
    // A closed pipe (`beaconry completions bash | head -1`) is no error.
    let _ = io::Write::write_all(&mut io::stdout(), &script);
}

/// Writes a manual page for each command.
pub(crate) fn pages(arguments: &ManArgs) -> Result<(), String> {
    let written = write_pages(&arguments.folder);
    written.map_err(|error| format!("{}: {error}", arguments.folder.display()))
}

fn write_pages(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // The groups of `--help` mean nothing to a manual page.
    clap_mangen::generate_to(super::ungrouped(), folder)
}

#[cfg(test)]
mod tests {
    use testbed::Folder;

    use super::*;

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = Folder::new();
        write_pages(folder.path()).unwrap();
        for (page, part) in [
            ("beaconry.1", "beaconry\\-pub(1)"),
            ("beaconry-serve.1", "\\-\\-mqtt"),
            ("beaconry-pub.1", "\\-\\-retain"),
            ("beaconry-sub.1", "\\-\\-watch"),
            ("beaconry-collect.1", "\\-\\-"),
        ] {
            let text = std::fs::read_to_string(folder.path().join(page)).unwrap();
            assert!(text.contains(part), "{page}: {text}");
        }
        assert!(!folder.path().join("beaconry-man.1").exists());
    }

    #[test]
    fn every_shell_completes_options() {
        for shell in KnownShell::value_variants() {
            let mut script = Vec::new();
            generate(shell.0, &mut crate::cli::command(), "beaconry", &mut script);
            let script = String::from_utf8(script).unwrap();
            for word in ["pub", "sub", "serve", "retained-only"] {
                assert!(script.contains(word), "{shell:?}: {word}");
            }
        }
    }
}
