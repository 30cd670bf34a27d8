//! A freezer: a compressor that switches on and off, doors that people open by day, and an alarm.

use api::Members;
use serde_json::Value;

use super::super::model::{Model, Moment, Readings, Setting, number};
use super::super::random::Random;

const TARGET: Setting = Setting {
    command: "SET_TARGET",
    name: "celsius",
    unit: "°C",
    low: -30.0,
    high: -5.0,
    usual: -18.0,
};

#[derive(Debug)]
pub(super) struct Freezer {
    temp: f64,
    target: f64,
    mains: bool,
    compressor: bool,
    /// For how many seconds the door stays open.
    door: f64,
}

impl Freezer {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            temp: random.between(-19.5, -17.0),
            target: TARGET.usual,
            mains: true,
            compressor: false,
            door: 0.0,
        }
    }

    fn power(&self) -> f64 {
        match (self.mains, self.compressor) {
            (false, _) => 0.0,
            (true, false) => 3.2,
            // The warmer the freezer, the harder the compressor works.
            (true, true) => 104.0 + 1.5 * (self.temp + 18.0),
        }
    }
}

impl Model for Freezer {
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random) {
        self.door = (self.door - dt).max(0.0);
        let opening_hours = (7.0..21.0).contains(&moment.hour());
        if opening_hours && random.happens(dt, 2_700.0) {
            self.door = random.between(15.0, 90.0);
        }
        if self.temp > self.target + 1.2 {
            self.compressor = true;
        } else if self.temp < self.target - 1.2 {
            self.compressor = false;
        }
        // °C in an hour: what leaks in, what the door lets in, what the compressor takes out.
        let leak = (20.0 - self.temp) * 0.11;
        let door = if self.door > 0.0 { 55.0 } else { 0.0 };
        let cooling = if self.mains && self.compressor {
            13.0
        } else {
            0.0
        };
        self.temp = (self.temp + (leak + door - cooling) * dt / 3_600.0).clamp(-35.0, 20.0);
    }

    fn read(&self, readings: &mut Readings) {
        readings.insert("temp".into(), number(self.temp, 1));
        readings.insert("target".into(), number(self.target, 1));
        readings.insert("power_w".into(), number(self.power(), 0));
        readings.insert("door_open".into(), Value::Bool(self.door > 0.0));
        readings.insert("alarm".into(), Value::Bool(self.temp > -12.0));
    }

    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[("target", "°C")]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["SWITCH_ON", "SWITCH_OFF", "SET_TARGET"]
    }

    fn settings(&self) -> &'static [Setting] {
        &[TARGET]
    }

    fn command(&mut self, name: &str, arguments: &Members<'_>) -> Result<Value, String> {
        match name {
            "SET_TARGET" => {
                self.target = TARGET.read(arguments)?;
                Ok(number(self.target, 1))
            }
            "SWITCH_ON" | "SWITCH_OFF" => {
                self.mains = name == "SWITCH_ON";
                Ok(Value::from(if self.mains { "ON" } else { "OFF" }))
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
            let day = day(&mut Freezer::new(&mut Random::new(seed)), seed);
            let temp = series(&day, "temp", -22.0..=-13.0);
            assert!(swing(&temp) > 1.5, "the compressor comes and goes");
            let power = series(&day, "power_w", 0.0..=130.0);
            let starts = power
                .windows(2)
                .filter(|pair| pair[0] < 50.0 && pair[1] > 50.0)
                .count();
            assert!((8..=80).contains(&starts), "{starts} starts a day");
            let door = series(&day, "door_open", 0.0..=1.0);
            assert!(door.iter().sum::<f64>() > 3.0);
        }
    }

    #[test]
    fn without_mains_it_thaws_and_alarms() {
        let mut freezer = Freezer::new(&mut Random::new(1));
        assert_eq!(
            freezer.command("SWITCH_OFF", &Members::default()),
            Ok(Value::from("OFF"))
        );
        let day = day(&mut freezer, 1);
        let alarm = series(&day, "alarm", 0.0..=1.0);
        assert!(alarm[1_439] > 0.0);
        series(&day, "power_w", 0.0..=0.0);
    }

    #[test]
    fn the_target_has_bounds() {
        let mut freezer = Freezer::new(&mut Random::new(1));
        let with = |json| Members::parse(json).unwrap();
        let cold = with(r#"{"celsius":-22.0}"#);
        assert!(freezer.command("SET_TARGET", &cold).is_ok());
        let warm = with(r#"{"celsius":5.0}"#);
        assert!(
            freezer
                .command("SET_TARGET", &warm)
                .unwrap_err()
                .contains("from -30 to -5")
        );
        assert!(freezer.command("SET_TARGET", &Members::default()).is_err());
        let day = day(&mut freezer, 3);
        series(&day[300..], "temp", -26.0..=-17.0);
    }
}
