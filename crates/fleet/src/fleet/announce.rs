//! What devices announce: their commands, and the units of their metrics.

use super::Fleet;
use super::values::role;
use crate::conventions::{Claim, Role, own_name};
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
const MAX_ARGUMENTS: usize = 16;

impl Fleet {
    /// A message announces the device's commands or units.
    pub(super) fn announced(
        &mut self,
        key: DeviceKey,
        claim: &Claim<'_>,
        readings: &Readings,
        stem: &str,
    ) {
        let members = readings.iter().filter(|(name, _)| {
            let role = role(&self.conventions, claim, stem, name);
            matches!(role, Role::Command | Role::Envelope)
        });
        let members = members.map(|(name, value)| (own_name(name, stem), value));
        let commands = read_commands(members);
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

/// The commands in the members `commands.0`, `commands.0.name`, `commands.0.arguments.0.name` and so on. A
/// command is a name, or an object: docs/topics.md has an example.
fn read_commands<'a>(members: impl Iterator<Item = (&'a str, Scalar<'a>)>) -> Vec<KnownCommand> {
    let mut commands: Vec<KnownCommand> = Vec::new();
    let (mut command_index, mut argument_index) = ("", "");
    for (name, value) in members {
        let Some(rest) = name.strip_prefix("commands.") else {
            continue;
        };
        let (index, member) = rest.split_once('.').unwrap_or((rest, ""));
        if commands.is_empty() || index != command_index {
            command_index = index;
            argument_index = "";
            commands.push(KnownCommand {
                name: String::new(),
                destructive: false,
                arguments: Vec::new(),
            });
        }
        let Some(command) = commands.last_mut() else {
            continue;
        };
        match (member, value) {
            ("" | "name" | "command", Scalar::Text(text)) => command.name = text.into(),
            ("destructive", Scalar::Bool(destructive)) => command.destructive = destructive,
            (member, value) => {
                let Some(rest) = member.strip_prefix("arguments.") else {
                    continue;
                };
                let (index, member) = rest.split_once('.').unwrap_or((rest, ""));
                if command.arguments.is_empty() || index != argument_index {
                    if command.arguments.len() >= MAX_ARGUMENTS {
                        continue;
                    }
                    argument_index = index;
                    command.arguments.push(NO_ARGUMENT);
                }
                if let Some(argument) = command.arguments.last_mut() {
                    read_argument(argument, member, value);
                }
            }
        }
    }
    for command in &mut commands {
        command
            .arguments
            .retain(|argument| !argument.name.is_empty());
    }
    commands
}

const NO_ARGUMENT: Argument = Argument {
    name: String::new(),
    kind: None,
    unit: None,
    min: None,
    max: None,
    default: None,
};

/// Takes one member of an argument's object. What is too long or of another type is left out.
fn read_argument(argument: &mut Argument, member: &str, value: Scalar<'_>) {
    match value {
        Scalar::Text(text) if text.len() > MAX_COMMAND_NAME => {}
        Scalar::Text(text) => match member {
            "" | "name" => argument.name = text.into(),
            "type" => argument.kind = Some(text.into()),
            "unit" => argument.unit = Some(text.into()),
            "default" => argument.default = Some(api::fleet::Scalar::Text(text.into())),
            _ => {}
        },
        Scalar::Number(number) if number.is_finite() => match member {
            "min" | "least" => argument.min = Some(number),
            "max" | "most" => argument.max = Some(number),
            "default" => argument.default = Some(api::fleet::Scalar::Number(number)),
            _ => {}
        },
        Scalar::Bool(value) if member == "default" => {
            argument.default = Some(api::fleet::Scalar::Bool(value));
        }
        Scalar::Number(_) | Scalar::Bool(_) | Scalar::Null => {}
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
