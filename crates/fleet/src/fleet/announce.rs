//! What devices announce: their commands, and the units of their metrics.

use super::Fleet;
use super::values::role;
use crate::conventions::{Claim, Role};
use crate::device::DeviceKey;
use crate::event::Dirty;
use crate::limits::Limit;
use crate::metric::Unit;
use crate::readings::{Readings, Scalar};
use alloc::string::String;
use alloc::vec::Vec;
use api::fleet::{Argument, KnownCommand};

/// The most commands that a device may announce, and the longest name.
const MAX_KNOWN_COMMANDS: usize = 64;
const MAX_COMMAND_NAME: usize = 128;
const MAX_UNIT: usize = 32;

impl Fleet {
    /// A message announces the device's commands or units.
    pub(super) fn announced(
        &mut self,
        key: DeviceKey,
        claim: &Claim<'_>,
        readings: &Readings,
        stem: &str,
    ) {
        let texts = readings.iter().filter_map(|(name, value)| match value {
            Scalar::Text(text) => Some((name, text)),
            Scalar::Number(_) | Scalar::Bool(_) | Scalar::Null => None,
        });
        let commands =
            texts.filter(|(name, _)| role(&self.conventions, claim, stem, name) == Role::Command);
        let commands = commands.map(|(_, name)| KnownCommand {
            name: name.into(),
            destructive: false,
            arguments: Vec::new(),
        });
        let commands: Vec<KnownCommand> = commands.collect();
        if !commands.is_empty() {
            self.set_known_commands(key, commands);
        }
        for (name, value) in readings.iter() {
            if let Role::Unit(of) = role(&self.conventions, claim, stem, name)
                && let Scalar::Text(unit) = value
            {
                self.set_announced_unit(key, of, unit);
            }
        }
    }

    /// The device understands these commands, and no others.
    pub(super) fn set_known_commands(&mut self, key: DeviceKey, mut commands: Vec<KnownCommand>) {
        commands.retain(|known| !known.name.is_empty() && known.name.len() <= MAX_COMMAND_NAME);
        commands.truncate(MAX_KNOWN_COMMANDS);
        let device = &mut self.devices[key];
        if *device.known_commands == *commands {
            return;
        }
        let before = device.known_commands.iter().map(cost).sum();
        self.budget.refund_from(&mut device.account, before);
        let after = commands.iter().map(cost).sum();
        if self.budget.charge_to(&mut device.account, after) {
            device.known_commands.set(commands);
        } else {
            device.known_commands.set(Vec::new());
            self.limits.note(Limit::Bytes);
        }
        self.mark(key, Dirty::SHAPE);
    }

    /// The device's metric `of` has this unit.
    pub(super) fn set_announced_unit(&mut self, key: DeviceKey, of: &str, unit: &str) {
        if unit.len() > MAX_UNIT {
            return;
        }
        let device = &mut self.devices[key];
        let mut known = device.announced_units.iter_mut();
        match known.find(|(known, _)| **known == *of) {
            Some((_, known)) if **known == *unit => return,
            Some((_, known)) => *known = unit.into(),
            None => {
                let full = device.announced_units.len() >= self.options.max_metrics_per_device;
                let cost = of.len() + MAX_UNIT + 32;
                if full || !self.budget.charge_to(&mut device.account, cost) {
                    self.limits
                        .note(if full { Limit::Metrics } else { Limit::Bytes });
                    return;
                }
                device.announced_units.push((of.into(), unit.into()));
            }
        }
        if let Some(metric) = device.metrics.iter_mut().find(|metric| *metric.name == *of) {
            metric.unit = Unit::Announced(unit.into());
        }
        self.mark(key, Dirty::SHAPE);
    }
}

/// The bytes that a command takes.
fn cost(command: &KnownCommand) -> usize {
    let arguments = command.arguments.iter().map(|argument| {
        let texts = [&argument.kind, &argument.unit];
        let texts = texts.into_iter().flatten().map(String::len);
        size_of::<Argument>() + argument.name.len() + texts.sum::<usize>()
    });
    size_of::<KnownCommand>() + command.name.len() + arguments.sum::<usize>()
}
