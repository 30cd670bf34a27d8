//! What changed, for a reader who polls once a frame.

use crate::device::DeviceKey;
use crate::fault::FaultKind;
use crate::limits::Limit;
use crate::metric::MetricKey;
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// Something changed. The device itself says what it is now.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A device was seen for the first time.
    DeviceAdded(DeviceKey),
    /// A device was forgotten. Its key means nothing any more, and no event names it after this.
    DeviceForgotten(DeviceKey),
    /// A device's presence changed; several changes since the last poll are one event.
    PresenceChanged(DeviceKey),
    /// A device has new metrics, or has announced units or commands, or was hidden or shown again. So
    /// its metric groups and its buttons may have changed.
    ShapeChanged(DeviceKey),
    /// A reading to draw. It may be of an earlier time than readings before it, if the device sends a
    /// backlog with its own times.
    Sample {
        /// The device.
        device: DeviceKey,
        /// The metric.
        metric: MetricKey,
        /// When it was measured.
        at: Timestamp,
        /// The value, which is finite.
        value: f64,
    },
    /// A metric has a new value that is no sample to draw: a text, or a retained value. Several
    /// changes since the last poll are one event.
    ValuesChanged(DeviceKey),
    /// A device moved.
    PositionChanged(DeviceKey),
    /// A command is new, or its state has changed.
    CommandChanged {
        /// The device.
        device: DeviceKey,
        /// The command's uuid.
        uuid: Box<str>,
    },
    /// Something is wrong with a device. Between two polls there is one event for each device and
    /// kind of fault.
    Fault {
        /// The device.
        device: DeviceKey,
        /// What is wrong.
        kind: FaultKind,
    },
    /// Something was dropped because of this limit. Between two polls there is one event for each
    /// limit.
    LimitHit(Limit),
}

/// What changed at a device since the last poll: one bit for each kind of change, and one for each
/// kind of fault.
#[derive(Copy, Clone, Default, Eq, PartialEq, Debug)]
pub(crate) struct Dirty(pub(crate) u32);

impl Dirty {
    pub(crate) const ADDED: Self = Self(1);
    pub(crate) const PRESENCE: Self = Self(1 << 1);
    pub(crate) const SHAPE: Self = Self(1 << 2);
    pub(crate) const VALUES: Self = Self(1 << 3);
    pub(crate) const POSITION: Self = Self(1 << 4);
    pub(crate) const COMMANDS: Self = Self(1 << 5);
    const FIRST_FAULT: u32 = 8;

    pub(crate) const fn fault(kind: FaultKind) -> Self {
        Self(1 << (Self::FIRST_FAULT + kind as u32))
    }

    pub(crate) const fn is_fault(self, kind: FaultKind) -> bool {
        self.0 & Self::fault(kind).0 != 0
    }

    /// The device was seen for the first time, and no event has told so yet.
    pub(crate) const fn is_new(self) -> bool {
        self.0 & Self::ADDED.0 != 0
    }

    /// Removes `flag`. Returns whether it was set.
    pub(crate) fn take(&mut self, flag: Self) -> bool {
        let taken = self.0 & flag.0 != 0;
        self.0 &= !flag.0;
        taken
    }

    pub(crate) const fn any_fault(self) -> bool {
        self.0 >> Self::FIRST_FAULT != 0
    }
}

/// A sample that waits to be polled.
#[derive(Copy, Clone, Debug)]
pub(crate) struct QueuedSample {
    pub(crate) device: DeviceKey,
    pub(crate) metric: MetricKey,
    pub(crate) at: Timestamp,
    pub(crate) value: f64,
}

/// Samples in the order they came; the oldest are dropped at the limit.
#[derive(Default, Debug)]
pub(crate) struct SampleQueue {
    samples: VecDeque<QueuedSample>,
}

impl SampleQueue {
    /// Adds a sample, and drops the oldest one at the limit. Returns `false` if one was dropped.
    pub(crate) fn push(&mut self, sample: QueuedSample, max: usize) -> bool {
        let full = self.samples.len() >= max;
        if full {
            self.samples.pop_front();
        }
        if max > 0 {
            self.samples.push_back(sample);
        }
        !full
    }

    pub(crate) fn pop(&mut self) -> Option<QueuedSample> {
        self.samples.pop_front()
    }
}
