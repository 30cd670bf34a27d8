//! What the charts draw: readings over time, in bounded memory.
//!
//! These buffers do not drop their oldest readings, they thin them out. When one is full, its older
//! half is halved: of every four neighbouring readings the lowest and the highest stay. So a chart reaches back to the first reading however long the page has been
//! open, the recent half is complete, and peaks are never lost.
//!
//! **Policy.** Each metric of a device that is open on screen keeps up to
//! [`SeriesStore::OPEN_POINTS`] readings of 16 bytes, of any other device
//! [`SeriesStore::CLOSED_POINTS`]. All together take at most the store's budget: when it is
//! used up, the number of readings of devices that are not open is halved, down to
//! [`SeriesStore::LEAST_POINTS`]; when even that does not help, metrics that have no buffer
//! yet get none, and [`SeriesStore::refused`] counts their readings.

use fleet::{DeviceKey, MetricKey};

use super::device_map::DeviceMap;

/// Readings of one metric, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Series {
    times: Vec<f64>,
    values: Vec<f64>,
}

/// The series of all devices.
#[derive(Debug)]
pub struct SeriesStore {
    devices: DeviceMap<Vec<Series>>,
    /// Each device that is open, and how often.
    open: Vec<(DeviceKey, usize)>,
    closed_points: usize,
    used: usize,
    budget: usize,
    refused: u64,
}

/// Bytes of one reading: time and value.
const POINT: usize = 2 * size_of::<f64>();

impl Series {
    /// Milliseconds since the Unix epoch, never going back.
    pub fn times(&self) -> &[f64] {
        &self.times
    }

    /// What was measured then.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// How many readings are kept.
    pub fn len(&self) -> usize {
        self.times.len()
    }

    /// Whether no reading is kept.
    pub fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// The readings from `time` on, and the one before it, so that a line enters the window
    /// from its edge.
    pub fn since(&self, time: f64) -> (&[f64], &[f64]) {
        let first = self.times.partition_point(|at| *at < time);
        let first = first.saturating_sub(1);
        (&self.times[first..], &self.values[first..])
    }

    /// Adds a reading in its place, and thins the older ones out at `limit` readings.
    fn push(&mut self, time: f64, value: f64, limit: usize) {
        while self.len() >= limit {
            self.thin();
        }
        if self.times.len() == self.times.capacity() {
            // The buffer must not grow beyond the limit, as it would if `Vec` doubled it.
            let more = self.len().clamp(8, (limit - self.len()).max(1));
            self.times.reserve_exact(more);
            self.values.reserve_exact(more);
        }
        // Most often it is the latest. One of a backlog goes between the others.
        let latest = self.times.last().copied().unwrap_or(time);
        let place = if latest <= time {
            self.len()
        } else {
            self.times.partition_point(|at| *at <= time)
        };
        self.times.insert(place, time);
        self.values.insert(place, value);
    }

    /// Of every four readings of the older half the lowest and the highest stay.
    fn thin(&mut self) {
        let old = self.len() / 8 * 4;
        if old == 0 {
            // With fewer than eight readings there is nothing to choose from, so the older half
            // goes.
            let half = self.len().div_ceil(2);
            self.times.drain(..half);
            self.values.drain(..half);
            return;
        }
        let mut kept = 0;
        for start in (0..old).step_by(4) {
            let four = &self.values[start..start + 4];
            let (mut low, mut high) = (0, 0);
            for (index, value) in four.iter().enumerate() {
                if *value < four[low] {
                    low = index;
                }
                if *value >= four[high] {
                    high = index;
                }
            }
            for index in [low.min(high), low.max(high)] {
                self.times[kept] = self.times[start + index];
                self.values[kept] = self.values[start + index];
                kept += 1;
            }
        }
        self.times.drain(kept..old);
        self.values.drain(kept..old);
    }

    fn shrink(&mut self, limit: usize) {
        while self.len() > limit {
            self.thin();
        }
        self.times.shrink_to(limit.min(self.len() + 8));
        self.values.shrink_to(limit.min(self.len() + 8));
    }

    fn bytes(&self) -> usize {
        self.times.capacity() * POINT
    }
}

