//! Where the device is: its track in metres, drawn without a map service.

use std::collections::VecDeque;

use fleet::Position;
use leptos::prelude::*;

use super::DeviceSignal;
use crate::components::copy::CopyButton;
use crate::components::icon::Icon;
use crate::state::AppState;

/// How many places are remembered while the page is open. The oldest go first.
const MOST: usize = 500;
/// The width of the drawing's coordinates; the style sheet scales it.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 220.0;
/// The least width of what is drawn, in metres. So a device that stands still is a dot in a street.
const NARROWEST_M: f64 = 200.0;
/// Metres in a degree of latitude.
const DEGREE_M: f64 = 111_320.0;

/// Coordinates and track; nothing for a device that does not say where it is.
#[component]
pub fn PositionPanel(
    /// The device.
    device: DeviceSignal,
) -> impl IntoView {
    let position = Memo::new(move |_| {
        device.with(|device| device.as_ref().and_then(|device| device.position))
    });
    let track = RwSignal::new(VecDeque::<Position>::new());
    Effect::new(move |_| {
        if let Some(position) = position.get() {
            track.update(|track| extend(track, position));
        }
    });
    let known = Memo::new(move |_| position.with(Option::is_some));
    let coordinates = move || {
        position
            .get()
            .map(|at| format!("{:.6}, {:.6}", at.lat, at.lng))
            .unwrap_or_default()
    };
    move || {
        known.get().then(|| {
            view! {
                <section class="panel" aria-labelledby="position-title" data-testid="position">
                    <div class="panel-head">
                        <h2 id="position-title">"Position"</h2>
                    </div>
                    <div class="panel-body">
                        <Locator track=track />
                        <div class="map-caption">
                            <span class="mono tabular" data-testid="coordinates">
                                {move || position.get().map(|at| degrees(&at))}
                            </span>
                            <CopyButton
                                what="the coordinates"
                                text=move || position.get_untracked().map(|at| format!("{}, {}", at.lat, at.lng)).unwrap_or_default()
                            />
                            <a
                                href=move || position.get().map(|at| map_href(&at))
                                target="_blank"
                                rel="noopener noreferrer external"
                                class="external"
                                title=coordinates
                            >
                                "OpenStreetMap"
                                {Icon::External.view()}
                            </a>
                        </div>
                    </div>
                </section>
            }
        })
    }
}

/// The track, seen from above, north up.
#[component]
fn Locator(track: RwSignal<VecDeque<Position>>) -> impl IntoView {
    let places = move || track.with(|track| track.iter().copied().collect::<Vec<_>>());
    let state = AppState::expect();
    let drawing = Memo::new(move |_| {
        // The other devices are drawn where they were when this one last moved: they only show the scale.
        let others: Vec<Position> = state.positions().into_iter().map(|(_, at)| at).collect();
        Drawing::new(&places(), &others)
    });
    view! {
        <div class="map-frame">
        <svg
            class="map"
            viewBox=format!("0 0 {WIDTH} {HEIGHT}")
            role="img"
            aria-label=move || drawing.with(Drawing::words)
        >
            <path class="graticule" d=move || drawing.with(|drawing| drawing.grid.clone()) />
            <path class="others" d=move || drawing.with(|drawing| drawing.others.clone()) />
            <polyline class="track" points=move || drawing.with(|drawing| drawing.line.clone()) />
            <circle
                class="here-halo"
                r="13"
                cx=move || drawing.with(|drawing| drawing.here.0.to_string())
                cy=move || drawing.with(|drawing| drawing.here.1.to_string())
            />
            <circle
                class="here"
                r="5.5"
                cx=move || drawing.with(|drawing| drawing.here.0.to_string())
                cy=move || drawing.with(|drawing| drawing.here.1.to_string())
            />
        </svg>
        // Letters keep their size when the picture grows, so they are not part of it.
        <span class="map-scale tabular" data-testid="map-scale">
            {move || drawing.with(|drawing| format!("grid {}", metres(drawing.step)))}
        </span>
        <span class="map-north" aria-hidden="true">"N ↑"</span>
        </div>
    }
}

