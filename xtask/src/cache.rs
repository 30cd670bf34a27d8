//! Tools that are installed once and found again.
//!
//! **Invariant:** a directory `tools/NAME-VERSION` is complete. The installation happens in a
//! directory beside it, and renames that as its last step. So an interrupted installation never
//! looks complete.

use std::{
    env,
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

/// The folder that tools are installed in.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the folder: `BEACONRY_CACHE`, or `beaconry` in the place where this system keeps
    /// caches.
    pub(crate) fn locate() -> Result<Self> {
        let var = |name: &str| {
            env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let root = match var("BEACONRY_CACHE") {
            Some(dir) => std::path::absolute(dir)?,
            None => system_cache(var)
                .context("this system has no known cache folder: set BEACONRY_CACHE to one")?
                .join("beaconry"),
        };
        Ok(Self { root })
    }

    /// The cache's own folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The place for a tool of this name and version, installed or not.
    pub(crate) fn tool(&self, name: &str, version: &str) -> PathBuf {
        self.root.join("tools").join(format!("{name}-{version}"))
    }

    /// The directory of a tool. If it does not exist, `install` fills it first.
    ///
    /// Two xtasks do not install at once: the second one waits and then finds the first one's work.
    pub(crate) fn ensure(
        &self,
        name: &str,
        version: &str,
        install: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let ready = self.tool(name, version);
        if ready.is_dir() {
            return Ok(ready);
        }
        let _lock = self.lock()?;
        if ready.is_dir() {
            return Ok(ready);
        }
        let partial = self.root.join("tools").join(format!(".partial-{name}"));
        remove(&partial)?;
        fs::create_dir_all(&partial)
            .with_context(|| format!("cannot create {}", partial.display()))?;
        install(&partial)?;
        fs::rename(&partial, &ready)
            .with_context(|| format!("cannot move {name} to {}", ready.display()))?;
        Ok(ready)
    }

    /// Removes a tool that no longer works, so that it is installed again.
    pub(crate) fn discard(&self, name: &str, version: &str) -> Result<()> {
        let _lock = self.lock()?;
        remove(&self.tool(name, version))
    }

    /// A process holds this while it installs tools; see [`Self::lock_for`].
    pub(crate) fn lock(&self) -> Result<File> {
        self.lock_for("tools", "installing tools")
    }

    /// Keeps other xtasks from the same work until the returned file is dropped, or until this
    /// process ends in any way. Waiting processes print `doing`.
    pub(crate) fn lock_for(&self, work: &str, doing: &str) -> Result<File> {
        fs::create_dir_all(&self.root).with_context(|| {
            format!(
                "cannot create the cache folder {}; set BEACONRY_CACHE to one that you may write",
                self.root.display()
            )
        })?;
        let path = self.root.join(format!("{work}.lock"));
        let file =
            File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                eprintln!("xtask: another xtask is {doing}; waiting for it");
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        Ok(file)
    }
}

fn system_cache(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if cfg!(windows) {
        var("LOCALAPPDATA")
    } else if let Some(dir) = var("XDG_CACHE_HOME") {
        Some(dir)
    } else if cfg!(target_os = "macos") {
        Some(var("HOME")?.join("Library/Caches"))
    } else {
        Some(var("HOME")?.join(".cache"))
    }
}

fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_install_does_not_look_installed() {
        let root = env::temp_dir().join(format!("beaconry-cache-test-{}", std::process::id()));
        let cache = Cache { root: root.clone() };

        let failed = cache.ensure("tool", "1", |dir| {
            fs::write(dir.join("half"), "")?;
            anyhow::bail!("the network went away")
        });
        assert!(failed.is_err());
        assert!(!cache.tool("tool", "1").exists());

        let dir = cache
            .ensure("tool", "1", |dir| Ok(fs::write(dir.join("whole"), "")?))
            .unwrap();
        assert!(dir.join("whole").is_file());
        assert!(!dir.join("half").exists());

        cache
            .ensure("tool", "1", |_| panic!("installed twice"))
            .unwrap();
        cache.discard("tool", "1").unwrap();
        assert!(!dir.exists());
        fs::remove_dir_all(root).unwrap();
    }
}
