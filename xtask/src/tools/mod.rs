//! The other programs that building and testing need: finding each, installing it, and saying what
//! to do where it cannot be installed.

mod apt;
pub(crate) mod browser;
pub(crate) mod node;
pub(crate) mod peers;
pub(crate) mod rust;

use std::path::PathBuf;

use crate::workspace::Workspace;

/// What `cargo xtask doctor` says of one thing.
pub(crate) struct Finding {
    /// Its name.
    pub(crate) name: &'static str,
    /// What asks for it.
    pub(crate) need: Need,
    /// Whether it is there.
    pub(crate) state: State,
}

/// What asks for a thing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It must be there before anything starts; nothing here installs it.
    Prerequisite,
    /// Building and running.
    Build,
    /// Only the tests.
    Test,
}

/// Whether a thing is there.
pub(crate) enum State {
    /// It is, in this version at this place.
    Found {
        /// What it calls its version.
        version: String,
        /// Where it is.
        path: Option<PathBuf>,
    },
    /// It is not; this would be done about it, or must be done by the user.
    Missing {
        /// A sentence, with the command where the user must act.
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
    all.extend(peers::findings(workspace));
    all.sort_by_key(|finding| match finding.need {
        Need::Prerequisite => 0,
        Need::Build => 1,
        Need::Test => 2,
    });
    all
}
