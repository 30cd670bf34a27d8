//! Files of `dist/`: their names tell their content, and others name them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use super::fingerprint;
use crate::{command, workspace::Workspace};

/// Writes a file under a name with a hash of its content, and returns the name.
pub(super) fn publish(
    folder: &Path,
    stem: &str,
    extension: &str,
    content: &[u8],
) -> Result<String> {
    let name = format!("{stem}-{}.{extension}", fingerprint::of_bytes(content));
    let file = folder.join(&name);
    fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(name)
}

/// A script without what only people read.
pub(super) fn minified(workspace: &Workspace, script: &Path) -> Result<String> {
    command::stdout(
        command::new("node")
            .current_dir(&workspace.root)
            .arg("node_modules/terser/bin/terser")
            .arg(script)
            .args([
                "--module",
                "--ecma",
                "2022",
                "--mangle",
                "--compress",
                "passes=3",
            ]),
    )
}

/// Replaces each `old` by `new`. Fails if there is none.
pub(super) fn rename(text: &mut String, old: &str, new: &str) -> Result<()> {
    if !text.contains(old) {
        bail!("nothing names {old}: a tool changed how it writes, or a file is named no more");
    }
    *text = text.replace(old, new);
    Ok(())
}
