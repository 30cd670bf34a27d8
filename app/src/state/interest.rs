//! What the page subscribes to.
//!
//! | the broker is | the page subscribes to |
//! |---|---|
//! | ours | what it shows: the open device with `QoS` 2, devices on cards with `QoS` 0 and the newest value of each topic only |
//! | another one | everything (`#`, or what the address names) with `QoS` 0, and presence, commands and answers with `QoS` 2 |
//!
//! So telemetry fills no queue: a page that cannot keep up loses old values, not its connection. What a
//! person waits for comes for certain.

use std::collections::{BTreeMap, VecDeque};

use fleet::{DeviceKey, Fleet};
use mqtt::{QoS, TopicFilter};

/// How a topic filter is subscribed to.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// All messages, as they come. The broker sends what it has retained.
    Everything,
    /// Presence, commands and answers, each for certain. [`How::Everything`] has brought what is retained.
    ForCertain,
    /// The device that is open: each message for certain.
    Open,
    /// The device that is open, after the broker could not send that fast: the newest message of each
    /// topic, as often as can be. The broker then says how many it leaves out.
    OpenLossy,
    /// A device on a card: the newest message of each topic.
    Newest,
}

impl How {
    /// The highest quality of service.
    pub const fn qos(self) -> QoS {
        match self {
            Self::Everything | Self::OpenLossy | Self::Newest => QoS::AtMostOnce,
            Self::ForCertain | Self::Open => QoS::ExactlyOnce,
        }
    }

    /// Whether the broker shall send what it has retained. Our own server's list has it already.
    pub const fn wants_retained(self) -> bool {
        match self {
            Self::Everything => true,
            Self::ForCertain | Self::Open | Self::OpenLossy | Self::Newest => false,
        }
    }

    /// The least time between two messages of one topic, in milliseconds. Only our server can keep it.
    pub const fn every_ms(self) -> Option<u16> {
        match self {
            Self::Everything | Self::ForCertain | Self::Open => None,
            // The least that the server takes.
            Self::OpenLossy => Some(10),
            Self::Newest => Some(200),
        }
    }
}

/// What the page wants, the most important first. A filter is there once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    filters: Vec<(TopicFilter, How)>,
    /// The same filters, to be found.
    known: BTreeMap<TopicFilter, How>,
}

impl Wanted {
    /// Against any broker: `topics`, and for certain what cannot be made up for.
    pub fn everything(topics: &[TopicFilter], fleet: &Fleet) -> Self {
        let mut wanted = Self::default();
        for filter in topics {
            wanted.add(filter.clone(), How::Everything);
        }
        let mut prefixes: Vec<&str> = Vec::new();
        for (_, device) in fleet.devices() {
            if prefixes.len() < MOST_PREFIXES && !prefixes.contains(&device.prefix()) {
                let filters = device.shared_filters();
                if !filters.is_empty() {
                    prefixes.push(device.prefix());
                }
                wanted.add_all(filters, How::ForCertain);
            }
        }
        wanted
    }

    /// Against our server: these devices. `lossy`: the broker could not send the open one fast enough.
    pub fn devices(fleet: &Fleet, open: &[DeviceKey], cards: &[DeviceKey], lossy: bool) -> Self {
        let mut wanted = Self::default();
        let how = if lossy { How::OpenLossy } else { How::Open };
        for device in open.iter().filter_map(|key| fleet.device(*key)) {
            wanted.add_all(device.command_filters(), How::Open);
            wanted.add_all(device.topic_filters(), how);
        }
        for device in cards.iter().filter_map(|key| fleet.device(*key)) {
            wanted.add_all(device.topic_filters(), How::Newest);
        }
        wanted
    }

    fn add_all(&mut self, filters: Vec<String>, how: How) {
        for filter in filters {
            // A device whose name no filter can hold is known by the server's list alone.
            if let Ok(filter) = TopicFilter::try_from(filter) {
                self.add(filter, how);
            }
        }
    }

    fn add(&mut self, filter: TopicFilter, how: How) {
        // The first one counts: it is the most important.
        if !self.known.contains_key(&filter) {
            self.known.insert(filter.clone(), how);
            self.filters.push((filter, how));
        }
    }
}

/// Under how many prefixes the page asks for presence and commands for certain. Devices under further
/// ones are covered by the subscription to everything.
const MOST_PREFIXES: usize = 64;

/// What is subscribed to, or asked for.
#[derive(Debug, Default)]
pub struct Held(BTreeMap<TopicFilter, How>);

/// The way from what is subscribed to what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// One packet each.
    pub subscribe: Vec<(How, Vec<TopicFilter>)>,
    /// All in one packet.
    pub unsubscribe: Vec<TopicFilter>,
}

impl Held {
    /// The most filters in a packet. Servers limit what a packet may ask for.
    const PACKET: usize = 64;

