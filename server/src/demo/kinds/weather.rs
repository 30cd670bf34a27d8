//! A weather station: temperature and humidity that move against each other, a slow barometer,
//! gusts, and showers that pass.

use super::super::model::{Model, Moment, Readings, number};
use super::super::random::{Drift, Random};

#[derive(Debug)]
pub(super) struct Weather {
    air_mass: Drift,
    barometer: Drift,
    breeze: Drift,
    gust: Drift,
    /// The temperature, in °C.
    temp: f64,
    /// How much it rains, in mm/h. At 0 it is dry.
    rain: f64,
    /// How much longer the shower lasts, in seconds.
    rain_left: f64,
}

impl Weather {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            air_mass: Drift::new(2.0, 40_000.0, random),
            barometer: Drift::new(7.0, 60_000.0, random),
            breeze: Drift::new(5.0, 8_000.0, random),
            gust: Drift::new(2.5, 90.0, random),
            temp: 12.0 + random.normal(),
            rain: 0.0,
            rain_left: 0.0,
        }
    }
}

impl Model for Weather {
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random) {
        self.breeze.step(dt, random);
        self.gust.step(dt, random);
        self.barometer.step(dt, random);
        self.rain_left -= dt;
        if self.rain_left <= 0.0 {
            self.rain = 0.0;
            if random.happens(dt, 5.0 * 3_600.0) {
                self.rain_left = random.between(600.0, 5_400.0);
            }
        } else {
            let target = 0.3 + self.gust.value().abs();
            self.rain += (target - self.rain) * (dt / 300.0).min(1.0);
        }
        let chill = if self.rain > 0.0 { 2.5 } else { 0.0 };
        let target = moment.outdoors() + self.air_mass.step(dt, random) - chill;
        self.temp += (target - self.temp) * (dt / 900.0).min(1.0);
    }

    fn read(&self, readings: &mut Readings) {
        let wet = if self.rain > 0.0 { 18.0 } else { 0.0 };
        let humidity = (105.0 - 3.2 * self.temp + wet).clamp(28.0, 99.0);
        let wind = (11.0 + self.breeze.value() + self.gust.value()).max(0.0);
        readings.insert("temp".into(), number(self.temp, 1));
        readings.insert("humidity".into(), number(humidity, 0));
        readings.insert(
            "pressure_hpa".into(),
            number(1_014.0 + self.barometer.value(), 1),
        );
        readings.insert("wind_kmh".into(), number(wind, 1));
        readings.insert("rain".into(), number(self.rain, 1));
    }

    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("rain", "mm/h"),
            ("pressure_hpa", "hPa"),
            ("wind_kmh", "km/h"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::testing::{day, series, swing};
    use super::*;

    #[test]
    fn a_day_is_plausible() {
        for seed in 0..20 {
            let day = day(&mut Weather::new(&mut Random::new(seed)), seed);
            let temp = series(&day, "temp", -8.0..=30.0);
            assert!(swing(&temp) > 5.0, "days are warmer than nights");
            series(&day, "humidity", 28.0..=99.0);
            series(&day, "pressure_hpa", 990.0..=1_038.0);
            series(&day, "wind_kmh", 0.0..=40.0);
            series(&day, "rain", 0.0..=10.0);
        }
    }
}
