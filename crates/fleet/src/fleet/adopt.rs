//! Adopting what another fleet has described: a server's model in a page, or a server's own model
//! after a restart.
//!
//! Whatever a description says, it changes nothing but the device that it names, and is bounded by the
//! same options as messages are.

use super::values::{Memory, find_metric, store, store_exact, take_away};
use super::{Fleet, commands};
use crate::COMMANDS;
use crate::command::{Command, CommandState};
use crate::conventions::{self, Claim, Convention, Name, Said, What};
use crate::device::{DeviceKey, Position};
use crate::event::{Dirty, QueuedSample};
use crate::fault::{Fault, FaultKind};
use crate::limits::Limit;
use crate::metric::{MetricKey, Unit};
use crate::options::ObserverState;
use crate::payload::Payload;
use crate::presence::{OfflineReason, Presence, PresenceKind, PresenceSpan, UnknownReason};
use crate::readings::Scalar;
use crate::rhythm::{Intervals, Rhythm};
use crate::text::{head, part};
use crate::time::Timestamp;
use crate::units;
use api::Time;
use api::fleet as api;

impl Fleet {
    /// Adds a device that [`Fleet::describe`] has described elsewhere. If it is known already, what is
    /// newer counts, for each of its metrics, its position and its presence. While this fleet follows,
    /// the described presence always counts.
    ///
    /// The events are those that messages would have caused. So poll them after each few hundred devices,
    /// or samples are lost. `None` if the description names no device, or if there is no place for it.
    pub fn adopt(&mut self, now: Timestamp, described: &api::Device) -> Option<DeviceKey> {
        self.take_device(now, described, false)
    }

    /// As [`Fleet::adopt`], but the description is older than what this fleet was told since. So its
    /// presence and whether it is hidden do not count. `None` if the device is not known: it was
    /// forgotten.
    pub fn adopt_late(&mut self, now: Timestamp, described: &api::Device) -> Option<DeviceKey> {
        self.find_name(&name_of(described)?)?;
        self.take_device(now, described, true)
    }

    fn take_device(
        &mut self,
        now: Timestamp,
        described: &api::Device,
        late: bool,
    ) -> Option<DeviceKey> {
        let now = self.advance(now);
        let name = name_of(described)?;
        let named = Convention::from_name(&described.convention);
        let claim = Claim {
            convention: named.unwrap_or_else(Convention::most_general),
            name,
            what: What::Presence(Said::Online),
        };
        let known = self.find_name(&claim.name);
        let key = match known {
            Some(key) => key,
            None => self.add(now, &claim, false)?,
        };
        self.follow(key, &claim);
        if described.registered {
            // A presence topic is how a device teaches the prefix of its convention.
            self.learn(key, &claim, &Payload::unread());
        }
        let device = &mut self.devices[key];
        // Whoever is described with other filters than its convention's has spoken by another one too.
        let own = conventions::filters_of(device.convention, &device.name());
        device.mixed |= !described.topics.is_empty() && described.topics != own;
        let first_seen = moment(described.first_seen);
        device.first_seen = match known {
            Some(_) => device.first_seen.min(first_seen),
            None => first_seen,
        };
        device.messages = device.messages.max(described.messages);
        let heard = u32::try_from(described.messages).unwrap_or(u32::MAX);
        if described.last_seen.is_some() {
            device.heard = device.heard.max(heard);
        }
        device.last_seen = device.last_seen.max(described.last_seen.map(moment));
        device.registered |= described.registered;
        device.sends_values |= described.sends_values;
        if let Some(from) = described.watched_from {
            device.watched_from = device.watched_from.max(moment(from));
        }
        self.adopt_rhythm(key, &described.rhythm);
        if !late {
            self.adopt_span(key, &described.presence, &described.history);
        }
        self.adopt_values(now, key, described);
        for fault in &described.faults {
            self.take_fault(key, fault);
        }
        if !described.known_commands.is_empty() {
            self.adopt_known_commands(key, &described.known_commands);
        }
        for command in described.commands.iter().rev() {
            self.take_command(now, key, command);
        }
        if !late {
            self.hide(key, described.hidden);
        }
        self.adopt_tie(now, key, described.client.as_deref());
        self.devices[key].update_staleness(&self.options);
        self.reschedule(key);
        Some(key)
    }

