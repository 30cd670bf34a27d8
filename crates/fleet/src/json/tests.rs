//! The reader against `serde_json`, and on what is no JSON.

use super::*;
use crate::readings::{Caps, Scalar};
use alloc::format;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use proptest::prelude::*;
use serde_json::Value;

const CAPS: Caps = Caps {
    values: 1000,
    name_len: 1000,
    text_len: 1000,
};

fn read(text: &str) -> Result<Readings, NotJson> {
    let mut readings = Readings::default();
    readings.begin("", CAPS);
    flatten(text, 64, &mut readings).map(|()| readings)
}

/// What the tree of `serde_json` has at its leaves, in its order.
fn leaves(value: &Value, path: &str, out: &mut Vec<(String, Value)>) {
    let child = |key: &str| {
        if path.is_empty() {
            key.to_string()
        } else {
            format!("{path}.{key}")
        }
    };
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                leaves(value, &child(key), out);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                leaves(value, &child(&index.to_string()), out);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push((path.to_string(), value.clone()));
        }
    }
}

fn same(read: Scalar<'_>, expected: &Value) -> bool {
    match (read, expected) {
        (Scalar::Null, Value::Null) => true,
        (Scalar::Bool(a), Value::Bool(b)) => a == *b,
        (Scalar::Text(a), Value::String(b)) => a == b,
        (Scalar::Number(a), Value::Number(b)) => {
            let b = b.as_f64().unwrap();
            (a - b).abs() <= b.abs() * 8.0 * f64::EPSILON
        }
        (Scalar::Null | Scalar::Bool(_) | Scalar::Text(_) | Scalar::Number(_), _) => false,
    }
}

#[test]
fn nested_values_have_dotted_names() {
    let readings = read(r#" {"a":{"b":[1,{"c":"x"}],"d":true},"e":null} "#).unwrap();
    let found: Vec<_> = readings.iter().collect();
    let expected = [
        ("a.b.0", Scalar::Number(1.0)),
        ("a.b.1.c", Scalar::Text("x")),
        ("a.d", Scalar::Bool(true)),
        ("e", Scalar::Null),
    ];
    assert_eq!(found, expected);
}

#[test]
fn escapes_are_read_in_names_and_texts() {
    let readings = read(r#"{"\u0041\"\\\/":"\b\f\n\r\té\ud83d\ude80\ud83dx\ude80"}"#).unwrap();
    let (name, value) = readings.get(0).unwrap();
    assert_eq!(name, "A\"\\/");
    assert_eq!(value, Scalar::Text("\u{8}\u{c}\n\r\té🚀\u{fffd}x\u{fffd}"));
}

#[test]
fn where_it_stops_being_json() {
    for (text, offset) in [
        ("", 0),
        ("{", 1),
        ("{a:1}", 1),
        (r#"{"a" 1}"#, 5),
        (r#"{"a":}"#, 5),
        (r#"{"a":1,}"#, 7),
        (r#"{"a":1}x"#, 7),
        ("[1 2]", 3),
        ("[1,]", 3),
        ("tru", 0),
        ("\"a", 2),
        ("\"\n\"", 1),
        (r#""\x""#, 2),
        (r#""\u12g4""#, 5),
        ("-", 0),
    ] {
        assert_eq!(read(text).err(), Some(NotJson { offset }), "{text}");
    }
}

#[test]
fn python_numbers_are_read() {
    let readings = read("[NaN,Infinity,-Infinity]").unwrap();
    let found = readings.iter().map(|(_, value)| match value {
        Scalar::Number(number) => number,
        Scalar::Bool(_) | Scalar::Text(_) | Scalar::Null => 0.0,
    });
    assert_eq!(found.filter(|number| !number.is_finite()).count(), 3);
}

#[test]
fn too_deep_a_part_is_passed_over() {
    let mut readings = Readings::default();
    readings.begin("", CAPS);
    let text = r#"{"a":{"b":{"c":[1,{"d":"}"}],"e":{}}},"f":2}"#;
    flatten(text, 2, &mut readings).unwrap();
    assert!(readings.too_deep);
    assert_eq!(
        readings.iter().collect::<Vec<_>>(),
        [("f", Scalar::Number(2.0))]
    );
}

#[test]
fn members_are_given_as_they_are_written() {
    let mut found = Vec::new();
    let text = r#" {"a" : {"x": [1, 2]} , "b\n":"c\"" } "#;
    each_member(text, |key, value| found.push((key.to_string(), value))).unwrap();
    assert_eq!(
        found,
        [
            ("a".to_string(), r#"{"x": [1, 2]}"#),
            ("b\n".to_string(), r#""c\"""#)
        ]
    );
    assert_eq!(each_member("[]", |_, _| ()), Err(NotJson { offset: 0 }));
    assert_eq!(each_member("{} {}", |_, _| ()), Err(NotJson { offset: 3 }));
    assert_eq!(each_member("{}", |_, _| ()), Ok(()));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e100f64..1e100).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map("[a-zé\"\\\\ ]{1,4}", inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn reads_what_serde_json_writes(value in any_json(), pretty in any::<bool>()) {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        let readings = read(&text).unwrap();
        let mut expected = Vec::new();
        leaves(&value, "", &mut expected);
        let found: Vec<_> = readings.iter().collect();
        prop_assert_eq!(found.len(), expected.len());
        for ((name, value), (expected_name, expected)) in found.into_iter().zip(&expected) {
            prop_assert_eq!(name, expected_name);
            prop_assert!(same(value, expected), "{:?} {:?}", value, expected);
        }
    }

    #[test]
    fn accepts_whatever_serde_json_accepts(text in "[\\[\\]{}\",:0-9a-u\\\\ .eE+-]{0,30}") {
        if serde_json::from_str::<Value>(&text).is_ok() {
            prop_assert!(read(&text).is_ok(), "{}", text);
            let object = text.trim_start().starts_with('{');
            prop_assert_eq!(each_member(&text, |_, _| ()).is_ok(), object);
        }
    }

    #[test]
    fn quoting_and_unquoting_are_inverse(text in any::<String>()) {
        let mut quoted = String::new();
        quote_into(&text, &mut quoted);
        prop_assert_eq!(serde_json::from_str::<String>(&quoted).ok(), Some(text.clone()));
        let mut unquoted = String::new();
        prop_assert!(unquote_into(&quoted, &mut unquoted));
        prop_assert_eq!(unquoted, text);
    }
}