impl SeriesStore {
    /// Readings kept of each metric of an open device, unless it has very many metrics.
    pub const OPEN_POINTS: usize = 8_192;
    /// Readings kept of each metric of any other device, while the budget allows it.
    pub const CLOSED_POINTS: usize = 240;
    /// Readings kept of each metric at the very least.
    pub const LEAST_POINTS: usize = 16;
    /// The budget of the page, in bytes.
    pub const BUDGET: usize = 48 << 20;

    /// An empty store that takes at most about `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            devices: DeviceMap::default(),
            open: Vec::new(),
            closed_points: Self::CLOSED_POINTS,
            used: 0,
            budget,
            refused: 0,
        }
    }

    /// Adds a reading of `time`, in milliseconds since the Unix epoch.
    pub fn push(&mut self, device: DeviceKey, metric: MetricKey, time: f64, value: f64) {
        let limit = self.limit(device);
        let full = self.used >= self.budget && self.closed_points <= Self::LEAST_POINTS;
        let series = self.devices.get_or_insert_with(device, Vec::new);
        let index = usize::from(metric.0);
        if index >= series.len() {
            if full {
                self.refused += 1;
                return;
            }
            let empty = size_of::<Series>();
            self.used += (index + 1 - series.len()) * empty;
            series.resize_with(index + 1, Series::default);
        }
        let series = &mut series[index];
        if full && series.is_empty() {
            self.refused += 1;
            return;
        }
        let before = series.bytes();
        series.push(time, value, limit);
        self.used = self.used + series.bytes() - before;
        if self.used > self.budget {
            self.shrink_closed();
        }
    }

    /// The series of a metric; `None` before its first reading.
    pub fn series(&self, device: DeviceKey, metric: MetricKey) -> Option<&Series> {
        let series = self.devices.get(device)?.get(usize::from(metric.0))?;
        (!series.is_empty()).then_some(series)
    }

    /// Keeps more readings of this device, until [`Self::close`] was called as often as this.
    pub fn open(&mut self, device: DeviceKey) {
        match self.open.iter_mut().find(|(open, _)| *open == device) {
            Some((_, viewers)) => *viewers += 1,
            None => self.open.push((device, 1)),
        }
    }

    /// This device has one viewer less.
    pub fn close(&mut self, device: DeviceKey) {
        let Some(index) = self.open.iter().position(|(open, _)| *open == device) else {
            return;
        };
        self.open[index].1 -= 1;
        if self.open[index].1 == 0 {
            self.open.swap_remove(index);
            self.shrink(device, self.closed_points);
        }
    }

    /// The device was forgotten, and its readings with it.
    pub fn forget(&mut self, device: DeviceKey) {
        let series = self.devices.remove(device).unwrap_or_default();
        let bytes: usize = series.iter().map(Series::bytes).sum();
        self.used -= bytes + series.len() * size_of::<Series>();
    }

    /// The bytes that the readings take.
    pub fn bytes(&self) -> usize {
        self.used
    }

    /// Readings that were not kept because the budget is used up.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn limit(&self, device: DeviceKey) -> usize {
        if !self.open.iter().any(|(open, _)| *open == device) {
            return self.closed_points;
        }
        // A third of the budget is for the devices that are open.
        let metrics = self.devices.get(device).map_or(1, Vec::len);
        let share = self.budget / 3 / POINT / metrics.max(1) / self.open.len();
        share.clamp(self.closed_points, Self::OPEN_POINTS)
    }

    fn shrink_closed(&mut self) {
        while self.used > self.budget && self.closed_points > Self::LEAST_POINTS {
            self.closed_points = (self.closed_points / 2).max(Self::LEAST_POINTS);
            let keys: Vec<DeviceKey> = self.devices.keys().collect();
            for key in keys {
                let limit = self.limit(key);
                self.shrink(key, limit);
            }
        }
    }

    fn shrink(&mut self, device: DeviceKey, limit: usize) {
        for series in self.devices.get_mut(device).into_iter().flatten() {
            let before = series.bytes();
            series.shrink(limit);
            self.used = self.used + series.bytes() - before;
        }
    }
}

