//! Ties: which client publishes for a device. Only a server can know.
//!
//! A device is tied to a client that has published three messages for it, over two seconds or more, while
//! no other client did. When that client leaves, the device leaves, with the broker's reason. If the
//! client is tied to several devices, it is a gateway: when it leaves, they are unreachable.
//!
//! Who connects, publishes and leaves under a new identifier each time is never tied, so its leaving says
//! nothing.
//!
//! **Bounds.** Each device knows one client, and a client is remembered as long as a device knows it. So
//! there are never more clients than devices. A client leaving costs as much as it has devices.

use super::table::Table;
use super::{Fleet, Message};
use crate::TIES;
use crate::conventions::What;
use crate::device::{Device, DeviceKey};
use crate::event::Dirty;
use crate::limits::Limit;
use crate::list::List;
use crate::options::ObserverState;
use crate::presence::{OfflineReason, Presence, PresenceKind, PresenceSpan, UnknownReason};
use crate::time::Timestamp;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher as _;
use foldhash::fast::FixedState;
use hashbrown::HashTable;

/// What the broker tells about a client.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub enum ClientNews {
    /// It is connected.
    Connected,
    /// Its connection is gone, for this reason. [`OfflineReason::TakenOver`] is no leaving: the client has
    /// another connection already.
    Left(OfflineReason),
}

/// So many messages, over so many milliseconds or more, tie a device to a client.
const ENOUGH_MESSAGES: u8 = 3;
const ENOUGH_MS: i64 = 2000;
/// After two connected clients have both published for a device, it is tied to none for this long.
const SHARED_MS: i64 = 600_000;

/// Which client publishes for a device.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Tie {
    /// The client that published last, and the neighbours in the list of its devices.
    link: Option<Link>,
    /// When it published first, of those times that it published without another client between.
    first: Timestamp,
    messages: u8,
    tied: bool,
    /// Other clients have published for the device too, so it is tied to none before this.
    shared_until: Timestamp,
}

#[derive(Copy, Clone, Debug)]
struct Link {
    client: u32,
    before: Option<u32>,
    after: Option<u32>,
}

impl Tie {
    pub(crate) const NONE: Self = Self {
        link: None,
        first: Timestamp(i64::MIN),
        messages: 0,
        tied: false,
        shared_until: Timestamp(i64::MIN),
    };

    fn tied_client(&self) -> Option<u32> {
        let link = self.link.filter(|_| self.tied)?;
        Some(link.client)
    }
}

/// The clients that devices know.
#[derive(Debug)]
pub(super) struct Clients {
    places: List<Option<Client>, { TIES as usize }>,
    free: Vec<u32>,
    by_id: HashTable<u32>,
    hasher: FixedState,
}

#[derive(Debug)]
struct Client {
    id: Box<str>,
    state: ClientState,
    /// The first of the devices that know it.
    first: Option<u32>,
    /// How many devices are tied to it.
    tied: u32,
}

#[derive(Copy, Clone, Eq, PartialEq, Debug)]
enum ClientState {
    /// Nobody has told yet: the device was adopted.
    Unknown,
    Connected,
    Left,
    /// The broker was started again, and has not seen it since. Its will may still come.
    NotBack,
    /// Its connection is gone because it has another one, of which the broker tells next. The will of the
    /// old one may come between.
    TakenOver,
}

/// Bytes that a client takes, with its place in the table.
fn cost(id: &str) -> usize {
    size_of::<Option<Client>>() + 16 + id.len()
}

