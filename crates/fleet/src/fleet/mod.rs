//! The fleet: its devices, and what it does with a message.

mod adopt;
mod announce;
mod clear;
mod commands;
mod describe;
mod forget;
mod index;
mod meet;
mod presence;
mod recording;
mod rewind;
mod table;
mod ties;
mod timers;
mod values;

use crate::conventions::{self, Claim, Conventions, Name, What};
use crate::device::{Device, DeviceKey};
use crate::event::{Dirty, Event, SampleQueue};
use crate::fault::{self, Fault, FaultKind};
use crate::limits::{Budget, Limit, LimitCounters};
use crate::options::FleetOptions;
use crate::payload::{self, Form, Payload};
use crate::presence::Counts;
use crate::readings::{Caps, Readings};
use crate::record::Records;
use crate::text::part;
use crate::time::Timestamp;
use crate::{ADOPT, COMMANDS, FORGET, INDEX, TELEMETRY, TIES};
use alloc::collections::{BinaryHeap, VecDeque};
use alloc::string::String;
use core::cmp::Reverse;

pub use ties::ClientNews;
pub(crate) use ties::Tie;

/// Devices in the order of a number, the lowest first.
type Queue = BinaryHeap<Reverse<(i64, DeviceKey)>>;

/// Whether a cleared retained message takes away what came by it.
const CLEAR: bool = TELEMETRY && FORGET && INDEX;

/// A message as it came.
#[allow(clippy::struct_excessive_bools)] // Each is a flag of its own.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub struct Message<'a> {
    /// Where it was published.
    pub topic: &'a str,
    /// What was published.
    pub payload: &'a [u8],
    /// Whether the broker had retained it and sent it because we subscribed. Subscribe without
    /// Retain As Published. Otherwise live messages have the flag too, and count as old.
    pub retained: bool,
    /// When the broker received it, if that was long ago. Only a server knows it.
    pub received: Option<Timestamp>,
    /// The DUP flag: this may be a repetition.
    pub duplicate: bool,
    /// MQTT 5 Correlation Data.
    pub correlation_data: Option<&'a [u8]>,
    /// The identifier of the client that published it. Only a server knows it.
    pub publisher: Option<&'a str>,
    /// The broker published it because the client has left. Only a server knows it. A will is no sign
    /// of life.
    pub is_will: bool,
    /// Its values are not written down, whatever [`FleetOptions::records`] says.
    pub unrecorded: bool,
}

impl<'a> Message<'a> {
    /// A live message without any flag or property.
    pub const fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            topic,
            payload,
            retained: false,
            received: None,
            duplicate: false,
            correlation_data: None,
            publisher: None,
            is_will: false,
            unrecorded: false,
        }
    }

    /// The same message as a retained one.
    #[must_use]
    pub const fn retained(mut self) -> Self {
        self.retained = true;
        self
    }

    /// The same message as one that the broker received then, and has retained.
    #[must_use]
    pub const fn retained_since(mut self, received: Timestamp) -> Self {
        self.retained = true;
        self.received = Some(received);
        self
    }
}

/// All devices, and what is known about them. The crate's head says how to drive it.
#[derive(Debug)]
pub struct Fleet {
    options: FleetOptions,
    devices: table::Table,
    index: index::Index,
    conventions: Conventions,
    strangers: forget::Strangers,
    forgotten: forget::Forgotten,
    counts: Counts,
    limits: LimitCounters,
    budget: Budget,
    samples: SampleQueue,
    records: Records,
    /// Devices that were forgotten since the last poll. Only those are here whose addition was
    /// reported.
    gone: VecDeque<DeviceKey>,
    dirty: VecDeque<DeviceKey>,
    timers: timers::Timers,
    clients: ties::Clients,
    /// The latest `now` that was given. Time does not go back behind it.
    now: Timestamp,
    scratch: Readings,
    /// The short hash of the topic of the message that is handled now.
    topic_hash: u32,
    /// When the broker received the message that is handled now, if it has retained it since.
    received: Option<Timestamp>,
    /// The topics of the retained messages that were told, while the broker tells of all of them.
    told_topics: Option<clear::Topics>,
}

impl Fleet {
    /// A fleet without devices, whose observer is connected.
    pub fn new(options: FleetOptions) -> Self {
        Self {
            conventions: Conventions::new(&options),
            budget: Budget::new(options.max_bytes),
            devices: table::Table::starting_at(options.first_number),
            strangers: forget::Strangers::default(),
            forgotten: forget::Forgotten::default(),
            index: index::Index::new(options.seed),
            counts: Counts::default(),
            limits: LimitCounters::default(),
            samples: SampleQueue::default(),
            records: Records::default(),
            gone: VecDeque::new(),
            dirty: VecDeque::new(),
            timers: timers::Timers::default(),
            clients: ties::Clients::new(options.seed),
            now: Timestamp(i64::MIN),
            scratch: Readings::default(),
            topic_hash: 0,
            received: None,
            told_topics: None,
            options,
        }
    }

