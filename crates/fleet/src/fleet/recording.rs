//! Writes down what messages say, for whoever keeps it.

use super::values::Order;
use super::{Fleet, Message};
use crate::RECORD;
use crate::metric::MetricKey;
use crate::readings::Scalar;
use crate::record::{Recorded, Records};

impl Fleet {
    /// Whether a message's values are written down.
    pub(super) const fn is_recorded(&self, message: &Message<'_>, retained: bool) -> bool {
        RECORD && self.options.records && !retained && !message.unrecorded
    }

    /// Gives what was recorded since the last call, and takes `empty` for what comes. Only a fleet with
    /// [`FleetOptions::records`] records anything.
    ///
    /// ```
    /// # #[cfg(feature = "record")] {
    /// use fleet::{Fleet, FleetOptions, Message, Recorded, Records, Timestamp};
    ///
    /// let mut fleet = Fleet::new(FleetOptions { records: true, ..FleetOptions::default() });
    /// let now = Timestamp(1_795_233_600_000);
    /// fleet.handle_message(now, Message::new("beaconry/data/pump-1", br#"{"flow":21.53}"#));
    /// let mut records = Records::default();
    /// fleet.take_records(&mut records);
    /// let row = records.rows().next().unwrap();
    /// assert_eq!((row.at, row.values().next().unwrap().1), (now, Recorded::Number(21.53)));
    /// # }
    /// ```
    pub fn take_records(&mut self, empty: &mut Records) {
        empty.clear();
        core::mem::swap(&mut self.records, empty);
    }
}

/// Writes a value down for whoever keeps it.
pub(super) fn record(
    records: &mut Records,
    index: usize,
    value: Scalar<'_>,
    exact: Option<&str>,
    order: &Order,
) {
    match order {
        Order::Sample(_) | Order::Shown | Order::TooLate => {}
        Order::Repeated | Order::Refused => return,
    }
    let Ok(index) = u16::try_from(index) else {
        return;
    };
    let whole = exact.and_then(|text| text.parse().ok());
    let value = match (value, whole) {
        (Scalar::Number(_), Some(whole)) => Recorded::Integer(whole),
        (Scalar::Number(number), None) => Recorded::Number(number),
        (Scalar::Bool(value), _) => Recorded::Bool(value),
        (Scalar::Text(text), _) => Recorded::Text(text),
        (Scalar::Null, _) => return,
    };
    records.value(MetricKey(index), value);
}
