//! A device, and everything that is known about it.

use crate::clock::ClockWatch;
use crate::command::{Command, KnownCommand};
use crate::conventions::{Convention, Name};
use crate::event::Dirty;
use crate::fault::Fault;
use crate::fleet::Tie;
use crate::limits::Account;
use crate::list::List;
use crate::metric::{self, Metric, MetricGroup, MetricKey};
use crate::options::FleetOptions;
use crate::presence::{History, Presence, PresenceSpan};
use crate::rhythm::{Intervals, Rhythm, wake_grace_ms};
use crate::time::{Timestamp, millis};
use crate::{COMMANDS, TELEMETRY};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The key of a device in one [`crate::Fleet`]. It finds the device as long as the fleet knows it,
/// and nothing afterwards: a device that comes back after it was forgotten has another key.
#[derive(Copy, Clone, Eq, PartialEq, Ord, PartialOrd, Debug, Hash)]
pub struct DeviceKey {
    /// A small number, to be used as an index. No two known devices have the same one, but another
    /// device may get it after this one was forgotten.
    pub place: u32,
    /// Counts the devices in the order in which the fleet met them.
    pub number: u32,
}

/// The places of a device's neighbours in the ring of all devices that have its id. A device that
/// is alone in the ring is its own neighbour.
#[derive(Copy, Clone, Debug)]
pub(crate) struct SameId {
    pub(crate) before: u32,
    pub(crate) after: u32,
}

/// Where a device is.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Position {
    /// Degrees north, -90 to 90.
    pub lat: f64,
    /// Degrees east, -180 to 180.
    pub lng: f64,
    /// When it was there.
    pub at: Timestamp,
}

/// A device.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Its flags do not depend on each other.
pub struct Device {
    pub(crate) prefix: Arc<str>,
    pub(crate) id: Box<str>,
    pub(crate) number: u32,
    pub(crate) convention: Convention,
    /// It has spoken by another convention too.
    pub(crate) mixed: bool,
    /// The convention has learnt from this device, and must be told when it is forgotten.
    pub(crate) learnt: bool,
    /// What the fleet's memory budget was charged for it.
    pub(crate) account: Account,
    /// Its neighbours among the devices with the same id. The index finds only the first of those.
    pub(crate) same_id: SameId,
    /// How many viewers look at it.
    pub(crate) watchers: u32,
    /// The device, its will or its broker has reported its presence.
    pub(crate) registered: bool,
    /// How many live messages it sent.
    pub(crate) heard: u32,
    pub(crate) first_seen: Timestamp,
    pub(crate) last_seen: Option<Timestamp>,
    pub(crate) messages: u64,
    pub(crate) duplicates: u64,
    pub(crate) out_of_order: u64,

    pub(crate) presence: PresenceSpan,
    pub(crate) history: History,
    /// While its presence is unknown: what it was before we lost our connection.
    pub(crate) before_outage: Option<PresenceSpan>,
    pub(crate) intervals: Intervals,
    pub(crate) rhythm: Rhythm,
    /// Whether its silence means something: it has sent values, not only its presence.
    pub(crate) sends_values: bool,
    pub(crate) stale_after_ms: i64,

    pub(crate) metrics: List<Metric, { TELEMETRY as usize }>,
    /// The index at which the metric of the next value is likely to be, because messages repeat
    /// their order.
    pub(crate) next_metric: usize,
    pub(crate) announced_units: List<(Box<str>, Box<str>), { TELEMETRY as usize }>,
    pub(crate) position: Option<Position>,
    /// The hashes of the topics by which position and presence came.
    pub(crate) position_topic: u32,
    pub(crate) presence_topic: u32,
    pub(crate) faults: List<Fault, { TELEMETRY as usize }>,
    pub(crate) commands: List<Command, { COMMANDS as usize }>,
    pub(crate) command_deadline: Option<Timestamp>,
    pub(crate) known_commands: List<api::fleet::KnownCommand, { TELEMETRY as usize }>,
    /// A person has hidden it.
    pub(crate) hidden: bool,
    /// Which client publishes for it.
    pub(crate) tie: Tie,
    /// What its own clock has shown.
    pub(crate) clock: ClockWatch,
    /// Silence before this does not count.
    pub(crate) watched_from: Timestamp,