    /// From now on this is wanted.
    pub fn turn_to(&mut self, wanted: &Wanted) -> Step {
        let mut step = Step::default();
        for (filter, how) in &wanted.filters {
            if self.0.get(filter) == Some(how) {
                continue;
            }
            self.0.insert(filter.clone(), *how);
            match step.subscribe.last_mut() {
                Some((last, filters)) if last == how && filters.len() < Self::PACKET => {
                    filters.push(filter.clone());
                }
                Some(_) | None => step.subscribe.push((*how, vec![filter.clone()])),
            }
        }
        self.0.retain(|filter, _| {
            let stays = wanted.known.contains_key(filter);
            if !stays {
                step.unsubscribe.push(filter.clone());
            }
            stays
        });
        step
    }

    /// How this filter is subscribed to.
    pub fn how(&self, filter: &TopicFilter) -> Option<How> {
        self.0.get(filter).copied()
    }
}

/// The devices whose subscriptions the client renews, because the broker has forgotten the session.
/// What they sent before, nobody has sent to this page.
#[derive(Debug, Default)]
pub struct Renewal(Vec<(DeviceKey, Vec<TopicFilter>)>);

impl Renewal {
    /// The subscriptions to these devices are renewed, as far as they are held.
    pub fn begin(fleet: &Fleet, held: &Held, devices: impl IntoIterator<Item = DeviceKey>) -> Self {
        let mut begun = Self::default();
        for key in devices {
            if !begun.0.iter().any(|(seen, _)| *seen == key) {
                begun.0.extend(Self::waiting(fleet, held, key));
            }
        }
        begun
    }

    fn waiting(
        fleet: &Fleet,
        held: &Held,
        key: DeviceKey,
    ) -> Option<(DeviceKey, Vec<TopicFilter>)> {
        let filters = fleet.device(key)?.topic_filters().into_iter();
        let filters = filters.filter_map(|filter| TopicFilter::try_from(filter).ok());
        let filters: Vec<_> = filters.filter(|f| held.how(f).is_some()).collect();
        (!filters.is_empty()).then_some((key, filters))
    }

    /// The broker has answered for these filters. Returns the devices for which nothing is awaited any
    /// more: ask the server what they sent.
    pub fn granted(&mut self, filters: &[TopicFilter]) -> Vec<DeviceKey> {
        let mut done = Vec::new();
        self.0.retain_mut(|(key, waiting)| {
            waiting.retain(|filter| !filters.contains(filter));
            if waiting.is_empty() {
                done.push(*key);
            }
            !waiting.is_empty()
        });
        done
    }
}

/// The devices whose values the page follows: those on screen, and those that were lately.
#[derive(Debug, Default)]
pub struct Watched {
    /// The latest first.
    lately: VecDeque<DeviceKey>,
}

impl Watched {
    /// How many devices the page subscribes to. A smaller fleet is followed as a whole.
    pub const MOST: usize = 200;

