//! JSON for people: made readable, checked as it is typed. By the browser's own reader, so
//! that the page carries no second one.

use js_sys::{JSON, Object};
use wasm_bindgen::{JsCast, JsValue};

/// A JSON text made readable, if it is one.
pub(super) fn pretty(text: &str) -> Option<String> {
    // Numbers that a browser would change on the way are left as they were sent.
    let value = JSON::parse(text).ok()?;
    if !value.is_object() {
        return None;
    }
    let pretty = JSON::stringify_with_replacer_and_space(&value, &JsValue::NULL, &2.into());
    let pretty = String::from(pretty.ok()?);
    (digits(text) == digits(&pretty)).then_some(pretty)
}

/// How many digits there are: they are as many after a faithful rewriting.
fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// Why this text is no command; `None` when it is one, and for an empty text.
pub(super) fn command_problem(text: &str) -> Option<String> {
    if text.trim().is_empty() {
        return None;
    }
    let value = match JSON::parse(text) {
        Ok(value) => value,
        Err(error) => {
            let error = error.dyn_ref::<js_sys::Error>().map(js_sys::Error::message);
            return Some(error.map_or_else(|| "Not JSON".to_owned(), String::from));
        }
    };
    let Some(object) = object(&value) else {
        return Some("A command is a JSON object: { … }".to_owned());
    };
    let member = |name: &str| js_sys::Reflect::get(object, &name.into()).ok();
    let command = member("command").and_then(|command| command.as_string());
    if command.is_none_or(|command| command.is_empty()) {
        return Some("The object needs a \"command\" with a name".to_owned());
    }
    if member("uuid").is_some_and(|uuid| !uuid.is_undefined()) {
        return Some("Leave out \"uuid\": each command gets its own".to_owned());
    }
    None
}

fn object(value: &JsValue) -> Option<&Object> {
    let object = value.dyn_ref::<Object>()?;
    (!js_sys::Array::is_array(object)).then_some(object)
}

/// What the JSON field begins with.
pub(super) fn command_template(name: &str) -> String {
    if name == "PING" {
        return "{ \"command\": \"PING\" }".to_owned();
    }
    format!("{{\n  \"command\": {},\n  \"value\": 0\n}}", quote(name))
}

/// The text as a JSON string.
pub(super) fn quote(text: &str) -> String {
    JSON::stringify(&text.into())
        .ok()
        .and_then(|quoted| quoted.as_string())
        .unwrap_or_else(|| "\"\"".to_owned())
}

/// An answer without its quotes, when it is one text: `PONG`.
pub(super) fn shown_answer(result: &str) -> String {
    let plain = result
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .filter(|inner| !inner.contains(['\\', '"']));
    let text = plain.unwrap_or(result);
    fleet::display::shorten(text, 1_000)
}

/// The members of a request beside its name and uuid, short: `seconds: 5`; `None` when there
/// is nothing else in it.
pub(super) fn shown_request(payload: &str, name: &str) -> Option<String> {
    let inner = payload.trim().strip_prefix('{')?.strip_suffix('}')?;
    let parts: Vec<&str> = inner
        .split(',')
        .map(str::trim)
        .filter(|part| {
            let member = part.split(':').next().unwrap_or_default().trim();
            !matches!(member, "\"uuid\"" | "\"command\"") && !part.is_empty()
        })
        .collect();
    // A name with commas in it would be cut in pieces: then nothing is better than that.
    if parts.is_empty() || name.contains([',', ':']) {
        return None;
    }
    Some(fleet::display::shorten(
        &parts.join(", ").replace('"', ""),
        60,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_a_text_stands_without_quotes() {
        assert_eq!(shown_answer("\"PONG\""), "PONG");
        assert_eq!(shown_answer("{\"a\":1}"), "{\"a\":1}");
        assert_eq!(shown_answer("\"say \\\"hi\\\"\""), "\"say \\\"hi\\\"\"");
        assert_eq!(shown_answer("\""), "\"");
    }

    #[test]
    fn a_request_is_shown_by_what_it_brings() {
        let shown = |payload| shown_request(payload, "SET_INTERVAL");
        let payload = "{\"uuid\":\"u\",\"command\":\"SET_INTERVAL\",\"seconds\":5}";
        assert_eq!(shown(payload).as_deref(), Some("seconds:5"));
        assert_eq!(shown("{\"uuid\":\"u\",\"command\":\"PING\"}"), None);
        assert_eq!(shown("nonsense"), None);
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
