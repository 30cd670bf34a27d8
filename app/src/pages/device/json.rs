//! JSON for people: makes it readable, and writes what they typed.

use fleet::Command;
use js_sys::JSON;
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

/// A value in a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Bool(bool),
    /// A number as JSON writes it. A float would lose digits of a long one.
    Number(String),
    Text(String),
}

/// What stands in the JSON field at first. Arguments that nobody announced are the reader's to add.
pub(super) fn command_template(name: &str) -> String {
    format!("{{\n  \"command\": {}\n}}", api::quoted(name))
}

/// A command with arguments.
pub(super) fn command(name: &str, arguments: &[(&str, Json)]) -> String {
    let mut text = format!("{{\"command\":{}", api::quoted(name));
    for (member, value) in arguments {
        text.push(',');
        text.push_str(&api::quoted(member));
        text.push(':');
        match value {
            Json::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
            Json::Number(value) => text.push_str(value),
            Json::Text(value) => text.push_str(&api::quoted(value)),
        }
    }
    text.push('}');
    text
}

/// The name of the command in a JSON text, if it has one.
pub(super) fn command_name(text: &str) -> Option<String> {
    api::Members::parse(text).ok()?.read("command")
}

fn written(value: &JsValue, indent: u8) -> Option<String> {
    let text = JSON::stringify_with_replacer_and_space(value, &JsValue::NULL, &indent.into());
    text.ok().map(String::from)
}

/// An answer as people read it: `PONG`, not `"PONG"`. A text that holds a text (some devices escape
/// twice) or that was cut is read too, and of a failure's object the member that says why.
pub(super) fn shown_answer(result: &str) -> String {
    let mut shown = text_of(result).or_else(|| reason_of(result));
    while let Some(inner) = shown.as_deref().and_then(text_of) {
        shown = Some(inner);
    }
    fleet::display::shorten(shown.as_deref().unwrap_or(result), 1_000)
}

/// The text in a JSON string. If its end was cut off, as much as there is.
fn text_of(json: &str) -> Option<String> {
    if let Some(text) = fleet::text_of_json(json) {
        return Some(text);
    }
    let cut = json.strip_suffix('…')?;
    // The cut may have gone through an escape, which has at most twelve characters.
    let ends = (0..=12.min(cut.len())).filter_map(|less| cut.get(..cut.len() - less));
    let mut whole = ends.map(|kept| format!("{kept}\""));
    let text = whole.find_map(|whole| fleet::text_of_json(&whole))?;
    Some(text + "…")
}

/// What an object says for people, if one of its members does.
fn reason_of(json: &str) -> Option<String> {
    const MEMBERS: [&str; 4] = ["message", "error", "reason", "detail"];
    let members = api::Members::parse(json).ok()?;
    MEMBERS.iter().find_map(|member| members.read(member))
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
    fn nothing_that_people_read_is_escaped() {
        assert_eq!(
            shown_answer(r#""unknown command \"OPEN\"""#),
            r#"unknown command "OPEN""#
        );
        assert_eq!(
            shown_answer(r#""\"no \\\"X\\\"\"""#),
            r#"no "X""#,
            "escaped twice"
        );
        assert_eq!(
            shown_answer(r#""it said \"no\" and th…"#),
            r#"it said "no" and th…"#
        );
        assert_eq!(
            shown_answer(r#""it said \…"#),
            "it said …",
            "cut in an escape"
        );
        assert_eq!(
            shown_answer(r#"{"code":5,"message":"no \"X\""}"#),
            r#"no "X""#
        );
    }

    #[test]
    fn commands_are_written_as_json() {
        let arguments = [
            ("a \"b\"", Json::Text("c\n".to_owned())),
            ("n", Json::Number("-0.5".to_owned())),
        ];
        assert_eq!(
            command("SET", &arguments),
            r#"{"command":"SET","a \"b\"":"c\n","n":-0.5}"#
        );
        assert_eq!(
            command_template("SET_TARGET"),
            "{\n  \"command\": \"SET_TARGET\"\n}"
        );
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
