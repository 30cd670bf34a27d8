//! What `PATCH /api/v1/devices/{id}` takes.

use serde::{Deserialize, Serialize};

/// What somebody wants to change about a device.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicePatch {
    /// Whether it is hidden.
    pub hidden: bool,
}
