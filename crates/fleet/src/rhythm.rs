//! How often a device sends, and whether it sleeps in between: learnt from its messages.

use crate::time::Timestamp;

/// The latest gaps between a device's messages, and their median.
///
/// Messages within a second of each other are one burst: a device that publishes five topics
/// every minute has an interval of a minute.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intervals {
    gaps: [u32; 8],
    count: u8,
    next: u8,
    burst: Option<Timestamp>,
}

const BURST_MS: i64 = 1000;
/// How many gaps are enough for an interval.
const ENOUGH_GAPS: u8 = 3;

impl Intervals {
    /// A message came. `true` when a gap was learnt.
    pub(crate) fn note(&mut self, now: Timestamp) -> bool {
        let Some(burst) = self.burst else {
            self.burst = Some(now);
            return false;
        };
        let gap = now.ms_since(burst);
        if gap < BURST_MS {
            return false;
        }
        self.burst = Some(now);
        self.gaps[usize::from(self.next)] = u32::try_from(gap).unwrap_or(u32::MAX);
        self.next = (self.next + 1) % 8;
        self.count = (self.count + 1).min(8);
        true
    }

    /// Gaps as somebody else has learnt them: their median, or else the longest one.
    pub(crate) fn learnt(median: Option<i64>, longest: Option<i64>) -> Self {
        let (gap, count) = match median {
            Some(gap) => (gap, ENOUGH_GAPS),
            None => (longest.unwrap_or(0), u8::from(longest.is_some())),
        };
        let mut gaps = [0; 8];
        for known in gaps.iter_mut().take(usize::from(count)) {
            *known = u32::try_from(gap.max(0)).unwrap_or(u32::MAX);
        }
        Self {
            gaps,
            count,
            next: count,
            burst: None,
        }
    }

    /// The gap that begins now does not count: the device has left, or we cannot see it.
    pub(crate) fn interrupt(&mut self) {
        self.burst = None;
    }

    /// The median gap in milliseconds, once there are three.
    pub(crate) fn median(&self) -> Option<i64> {
        (self.count >= ENOUGH_GAPS).then(|| median(&self.gaps[..usize::from(self.count)]))
    }

    /// The longest gap so far, while there are too few for a median.
    pub(crate) fn longest(&self) -> i64 {
        let gaps = &self.gaps[..usize::from(self.count)];
        gaps.iter().copied().max().map_or(0, i64::from)
    }
}

/// The lower median.
fn median(values: &[u32]) -> i64 {
    let mut sorted = [0u32; 8];
    let sorted = &mut sorted[..values.len()];
    sorted.copy_from_slice(values);
    // Insertion: for eight values smaller and faster than the library's sort.
    for index in 1..sorted.len() {
        let mut at = index;
        while at > 0 && sorted[at - 1] > sorted[at] {
            sorted.swap(at - 1, at);
            at -= 1;
        }
    }
    sorted
        .get((sorted.len() - 1) / 2)
        .copied()
        .map_or(0, i64::from)
}

/// Whether a device wakes and sleeps in a rhythm.
///
/// The rule: a cycle runs from one waking to the next and has a signing-out between. When at
/// least two of the last four cycles, and more than half of them, lie within a quarter (or two
/// seconds) of their median, when that median is no longer than the option `max_cycle`, and when
/// the device was awake for less than a cycle, then its signing-out means sleep, and it wakes
/// one median cycle after it last woke. Two cycles are observed by the third signing-out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rhythm {
    periods: [u32; 4],
    count: u8,
    next: u8,
    woke: Option<Timestamp>,
    slept: bool,
}

impl Rhythm {
    /// The device came, from offline or sleep.
    pub(crate) fn wakes(&mut self, now: Timestamp) {
        if let Some(woke) = self.woke
            && self.slept
        {
            let period = now.ms_since(woke).max(0);
            self.periods[usize::from(self.next)] = u32::try_from(period).unwrap_or(u32::MAX);
            self.next = (self.next + 1) % 4;
            self.count = (self.count + 1).min(4);
        }
        self.woke = Some(now);
        self.slept = false;
    }