    /// A message came, with any topic and any bytes. Topics that begin with `$` are the broker's own
    /// and are ignored.
    pub fn handle_message(&mut self, now: Timestamp, message: Message<'_>) {
        let now = self.advance(now);
        if message.topic.starts_with('$') {
            return;
        }
        let mut readings = core::mem::take(&mut self.scratch);
        self.dispatch(now, &message, &mut readings);
        self.scratch = readings;
    }

    /// The device.
    pub fn device(&self, key: DeviceKey) -> Option<&Device> {
        self.devices.get(key)
    }

    /// The device with this full id ([`Device::full_id`]), or else the first device seen with this
    /// id, whatever its prefix.
    pub fn find(&self, id: &str) -> Option<DeviceKey> {
        // Each slash costs a look at the whole text. No device has a prefix or an id of this length.
        if id.len() > self.options.max_id_len.saturating_mul(2).saturating_add(1) {
            return None;
        }
        let slashes = id.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
        // An empty prefix has no slash behind it: `/a/b` is not `a/b`.
        let mut slashes = slashes.filter(|(at, _)| *at > 0);
        let by_name = self.find_name(&Name::new("", id)).or_else(|| {
            slashes.find_map(|(at, _)| {
                self.find_name(&Name::new(part(id, 0..at), part(id, at + 1..id.len())))
            })
        });
        by_name.or_else(|| self.index.find_by_id(&self.devices, id))
    }

    /// All devices in the order of their places. That is the order in which they were first seen,
    /// except that a new device takes the place of a forgotten one.
    pub fn devices(&self) -> impl DoubleEndedIterator<Item = (DeviceKey, &Device)> {
        self.devices.iter()
    }

    /// How many devices there are.
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    /// Whether there is no device yet.
    pub fn is_empty(&self) -> bool {
        self.devices.len() == 0
    }

    /// How many devices are in each presence; costs nothing. Hidden devices do not count.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// What the limits dropped.
    pub const fn limits(&self) -> &LimitCounters {
        &self.limits
    }

    /// Estimated bytes that the fleet remembers; the option `max_bytes` limits them.
    pub const fn memory_used(&self) -> usize {
        self.budget.used()
    }

    /// The options that the fleet was made with. Only `follows` may have changed since.
    pub const fn options(&self) -> &FleetOptions {
        &self.options
    }

