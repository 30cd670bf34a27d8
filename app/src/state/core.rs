//! Everything that the page knows, without a browser: the fleet, readings, raw messages, commands
//! under way, and what has changed since the last frame.
//!
//! **Invariant.** Messages are handled when they come, also while the page is hidden. What changed
//! is only noted, one entry for each device, until a frame takes it.

use std::collections::VecDeque;

use fleet::{
    CommandMessage, CommandRequest, DeviceKey, Event, Fleet, FleetOptions, Message, ObserverState,
    Timestamp,
};
use mqtt::client::{DropCause, PublishId, PublishOutcome};
use mqtt::{Publish, QoS, TopicName};

use super::copies::Copies;
use super::device_map::DeviceMap;
use super::messages::RawMessages;
use super::series::SeriesStore;

/// The page's knowledge.
#[derive(Debug)]
pub struct Core {
    fleet: Fleet,
    series: SeriesStore,
    /// The devices that are open on screen, with their raw messages.
    open: Vec<(DeviceKey, Open)>,
    /// The commands under way, oldest first.
    under_way: VecDeque<(PublishId, UnderWay)>,
    /// What changed, by device; the keys of those that changed are in `changed`.
    changes: DeviceMap<Changed>,
    changed: Vec<DeviceKey>,
    list: ListChanges,
    /// How many devices are hidden.
    hidden: usize,
    copies: Copies,
    received: u64,
    skipped: u64,
}

/// What changed since it was last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The devices about which something changed, and what.
    pub devices: Vec<(DeviceKey, Changed)>,
    /// What changed that a list of devices may depend on.
    pub list: ListChanges,
}

/// What changed that a list of devices may depend on.
// These four flags do not depend on each other.
#[allow(clippy::struct_excessive_bools)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct ListChanges {
    /// Devices came or were forgotten, so an id may mean another device, or none.
    pub devices: bool,
    /// The presence of a device.
    pub presence: bool,
    /// The values of a device, or what it measures.
    pub values: bool,
    /// The fleet's limits dropped something.
    pub limits: bool,
}

impl ListChanges {
    /// Whether anything changed.
    pub fn any(self) -> bool {
        self != Self::default()
    }

    /// What changed here or there.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            devices: self.devices || other.devices,
            presence: self.presence || other.presence,
            values: self.values || other.values,
            limits: self.limits || other.limits,
        }
    }
}

/// What changed about one device.
// These four flags do not depend on each other.
#[allow(clippy::struct_excessive_bools)]
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Anything that its card or page shows.
    pub view: bool,
    /// New readings to draw.
    pub samples: bool,
    /// Its commands.
    pub commands: bool,
    /// Its raw messages.
    pub messages: bool,
}

impl Changed {
    const ALL: Self = Self {
        view: true,
        samples: true,
        commands: true,
        messages: true,
    };
}

#[derive(Debug, Default)]
struct Open {
    viewers: usize,
    messages: RawMessages,
    /// How many of its messages the broker has left out.
    skipped: u64,
}

#[derive(Debug)]
struct UnderWay {
    device: DeviceKey,
    uuid: String,
    /// Whether it was handed to a live connection.
    sent: bool,
}

impl Core {
    /// A page that knows nothing yet.
    pub fn new() -> Self {
        Self::with_first_key(0)
    }

    /// The same, with keys from this number on.
    fn with_first_key(first_number: u32) -> Self {
        let options = FleetOptions {
            first_number,
            ..FleetOptions::default()
        };
        Self {
            fleet: Fleet::new(options),
            series: SeriesStore::default(),
            open: Vec::new(),
            under_way: VecDeque::new(),
            changes: DeviceMap::default(),
            changed: Vec::new(),
            list: ListChanges::default(),
            hidden: 0,
            copies: Copies::default(),
            received: 0,
            skipped: 0,
        }
    }

    /// The devices.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The readings.
    pub fn series(&self) -> &SeriesStore {
        &self.series
    }

    /// The raw messages of a device that is open.
    pub fn messages(&self, device: DeviceKey) -> Option<&RawMessages> {
        let mut all = self.open.iter();
        let open = all.find(|(key, _)| *key == device);
        open.map(|(_, open)| &open.messages)
    }

    /// How many messages came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How many messages the broker has left out, because newer ones of the same topics took their
    /// place.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// How many messages of a device the broker has left out since it was opened.
    pub fn skipped_of(&self, device: DeviceKey) -> u64 {
        let mut all = self.open.iter();
        let open = all.find(|(key, _)| *key == device);
        open.map_or(0, |(_, open)| open.skipped)
    }

