//! What a browser downloads, compressed as the server sends it.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::{command, workspace::Workspace};

/// Prints the size in brotli of each file in a folder, and the sum. It leaves out hidden files and
/// folders.
const SCRIPT: &str = "const [dir] = process.argv.slice(1); let sum = 0;
    for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
        if (!entry.isFile() || entry.name.startsWith('.')) continue;
        const size = zlib.brotliCompressSync(fs.readFileSync(path.join(dir, entry.name))).length;
        sum += size; console.log(entry.name, size);
    }
    console.log(sum);";

/// Prints the size of the files in `folder`, and fails when it is over `budget` bytes.
pub(super) fn check(workspace: &Workspace, folder: &Path, what: &str, budget: u64) -> Result<()> {
    let sizes = command::stdout(
        command::new("node")
            .current_dir(&workspace.root)
            .args(["--input-type=commonjs", "--eval", SCRIPT, "--"])
            .arg(folder),
    )?;
    let sum = sizes.lines().last().and_then(|sum| sum.parse().ok());
    let sum: u64 = sum.with_context(|| format!("cannot weigh {what}"))?;
    eprintln!("xtask: {what}: {sum} bytes in brotli, of {budget}");
    if sum > budget {
        bail!("{what}: too large, in brotli:\n{sizes}");
    }
    Ok(())
}