    /// What changed. Poll until `None`, as seldom as once a frame: everything but samples is
    /// coalesced a device, and samples are dropped at the option `max_queued_samples`, the
    /// oldest first, so the queue stays bounded however seldom it is polled.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(limit) = self.limits.poll() {
            return Some(Event::LimitHit(limit));
        }
        if let Some(key) = self.gone.pop_front() {
            return Some(Event::DeviceForgotten(key));
        }
        while let Some(&key) = self.dirty.front() {
            if let Some(device) = self.devices.get_mut(key) {
                if let Some(event) = next_event(key, device) {
                    return Some(event);
                }
                device.in_dirty_queue = false;
            }
            self.dirty.pop_front();
        }
        if !TELEMETRY {
            return None;
        }
        let mut sample = self.samples.pop()?;
        while self.devices.get(sample.device).is_none() {
            sample = self.samples.pop()?;
        }
        Some(Event::Sample {
            device: sample.device,
            metric: sample.metric,
            at: sample.at,
            value: sample.value,
        })
    }

    /// The time, which never goes back. If the wall clock is set back, time stands still here until
    /// it has caught up.
    fn advance(&mut self, now: Timestamp) -> Timestamp {
        self.now = self.now.max(now);
        self.now
    }

    fn dispatch(&mut self, now: Timestamp, message: &Message<'_>, readings: &mut Readings) {
        let too_long = message.payload.len() > self.options.max_payload_len;
        let mut payload = if too_long {
            Payload::unread()
        } else {
            Payload::new(message.payload)
        };
        let repaired = (TELEMETRY && payload.form == Form::Binary && !too_long)
            .then(|| payload::repaired(message.payload))
            .flatten();
        if let Some(text) = &repaired {
            payload = Payload::of_text(text);
        }
        if payload.form == Form::Empty {
            if CLEAR {
                self.cleared(now, message.topic);
            }
            return;
        }
        let Some(claim) = self.conventions.read(message.topic, &payload) else {
            return;
        };
        if claim.what == What::Nothing {
            return;
        }
        let known = self.find_name(&claim.name);
        if claim.what == What::Request && (message.retained || known.is_none()) {
            // A command does not add the device that it is for.
            return;
        }
        let known = known.or_else(|| {
            let may_add = !self.follows();
            may_add.then(|| self.add(now, &claim, message.retained))?
        });
        let Some(key) = known else {
            return;
        };
        let (fingerprint, topic_hash) = self.index.fingerprint(message);
        self.topic_hash = topic_hash;
        // Only a server learns from its own broker, so only there the set costs anything.
        if TIES
            && message.retained
            && let Some(told) = &mut self.told_topics
        {
            told.insert(topic_hash);
        }
        if TIES {
            self.received = message.received.filter(|_| message.retained);
        }
        self.follow(key, &claim);
        if TIES && message.publisher.is_some() {
            self.note_publisher(now, key, &claim.what, message);
        }
        let device = &mut self.devices[key];
        device.messages += 1;
        device.revision = device.revision.wrapping_add(1);
        if device.note_fingerprint(fingerprint, message.duplicate) {
            device.duplicates += 1;
            return;
        }
        if too_long {
            self.limits.note(Limit::PayloadLength);
            self.alive(now, key, message, true);
            self.fault(now, key, FaultKind::PayloadTooLong, message.payload);
            return;
        }
        if TELEMETRY && (repaired.is_some() || message.payload.first() == Some(&0xef)) {
            self.note_bad_character(now, key, repaired.is_some(), message.payload);
        }
        self.act(now, key, &claim, &payload, message, readings);
    }

    // Long, because it is one list: what each kind of claim does.
    fn act(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        claim: &Claim<'_>,
        payload: &Payload<'_>,
        message: &Message<'_>,
        readings: &mut Readings,
    ) {
        let (stem, unit) = match &claim.what {
            What::Presence(said) => {
                self.learn(key, claim, payload);
                self.said(now, key, *said, message);
                return;
            }
            What::Request => {
                self.learn(key, claim, payload);
                if !COMMANDS {
                    return;
                }
                self.request_seen(now, key, claim, payload.text, message);
                return;
            }
            What::Response => {
                self.learn(key, claim, payload);
                self.alive(now, key, message, false);
                if !COMMANDS {
                    return;
                }
                self.response(now, key, claim, payload.text, message);
                return;
            }
            What::Unreadable(kind) => {
                // Even what cannot be read is a sign of life.
                self.alive(now, key, message, true);
                self.fault(now, key, *kind, message.payload);
                return;
            }
            What::Nothing => return,
            What::PresenceObject { otherwise } => (otherwise.unwrap_or(""), None),
            What::Values { .. } if !TELEMETRY => {
                // The values are not read here. That it is JSON shows in its first characters.
                if payload.is_json() {
                    self.learn(key, claim, payload);
                }
                self.alive(now, key, message, true);
                return;
            }
            What::Values { stem, unit } => (&**stem, *unit),
        };
        let caps = Caps {
            values: self.options.max_values_per_message,
            name_len: self.options.max_metric_name_len,
            text_len: self.options.max_text_len,
        };
        readings.begin(stem, caps);
        let read = payload.read(self.options.max_json_depth, readings);
        readings.note_limits(&mut self.limits);
        let written_unit = match read {
            Ok(written_unit) => written_unit.or(unit),
            Err(kind) => {
                self.alive(now, key, message, true);
                self.fault(now, key, kind, message.payload);
                return;
            }
        };
        let mut said_by = None;
        if let What::PresenceObject { otherwise } = claim.what {
            if let Some((index, said)) = conventions::presence_in(readings, stem) {
                self.learn(key, claim, payload);
                self.said(now, key, said, message);
                said_by = Some(index);
            } else if otherwise.is_none() {
                self.fault(now, key, FaultKind::UnknownPresence, message.payload);
                return;
            }
        }
        if said_by.is_none() {
            self.learn(key, claim, payload);
            self.alive(now, key, message, true);
        }
        if !TELEMETRY {
            return;
        }
        let source = Source {
            claim,
            stem,
            unit: written_unit,
            said: said_by,
        };
        self.take_values(now, key, readings, source, message);
    }

    /// Whether a server tells what there is: then messages and time change no presence here.
    const fn follows(&self) -> bool {
        ADOPT && self.options.follows
    }

    fn find_name(&self, name: &Name<'_>) -> Option<DeviceKey> {
        self.index.find(&self.devices, name)
    }

    /// Notes a change of a device for the next poll.
    fn mark(&mut self, key: DeviceKey, change: Dirty) {
        if let Some(device) = self.devices.get_mut(key) {
            device.dirty.0 |= change.0;
            device.revision = device.revision.wrapping_add(1);
            if !device.in_dirty_queue {
                device.in_dirty_queue = true;
                self.dirty.push_back(key);
            }
        }
    }

    /// Drops entries of forgotten devices, if they are too many.
    fn sweep_dirty(&mut self) {
        if self.dirty.len() > self.devices.len() * 2 + 64 {
            let devices = &self.devices;
            self.dirty.retain(|key| devices.get(*key).is_some());
        }
    }

    /// The payload is text but for one or a few characters.
    fn note_bad_character(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        repaired: bool,
        payload: &[u8],
    ) {
        let mark = payload.starts_with("\u{feff}".as_bytes());
        if !(repaired || mark) {
            return;
        }
        let kind = FaultKind::BadCharacter;
        self.fault_about(now, key, kind, payload, || fault::bad_character(payload));
    }

    fn fault(&mut self, now: Timestamp, key: DeviceKey, kind: FaultKind, payload: &[u8]) {
        self.fault_about(now, key, kind, payload, String::new);
    }

    /// `detail` says which part of the payload it is. It is asked for only if it is kept.
    fn fault_about(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        kind: FaultKind,
        payload: &[u8],
        detail: impl FnOnce() -> String,
    ) {
        const RENEW_EXCERPT_MS: i64 = 1000;
        if !TELEMETRY {
            return;
        }
        let Some(device) = self.devices.get_mut(key) else {
            return;
        };
        let received = self.received.filter(|_| TIES);
        if let Some(known) = device.faults.iter_mut().find(|fault| fault.kind == kind) {
            if received.is_some_and(|received| received <= known.last_at) {
                // It is the same message again.
                return;
            }
            if now.ms_since(known.last_at) >= RENEW_EXCERPT_MS {
                known.excerpt = fault::excerpt(payload);
                known.detail = detail();
            }
            known.count += 1;
            known.last_at = now;
        } else {
            let (excerpt, detail) = if self.budget.charge_to(&mut device.account, Fault::COST) {
                (fault::excerpt(payload), detail())
            } else {
                self.limits.note(Limit::Bytes);
                (String::new(), String::new())
            };
            device.faults.push(Fault {
                kind,
                first_at: now,
                last_at: now,
                count: 1,
                excerpt,
                detail,
            });
        }
        self.mark(key, Dirty::fault(kind));
    }
}

