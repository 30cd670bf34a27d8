//! JSON for people: makes it readable, and writes what they typed. The browser reads and writes it,
//! and `fleet` reads what devices sent. `serde_json` would add ten kilobytes to the page.

use fleet::Command;
use js_sys::{JSON, Object, Reflect};
use wasm_bindgen::JsValue;

/// A JSON text made readable, if it is one.
pub(super) fn pretty(text: &str) -> Option<String> {
    // Numbers that a browser would change on the way are left as they were sent.
    let value = JSON::parse(text).ok()?;
    if !value.is_object() {
        return None;
    }
    let pretty = written(&value, 2)?;
    (digits(text) == digits(&pretty)).then_some(pretty)
}

/// How many digits the text has. A text that was rewritten without a change has as many.
fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// What stands in the JSON field at first.
pub(super) fn command_template(name: &str) -> String {
    let argument = (name != "PING").then_some(("value", 0.0));
    command(name, argument, 2)
}

/// A command with one number.
pub(super) fn command_with(name: &str, argument: &str, number: f64) -> String {
    command(name, Some((argument, number)), 0)
}

fn command(name: &str, argument: Option<(&str, f64)>, indent: u8) -> String {
    let object = Object::new();
    // This fails only for an object that is frozen.
    let _ = Reflect::set(&object, &"command".into(), &name.into());
    if let Some((member, number)) = argument {
        let _ = Reflect::set(&object, &member.into(), &number.into());
    }
    written(&object, indent).unwrap_or_default()
}

fn written(value: &JsValue, indent: u8) -> Option<String> {
    let text = JSON::stringify_with_replacer_and_space(value, &JsValue::NULL, &indent.into());
    text.ok().map(String::from)
}

/// An answer without its quotes, when it is one text: `PONG`.
pub(super) fn shown_answer(result: &str) -> String {
    let text = fleet::text_of_json(result);
    fleet::display::shorten(text.as_deref().unwrap_or(result), 1_000)
}

/// The members of a request other than its name and uuid, in short: `seconds: 5`. `None` if there
/// are none.
pub(super) fn shown_request(command: &Command) -> Option<String> {
    let mut shown = String::new();
    for (member, value) in command.arguments() {
        if !shown.is_empty() {
            shown.push_str(", ");
        }
        shown.push_str(&member);
        shown.push_str(": ");
        shown.push_str(&fleet::text_of_json(&value).unwrap_or(value));
    }
    (!shown.is_empty()).then(|| fleet::display::shorten(&shown, 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fleet::{CommandRequest, Fleet, FleetOptions, Message, Timestamp};

    #[test]
    fn an_answer_that_is_a_text_stands_without_quotes() {
        assert_eq!(shown_answer("\"PONG\""), "PONG");
        assert_eq!(shown_answer("{\"a\":1}"), "{\"a\":1}");
        assert_eq!(shown_answer("\"say \\\"hi\\\"\""), "say \"hi\"");
        assert_eq!(shown_answer("\""), "\"");
    }

    #[test]
    fn a_request_is_shown_by_its_arguments() {
        let mut fleet = Fleet::new(FleetOptions::default());
        let now = Timestamp(1_795_233_600_000);
        fleet.handle_message(now, Message::new("beaconry/register/a", b"SIGN_IN"));
        let key = fleet.find("a").unwrap();
        let mut shown = |uuid, request| {
            fleet.command(now, key, uuid, request).unwrap();
            shown_request(fleet.device(key).unwrap().command(uuid).unwrap())
        };
        let request = r#"{"command":"SET, ALL","seconds":5,"mode":"a, b","deep":{"x":[1,2]}}"#;
        assert_eq!(
            shown("1", CommandRequest::Json(request)).as_deref(),
            Some("seconds: 5, mode: a, b, deep: {\"x\":[1,2]}")
        );
        assert_eq!(shown("2", CommandRequest::Named("PING")), None);
    }

    #[test]
    fn a_rewriting_that_loses_digits_is_noticed() {
        assert_ne!(
            digits("12345678901234567890"),
            digits("12345678901234567000.0")
        );
        assert_eq!(digits("{\"a\":1.5}"), digits("{\n  \"a\": 1.5\n}"));
    }
}
