//! The model of a simulated device: it changes with time, can be read, and takes commands.
//!
//! Pure: the time is an argument, and chance comes from a generator with a seed. A day of the model
//! passes in [`DAY`], so that a chart of ten minutes shows something happen.

use std::f64::consts::PI;
use std::time::Duration;

use api::Members;
use api::fleet::{Argument, Scalar};
use serde_json::{Map, Value};

use super::random::Random;

/// How long a simulated day takes.
pub(crate) const DAY: Duration = Duration::from_mins(20);
/// Models are stepped at most this far at once, in their own seconds.
const STEP: f64 = 15.0;

/// The names and values of a data message.
pub(crate) type Readings = Map<String, Value>;

/// What a device simulates.
pub(crate) trait Model: Send {
    /// Advances the model by `dt` seconds of its own time.
    fn step(&mut self, moment: Moment, dt: f64, random: &mut Random);

    /// Adds what it measures now.
    fn read(&self, readings: &mut Readings);

    /// The units of its metrics, where their names do not say them.
    fn units(&self) -> &'static [(&'static str, &'static str)] {
        &[]
    }

    /// Its commands, other than those that every device has.
    fn commands(&self) -> &'static [&'static str] {
        &[]
    }

    /// The numbers that its commands set.
    fn settings(&self) -> &'static [Setting] {
        &[]
    }

    /// Carries out one of `commands`. Returns the answer, or why it failed.
    fn command(&mut self, _name: &str, _arguments: &Members<'_>) -> Result<Value, String> {
        Err("this device has no such command".to_owned())
    }

    /// The device that it works with has sent its readings.
    fn hear(&mut self, _readings: &Readings) {}
}

/// A point in the model's time.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) struct Moment {
    /// Since midnight of the first day, in seconds.
    seconds: f64,
}

/// Turns real time into steps of a model.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    simulated: f64,
    started: Moment,
}

impl Moment {
    pub(crate) const fn at_hour(hour: f64) -> Self {
        Self {
            seconds: hour * 3_600.0,
        }
    }

    /// The hour of the day with its fraction, from 0 up to 24.
    pub(crate) fn hour(self) -> f64 {
        (self.seconds / 3_600.0).rem_euclid(24.0)
    }

    /// How high the sun stands: 0 at night, 1 at its highest. It rises at 6 and sets at 20.
    pub(crate) fn sun(self) -> f64 {
        (PI * (self.hour() - 6.0) / 14.0).sin().max(0.0)
            * f64::from(u8::from((6.0..20.0).contains(&self.hour())))
    }

    /// The air's temperature on a mild day, in °C: lowest before dawn, highest at 15.
    pub(crate) fn outdoors(self) -> f64 {
        12.0 + 6.5 * (2.0 * PI * (self.hour() - 9.0) / 24.0).sin()
    }
}

impl Pace {
    pub(crate) const fn new(started: Moment) -> Self {
        Self {
            simulated: 0.0,
            started,
        }
    }

    /// Advances `model` to where it should be `since_start` of real time after the start.
    pub(crate) fn advance(
        &mut self,
        model: &mut dyn Model,
        random: &mut Random,
        since_start: Duration,
    ) {
        let target = since_start.as_secs_f64() * 86_400.0 / DAY.as_secs_f64();
        // After the machine has slept for long, the model skips all but the last day.
        self.simulated = self.simulated.max(target - 86_400.0);
        while self.simulated < target {
            let dt = STEP.min(target - self.simulated);
            self.simulated += dt;
            let moment = Moment {
                seconds: self.started.seconds + self.simulated,
            };
            model.step(moment, dt, random);
        }
    }
}

/// Rounds `value` to `decimals`, as a sensor would.
pub(crate) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    // Adding zero turns -0 into 0.
    (value * scale).round() / scale + 0.0
}

/// Rounds `value`, and makes a JSON number of it.
pub(crate) fn number(value: f64, decimals: i32) -> Value {
    Value::from(rounded(value, decimals))
}