impl Default for SeriesStore {
    fn default() -> Self {
        Self::new(Self::BUDGET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: DeviceKey = key(7);

    const fn key(place: u32) -> DeviceKey {
        DeviceKey { place, number: 0 }
    }
    const METRIC: MetricKey = MetricKey(0);

    fn fill(store: &mut SeriesStore, device: DeviceKey, readings: u32) {
        for index in 0..readings {
            let time = f64::from(index) * 1_000.0;
            store.push(device, METRIC, time, f64::from(index % 17));
        }
    }

    #[test]
    fn a_day_of_readings_stays_within_the_limit_and_reaches_back_to_the_first() {
        let mut store = SeriesStore::default();
        fill(&mut store, DEVICE, 86_400);
        let series = store.series(DEVICE, METRIC).unwrap();
        assert!(series.len() <= SeriesStore::CLOSED_POINTS);
        assert!(series.len() >= SeriesStore::CLOSED_POINTS / 2);
        let first = series.times().first().copied().unwrap();
        assert!(first < 60_000.0, "begins at {first}");
        assert!(series.times().is_sorted());
        // The recent readings are complete: at least a quarter of the limit, one a second.
        let recent = &series.times()[series.len() - SeriesStore::CLOSED_POINTS / 4..];
        assert!(recent.windows(2).all(|pair| pair[1] - pair[0] < 1_001.0));
    }

    #[test]
    fn a_peak_survives_any_number_of_thinnings() {
        let mut store = SeriesStore::default();
        store.push(DEVICE, METRIC, 0.0, 5.0);
        store.push(DEVICE, METRIC, 1.0, 1_000.0);
        store.push(DEVICE, METRIC, 2.0, -1_000.0);
        for index in 3..10_000 {
            store.push(DEVICE, METRIC, f64::from(index), 5.0);
        }
        let values = store.series(DEVICE, METRIC).unwrap().values();
        assert!(values.contains(&1_000.0) && values.contains(&-1_000.0));
    }

    #[test]
    fn an_open_device_keeps_more_and_gives_it_back() {
        let mut store = SeriesStore::default();
        store.open(DEVICE);
        fill(&mut store, DEVICE, 5_000);
        assert_eq!(store.series(DEVICE, METRIC).unwrap().len(), 5_000);
        let open = store.bytes();
        store.close(DEVICE);
        let series = store.series(DEVICE, METRIC).unwrap();
        assert!(series.len() <= SeriesStore::CLOSED_POINTS);
        assert!(store.bytes() < open / 10, "{} of {open}", store.bytes());
    }

    #[test]
    fn a_forgotten_device_takes_no_memory() {
        let mut store = SeriesStore::default();
        fill(&mut store, key(1), 100);
        let before = store.bytes();
        fill(&mut store, DEVICE, 5_000);
        store.push(DEVICE, MetricKey(9), 0.0, 1.0);
        store.forget(DEVICE);
        store.forget(DEVICE);
        assert_eq!(store.bytes(), before);
        assert!(store.series(DEVICE, METRIC).is_none());
    }

    #[test]
    fn the_budget_holds_for_any_number_of_devices() {
        let budget = 256 << 10;
        let mut store = SeriesStore::new(budget);
        for device in 0..2_000 {
            fill(&mut store, key(device), 40);
        }
        // The last buffer may overshoot by its own first readings.
        assert!(store.bytes() <= budget + 1_024, "{}", store.bytes());
        assert!(store.refused() > 0);
        let kept = store.series(key(0), METRIC).unwrap();
        assert!(!kept.is_empty(), "who was there first keeps the least");
    }

    #[test]
    fn a_backlog_is_sorted_in() {
        let mut store = SeriesStore::default();
        for time in [5.0, 3.0, 9.0, 4.0, 5.0] {
            store.push(DEVICE, METRIC, time, time);
        }
        let series = store.series(DEVICE, METRIC).unwrap();
        assert_eq!(series.times(), [3.0, 4.0, 5.0, 5.0, 9.0]);
        assert_eq!(series.values(), series.times());
        // Also into a full buffer.
        for time in 0..1_000 {
            store.push(DEVICE, METRIC, f64::from(1_000 - time), 0.0);
        }
        let times = store.series(DEVICE, METRIC).unwrap().times();
        assert!(times.is_sorted() && times.len() <= SeriesStore::CLOSED_POINTS);
    }

    #[test]
    fn a_window_begins_with_the_reading_before_it() {
        let mut store = SeriesStore::default();
        fill(&mut store, DEVICE, 10);
        let series = store.series(DEVICE, METRIC).unwrap();
        assert_eq!(series.since(4_500.0).0, &series.times()[4..]);
        assert_eq!(series.since(0.0).0.len(), 10);
        assert_eq!(series.since(99_000.0).0.len(), 1);
    }
}
