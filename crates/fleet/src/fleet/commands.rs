//! Commands: made here or seen on the wire, until they are answered or time out.

use super::{Fleet, Message};
use crate::command::{self, Command, CommandError, CommandMessage, CommandRequest, CommandState};
use crate::conventions::{Answer, Claim, Composed, Conventions};
use crate::device::{Device, DeviceKey};
use crate::event::Dirty;
use crate::limits::Limit;
use crate::options::FleetOptions;
use crate::presence::Presence;
use crate::text::head;
use crate::time::Timestamp;
use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::String;

impl Fleet {
    /// Makes a command to a device. Publish what comes back (quality of service 2, not retained),
    /// and say how that goes by [`Fleet::note_command_sent`], [`Fleet::note_command_acked`] or
    /// [`Fleet::note_command_failed`]. The caller makes the uuid, because this crate has no source
    /// of randomness.
    pub fn command(
        &mut self,
        now: Timestamp,
        device: DeviceKey,
        uuid: &str,
        request: CommandRequest<'_>,
    ) -> Result<CommandMessage, CommandError> {
        let now = self.advance(now);
        let known = self.device(device).ok_or(CommandError::UnknownDevice)?;
        command::check_uuid(uuid)?;
        if known.command(uuid).is_some() {
            return Err(CommandError::DuplicateUuid);
        }
        let composed = compose(&self.conventions, known, uuid, request)?;
        let command = Command {
            uuid: uuid.into(),
            name: cut(&composed.name, self.options.max_text_len),
            payload: cut(&composed.payload, self.options.max_text_len),
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
        Ok(CommandMessage {
            topic: composed.topic,
            payload: composed.payload.into_bytes(),
            response_topic: composed.response_topic,
            correlation_data: uuid.as_bytes().to_owned(),
        })
    }

    /// Why [`Fleet::command`] would refuse this request, whatever its uuid. So people can be told while they type.
    pub fn check_command(
        &self,
        device: DeviceKey,
        request: CommandRequest<'_>,
    ) -> Result<(), CommandError> {
        let known = self.device(device).ok_or(CommandError::UnknownDevice)?;
        // The uuid only stands in for the real one, which is not known yet.
        compose(&self.conventions, known, "-", request).map(|_| ())
    }

    /// The command was handed to a live connection. The time for its answer runs from now.
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
        if let Some(device) = self.devices.get_mut(device)
            && let Some(index) = device
                .commands
                .iter()
                .position(|known| *known.uuid == *uuid)
        {
            if let Some(command) = device.commands.remove(index) {
                self.budget.refund_from(&mut device.account, command.cost());
            }
            device.update_command_deadline();
        }
    }

    /// A command was seen on its topic: our own that comes back, or someone else's.
    pub(super) fn request_seen(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        claim: &Claim<'_>,
        text: &str,
        message: &Message<'_>,
    ) {
        let request = match self.conventions.request(claim, text) {
            Ok(request) => request,
            Err(kind) => return self.fault(now, key, kind, message.payload),
        };
        let device = &self.devices[key];
        if device.command(&request.uuid).is_some() {
            self.note_command_acked(now, key, &request.uuid);
            return;
        }
        if command::check_uuid(&request.uuid).is_err() {
            // Without a uuid no answer can be matched to it.
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
            self.devices[key].update_command_deadline();
            self.reschedule(key);
        }
    }

    /// An answer came. Its uuid tells which command it answers, or else its correlation data. If
    /// the device repeats neither, it answers the oldest open command of the same name.
    pub(super) fn response(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        claim: &Claim<'_>,
        text: &str,
        message: &Message<'_>,
    ) {
        let answer = match self.conventions.answer(claim, text) {
            Ok(answer) => answer,
            Err(kind) => return self.fault(now, key, kind, message.payload),
        };
        let device = &self.devices[key];
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

    /// Changes a command, and marks it if its state has changed.
    pub(super) fn progress(
        &mut self,
        key: DeviceKey,
        uuid: &str,
        change: impl FnOnce(&mut Device, &FleetOptions, usize),
    ) {
        let Some(device) = self.devices.get_mut(key) else {
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
        self.budget.refund_from(&mut device.account, before);
        if !self.budget.charge_to(&mut device.account, after) {
            // The answer counts even if there is no memory for it: only its text is dropped.
            if let CommandState::Answered { result, .. } = &mut command.state {
                *result = "".into();
            }
            self.limits.note(Limit::Bytes);
            let _ = self.budget.charge_to(&mut device.account, command.cost());
        }
        device.update_command_deadline();
        self.reschedule(key);
        self.mark(key, Dirty::COMMANDS);
    }

    /// Keeps a new command. If there are many, it replaces the oldest finished one.
    pub(super) fn remember(&mut self, key: DeviceKey, command: Command) -> bool {
        let device = &mut self.devices[key];
        if device.commands.len() >= self.options.max_commands_per_device {
            let finished = device
                .commands
                .iter()
                .position(|known| !known.state.is_open());
            let Some(removed) = finished.and_then(|index| device.commands.remove(index)) else {
                self.limits.note(Limit::Commands);
                return false;
            };
            self.budget.refund_from(&mut device.account, removed.cost());
        }
        if !self.budget.charge_to(&mut device.account, command.cost()) {
            self.limits.note(Limit::Bytes);
            return false;
        }
        device.commands.push(command);
        self.mark(key, Dirty::COMMANDS);
        true
    }
}

/// The command as the device's convention writes it.
fn compose(
    conventions: &Conventions,
    device: &Device,
    uuid: &str,
    request: CommandRequest<'_>,
) -> Result<Composed, CommandError> {
    command::check_length(request)?;
    conventions.command(device.convention, &device.name(), uuid, request)
}

/// When a command that is sent now times out. For a sleeping device the time runs from when it
/// should wake.
pub(super) fn deadline(device: &Device, options: &FleetOptions, now: Timestamp) -> Timestamp {
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
pub(super) fn cut(text: &str, max: usize) -> Box<str> {
    if text.len() <= max {
        return text.into();
    }
    let mut kept = String::from(head(text, max));
    kept.push('…');
    kept.into()
}
