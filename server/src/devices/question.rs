//! What the API asks the model.

use fleet::{Device, DeviceKey, PresenceKind, Search, Sort, SortPlace, Timestamp};
use tokio::sync::oneshot;

/// Which devices somebody asks for, and in which order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// Words that they have.
    pub(crate) search: Search,
    /// Only devices of this presence.
    pub(crate) state: Option<PresenceKind>,
    /// In which order.
    pub(crate) sort: Sort,
    /// At most so many.
    pub(crate) limit: Option<usize>,
    /// Only those that stand behind this place.
    pub(crate) after: Option<Place>,
    /// Only these, by their full ids or as the fleet finds them. Empty: all.
    pub(crate) ids: Vec<String>,
    /// Hidden devices too, or not, or alone.
    pub(crate) hidden: Hidden,
}

/// What becomes of hidden devices.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hidden {
    #[default]
    LeftOut,
    Alone,
    Included,
}

/// Where a device stands in a list. It names the place even after the device is gone or has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    sort: Sort,
    presence: PresenceKind,
    since: Timestamp,
    id: String,
    prefix: String,
}

/// A question, and where its answer goes. An asker who has gone is no fault.
#[derive(Debug)]
pub(crate) enum Question {
    /// Which devices are there?
    List(Box<Query>, oneshot::Sender<Listed>),
    /// What is known about these? The answer is JSON: the devices with commas between them.
    /// Those that are gone are left out.
    Describe(Vec<DeviceKey>, Detail, oneshot::Sender<Vec<u8>>),
    /// What is known about the device of this id? The answer is JSON.
    One(String, oneshot::Sender<Option<Vec<u8>>>),
    /// Which topics concern the device of this id? The answer is filters: of what it publishes, and of its commands.
    Topics(String, oneshot::Sender<Option<Vec<String>>>),
    /// Hide the device of this id, or show it again. The answer is the device as JSON.
    Hide(String, bool, oneshot::Sender<Option<Vec<u8>>>),
    /// Forget the device of this id. The answer is whether there was one.
    Forget(String, oneshot::Sender<bool>),
}

/// How much is told of a device.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// All but its presences and commands before.
    Now,
    /// All.
    Whole,
}

/// The devices that fit a question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    /// The answer without its devices.
    pub(crate) answer: api::fleet::Devices,
    /// The devices, in the order asked for.
    pub(crate) keys: Vec<DeviceKey>,
}

impl Query {
    /// How much is told: whoever names devices wants to know more about each.
    pub(crate) fn detail(&self) -> Detail {
        if self.ids.is_empty() {
            Detail::Now
        } else {
            Detail::Whole
        }
    }

    /// Whether this device is asked for.
    pub(crate) fn fits(&self, device: &Device) -> bool {
        let is_hidden = device.is_hidden();
        let may_be_shown = match self.hidden {
            Hidden::LeftOut => !is_hidden,
            Hidden::Alone => is_hidden,
            Hidden::Included => true,
        };
        let kind = device.presence().kind();
        may_be_shown && self.state.is_none_or(|state| state == kind) && self.search.finds(device)
    }

    /// Whether this device stands behind the place where the answer begins.
    pub(crate) fn is_behind(&self, device: &Device) -> bool {
        let Some(after) = &self.after else {
            return true;
        };
        let order = self.sort.compare(&after.sorts_as(), &SortPlace::of(device));
        order.is_lt()
    }
}

impl Place {
    /// Where this device stands now.
    pub(crate) fn of(sort: Sort, device: &Device) -> Self {
        Self {
            sort,
            presence: device.presence().kind(),
            since: device.presence().since(),
            id: device.id().to_owned(),
            prefix: device.prefix().to_owned(),
        }
    }

    /// The place as a text for [`Place::parse`].
    pub(crate) fn to_text(&self) -> String {
        let sort = self.sort.word();
        let first = match self.sort {
            Sort::Name => String::new(),
            Sort::Trouble => self.presence.word().to_owned(),
            Sort::Latest => self.since.0.to_string(),
        };
        let (len, prefix, id) = (self.prefix.len(), &self.prefix, &self.id);
        format!("{sort}:{first}:{len}:{prefix}{id}")
    }

    /// Reads a place of a list in this order. `None`: the text is none.
    pub(crate) fn parse(sort: Sort, text: &str) -> Option<Self> {
        let rest = text.strip_prefix(sort.word())?.strip_prefix(':')?;
        let (first, rest) = rest.split_once(':')?;
        let (len, names) = rest.split_once(':')?;
        let (prefix, id) = names.split_at_checked(len.parse().ok()?)?;
        let mut place = Self {
            sort,
            presence: PresenceKind::Online,
            since: Timestamp(0),
            id: id.to_owned(),
            prefix: prefix.to_owned(),
        };
        match sort {
            Sort::Name if first.is_empty() => {}
            Sort::Name => return None,
            Sort::Trouble => place.presence = presence_of(first)?,
            Sort::Latest => place.since = Timestamp(first.parse().ok()?),
        }
        Some(place)
    }

    fn sorts_as(&self) -> SortPlace<'_> {
        SortPlace {
            presence: self.presence,
            since: self.since,
            id: &self.id,
            prefix: &self.prefix,
        }
    }
}

/// The presence of this word.
pub(crate) fn presence_of(word: &str) -> Option<PresenceKind> {
    PresenceKind::ALL.into_iter().find(|it| it.word() == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for sort in Sort::ALL {
            let mut place = Place {
                sort,
                presence: PresenceKind::Online,
                since: Timestamp(0),
                id: "a:b/ü\"".to_owned(),
                prefix: "x:1:".to_owned(),
            };
            match sort {
                Sort::Name => {}
                Sort::Trouble => place.presence = PresenceKind::Stale,
                Sort::Latest => place.since = Timestamp(-5),
            }
            let text = place.to_text();
            assert_eq!(Place::parse(sort, &text), Some(place), "{text}");
        }
    }

    #[test]
    fn a_place_of_another_order_is_none() {
        for text in [
            "",
            "name",
            "name:",
            "name::",
            "name::9:short",
            "name::1:ü",
            "name:online:0:x",
            "name::-1:x",
            "trouble:online:0:x",
        ] {
            assert_eq!(Place::parse(Sort::Name, text), None, "{text}");
        }
        assert_eq!(Place::parse(Sort::Trouble, "trouble:on:0:x"), None);
        assert_eq!(Place::parse(Sort::Latest, "latest:x:0:x"), None);
    }
}