    /// The presence of the device with this full id has changed elsewhere.
    pub fn adopt_presence(
        &mut self,
        now: Timestamp,
        id: &str,
        presence: &api::Presence,
        last_seen: Option<Time>,
    ) -> Option<DeviceKey> {
        self.advance(now);
        let key = self.find(id)?;
        let device = &mut self.devices[key];
        device.last_seen = device.last_seen.max(last_seen.map(moment));
        self.adopt_span(key, presence, &[]);
        self.reschedule(key);
        Some(key)
    }

    /// Something was wrong with the device of this full id.
    pub fn adopt_fault(
        &mut self,
        now: Timestamp,
        id: &str,
        fault: &api::Fault,
    ) -> Option<DeviceKey> {
        self.advance(now);
        let key = self.find(id)?;
        self.take_fault(key, fault);
        Some(key)
    }

    /// A command to the device of this full id is new, or has got further.
    pub fn adopt_command(
        &mut self,
        now: Timestamp,
        id: &str,
        command: &api::Command,
    ) -> Option<DeviceKey> {
        let now = self.advance(now);
        let key = self.find(id)?;
        self.take_command(now, key, command);
        Some(key)
    }

    /// Begins or ends following: see the option `follows`. From the end on, silence counts.
    pub fn set_follows(&mut self, follows: bool) {
        if self.options.follows == follows {
            return;
        }
        self.options.follows = follows;
        if self.timers.state() == ObserverState::Connected {
            self.watch_anew(self.now);
        }
        for place in self.devices.places() {
            if let Some(key) = self.devices.key_at(place) {
                self.reschedule(key);
            }
        }
    }

    /// The server, whose fleet this is, was started again, and has adopted what it had stored. Silence
    /// before now proves nothing. A device that was online, and whose presence no topic tells, is
    /// unknown until it is heard. Of the others the retained messages say what they were, and
    /// [`Fleet::handle_clients_told`] judges those that are tied to a client.
    pub fn handle_restart(&mut self, now: Timestamp) {
        let now = self.advance(now);
        self.watch_anew(now);
        for place in self.devices.places() {
            let Some(key) = self.devices.key_at(place) else {
                continue;
            };
            let device = &mut self.devices[key];
            device.intervals.interrupt();
            let online = device.presence.presence.kind() == PresenceKind::Online;
            if online && !device.registered {
                let reason = UnknownReason::ServerRestarted;
                self.turn(key, Presence::Unknown { since: now, reason }, true);
            }
            self.reschedule(key);
        }
    }

    /// Hides a device, or shows it again. A hidden device does not count in [`Fleet::counts`];
    /// everything else about it goes on.
    pub fn hide(&mut self, key: DeviceKey, hidden: bool) {
        let Some(device) = self.devices.get_mut(key) else {
            return;
        };
        if device.hidden == hidden {
            return;
        }
        device.hidden = hidden;
        let kind = device.presence.presence.kind();
        if hidden {
            self.counts.remove(kind);
        } else {
            self.counts.add(kind);
        }
        self.mark(key, Dirty::SHAPE);
    }

    fn adopt_rhythm(&mut self, key: DeviceKey, rhythm: &api::Rhythm) {
        let follows = self.options.follows;
        let device = &mut self.devices[key];
        let knows_more = device.intervals.median().is_some() && !follows;
        if !knows_more && (rhythm.interval_ms.is_some() || rhythm.longest_ms.is_some()) {
            device.intervals = Intervals::learnt(rhythm.interval_ms, rhythm.longest_ms);
        }
        let knows_more = device.rhythm.period().is_some() && !follows;
        if !knows_more && (rhythm.cycle_ms.is_some() || rhythm.woke.is_some()) {
            let woke = rhythm.woke.map(moment);
            device.rhythm = Rhythm::learnt(rhythm.cycle_ms, woke, rhythm.slept);
        }
        device.update_staleness(&self.options);
    }

