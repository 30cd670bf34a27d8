//! How far the search is for what is in memory only.

use crate::types::{NodeId, SessionId};

/// How far the search for what is in no record is.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum WriteBack {
    #[default]
    Nothing,
    Wills {
        next: SessionId,
    },
    Retained {
        next: NodeId,
    },
}
