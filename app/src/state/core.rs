//! Everything that the page knows, without a browser: fleet, readings, raw messages,
//! commands on their way, and what of it has changed since the last frame.
//!
//! **Invariant.** Messages are taken up when they come, also while the page is hidden; what
//! changed is only noted, one entry a device, until a frame asks for it.

use std::collections::VecDeque;

use fleet::{
    CommandRequest, DeviceKey, Event, Fleet, FleetOptions, Message, ObserverState, Outgoing,
    Timestamp,
};
use mqtt::client::{DropCause, PublishId, PublishOutcome};
use mqtt::{Publish, QoS, TopicName};

use super::dense::Dense;
use super::messages::RawMessages;
use super::series::SeriesStore;

/// The page's knowledge.
#[derive(Debug)]
pub struct Core {
    fleet: Fleet,
    series: SeriesStore,
    /// Of the devices that are open on screen.
    open: Vec<(DeviceKey, Open)>,
    /// Oldest first.
    under_way: VecDeque<(PublishId, UnderWay)>,
    /// What changed, by device; the keys of those that changed are in `changed`.
    changes: Dense<Changed>,
    changed: Vec<DeviceKey>,
    list_changed: bool,
    received: u64,
}

/// What changed since it was last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The devices about which something changed, and what.
    pub devices: Vec<(DeviceKey, Changed)>,
    /// Devices came, or presence changed: the list may be another.
    pub list: bool,
}

