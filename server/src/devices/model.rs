//! The model of all devices, without sockets, threads and clocks: batches of the broker's tap go in,
//! changes and answers come out.

use broker::tap::{self, Departure, Publisher, TapEvent};
use broker::{Conn, Grants};
use fleet::{
    ClientNews, Device, DeviceKey, Event, Fleet, FleetOptions, Limit, Message, OfflineReason,
    Timestamp,
};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use messages::Batch;

use api::fleet::{self as wire, Change, Counts, Time};

use crate::history::Chosen;

use super::changes::Told;
use super::question::{Detail, Listed, Place, Query};

mod recording;
mod saving;

use self::recording::Recording;
pub(crate) use self::recording::{Event as RecordedEvent, Named, Recorded, What};
pub(crate) use self::saving::Entry;
use self::saving::Saving;

/// All devices, as the messages and clients of the broker show them.
#[derive(Debug)]
pub(crate) struct Model {
    fleet: Fleet,
    /// What anybody may receive.
    grants: Grants,
    clients: Clients,
    names: Names,
    saving: Saving,
    recording: Recording,
    /// Of which topics the values are recorded.
    chosen: Chosen,
    /// Messages that are to be kept as they came. `None`: none are.
    messages: Option<Batch>,
    counted: ModelCounts,
    /// The time of the newest event that was read.
    latest: Timestamp,
}

/// What the model has counted. Gauges are as of now.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelCounts {
    /// Messages that it has read.
    pub(crate) messages: u64,
    /// Faults of devices that it has told of.
    pub(crate) faults: u64,
    /// Times that a device was too large to be saved.
    pub(crate) not_saved: u64,
}

/// The client identifiers of the connections that the broker has. Its limits bound them.
#[derive(Debug, Default)]
struct Clients {
    /// The fixed hash seed is safe here: the server chooses the keys, no client does.
    by_conn: HashMap<Conn, Known, FixedState>,
    /// Counts the resyncs that have begun.
    resync: u64,
}

#[derive(Debug)]
struct Known {
    client_id: Box<str>,
    /// The resync during which it was last told of.
    told_in: u64,
}

/// The ids of the devices that were told of, by their places. They are needed when a device is gone.
#[derive(Debug, Default)]
struct Names(Vec<Option<Name>>);

#[derive(Clone, Debug)]
struct Name {
    number: u32,
    id: Box<str>,
    prefix_len: usize,
}

impl Model {
    /// It shows nothing that `grants` lets nobody receive.
    pub(crate) fn new(options: FleetOptions, grants: Grants) -> Self {
        Self {
            fleet: Fleet::new(options),
            grants,
            clients: Clients::default(),
            names: Names::default(),
            saving: Saving::default(),
            recording: Recording::default(),
            chosen: Chosen::default(),
            messages: None,
            counted: ModelCounts::default(),
            latest: Timestamp(i64::MIN),
        }
    }

    /// Reads a batch of the tap.
    pub(crate) fn read(&mut self, batch: &[u8]) {
        for event in tap::read(batch) {
            self.handle(event);
        }
    }

    // Long, because it is one list: what each event of the tap means.
    fn handle(&mut self, event: TapEvent<'_>) {
        match event {
            TapEvent::Message {
                at,
                publisher,
                qos,
                retain,
                topic,
                payload,
                correlation_data,
            } => {
                self.counted.messages += 1;
                if !self.grants.may_receive(topic) {
                    return;
                }
                let (publisher, is_will) = match publisher {
                    Publisher::Connection(conn) => (self.clients.id_of(conn), false),
                    Publisher::Will(client_id) => (Some(client_id), true),
                };
                self.latest = stamp(at);
                let is_chosen = self.chosen.has(topic);
                if let (Some(messages), true) = (&mut self.messages, is_chosen) {
                    messages.push(&messages::Message {
                        qos: qos as u8,
                        retain,
                        client: publisher,
                        ..messages::Message::new(stamp(at).0, topic, payload)
                    });
                }
                let message = Message {
                    correlation_data,
                    publisher,
                    is_will,
                    unrecorded: !is_chosen,
                    ..Message::new(topic, payload)
                };
                self.fleet.handle_message(stamp(at), message);
            }
            TapEvent::Retained {
                at,
                publisher: _,
                qos: _,
                topic,
                payload,
                correlation_data,
            } => {
                self.counted.messages += 1;
                if !self.grants.may_receive(topic) {
                    return;
                }
                let message = Message {
                    correlation_data,
                    ..Message::new(topic, payload).retained_since(stamp(at))
                };
                // It is read now, whenever it was published.
                self.latest = self.latest.max(stamp(at));
                self.fleet.handle_message(self.latest, message);
            }
            TapEvent::RetainedGone { at, topic } => {
                self.latest = self.latest.max(stamp(at));
                self.fleet.handle_retained_gone(self.latest, topic);
            }
            TapEvent::Connected {
                at,
                conn,
                client_id,
                is_news,
            } => {
                self.latest = stamp(at);
                let was_known = self.clients.connected(conn, client_id);
                if is_news || !was_known {
                    let news = ClientNews::Connected;
                    self.fleet.handle_client(stamp(at), client_id, news);
                }
            }
            TapEvent::Left {
                at,
                conn,
                client_id,
                how,
            } => {
                self.latest = stamp(at);
                self.clients.left(conn);
                if let Some(news) = news_of(how) {
                    self.fleet.handle_client(stamp(at), client_id, news);
                }
            }
            TapEvent::ResyncBegins => {
                self.clients.resync += 1;
                self.fleet.begin_retained();
            }
            TapEvent::ResyncEnds => self.drop_unmentioned(),
            // The broker counts them.
            TapEvent::Lost { messages: _ } => {}
        }
    }