impl Clients {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            places: List::new(),
            free: Vec::new(),
            by_id: HashTable::new(),
            hasher: FixedState::with_seed(seed),
        }
    }

    fn find(&self, id: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        let found = self.by_id.find(hash, |place| {
            self.get(*place).is_some_and(|client| *client.id == *id)
        });
        found.copied()
    }

    fn get(&self, place: u32) -> Option<&Client> {
        self.places.get(place as usize)?.as_ref()
    }

    fn get_mut(&mut self, place: u32) -> Option<&mut Client> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    fn add(&mut self, id: &str) -> Option<u32> {
        let client = Some(Client {
            id: id.into(),
            state: ClientState::Unknown,
            first: None,
            tied: 0,
        });
        let place = if let Some(place) = self.free.pop() {
            self.places[place as usize] = client;
            place
        } else {
            let place = u32::try_from(self.places.len()).ok()?;
            self.places.push(client);
            place
        };
        let (places, hasher) = (&self.places, &self.hasher);
        self.by_id
            .insert_unique(hasher.hash_one(id), place, |place| {
                let client = places.get(*place as usize).and_then(Option::as_ref);
                client.map_or(0, |client| hasher.hash_one(&*client.id))
            });
        Some(place)
    }

    fn remove(&mut self, place: u32) -> Option<Client> {
        let client = self.places.get_mut(place as usize)?.take()?;
        let hash = self.hasher.hash_one(&*client.id);
        if let Ok(entry) = self.by_id.find_entry(hash, |known| *known == place) {
            entry.remove();
        }
        self.free.push(place);
        Some(client)
    }

    /// Puts a device at the beginning of the client's list.
    fn link(&mut self, devices: &mut Table, client: u32, place: u32) {
        let Some(known) = self.get_mut(client) else {
            return;
        };
        let after = known.first.replace(place);
        if let Some(link) = after.and_then(|after| link_at(devices, after)) {
            link.before = Some(place);
        }
        if let Some(device) = devices.at_mut(place) {
            device.tie.link = Some(Link {
                client,
                before: None,
                after,
            });
        }
    }

    /// Takes a device out of its client's list.
    fn unlink(&mut self, devices: &mut Table, link: Link) {
        let Link {
            client,
            before,
            after,
        } = link;
        if let Some(link) = before.and_then(|before| link_at(devices, before)) {
            link.after = after;
        } else if let Some(known) = self.get_mut(client) {
            known.first = after;
        }
        if let Some(link) = after.and_then(|after| link_at(devices, after)) {
            link.before = before;
        }
    }
}

fn link_at(devices: &mut Table, place: u32) -> Option<&mut Link> {
    devices.at_mut(place)?.tie.link.as_mut()
}

impl Fleet {
    /// The broker tells about a client. A device that is tied to it comes and leaves with it, and sleeps if
    /// that is its rhythm. Calls while this fleet follows change nothing.
    pub fn handle_client(&mut self, now: Timestamp, client_id: &str, news: ClientNews) {
        let now = self.advance(now);
        let Some(place) = self.clients.find(client_id) else {
            return;
        };
        let state = match news {
            ClientNews::Connected => ClientState::Connected,
            ClientNews::Left(OfflineReason::TakenOver) => ClientState::TakenOver,
            ClientNews::Left(_) => ClientState::Left,
        };
        let Some(client) = self.clients.get_mut(place) else {
            return;
        };
        client.state = state;
        let (gateway, mut next) = (client.tied > 1, client.first);
        if state == ClientState::TakenOver {
            return;
        }
        if self.follows() || self.timers.state() == ObserverState::Disconnected {
            return;
        }
        while let Some(place) = next {
            let Some(device) = self.devices.at(place) else {
                return;
            };
            next = device.tie.link.and_then(|link| link.after);
            if !device.tie.tied {
                continue;
            }
            let number = device.number;
            let key = DeviceKey { place, number };
            match news {
                ClientNews::Connected => self.client_came(now, key, gateway),
                ClientNews::Left(_) if gateway => {
                    self.leave(now, key, OfflineReason::GatewayLost, false);
                }
                ClientNews::Left(reason) => self.client_left(now, key, reason),
            }
        }
    }

    /// The clients that devices are tied to, and whether each is connected.
    pub fn tied_clients(&self) -> impl Iterator<Item = (&str, bool)> {
        let clients = self.clients.places.iter().flatten();
        let tied = clients.filter(|client| client.tied > 0);
        tied.map(|client| (&*client.id, client.state == ClientState::Connected))
    }

    /// The identifier of the one client that publishes for this device.
    pub fn client_of(&self, key: DeviceKey) -> Option<&str> {
        let place = self.device(key)?.tie.tied_client()?;
        self.clients.get(place).map(|client| &*client.id)
    }

