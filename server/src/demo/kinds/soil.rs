//! A probe in a field: it runs on a battery, so it sleeps most of the time.

use api::Members;
use serde_json::Value;

use super::super::model::{Model, Moment, Readings, number};
use super::super::random::{Drift, Random};

#[derive(Debug)]
pub(super) struct Soil {
    moisture: f64,
    temp: f64,
    battery: f64,
    /// How much longer the irrigation runs, in seconds.
    watering: f64,
    noise: Drift,
}

impl Soil {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            moisture: random.between(24.0, 40.0),
            temp: 11.0,
            battery: random.between(35.0, 100.0),
            watering: 0.0,
            noise: Drift::new(0.15, 60.0, random),
        }
    }
}

impl Model for Soil {
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random) {
        self.noise.step(dt, random);
        if self.moisture < 20.0 && self.watering <= 0.0 {
            self.watering = 2_400.0;
        }
        if self.watering > 0.0 {
            self.watering -= dt;
            self.moisture += 24.0 * dt / 3_600.0;
        }
        let evaporation = 0.25 + 1.6 * moment.sun();
        self.moisture = (self.moisture - evaporation * dt / 3_600.0).clamp(5.0, 48.0);
        self.temp += (moment.outdoors() - self.temp) * (dt / 30_000.0);
        self.battery -= dt / 86_400.0 * 0.4;
        if self.battery < 5.0 {
            self.battery = 100.0;
        }
    }

    fn read(&self, readings: &mut Readings) {
        readings.insert(
            "moisture".into(),
            number(self.moisture + self.noise.value(), 1),
        );
        readings.insert("temp".into(), number(self.temp, 1));
        readings.insert("battery".into(), number(self.battery, 0));
        readings.insert("valve_open".into(), Value::Bool(self.watering > 0.0));
    }

    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[("moisture", "%")]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["SWITCH_ON", "SWITCH_OFF"]
    }

    /// The commands open and close the irrigation's valve.
    fn command(&mut self, name: &str, _arguments: &Members<'_>) -> Result<Value, String> {
        match name {
            "SWITCH_ON" => {
                self.watering = 2_400.0;
                Ok(Value::from("ON"))
            }
            "SWITCH_OFF" => {
                self.watering = 0.0;
                Ok(Value::from("OFF"))
            }
            _ => Err(format!("unknown command {name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::testing::{day, series, swing};
    use super::*;

    #[test]
    fn a_day_is_plausible() {
        for seed in 0..20 {
            let day = day(&mut Soil::new(&mut Random::new(seed)), seed);
            let moisture = series(&day, "moisture", 15.0..=49.0);
            assert!(swing(&moisture) > 4.0);
            let temp = series(&day, "temp", 4.0..=20.0);
            assert!(swing(&temp) < 8.0, "the ground is slower than the air");
            series(&day, "battery", 5.0..=100.0);
        }
    }

    #[test]
    fn watering_can_be_commanded() {
        let mut soil = Soil::new(&mut Random::new(1));
        let before = soil.moisture;
        soil.command("SWITCH_ON", &Members::default()).unwrap();
        let day = day(&mut soil, 1);
        assert!(day[40]["moisture"].as_f64().unwrap() > before.min(40.0) + 5.0);
    }
}