    /// A resync has told of every client and every retained message. Those clients of which it did not tell have left meanwhile, and how
    /// they left is lost. Those that were known before a restart are not back.
    fn drop_unmentioned(&mut self) {
        let now = self.latest;
        self.fleet.end_retained(now);
        self.fleet.handle_clients_told(now);
        for client_id in self.clients.drop_unmentioned() {
            let news = ClientNews::Left(OfflineReason::ConnectionLost);
            self.fleet.handle_client(now, &client_id, news);
        }
    }

    /// When [`Model::handle_timeout`] wants to be called.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.fleet.poll_timeout()
    }

    /// Time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        self.fleet.handle_timeout(now);
    }

    /// It is this late: what is told now is dated so at least.
    pub(crate) fn note_time(&mut self, now: Timestamp) {
        self.latest = self.latest.max(now);
    }

    /// What has changed since the last call, one change for each device where that is possible.
    pub(crate) fn take_changes(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        // The device whose whole description was told last. Its presence and faults are in it.
        let mut whole = None;
        while let Some(event) = self.fleet.poll_event() {
            match event {
                Event::DeviceAdded(key) | Event::ShapeChanged(key) if whole != Some(key) => {
                    whole = Some(key);
                    told.extend(self.tell_device(key));
                }
                Event::PresenceChanged(key) if whole != Some(key) => {
                    self.recording.presence(&self.fleet, key);
                    told.extend(self.tell_presence(key));
                }
                Event::Fault { device, kind } => {
                    self.counted.faults += 1;
                    let fault = self.fleet.describe_fault(device, kind);
                    if let (Some(fault), Some(of)) = (&fault, self.fleet.device(device)) {
                        let what = What::Fault(Box::new(fault.clone()));
                        self.recording.push(&of.full_id(), fault.time.0, what);
                    }
                    if let (true, Some(fault)) = (whole != Some(device), fault) {
                        told.extend(self.tell(device, |id| Change::Fault { id, fault }));
                    }
                }
                Event::CommandChanged { device, uuid } => {
                    if let Some(command) = self.fleet.describe_command(device, &uuid) {
                        if let Some(of) = self.fleet.device(device) {
                            let what = What::Command(Box::new(command.clone()));
                            self.recording.push(&of.full_id(), self.latest.0, what);
                        }
                        told.extend(self.tell(device, |id| Change::Command { id, command }));
                    }
                }
                Event::DeviceForgotten(key) => {
                    if let Some(name) = self.names.of(key) {
                        self.recording.push(&name.id, self.latest.0, What::Gone);
                    }
                    told.extend(self.tell(key, |id| Change::Gone { id }));
                    self.names.remove(key);
                }
                // They are in the description that was just told; or MQTT carries them; or they are
                // counted.
                Event::DeviceAdded(_)
                | Event::ShapeChanged(_)
                | Event::PresenceChanged(_)
                | Event::Sample { .. }
                | Event::ValuesChanged(_)
                | Event::PositionChanged(_)
                | Event::LimitHit(_) => {}
            }
        }
        told
    }

    fn tell_device(&mut self, key: DeviceKey) -> Option<Told> {
        let mut device = Box::new(self.fleet.describe(key)?);
        device.history.clear();
        self.names.set(key, &device.id, device.prefix_len);
        self.recording.presence(&self.fleet, key);
        self.recording.device(&device, self.latest.0);
        Some(Told {
            id: device.id.clone(),
            prefix_len: device.prefix_len,
            change: Change::Device { device },
        })
    }

    fn tell_presence(&self, key: DeviceKey) -> Option<Told> {
        let presence = self.fleet.describe_presence(key)?;
        let last_seen = self.fleet.device(key)?.last_seen().map(time);
        self.tell(key, |id| Change::Presence {
            id,
            presence,
            last_seen,
        })
    }

    fn tell(&self, key: DeviceKey, change: impl FnOnce(String) -> Change) -> Option<Told> {
        let Name { id, prefix_len, .. } = self.names.of(key)?;
        Some(Told {
            change: change(id.to_string()),
            id: id.to_string(),
            prefix_len: *prefix_len,
        })
    }

    /// From now on, [`Model::take_recorded`] gives what happens, but for what `chosen` leaves out. What was before
    /// is not told again.
    pub(crate) fn record(&mut self, chosen: Chosen) {
        self.recording.turn_on(&self.fleet);
        self.chosen = chosen;
    }

    /// From now on, [`Model::take_messages`] gives each message as it came, but for what `chosen` leaves out.
    pub(crate) fn keep_messages(&mut self, empty: Batch) {
        self.messages = Some(empty);
    }

    /// Takes the messages that came since the last call.
    pub(crate) fn take_messages(&mut self) -> Option<Batch> {
        let messages = self.messages.as_mut().filter(|it| !it.is_empty());
        messages.map(Batch::take)
    }

    /// Takes what is to be recorded since the last call.
    pub(crate) fn take_recorded(&mut self) -> Recorded {
        self.recording.take(&mut self.fleet)
    }

    /// Description and presence of these devices, to be recorded as of now. What lasts is recorded so each day, and
    /// found again within two. Devices that are gone are left out.
    pub(crate) fn record_lasting(&mut self, now: Timestamp, keys: &[DeviceKey]) {
        for key in keys {
            if let Some(device) = self.fleet.describe(*key) {
                self.recording.device(&device, now.0);
                let presence = What::Presence(device.presence);
                self.recording.push(&device.id, now.0, presence);
            }
        }
    }

    /// All devices.
    pub(crate) fn keys(&self) -> Vec<DeviceKey> {
        self.fleet.devices().map(|(key, _)| key).collect()
    }

    /// How many devices are in each state.
    pub(crate) fn counts(&self) -> Counts {
        self.fleet.describe_counts()
    }

    /// What was counted.
    pub(crate) fn counted(&self) -> ModelCounts {
        self.counted
    }

    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The devices that fit a question. `cursor` is that of the change log now.
    pub(crate) fn list(&self, now: Timestamp, cursor: String, query: &Query) -> Listed {
        let mut found = self.found(query);
        let total = found.len();
        found.retain(|(_, device)| query.is_behind(device));
        let limit = query.limit.unwrap_or(usize::MAX);
        let last = (found.len() > limit).then(|| found[limit - 1].1);
        found.truncate(limit);
        Listed {
            answer: wire::Devices {
                now: time(now),
                cursor,
                counts: self.counts(),
                total,
                devices: Vec::new(),
                next: last.map(|device| Place::of(query.sort, device).to_text()),
            },
            keys: found.into_iter().map(|(key, _)| key).collect(),
        }
    }

    fn found(&self, query: &Query) -> Vec<(DeviceKey, &Device)> {
        let mut found: Vec<(DeviceKey, &Device)> = if query.ids.is_empty() {
            self.fleet.devices().collect()
        } else {
            let mut keys: Vec<_> = query
                .ids
                .iter()
                .filter_map(|id| self.fleet.find(id))
                .collect();
            keys.sort_unstable();
            keys.dedup();
            let devices = keys.into_iter();
            devices
                .filter_map(|key| Some((key, self.fleet.device(key)?)))
                .collect()
        };
        found.retain(|(_, device)| query.fits(device));
        found.sort_unstable_by(|(_, a), (_, b)| {
            let (a, b) = (fleet::SortPlace::of(a), fleet::SortPlace::of(b));
            query.sort.compare(&a, &b)
        });
        found
    }

    /// The devices as JSON, with commas between them. Those that are gone are left out.
    pub(crate) fn describe(&self, keys: &[DeviceKey], detail: Detail) -> Vec<u8> {
        let mut json = Vec::with_capacity(keys.len() * 1024);
        for key in keys {
            let Some(device) = self.description(*key, detail) else {
                continue;
            };
            if !json.is_empty() {
                json.push(b',');
            }
            // Writing JSON into a buffer cannot fail: our types have text for every key.
            let _ = serde_json::to_writer(&mut json, &device);
        }
        json
    }

    /// The device of this id as JSON.
    pub(crate) fn one(&self, id: &str) -> Option<Vec<u8>> {
        let key = self.fleet.find(id)?;
        Some(self.describe(&[key], Detail::Whole))
    }

    /// Filters of the topics that concern the device of this id.
    pub(crate) fn topics(&self, id: &str) -> Option<Vec<String>> {
        let device = self.fleet.device(self.fleet.find(id)?)?;
        Some([device.topic_filters(), device.command_filters()].concat())
    }

    fn description(&self, key: DeviceKey, detail: Detail) -> Option<wire::Device> {
        let mut device = self.fleet.describe(key)?;
        match detail {
            Detail::Now => device.history.clear(),
            Detail::Whole => device.commands = self.fleet.describe_commands(key),
        }
        Some(device)
    }

    /// Hides a device, or shows it again.
    pub(crate) fn hide(&mut self, id: &str, hidden: bool) -> Option<Vec<u8>> {
        let key = self.find_exactly(id)?;
        self.fleet.hide(key, hidden);
        Some(self.describe(&[key], Detail::Whole))
    }

    /// Forgets a device. Returns whether there was one.
    pub(crate) fn forget(&mut self, id: &str) -> bool {
        let key = self.find_exactly(id);
        if let Some(key) = key {
            self.fleet.forget(key);
        }
        key.is_some()
    }

    /// The device with this full id. A question may name a device by its bare id. What changes
    /// something may not: said twice, it would change the next device of that name.
    fn find_exactly(&self, id: &str) -> Option<DeviceKey> {
        let key = self.fleet.find(id)?;
        (self.fleet.device(key)?.full_id() == id).then_some(key)
    }

    /// How many messages or devices a limit of the fleet has kept out.
    pub(crate) fn limit_count(&self, limit: Limit) -> u64 {
        self.fleet.limits().count(limit)
    }
}

