//! The four-topic convention, message by message.

use crate::sim::{Sim, assert_consistent, at};
use fleet::{
    CommandRequest, Event, FaultKind, FleetOptions, OfflineReason, Position, PrefixRule, Presence,
    PresenceKind, Value,
};

const DATA: &str =
    r#"{"deviceId":"sim-1","messageType":"DATA","temp":23.6,"lat":48.015722,"lng":-88.625528}"#;

#[test]
fn a_device_signs_in_sends_and_signs_out() {
    let mut sim = Sim::new();
    sim.publish("mqtt/blog/examples/register/sim-1", "SIGN_IN");
    assert_eq!(sim.presence("sim-1"), Presence::Online { since: at(0.0) });
    assert!(sim.device("sim-1").is_since_exact());

    sim.until(2.0)
        .publish("mqtt/blog/examples/data/sim-1", DATA);
    let device = sim.device("sim-1");
    assert_eq!(device.convention().name(), "four topics");
    assert_eq!(device.prefix(), "mqtt/blog/examples");
    assert_eq!(device.full_id(), "mqtt/blog/examples/sim-1");
    let position = Position {
        lat: 48.015_722,
        lng: -88.625_528,
        at: at(2.0),
    };
    assert_eq!(device.position(), Some(&position));
    // What is about the message is no metric.
    let names: Vec<_> = device.metrics().iter().map(fleet::Metric::name).collect();
    assert_eq!(names, ["temp"]);
    assert_eq!(sim.unit("sim-1", "temp").as_deref(), Some("°C"));

    sim.until(3.0)
        .publish("mqtt/blog/examples/register/sim-1", "SIGN_OUT");
    let offline = Presence::Offline {
        since: at(3.0),
        reason: OfflineReason::SaidSo,
    };
    assert_eq!(sim.presence("sim-1"), offline);
    assert_eq!(sim.fleet.counts().offline(), 1);
    assert_consistent(&sim.fleet);
}

#[test]
fn any_prefix_and_any_case_will_do() {
    let mut sim = Sim::new();
    sim.publish("register/a", "sign_in");
    sim.publish("x/register/b", " Sign_In\n");
    sim.publish("x/y/z/w/register/c", "SIGN_IN\0");
    sim.publish("/lead/register/d", "SIGN_IN");
    sim.publish(
        "json/register/e",
        r#"{"deviceId":"e","messageType":"SIGN_IN"}"#,
    );
    for id in ["a", "b", "c", "d", "e", "x/b", "x/y/z/w/c", "/lead/d"] {
        assert_eq!(sim.kind(id), PresenceKind::Online, "{id}");
    }
    assert_eq!(sim.fleet.len(), 5);
}

#[test]
fn the_same_id_under_two_prefixes_is_two_devices() {
    let mut sim = Sim::new();
    sim.publish("site1/register/gateway", "SIGN_IN");
    sim.publish("site2/register/gateway", "SIGN_OUT");
    assert_eq!(sim.fleet.len(), 2);
    assert_eq!(sim.kind("site1/gateway"), PresenceKind::Online);
    assert_eq!(sim.kind("site2/gateway"), PresenceKind::Offline);
    assert_eq!(
        sim.key("gateway"),
        sim.key("site1/gateway"),
        "the first seen"
    );
}

