//! A message as a JSON object, in the form that `mosquitto_sub` gives it.

use std::io::Write;

use jiff::ZonedDateTime;
use mqtt::Publish;
use mqtt::packet::PublishProperties;

/// What stands for the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    /// A string, with whatever bytes the payload has (`%j`).
    Text,
    /// The payload itself, which must be JSON (`%J`).
    Json,
    /// A string if the payload is UTF-8. Otherwise `payload` is null, and `payload_hex` has the bytes. So
    /// the object is always valid (`--json`).
    Safe,
}

/// Writes the object. `Err`: the payload is no JSON, and nothing was written.
pub(super) fn write(
    out: &mut Vec<u8>,
    message: &Publish,
    now: &ZonedDateTime,
    payload: Payload,
    is_pretty: bool,
) -> Result<(), ()> {
    let mut object = Vec::with_capacity(128 + message.payload.len());
    object.extend_from_slice(b"{\"tst\":\"");
    let time = match payload {
        Payload::Text | Payload::Json => now.strftime("%Y-%m-%dT%H:%M:%S.%6fZ%z"),
        Payload::Safe => now.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z"),
    };
    let _ = write!(object, "{time}\",\"topic\":");
    string(&mut object, topic(message).as_bytes());
    let (qos, retain) = (message.qos.as_u8(), u8::from(message.retain));
    let length = message.payload.len();
    let _ = write!(
        object,
        ",\"qos\":{qos},\"retain\":{retain},\"payloadlen\":{length}"
    );
    if let Some(packet_id) = message.packet_id {
        let _ = write!(object, ",\"mid\":{packet_id}");
    }
    properties(&mut object, &message.properties);
    object.extend_from_slice(b",\"payload\":");
    match payload {
        _ if message.payload.is_empty() => object.extend_from_slice(b"null"),
        Payload::Text => string(&mut object, &message.payload),
        Payload::Safe if std::str::from_utf8(&message.payload).is_ok() => {
            string(&mut object, &message.payload);
        }
        Payload::Safe => {
            object.extend_from_slice(b"null,\"payload_hex\":\"");
            for byte in &message.payload {
                let _ = write!(object, "{byte:02x}");
            }
            object.push(b'"');
        }
        Payload::Json => {
            serde_json::from_slice::<serde_json::Value>(&message.payload).map_err(|_| ())?;
            reformat(&mut object, &message.payload, Style::Compact);
        }
    }
    object.push(b'}');
    if is_pretty {
        reformat(out, &object, Style::Pretty);
    } else {
        out.extend_from_slice(&object);
    }
    Ok(())
}

/// The topic; a message from a client always has one.
pub(super) fn topic(message: &Publish) -> &str {
    message.topic.as_ref().map_or("", |topic| topic.as_str())
}

/// In the order in which brokers commonly send them.
fn properties(object: &mut Vec<u8>, properties: &PublishProperties) {
    if *properties == PublishProperties::default() {
        return;
    }
    let mut list = Vec::new();
    let name = |list: &mut Vec<u8>, name: &str| {
        if !list.is_empty() {
            list.push(b',');
        }
        let _ = write!(list, "\"{name}\":");
    };
    if let Some(seconds) = properties.message_expiry_interval {
        name(&mut list, "message-expiry-interval");
        let _ = write!(list, "{seconds}");
    }
    if let Some(is_text) = properties.payload_format_indicator {
        name(&mut list, "payload-format-indicator");
        let _ = write!(list, "{}", u8::from(is_text));
    }
    if let Some(topic) = &properties.response_topic {
        name(&mut list, "response-topic");
        string(&mut list, topic.as_str().as_bytes());
    }
    if let Some(data) = &properties.correlation_data {
        name(&mut list, "correlation-data");
        string(&mut list, String::from_utf8_lossy(data).as_bytes());
    }
    if !properties.user_properties.is_empty() {
        name(&mut list, "user-properties");
        for (index, (name, value)) in properties.user_properties.iter().enumerate() {
            list.push(if index == 0 { b'{' } else { b',' });
            string(&mut list, name.as_str().as_bytes());
            list.push(b':');
            string(&mut list, value.as_str().as_bytes());
        }
        list.push(b'}');
    }
    for identifier in &properties.subscription_identifiers {
        name(&mut list, "subscription-identifier");
        let _ = write!(list, "{identifier}");
    }
    if let Some(kind) = &properties.content_type {
        name(&mut list, "content-type");
        string(&mut list, kind.as_str().as_bytes());
    }
    object.extend_from_slice(b",\"properties\":{");
    object.extend_from_slice(&list);
    object.push(b'}');
}

/// A string of JSON. Bytes that are no UTF-8 stay as they are.
fn string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..32 => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// How JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// Without any space.
    Compact,
    /// With the lines and tabs that `mosquitto_sub` makes.
    Pretty,
}

/// Lays out JSON anew. The order of the names and every digit stay as they are.
fn reformat(out: &mut Vec<u8>, json: &[u8], style: Style) {
    let is_pretty = style == Style::Pretty;
    let mut open = Vec::new();
    let mut begins_line = false;
    let mut rest = json.iter().copied();
    while let Some(byte) = rest.next() {
        if byte.is_ascii_whitespace() {
            continue;
        }
        if byte == b'}' || byte == b']' {
            open.pop();
            if is_pretty && byte == b'}' {
                if !begins_line {
                    out.push(b'\n');
                }
                out.extend(open.iter().map(|_| b'\t'));
            }
            begins_line = false;
            out.push(byte);
            continue;
        }
        if begins_line {
            out.extend(open.iter().map(|_| b'\t'));
            begins_line = false;
        }
        out.push(byte);
        match byte {
            b'{' | b'[' => {
                open.push(byte);
                begins_line = is_pretty && byte == b'{';
            }
            b',' if is_pretty && open.last() == Some(&b'[') => out.push(b' '),
            b',' => begins_line = is_pretty,
            b':' if is_pretty => out.push(b'\t'),
            b'"' => rest_of_string(out, &mut rest),
            _ => {}
        }
        if begins_line {
            out.push(b'\n');
        }
    }
}

fn rest_of_string(out: &mut Vec<u8>, rest: &mut impl Iterator<Item = u8>) {
    let mut is_escaped = false;
    for byte in rest {
        out.push(byte);
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid_out(json: &str, style: Style) -> String {
        let mut out = Vec::new();
        reformat(&mut out, json.as_bytes(), style);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_laid_out_as_mosquitto_sub_does() {
        let json = r#" {"a": [1, 2.50, {"b":null}], "c":"x: {\" }", "e":{}, "f":[]} "#;
        assert_eq!(
            laid_out(json, Style::Compact),
            r#"{"a":[1,2.50,{"b":null}],"c":"x: {\" }","e":{},"f":[]}"#
        );
        assert_eq!(
            laid_out(json, Style::Pretty),
            "{\n\t\"a\":\t[1, 2.50, {\n\t\t\t\"b\":\tnull\n\t\t}],\n\t\"c\":\t\"x: {\\\" }\",\n\t\"e\":\t\
             {\n\t},\n\t\"f\":\t[]\n}"
        );
    }

    #[test]
    fn strings_are_escaped() {
        let mut out = Vec::new();
        string(&mut out, b"a\"\\\n\x01\x7f\xff");
        assert_eq!(out, b"\"a\\\"\\\\\\n\\u0001\x7f\xff\"");
    }
}