fn extend(track: &mut VecDeque<Position>, position: Position) {
    let moved = track
        .back()
        .is_none_or(|last| (last.lat, last.lng) != (position.lat, position.lng));
    if moved {
        if track.len() == MOST {
            track.pop_front();
        }
        track.push_back(position);
    }
}

/// What is drawn, in the drawing's own units.
#[derive(Clone, Debug, Default, PartialEq)]
struct Drawing {
    line: String,
    here: (f64, f64),
    grid: String,
    /// Other devices that are near, a dot each.
    others: String,
    /// The distance between two lines of the grid, in metres.
    step: f64,
    places: usize,
}

impl Drawing {
    fn new(track: &[Position], others: &[Position]) -> Self {
        let Some(here) = track.last().copied() else {
            return Self::default();
        };
        // Places are metres east and north of the first one. The ground counts as flat, which is
        // good enough for the distance that one device travels.
        let origin = track[0];
        let stretch = origin.lat.to_radians().cos().max(0.01);
        let flat = |at: &Position| {
            let east = wrap(at.lng - origin.lng) * DEGREE_M * stretch;
            (east, (at.lat - origin.lat) * DEGREE_M)
        };
        let points: Vec<(f64, f64)> = track.iter().map(flat).collect();
        let range = |pick: fn(&(f64, f64)) -> f64| {
            let values = points.iter().map(pick);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let ((west, east), (south, north)) = (range(|point| point.0), range(|point| point.1));
        let wide = (east - west)
            .max((north - south) * WIDTH / HEIGHT)
            .max(NARROWEST_M)
            * 1.3;
        let scale = WIDTH / wide;
        let (middle_x, middle_y) = (f64::midpoint(west, east), f64::midpoint(south, north));
        let place = |(x, y): (f64, f64)| {
            let x = WIDTH / 2.0 + (x - middle_x) * scale;
            let y = HEIGHT / 2.0 - (y - middle_y) * scale;
            ((x * 10.0).round() / 10.0, (y * 10.0).round() / 10.0)
        };
        let place_of_here = place(flat(&here));
        let line: Vec<String> = points
            .iter()
            .map(|point| {
                let (x, y) = place(*point);
                format!("{x},{y}")
            })
            .collect();
        let step = round_step(wide / 5.0);
        let others: Vec<String> = others
            .iter()
            .map(|at| place(flat(at)))
            .filter(|place| *place != place_of_here)
            .filter(|(x, y)| (0.0..=WIDTH).contains(x) && (0.0..=HEIGHT).contains(y))
            .take(MOST)
            .map(|(x, y)| format!("M{x} {y}h0"))
            .collect();
        Self {
            line: line.join(" "),
            here: place_of_here,
            others: others.concat(),
            grid: grid(step * scale, place((0.0, 0.0))),
            step,
            places: track.len(),
        }
    }

    fn words(&self) -> String {
        match self.places {
            0 => "No position yet".to_owned(),
            1 => "The device has not moved since this page was opened".to_owned(),
            places => format!("The device's track since this page was opened: {places} places"),
        }
    }
}

/// Lines `step` units apart, through `origin`.
fn grid(step: f64, origin: (f64, f64)) -> String {
    use std::fmt::Write as _;
    let mut path = String::new();
    let mut x = origin.0.rem_euclid(step);
    while x < WIDTH {
        // Writing to a String cannot fail.
        let _ = write!(path, "M{x:.1} 0V{HEIGHT}");
        x += step;
    }
    let mut y = origin.1.rem_euclid(step);
    while y < HEIGHT {
        let _ = write!(path, "M0 {y:.1}H{WIDTH}");
        y += step;
    }
    path
}

/// 1, 2 or 5 times a power of ten, and at least `at_least`.
fn round_step(at_least: f64) -> f64 {
    let power = 10f64.powf(at_least.max(1.0).log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0];
    let fits = times.into_iter().find(|times| times * power >= at_least);
    fits.unwrap_or(10.0) * power
}

/// A difference in degrees of longitude, the short way round.
fn wrap(degrees: f64) -> f64 {
    (degrees + 180.0).rem_euclid(360.0) - 180.0
}

fn metres(length: f64) -> String {
    if length >= 1_000.0 {
        format!("{} km", length / 1_000.0)
    } else {
        format!("{length} m")
    }
}

/// `48.01000° N, 88.60000° W`
fn degrees(at: &Position) -> String {
    let (north, east) = (
        if at.lat < 0.0 { "S" } else { "N" },
        if at.lng < 0.0 { "W" } else { "E" },
    );
    format!("{:.5}° {north}, {:.5}° {east}", at.lat.abs(), at.lng.abs())
}

fn map_href(at: &Position) -> String {
    let Position { lat, lng, .. } = at;
    format!("https://www.openstreetmap.org/?mlat={lat:.6}&mlon={lng:.6}#map=15/{lat:.6}/{lng:.6}")
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // Places are rounded to a tenth.
mod tests {
    use super::*;
    use fleet::Timestamp;

    fn at(lat: f64, lng: f64) -> Position {
        Position {
            lat,
            lng,
            at: Timestamp(0),
        }
    }

    #[test]
    fn one_place_is_in_the_middle_of_a_street() {
        let drawing = Drawing::new(&[at(48.0, 11.0)], &[]);
        assert_eq!(drawing.here, (WIDTH / 2.0, HEIGHT / 2.0));
        assert!((50.0..=100.0).contains(&drawing.step), "{}", drawing.step);
        assert!(!drawing.grid.is_empty());
    }

    #[test]
    fn neighbours_are_dots_and_the_rest_of_the_world_is_not() {
        let here = at(48.0, 11.0);
        let drawing = Drawing::new(&[here], &[here, at(48.0003, 11.0), at(10.0, 100.0)]);
        assert_eq!(drawing.others.matches('M').count(), 1, "{}", drawing.others);
    }

    #[test]
    fn north_is_up_and_the_track_fits() {
        let drawing = Drawing::new(&[at(48.0, 11.0), at(48.5, 11.0)], &[]);
        assert!(drawing.here.1 < HEIGHT / 2.0 && drawing.here.1 > 0.0);
        assert_eq!(drawing.here.0, WIDTH / 2.0);
    }

    #[test]
    fn the_date_line_is_no_journey_round_the_world() {
        let drawing = Drawing::new(&[at(0.0, 179.999), at(0.0, -179.999)], &[]);
        assert!(drawing.step <= 100.0, "{}", drawing.step);
        assert!(drawing.here.0 > WIDTH / 2.0);
    }

    #[test]
    fn the_poles_and_standing_still_do_no_harm() {
        let drawing = Drawing::new(&[at(90.0, 0.0), at(-90.0, 180.0)], &[]);
        assert!(drawing.here.0.is_finite() && drawing.here.1.is_finite());
        let mut track = VecDeque::new();
        for _ in 0..3 {
            extend(&mut track, at(1.0, 2.0));
        }
        assert_eq!(track.len(), 1);
        for step in 0..2_000 {
            extend(&mut track, at(f64::from(step) / 1e3, 0.0));
        }
        assert_eq!(track.len(), MOST);
    }

    #[test]
    fn coordinates_are_written_as_people_do() {
        assert_eq!(degrees(&at(48.01, -88.6)), "48.01000° N, 88.60000° W");
        assert_eq!(metres(round_step(52.0)), "100 m");
        assert_eq!(metres(round_step(1_400.0)), "2 km");
    }
}
