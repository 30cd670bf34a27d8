//! What the model hands to the recorder: rows as they came, and what became of the devices.

use api::fleet as wire;
use fleet::{DeviceKey, Fleet, MetricKey, Records};

/// What happened since the last time, for the recorder.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    /// Devices and metrics that the rows name and that were not named before. They come before the rows.
    pub(crate) names: Vec<Named>,
    /// What the messages said.
    pub(crate) rows: Records,
    /// What became of devices, in order.
    pub(crate) events: Vec<Event>,
}

/// A device, and its metrics from one on.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) device: DeviceKey,
    pub(crate) id: String,
    /// The number of the first metric here.
    pub(crate) first: usize,
    /// Name and unit of each.
    pub(crate) metrics: Vec<(String, Option<String>)>,
}

/// Something became of a device.
#[derive(Debug)]
pub(crate) struct Event {
    /// The device's id.
    pub(crate) id: String,
    /// When, in milliseconds since 1970.
    pub(crate) time: i64,
    pub(crate) what: What,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum What {
    Presence(wire::Presence),
    Fault(Box<wire::Fault>),
    Command(Box<wire::Command>),
    /// Its description, without what the rows and the other events tell.
    Device(Box<wire::Device>),
    /// It was forgotten.
    Gone,
}

impl Recorded {
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.events.is_empty()
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let names: usize = self.names.iter().map(Named::bytes).sum();
        let events: usize = self.events.iter().map(Event::bytes).sum();
        self.rows.bytes() + names + events
    }
}

impl Named {
    fn bytes(&self) -> usize {
        let metric = |(name, unit): &(String, Option<String>)| {
            size_of::<(String, Option<String>)>()
                + name.len()
                + unit.as_ref().map_or(0, String::len)
        };
        size_of::<Self>() + self.id.len() + self.metrics.iter().map(metric).sum::<usize>()
    }
}

impl Event {
    fn bytes(&self) -> usize {
        let what = match &self.what {
            What::Presence(_) | What::Gone => 0,
            What::Fault(fault) => size_of::<wire::Fault>() + fault.text.len() + fault.excerpt.len(),
            What::Command(_) => TEXTS + size_of::<wire::Command>(),
            What::Device(device) => {
                TEXTS
                    + size_of::<wire::Device>()
                    + device.metrics.len() * (64 + size_of::<wire::Metric>())
            }
        };
        size_of::<Self>() + self.id.len() + what
    }
}

/// About how long the texts of a command or of a device are together.
const TEXTS: usize = 512;

/// What the recorder was told.
#[derive(Debug, Default)]
pub(super) struct Recording {
    is_on: bool,
    known: Vec<Known>,
    events: Vec<Event>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The device that has this place, plus one. 0: none has.
    number: u64,
    /// How many of its metrics were named.
    metrics: usize,
    /// Since when the presence is that was told last.
    presence: Option<i64>,
}

impl Recording {
    /// The presences that the devices have now count as told.
    pub(super) fn turn_on(&mut self, fleet: &Fleet) {
        self.is_on = true;
        for (key, _) in fleet.devices() {
            let now = fleet.describe_presence(key).map(|it| it.since.0);
            self.known(key).presence = now;
        }
    }

    fn known(&mut self, key: DeviceKey) -> &mut Known {
        let place = key.place as usize;
        if self.known.len() <= place {
            self.known.resize(place + 1, Known::default());
        }
        let known = &mut self.known[place];
        if known.number != u64::from(key.number) + 1 {
            *known = Known {
                number: u64::from(key.number) + 1,
                ..Known::default()
            };
        }
        known
    }

    /// A device's presence has changed, perhaps several times.
    pub(super) fn presence(&mut self, fleet: &Fleet, key: DeviceKey) {
        if !self.is_on {
            return;
        }
        let Some(device) = fleet.device(key) else {
            return;
        };
        let told = self.known(key).presence;
        let history = fleet.describe_history(key);
        let new = history
            .into_iter()
            .filter(|span| told.is_none_or(|told| span.since.0 > told));
        let id = device.full_id();
        let mut latest = told;
        for presence in new {
            latest = Some(presence.since.0);
            self.events.push(Event {
                id: id.clone(),
                time: presence.since.0,
                what: What::Presence(presence),
            });
        }
        self.known(key).presence = latest;
    }

    /// A device's description has changed.
    pub(super) fn device(&mut self, device: &wire::Device, now: i64) {
        if !self.is_on {
            return;
        }
        let metrics = device.metrics.iter().map(|metric| wire::Metric {
            value: None,
            exact: None,
            ..metric.clone()
        });
        self.push(
            &device.id,
            now,
            What::Device(Box::new(wire::Device {
                metrics: metrics.collect(),
                faults: Vec::new(),
                history: Vec::new(),
                commands: Vec::new(),
                ..device.clone()
            })),
        );
    }

    pub(super) fn push(&mut self, id: &str, time: i64, what: What) {
        if self.is_on {
            self.events.push(Event {
                id: id.to_owned(),
                time,
                what,
            });
        }
    }

    /// Takes what is to be recorded.
    pub(super) fn take(&mut self, fleet: &mut Fleet) -> Recorded {
        let mut recorded = Recorded::default();
        if !self.is_on {
            return recorded;
        }
        fleet.take_records(&mut recorded.rows);
        recorded.events = std::mem::take(&mut self.events);
        for row in recorded.rows.rows() {
            let known = self.known(row.device);
            let most = row
                .values()
                .map(|(metric, _)| usize::from(metric.0) + 1)
                .max();
            let is_new = known.metrics == 0 && row.position.is_some();
            let wanted = most.unwrap_or(0);
            if wanted <= known.metrics && !is_new {
                continue;
            }
            let Some(device) = fleet.device(row.device) else {
                continue;
            };
            let first = known.metrics;
            let metrics = (first..wanted).filter_map(|metric| {
                let metric = device.metric(MetricKey(u16::try_from(metric).ok()?))?;
                Some((metric.name().to_owned(), metric.unit().map(str::to_owned)))
            });
            let metrics: Vec<_> = metrics.collect();
            known.metrics = first + metrics.len();
            recorded.names.push(Named {
                device: row.device,
                id: device.full_id(),
                first,
                metrics,
            });
        }
        recorded
    }
}
