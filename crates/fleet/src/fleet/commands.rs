//! Commands: made here or seen on the wire, answered or given up.

use super::{Fleet, Message};
use crate::command::{self, Answer, Command, CommandError, CommandRequest, CommandState, Outgoing};
use crate::device::{Device, DeviceKey};
use crate::event::Dirty;
use crate::fault::FaultKind;
use crate::limits::Limit;
use crate::options::FleetOptions;
use crate::presence::Presence;
use crate::text::head;
use crate::time::Timestamp;
use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;

impl Fleet {
    /// Makes a command to a device. Publish what comes back (quality of service 2, not retained), and say how
    /// that goes by [`Fleet::note_command_sent`], [`Fleet::note_command_acked`] or
    /// [`Fleet::note_command_failed`]. The uuid comes from outside, where randomness is.
    pub fn command(
        &mut self,
        now: Timestamp,
        device: DeviceKey,
        uuid: &str,
        request: CommandRequest<'_>,
    ) -> Result<Outgoing, CommandError> {
        let now = self.advance(now);
        let known = self.device(device).ok_or(CommandError::UnknownDevice)?;
        let topics = known.convention.command_topics(&known.prefix, &known.id);
        let (topic, response_topic) = topics.ok_or(CommandError::NotSupported)?;
        command::check_uuid(uuid)?;
        if known.command(uuid).is_some() {
            return Err(CommandError::DuplicateUuid);
        }
        let (name, payload) = command::encode(uuid, request)?;
        let command = Command {
            uuid: uuid.into(),
            name: cut(&name, self.options.max_text_len),
            payload: cut(&payload, self.options.max_text_len),
            created_at: now,
            sent_at: None,
            deadline: None,
            state: CommandState::Queued,
            ours: true,
            changed: true,
        };
        if !self.remember(device, command) {
            return Err(CommandError::TooMany);
        }
        Ok(Outgoing {
            topic,
            payload: payload.into_bytes(),
            response_topic,
            correlation_data: uuid.as_bytes().to_owned(),
        })
    }

    /// The command was handed to a live connection: its time runs from now.
    pub fn note_command_sent(&mut self, now: Timestamp, device: DeviceKey, uuid: &str) {
        let now = self.advance(now);
        self.progress(device, uuid, |device, options, index| {
            let deadline = deadline(device, options, now);
            let command = &mut device.commands[index];
            if command.state == CommandState::Queued {
                command.state = CommandState::Sent;
                command.sent_at = Some(now);
                command.deadline = Some(deadline);
            }
        });
    }

    /// The broker has taken the command (PUBCOMP, or PUBACK).
    pub fn note_command_acked(&mut self, now: Timestamp, device: DeviceKey, uuid: &str) {
        let now = self.advance(now);
        self.progress(device, uuid, |device, options, index| {
            let deadline = deadline(device, options, now);
            let command = &mut device.commands[index];
            if matches!(command.state, CommandState::Queued | CommandState::Sent) {
                command.state = CommandState::Pending;
                command.sent_at.get_or_insert(now);
                command.deadline.get_or_insert(deadline);
            }
        });
    }

    /// The command could not be sent, or the broker refused it; `why` is for people.
    pub fn note_command_failed(
        &mut self,
        now: Timestamp,
        device: DeviceKey,
        uuid: &str,
        why: &str,
    ) {
        let now = self.advance(now);
        self.progress(device, uuid, |device, options, index| {
            let command = &mut device.commands[index];
            if command.state.is_open() {
                command.state = CommandState::Failed {
                    at: now,
                    why: cut(why, options.max_text_len),
                };
            }
        });
    }

    /// Forgets a command, finished or not. An answer that comes later is ignored.
    pub fn forget_command(&mut self, device: DeviceKey, uuid: &str) {
        if let Some(device) = self.devices.get_mut(device.index())
            && let Some(index) = device
                .commands
                .iter()
                .position(|known| *known.uuid == *uuid)
        {
            let command = device.commands.remove(index);
            self.budget.refund(command.cost());
            device.update_command_deadline();
        }
    }

    /// A command on its topic: our own coming back, or someone else's.
    pub(super) fn request_seen(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        text: &str,
        message: &Message<'_>,
    ) {
        let Ok(request) = command::decode(text) else {
            self.fault(now, key, FaultKind::NotJson, message.payload);
            return;
        };
        let device = &self.devices[key.index()];
        if device.command(&request.uuid).is_some() {
            self.note_command_acked(now, key, &request.uuid);
            return;
        }
        if command::check_uuid(&request.uuid).is_err() {
            // Without an id no answer can be told from another: nothing to follow.
            return;
        }
        let command = Command {
            uuid: request.uuid.into(),
            name: cut(&request.name, self.options.max_text_len),
            payload: cut(text, self.options.max_text_len),
            created_at: now,
            sent_at: Some(now),
            deadline: Some(deadline(device, &self.options, now)),
            state: CommandState::Pending,
            ours: false,
            changed: true,
        };
        if self.remember(key, command) {
            self.devices[key.index()].update_command_deadline();
            self.reschedule(key);
        }
    }