    /// A message came.
    pub fn handle_message(&mut self, now: Timestamp, publish: &Publish) {
        let Some(topic) = &publish.topic else {
            return;
        };
        self.received += 1;
        self.skipped += skipped(publish);
        if self.copies.is_copy(now, publish) {
            return;
        }
        // The fleet counts the messages of each device. The device whose count rises has sent this one.
        let counts: Vec<(DeviceKey, u64)> = self
            .open
            .iter()
            .map(|(key, _)| (*key, self.message_count(*key)))
            .collect();
        let message = Message {
            retained: publish.retain,
            duplicate: publish.dup,
            correlation_data: publish.properties.correlation_data.as_deref(),
            ..Message::new(topic.as_str(), &publish.payload)
        };
        self.fleet.handle_message(now, message);
        for (key, before) in counts {
            if self.message_count(key) != before
                && let Some((_, open)) = self.open.iter_mut().find(|(open, _)| *open == key)
            {
                open.messages.push(now, publish);
                open.skipped += skipped(publish);
                self.changed(key).messages = true;
            }
        }
    }

    /// The connection is there, and commands that waited for it are under way.
    pub fn handle_connected(&mut self, now: Timestamp) {
        self.fleet.handle_observer(now, ObserverState::Connected);
        for (_, command) in &mut self.under_way {
            if command.sent {
                continue;
            }
            command.sent = true;
            self.fleet
                .note_command_sent(now, command.device, &command.uuid);
        }
        self.fold();
    }

    /// The connection is gone.
    pub fn handle_disconnected(&mut self, now: Timestamp) {
        self.fleet.handle_observer(now, ObserverState::Disconnected);
        self.fold();
    }

    /// Time has passed: judges silence, and gives up commands.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.fleet.handle_timeout(now);
        self.fold();
    }

    /// Makes a command. Publish what comes back, then call [`Self::command_published`] or
    /// [`Self::command_failed`].
    pub fn command(
        &mut self,
        now: Timestamp,
        device: DeviceKey,
        uuid: &str,
        request: CommandRequest<'_>,
    ) -> Result<Publish, String> {
        let outgoing = self.fleet.command(now, device, uuid, request);
        let outgoing = outgoing.map_err(|error| error.to_string())?;
        self.fold();
        publication(outgoing).inspect_err(|why| {
            self.fleet.note_command_failed(now, device, uuid, why);
        })
    }

    /// The client has accepted the command as `id`. `connected` says whether it has handed it over
    /// too.
    pub fn command_published(
        &mut self,
        now: Timestamp,
        id: PublishId,
        device: DeviceKey,
        uuid: &str,
        connected: bool,
    ) {
        if connected {
            self.fleet.note_command_sent(now, device, uuid);
        }
        let command = UnderWay {
            device,
            uuid: uuid.to_owned(),
            sent: connected,
        };
        self.under_way.push_back((id, command));
        // The client's queue is bounded, but this list needs a limit of its own: an outcome that
        // came before its id was known here never comes again.
        while self.under_way.len() > MOST_UNDER_WAY {
            self.under_way.pop_front();
        }
        self.fold();
    }

    /// The client has not accepted the command.
    pub fn command_failed(&mut self, now: Timestamp, device: DeviceKey, uuid: &str, why: &str) {
        self.fleet.note_command_failed(now, device, uuid, why);
        self.fold();
    }

    /// The outcome of a publication.
    pub fn handle_published(&mut self, now: Timestamp, id: PublishId, outcome: &PublishOutcome) {
        let position = self.under_way.iter().position(|(other, _)| *other == id);
        let command = position.and_then(|position| self.under_way.remove(position));
        let Some((_, UnderWay { device, uuid, .. })) = command else {
            return;
        };
        match outcome {
            PublishOutcome::Sent => self.fleet.note_command_sent(now, device, &uuid),
            PublishOutcome::Acknowledged(_) => self.fleet.note_command_acked(now, device, &uuid),
            PublishOutcome::Refused(reason_code) => {
                let why = format!("the broker refused it: {reason_code}");
                self.fleet.note_command_failed(now, device, &uuid, &why);
            }
            PublishOutcome::Dropped(cause) => {
                let why = match cause {
                    DropCause::Expired => "there was no connection in time",
                    DropCause::TooLarge => "it is larger than the broker takes",
                    DropCause::QoSNotSupported => "the broker does not take QoS 2",
                    DropCause::RetainNotSupported => "the broker keeps no messages",
                    DropCause::Stopped => "the connection was stopped",
                };
                self.fleet.note_command_failed(now, device, &uuid, why);
            }
        }
        self.fold();
    }

    /// Why [`Self::command`] would not take this request.
    pub fn command_problem(
        &self,
        device: DeviceKey,
        request: CommandRequest<'_>,
    ) -> Option<String> {
        let checked = self.fleet.check_command(device, request);
        checked.err().map(|error| error.to_string())
    }

    /// Forgets a device: only a live message of its own brings it back.
    pub fn forget(&mut self, device: DeviceKey) {
        self.fleet.forget(device);
        self.fold();
    }

    /// A viewer has opened this device. More of its readings and its raw messages are kept, and it
    /// is not forgotten for another one.
    pub fn open(&mut self, device: DeviceKey) {
        self.fleet.watch(device);
        self.series.open(device);
        if let Some((_, open)) = self.open.iter_mut().find(|(key, _)| *key == device) {
            open.viewers += 1;
            return;
        }
        let open = Open {
            viewers: 1,
            ..Open::default()
        };
        self.open.push((device, open));
    }

    /// A viewer has closed this device.
    pub fn close(&mut self, device: DeviceKey) {
        self.fleet.unwatch(device);
        self.series.close(device);
        let position = self.open.iter().position(|(key, _)| *key == device);
        if let Some(position) = position {
            self.open[position].1.viewers -= 1;
            if self.open[position].1.viewers == 0 {
                self.open.swap_remove(position);
            }
        }
    }

    /// Handles the fleet's events. Called after each batch of messages, so that the fleet's own queue
    /// of samples stays short.
    pub fn fold(&mut self) {
        while let Some(event) = self.fleet.poll_event() {
            match event {
                Event::DeviceAdded(key) => {
                    self.changed(key).view = true;
                    self.list.devices = true;
                }
                Event::DeviceForgotten(key) => {
                    self.series.forget(key);
                    self.open.retain(|(open, _)| *open != key);
                    *self.changed(key) = Changed::ALL;
                    self.list.devices = true;
                }
                Event::PresenceChanged(key) => {
                    self.changed(key).view = true;
                    self.list.presence = true;
                }
                Event::ShapeChanged(key) => {
                    self.changed(key).view = true;
                    self.list.values = true;
                    // Hiding a device is a change of its shape.
                    let hidden = self.fleet.len() - self.fleet.counts().total();
                    self.list.devices |= self.hidden != hidden;
                    self.hidden = hidden;
                }
                Event::ValuesChanged(key) => {
                    self.changed(key).view = true;
                    self.list.values = true;
                }
                Event::PositionChanged(key) => self.changed(key).view = true,
                Event::Fault { device, .. } => {
                    self.changed(device).view = true;
                    // A search may look for faults.
                    self.list.values = true;
                }
                Event::CommandChanged { device, .. } => {
                    self.changed(device).commands = true;
                }
                Event::Sample {
                    device,
                    metric,
                    at,
                    value,
                } => {
                    // Exact for the next 285,000 years.
                    #[allow(clippy::cast_precision_loss)]
                    let time = at.0 as f64;
                    self.series.push(device, metric, time, value);
                    let changed = self.changed(device);
                    changed.view = true;
                    changed.samples = true;
                    self.list.values = true;
                }
                Event::LimitHit(_) => self.list.limits = true,
            }
        }
    }

    /// What changed since this was last called.
    pub fn take_changes(&mut self) -> Changes {
        let keys = std::mem::take(&mut self.changed);
        let devices = keys
            .into_iter()
            .filter_map(|key| Some((key, self.changes.remove(key)?)))
            .collect();
        Changes {
            devices,
            list: std::mem::take(&mut self.list),
        }
    }

    /// Whether devices came or were forgotten since [`Self::take_changes`] was last called.
    pub fn has_other_devices(&self) -> bool {
        self.list.devices
    }

    /// Whether anything changed since [`Self::take_changes`] was last called.
    pub fn has_changes(&self) -> bool {
        self.list.any() || !self.changed.is_empty()
    }

    fn changed(&mut self, key: DeviceKey) -> &mut Changed {
        let changed = &mut self.changed;
        self.changes.get_or_insert_with(key, || {
            changed.push(key);
            Changed::default()
        })
    }

    fn message_count(&self, key: DeviceKey) -> u64 {
        let device = self.fleet.device(key);
        device.map_or(0, fleet::Device::message_count)
    }
}

