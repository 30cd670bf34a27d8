//! A pump that keeps a tank full while people draw from it.

use api::Members;
use serde_json::Value;

use super::super::model::{Model, Moment, Readings, number};
use super::super::random::{Drift, Random};

#[derive(Debug)]
pub(super) struct Pump {
    enabled: bool,
    running: bool,
    /// How full the tank is, in per cent.
    level: f64,
    /// The motor's speed, in per cent of its full speed. It takes seconds to start.
    speed: f64,
    draw: Drift,
    wear: Drift,
    /// The bearing's temperature, in °C.
    bearing: f64,
}

impl Pump {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            enabled: true,
            running: false,
            level: random.between(45.0, 85.0),
            speed: 0.0,
            draw: Drift::new(3.0, 1_200.0, random),
            wear: Drift::new(0.25, 300.0, random),
            bearing: 24.0,
        }
    }

    fn flow(&self) -> f64 {
        62.0 * self.speed / 100.0
    }
}

impl Model for Pump {
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random) {
        if self.level < 35.0 {
            self.running = true;
        } else if self.level > 90.0 {
            self.running = false;
        }
        let target_speed = if self.enabled && self.running {
            100.0
        } else {
            0.0
        };
        self.speed += (target_speed - self.speed) * (dt / 12.0).min(1.0);
        // What people draw, in litres a minute, has a peak in the morning and one in the evening.
        // The tank holds 6,000 litres.
        let peak = |at: f64| (-(moment.hour() - at).powi(2) / 4.0).exp();
        let draw =
            (8.0 + 22.0 * peak(7.5) + 18.0 * peak(19.0) + self.draw.step(dt, random)).max(0.0);
        self.level = (self.level + (self.flow() - draw) * dt / 60.0 / 60.0).clamp(0.0, 100.0);
        self.bearing += (24.0 + 0.27 * self.speed - self.bearing) * (dt / 600.0).min(1.0);
        self.wear.step(dt, random);
    }

    fn read(&self, readings: &mut Readings) {
        let turning = self.speed / 100.0;
        readings.insert("on".into(), Value::Bool(self.speed > 5.0));
        readings.insert("level".into(), number(self.level, 1));
        readings.insert("flow".into(), number(self.flow(), 1));
        readings.insert("pressure".into(), number(1.1 + 2.7 * turning * turning, 2));
        readings.insert("motor_rpm".into(), number(2_900.0 * turning, 0));
        readings.insert("bearing_temp".into(), number(self.bearing, 1));
        readings.insert(
            "vibration".into(),
            number(turning * (1.8 + self.wear.value()), 2),
        );
    }

    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("level", "%"),
            ("flow", "L/min"),
            ("pressure", "bar"),
            ("motor_rpm", "rpm"),
            ("vibration", "mm/s"),
        ]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["SWITCH_ON", "SWITCH_OFF"]
    }

    fn command(&mut self, name: &str, _arguments: &Members<'_>) -> Result<Value, String> {
        match name {
            "SWITCH_ON" => {
                self.enabled = true;
                // It runs at once, so that people see the command work, unless the tank is full.
                self.running = self.level < 90.0;
                Ok(Value::from("ON"))
            }
            "SWITCH_OFF" => {
                self.enabled = false;
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
            let day = day(&mut Pump::new(&mut Random::new(seed)), seed);
            let level = series(&day, "level", 25.0..=95.0);
            assert!(swing(&level) > 30.0);
            let flow = series(&day, "flow", 0.0..=62.0);
            assert!(flow.iter().any(|flow| *flow > 60.0) && flow.contains(&0.0));
            series(&day, "pressure", 1.0..=3.9);
            series(&day, "motor_rpm", 0.0..=2_900.0);
            series(&day, "bearing_temp", 20.0..=55.0);
            series(&day, "vibration", 0.0..=2.6);
        }
    }

    #[test]
    fn switched_off_it_lets_the_tank_run_dry() {
        let mut pump = Pump::new(&mut Random::new(1));
        pump.command("SWITCH_OFF", &Members::default()).unwrap();
        let level = series(&day(&mut pump, 1), "level", 0.0..=100.0);
        assert!(level[1_439] < 1.0, "{}", level[1_439]);
        pump.command("SWITCH_ON", &Members::default()).unwrap();
        let level = series(&day(&mut pump, 2), "level", 0.0..=100.0);
        assert!(level[300] > 25.0, "{}", level[300]);
    }
}