#[test]
fn prefixes_can_be_fixed() {
    let prefixes = PrefixRule::Only(vec!["ours".into()]);
    let mut sim = Sim::with(FleetOptions {
        prefixes,
        ..FleetOptions::default()
    });
    sim.publish("ours/data/a", "garbage");
    sim.publish("theirs/data/b", r#"{"temp":1}"#);
    assert_eq!(sim.device("a").convention().name(), "four topics");
    assert_eq!(sim.fault_count("a", FaultKind::NotJson), 1);
    assert_eq!(
        sim.device("theirs/data/b").convention().name(),
        "plain topics"
    );
}

#[test]
fn data_alone_means_alive() {
    let mut sim = Sim::new();
    sim.publish("p/data/a", r#"{"temp":1}"#);
    assert_eq!(sim.kind("a"), PresenceKind::Online);
    assert!(
        !sim.device("a").is_since_exact(),
        "it may have been there before"
    );
    sim.until(1.0).publish("p/register/a", "SIGN_OUT");
    sim.until(2.0).publish("p/data/a", r#"{"temp":2}"#);
    assert_eq!(sim.presence("a"), Presence::Online { since: at(2.0) });
}

#[test]
fn retained_messages_say_what_is_and_not_since_when() {
    let mut sim = Sim::new();
    sim.retained("p/register/a", "SIGN_IN")
        .retained("p/register/b", "SIGN_OUT");
    sim.retained("p/data/c", r#"{"messageType":"DATA","temp":5}"#);
    assert_eq!(sim.kind("a"), PresenceKind::Online);
    assert_eq!(sim.kind("b"), PresenceKind::Offline);
    assert_eq!(
        sim.kind("c"),
        PresenceKind::Unknown,
        "old data is no sign of life"
    );
    for id in ["a", "b", "c"] {
        assert!(!sim.device(id).is_since_exact());
        assert_eq!(sim.device(id).last_seen(), None);
    }
    assert!(
        (sim.number("c", "temp") - 5.0).abs() < 1e-12,
        "but it is shown"
    );
    let (_, temp) = sim.device("c").metric_named("temp").unwrap();
    assert!(temp.is_retained());
    assert_eq!(sim.samples(), [], "and not drawn");
    // A deleted retained message makes no device, and takes one away that had nothing else.
    sim.retained("p/register/a", "")
        .retained("p/register/z", "");
    assert_eq!(sim.fleet.find("a"), None);
    assert_eq!(sim.fleet.find("z"), None);
}

#[test]
fn what_cannot_be_read_is_a_fault_of_its_device() {
    let mut sim = Sim::new();
    sim.publish("beaconry/data/bad", "this is not JSON");
    sim.until(1.0)
        .publish("beaconry/data/bad", r#"{"temp":23.6,"#);
    sim.publish("beaconry/data/bad", [0xff, 0xfe, 0x00]);
    sim.publish("beaconry/register/bad", "HELLO");
    sim.publish("beaconry/register/bad", r#"{"hello":1}"#);
    sim.publish("beaconry/cmd/resp/bad", "PONG");
    sim.publish("beaconry/cmd/resp/bad", "{broken");
    assert_eq!(sim.fleet.len(), 1);
    assert_eq!(sim.fault_count("bad", FaultKind::NotJson), 4);
    assert_eq!(sim.fault_count("bad", FaultKind::NotText), 1);
    assert_eq!(sim.fault_count("bad", FaultKind::UnknownPresence), 2);
    let fault = &sim.device("bad").faults()[0];
    assert_eq!((fault.first_at(), fault.last_at()), (at(0.0), at(1.0)));
    assert_eq!(fault.excerpt(), r#"{"temp":23.6,"#);
    assert_eq!(
        sim.device("bad").metrics().len(),
        0,
        "half a message is none"
    );
    assert_eq!(sim.kind("bad"), PresenceKind::Online, "but it is alive");
    let key = sim.key("bad");
    let fault = Event::Fault {
        device: key,
        kind: FaultKind::NotJson,
    };
    assert_eq!(
        sim.events()
            .into_iter()
            .filter(|event| *event == fault)
            .count(),
        1
    );
    // The next good message works.
    sim.publish("beaconry/data/bad", DATA);
    assert!((sim.number("bad", "temp") - 23.6).abs() < 1e-12);
    assert_eq!(
        sim.fault_count("bad", FaultKind::IdMismatch),
        1,
        "DATA is signed sim-1"
    );
}

#[test]
fn a_device_announces_its_commands_and_units() {
    let mut sim = Sim::new();
    sim.publish("p/register/pump", "SIGN_IN");
    let known = |sim: &Sim| {
        sim.device("pump")
            .known_commands()
            .map(|known| String::from(known.name))
            .collect::<Vec<_>>()
    };
    assert_eq!(known(&sim), ["PING"]);
    sim.retained(
        "p/data/pump",
        r#"{"deviceId":"pump","messageType":"ANNOUNCE","commands":["SET_INTERVAL","PING",
            {"command":"SWITCH","states":["on","off"]},{"name":"REBOOT"}],
            "units":{"flow":"L/min","line.p":"bar"}}"#,
    );
    assert_eq!(known(&sim), ["PING", "SET_INTERVAL", "SWITCH", "REBOOT"]);
    assert_eq!(
        sim.device("pump").metrics().len(),
        0,
        "an announcement is no reading"
    );
    let key = sim.key("pump");
    assert!(sim.events().contains(&Event::ShapeChanged(key)));

    sim.publish("p/data/pump", r#"{"flow":2.5,"line":{"p":3}}"#);
    assert_eq!(sim.unit("pump", "flow").as_deref(), Some("L/min"));
    assert_eq!(sim.unit("pump", "line.p").as_deref(), Some("bar"));
    // A later list replaces it; units follow metrics that are known already.
    sim.publish(
        "p/data/pump",
        r#"{"commands":["STOP"],"units":{"flow":"m³/h"}}"#,
    );
    assert_eq!(known(&sim), ["PING", "STOP"]);
    assert_eq!(sim.unit("pump", "flow").as_deref(), Some("m³/h"));
    // The same again is no change.
    sim.events();
    sim.publish(
        "p/data/pump",
        r#"{"commands":["STOP"],"units":{"flow":"m³/h"}}"#,
    );
    assert!(!sim.events().contains(&Event::ShapeChanged(key)));
    // Also when it signs in.
    sim.publish(
        "p/register/pump",
        r#"{"messageType":"SIGN_IN","commands":["GO"]}"#,
    );
    assert_eq!(known(&sim), ["PING", "GO"]);
}

#[test]
fn all_kinds_of_values_are_kept_and_those_that_can_be_are_drawn() {
    let mut sim = Sim::new();
    sim.publish(
        "p/data/a",
        r#"{"n":-1.5e2,"on":true,"off":false,"mode":"auto","none":null,"deep":{"a":{"b":7}},"list":[1,2]}"#,
    );
    let drawn: Vec<_> = sim
        .samples()
        .into_iter()
        .map(|(name, _, value)| (name, value))
        .collect();
    let expected = [
        ("n", -150.0),
        ("on", 1.0),
        ("off", 0.0),
        ("deep.a.b", 7.0),
        ("list.0", 1.0),
        ("list.1", 2.0),
    ];
    assert_eq!(
        drawn,
        expected.map(|(name, value)| (name.to_owned(), value))
    );
    let (_, mode) = sim.device("a").metric_named("mode").unwrap();
    assert_eq!(mode.value(), &Value::Text("auto".into()));
    assert!(sim.device("a").metric_named("none").is_none());
}

#[test]
fn a_command_to_nobody_makes_no_device() {
    let mut sim = Sim::new();
    sim.publish("p/cmd/req/ghost", r#"{"uuid":"1","command":"PING"}"#);
    assert_eq!(sim.fleet.len(), 0);
    let request = CommandRequest::Named("PING");
    let nobody = fleet::DeviceKey {
        place: 3,
        number: 3,
    };
    let unknown = sim.fleet.command(at(0.0), nobody, "u", request);
    assert_eq!(unknown, Err(fleet::CommandError::UnknownDevice));
}

#[test]
fn topics_of_commands_and_of_all_devices_under_a_prefix_are_told() {
    let mut sim = Sim::new();
    sim.publish("site/a/register/pump", "SIGN_IN");
    sim.publish("shed/door", "open");
    let pump = sim.device("pump");
    assert_eq!(
        pump.command_filters(),
        ["site/a/cmd/req/pump", "site/a/cmd/resp/pump"]
    );
    assert_eq!(
        pump.shared_filters(),
        ["site/a/register/+", "site/a/cmd/req/+", "site/a/cmd/resp/+"]
    );
    let shed = sim.device("shed");
    assert!(shed.command_filters().is_empty() && shed.shared_filters().is_empty());
}
