//! One signal for each device and view that is on screen, and none for the others.
//!
//! **Invariant.** A device that is not on screen costs the reactive graph nothing, however often it
//! reports.

use std::rc::Rc;
use std::sync::Arc;

use fleet::{Command, DeviceKey};
use leptos::prelude::{ArcReadSignal, ArcRwSignal, Set, WithUntracked};

use super::core::{Changed, Core};
use super::device_map::DeviceMap;
use super::messages::RawMessage;
use super::views::{self, CardView, DeviceView};

/// A view of a device that components can show.
pub(super) trait View: PartialEq + Send + Sync + Sized + 'static {
    /// The view now; `None` for a device that is not known.
    fn look(core: &Core, key: DeviceKey) -> Option<Self>;
    /// Whether the view shows what changed.
    fn concerns(changed: Changed) -> bool;
    fn slots(slots: &mut Slots) -> &mut Kind<Self>;
}

/// The slots of one kind of view.
pub(super) type Kind<T> = DeviceMap<Slot<T>>;

/// One signal, and how many components use it.
pub(super) struct Slot<T: 'static> {
    signal: ArcRwSignal<Option<T>>,
    users: usize,
}

/// A device's commands, newest first.
pub(super) type Commands = Vec<Command>;
/// A device's raw messages, newest first.
pub(super) type Messages = Vec<Arc<RawMessage>>;

#[derive(Default)]
pub(super) struct Slots {
    cards: Kind<CardView>,
    devices: Kind<DeviceView>,
    commands: Kind<Commands>,
    messages: Kind<Messages>,
    watchers: DeviceMap<Vec<Watcher>>,
    next_watcher: u64,
}

/// A closure that is called when there are new readings, and its own number.
type Watcher = (u64, Rc<dyn Fn()>);

/// Something to do once the core is not borrowed any more.
type Update = Box<dyn FnOnce()>;

impl Slots {
    /// The signal of this view. It has one more user now.
    pub(super) fn look<T: View>(
        &mut self,
        core: &Core,
        key: DeviceKey,
    ) -> ArcReadSignal<Option<T>> {
        let slot = T::slots(self).get_or_insert_with(key, || Slot {
            signal: ArcRwSignal::new(T::look(core, key)),
            users: 0,
        });
        slot.users += 1;
        slot.signal.read_only()
    }

    /// The devices whose cards are shown.
    pub(super) fn cards_shown(&self) -> Vec<DeviceKey> {
        self.cards.keys().collect()
    }

    /// The signal of this view has one user less.
    pub(super) fn look_away<T: View>(&mut self, key: DeviceKey) {
        let slots = T::slots(self);
        if let Some(slot) = slots.get_mut(key) {
            slot.users -= 1;
            if slot.users == 0 {
                slots.remove(key);
            }
        }
    }

    /// Calls `call` whenever the device has new readings.
    pub(super) fn watch(&mut self, key: DeviceKey, call: Rc<dyn Fn()>) -> u64 {
        self.next_watcher += 1;
        let watcher = (self.next_watcher, call);
        self.watchers
            .get_or_insert_with(key, Vec::new)
            .push(watcher);
        self.next_watcher
    }

    pub(super) fn unwatch(&mut self, key: DeviceKey, watcher: u64) {
        if let Some(watchers) = self.watchers.get_mut(key) {
            watchers.retain(|(number, _)| *number != watcher);
        }
    }

    /// The updates for the components that show this device.
    pub(super) fn updates(&mut self, core: &Core, key: DeviceKey, changed: Changed) -> Vec<Update> {
        let mut updates = Vec::new();
        self.update::<CardView>(core, key, changed, &mut updates);
        self.update::<DeviceView>(core, key, changed, &mut updates);
        self.update::<Commands>(core, key, changed, &mut updates);
        self.update::<Messages>(core, key, changed, &mut updates);
        if changed.samples {
            for (_, call) in self.watchers.get(key).into_iter().flatten() {
                let call = Rc::clone(call);
                updates.push(Box::new(move || call()));
            }
        }
        updates
    }

    fn update<T: View>(
        &mut self,
        core: &Core,
        key: DeviceKey,
        changed: Changed,
        updates: &mut Vec<Update>,
    ) {
        if T::concerns(changed)
            && let Some(slot) = T::slots(self).get(key)
        {
            let view = T::look(core, key);
            let signal = slot.signal.clone();
            updates.push(Box::new(move || {
                if signal.with_untracked(|old| *old != view) {
                    signal.set(view);
                }
            }));
        }
    }
}

impl View for CardView {
    fn look(core: &Core, key: DeviceKey) -> Option<Self> {
        Some(Self::new(key, core.fleet().device(key)?))
    }

    fn concerns(changed: Changed) -> bool {
        changed.view
    }

    fn slots(slots: &mut Slots) -> &mut Kind<Self> {
        &mut slots.cards
    }
}

impl View for DeviceView {
    fn look(core: &Core, key: DeviceKey) -> Option<Self> {
        Some(Self {
            left_out: core.skipped_of(key),
            ..Self::new(key, core.fleet().device(key)?)
        })
    }

    fn concerns(changed: Changed) -> bool {
        changed.view
    }

    fn slots(slots: &mut Slots) -> &mut Kind<Self> {
        &mut slots.devices
    }
}

impl View for Commands {
    fn look(core: &Core, key: DeviceKey) -> Option<Self> {
        Some(views::commands(core.fleet().device(key)?))
    }

    fn concerns(changed: Changed) -> bool {
        changed.commands
    }

    fn slots(slots: &mut Slots) -> &mut Kind<Self> {
        &mut slots.commands
    }
}

impl View for Messages {
    fn look(core: &Core, key: DeviceKey) -> Option<Self> {
        Some(core.messages(key)?.newest_first().cloned().collect())
    }

    fn concerns(changed: Changed) -> bool {
        changed.messages
    }

    fn slots(slots: &mut Slots) -> &mut Kind<Self> {
        &mut slots.messages
    }
}