    /// The described presence counts if this fleet follows, or if it is the newer one. An empty history
    /// says nothing.
    fn adopt_span(&mut self, key: DeviceKey, presence: &api::Presence, history: &[api::Presence]) {
        let device = &mut self.devices[key];
        let last_seen = device.last_seen;
        let span = span_of(presence, last_seen);
        let before = device.presence;
        let unknown = before.presence.kind() == PresenceKind::Unknown;
        let newer = span.presence.since() >= before.presence.since();
        if !(self.options.follows || unknown || newer) {
            return;
        }
        device.before_outage = None;
        device.presence = span;
        let (old, new) = (before.presence.kind(), span.presence.kind());
        for earlier in history {
            self.note_span(key, span_of(earlier, None));
        }
        // The history ends with the presence now.
        let last = self.devices[key].history.last();
        if last.is_none_or(|last| last.presence.kind() != new) {
            self.note_span(key, span);
        }
        if old != new {
            self.recount(key, old, new);
        }
        if before != span {
            self.mark(key, Dirty::PRESENCE);
        }
    }

    fn adopt_values(&mut self, now: Timestamp, key: DeviceKey, described: &api::Device) {
        for metric in &described.metrics {
            if metric.announced_unit
                && let Some(unit) = &metric.unit
            {
                self.set_announced_unit(key, &metric.name, unit);
            }
            let known = self.devices[key].metric_named(&metric.name).is_some();
            if metric.value.is_some() || !metric.announced_unit || known {
                self.adopt_metric(now, key, metric);
            }
        }
        let device = &mut self.devices[key];
        if let Some(position) = described.position {
            let at = moment(position.time);
            let newer = device.position.is_none_or(|known| known.at < at);
            let on_earth = position.lat.abs() <= 90.0 && position.lng.abs() <= 180.0;
            if newer && on_earth {
                let (lat, lng) = (position.lat, position.lng);
                device.position = Some(Position { lat, lng, at });
                self.mark(key, Dirty::POSITION);
            }
        }
    }

    fn adopt_metric(&mut self, now: Timestamp, key: DeviceKey, described: &api::Metric) {
        if described.name.len() > self.options.max_metric_name_len {
            self.limits.note(Limit::MetricNameLength);
            return;
        }
        let found = find_metric(&mut self.devices[key], &described.name);
        let index = found.or_else(|| self.add_metric(now, key, &described.name, b""));
        let Some(index) = index else {
            return;
        };
        let device = &mut self.devices[key];
        let metric = &mut device.metrics[index];
        if metric.unit() != described.unit.as_deref() {
            metric.unit = unit_of(described.unit.as_deref());
            self.mark(key, Dirty::SHAPE);
        }
        let device = &mut self.devices[key];
        let metric = &mut device.metrics[index];
        let arrived = moment(described.arrived.unwrap_or(described.time));
        let Some(value) = &described.value else {
            if metric.has_value && self.options.follows {
                let mut memory = Memory {
                    budget: &mut self.budget,
                    account: &mut device.account,
                };
                take_away(metric, &mut memory);
                self.mark(key, Dirty::VALUES);
            } else if !metric.has_value {
                (metric.at, metric.arrived) = (moment(described.time), arrived);
            }
            return;
        };
        if metric.has_value && metric.arrived >= arrived {
            return;
        }
        let value = match value {
            api::Scalar::Number(value) if value.is_finite() => Scalar::Number(*value),
            api::Scalar::Number(_) => return,
            api::Scalar::Bool(value) => Scalar::Bool(*value),
            api::Scalar::Text(text) => {
                Scalar::Text(head(text, self.options.max_text_len + '…'.len_utf8()))
            }
        };
        let mut memory = Memory {
            budget: &mut self.budget,
            account: &mut device.account,
        };
        if !store(metric, &mut memory, value) {
            self.limits.note(Limit::Bytes);
            return;
        }
        let exact = described.exact.as_deref().filter(|text| text.len() <= 64);
        store_exact(metric, &mut memory, exact);
        metric.has_value = true;
        metric.at = moment(described.time);
        metric.arrived = arrived;
        metric.own_clock = described.own_clock;
        metric.retained = described.retained;
        metric.samples = metric.samples.max(u64::from(!described.retained));
        // A mean gap is at most a day, which a float holds exactly.
        #[allow(clippy::cast_precision_loss)]
        let every = described.every_ms.unwrap_or(0).min(86_400_000) as f32;
        metric.gap_ms = every;
        let drawn = metric.own_clock || !metric.retained;
        let newer = metric.drawn_at.is_none_or(|last| last < metric.at);
        match metric.value.as_number().filter(|_| drawn && newer) {
            Some(value) => {
                metric.drawn_at = Some(metric.at);
                let at = metric.at;
                self.queue_sample(key, index, at, value);
            }
            None => self.mark(key, Dirty::VALUES),
        }
    }

