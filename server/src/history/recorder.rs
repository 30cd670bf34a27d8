//! Turns what the model tells into rows of the archive.

use ::history::{
    Archive, COMMAND, DEVICE, Error, FAULT, LATITUDE, LONGITUDE, MetricRef, PRESENCE, stored_name,
};
use fleet::{DeviceKey, Record};
use series::Value;

use crate::devices::{Named, Recorded, RecordedEvent, What};

/// Records. It knows no thread and no clock.
#[derive(Debug)]
pub(super) struct Recorder {
    archive: Archive,
    devices: Vec<Option<Slot>>,
}

/// A device that was named.
#[derive(Debug)]
struct Slot {
    key: DeviceKey,
    /// Its number in the archive.
    device: u32,
    metrics: Vec<Metric>,
    position: Option<[MetricRef; 2]>,
}

#[derive(Debug)]
enum Metric {
    /// It was named, and no row had it yet.
    Named {
        name: String,
        unit: Option<String>,
    },
    Placed(MetricRef),
}

impl Recorder {
    pub(super) const fn new(archive: Archive) -> Self {
        Self {
            archive,
            devices: Vec::new(),
        }
    }

    pub(super) const fn archive(&self) -> &Archive {
        &self.archive
    }

    pub(super) fn waiting(&self) -> usize {
        self.archive.waiting()
    }

    pub(super) fn commit(&mut self) -> Result<(), Error> {
        self.archive.commit()
    }

    pub(super) fn tidy(&mut self, now: i64) -> Result<bool, Error> {
        self.archive.tidy(now)
    }

    /// Takes what happened.
    pub(super) fn take(&mut self, recorded: Recorded) {
        for named in recorded.names {
            self.name(named);
        }
        for row in recorded.rows.rows() {
            self.row(row);
        }
        for event in recorded.events {
            self.event(event);
        }
    }

    fn name(&mut self, named: Named) {
        let place = named.device.place as usize;
        if self.devices.len() <= place {
            self.devices.resize_with(place + 1, || None);
        }
        let is_same = self.devices[place]
            .as_ref()
            .is_some_and(|it| it.key == named.device);
        if !is_same {
            self.devices[place] = Some(Slot {
                key: named.device,
                device: self.archive.device(&named.id),
                metrics: Vec::new(),
                position: None,
            });
        }
        if let Some(slot) = &mut self.devices[place] {
            slot.metrics.truncate(named.first);
            let metrics = named.metrics.into_iter();
            slot.metrics
                .extend(metrics.map(|(name, unit)| Metric::Named { name, unit }));
        }
    }

    fn row(&mut self, row: Record<'_>) {
        let slot = self.devices.get_mut(row.device.place as usize);
        let Some(slot) = slot
            .and_then(Option::as_mut)
            .filter(|it| it.key == row.device)
        else {
            return;
        };
        let (time, arrived) = (row.at.0, row.arrived.0);
        slot.place_new(&mut self.archive, &row);
        let values = row.values().filter_map(|(metric, value)| {
            let Metric::Placed(metric) = slot.metrics.get(usize::from(metric.0))? else {
                return None;
            };
            Some((*metric, value_of(value)))
        });
        let values: Vec<_> = values.collect();
        if !values.is_empty() {
            self.archive.append(time, arrived, &values, row.publisher);
        }
        if let Some((lat, lng)) = row.position {
            let [latitude, longitude] = *slot.position.get_or_insert_with(|| {
                let found = self.archive.metrics(slot.device, &[LATITUDE, LONGITUDE]);
                [found[0], found[1]]
            });
            let values = [
                (latitude, Value::Number(lat)),
                (longitude, Value::Number(lng)),
            ];
            self.archive.append(time, arrived, &values, None);
        }
    }

    fn event(&mut self, event: RecordedEvent) {
        let device = self.archive.device(&event.id);
        let (column, json) = match event.what {
            // Nothing is known of it from now on.
            What::Gone => (DEVICE, Ok(String::new())),
            What::Presence(presence) => (PRESENCE, serde_json::to_string(&presence)),
            What::Fault(fault) => (FAULT, serde_json::to_string(&fault)),
            What::Command(command) => (COMMAND, serde_json::to_string(&command)),
            What::Device(of) => {
                self.set_units(device, &of);
                (DEVICE, serde_json::to_string(&of))
            }
        };
        // Our types have text for every key, so writing them cannot fail.
        let Ok(json) = json else {
            return;
        };
        let metric = self.archive.metrics(device, &[column])[0];
        let values = [(metric, Value::Text(&json))];
        self.archive.append(event.time, event.time, &values, None);
    }

    fn set_units(&mut self, device: u32, of: &api::fleet::Device) {
        for metric in &of.metrics {
            let known = self.archive.find(device, &stored_name(&metric.name));
            if let Some(known) = known {
                self.archive.set_unit(known, metric.unit.as_deref());
            }
        }
    }
}

impl Slot {
    /// The metrics of a row that had no place yet get one together: they will come together again.
    fn place_new(&mut self, archive: &mut Archive, row: &Record<'_>) {
        let of_row = row.values().map(|(metric, _)| usize::from(metric.0));
        let new: Vec<usize> = of_row
            .filter(|at| matches!(self.metrics.get(*at), Some(Metric::Named { .. })))
            .collect();
        if new.is_empty() {
            return;
        }
        let names: Vec<_> = new
            .iter()
            .filter_map(|at| match &self.metrics[*at] {
                Metric::Named { name, .. } => Some(stored_name(name).into_owned()),
                Metric::Placed(_) => None,
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let placed = archive.metrics(self.device, &names);
        for (at, place) in new.into_iter().zip(placed) {
            let before = std::mem::replace(&mut self.metrics[at], Metric::Placed(place));
            if let Metric::Named { unit, .. } = before {
                archive.set_unit(place, unit.as_deref());
            }
        }
    }
}

const fn value_of(value: fleet::Recorded<'_>) -> Value<'_> {
    match value {
        fleet::Recorded::Number(number) => Value::Number(number),
        fleet::Recorded::Integer(integer) => Value::Integer(integer),
        fleet::Recorded::Bool(value) => Value::Bool(value),
        fleet::Recorded::Text(text) => Value::Text(text),
    }
}
