//! How much memory there is, and when tables should shrink.

use std::fs;
use std::path::Path;

/// Assumed where the system does not tell.
const UNKNOWN: usize = 4 << 30;

/// The most bytes of memory that this process can use: the machine's memory, or the limit of its
/// control group.
pub(crate) fn available() -> usize {
    let machine = fs::read_to_string("/proc/meminfo")
        .ok()
        .and_then(|text| total(&text));
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|text| of_groups(&text, Path::new("/sys/fs/cgroup")));
    machine
        .into_iter()
        .chain(group)
        .min()
        .and_then(|bytes| usize::try_from(bytes).ok())
        .unwrap_or(UNKNOWN)
}

fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest limit of this process's control group and those above it. Reads both versions of the
/// kernel's control groups: `0::/path` (2) and `n:memory:/path` (1).
fn of_groups(membership: &str, root: &Path) -> Option<u64> {
    let mut least = None;
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (folder, file) = if controllers.is_empty() {
            (root.to_owned(), "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (root.join("memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        // In a container the path may be the host's, and only its root is visible here.
        let path = Path::new(path.trim_start_matches('/'));
        for above in path.ancestors() {
            let limit = fs::read_to_string(folder.join(above).join(file))
                .ok()
                .and_then(|text| text.trim().parse().ok());
            least = least.into_iter().chain(limit).min();
        }
    }
    least
}

/// The capacity that a table of this capacity should shrink to, if `taken` entries use less than a
/// quarter of it. So a table gives its memory back after a flood.
pub(crate) fn less(taken: usize, capacity: usize) -> Option<usize> {
    /// Smaller tables are not worth shrinking.
    const WORTH: usize = 1_024;
    (capacity >= WORTH && taken <= capacity / 4).then_some(2 * taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_all_groups_counts() {
        let root = testbed::Folder::new();
        let root = root.path();
        let folder = root.join("a/b");
        fs::create_dir_all(&folder).unwrap();
        fs::write(root.join("a/memory.max"), "1000\n").unwrap();
        fs::write(folder.join("memory.max"), "max\n").unwrap();
        assert_eq!(of_groups("0::/a/b\n", root), Some(1_000));
        assert_eq!(of_groups("0::/elsewhere\n", root), None);
        assert_eq!(of_groups("3:cpu,cpuacct:/a\nnonsense\n", root), None);
        fs::create_dir_all(root.join("memory/a")).unwrap();
        fs::write(root.join("memory/memory.limit_in_bytes"), "500\n").unwrap();
        assert_eq!(of_groups("3:cpu,memory:/a\n0::/a\n", root), Some(500));
    }

    #[test]
    fn the_machine_has_some() {
        assert_eq!(
            total("MemTotal:  2048 kB\nMemFree: 1 kB\n"),
            Some(2048 * 1024)
        );
        assert!(available() > 1 << 20);
    }
}
