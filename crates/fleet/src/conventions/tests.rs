//! A convention whose devices are described by retained messages, as with Home Assistant's
//! discovery: the topics of their values name no device. It shows that [`Speech`] is enough for it.

use super::*;
use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;

/// `described/{id}` has as its payload the topic of the device's value.
#[derive(Default)]
struct Described {
    devices: Vec<(Box<str>, Box<str>)>,
}

const MAX_DEVICES: usize = 2;

impl Speech for Described {
    const NAME: &'static str = "described";
    const COMMANDS: Option<&'static [&'static str]> = Some(&["TOGGLE"]);

    fn new(_options: &FleetOptions) -> Self {
        Self::default()
    }

    fn read<'a>(&self, topic: &'a str, _payload: &Payload<'a>) -> Option<(Name<'a>, What<'a>)> {
        if let Some(id) = topic.strip_prefix("described/") {
            let what = What::PresenceObject { otherwise: None };
            return Some((Name::new("described", id), what));
        }
        let (id, _) = self.devices.iter().find(|(_, known)| **known == *topic)?;
        let name = Name {
            prefix: "described".into(),
            id: Cow::Owned(String::from(&**id)),
        };
        let values = What::Values {
            stem: "state".into(),
            unit: None,
        };
        Some((name, values))
    }

    fn filters(name: &Name<'_>, filters: &mut Vec<String>) {
        filters.push(["described/", &name.id].concat());
    }

    fn command(
        &self,
        name: &Name<'_>,
        _uuid: &str,
        request: CommandRequest<'_>,
    ) -> Result<Composed, CommandError> {
        let CommandRequest::Named(command) = request else {
            return Err(CommandError::NotSupported);
        };
        let mut devices = self.devices.iter();
        let (_, topic) = devices
            .find(|(id, _)| **id == *name.id)
            .ok_or(CommandError::UnknownDevice)?;
        Ok(Composed {
            name: command.to_owned(),
            topic: [topic, "/set"].concat(),
            payload: command.to_owned(),
            response_topic: topic.clone().into(),
        })
    }

    fn learn(
        &mut self,
        name: &Name<'_>,
        what: &What<'_>,
        payload: &Payload<'_>,
        budget: &mut Budget,
    ) -> Result<bool, Limit> {
        if !matches!(what, What::PresenceObject { .. }) {
            return Ok(false);
        }
        if self.devices.len() >= MAX_DEVICES {
            return Err(Limit::Devices);
        }
        if !budget.charge(payload.text.len()) {
            return Err(Limit::Bytes);
        }
        self.devices.push(((&*name.id).into(), payload.text.into()));
        Ok(true)
    }

    fn forget(&mut self, name: &Name<'_>, budget: &mut Budget) {
        let place = self.devices.iter().position(|(id, _)| **id == *name.id);
        if let Some(place) = place {
            budget.refund(self.devices.swap_remove(place).1.len());
        }
    }
}

fn describe(convention: &mut Described, budget: &mut Budget, id: &str) -> Result<bool, Limit> {
    let (topic, text) = (["described/", id].concat(), ["home/", id].concat());
    let payload = Payload::new(text.as_bytes());
    let (name, what) = convention.read(&topic, &payload).unwrap();
    convention.learn(&name, &what, &payload, budget)
}

#[test]
fn a_description_gives_a_topic_its_device() {
    let (mut convention, mut budget) = (Described::default(), Budget::new(100));
    let value = Payload::new(b"on");
    assert_eq!(convention.read("home/lamp", &value), None);
    assert_eq!(describe(&mut convention, &mut budget, "lamp"), Ok(true));
    let (name, what) = convention.read("home/lamp", &value).unwrap();
    assert_eq!(name, Name::new("described", "lamp"));
    assert!(matches!(what, What::Values { stem, .. } if stem == "state"));
    let toggle = CommandRequest::Named("TOGGLE");
    let command = convention.command(&name, "u", toggle).unwrap();
    assert_eq!(command.topic, "home/lamp/set");
}

#[test]
fn descriptions_are_bounded_and_forgotten() {
    let (mut convention, mut budget) = (Described::default(), Budget::new(100));
    for id in ["lamp", "fan"] {
        assert_eq!(describe(&mut convention, &mut budget, id), Ok(true));
    }
    let more = describe(&mut convention, &mut budget, "heater");
    assert_eq!(more, Err(Limit::Devices));
    for id in ["lamp", "fan"] {
        convention.forget(&Name::new("described", id), &mut budget);
    }
    assert_eq!(budget.used(), 0);
    assert_eq!(convention.read("home/fan", &Payload::new(b"on")), None);
}
