//! Wills, as sessions hold them (section 3.1.2.5).

use mqtt::{Utf8String, Will};

use crate::durability::{Bequest, Cause};
use crate::types::{SessionId, SessionNumber, detach_will};

/// A will that a session has.
#[derive(Debug)]
pub(crate) struct HeldWill {
    /// A copy that holds on to nothing but its own bytes.
    pub(crate) will: Will,
    /// Its name in records, if it is there by itself: it is of a session that ends with its
    /// connection. Here, and not in the session, as most have no will.
    pub(crate) number: Option<SessionNumber>,
}

impl HeldWill {
    pub(crate) fn new(will: &Will) -> Self {
        Self {
            will: detach_will(will),
            number: None,
        }
    }
}

/// A will whose time has come.
#[derive(Debug)]
pub(crate) struct DueWill {
    pub(crate) will: Will,
    /// Whose it is.
    pub(crate) publisher: Utf8String,
    /// Its session, if that goes on.
    pub(crate) session: Option<SessionId>,
    /// The same for records.
    pub(crate) cause: Cause,
}

impl DueWill {
    /// One that was found in records: the session and its connection have ended.
    pub(crate) fn left(bequest: &Bequest) -> Self {
        Self {
            will: detach_will(&bequest.will),
            publisher: bequest.client_id.detach(),
            session: None,
            cause: Cause::PassingWill(bequest.session),
        }
    }
}
