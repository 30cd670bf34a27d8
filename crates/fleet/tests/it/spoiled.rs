//! Payloads of which one part is spoiled: the rest counts, and the fault says which part.

use crate::sim::Sim;
use fleet::{FaultKind, Value};

fn fault(sim: &Sim, id: &str, kind: FaultKind) -> String {
    let mut faults = sim.device(id).faults().iter();
    faults.find(|fault| fault.kind() == kind).unwrap().text()
}

#[test]
fn what_is_no_number_costs_one_value() {
    for word in [
        "nan",
        "NaN",
        "-nan",
        "NAN",
        "inf",
        "-inf",
        "+INF",
        "Infinity",
        "-infinity",
    ] {
        let mut sim = Sim::new();
        sim.publish(
            "beaconry/data/a",
            format!(r#"{{"hum":{word},"temp":21.5,"a":[1,{word}]}}"#),
        );
        assert!((sim.number("a", "temp") - 21.5).abs() < 1e-12, "{word}");
        assert!(sim.device("a").metric_named("hum").is_none());
        assert_eq!(sim.fault_count("a", FaultKind::NotFinite), 2, "{word}");
        assert_eq!(sim.device("a").faults().len(), 1);
        assert!(fault(&sim, "a", FaultKind::NotFinite).ends_with(": hum"));
        // Also in a part that is skipped.
        let deep = "[".repeat(20) + word + &"]".repeat(20);
        sim.publish("beaconry/data/b", format!(r#"{{"deep":{deep},"temp":1}}"#));
        assert!((sim.number("b", "temp") - 1.0).abs() < 1e-12, "{word}");
    }
    let mut sim = Sim::new();
    sim.publish("beaconry/data/a", r#"{"hum":none,"temp":1}"#);
    assert_eq!(sim.fault_count("a", FaultKind::NotJson), 1);
}

#[test]
fn a_byte_order_mark_costs_nothing() {
    let mut sim = Sim::new();
    sim.publish("beaconry/data/a", "\u{feff}{\"temp\":1}");
    sim.publish("beaconry/register/b", "\u{feff}SIGN_OUT");
    sim.publish("room/temperature", "\u{feff}21.5");
    assert!((sim.number("a", "temp") - 1.0).abs() < 1e-12);
    assert_eq!(sim.kind("b"), fleet::PresenceKind::Offline);
    assert!((sim.number("room", "temperature") - 21.5).abs() < 1e-12);
    let text = fault(&sim, "a", FaultKind::BadCharacter);
    assert!(text.ends_with(": byte-order mark"), "{text}");
    assert_eq!(sim.device("a").faults().len(), 1);
}

#[test]
fn a_latin_1_byte_costs_nothing_but_itself() {
    let mut sim = Sim::new();
    sim.publish("room/temperature", b"21.5 \xb0C");
    assert!((sim.number("room", "temperature") - 21.5).abs() < 1e-12);
    assert_eq!(sim.unit("room", "temperature").as_deref(), Some("°C"));
    assert!(fault(&sim, "room", FaultKind::BadCharacter).ends_with(": byte b0 at 5"));
    sim.publish("beaconry/data/a", b"{\"place\":\"K\xfcche\",\"temp\":5}");
    assert!((sim.number("a", "temp") - 5.0).abs() < 1e-12);
    let (_, place) = sim.device("a").metric_named("place").unwrap();
    assert_eq!(*place.value(), Value::Text("Küche".into()));
    assert!(fault(&sim, "a", FaultKind::BadCharacter).ends_with(": byte fc at 11"));
    // The half of a character, where a buffer was too short.
    sim.publish("beaconry/data/b", b"{\"unit\":\"\xe2\x82\",\"n\":1}");
    assert!((sim.number("b", "n") - 1.0).abs() < 1e-12);
    // Pictures are no text.
    sim.publish("cam/image", [0xff, 0xd8, 0xff, 0xe0, b'J', b'F']);
    assert_eq!(sim.fault_count("cam", FaultKind::NotText), 1);
}
