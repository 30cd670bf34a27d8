//! The kinds of simulated devices.

mod freezer;
mod humidity;
mod pump;
mod soil;
mod solar;
mod tracker;
mod weather;

use std::time::Duration;

use super::model::Model;
use super::random::Random;

/// What a device simulates.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Weather,
    Freezer,
    Pump,
    Solar,
    Humidity,
    Humidifier,
    Soil,
    Tracker,
}

/// How a device is connected.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Always connected.
    Steady,
    /// Awake and connected for a part of every period. While the device sleeps, commands wait for
    /// it.
    Sleeps { awake: Duration, period: Duration },
    /// Vanishes now and then without DISCONNECT, so that the broker publishes its will.
    Vanishes,
}

impl Kind {
    /// All kinds, in the order in which a fleet is filled.
    pub(crate) const ALL: [Self; 8] = [
        Self::Weather,
        Self::Freezer,
        Self::Pump,
        Self::Solar,
        Self::Humidity,
        Self::Humidifier,
        Self::Soil,
        Self::Tracker,
    ];

    /// How the ids of such devices begin.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Weather => "weather",
            Self::Freezer => "freezer",
            Self::Pump => "pump",
            Self::Solar => "solar",
            Self::Humidity => "humidity",
            Self::Humidifier => "humidifier",
            Self::Soil => "soil",
            Self::Tracker => "tracker",
        }
    }

    pub(crate) const fn habit(self) -> Habit {
        match self {
            Self::Weather
            | Self::Freezer
            | Self::Pump
            | Self::Solar
            | Self::Humidity
            | Self::Humidifier => Habit::Steady,
            Self::Soil => Habit::Sleeps {
                awake: Duration::from_secs(5),
                period: Duration::from_secs(15),
            },
            Self::Tracker => Habit::Vanishes,
        }
    }

    /// The kind whose readings this kind listens to. Two partners have the same number.
    pub(crate) const fn partner(self) -> Option<Self> {
        match self {
            Self::Humidity => Some(Self::Humidifier),
            Self::Humidifier => Some(Self::Humidity),
            Self::Weather
            | Self::Freezer
            | Self::Pump
            | Self::Solar
            | Self::Soil
            | Self::Tracker => None,
        }
    }

    /// A device of this kind that stands at `home`, latitude and longitude.
    pub(crate) fn model(self, home: (f64, f64), random: &mut Random) -> Box<dyn Model> {
        match self {
            Self::Weather => Box::new(weather::Weather::new(random)),
            Self::Freezer => Box::new(freezer::Freezer::new(random)),
            Self::Pump => Box::new(pump::Pump::new(random)),
            Self::Solar => Box::new(solar::Solar::new(random)),
            Self::Humidity => Box::new(humidity::Sensor::new(random)),
            Self::Humidifier => Box::new(humidity::Humidifier::new(random)),
            Self::Soil => Box::new(soil::Soil::new(random)),
            Self::Tracker => Box::new(tracker::Tracker::new(home, random)),
        }
    }
}
