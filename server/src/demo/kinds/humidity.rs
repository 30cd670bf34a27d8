//! A room's air: a sensor that reads it, and the humidifier that listens to the sensor.
//!
//! The loop is closed through the broker. The sensor's readings switch the humidifier, and the
//! humidifier's readings say to the room's model how much vapour comes in.

use api::Members;
use serde_json::Value;

use super::super::model::{Model, Moment, Readings, Setting, number};
use super::super::random::{Drift, Random};

const TARGET: Setting = Setting {
    command: "SET_TARGET",
    name: "percent",
    unit: "%",
    low: 25.0,
    high: 70.0,
    usual: 45.0,
};

/// The sensor, with the room round it.
#[derive(Debug)]
pub(super) struct Sensor {
    humidity: f64,
    temp: f64,
    /// The output of the humidifier, as it last sent it, in per cent.
    vapour: f64,
    people: Drift,
}

/// The humidifier.
#[derive(Debug)]
pub(super) struct Humidifier {
    mode: Mode,
    on: bool,
    /// Where it is switched on and off, in per cent of relative humidity.
    target: f64,
    tank: f64,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Mode {
    /// The sensor's readings switch it.
    Auto,
    /// Commands switch it.
    Manual,
}

/// The humidifier is switched on below the target less this, and off above the target plus this.
const HYSTERESIS: f64 = 3.0;

impl Sensor {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            humidity: random.between(38.0, 50.0),
            temp: 21.0,
            vapour: 0.0,
            people: Drift::new(1.5, 2_000.0, random),
        }
    }
}

impl Model for Sensor {
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random) {
        // Heated air is dry, and ventilation brings the room back to it.
        let dry = 33.0 + self.people.step(dt, random);
        self.humidity +=
            (dry - self.humidity) * (dt / 5_400.0) + self.vapour / 100.0 * 16.0 * dt / 3_600.0;
        self.humidity = self.humidity.clamp(10.0, 95.0);
        self.temp +=
            (20.5 + 1.2 * moment.sun() + 0.2 * self.people.value() - self.temp) * (dt / 1_800.0);
    }

    fn read(&self, readings: &mut Readings) {
        readings.insert("humidity".into(), number(self.humidity, 1));
        readings.insert("temp".into(), number(self.temp, 1));
    }

    fn hear(&mut self, readings: &Readings) {
        if let Some(output) = readings.get("output").and_then(Value::as_f64) {
            self.vapour = output.clamp(0.0, 100.0);
        }
    }
}

impl Humidifier {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            mode: Mode::Auto,
            on: false,
            target: TARGET.usual,
            tank: random.between(60.0, 100.0),
        }
    }
}

impl Model for Humidifier {
    fn step(&mut self, _moment: Moment, dt: f64, _random: &mut Random) {
        if self.on {
            self.tank -= 100.0 * dt / (9.0 * 3_600.0);
        }
        if self.tank <= 3.0 {
            // Someone always fills it up in time.
            self.tank = 100.0;
        }
    }

    fn read(&self, readings: &mut Readings) {
        readings.insert("on".into(), Value::Bool(self.on));
        readings.insert("auto".into(), Value::Bool(self.mode == Mode::Auto));
        readings.insert(
            "output".into(),
            number(if self.on { 100.0 } else { 0.0 }, 0),
        );
        readings.insert("target".into(), number(self.target, 0));
        readings.insert("tank".into(), number(self.tank, 1));
        readings.insert(
            "power_w".into(),
            number(if self.on { 38.0 } else { 1.0 }, 0),
        );
    }

    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[("output", "%"), ("target", "%"), ("tank", "%")]
    }

    fn commands(&self) -> &'static [&'static str] {
        &["SWITCH_ON", "SWITCH_OFF", "SWITCH_AUTO", "SET_TARGET"]
    }

    fn settings(&self) -> &'static [Setting] {
        &[TARGET]
    }

    fn command(&mut self, name: &str, arguments: &Members<'_>) -> Result<Value, String> {
        match name {
            "SWITCH_ON" | "SWITCH_OFF" => {
                self.mode = Mode::Manual;
                self.on = name == "SWITCH_ON";
                Ok(Value::from(if self.on { "ON" } else { "OFF" }))
            }
            "SWITCH_AUTO" => {
                self.mode = Mode::Auto;
                Ok(Value::from("AUTO"))
            }
            "SET_TARGET" => {
                self.target = TARGET.read(arguments)?;
                Ok(number(self.target, 0))
            }
            _ => Err(format!("unknown command {name}")),
        }
    }

    fn hear(&mut self, readings: &Readings) {
        let Some(humidity) = readings.get("humidity").and_then(Value::as_f64) else {
            return;
        };
        match self.mode {
            Mode::Auto if humidity < self.target - HYSTERESIS => self.on = true,
            Mode::Auto if humidity > self.target + HYSTERESIS => self.on = false,
            Mode::Auto | Mode::Manual => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::testing::{day, series};
    use super::*;

    /// Runs both for some hours, each hearing the other once a minute. Returns the humidity of
    /// every minute, and how often the humidifier was switched.
    fn together(sensor: &mut Sensor, humidifier: &mut Humidifier, hours: u32) -> (Vec<f64>, u32) {
        let mut random = Random::new(9);
        let (mut series, mut switched) = (Vec::new(), 0);
        for minute in 0..hours * 60 {
            let moment = Moment::at_hour(f64::from(minute) / 60.0);
            sensor.step(moment, 60.0, &mut random);
            humidifier.step(moment, 60.0, &mut random);
            let (mut of_sensor, mut of_humidifier) = (Readings::new(), Readings::new());
            sensor.read(&mut of_sensor);
            let before = humidifier.on;
            humidifier.hear(&of_sensor);
            switched += u32::from(before != humidifier.on);
            humidifier.read(&mut of_humidifier);
            sensor.hear(&of_humidifier);
            series.push(sensor.humidity);
        }
        (series, switched)
    }

    #[test]
    fn the_humidifier_keeps_the_room_in_its_band() {
        let (mut sensor, mut humidifier) = (
            Sensor::new(&mut Random::new(1)),
            Humidifier::new(&mut Random::new(2)),
        );
        let (humidity, switched) = together(&mut sensor, &mut humidifier, 24);
        for value in &humidity[180..] {
            assert!((40.0..=50.0).contains(value), "{value}");
        }
        assert!((6..=80).contains(&switched), "switched {switched} times");
    }

    #[test]
    fn switched_off_by_hand_the_room_dries_until_auto_is_back() {
        let (mut sensor, mut humidifier) = (
            Sensor::new(&mut Random::new(1)),
            Humidifier::new(&mut Random::new(2)),
        );
        humidifier
            .command("SWITCH_OFF", &Members::default())
            .unwrap();
        let (humidity, switched) = together(&mut sensor, &mut humidifier, 12);
        assert!(humidity[719] < 38.0 && switched == 0);
        humidifier
            .command("SWITCH_AUTO", &Members::default())
            .unwrap();
        let (humidity, _) = together(&mut sensor, &mut humidifier, 12);
        assert!(humidity[719] > 40.0);
    }

    #[test]
    fn alone_each_is_plausible() {
        for seed in 0..10 {
            series(
                &day(&mut Sensor::new(&mut Random::new(seed)), seed),
                "humidity",
                26.0..=52.0,
            );
            series(
                &day(&mut Humidifier::new(&mut Random::new(seed)), seed),
                "tank",
                0.0..=100.0,
            );
        }
    }
}
