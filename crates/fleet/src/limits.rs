//! Counts what was not kept, so that nothing is lost silently.

/// A limit of [`crate::FleetOptions`] that dropped something.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug)]
pub enum Limit {
    /// `max_bytes`: something new could not be remembered.
    Bytes,
    /// `max_devices`: a message of a further device was ignored, because no stranger was left that
    /// could be forgotten for it.
    Devices,
    /// `max_devices` or `max_bytes`: a stranger was forgotten for a further device. See
    /// [`crate::Fleet::forget`] for who is a stranger.
    Strangers,
    /// A prefix could not be learnt, because 64 are known: under it, what cannot be read is taken
    /// for a topic of another convention.
    Prefixes,
    /// `max_id_len`: a message of a device with a longer id or prefix was ignored.
    IdLength,
    /// `max_metrics_per_device`: a value of a further metric was ignored.
    Metrics,
    /// `max_metric_name_len`: a value with a longer name was ignored.
    MetricNameLength,
    /// `max_text_len`: a text was cut.
    TextLength,
    /// `max_values_per_message`: the rest of a message was not read.
    ValuesPerMessage,
    /// `max_json_depth`: a deeper part of a message was not read.
    JsonDepth,
    /// `max_payload_len`: a payload was not read.
    PayloadLength,
    /// `max_commands_per_device`: a command of someone else was not remembered.
    Commands,
    /// `max_queued_samples`: a sample was dropped before it was polled.
    QueuedSamples,
}

impl Limit {
    /// All of them, in declaration order.
    pub const ALL: [Self; 13] = [
        Self::Bytes,
        Self::Devices,
        Self::Strangers,
        Self::Prefixes,
        Self::IdLength,
        Self::Metrics,
        Self::MetricNameLength,
        Self::TextLength,
        Self::ValuesPerMessage,
        Self::JsonDepth,
        Self::PayloadLength,
        Self::Commands,
        Self::QueuedSamples,
    ];

    /// What the limit dropped, for people.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Bytes => "memory is full: new devices, metrics or texts are not kept",
            Self::Devices => "too many devices: further ones are ignored",
            Self::Strangers => "too many devices: some that were hardly heard were forgotten",
            Self::Prefixes => {
                "too many topic prefixes: what cannot be read under further ones is not reported"
            }
            Self::IdLength => "a device's id is too long: its messages are ignored",
            Self::Metrics => "a device has too many metrics: further ones are ignored",
            Self::MetricNameLength => "a metric's name is too long: its values are ignored",
            Self::TextLength => "a text was too long and was cut",
            Self::ValuesPerMessage => "a message has too many values: the rest is ignored",
            Self::JsonDepth => "a message is nested too deeply: the deep part is ignored",
            Self::PayloadLength => "a payload is too long to be read",
            Self::Commands => "a device has too many commands under way",
            Self::QueuedSamples => "samples came faster than they were drawn: some were dropped",
        }
    }
}

/// How often each limit dropped something since the fleet was made.
#[derive(Clone, Default, Eq, PartialEq, Debug)]
pub struct LimitCounters {
    counts: [u64; Limit::ALL.len()],
    /// One bit for each limit: whether it was hit since its event was last polled.
    fresh: u16,
}

impl LimitCounters {
    /// How often `limit` dropped something.
    pub const fn count(&self, limit: Limit) -> u64 {
        self.counts[limit as usize]
    }

    /// The limits that dropped something, with how often.
    pub fn hit(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        Limit::ALL
            .into_iter()
            .map(|limit| (limit, self.count(limit)))
            .filter(|(_, count)| *count > 0)
    }

    pub(crate) fn note(&mut self, limit: Limit) {
        let count = &mut self.counts[limit as usize];
        *count = count.saturating_add(1);
        self.fresh |= 1 << limit as u16;
    }

    pub(crate) fn poll(&mut self) -> Option<Limit> {
        if self.fresh == 0 {
            return None;
        }
        let index = self.fresh.trailing_zeros() as usize;
        self.fresh &= self.fresh - 1;
        Limit::ALL.get(index).copied()
    }
}

/// The bytes that are remembered, estimated where they are allocated.
#[derive(Debug)]
pub(crate) struct Budget {
    used: usize,
    limit: usize,
}

/// The part of a [`Budget`] that one device takes.
#[derive(Default, Debug)]
pub(crate) struct Account {
    bytes: usize,
}

impl Budget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { used: 0, limit }
    }

    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// Takes `bytes` if so many are left. Returns whether they were.
    #[must_use]
    pub(crate) fn charge(&mut self, bytes: usize) -> bool {
        match self.used.checked_add(bytes) {
            Some(used) if used <= self.limit => {
                self.used = used;
                true
            }
            Some(_) | None => false,
        }
    }

    pub(crate) fn refund(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Takes `bytes` for a device if so many are left. Returns whether they were.
    #[must_use]
    pub(crate) fn charge_to(&mut self, account: &mut Account, bytes: usize) -> bool {
        let fits = self.charge(bytes);
        if fits {
            account.bytes += bytes;
        }
        fits
    }

    /// Gives back `bytes` of a device, but never more than it took.
    pub(crate) fn refund_from(&mut self, account: &mut Account, bytes: usize) {
        let bytes = bytes.min(account.bytes);
        account.bytes -= bytes;
        self.refund(bytes);
    }

    /// Gives back everything that a device took.
    pub(crate) fn close(&mut self, account: &mut Account) {
        self.refund(core::mem::take(&mut account.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_reported_once_until_it_is_hit_again() {
        let mut counters = LimitCounters::default();
        counters.note(Limit::QueuedSamples);
        counters.note(Limit::Bytes);
        counters.note(Limit::Bytes);
        assert_eq!(counters.poll(), Some(Limit::Bytes));
        assert_eq!(counters.poll(), Some(Limit::QueuedSamples));
        assert_eq!(counters.poll(), None);
        counters.note(Limit::Bytes);
        assert_eq!(counters.poll(), Some(Limit::Bytes));
        assert_eq!(counters.count(Limit::Bytes), 3);
        assert_eq!(counters.hit().count(), 2);
    }

    #[test]
    fn all_is_in_declaration_order() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index);
        }
    }

    #[test]
    fn the_budget_never_exceeds_its_limit() {
        let mut budget = Budget::new(100);
        assert!(budget.charge(60));
        assert!(!budget.charge(41));
        assert!(!budget.charge(usize::MAX));
        budget.refund(60);
        assert!(budget.charge(100));
        assert_eq!(budget.used(), 100);
    }

    #[test]
    fn a_closed_account_has_given_everything_back() {
        let mut budget = Budget::new(100);
        let (mut one, mut other) = (Account::default(), Account::default());
        assert!(budget.charge_to(&mut one, 60) && budget.charge_to(&mut other, 30));
        assert!(!budget.charge_to(&mut one, 20));
        budget.refund_from(&mut other, 50);
        assert_eq!(budget.used(), 60);
        budget.close(&mut one);
        budget.close(&mut one);
        assert_eq!(budget.used(), 0);
    }
}
