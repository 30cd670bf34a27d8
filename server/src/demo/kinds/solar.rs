//! A solar inverter: the sun, clouds that pass before it, and a limit that the grid may ask for.

use api::Members;
use serde_json::Value;

use super::super::model::{Model, Moment, Readings, Setting, number};
use super::super::random::{Drift, Random};

const LIMIT: Setting = Setting {
    command: "SET_LIMIT",
    name: "percent",
    unit: "%",
    low: 0.0,
    high: 100.0,
    usual: 100.0,
};

/// The peak power of the panels, in W.
const PEAK: f64 = 6_200.0;

#[derive(Debug)]
pub(super) struct Solar {
    clouds: Drift,
    grid: Drift,
    /// The share of the sunlight that the clouds let through just now.
    through: f64,
    power: f64,
    panel_temp: f64,
    energy_today: f64,
    hour: f64,
    on: bool,
    /// The most power that the inverter may give, in per cent of full power.
    limit: f64,
}

impl Solar {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            clouds: Drift::new(0.35, 1_500.0, random),
            grid: Drift::new(1.4, 400.0, random),
            through: 1.0,
            power: 0.0,
            panel_temp: 12.0,
            energy_today: 0.0,
            hour: 0.0,
            on: true,
            limit: LIMIT.usual,
        }
    }
}

impl Model for Solar {
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random) {
        self.grid.step(dt, random);
        let cloud = self.clouds.step(dt, random).max(0.0);
        self.through += ((1.0 - cloud).max(0.15) - self.through) * (dt / 60.0).min(1.0);
        let sun = moment.sun() * self.through;
        // Warm panels give less.
        let warmth = 1.0 - 0.004 * (self.panel_temp - 25.0).max(0.0);
        self.power = if self.on {
            (PEAK * sun * warmth).min(PEAK * self.limit / 100.0)
        } else {
            0.0
        };
        self.panel_temp +=
            (moment.outdoors() + 26.0 * sun - self.panel_temp) * (dt / 600.0).min(1.0);
        if moment.hour() < self.hour {
            self.energy_today = 0.0;
        }
        self.hour = moment.hour();
        self.energy_today += self.power * dt / 3_600_000.0;
    }

    fn read(&self, readings: &mut Readings) {
        let generating = self.power > 20.0;
        let string = if generating {
            345.0 + 45.0 * self.through - 0.6 * (self.panel_temp - 25.0)
        } else {
            0.0
        };
        readings.insert("on".into(), Value::Bool(self.on));
        readings.insert("power_w".into(), number(self.power, 0));
        readings.insert("energy_today_kwh".into(), number(self.energy_today, 2));
        readings.insert("grid_voltage".into(), number(230.5 + self.grid.value(), 1));
        readings.insert("string_voltage".into(), number(string, 0));
        readings.insert("panel_temp".into(), number(self.panel_temp, 1));
    }

    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[
            ("grid_voltage", "V"),
            ("string_voltage", "V"),
            ("energy_today_kwh", "kWh"),
        ]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["SWITCH_ON", "SWITCH_OFF", "SET_LIMIT"]
    }

    fn settings(&self) -> &'static [Setting] {
        &[LIMIT]
    }

    fn command(&mut self, name: &str, arguments: &Members<'_>) -> Result<Value, String> {
        match name {
            "SET_LIMIT" => {
                self.limit = LIMIT.read(arguments)?;
                Ok(number(self.limit, 0))
            }
            "SWITCH_ON" | "SWITCH_OFF" => {
                self.on = name == "SWITCH_ON";
                Ok(Value::from(if self.on { "ON" } else { "OFF" }))
            }
            _ => Err(format!("unknown command {name}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::testing::{day, series};
    use super::*;

    #[test]
    fn a_day_is_plausible() {
        for seed in 0..20 {
            let day = day(&mut Solar::new(&mut Random::new(seed)), seed);
            let power = series(&day, "power_w", 0.0..=PEAK);
            assert!(
                power[..5 * 60].iter().all(|power| *power < 1.0),
                "dark before dawn"
            );
            assert!(
                power[11 * 60..15 * 60].iter().any(|power| *power > 3_000.0),
                "bright at noon"
            );
            series(&day, "panel_temp", 2.0..=50.0);
            series(&day, "grid_voltage", 225.0..=236.0);
            series(&day, "string_voltage", 0.0..=410.0);
            let energy = series(&day, "energy_today_kwh", 0.0..=62.0);
            assert!(
                (12.0..=62.0).contains(&energy[1_439]),
                "{} kWh",
                energy[1_439]
            );
        }
    }

    #[test]
    fn a_limit_is_kept() {
        let mut solar = Solar::new(&mut Random::new(4));
        let half = Members::parse(r#"{"percent":50}"#).unwrap();
        solar.command("SET_LIMIT", &half).unwrap();
        series(&day(&mut solar, 4), "power_w", 0.0..=PEAK / 2.0);
    }
}
