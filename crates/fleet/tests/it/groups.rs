//! Which metrics are drawn together.

use crate::sim::Sim;

fn groups(message: &str) -> Vec<(String, Option<String>, Vec<String>)> {
    let mut sim = Sim::new();
    sim.publish("p/data/a", message);
    let device = sim.device("a");
    let named = device.groups().into_iter().map(|group| {
        let names = group
            .metrics
            .iter()
            .map(|key| device.metric(*key).unwrap().name().to_owned());
        (group.title, group.unit.map(Into::into), names.collect())
    });
    named.collect()
}

#[test]
fn one_unit_is_one_chart() {
    let found = groups(
        r#"{"temp":1,"humidity":50,"temp_setpoint":2,"DS18B20":{"Temperature":3},"power_w":7}"#,
    );
    let celsius = ["temp", "temp_setpoint", "DS18B20.Temperature"]
        .map(String::from)
        .to_vec();
    assert_eq!(found[0], ("Temperature".into(), Some("°C".into()), celsius));
    assert_eq!(
        found[1],
        ("humidity".into(), Some("%".into()), vec!["humidity".into()])
    );
    assert_eq!(
        found[2],
        ("Power".into(), Some("W".into()), vec!["power_w".into()])
    );
}

#[test]
fn without_a_unit_the_stem_decides() {
    let found =
        groups(r#"{"accel":{"x":1,"y":2},"queueIn":1,"queue_out":2,"battery":90,"humidity":5}"#);
    let names: Vec<_> = found
        .iter()
        .map(|group| (group.0.as_str(), group.2.len()))
        .collect();
    assert_eq!(
        names,
        [("accel", 2), ("queue", 2), ("battery", 1), ("humidity", 1)]
    );
}

#[test]
fn truth_values_are_together_and_texts_are_not_drawn() {
    let found = groups(r#"{"fan":true,"mode":"eco","door":false,"n":1}"#);
    let names: Vec<_> = found
        .iter()
        .map(|group| (group.0.as_str(), group.2.len()))
        .collect();
    assert_eq!(names, [("On / off", 2), ("n", 1)]);
    assert!(groups(r#"{"mode":"eco"}"#).is_empty());
}