    /// Fingerprints of the latest messages, by which a repeated one is recognised.
    pub(crate) recent: [u32; 4],
    pub(crate) recent_next: u8,
    pub(crate) dirty: Dirty,
    pub(crate) in_dirty_queue: bool,
    /// Counts what has changed about it.
    pub(crate) revision: u64,
    /// The time of its one valid entry in the fleet's timer heap.
    pub(crate) scheduled: Option<Timestamp>,
}

impl Device {
    /// The id as the device writes it: any text. See [`Device::display_id`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The id as it may be shown, at most 40 characters; `(no id)` for an empty one.
    pub fn display_id(&self) -> String {
        if self.id.is_empty() {
            return String::from("(no id)");
        }
        crate::display::shorten(&self.id, 40)
    }

    /// What stands before the id in its topics (`beaconry`, `sensors/floor3`), or nothing.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Prefix and id joined by a slash, for [`crate::Fleet::find`] and for addresses.
    pub fn full_id(&self) -> String {
        let mut full = String::from(&*self.prefix);
        if !full.is_empty() {
            full.push('/');
        }
        full.push_str(&self.id);
        full
    }

    /// The convention that it follows.
    pub const fn convention(&self) -> Convention {
        self.convention
    }

    /// Whether it is there. Its `since` reaches back over an interruption of our own
    /// connection when nothing that was seen contradicts it.
    pub const fn presence(&self) -> &Presence {
        &self.presence.presence
    }

    /// Whether the presence began at the `since` of [`Device::presence`]. Otherwise it may have
    /// begun earlier.
    pub const fn is_since_exact(&self) -> bool {
        self.presence.exact
    }

    /// What was seen of its presence, oldest first. The last entry is its presence now.
    pub fn history(&self) -> impl DoubleEndedIterator<Item = &PresenceSpan> {
        self.history.iter()
    }

    /// When the first message about it came. A retained one counts.
    pub const fn first_seen(&self) -> Timestamp {
        self.first_seen
    }

    /// When it last sent something itself: retained messages and commands to it do not count.
    pub const fn last_seen(&self) -> Option<Timestamp> {
        self.last_seen
    }

    /// How many messages came from it, retained and repeated ones included.
    pub const fn message_count(&self) -> u64 {
        self.messages
    }

    /// How many messages were ignored because they were repetitions.
    pub const fn duplicate_count(&self) -> u64 {
        self.duplicates
    }

    /// How many values were neither shown nor drawn because a newer one was known.
    pub const fn out_of_order_count(&self) -> u64 {
        self.out_of_order
    }

    /// The median interval between its messages in milliseconds, once three were seen.
    pub fn interval_ms(&self) -> Option<i64> {
        self.intervals.median()
    }

    /// The length of its cycle of waking and sleeping in milliseconds, once two were seen.
    pub fn cycle_ms(&self) -> Option<i64> {
        self.rhythm.period()
    }

    /// All metrics in the order they were first seen; a [`MetricKey`] is an index into this.
    pub fn metrics(&self) -> &[Metric] {
        &self.metrics
    }

    /// One metric.
    pub fn metric(&self, key: MetricKey) -> Option<&Metric> {
        self.metrics.get(usize::from(key.0))
    }

    /// The metric of this name.
    pub fn metric_named(&self, name: &str) -> Option<(MetricKey, &Metric)> {
        let index = self
            .metrics
            .iter()
            .position(|metric| *metric.name == *name)?;
        let key = MetricKey(u16::try_from(index).ok()?);
        Some((key, self.metrics.get(index)?))
    }

    /// Which metrics belong on one chart: those of one unit (°C beside °C), then those of one stem
    /// (`accel.x`, `accel.y`), then the truth values. Each call makes the groups anew. They change
    /// only with [`crate::Event::ShapeChanged`].
    pub fn groups(&self) -> Vec<MetricGroup> {
        metric::groups(&self.metrics)
    }

    /// Where it is.
    pub const fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// What is or was wrong with it: one entry for each kind of fault, in the order in which the
    /// kinds first occurred.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Its commands, newest first.
    pub fn commands(&self) -> impl Iterator<Item = &Command> {
        self.commands.iter().rev()
    }