    /// These cards are on screen now. Returns the devices to follow, the most important first.
    pub fn choose(&mut self, fleet: &Fleet, on_screen: &[DeviceKey]) -> Vec<DeviceKey> {
        let known = |key: &DeviceKey| fleet.device(*key).is_some();
        let mut chosen: Vec<DeviceKey> = on_screen.iter().copied().filter(known).collect();
        for key in self.lately.drain(..) {
            if chosen.len() < Self::MOST && known(&key) && !chosen.contains(&key) {
                chosen.push(key);
            }
        }
        self.lately.extend(chosen.iter().copied());
        if fleet.len() <= Self::MOST {
            for (key, _) in fleet.devices() {
                if !chosen.contains(&key) {
                    chosen.push(key);
                }
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{FleetOptions, Message, Timestamp};

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::try_from(text).unwrap()
    }

    fn fleet_of(count: usize) -> (Fleet, Vec<DeviceKey>) {
        let mut fleet = Fleet::new(FleetOptions::default());
        for id in 0..count {
            let topic = format!("beaconry/register/d{id}");
            fleet.handle_message(Timestamp(1), Message::new(&topic, b"SIGN_IN"));
        }
        let keys = fleet.devices().map(|(key, _)| key).collect();
        (fleet, keys)
    }

    fn shown(wanted: &Wanted) -> Vec<(&str, How)> {
        let filters = wanted.filters.iter();
        filters.map(|(text, how)| (text.as_str(), *how)).collect()
    }

    #[test]
    fn any_broker_is_asked_for_everything_and_for_promises_where_they_matter() {
        let (mut fleet, _) = fleet_of(3);
        fleet.handle_message(Timestamp(1), Message::new("shed/temperature", b"4"));
        let wanted = Wanted::everything(&[filter("#")], &fleet);
        assert_eq!(
            shown(&wanted),
            [
                ("#", How::Everything),
                ("beaconry/register/+", How::ForCertain),
                ("beaconry/cmd/req/+", How::ForCertain),
                ("beaconry/cmd/resp/+", How::ForCertain),
            ]
        );
        assert_eq!(How::Everything.qos(), QoS::AtMostOnce);
        assert!(How::Everything.wants_retained() && !How::ForCertain.wants_retained());
    }

    #[test]
    fn prefixes_without_number_are_covered_by_everything() {
        let mut fleet = Fleet::new(FleetOptions::default());
        for site in 0..500 {
            let topic = format!("site-{site}/register/a");
            fleet.handle_message(Timestamp(1), Message::new(&topic, b"SIGN_IN"));
        }
        let wanted = Wanted::everything(&[filter("#")], &fleet);
        assert_eq!(wanted.filters.len(), 1 + 3 * MOST_PREFIXES);
    }

    #[test]
    fn our_server_is_asked_for_what_is_shown_and_the_open_device_comes_first() {
        let (fleet, keys) = fleet_of(2);
        let wanted = Wanted::devices(&fleet, &keys[1..], &keys, false);
        assert_eq!(
            shown(&wanted),
            [
                ("beaconry/cmd/req/d1", How::Open),
                ("beaconry/cmd/resp/d1", How::Open),
                ("beaconry/register/d1", How::Open),
                ("beaconry/data/d1", How::Open),
                ("beaconry/register/d0", How::Newest),
                ("beaconry/data/d0", How::Newest),
            ]
        );
        let lossy = Wanted::devices(&fleet, &keys[1..], &keys, true);
        assert_eq!(shown(&lossy)[0].1, How::Open, "commands are few");
        assert_eq!(shown(&lossy)[3], ("beaconry/data/d1", How::OpenLossy));
        assert!(
            How::OpenLossy.every_ms().is_some(),
            "the broker counts what it leaves out"
        );
    }

    #[test]
    fn only_what_differs_is_asked_for() {
        let (fleet, keys) = fleet_of(2);
        let mut held = Held::default();
        let first = held.turn_to(&Wanted::devices(&fleet, &[], &keys, false));
        assert_eq!(first.subscribe.len(), 1);
        assert_eq!(first.subscribe[0].1.len(), 4);
        let again = held.turn_to(&Wanted::devices(&fleet, &[], &keys, false));
        assert_eq!(again, Step::default());

        let opened = held.turn_to(&Wanted::devices(&fleet, &keys[..1], &keys[..1], false));
        assert_eq!(opened.subscribe.len(), 1);
        assert_eq!(opened.subscribe[0].0, How::Open);
        let gone = [filter("beaconry/data/d1"), filter("beaconry/register/d1")];
        assert_eq!(opened.unsubscribe, gone);
        assert_eq!(held.how(&filter("beaconry/data/d0")), Some(How::Open));
        assert_eq!(held.how(&gone[0]), None);
    }

    #[test]
    fn a_device_is_asked_for_once_all_its_subscriptions_are_renewed() {
        let (fleet, keys) = fleet_of(3);
        let mut held = Held::default();
        held.turn_to(&Wanted::devices(&fleet, &keys[..1], &keys[..2], false));
        let again = [keys[0], keys[1], keys[0], keys[2]];
        let mut renewal = Renewal::begin(&fleet, &held, again);
        assert_eq!(renewal.granted(&[filter("beaconry/register/d0")]), []);
        let filters = ["beaconry/data/d0", "beaconry/data/d1"].map(filter);
        assert_eq!(renewal.granted(&filters), keys[..1]);
        assert_eq!(renewal.granted(&filters), [], "only once");
        assert_eq!(
            renewal.granted(&[filter("beaconry/register/d1")]),
            keys[1..2]
        );
        assert!(renewal.0.is_empty(), "the third is not subscribed to");
    }

    #[test]
    fn packets_stay_small() {
        let (fleet, keys) = fleet_of(100);
        let step = Held::default().turn_to(&Wanted::devices(&fleet, &[], &keys, false));
        let sizes: Vec<usize> = step.subscribe.iter().map(|(_, all)| all.len()).collect();
        assert_eq!(sizes, [64, 64, 64, 8]);
    }

    #[test]
    fn a_small_fleet_is_followed_whole_and_a_large_one_where_one_looks() {
        let (fleet, keys) = fleet_of(Watched::MOST);
        let chosen = Watched::default().choose(&fleet, &keys[7..9]);
        assert_eq!(chosen.len(), Watched::MOST);
        assert_eq!(chosen[..2], keys[7..9]);

        let (fleet, keys) = fleet_of(1_000);
        let mut watched = Watched::default();
        assert_eq!(watched.choose(&fleet, &keys[..30]), keys[..30]);
        let chosen = watched.choose(&fleet, &keys[100..130]);
        assert_eq!(chosen[..30], keys[100..130]);
        assert_eq!(chosen[30..], keys[..30], "those that were seen lately stay");
        for start in (200..900).step_by(30) {
            let chosen = watched.choose(&fleet, &keys[start..start + 30]);
            assert!(chosen.len() <= Watched::MOST);
            assert_eq!(chosen[..30], keys[start..start + 30]);
        }
    }
}
