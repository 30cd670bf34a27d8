//! What a fleet writes down for whoever keeps it.

#![allow(clippy::unwrap_used)]

use fleet::{Fleet, FleetOptions, Message, Recorded, Records, Timestamp};

const NOW: Timestamp = Timestamp(1_795_233_600_000);

fn recording() -> Fleet {
    Fleet::new(FleetOptions {
        records: true,
        ..FleetOptions::default()
    })
}

/// Each row as a text: device, times relative to `NOW`, publisher, position, values.
fn taken(fleet: &mut Fleet) -> Vec<String> {
    let mut records = Records::default();
    fleet.take_records(&mut records);
    let rows = records.rows().map(|row| {
        let device = fleet.device(row.device).unwrap();
        let values = row.values().map(|(metric, value)| {
            let name = device.metric(metric).unwrap().name();
            match value {
                Recorded::Number(value) => format!("{name}={value}"),
                Recorded::Integer(value) => format!("{name}={value}i"),
                Recorded::Bool(value) => format!("{name}={value}"),
                Recorded::Text(text) => format!("{name}={text:?}"),
            }
        });
        format!(
            "{} {}/{} by {:?} at {:?}: {}",
            device.id(),
            row.at.0 - NOW.0,
            row.arrived.0 - NOW.0,
            row.publisher,
            row.position,
            values.collect::<Vec<_>>().join(" ")
        )
    });
    rows.collect()
}

fn say(fleet: &mut Fleet, after: i64, payload: &str) {
    let message = Message {
        publisher: Some("client-7"),
        ..Message::new("beaconry/data/pump-1", payload.as_bytes())
    };
    fleet.handle_message(Timestamp(NOW.0 + after), message);
}

#[test]
fn every_value_of_a_message_is_recorded_with_its_publisher_and_its_exact_digits() {
    let mut fleet = recording();
    say(
        &mut fleet,
        0,
        r#"{"flow":21.53,"on":true,"state":"open","total":9007199254740993,"none":null}"#,
    );
    say(&mut fleet, 1000, r#"{"flow":21.53}"#);
    say(&mut fleet, 2000, r#"{"lat":48.5,"lng":-88.25}"#);
    assert_eq!(
        taken(&mut fleet),
        [
            r#"pump-1 0/0 by Some("client-7") at None: flow=21.53 on=true state="open" total=9007199254740993i"#,
            r#"pump-1 1000/1000 by Some("client-7") at None: flow=21.53"#,
            r#"pump-1 2000/2000 by Some("client-7") at Some((48.5, -88.25)): "#,
        ]
    );
    assert!(taken(&mut fleet).is_empty());
}

#[test]
fn a_backlog_is_recorded_in_its_place_whatever_kind_its_values_have() {
    let mut fleet = recording();
    let at = |seconds: i64| (NOW.0 / 1000) + seconds;
    for seconds in [0, -60, -30] {
        let ts = at(seconds);
        say(
            &mut fleet,
            5,
            &format!(r#"{{"ts":{ts},"flow":1,"on":false,"state":"s{seconds}"}}"#),
        );
    }
    assert_eq!(
        taken(&mut fleet),
        [
            r#"pump-1 0/5 by Some("client-7") at None: flow=1 on=false state="s0""#,
            r#"pump-1 -60000/5 by Some("client-7") at None: flow=1 on=false state="s-60""#,
            r#"pump-1 -30000/5 by Some("client-7") at None: flow=1 on=false state="s-30""#,
        ]
    );
}

#[test]
fn what_was_said_before_and_what_says_nothing_is_not_recorded() {
    let mut fleet = recording();
    let retained = Message::new("beaconry/data/pump-1", br#"{"flow":1}"#).retained_since(NOW);
    fleet.handle_message(NOW, retained);
    fleet.handle_message(NOW, Message::new("beaconry/register/pump-1", b"SIGN_IN"));
    say(&mut fleet, 0, r#"{"flow":null}"#);
    say(&mut fleet, 0, "not JSON {");
    assert_eq!(taken(&mut fleet).join("\n").matches("flow").count(), 0);
    let ts = NOW.0 / 1000;
    for _ in 0..2 {
        say(&mut fleet, 9, &format!(r#"{{"ts":{ts},"flow":2}}"#));
    }
    // The second one is the same reading again.
    assert_eq!(taken(&mut fleet).len(), 1);
}

#[test]
fn a_fleet_that_was_not_asked_to_records_nothing() {
    let mut fleet = Fleet::new(FleetOptions::default());
    say(&mut fleet, 0, r#"{"flow":1}"#);
    assert!(taken(&mut fleet).is_empty());
}

#[test]
fn a_message_that_is_not_to_be_recorded_is_not() {
    let mut fleet = recording();
    let message = Message {
        unrecorded: true,
        ..Message::new("beaconry/data/pump-1", br#"{"flow":1,"lat":1,"lng":2}"#)
    };
    fleet.handle_message(NOW, message);
    assert!(taken(&mut fleet).is_empty());
    assert!(fleet.find("pump-1").is_some());
}
