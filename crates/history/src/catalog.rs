//! Names and numbers: which device has which groups, and a group which columns.
//!
//! A column belongs to one group for ever. The metrics that a device says for the first time in one message
//! form a group, because they will come together again.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// A column of a group.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MetricRef {
    /// The group.
    pub group: u32,
    /// The column.
    pub column: u16,
}

/// All names.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    devices: Vec<Device>,
    by_id: HashMap<Box<str>, u32, RandomState>,
    groups: Vec<Option<Group>>,
    series: u64,
    /// About how many bytes all this takes.
    bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: Box<str>,
    pub(crate) groups: Vec<u32>,
    pub(crate) series: u32,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) device: u32,
    pub(crate) columns: Vec<Column>,
    pub(crate) is_events: bool,
}

#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: Box<str>,
    pub(crate) unit: Option<Box<str>>,
}

/// The column of each group of values in which the publisher's client identifier is recorded.
pub const CLIENT: &str = "@client";
/// A device's presence, as JSON of the API.
pub const PRESENCE: &str = "@presence";
/// A device without its values, as JSON of the API.
pub const DEVICE: &str = "@device";
/// Each step of each command, as JSON of the API.
pub const COMMAND: &str = "@command";
/// Each fault, as JSON of the API.
pub const FAULT: &str = "@fault";
/// Degrees north.
pub const LATITUDE: &str = "@lat";
/// Degrees east.
pub const LONGITUDE: &str = "@lng";

/// Whether rows of a group that begins with this column are kept as long as rollups.
fn is_event(name: &str) -> bool {
    matches!(name, PRESENCE | DEVICE | COMMAND | FAULT)
}

/// Whether a metric of a device could have this name. Names of our own begin with `@`; a device's name that does
/// gets a second one.
pub fn stored_name(name: &str) -> std::borrow::Cow<'_, str> {
    if name.starts_with('@') {
        format!("@{name}").into()
    } else {
        name.into()
    }
}

/// The reverse of [`stored_name`]. `None`: it is a column of our own.
pub fn metric_name(stored: &str) -> Option<&str> {
    match stored.strip_prefix('@') {
        None => Some(stored),
        Some(rest) if rest.starts_with('@') => Some(rest),
        Some(_) => None,
    }
}

impl Catalog {
    pub(crate) fn device(&self, id: &str) -> Option<(u32, &Device)> {
        let number = *self.by_id.get(id)?;
        Some((number, self.devices.get(number as usize)?))
    }

    pub(crate) fn device_of(&self, group: u32) -> Option<&Device> {
        self.devices.get(self.group(group)?.device as usize)
    }

    pub(crate) fn devices(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter()
    }

    /// About how many bytes of memory all names take.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// About how many bytes another device takes.
    pub(crate) const fn bytes_of_device(id: &str) -> u64 {
        // The name stands in the list and in the map.
        (2 * id.len() + size_of::<Device>() + size_of::<(Box<str>, u32)>()) as u64
    }

    /// About how many bytes another group takes, without its columns.
    pub(crate) const fn bytes_of_group() -> u64 {
        // Its number stands at the device, and the archive notes a publisher and a segment for it.
        (size_of::<Option<Group>>() + size_of::<u32>() + 2 * size_of::<u64>()) as u64
    }

    /// About how many bytes another column takes.
    pub(crate) const fn bytes_of_column(name: &str) -> u64 {
        (name.len() + size_of::<Column>()) as u64
    }

    /// The device's number. It gets one if it has none.
    pub(crate) fn intern(&mut self, id: &str) -> u32 {
        if let Some(number) = self.by_id.get(id) {
            return *number;
        }
        let number = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        self.devices.push(Device {
            id: id.into(),
            groups: Vec::new(),
            series: 0,
        });
        self.by_id.insert(id.into(), number);
        self.bytes += Self::bytes_of_device(id);
        number
    }

    pub(crate) fn group(&self, group: u32) -> Option<&Group> {
        self.groups.get(group as usize)?.as_ref()
    }

    /// How many groups there are, those that are missing included.
    pub(crate) fn groups(&self) -> u32 {
        u32::try_from(self.groups.len()).unwrap_or(u32::MAX)
    }

    pub(crate) const fn series(&self) -> u64 {
        self.series
    }

    pub(crate) fn find(&self, device: u32, name: &str) -> Option<MetricRef> {
        let groups = &self.devices.get(device as usize)?.groups;
        groups.iter().find_map(|number| {
            let group = self.group(*number)?;
            let column = group.columns.iter().position(|it| *it.name == *name)?;
            Some(MetricRef {
                group: *number,
                column: u16::try_from(column).ok()?,
            })
        })
    }

    pub(crate) fn column(&self, metric: MetricRef) -> Option<&Column> {
        self.group(metric.group)?
            .columns
            .get(usize::from(metric.column))
    }