/// Where the values of a message come from.
#[derive(Copy, Clone)]
struct Source<'a> {
    /// How the message was read.
    claim: &'a Claim<'a>,
    /// The quantity that its topic names.
    stem: &'a str,
    /// The unit that topic or payload name.
    unit: Option<&'static str>,
    /// Which of the values says the device's presence, and is no value of its own.
    said: Option<usize>,
}

/// The next event of a device, in a fixed order.
fn next_event(key: DeviceKey, device: &mut Device) -> Option<Event> {
    let dirty = &mut device.dirty;
    if dirty.take(Dirty::ADDED) {
        return Some(Event::DeviceAdded(key));
    }
    if dirty.take(Dirty::PRESENCE) {
        return Some(Event::PresenceChanged(key));
    }
    if dirty.take(Dirty::SHAPE) {
        return Some(Event::ShapeChanged(key));
    }
    if dirty.take(Dirty::VALUES) {
        return Some(Event::ValuesChanged(key));
    }
    if dirty.take(Dirty::POSITION) {
        return Some(Event::PositionChanged(key));
    }
    if TELEMETRY && dirty.any_fault() {
        let kinds = device.faults.iter().map(|fault| fault.kind);
        if let Some(kind) = kinds.into_iter().find(|kind| dirty.is_fault(*kind)) {
            dirty.take(Dirty::fault(kind));
            return Some(Event::Fault { device: key, kind });
        }
    }
    if !COMMANDS {
        device.dirty = Dirty::default();
        return None;
    }
    let changed = device.commands.iter_mut().find(|command| command.changed);
    let changed = changed.filter(|_| device.dirty.0 & Dirty::COMMANDS.0 != 0);
    if let Some(command) = changed {
        command.changed = false;
        return Some(Event::CommandChanged {
            device: key,
            uuid: command.uuid.clone(),
        });
    }
    device.dirty = Dirty::default();
    None
}
