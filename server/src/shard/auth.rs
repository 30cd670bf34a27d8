//! Who may connect.

use broker::{Credentials, Decision, Principal};

/// What decides. Password files and access rules become further variants.
#[derive(Clone, Debug)]
pub(super) enum Authenticator {
    /// Every client is let in: for the loopback addresses that are the default.
    Everyone,
}

impl Authenticator {
    /// Whether the broker has to ask at all.
    pub(super) const fn asks(&self) -> bool {
        match self {
            Self::Everyone => false,
        }
    }

    pub(super) fn decide(&self, _credentials: &Credentials) -> Decision {
        match self {
            Self::Everyone => Decision::Accept(Principal::default()),
        }
    }
}
