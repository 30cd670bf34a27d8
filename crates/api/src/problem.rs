//! Errors.

use alloc::string::String;

use serde::{Deserialize, Serialize};

/// Why a request failed: a problem of RFC 9457, with media type `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The meaning of the status, such as "Not Found".
    pub title: String,
    /// The HTTP status again, for programs that see only the body.
    pub status: u16,
    /// What was wrong with this request, and what to do. May be empty.
    pub detail: String,
}