    /// A new group of a device.
    pub(crate) fn add_group(&mut self, device: u32, names: &[&str]) -> u32 {
        let number = self.groups();
        let is_events = names.first().is_some_and(|name| is_event(name));
        self.groups.push(Some(Group {
            device,
            columns: Vec::new(),
            is_events,
        }));
        if let Some(of) = self.devices.get_mut(device as usize) {
            of.groups.push(number);
        }
        self.bytes += Self::bytes_of_group();
        for name in names {
            self.add_column(number, name);
        }
        number
    }

    fn add_column(&mut self, group: u32, name: &str) {
        let Some(Some(group)) = self.groups.get_mut(group as usize) else {
            return;
        };
        group.columns.push(Column {
            name: name.into(),
            unit: None,
        });
        self.bytes += Self::bytes_of_column(name);
        if metric_name(name).is_some() {
            self.series += 1;
            if let Some(device) = self.devices.get_mut(group.device as usize) {
                device.series += 1;
            }
        }
    }

    /// Sets a metric's unit, if there is room for it below so many bytes. Returns whether it was another one.
    pub(crate) fn set_unit(
        &mut self,
        metric: MetricRef,
        unit: Option<&str>,
        most_bytes: u64,
    ) -> bool {
        let len = |unit: Option<&str>| unit.map_or(0, str::len) as u64;
        let group = self.groups.get_mut(metric.group as usize);
        let columns = group.and_then(Option::as_mut).map(|it| &mut it.columns);
        let column = columns.and_then(|it| it.get_mut(usize::from(metric.column)));
        match column {
            Some(column) if column.unit.as_deref() != unit => {
                let bytes = self.bytes - len(column.unit.as_deref()) + len(unit);
                if bytes > most_bytes {
                    return false;
                }
                self.bytes = bytes;
                column.unit = unit.map(Into::into);
                true
            }
            Some(_) | None => false,
        }
    }

    /// A group as bytes: the device's id, and name and unit of each column.
    pub(crate) fn write(&self, group: u32) -> Option<Vec<u8>> {
        let of = self.group(group)?;
        let id = &self.devices.get(of.device as usize)?.id;
        let mut bytes = Vec::new();
        let mut put = |text: &str| {
            bytes.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
            bytes.extend(text.as_bytes());
        };
        put(id);
        for column in &of.columns {
            put(&column.name);
            put(column.unit.as_deref().unwrap_or_default());
        }
        Some(bytes)
    }

    /// Takes a group from bytes. Returns whether they made sense.
    pub(crate) fn read(&mut self, group: u32, mut bytes: &[u8]) -> bool {
        let mut texts = Vec::new();
        while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*len) as usize;
            let Some((text, rest)) = rest.split_at_checked(len) else {
                return false;
            };
            let Ok(text) = std::str::from_utf8(text) else {
                return false;
            };
            texts.push(text);
            bytes = rest;
        }
        let Some((id, columns)) = texts.split_first() else {
            return false;
        };
        if !bytes.is_empty() || columns.len() % 2 != 0 {
            return false;
        }
        let device = self.intern(id);
        let names: Vec<&str> = columns.iter().step_by(2).copied().collect();
        if self.groups.len() <= group as usize {
            self.groups.resize_with(group as usize + 1, || None);
        }
        self.groups[group as usize] = Some(Group {
            device,
            columns: Vec::with_capacity(names.len()),
            is_events: names.first().is_some_and(|name| is_event(name)),
        });
        self.devices[device as usize].groups.push(group);
        self.bytes += Self::bytes_of_group();
        for (column, name) in (0..).zip(&names) {
            self.add_column(group, name);
            let unit = columns[usize::from(column) * 2 + 1];
            if !unit.is_empty() {
                self.set_unit(MetricRef { group, column }, Some(unit), u64::MAX);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_as_they_were_written() {
        let mut catalog = Catalog::default();
        let device = catalog.intern("plant/pump-1");
        let group = catalog.add_group(device, &["flow", "ü", CLIENT]);
        catalog.set_unit(MetricRef { group, column: 0 }, Some("L/min"), u64::MAX);
        let presence = catalog.add_group(device, &[PRESENCE]);
        let mut read = Catalog::default();
        for group in [presence, group] {
            assert!(read.read(group, &catalog.write(group).unwrap()));
        }
        let (number, of) = read.device("plant/pump-1").unwrap();
        assert_eq!((of.series, read.series(), read.groups()), (2, 2, 2));
        assert_eq!(read.bytes(), catalog.bytes());
        let flow = read.find(number, "flow").unwrap();
        assert_eq!(
            (flow.group, read.column(flow).unwrap().unit.as_deref()),
            (group, Some("L/min"))
        );
        assert!(read.group(presence).unwrap().is_events);
        assert!(!read.group(group).unwrap().is_events);
        for cut in 1..9 {
            let bytes = catalog.write(group).unwrap();
            assert!(
                !Catalog::default().read(0, &bytes[..bytes.len() - cut]),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_devices_names_never_hide_ours() {
        for name in ["temp", "@presence", "@@x", ""] {
            let stored = stored_name(name);
            assert_eq!(metric_name(&stored), Some(name));
        }
        assert_eq!(metric_name(PRESENCE), None);
    }
}