/// A number that a command sets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Setting {
    /// The command.
    pub(crate) command: &'static str,
    /// The member of its JSON object.
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// What a device has before anybody sets it.
    pub(crate) usual: f64,
}

impl Setting {
    /// The number in a command's arguments.
    pub(crate) fn read(&self, arguments: &Members<'_>) -> Result<f64, String> {
        let Self {
            name, low, high, ..
        } = self;
        let value: Option<f64> = arguments.read(name);
        value
            .filter(|value| (low..=high).contains(&value))
            .ok_or_else(|| format!("give \"{name}\", a number from {low} to {high}"))
    }

    /// What the device announces about it.
    pub(crate) fn argument(&self) -> Argument {
        Argument {
            name: self.name.to_owned(),
            kind: Some("number".to_owned()),
            unit: Some(self.unit.to_owned()),
            min: Some(self.low),
            max: Some(self.high),
            default: Some(Scalar::Number(self.usual)),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! What the tests of the kinds share.

    use super::*;

    /// What a model reads every minute of a day of its own time.
    pub(crate) fn day(model: &mut dyn Model, seed: u64) -> Vec<Readings> {
        let mut random = Random::new(seed);
        let mut minutes = Vec::new();
        for minute in 0..24 * 60 {
            for step in 0..4 {
                let seconds = f64::from(minute) * 60.0 + f64::from(step) * 15.0;
                model.step(Moment { seconds }, 15.0, &mut random);
            }
            let mut readings = Readings::new();
            model.read(&mut readings);
            minutes.push(readings);
        }
        minutes
    }

    /// One metric over a day, which must stay within `range` all the time.
    pub(crate) fn series(
        minutes: &[Readings],
        name: &str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Vec<f64> {
        let values: Vec<f64> = minutes
            .iter()
            .map(|readings| match &readings[name] {
                Value::Bool(on) => f64::from(u8::from(*on)),
                other => other.as_f64().unwrap(),
            })
            .collect();
        for (minute, value) in values.iter().enumerate() {
            assert!(
                range.contains(value),
                "{name} is {value} in minute {minute}"
            );
        }
        values
    }

    /// The difference between the highest and the lowest.
    pub(crate) fn swing(values: &[f64]) -> f64 {
        values.iter().copied().fold(f64::MIN, f64::max)
            - values.iter().copied().fold(f64::MAX, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(f64);

    impl Model for Counter {
        fn step(&mut self, _moment: Moment, dt: f64, _random: &mut Random) {
            assert!(dt > 0.0 && dt <= STEP);
            self.0 += dt;
        }

        fn read(&self, _readings: &mut Readings) {}
    }

    #[test]
    fn a_day_passes_in_twenty_minutes() {
        let mut pace = Pace::new(Moment::at_hour(9.0));
        let (mut model, mut random) = (Counter(0.0), Random::new(1));
        for second in 1..=20 * 60 {
            pace.advance(&mut model, &mut random, Duration::from_secs(second));
        }
        assert!((model.0 - 86_400.0).abs() < 0.001, "{}", model.0);
        pace.advance(&mut model, &mut random, Duration::from_hours(24 * 365));
        assert!((model.0 - 2.0 * 86_400.0).abs() < 0.001, "{}", model.0);
    }

    #[test]
    fn the_sun_rises_and_sets() {
        assert_eq!(Moment::at_hour(3.0).sun().to_bits(), 0.0_f64.to_bits());
        assert!(Moment::at_hour(13.0).sun() > 0.99);
        assert!(Moment::at_hour(15.0).outdoors() > Moment::at_hour(4.0).outdoors() + 10.0);
        assert_eq!(Moment::at_hour(25.0).hour().to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn numbers_are_rounded_without_a_negative_zero() {
        assert_eq!(number(23.456, 1).to_string(), "23.5");
        assert_eq!(number(-0.04, 1).to_string(), "0.0");
    }
}
