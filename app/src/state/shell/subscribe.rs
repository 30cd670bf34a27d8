//! Subscriptions to what is shown.

use std::rc::Rc;

use fleet::DeviceKey;
use mqtt::client::{SubscribeId, SubscribeProperties};
use mqtt::packet::RetainHandling;
use mqtt::{Subscription, TopicFilter, Utf8String};

use super::Shell;
use crate::state::copies::FOR_CERTAIN;
use crate::state::interest::{How, Renewal, Wanted};
use crate::state::server::following::Mode;

/// How long changes of what is shown are gathered, in milliseconds: who scrolls passes by a lot.
const GATHER_MS: u32 = 150;

impl Shell {
    /// What is shown may have changed.
    pub(in crate::state) fn subscribe_soon(&self) {
        if !self.gathering.replace(true) {
            self.subscribe_timer.start(GATHER_MS);
        }
    }

    /// Subscribes to what is shown now, and to nothing else.
    pub(in crate::state) fn subscribe(self: &Rc<Self>) {
        self.gathering.set(false);
        let (wanted, chosen) = match self.mode.get() {
            // What is subscribed to stays, until it is known what is better.
            Mode::Deciding => return,
            Mode::Alone => {
                let core = self.core.borrow();
                (Wanted::everything(&self.topics, core.fleet()), Vec::new())
            }
            Mode::Follows => self.wanted_devices(),
        };
        let step = self.held.borrow_mut().turn_to(&wanted);
        let link = self.link.borrow();
        let Some(link) = link.as_ref() else {
            return;
        };
        let mut last = None;
        for (how, filters) in step.subscribe {
            let subscriptions = filters.into_iter().map(|filter| subscription(filter, how));
            match link.subscribe_with(subscriptions.collect(), properties(how)) {
                Ok(id) => last = Some(id),
                Err(error) => self.tell_failure(Some(format!(
                    "The page cannot subscribe to all that it shows: {error}"
                ))),
            }
        }
        if !step.unsubscribe.is_empty()
            && let Err(error) = link.unsubscribe(step.unsubscribe)
        {
            self.tell_failure(Some(format!(
                "The page cannot end its subscriptions: {error}"
            )));
        }
        self.note_granting(last, chosen);
    }

    /// The topics of the devices on screen, and of those that were lately; and these devices.
    fn wanted_devices(&self) -> (Wanted, Vec<DeviceKey>) {
        let core = self.core.borrow();
        let cards = self.slots.borrow().cards_shown();
        let chosen = self.watched.borrow_mut().choose(core.fleet(), &cards);
        let open = core.opened();
        let wanted = Wanted::devices(core.fleet(), &open, &chosen, self.lossy.get());
        (wanted, chosen)
    }

    /// Devices that are newly followed may have sent values before `last` is granted. They are asked for
    /// then.
    fn note_granting(&self, last: Option<SubscribeId>, chosen: Vec<DeviceKey>) {
        let before = self.followed.take();
        let new: Vec<DeviceKey> = chosen
            .iter()
            .copied()
            .filter(|key| !before.contains(key))
            .collect();
        self.followed.replace(chosen);
        match last {
            Some(last) if !new.is_empty() => {
                self.granting.borrow_mut().push((last, new));
            }
            Some(_) | None => {}
        }
    }

    /// The broker has granted a subscription. What devices sent before, only the server knows.
    pub(super) fn handle_granted(self: &Rc<Self>, id: SubscribeId, filters: &[TopicFilter]) {
        let mut devices = Vec::new();
        self.granting.borrow_mut().retain_mut(|(of, keys)| {
            if *of == id {
                devices.append(keys);
            }
            *of != id
        });
        for key in self.renewal.borrow_mut().granted(filters) {
            if !devices.contains(&key) {
                devices.push(key);
            }
        }
        self.owed.borrow_mut().extend(devices);
        self.ask_for_owed();
    }

    /// Asks for what devices sent before their subscriptions were granted, as soon as the page follows
    /// the server. The list of devices may have been made before that, so it does not do.
    pub(super) fn ask_for_owed(self: &Rc<Self>) {
        match self.mode.get() {
            Mode::Deciding => {}
            Mode::Alone => self.owed.borrow_mut().clear(),
            Mode::Follows => {
                let devices = self.owed.take();
                self.ask_for(&devices);
            }
        }
    }

    /// The broker has forgotten the session, and the client renews the subscriptions.
    pub(super) fn note_renewing(&self) {
        let core = self.core.borrow();
        let followed = self.followed.borrow();
        let devices = core.opened().into_iter().chain(followed.iter().copied());
        let renewal = Renewal::begin(core.fleet(), &self.held.borrow(), devices);
        *self.renewal.borrow_mut() = renewal;
    }
}

/// Without Retain As Published, so that the retain flag means “out of the broker's store”.
fn subscription(topic_filter: TopicFilter, how: How) -> Subscription {
    let mut subscription = Subscription::new(topic_filter, how.qos());
    if !how.wants_retained() {
        subscription.retain_handling = RetainHandling::DoNotSend;
    }
    subscription
}

fn properties(how: How) -> SubscribeProperties {
    let mut properties = SubscribeProperties::default();
    if how == How::ForCertain {
        properties.identifier = Some(FOR_CERTAIN);
    }
    if let Some(every) = how.every_ms()
        && let Ok(every) = Utf8String::try_from(every.to_string())
    {
        let name = Utf8String::from_static("beaconry-latest");
        properties.user_properties.push((name, every));
    }
    properties
}