impl Default for Core {
    fn default() -> Self {
        Self::new()
    }
}

/// How many commands may be under way. The oldest is dropped beyond that.
const MOST_UNDER_WAY: usize = 4_096;

/// Seconds after which the broker must not deliver a command any more. A user who pressed “reboot”
/// does not expect it to happen five minutes later.
const COMMAND_EXPIRY: u32 = 30;

/// How many messages this one replaced at the broker.
fn skipped(publish: &Publish) -> u64 {
    let mut properties = publish.properties.user_properties.iter();
    let told = properties.find(|(name, _)| name.as_str() == "beaconry-skipped");
    told.and_then(|(_, count)| count.as_str().parse().ok())
        .unwrap_or(0)
}

fn publication(outgoing: CommandMessage) -> Result<Publish, String> {
    let topic =
        |text: String| TopicName::try_from(text).map_err(|error| format!("its topic {error}"));
    let mut publish = Publish::new(topic(outgoing.topic)?, outgoing.payload);
    publish.qos = QoS::ExactlyOnce;
    publish.properties.message_expiry_interval = Some(COMMAND_EXPIRY);
    publish.properties.response_topic = Some(topic(outgoing.response_topic)?);
    publish.properties.correlation_data = Some(outgoing.correlation_data.into());
    Ok(publish)
}

mod follow;
#[cfg(test)]
mod tests;
