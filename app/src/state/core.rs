//! Everything that the page knows, without a browser: fleet, readings, raw messages,
//! commands on their way, and what of it has changed since the last frame.
//!
//! **Invariant.** Messages are taken up when they come, also while the page is hidden; what
//! changed is only noted, one entry a device, until a frame asks for it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use fleet::{
    CommandRequest, DeviceKey, Event, Fleet, FleetOptions, Message, ObserverState, Outgoing,
    Timestamp,
};
use mqtt::client::{DropCause, PublishId, PublishOutcome};
use mqtt::{Publish, QoS, TopicName};

use super::messages::RawMessages;
use super::series::SeriesStore;

/// The page's knowledge.
#[derive(Debug)]
pub struct Core {
    fleet: Fleet,
    series: SeriesStore,
    /// Of the devices that are open on screen.
    messages: BTreeMap<DeviceKey, Open>,
    under_way: BTreeMap<PublishId, UnderWay>,
    changes: Changes,
    received: u64,
}

/// What changed since it was last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The devices about which something changed, and what.
    pub devices: BTreeMap<DeviceKey, Changed>,
    /// Devices came, or presence changed: the list may be another.
    pub list: bool,
}

/// What changed about one device.
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

#[derive(Debug, Default)]
struct Open {
    viewers: usize,
    messages: RawMessages,
}

#[derive(Debug)]
struct UnderWay {
    device: DeviceKey,
    uuid: String,
    /// Handed to a live connection.
    sent: bool,
}

impl Core {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            fleet: Fleet::new(FleetOptions::default()),
            series: SeriesStore::default(),
            messages: BTreeMap::new(),
            under_way: BTreeMap::new(),
            changes: Changes::default(),
            received: 0,
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
        self.messages.get(&device).map(|open| &open.messages)
    }

    /// How many messages came.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes up a message.
    pub fn handle_message(&mut self, now: Timestamp, publish: &Publish) {
        let Some(topic) = &publish.topic else {
            return;
        };
        self.received += 1;
        // The fleet counts the messages of each device: who counted this one, sent it.
        let counts: Vec<(DeviceKey, u64)> = self
            .messages
            .keys()
            .map(|key| (*key, self.message_count(*key)))
            .collect();
        let message = Message {
            topic: topic.as_str(),
            payload: &publish.payload,
            retained: publish.retain,
            duplicate: publish.dup,
            correlation_data: publish.properties.correlation_data.as_deref(),
        };
        self.fleet.handle_message(now, message);
        for (key, before) in counts {
            if self.message_count(key) != before
                && let Some(open) = self.messages.get_mut(&key)
            {
                open.messages.push(now, publish);
                self.changed(key).messages = true;
            }
        }
    }

    /// The connection is there, and commands that waited for it are on their way.
    pub fn handle_connected(&mut self, now: Timestamp) {
        self.fleet.handle_observer(now, ObserverState::Connected);
        for command in self.under_way.values_mut().filter(|command| !command.sent) {
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

    /// Time has passed: silence is judged, commands are given up.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.fleet.handle_timeout(now);
        self.fold();
    }

    /// Makes a command: publish what comes back, then tell by [`Self::command_published`]
    /// or [`Self::command_failed`].
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

    /// The client has accepted the command as `id`; `connected`: and handed it over.
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
        self.under_way.insert(id, command);
        // The client's queue is bounded, but an outcome that came before its id was known
        // here never comes again.
        while self.under_way.len() > MOST_UNDER_WAY {
            self.under_way.pop_first();
        }
        self.fold();
    }

    /// The client has not accepted the command.
    pub fn command_failed(&mut self, now: Timestamp, device: DeviceKey, uuid: &str, why: &str) {
        self.fleet.note_command_failed(now, device, uuid, why);
        self.fold();
    }

    /// What became of a publication.
    pub fn handle_published(&mut self, now: Timestamp, id: PublishId, outcome: &PublishOutcome) {
        let Some(UnderWay { device, uuid, .. }) = self.under_way.remove(&id) else {
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

    /// Someone looks at this device: more readings and its raw messages are kept.
    pub fn open(&mut self, device: DeviceKey) {
        self.series.open(device);
        self.messages.entry(device).or_default().viewers += 1;
    }

    /// Someone does not look at it any more.
    pub fn close(&mut self, device: DeviceKey) {
        self.series.close(device);
        if let Entry::Occupied(mut open) = self.messages.entry(device) {
            open.get_mut().viewers -= 1;
            if open.get().viewers == 0 {
                open.remove();
            }
        }
    }

    /// Takes the fleet's events up. Called after each batch of messages, so that the fleet's
    /// own queue of samples stays short.
    pub fn fold(&mut self) {
        while let Some(event) = self.fleet.poll_event() {
            match event {
                Event::DeviceAdded(key) | Event::PresenceChanged(key) => {
                    self.changed(key).view = true;
                    self.changes.list = true;
                }
                Event::ShapeChanged(key) => {
                    // The list's words are looked for in metric names too.
                    self.changed(key).view = true;
                    self.changes.list = true;
                }
                Event::ValuesChanged(key) | Event::PositionChanged(key) => {
                    self.changed(key).view = true;
                }
                Event::Fault { device, .. } => self.changed(device).view = true,
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
                }
                Event::LimitHit(_) => self.changes.list = true,
            }
        }
    }

    /// What changed since this was last called.
    pub fn take_changes(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// Whether anything changed since then.
    pub fn has_changes(&self) -> bool {
        self.changes.list || !self.changes.devices.is_empty()
    }

    fn changed(&mut self, key: DeviceKey) -> &mut Changed {
        self.changes.devices.entry(key).or_default()
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

/// Commands whose outcome is awaited.
const MOST_UNDER_WAY: usize = 4_096;

/// Seconds after which a command that could not be delivered must not be any more: who
/// pressed “reboot” does not want it to happen in five minutes' time.
const COMMAND_EXPIRY: u32 = 30;

fn publication(outgoing: Outgoing) -> Result<Publish, String> {
    let topic =
        |text: String| TopicName::try_from(text).map_err(|error| format!("its topic {error}"));
    let mut publish = Publish::new(topic(outgoing.topic)?, outgoing.payload);
    publish.qos = QoS::ExactlyOnce;
    publish.properties.message_expiry_interval = Some(COMMAND_EXPIRY);
    publish.properties.response_topic = Some(topic(outgoing.response_topic)?);
    publish.properties.correlation_data = Some(outgoing.correlation_data.into());
    Ok(publish)
}