    /// The only client that publishes for the device is back.
    fn client_came(&mut self, now: Timestamp, key: DeviceKey, gateway: bool) {
        let device = &mut self.devices[key];
        // From now on its silence counts anew.
        device.watched_from = now;
        match device.presence.presence {
            // The gateway is there again. About the device that says nothing.
            Presence::Offline {
                reason: OfflineReason::GatewayLost,
                ..
            } => {
                let reason = UnknownReason::Away;
                self.turn(key, Presence::Unknown { since: now, reason }, true);
                self.reschedule(key);
            }
            Presence::Offline { reason, .. } if !gateway && may_come_back(reason) => {
                self.come(now, key, true);
            }
            Presence::Sleeping { .. } | Presence::Stale { .. } | Presence::Unknown { .. }
                if !gateway =>
            {
                self.come(now, key, true);
            }
            Presence::Online { .. }
            | Presence::Offline { .. }
            | Presence::Sleeping { .. }
            | Presence::Stale { .. }
            | Presence::Unknown { .. } => self.reschedule(key),
        }
    }

    /// The only client that publishes for the device has left.
    fn client_left(&mut self, now: Timestamp, key: DeviceKey, reason: OfflineReason) {
        let signed_out = matches!(
            self.devices[key].presence.presence,
            Presence::Offline {
                reason: OfflineReason::SaidSo,
                ..
            }
        );
        if signed_out && reason == OfflineReason::Disconnected {
            // It said goodbye before it went.
            return;
        }
        self.leave(now, key, reason, false);
    }

    /// Whether a will of this client says nothing about the device: the broker has told already that it
    /// left, or that it has only changed its connection.
    pub(super) fn knows_better_than_will(&self, key: DeviceKey, publisher: Option<&str>) -> bool {
        let place = self.device(key).and_then(|device| device.tie.tied_client());
        let client = place.and_then(|place| self.clients.get(place));
        client.is_some_and(|client| match client.state {
            ClientState::Left => true,
            ClientState::TakenOver => publisher == Some(&*client.id),
            ClientState::Unknown | ClientState::Connected | ClientState::NotBack => false,
        })
    }

    /// The broker, which was started again, has told of all clients that are connected. A device that was
    /// online when it ended, and whose client is not back, is unknown until it is heard or its will says
    /// that it is gone. What is retained tells what was, not what is.
    pub fn handle_clients_told(&mut self, now: Timestamp) {
        let now = self.advance(now);
        for place in 0..self.clients.places.len() {
            let Some(client) = self.clients.places[place].as_mut() else {
                continue;
            };
            if client.state != ClientState::Unknown {
                continue;
            }
            client.state = ClientState::NotBack;
            let mut next = client.first;
            while let Some(place) = next {
                let Some(device) = self.devices.at(place) else {
                    break;
                };
                next = device.tie.link.and_then(|link| link.after);
                let online = device.presence.presence.kind() == PresenceKind::Online;
                if !(device.tie.tied && online) {
                    continue;
                }
                let number = device.number;
                let key = DeviceKey { place, number };
                let reason = UnknownReason::ServerRestarted;
                self.turn(key, Presence::Unknown { since: now, reason }, true);
                self.reschedule(key);
            }
        }
    }

    /// Whether the retained message that is handled now says nothing new about the device's presence:
    /// since the broker received it, the device was heard, or changed its presence, or its client
    /// connected.
    pub(super) fn knows_better_than_retained(&self, key: DeviceKey) -> bool {
        let (Some(received), Some(device)) = (self.received, self.device(key)) else {
            return false;
        };
        let PresenceSpan { presence, exact } = device.presence;
        let client = device.tie.tied_client();
        let client = client.and_then(|place| self.clients.get(place));
        let not_back = client.is_some_and(|client| client.state == ClientState::NotBack);
        let is_known = exact && (presence.kind() != PresenceKind::Unknown || not_back);
        // A will that was published as its client came back is as old as the connection.
        let is_here =
            client.is_some_and(|client| client.state == ClientState::Connected && client.tied == 1);
        device.last_seen > Some(received)
            || (is_known && presence.since() > received)
            || (is_here && device.watched_from >= received)
    }