    /// The device left. Returns when it will be back, if it has a rhythm.
    pub(crate) fn sleeps(&mut self, now: Timestamp, max_cycle_ms: i64) -> Option<Timestamp> {
        self.slept = true;
        let woke = self.woke?;
        let period = self.period()?;
        let awake = now.ms_since(woke);
        (period <= max_cycle_ms && awake < period).then(|| woke.plus_ms(period))
    }

    /// The cycle in milliseconds, if there is one.
    pub(crate) fn period(&self) -> Option<i64> {
        let periods = &self.periods[..usize::from(self.count)];
        if periods.len() < 2 {
            return None;
        }
        let median = median(periods);
        let tolerance = (median / 4).max(2000);
        let agreeing = periods
            .iter()
            .filter(|period| (i64::from(**period) - median).abs() <= tolerance)
            .count();
        (agreeing >= 2 && agreeing * 2 > periods.len()).then_some(median)
    }

    /// A rhythm as somebody else has learnt it.
    pub(crate) fn learnt(period: Option<i64>, woke: Option<Timestamp>, slept: bool) -> Self {
        let mut periods = [0; 4];
        if let Some(period) = period {
            periods[..2].fill(u32::try_from(period.max(0)).unwrap_or(u32::MAX));
        }
        let count = if period.is_some() { 2 } else { 0 };
        Self {
            periods,
            count,
            next: count,
            woke,
            slept,
        }
    }

    /// When the device last woke, and whether it has fallen asleep since.
    pub(crate) const fn cycle(&self) -> (Option<Timestamp>, bool) {
        (self.woke, self.slept)
    }

    /// We were away: the present cycle is lost, but the rhythm stays known.
    pub(crate) fn interrupt(&mut self) {
        self.woke = None;
        self.slept = false;
    }
}

/// How long after its expected waking a device counts as offline: half a cycle, at least 5 s.
pub(crate) fn wake_grace_ms(period: Option<i64>) -> i64 {
    (period.unwrap_or(0) / 2).max(5000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    #[test]
    fn bursts_are_one_message() {
        let mut intervals = Intervals::default();
        for minute in 0..4 {
            for topic in 0..5 {
                intervals.note(Timestamp(minute * 60_000 + topic * 40));
            }
        }
        assert_eq!(intervals.median(), Some(60_000));
    }

    #[test]
    fn a_single_outage_does_not_move_the_median() {
        let mut intervals = Intervals::default();
        for second in [0, 10, 20, 30, 3630, 3640, 3650] {
            intervals.note(at(second));
        }
        assert_eq!(intervals.median(), Some(10_000));
        assert_eq!(intervals.longest(), 3_600_000);
    }

    #[test]
    fn two_cycles_make_a_rhythm() {
        let mut rhythm = Rhythm::default();
        let mut told = alloc::vec::Vec::new();
        for cycle in 0..4 {
            rhythm.wakes(at(cycle * 15));
            told.push(rhythm.sleeps(at(cycle * 15 + 5), 3_600_000));
        }
        assert_eq!(told, [None, None, Some(at(45)), Some(at(60))]);
    }

    #[test]
    fn one_missed_cycle_is_forgiven_and_chaos_is_no_rhythm() {
        let mut rhythm = Rhythm::default();
        for second in [0, 15, 30, 60] {
            rhythm.wakes(at(second));
            rhythm.sleeps(at(second + 5), 3_600_000);
        }
        assert_eq!(rhythm.period(), Some(15_000));
        let mut chaos = Rhythm::default();
        for second in [0, 15, 115, 145, 900] {
            chaos.wakes(at(second));
            assert_eq!(chaos.sleeps(at(second + 5), 3_600_000), None);
        }
    }

    #[test]
    fn a_device_that_is_switched_off_at_night_does_not_sleep() {
        let mut rhythm = Rhythm::default();
        for day in 0..5 {
            rhythm.wakes(at(day * 86_400));
            assert_eq!(rhythm.sleeps(at(day * 86_400 + 50_000), 3_600_000), None);
        }
    }
}
