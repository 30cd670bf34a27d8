//! Where the repository is.

use std::{
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// The folder of the whole workspace. Cargo says at run time which one that is: checkouts that share a
/// target directory share this program, too.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
        Path::new(&folder).parent().unwrap().to_path_buf()
    });
    &ROOT
}