impl Clients {
    fn id_of(&self, conn: Conn) -> Option<&str> {
        self.by_conn.get(&conn).map(|known| &*known.client_id)
    }

    /// Returns whether it was known already.
    fn connected(&mut self, conn: Conn, client_id: &str) -> bool {
        let known = Known {
            client_id: client_id.into(),
            told_in: self.resync,
        };
        self.by_conn.insert(conn, known).is_some()
    }

    fn left(&mut self, conn: Conn) {
        self.by_conn.remove(&conn);
        if let Some(less) = crate::memory::less(self.by_conn.len(), self.by_conn.capacity()) {
            self.by_conn.shrink_to(less);
        }
    }

    /// Forgets the connections that were not told of since the last resync began. Returns the client
    /// identifiers that have no connection any more.
    fn drop_unmentioned(&mut self) -> Vec<Box<str>> {
        let resync = self.resync;
        let gone = self.by_conn.extract_if(|_, known| known.told_in < resync);
        let mut gone: Vec<Box<str>> = gone.map(|(_, known)| known.client_id).collect();
        gone.sort_unstable();
        if !gone.is_empty() {
            let here = self.by_conn.values();
            let here: std::collections::HashSet<&str> = here.map(|it| &*it.client_id).collect();
            gone.retain(|client_id| !here.contains(&**client_id));
        }
        gone
    }
}

