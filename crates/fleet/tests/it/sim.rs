//! A fleet in simulated time.

use fleet::{
    Device, DeviceKey, Event, Fleet, FleetOptions, Message, Presence, PresenceKind, Timestamp,
};

/// 2026-11-21T04:00:00Z.
pub(crate) const START: Timestamp = Timestamp(1_795_233_600_000);

/// `seconds` after the start.
#[allow(clippy::cast_possible_truncation)] // Simulations are shorter than 290 million years.
pub(crate) fn at(seconds: f64) -> Timestamp {
    START.plus_ms((seconds * 1000.0).round() as i64)
}

/// A fleet whose timers fire when they want to.
pub(crate) struct Sim {
    pub(crate) fleet: Fleet,
    pub(crate) now: Timestamp,
}

impl Sim {
    pub(crate) fn new() -> Self {
        Self::with(FleetOptions::default())
    }

    pub(crate) fn with(options: FleetOptions) -> Self {
        Self {
            fleet: Fleet::new(options),
            now: START,
        }
    }

    /// Lets time pass, with every timer on time.
    pub(crate) fn until(&mut self, seconds: f64) -> &mut Self {
        self.until_moment(at(seconds))
    }

    pub(crate) fn until_moment(&mut self, end: Timestamp) -> &mut Self {
        while let Some(due) = self.fleet.poll_timeout().filter(|due| *due <= end) {
            self.fleet.handle_timeout(due);
            let next = self.fleet.poll_timeout();
            assert!(
                next.is_none_or(|next| next > due),
                "a timer that does not move on"
            );
        }
        self.now = end;
        self
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> &mut Self {
        self.fleet
            .handle_message(self.now, Message::new(topic, payload.as_ref()));
        self
    }

    pub(crate) fn retained(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> &mut Self {
        let message = Message::new(topic, payload.as_ref()).retained();
        self.fleet.handle_message(self.now, message);
        self
    }

    pub(crate) fn duplicate(&mut self, topic: &str, payload: impl AsRef<[u8]>) -> &mut Self {
        let mut message = Message::new(topic, payload.as_ref());
        message.duplicate = true;
        self.fleet.handle_message(self.now, message);
        self
    }

    pub(crate) fn key(&self, id: &str) -> DeviceKey {
        self.fleet
            .find(id)
            .unwrap_or_else(|| panic!("no device {id:?}"))
    }

    pub(crate) fn device(&self, id: &str) -> &Device {
        self.fleet.device(self.key(id)).unwrap()
    }

    pub(crate) fn presence(&self, id: &str) -> Presence {
        *self.device(id).presence()
    }

    pub(crate) fn kind(&self, id: &str) -> PresenceKind {
        self.presence(id).kind()
    }

    pub(crate) fn number(&self, id: &str, metric: &str) -> f64 {
        let device = self.device(id);
        let names: Vec<_> = device.metrics().iter().map(fleet::Metric::name).collect();
        let (_, found) = device
            .metric_named(metric)
            .unwrap_or_else(|| panic!("no metric {metric:?} in {names:?}"));
        found.value().as_number().expect("a number")
    }

    pub(crate) fn unit(&self, id: &str, metric: &str) -> Option<String> {
        let (_, metric) = self.device(id).metric_named(metric).expect("the metric");
        metric.unit().map(Into::into)
    }

    pub(crate) fn fault_count(&self, id: &str, kind: fleet::FaultKind) -> u64 {
        let faults = self.device(id).faults().iter();
        faults
            .filter(|fault| fault.kind() == kind)
            .map(fleet::Fault::count)
            .sum()
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        core::iter::from_fn(|| self.fleet.poll_event()).collect()
    }

    /// The samples since the last poll: metric name, time and value.
    pub(crate) fn samples(&mut self) -> Vec<(String, Timestamp, f64)> {
        let events = self.events();
        let samples = events.into_iter().filter_map(|event| match event {
            Event::Sample {
                device,
                metric,
                at,
                value,
            } => {
                let device = self.fleet.device(device).unwrap();
                Some((device.metric(metric).unwrap().name().to_owned(), at, value))
            }
            _ => None,
        });
        samples.collect()
    }
}

/// Everything about the fleet that must always hold.
pub(crate) fn assert_consistent(fleet: &Fleet) {
    let mut recount = [0usize; 5];
    assert!(fleet.len() <= fleet.options().max_devices);
    assert_eq!(fleet.devices().count(), fleet.len());
    for (key, device) in fleet.devices() {
        assert_eq!(fleet.device(key).unwrap().full_id(), device.full_id());
        recount[device.presence().kind() as usize] += usize::from(!device.is_hidden());
        let spans: Vec<_> = device.history().collect();
        assert!(!spans.is_empty() && spans.len() <= fleet.options().max_presence_history.max(1));
        assert!(
            spans
                .windows(2)
                .all(|pair| pair[0].presence.since() < pair[1].presence.since())
        );
        assert!(
            spans
                .windows(2)
                .all(|pair| pair[0].presence.kind() != pair[1].presence.kind())
        );
        assert_eq!(
            spans[spans.len() - 1].presence.kind(),
            device.presence().kind()
        );
        assert!(device.metrics().len() <= fleet.options().max_metrics_per_device);
        assert!(device.commands().count() <= fleet.options().max_commands_per_device);
        let found = fleet.find(&device.full_id()).expect("found by its full id");
        assert_eq!(fleet.device(found).unwrap().full_id(), device.full_id());
        for metric in device.metrics() {
            assert!(metric.value().as_number().is_none_or(f64::is_finite));
        }
    }
    for (client, _) in fleet.tied_clients() {
        let mut keys = fleet.devices().map(|(key, _)| fleet.client_of(key));
        assert!(keys.any(|tied| tied == Some(client)), "{client}");
    }
    for kind in PresenceKind::ALL {
        assert_eq!(fleet.counts().of(kind), recount[kind as usize], "{kind:?}");
    }
    let hidden = fleet.devices().filter(|(_, device)| device.is_hidden());
    assert_eq!(fleet.counts().total() + hidden.count(), fleet.len());
    assert!(fleet.memory_used() <= fleet.options().max_bytes);
}