    /// A message about the device was published by a client.
    pub(super) fn note_publisher(
        &mut self,
        now: Timestamp,
        key: DeviceKey,
        what: &What<'_>,
        message: &Message<'_>,
    ) {
        let Some(id) = message.publisher else {
            return;
        };
        // Others give commands, and the broker publishes wills.
        if message.retained || message.is_will || *what == What::Request {
            return;
        }
        let known = self.devices[key].tie.link;
        let known = known.and_then(|link| Some((link, self.clients.get(link.client)?)));
        match known {
            Some((link, client)) if *client.id == *id => {
                let tie = &mut self.devices[key].tie;
                tie.messages = tie.messages.saturating_add(1);
                let enough =
                    tie.messages >= ENOUGH_MESSAGES && now.ms_since(tie.first) >= ENOUGH_MS;
                if enough && !tie.tied && now >= tie.shared_until {
                    self.tie(key, link.client);
                }
                if let Some(client) = self.clients.get_mut(link.client) {
                    client.state = ClientState::Connected;
                }
            }
            known => {
                let shared =
                    known.is_some_and(|(_, client)| client.state == ClientState::Connected);
                self.untie(key);
                if shared {
                    self.devices[key].tie.shared_until = now.plus_ms(SHARED_MS);
                }
                if let Some(place) = self.know_client(now, key, id)
                    && let Some(client) = self.clients.get_mut(place)
                {
                    client.state = ClientState::Connected;
                }
            }
        }
    }

    /// The device is tied to this client, as somebody else has learnt.
    pub(super) fn adopt_tie(&mut self, now: Timestamp, key: DeviceKey, client_id: Option<&str>) {
        if self.client_of(key) == client_id {
            return;
        }
        self.untie(key);
        let client = client_id.and_then(|id| self.know_client(now, key, id));
        if let Some(client) = client {
            self.devices[key].tie.messages = ENOUGH_MESSAGES;
            self.tie(key, client);
        }
    }

    fn tie(&mut self, key: DeviceKey, client: u32) {
        self.devices[key].tie.tied = true;
        if let Some(client) = self.clients.get_mut(client) {
            client.tied += 1;
        }
        self.mark(key, Dirty::SHAPE);
    }

    /// The client has published for the device, the first time or after another one did.
    fn know_client(&mut self, now: Timestamp, key: DeviceKey, id: &str) -> Option<u32> {
        let place = match self.clients.find(id) {
            Some(place) => place,
            None if self.budget.charge(cost(id)) => self.clients.add(id)?,
            None => {
                self.limits.note(Limit::Bytes);
                return None;
            }
        };
        self.clients.link(&mut self.devices, place, key.place);
        let tie = &mut self.devices[key].tie;
        tie.first = now;
        tie.messages = 1;
        Some(place)
    }

    /// The device knows no client any more.
    pub(super) fn untie(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else {
            return;
        };
        let Tie {
            link,
            tied,
            shared_until,
            ..
        } = device.tie;
        device.tie = Tie {
            shared_until,
            ..Tie::NONE
        };
        let Some(link) = link else {
            return;
        };
        self.clients.unlink(&mut self.devices, link);
        if let Some(client) = self.clients.get_mut(link.client) {
            client.tied -= u32::from(tied);
            if client.first.is_none()
                && let Some(client) = self.clients.remove(link.client)
            {
                self.budget.refund(cost(&client.id));
            }
        }
        if tied {
            self.mark(key, Dirty::SHAPE);
        }
    }
}

/// Whether a device that is offline for this reason is there again as soon as its client is. One that said
/// itself that it is gone says itself when it is back.
const fn may_come_back(reason: OfflineReason) -> bool {
    reason.is_of_broker() || matches!(reason, OfflineReason::DidNotWake)
}

/// Whether a device that leaves for this reason may be going to sleep.
pub(super) const fn may_be_sleep(reason: OfflineReason) -> bool {
    match reason {
        OfflineReason::SaidSo => true,
        OfflineReason::Disconnected
        | OfflineReason::ConnectionLost
        | OfflineReason::KeepAliveTimeout => TIES,
        OfflineReason::Lost
        | OfflineReason::DidNotWake
        | OfflineReason::TakenOver
        | OfflineReason::PutOut
        | OfflineReason::GatewayLost => false,
    }
}

impl Device {
    /// Whether one client publishes for it: see [`Fleet::client_of`].
    pub const fn is_tied(&self) -> bool {
        self.tie.tied
    }
}