    pub(super) fn queue_sample(
        &mut self,
        device: DeviceKey,
        index: usize,
        at: Timestamp,
        value: f64,
    ) {
        let queued = QueuedSample {
            device,
            // Metrics are at most u16::MAX, see `add_metric`.
            metric: MetricKey(u16::try_from(index).unwrap_or(u16::MAX)),
            at,
            value,
        };
        if !self.samples.push(queued, self.options.max_queued_samples) {
            self.limits.note(Limit::QueuedSamples);
        }
    }

    /// A kind of fault that this build does not know is left out.
    fn take_fault(&mut self, key: DeviceKey, described: &api::Fault) {
        let Some(kind) = FaultKind::from_word(&described.kind) else {
            return;
        };
        let device = &mut self.devices[key];
        let (first, last) = (moment(described.first), moment(described.time));
        let known = device.faults.iter_mut().find(|fault| fault.kind == kind);
        if let Some(known) = known {
            known.first_at = known.first_at.min(first);
            if known.last_at >= last {
                return;
            }
            known.last_at = last;
            known.count = known.count.max(described.count);
            known.excerpt = crate::fault::cut(&described.excerpt).into();
            known.detail = crate::fault::detail_of(kind, &described.text).into();
        } else {
            let mut fault = Fault {
                kind,
                first_at: first,
                last_at: last,
                count: described.count,
                excerpt: crate::fault::cut(&described.excerpt).into(),
                detail: crate::fault::detail_of(kind, &described.text).into(),
            };
            if !self.budget.charge_to(&mut device.account, Fault::COST) {
                self.limits.note(Limit::Bytes);
                fault.excerpt.clear();
                fault.detail.clear();
            }
            device.faults.push(fault);
        }
        self.mark(key, Dirty::fault(kind));
    }

    /// What every device of the convention understands is no announcement, unless more is said about it.
    fn adopt_known_commands(&mut self, key: DeviceKey, described: &[api::KnownCommand]) {
        let convention = self.devices[key].convention;
        let common = convention.common_commands().unwrap_or_default();
        let announced = described.iter().filter(|known| {
            let plain = !known.destructive && known.arguments.is_empty();
            !(plain && common.contains(&known.name.as_str()))
        });
        self.set_known_commands(key, announced.cloned().collect());
    }

