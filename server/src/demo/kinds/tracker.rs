//! A van that drives its round, and is out of reach now and then.

use super::super::model::{Model, Moment, Readings, number};
use super::super::random::{Drift, Random};

/// Metres in a degree of latitude.
const DEGREE: f64 = 111_320.0;

#[derive(Debug)]
pub(super) struct Tracker {
    home: (f64, f64),
    /// Where the van is on its round, in radians. `radius` is that of the round, in metres.
    along: f64,
    radius: f64,
    speed: f64,
    traffic: Drift,
    /// For how many seconds it stands at a customer's.
    stopped: f64,
    fuel: f64,
    engine: f64,
}

impl Tracker {
    pub(super) fn new(home: (f64, f64), random: &mut Random) -> Self {
        Self {
            home,
            along: random.between(0.0, std::f64::consts::TAU),
            radius: random.between(3_000.0, 9_000.0),
            speed: 0.0,
            traffic: Drift::new(9.0, 240.0, random),
            stopped: 0.0,
            fuel: random.between(30.0, 95.0),
            engine: 60.0,
        }
    }

    fn position(&self) -> (f64, f64) {
        let (lat, lng) = self.home;
        // The round is no perfect circle, because roads make none.
        let radius = self.radius * (1.0 + 0.25 * (3.0 * self.along).sin());
        let north = radius * self.along.sin() / DEGREE;
        let east = radius * self.along.cos() / (DEGREE * lat.to_radians().cos());
        (lat + north, lng + east)
    }
}

impl Model for Tracker {
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random) {
        self.traffic.step(dt, random);
        self.stopped -= dt;
        let on_duty = (6.0..21.0).contains(&moment.hour());
        if self.stopped <= 0.0 && random.happens(dt, 1_500.0) {
            self.stopped = random.between(120.0, 600.0);
        }
        let driving = on_duty && self.stopped <= 0.0;
        let target_speed = if driving {
            (46.0 + self.traffic.value()).max(5.0)
        } else {
            0.0
        };
        self.speed += (target_speed - self.speed) * (dt / 20.0).min(1.0);
        let metres = self.speed / 3.6 * dt;
        self.along = (self.along + metres / self.radius).rem_euclid(std::f64::consts::TAU);
        self.fuel -= metres / 1_000.0 * 0.11;
        if self.fuel < 8.0 {
            self.fuel = 98.0;
        }
        let warm = if on_duty { 88.0 } else { moment.outdoors() };
        self.engine += (warm - self.engine) * (dt / 1_200.0).min(1.0);
    }

    fn read(&self, readings: &mut Readings) {
        let (lat, lng) = self.position();
        readings.insert("lat".into(), number(lat, 5));
        readings.insert("lng".into(), number(lng, 5));
        readings.insert("speed_kmh".into(), number(self.speed, 0));
        readings.insert("fuel".into(), number(self.fuel, 1));
        readings.insert("engine_temp".into(), number(self.engine, 0));
    }

    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[("fuel", "%"), ("speed_kmh", "km/h")]
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::testing::{day, series, swing};
    use super::*;

    #[test]
    fn a_day_is_plausible() {
        for seed in 0..20 {
            let day = day(&mut Tracker::new((47.6, 9.4), &mut Random::new(seed)), seed);
            let speed = series(&day, "speed_kmh", 0.0..=80.0);
            assert!(
                speed[..5 * 60].iter().all(|speed| *speed < 1.0),
                "parked at night"
            );
            assert!(speed.iter().any(|speed| *speed > 40.0));
            let lat = series(&day, "lat", 47.4..=47.8);
            assert!(swing(&lat) > 0.03, "it gets about");
            series(&day, "lng", 9.1..=9.7);
            series(&day, "fuel", 7.0..=98.0);
            series(&day, "engine_temp", 0.0..=90.0);
        }
    }
}
