//! `beaconry-latest`: a SUBSCRIBE that asks for no more than the newest value of each topic.

use mqtt::{QoS, ReasonCode, Subscription, Utf8String};

use crate::types::{Interval, LATEST_PROPERTY, Refusal};

/// The interval that the user properties of a SUBSCRIBE ask for. `None`: they ask for every
/// message.
pub(crate) fn latest_asked(
    user_properties: &[(Utf8String, Utf8String)],
) -> Result<Option<Interval>, Refusal> {
    let mut asked = user_properties
        .iter()
        .filter(|(name, _)| **name == *LATEST_PROPERTY);
    let Some((_, value)) = asked.next() else {
        return Ok(None);
    };
    if asked.next().is_some() {
        return Err(refused("beaconry-latest may be there only once"));
    }
    let millis = value.parse().ok();
    let interval = millis.and_then(Interval::from_millis);
    interval.map(Some).ok_or_else(|| {
        refused("beaconry-latest must be a whole number of milliseconds from 10 to 60000")
    })
}

/// Checks that a subscription may be one to the newest values.
pub(crate) fn check_latest(subscription: &Subscription) -> Result<(), Refusal> {
    match subscription.topic_filter.shared() {
        Some(_) => Err(refused(
            "beaconry-latest does not go with a shared subscription: its members share every message",
        )),
        None => Ok(()),
    }
}

/// The subscriptions as they are granted: newest values have `QoS` 0.
pub(crate) fn as_latest(subscriptions: &[Subscription]) -> Vec<Subscription> {
    let at_most_once = |subscription: &Subscription| Subscription {
        qos: QoS::AtMostOnce,
        ..subscription.clone()
    };
    subscriptions.iter().map(at_most_once).collect()
}

/// SUBACK's "implementation specific error" means that the SUBSCRIBE is valid and the server does
/// not accept it (table 3-8).
const fn refused(what: &'static str) -> Refusal {
    Refusal {
        reason_code: ReasonCode::ImplementationSpecificError,
        what,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(values: &[&str]) -> Result<Option<u16>, ReasonCode> {
        let text = |text| Utf8String::try_from(text).unwrap();
        let mut properties = vec![(text("other"), text("x"))];
        properties.extend(values.iter().map(|it| (text(LATEST_PROPERTY), text(it))));
        latest_asked(&properties)
            .map(|it| it.map(Interval::millis))
            .map_err(|it| it.reason_code)
    }

    #[test]
    fn an_interval_is_a_number_of_milliseconds_within_bounds() {
        assert_eq!(asked(&[]), Ok(None));
        for (value, millis) in [("10", 10), ("200", 200), ("60000", 60_000), ("0200", 200)] {
            assert_eq!(asked(&[value]), Ok(Some(millis)));
        }
        for value in [
            "",
            "9",
            "0",
            "-1",
            "60001",
            "65546",
            "1e3",
            "200 ms",
            "0.2",
            "99999999999999999999",
        ] {
            let refused = Err(ReasonCode::ImplementationSpecificError);
            assert_eq!(asked(&[value]), refused, "{value:?}");
        }
        assert!(asked(&["200", "200"]).is_err());
    }
}