    /// An answer: found by its uuid, or else by the correlation data, or else, for a device that
    /// repeats neither, the oldest open command of the same name.
    pub(super) fn response(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        text: &str,
        message: &Message<'_>,
    ) {
        let Ok(answer) = command::decode(text) else {
            self.fault(now, key, FaultKind::NotJson, message.payload);
            return;
        };
        let device = &self.devices[key.index()];
        let Some(index) = find_asked(device, &answer, message.correlation_data) else {
            return;
        };
        let uuid = device.commands[index].uuid.clone();
        let retained = message.retained;
        self.progress(key, &uuid, |device, options, index| {
            let command = &mut device.commands[index];
            let awaited =
                command.state.is_open() || matches!(command.state, CommandState::TimedOut { .. });
            if awaited && !retained {
                let after = command.sent_at.map(|sent| now.ms_since(sent).max(0));
                command.state = CommandState::Answered {
                    at: now,
                    after_ms: after,
                    ok: answer.ok,
                    result: cut(&answer.result, options.max_text_len),
                };
            }
        });
    }

    /// Changes a command and tells of it, if it did change.
    fn progress(
        &mut self,
        key: DeviceKey,
        uuid: &str,
        change: impl FnOnce(&mut Device, &FleetOptions, usize),
    ) {
        let Some(device) = self.devices.get_mut(key.index()) else {
            return;
        };
        let Some(index) = device
            .commands
            .iter()
            .position(|known| *known.uuid == *uuid)
        else {
            return;
        };
        let before = device.commands[index].cost();
        let state_before = core::mem::discriminant(&device.commands[index].state);
        change(device, &self.options, index);
        let command = &mut device.commands[index];
        if core::mem::discriminant(&command.state) == state_before {
            return;
        }
        command.changed = true;
        let after = command.cost();
        self.budget.refund(before);
        if !self.budget.charge(after) {
            // An answer is worth more than its budget; only its text is given up.
            if let CommandState::Answered { result, .. } = &mut command.state {
                *result = "".into();
            }
            self.limits.note(Limit::Bytes);
            let _ = self.budget.charge(command.cost());
        }
        device.update_command_deadline();
        self.reschedule(key);
        self.mark(key, Dirty::COMMANDS);
    }

    /// Keeps a new command; the oldest finished one makes room.
    fn remember(&mut self, key: DeviceKey, command: Command) -> bool {
        let device = &mut self.devices[key.index()];
        if device.commands.len() >= self.options.max_commands_per_device {
            let finished = device
                .commands
                .iter()
                .position(|known| !known.state.is_open());
            let Some(removed) = finished.map(|index| device.commands.remove(index)) else {
                self.limits.note(Limit::Commands);
                return false;
            };
            self.budget.refund(removed.cost());
        }
        if !self.budget.charge(command.cost()) {
            self.limits.note(Limit::Bytes);
            return false;
        }
        device.commands.push(command);
        self.mark(key, Dirty::COMMANDS);
        true
    }
}

/// When a command sent now is given up: a sleeping device gets its time when it wakes.
fn deadline(device: &Device, options: &FleetOptions, now: Timestamp) -> Timestamp {
    let from = match device.presence.presence {
        Presence::Sleeping { wakes_about, .. } => wakes_about.map_or(now, |wakes| wakes.max(now)),
        Presence::Online { .. }
        | Presence::Offline { .. }
        | Presence::Stale { .. }
        | Presence::Unknown { .. } => now,
    };
    from.plus(options.command_timeout)
}

fn find_asked(device: &Device, answer: &Answer, correlation: Option<&[u8]>) -> Option<usize> {
    let by_uuid = |uuid: &[u8]| {
        let mut commands = device.commands.iter();
        commands.position(|command| command.uuid.as_bytes() == uuid)
    };
    if !answer.uuid.is_empty() {
        return by_uuid(answer.uuid.as_bytes());
    }
    correlation.and_then(by_uuid).or_else(|| {
        let mut commands = device.commands.iter();
        commands.position(|command| command.state.is_open() && *command.name == *answer.name)
    })
}

/// `text`, at most `max` bytes of it.
fn cut(text: &str, max: usize) -> Box<str> {
    if text.len() <= max {
        return text.into();
    }
    let mut kept = String::from(head(text, max));
    kept.push('…');
    kept.into()
}