impl Names {
    fn set(&mut self, key: DeviceKey, id: &str, prefix_len: usize) {
        let place = key.place as usize;
        if self.0.len() <= place {
            self.0.resize(place + 1, None);
        }
        self.0[place] = Some(Name {
            number: key.number,
            id: id.into(),
            prefix_len,
        });
    }

    fn of(&self, key: DeviceKey) -> Option<&Name> {
        let name = self.0.get(key.place as usize)?.as_ref();
        name.filter(|name| name.number == key.number)
    }

    fn remove(&mut self, key: DeviceKey) {
        if self.of(key).is_some() {
            self.0[key.place as usize] = None;
        }
    }
}

/// What a departure means for the devices of a client. `None`: it says nothing about them.
const fn news_of(how: Departure) -> Option<ClientNews> {
    let reason = match how {
        Departure::Disconnected | Departure::DisconnectedWithWill => OfflineReason::Disconnected,
        Departure::ConnectionLost => OfflineReason::ConnectionLost,
        Departure::KeepAliveTimeout => OfflineReason::KeepAliveTimeout,
        Departure::TakenOver => OfflineReason::TakenOver,
        Departure::Dismissed => OfflineReason::PutOut,
        // Every client leaves then. What was known before is what the next run should know.
        Departure::ServerShutDown => return None,
    };
    Some(ClientNews::Left(reason))
}

/// A time of the broker's clock, which counts from 1970.
pub(crate) fn stamp(at: mqtt::Instant) -> Timestamp {
    Timestamp(i64::try_from(at.as_micros() / 1000).unwrap_or(i64::MAX))
}

/// A time of the fleet, for the API.
pub(crate) const fn time(at: Timestamp) -> Time {
    Time(at.0)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod with_broker;
