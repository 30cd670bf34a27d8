//! Numbers in quotes, units that are known, numbers that no float can hold, and announced commands.

use crate::sim::{Sim, assert_consistent};
use fleet::{Event, Value};

fn value(sim: &Sim, id: &str, metric: &str) -> Value {
    let (_, metric) = sim.device(id).metric_named(metric).unwrap();
    metric.value().clone()
}

#[test]
fn numbers_in_quotes_are_numbers() {
    for (text, number, unit) in [
        ("52.5", 52.5, None),
        ("-3", -3.0, None),
        ("0", 0.0, None),
        ("0.5", 0.5, None),
        ("21.5 C", 21.5, Some("°C")),
        ("21.5 °C", 21.5, Some("°C")),
        ("45%", 45.0, Some("%")),
        ("21,5", 21.5, None),
        ("21,5 °C", 21.5, Some("°C")),
        ("1013,2500", 1013.25, None),
    ] {
        let mut sim = Sim::new();
        sim.publish("beaconry/data/a", format!(r#"{{"x":"{text}"}}"#))
            .publish("room/x", format!("\"{text}\""))
            .publish("hall/x", text);
        for id in ["a", "room", "hall"] {
            assert!((sim.number(id, "x") - number).abs() < 1e-9, "{id} {text}");
            assert_eq!(sim.unit(id, "x").as_deref(), unit, "{id} {text}");
        }
        assert_eq!(sim.samples().len(), 3, "{text}");
    }
}

#[test]
fn what_only_looks_like_a_number_stays_text() {
    for text in [
        "007",
        "1,234",
        "1.2.3",
        "12e4",
        "5 doors",
        "ON",
        "",
        "-",
        "1234567890123456",
        ",",
    ] {
        let mut sim = Sim::new();
        sim.publish("beaconry/data/a", format!(r#"{{"x":"{text}"}}"#));
        assert_eq!(value(&sim, "a", "x"), Value::Text(text.into()), "{text}");
    }
    let mut sim = Sim::new();
    sim.publish(
        "beaconry/data/a",
        r#"{"fw_version":"2.10","serialNumber":"4711","x":"2.10"}"#,
    );
    assert_eq!(value(&sim, "a", "fw_version"), Value::Text("2.10".into()));
    assert_eq!(value(&sim, "a", "serialNumber"), Value::Text("4711".into()));
    assert_eq!(value(&sim, "a", "x"), Value::Number(2.1));
    // A position in quotes is a position.
    sim.publish("beaconry/data/a", r#"{"lat":"48.5","lng":"-9.25"}"#);
    let position = sim.device("a").position().unwrap();
    assert!((position.lat - 48.5).abs() < 1e-9 && (position.lng + 9.25).abs() < 1e-9);
}

#[test]
fn a_unit_is_shown_only_where_it_is_known() {
    let mut sim = Sim::new();
    sim.publish(
        "beaconry/data/a",
        r#"{"color_temp":370,"battery_ok":1,"Wifi":{"RSSI":74,"Signal":-63},"rain-m":2,"temp":21.5,"battery":87,"humidity":45}"#,
    );
    for name in [
        "color_temp",
        "battery_ok",
        "Wifi.RSSI",
        "Wifi.Signal",
        "rain-m",
    ] {
        assert_eq!(sim.unit("a", name), None, "{name}");
    }
    assert_eq!(sim.unit("a", "temp").as_deref(), Some("°C"));
    assert_eq!(sim.unit("a", "battery").as_deref(), Some("%"));
    assert_eq!(sim.unit("a", "humidity").as_deref(), Some("%"));
    sim.publish(
        "beaconry/data/b",
        r#"{"rssi":-63,"temp":370,"battery":2985}"#,
    );
    assert_eq!(sim.unit("b", "rssi").as_deref(), Some("dBm"));
    assert_eq!(sim.unit("b", "temp"), None);
    assert_eq!(sim.unit("b", "battery"), None);
    // A later value may show that the unit was wrong.
    sim.events();
    let key = sim.key("a");
    sim.publish("beaconry/data/a", r#"{"battery":3012}"#);
    assert_eq!(sim.unit("a", "battery"), None);
    assert!(sim.events().contains(&Event::ShapeChanged(key)));
    // What the device announces counts.
    sim.publish("beaconry/data/a", r#"{"units":{"battery":"mV"}}"#);
    assert_eq!(sim.unit("a", "battery").as_deref(), Some("mV"));
}

#[test]
fn numbers_that_no_float_can_hold_keep_their_text() {
    let mut sim = Sim::new();
    for (text, long) in [
        ("9007199254740993", true),
        ("9007199254740992", false),
        ("18446744073709551615", true),
        ("-1234567890123456789", true),
        ("12345.678", false),
        ("23.600000000000001", false),
        ("3.14159265358979323846", true),
        ("1e300", false),
    ] {
        sim.publish("beaconry/data/a", format!(r#"{{"n":{text}}}"#))
            .publish("room/n", text);
        for id in ["a", "room"] {
            let (_, metric) = sim.device(id).metric_named("n").unwrap();
            assert_eq!(metric.exact(), long.then_some(text), "{id} {text}");
            let described = sim.fleet.describe(sim.key(id)).unwrap();
            assert_eq!(described.metrics[0].exact.as_deref(), metric.exact());
        }
    }
    // Two that differ only behind what a float holds are two.
    sim.publish("beaconry/data/b", r#"{"n":9007199254740993}"#);
    sim.publish("beaconry/data/b", r#"{"n":9007199254740992}"#);
    let (_, metric) = sim.device("b").metric_named("n").unwrap();
    assert_eq!(metric.exact(), None);
    sim.publish("beaconry/data/c", format!(r#"{{"n":{}}}"#, "7".repeat(65)));
    let (_, metric) = sim.device("c").metric_named("n").unwrap();
    assert_eq!(metric.exact(), None, "nobody reads so many digits");
    for id in ["a", "b", "c", "room"] {
        sim.fleet.forget(sim.key(id));
    }
    assert_eq!(sim.fleet.memory_used(), 0);
}

#[test]
fn commands_are_announced_with_their_arguments() {
    let mut sim = Sim::new();
    sim.retained(
        "beaconry/data/a",
        r#"{"messageType":"ANNOUNCE","commands":[
            "PING",
            {"name":"REBOOT","destructive":true},
            {"command":"SET_TARGET","arguments":[
                {"name":"celsius","type":"number","unit":"°C","min":-25,"max":-15,"default":-18},
                {"name":"fast","type":"boolean","default":false},
                {"type":"string"}]},
            {"name":"MODE","arguments":["mode",{"name":"steps","type":"integer","least":1,"most":9,"default":"x"}]},
            {"destructive":true}
        ]}"#,
    );
    let known: Vec<_> = sim.device("a").known_commands().collect();
    let names: Vec<_> = known.iter().map(|known| known.name).collect();
    assert_eq!(names, ["PING", "REBOOT", "SET_TARGET", "MODE"]);
    let destructive: Vec<_> = known.iter().map(|known| known.destructive).collect();
    assert_eq!(destructive, [false, true, false, false]);
    let [celsius, fast] = known[2].arguments else {
        panic!("{:?}", known[2].arguments);
    };
    assert_eq!(
        (
            celsius.name.as_str(),
            celsius.kind.as_deref(),
            celsius.unit.as_deref()
        ),
        ("celsius", Some("number"), Some("°C"))
    );
    assert_eq!((celsius.min, celsius.max), (Some(-25.0), Some(-15.0)));
    assert_eq!(celsius.default, Some(api::fleet::Scalar::Number(-18.0)));
    assert_eq!(fast.default, Some(api::fleet::Scalar::Bool(false)));
    let [mode, steps] = known[3].arguments else {
        panic!("{:?}", known[3].arguments);
    };
    assert_eq!((mode.name.as_str(), &mode.kind), ("mode", &None));
    assert_eq!((steps.min, steps.max), (Some(1.0), Some(9.0)));
    assert_eq!(sim.device("a").metrics().len(), 0, "none of it is a value");
    // It is described and adopted.
    let mut other = Sim::new();
    let described = sim.fleet.describe(sim.key("a")).unwrap();
    other.fleet.adopt(sim.now, &described);
    assert_eq!(other.fleet.describe(other.key("a")), Some(described));
    assert_consistent(&other.fleet);
    sim.fleet.forget(sim.key("a"));
    assert_eq!(sim.fleet.memory_used(), 0);
}
