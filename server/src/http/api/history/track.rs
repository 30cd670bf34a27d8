//! `GET /api/v1/devices/{id}/track`: where a device was.

use api::history::Track;
use axum::response::Response;

use super::super::ApiError;
use super::super::query::Parameters;
use super::{answer, time};
use crate::http::Site;

const DAY: i64 = 86_400_000;
const WIDTH: usize = 1000;
const MAX_WIDTH: usize = 20_000;

pub(super) async fn track(
    site: &Site,
    device: String,
    query: Option<&str>,
) -> Result<Response, ApiError> {
    let history = site.history()?;
    let mut given = Parameters::read(query, &["from", "to", "width"])?;
    let (from, to) = time::range(&mut given, site.now(), DAY)?;
    let width = given.parsed("width", "a whole number from 2 to 20000", |text| {
        text.parse()
            .ok()
            .filter(|width| (2..=MAX_WIDTH).contains(width))
    })?;
    answer(history, move |view| {
        let mut points = Sampled::new(width.unwrap_or(WIDTH));
        let found = view.read_positions(&device, from, to, |time, lat, lng| {
            points.take((time, lat, lng));
        })?;
        found.ok_or(ApiError::NoSuchSeries)?;
        Ok(Track {
            device,
            points: points.finish(),
        })
    })
    .await
}

type Position = (i64, f64, f64);

/// The positions of a track. Where it stands still it needs none, and where there are too many, each so many-th does.
/// First and last stay.
struct Sampled {
    width: usize,
    kept: Vec<Position>,
    /// Each so many-th is kept.
    step: usize,
    /// How many have come, without those that stand still.
    count: usize,
    last: Option<Position>,
    /// The last one that did not stand still.
    moved: Option<Position>,
}

impl Sampled {
    const fn new(width: usize) -> Self {
        Self {
            width,
            kept: Vec::new(),
            step: 1,
            count: 0,
            last: None,
            moved: None,
        }
    }

    fn take(&mut self, position: Position) {
        let bits = |it: Position| (it.1.to_bits(), it.2.to_bits());
        self.last = Some(position);
        if self
            .moved
            .is_some_and(|moved| bits(moved) == bits(position))
        {
            return;
        }
        self.moved = Some(position);
        if self.count.is_multiple_of(self.step) {
            self.kept.push(position);
        }
        self.count += 1;
        // Twice as many as wanted, so that the last step can be a finer one.
        if self.kept.len() > 2 * self.width {
            self.leave_out(2);
            self.step *= 2;
        }
    }

    /// Keeps each so many-th.
    fn leave_out(&mut self, step: usize) {
        let kept = std::mem::take(&mut self.kept);
        self.kept = kept.into_iter().step_by(step).collect();
    }

    fn finish(mut self) -> Vec<Position> {
        // One place is for the last position.
        let room = self.width.saturating_sub(1).max(1);
        self.leave_out(self.kept.len().div_ceil(room).max(1));
        if let Some(last) = self.last
            && self.kept.last() != Some(&last)
        {
            self.kept.push(last);
        }
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(positions: impl IntoIterator<Item = Position>, width: usize) -> Vec<Position> {
        let mut sampled = Sampled::new(width);
        for position in positions {
            sampled.take(position);
            assert!(sampled.kept.len() <= 2 * width);
        }
        sampled.finish()
    }

    fn walk(count: i64, still: i64) -> Vec<Position> {
        let positions = (0..count).map(|at| {
            let lng = f64::from(i32::try_from(at / still).unwrap());
            (at, 1.0, lng)
        });
        positions.collect()
    }

    #[test]
    fn a_track_keeps_its_ends_and_fits() {
        let all = walk(1000, 10);
        let thin = sampled(all.clone(), 20);
        assert!((10..=20).contains(&thin.len()), "{}", thin.len());
        assert_eq!((thin[0], thin.last()), (all[0], all.last()));
        assert_eq!(sampled(all, 2000).len(), 101);
        assert!(sampled(Vec::new(), 5).is_empty());
    }

    #[test]
    fn a_long_track_needs_memory_for_its_width_alone() {
        for width in [2, 3, 100] {
            let all = walk(100_000, 1);
            let thin = sampled(all.iter().copied(), width);
            assert!((width / 2..=width).contains(&thin.len()), "{}", thin.len());
            assert_eq!((thin[0], thin.last()), (all[0], all.last()));
        }
    }
}
