//! The other programs that building and testing need. Each module finds some of them, installs
//! them, and says what to do where it cannot.

mod apt;
pub(crate) mod browser;
pub(crate) mod firefox;
pub(crate) mod node;
pub(crate) mod peers;
pub(crate) mod rust;

use std::path::PathBuf;

use crate::workspace::Workspace;

/// A row of `cargo xtask doctor`.
pub(crate) struct Finding {
    /// Its name.
    pub(crate) name: &'static str,
    /// What needs it.
    pub(crate) need: Need,
    /// Whether it is installed.
    pub(crate) state: State,
}

/// What needs a tool.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It must be there before anything starts. Nothing here installs it.
    Prerequisite,
    /// Building and running need it.
    Build,
    /// Only the tests need it.
    Test,
}

/// Whether a tool is installed.
pub(crate) enum State {
    /// It is installed, in this version at this place.
    Found {
        /// The version that it reports.
        version: String,
        /// Where it is.
        path: Option<PathBuf>,
    },
    /// It is missing. xtask would do this about it, or the user must.
    Missing {
        /// A sentence, with a command if the user must act.
        remedy: String,
    },
}

impl State {
    fn found(version: impl Into<String>, path: impl Into<Option<PathBuf>>) -> Self {
        Self::Found {
            version: version.into(),
            path: path.into(),
        }
    }

    fn missing(remedy: impl Into<String>) -> Self {
        Self::Missing {
            remedy: remedy.into(),
        }
    }
}

/// Everything that doctor reports, prerequisites first.
pub(crate) fn findings(workspace: &Workspace) -> Vec<Finding> {
    let mut all = rust::findings(workspace);
    all.extend(node::findings(workspace));
    all.extend(browser::findings(workspace));
    all.extend(firefox::findings());
    all.extend(peers::findings(workspace));
    all.sort_by_key(|finding| match finding.need {
        Need::Prerequisite => 0,
        Need::Build => 1,
        Need::Test => 2,
    });
    all
}
