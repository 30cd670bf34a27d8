//! `GET /api/v1/devices/{id}/track`: where a device was.

use ::history::{LATITUDE, LONGITUDE};
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
        let lat = view.read(&device, LATITUDE, from, to)?;
        let lng = view.read(&device, LONGITUDE, from, to)?;
        let both = lat.zip(lng).ok_or(ApiError::NoSuchSeries)?;
        // Both stand in the same rows. A damaged block lacks both.
        let points = both
            .0
            .0
            .into_iter()
            .zip(both.1.0)
            .filter_map(|((time, lat), (at, lng))| {
                let (lat, lng) = (lat.borrow().as_number()?, lng.borrow().as_number()?);
                (time == at).then_some((time, lat, lng))
            });
        Ok(Track {
            device,
            points: thin_out(points.collect(), width.unwrap_or(WIDTH)),
        })
    })
    .await
}

/// Where it stands still it needs no points, and where there are too many, each so many-th does. First and last
/// stay.
fn thin_out(mut points: Vec<(i64, f64, f64)>, width: usize) -> Vec<(i64, f64, f64)> {
    let bits = |it: &(i64, f64, f64)| (it.1.to_bits(), it.2.to_bits());
    let last = points.last().copied();
    points.dedup_by(|b, a| bits(a) == bits(b));
    let step = points.len().div_ceil(width.saturating_sub(1).max(1)).max(1);
    let mut kept: Vec<_> = points.into_iter().step_by(step).collect();
    if let Some(last) = last
        && kept.last() != Some(&last)
    {
        kept.push(last);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_keeps_its_ends_and_fits() {
        let all: Vec<(i64, f64, f64)> = (0..1000)
            .map(|at| (at, 1.0, f64::from(u16::try_from(at / 10).unwrap())))
            .collect();
        let thin = thin_out(all.clone(), 20);
        assert!(thin.len() <= 21, "{}", thin.len());
        assert_eq!((thin[0], thin.last()), (all[0], all.last()));
        assert_eq!(thin_out(all, 2000).len(), 101);
        assert!(thin_out(Vec::new(), 5).is_empty());
    }
}
