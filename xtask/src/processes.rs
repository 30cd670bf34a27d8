//! Ends a program with everything that it has started.

use std::process::{Child, Command, Stdio};

use anyhow::Result;

use crate::command;

/// Kills the program, what it started, what that started, and so on. A test that hangs is a process
/// of cargo's, and a server that hangs is a process of a test's.
///
/// The program has no process group of its own, because Ctrl-C on a terminal would then not reach
/// it.
pub(crate) fn kill(child: &mut Child) -> Result<()> {
    let all = with_descendants(child.id(), &parents());
    let mut killer = killer(&all);
    // This fails if a process has ended meanwhile. The rest is killed all the same.
    let _ = killer
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    child.kill()?;
    Ok(())
}

fn killer(ids: &[u32]) -> Command {
    let ids = ids.iter().map(u32::to_string);
    if cfg!(windows) {
        let mut taskkill = command::new("taskkill");
        taskkill.args(["/T", "/F"]);
        taskkill.args(ids.flat_map(|id| ["/PID".to_owned(), id]));
        taskkill
    } else {
        // The shell has its own `kill`; not every system has a program of that name.
        let mut shell = command::new("sh");
        shell.args(["-c", r#"kill -KILL "$@""#, "kill"]).args(ids);
        shell
    }
}

/// The number of each process, and its parent's.
fn parents() -> Vec<(u32, u32)> {
    if cfg!(target_os = "linux") {
        let Ok(entries) = std::fs::read_dir("/proc") else {
            return Vec::new();
        };
        let stats = entries.flatten().filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            parent_in_stat(&stat)
        });
        stats.collect()
    } else if cfg!(unix) {
        let listed = command::stdout(command::new("ps").args(["-A", "-o", "pid=,ppid="]));
        let lines = listed.unwrap_or_default();
        let pairs = lines.lines().filter_map(|line| {
            let mut numbers = line.split_whitespace().map(str::parse);
            Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
        });
        pairs.collect()
    } else {
        Vec::new()
    }
}

/// `pid (name) state ppid …`, where the name may hold anything.
fn parent_in_stat(stat: &str) -> Option<(u32, u32)> {
    let (id, _) = stat.split_once(' ')?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let parent = rest.split(' ').nth(1)?;
    Some((id.parse().ok()?, parent.parse().ok()?))
}

fn with_descendants(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        let children = parents.iter().filter(|(_, its)| *its == parent);
        let new: Vec<u32> = children
            .map(|(id, _)| *id)
            .filter(|id| !found.contains(id))
            .collect();
        found.extend(new);
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_mislead() {
        let stat = "4243 (a) b (c) S 4242 4243 0 -1 4194304";
        assert_eq!(parent_in_stat(stat), Some((4243, 4242)));
        assert_eq!(parent_in_stat("4243 (a"), None);
    }

    #[test]
    fn all_generations_are_found_and_nobody_else() {
        let parents = [(1, 0), (7, 1), (8, 7), (9, 8), (10, 1), (11, 7)];
        assert_eq!(with_descendants(7, &parents), [7, 8, 11, 9]);
    }
}
