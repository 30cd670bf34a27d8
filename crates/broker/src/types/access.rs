//! What a client may do. The broker asks at PUBLISH, SUBSCRIBE, a will, delivery and retained
//! look-up.

use core::fmt;
use std::sync::Arc;

use mqtt::Utf8String;

/// The rules for one principal, in a form that is fast to ask.
///
/// The broker asks them on its own thread, for each message: an answer must neither block nor
/// allocate.
pub trait Access: fmt::Debug + Send + Sync {
    /// Whether the client may publish to this topic name.
    fn may_publish(&self, topic: &str) -> bool;

    /// Whether the client may be sent a message with this topic name.
    fn may_receive(&self, topic: &str) -> bool;

    /// How much of what a topic filter matches the client may be sent. For a shared subscription
    /// `$share/{name}/{filter}` the broker passes only `{filter}`.
    fn reach(&self, filter: &str) -> Reach;
}

/// How much of what a topic filter matches a client may be sent.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything.
    All,
    /// A part. The broker asks again for each message that it delivers.
    Part,
    /// Nothing.
    Nothing,
}

/// What a client may do. By default: everything.
///
/// Each session keeps its grants, and most sessions have the same ones: a copy is a pointer.
#[derive(Clone, Default)]
// Every session has this pointer. The box makes it one word instead of two.
#[allow(clippy::redundant_allocation)]
pub struct Grants(Option<Arc<Box<dyn Access>>>);

impl Grants {
    /// What `access` allows.
    #[must_use]
    pub fn new(access: impl Access + 'static) -> Self {
        Self(Some(Arc::new(Box::new(access))))
    }

    /// The same rules, but not equal to these. So when the client of a session with these rules
    /// comes back, its grants always count as changed and are applied.
    pub(crate) fn of_an_earlier_run(&self) -> Self {
        if self.is_everything() {
            Self::default()
        } else {
            Self::new(self.clone())
        }
    }

    /// Whether the client may do everything, so that no rules need be asked.
    pub fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// See [`Access::may_publish`].
    pub fn may_publish(&self, topic: &str) -> bool {
        self.0.as_ref().is_none_or(|it| it.may_publish(topic))
    }

    /// See [`Access::may_receive`].
    pub fn may_receive(&self, topic: &str) -> bool {
        self.0.as_ref().is_none_or(|it| it.may_receive(topic))
    }

    /// See [`Access::reach`].
    pub fn reach(&self, filter: &str) -> Reach {
        self.0.as_ref().map_or(Reach::All, |it| it.reach(filter))
    }
}

impl Access for Grants {
    fn may_publish(&self, topic: &str) -> bool {
        self.may_publish(topic)
    }

    fn may_receive(&self, topic: &str) -> bool {
        self.may_receive(topic)
    }

    fn reach(&self, filter: &str) -> Reach {
        self.reach(filter)
    }
}

/// Grants are equal if they point to the same rules. Two sets of rules that happen to say the
/// same are not equal.
impl PartialEq for Grants {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

impl Eq for Grants {}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => f.write_str("everything"),
            Some(access) => access.fmt(f),
        }
    }
}

/// Who an authenticated client is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Principal {
    /// The name for the log. `None` for a client that is let in without a name.
    pub name: Option<Utf8String>,
    /// What it may do.
    pub grants: Grants,
}