    /// A command that is known here goes on only if the description has got further.
    fn take_command(&mut self, now: Timestamp, key: DeviceKey, described: &api::Command) {
        if !COMMANDS || crate::command::check_uuid(&described.uuid).is_err() {
            return;
        }
        let max = self.options.max_text_len;
        let state = match &described.progress {
            api::CommandProgress::Pending => CommandState::Pending,
            api::CommandProgress::Answered {
                time,
                after_ms,
                ok,
                result,
            } => CommandState::Answered {
                at: moment(*time),
                after_ms: *after_ms,
                ok: *ok,
                result: commands::cut(result, max),
            },
            api::CommandProgress::TimedOut { time } => CommandState::TimedOut { at: moment(*time) },
            api::CommandProgress::Failed { time, why } => CommandState::Failed {
                at: moment(*time),
                why: commands::cut(why, max),
            },
        };
        let sent = described.sent.map(moment);
        let created = moment(described.created);
        let from = sent.unwrap_or(created);
        if self.devices[key].command(&described.uuid).is_some() {
            self.progress(key, &described.uuid, |device, options, index| {
                let deadline = commands::deadline(device, options, from).max(now);
                let command = &mut device.commands[index];
                if is_further(&command.state, &state) {
                    command.sent_at = command.sent_at.or(sent);
                    command.deadline.get_or_insert(deadline);
                    command.state = state;
                }
            });
            return;
        }
        let device = &self.devices[key];
        let deadline = commands::deadline(device, &self.options, from).max(now);
        let command = Command {
            uuid: described.uuid.as_str().into(),
            name: commands::cut(&described.name, max),
            payload: commands::cut(&described.payload, max),
            created_at: created,
            sent_at: sent,
            deadline: Some(deadline),
            state,
            ours: false,
            changed: true,
        };
        if self.remember(key, command) {
            self.devices[key].update_command_deadline();
            self.reschedule(key);
        }
    }
}

/// Whether a command has got further in `new` than in `old`. An answer is the end.
const fn is_further(old: &CommandState, new: &CommandState) -> bool {
    match (old, new) {
        (CommandState::Queued | CommandState::Sent, _) => true,
        (CommandState::Pending, new) => !new.is_open(),
        (CommandState::TimedOut { .. } | CommandState::Failed { .. }, new) => {
            matches!(new, CommandState::Answered { .. })
        }
        (CommandState::Answered { .. }, _) => false,
    }
}

/// `None` if the description contradicts itself.
fn name_of(described: &api::Device) -> Option<Name<'_>> {
    let (id, len) = (described.id.as_str(), described.prefix_len);
    if len == 0 {
        return Some(Name::new("", id));
    }
    let prefix = id.get(..len)?.strip_suffix('/')?;
    Some(Name::new(prefix, part(id, len..id.len())))
}

pub(super) const fn moment(time: Time) -> Timestamp {
    Timestamp(time.0)
}

/// `last_seen` is when the device was last heard, for one that is stale. Without it, its silence counts
/// from `since`.
fn span_of(described: &api::Presence, last_seen: Option<Timestamp>) -> PresenceSpan {
    let since = moment(described.since);
    let reason = described.reason.as_deref().unwrap_or("");
    let presence = match described.state {
        api::PresenceState::Online => Presence::Online { since },
        api::PresenceState::Sleeping => Presence::Sleeping {
            since,
            wakes_about: described.wakes_about.map(moment),
        },
        api::PresenceState::Stale => Presence::Stale {
            since,
            last_seen: last_seen.unwrap_or(since),
        },
        api::PresenceState::Offline => Presence::Offline {
            since,
            reason: OfflineReason::from_word(reason).unwrap_or(OfflineReason::SaidSo),
        },
        api::PresenceState::Unknown => Presence::Unknown {
            since,
            reason: UnknownReason::from_word(reason).unwrap_or(UnknownReason::Unseen),
        },
    };
    PresenceSpan {
        presence,
        exact: described.exact,
    }
}

fn unit_of(symbol: Option<&str>) -> Unit {
    match symbol {
        None => Unit::Unknown,
        Some(text) => match units::symbol(text).filter(|known| *known == text) {
            Some(known) => Unit::Written(known),
            None => Unit::Announced(text.into()),
        },
    }
}