    /// The command with this uuid.
    pub fn command(&self, uuid: &str) -> Option<&Command> {
        self.commands.iter().find(|command| *command.uuid == *uuid)
    }

    /// Whether commands can be sent to it.
    pub const fn takes_commands(&self) -> bool {
        self.convention.has_commands()
    }

    /// The commands that it is known to understand: first those that every device of its
    /// convention does (`PING`), then those it announced. Nothing when it takes none.
    pub fn known_commands(&self) -> impl Iterator<Item = KnownCommand<'_>> {
        let announced = self.known_commands.iter().map(KnownCommand::new);
        let common = self.convention.common_commands().unwrap_or_default();
        // What the device itself says about a command counts more.
        let common = common.iter().map(move |name| {
            let mut described = announced.clone().filter(|command| command.name == *name);
            described.next().unwrap_or(KnownCommand {
                name,
                destructive: false,
                arguments: &[],
            })
        });
        let announced = self.known_commands.iter().map(KnownCommand::new);
        let names = self.convention.common_commands().unwrap_or_default();
        common.chain(announced.filter(|command| !names.contains(&command.name)))
    }

    /// Another number after each change of what [`crate::Fleet::describe`] says of the device. So
    /// whoever stores descriptions knows which are out of date. It counts from the time when this fleet
    /// met the device, and wraps around.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Whether a person has hidden it: see [`crate::Fleet::hide`].
    pub const fn is_hidden(&self) -> bool {
        self.hidden
    }

    pub(crate) fn name(&self) -> Name<'_> {
        Name::new(&self.prefix, &self.id)
    }

    /// When its presence must be judged again.
    pub(crate) fn presence_deadline(&self, watching_since: Timestamp) -> Option<Timestamp> {
        let watching_since = watching_since.max(self.watched_from);
        match self.presence.presence {
            Presence::Online { .. } => {
                let last = self.last_seen.filter(|_| self.sends_values)?;
                Some(last.max(watching_since).plus_ms(self.stale_after_ms))
            }
            Presence::Unknown { .. } => {
                let was_offline = self.was_offline_before_outage();
                let told = was_offline || (self.sends_values && self.last_seen.is_some());
                told.then(|| watching_since.plus_ms(self.stale_after_ms))
            }
            Presence::Sleeping { wakes_about, .. } => {
                let grace = wake_grace_ms(self.rhythm.period());
                wakes_about.map(|wakes| wakes.max(watching_since).plus_ms(grace))
            }
            Presence::Offline { .. } | Presence::Stale { .. } => None,
        }
    }

    pub(crate) fn was_offline_before_outage(&self) -> bool {
        let before = self.before_outage.as_ref();
        before.is_some_and(|span| matches!(span.presence, Presence::Offline { .. }))
    }

    /// Computes from the gaps seen so far how long a silence is too long.
    pub(crate) fn update_staleness(&mut self, options: &FleetOptions) {
        let rule = &options.stale_after;
        let (interval, floor) = match self.intervals.median() {
            Some(median) => (median, rule.at_least),
            None => (
                self.intervals.longest(),
                rule.while_unknown.max(rule.at_least),
            ),
        };
        let patience = interval.saturating_mul(i64::from(rule.intervals));
        self.stale_after_ms = patience.max(millis(floor));
    }

    /// Remembers this message. Returns whether it has come before.
    pub(crate) fn note_fingerprint(&mut self, fingerprint: u32, marked_duplicate: bool) -> bool {
        if marked_duplicate && self.recent.contains(&fingerprint) {
            return true;
        }
        self.recent[usize::from(self.recent_next)] = fingerprint;
        self.recent_next = (self.recent_next + 1) % 4;
        false
    }

    /// Lets every open command wait for its answer until at least `until`.
    pub(crate) fn extend_commands(&mut self, until: Timestamp) {
        for command in &mut *self.commands {
            if let Some(deadline) = &mut command.deadline {
                *deadline = (*deadline).max(until);
            }
        }
        self.update_command_deadline();
    }

    pub(crate) fn update_command_deadline(&mut self) {
        let open = self
            .commands
            .iter()
            .filter(|command| command.state.is_open());
        self.command_deadline = open.filter_map(|command| command.deadline).min();
    }
}