/// What changed about one device.
// Four answers that do not depend on each other.
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
            open: Vec::new(),
            under_way: VecDeque::new(),
            changes: Dense::default(),
            changed: Vec::new(),
            list_changed: false,
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
        let mut all = self.open.iter();
        let open = all.find(|(key, _)| *key == device);
        open.map(|(_, open)| &open.messages)
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
            .open
            .iter()
            .map(|(key, _)| (*key, self.message_count(*key)))
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
                && let Some((_, open)) = self.open.iter_mut().find(|(open, _)| *open == key)
            {
                open.messages.push(now, publish);
                self.changed(key).messages = true;
            }
        }
    }

    /// The connection is there, and commands that waited for it are on their way.
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
        self.under_way.push_back((id, command));
        // The client's queue is bounded, but an outcome that came before its id was known
        // here never comes again.
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

    /// What became of a publication.
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

    /// Someone looks at this device: more readings and its raw messages are kept.
    pub fn open(&mut self, device: DeviceKey) {
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

    /// Someone does not look at it any more.
    pub fn close(&mut self, device: DeviceKey) {
        self.series.close(device);
        let position = self.open.iter().position(|(key, _)| *key == device);
        if let Some(position) = position {
            self.open[position].1.viewers -= 1;
            if self.open[position].1.viewers == 0 {
                self.open.swap_remove(position);
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
                    self.list_changed = true;
                }
                Event::ShapeChanged(key) => {
                    // The list's words are looked for in metric names too.
                    self.changed(key).view = true;
                    self.list_changed = true;
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
                Event::LimitHit(_) => self.list_changed = true,
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
            list: std::mem::take(&mut self.list_changed),
        }
    }

    /// Whether anything changed since then.
    pub fn has_changes(&self) -> bool {
        self.list_changed || !self.changed.is_empty()
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

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{CommandState, PresenceKind};
    use mqtt::client::{Client, ClientOptions};
    use mqtt::{Instant, ReasonCode, Utf8String};

    const NOW: Timestamp = Timestamp(1_795_233_600_000);

    fn message(topic: &str, payload: &str) -> Publish {
        Publish::new(TopicName::try_from(topic).unwrap(), payload.to_owned())
    }

    fn with_device() -> (Core, DeviceKey) {
        let mut core = Core::new();
        core.handle_message(NOW, &message("beaconry/register/pump-1", "SIGN_IN"));
        core.handle_message(NOW, &message("beaconry/data/pump-1", "{\"flow\":1.5}"));
        core.fold();
        let key = core.fleet().find("pump-1").unwrap();
        (core, key)
    }

    fn changed(changes: &Changes, key: DeviceKey) -> Changed {
        let mut devices = changes.devices.iter();
        devices.find(|(device, _)| *device == key).unwrap().1
    }

    fn state(core: &Core, key: DeviceKey, uuid: &str) -> CommandState {
        let device = core.fleet().device(key).unwrap();
        device.command(uuid).unwrap().state().clone()
    }

    #[test]
    fn a_burst_is_one_change_and_all_its_readings() {
        let (mut core, key) = with_device();
        core.take_changes();
        for index in 0..1_000 {
            let at = NOW.plus_ms(i64::from(index));
            let payload = format!("{{\"flow\":{index}}}");
            core.handle_message(at, &message("beaconry/data/pump-1", &payload));
        }
        core.fold();
        let changes = core.take_changes();
        assert_eq!(changes.devices.len(), 1);
        assert!(changes.devices[0].1.samples && changes.devices[0].1.view);
        assert!(!changes.list, "presence is what it was");
        assert!(!core.has_changes());
        let (metric, _) = core
            .fleet()
            .device(key)
            .unwrap()
            .metric_named("flow")
            .unwrap();
        let series = core.series().series(key, metric).unwrap();
        assert_eq!(series.values().last(), Some(&999.0));
    }

    #[test]
    fn raw_messages_are_kept_of_open_devices_only() {
        let (mut core, key) = with_device();
        assert!(core.messages(key).is_none());
        core.open(key);
        core.handle_message(NOW, &message("beaconry/data/pump-1", "{not json"));
        core.handle_message(NOW, &message("beaconry/data/pump-2", "{\"flow\":1}"));
        assert_eq!(core.messages(key).unwrap().len(), 1);
        core.fold();
        let changes = core.take_changes();
        assert!(changed(&changes, key).messages);
        core.open(key);
        core.close(key);
        assert!(core.messages(key).is_some(), "one still looks");
        core.close(key);
        assert!(core.messages(key).is_none());
    }

    #[test]
    fn presence_makes_the_list_new_and_an_outage_leaves_nothing_known() {
        let (mut core, key) = with_device();
        assert!(core.take_changes().list);
        core.handle_disconnected(NOW);
        assert!(core.take_changes().list);
        let kind = |core: &Core| core.fleet().device(key).unwrap().presence().kind();
        assert_eq!(kind(&core), PresenceKind::Unknown);
        core.handle_connected(NOW);
        core.handle_message(NOW, &message("beaconry/data/pump-1", "{\"flow\":2}"));
        core.fold();
        assert_eq!(kind(&core), PresenceKind::Online);
    }

    /// A client that is not connected: what is published waits in it.
    fn publish_id(publish: Publish) -> PublishId {
        let options = ClientOptions::new(Utf8String::from_static("test"));
        let mut client = Client::new(Instant::ZERO, options);
        client.publish(Instant::ZERO, publish).unwrap()
    }

    #[test]
    fn a_command_goes_from_queued_to_answered() {
        let (mut core, key) = with_device();
        core.take_changes();
        let publish = core
            .command(NOW, key, "u-1", CommandRequest::Named("PING"))
            .unwrap();
        assert_eq!(publish.qos, QoS::ExactlyOnce);
        assert!(!publish.retain);
        assert_eq!(publish.topic.as_deref(), Some("beaconry/cmd/req/pump-1"));
        let properties = &publish.properties;
        assert_eq!(
            properties.response_topic.as_deref(),
            Some("beaconry/cmd/resp/pump-1")
        );
        assert_eq!(properties.correlation_data.as_deref(), Some(&b"u-1"[..]));
        assert_eq!(properties.message_expiry_interval, Some(COMMAND_EXPIRY));
        assert!(changed(&core.take_changes(), key).commands);

        let id = publish_id(publish);
        core.command_published(NOW, id, key, "u-1", false);
        assert_eq!(state(&core, key, "u-1"), CommandState::Queued);
        core.handle_connected(NOW.plus_ms(100));
        assert_eq!(state(&core, key, "u-1"), CommandState::Sent);
        let acknowledged = PublishOutcome::Acknowledged(ReasonCode::Success);
        core.handle_published(NOW.plus_ms(110), id, &acknowledged);
        assert_eq!(state(&core, key, "u-1"), CommandState::Pending);
        let answer = r#"{"deviceId":"pump-1","messageType":"commandResp","commandResult":"PONG","uuid":"u-1","command":"PING"}"#;
        core.handle_message(
            NOW.plus_ms(140),
            &message("beaconry/cmd/resp/pump-1", answer),
        );
        core.fold();
        let CommandState::Answered { after_ms, ok, .. } = state(&core, key, "u-1") else {
            panic!("not answered");
        };
        assert_eq!((after_ms, ok), (Some(40), true));
        assert!(changed(&core.take_changes(), key).commands);
    }

    #[test]
    fn a_command_that_could_not_go_says_why() {
        let (mut core, key) = with_device();
        let mut send = |uuid: &str, outcome: PublishOutcome| {
            let publish = core.command(NOW, key, uuid, CommandRequest::Named("PING"));
            let id = publish_id(publish.unwrap());
            core.command_published(NOW, id, key, uuid, false);
            core.handle_published(NOW, id, &outcome);
            match state(&core, key, uuid) {
                CommandState::Failed { why, .. } => why.to_string(),
                other => panic!("{other:?}"),
            }
        };
        let expired = send("u-1", PublishOutcome::Dropped(DropCause::Expired));
        assert_eq!(expired, "there was no connection in time");
        let refused = send("u-2", PublishOutcome::Refused(ReasonCode::NotAuthorized));
        assert_eq!(refused, "the broker refused it: not authorized (0x87)");
        let not_an_object = core.command(NOW, key, "u-3", CommandRequest::Json("[1]"));
        assert!(not_an_object.unwrap_err().starts_with("not a JSON object"));
    }

    #[test]
    fn a_command_without_an_answer_times_out() {
        let (mut core, key) = with_device();
        let publish = core.command(NOW, key, "u-1", CommandRequest::Named("PING"));
        let id = publish_id(publish.unwrap());
        core.command_published(NOW, id, key, "u-1", true);
        // Punctual calls, as the page's ticker makes them.
        for second in 1..=40 {
            core.handle_timeout(NOW.plus_ms(second * 1_000));
        }
        assert!(matches!(
            state(&core, key, "u-1"),
            CommandState::TimedOut { .. }
        ));
    }
}
