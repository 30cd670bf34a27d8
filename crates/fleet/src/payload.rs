//! What kind of text a payload is, and its values.

use crate::TELEMETRY;
use crate::fault::FaultKind;
use crate::json;
use crate::number;
use crate::readings::{ItemValue, Readings};
use crate::units;
use alloc::string::String;

/// What kind of text a payload is. It is found quickly, and is enough to choose a convention.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) enum Form {
    /// Nothing: on MQTT, a retained message is being deleted.
    Empty,
    /// Not UTF-8, or with control characters that no text has.
    Binary,
    /// Begins like a JSON object or array.
    Json,
    /// One number, perhaps with a unit behind it.
    Number,
    /// `a=1 b=2`.
    Pairs,
    /// Any other text.
    Text,
}

/// A payload with its form.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Payload<'a> {
    /// Trimmed text; empty when the payload is not text.
    pub(crate) text: &'a str,
    pub(crate) form: Form,
}

impl<'a> Payload<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        core::str::from_utf8(bytes).map_or(Self::unread(), Self::of_text)
    }

    pub(crate) fn of_text(text: &'a str) -> Self {
        // Some editors and languages put a byte-order mark before a text.
        let text = trim(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
        let form = match text.as_bytes().first() {
            None => Form::Empty,
            Some(b'{' | b'[') => Form::Json,
            // Without telemetry a number is like any other text.
            Some(_) if TELEMETRY && number_with_unit(text).is_some() => Form::Number,
            Some(_) if text.len() <= MAX_PLAIN_TEXT && pairs(text).all(|pair| pair.is_some()) => {
                Form::Pairs
            }
            Some(_) if text.bytes().any(is_binary) => Form::Binary,
            Some(_) => Form::Text,
        };
        Self { text, form }
    }

    /// A payload that is too long to be looked at.
    pub(crate) const fn unread() -> Self {
        Self {
            text: "",
            form: Form::Binary,
        }
    }

    /// Whether the payload holds named values.
    pub(crate) const fn is_json(&self) -> bool {
        matches!(self.form, Form::Json)
    }

    /// Whether the one pair is `value=…`, which names nothing.
    pub(crate) fn is_nameless_pair(&self) -> bool {
        let mut pairs = pairs(self.text);
        matches!(pairs.next(), Some(Some(("value", _)))) && pairs.next().is_none()
    }

    /// Puts all values into `out`, on which `begin` was called. The unit, where the text has one.
    pub(crate) fn read(
        &self,
        max_depth: usize,
        out: &mut Readings,
    ) -> Result<Option<&'static str>, FaultKind> {
        if !TELEMETRY && self.form != Form::Json {
            return Ok(None);
        }
        match self.form {
            Form::Empty => {}
            Form::Binary => return Err(FaultKind::NotText),
            Form::Json => {
                json::flatten(self.text, max_depth, out).map_err(|_| FaultKind::NotJson)?;
            }
            Form::Number => {
                if let Some((value, unit)) = number_with_unit(self.text) {
                    let value = match unit {
                        Some(_) => ItemValue::Number(value),
                        None => out.number(value, self.text),
                    };
                    bare(out, value);
                    return Ok(unit);
                }
            }
            Form::Pairs => {
                for (key, value) in pairs(self.text).flatten() {
                    let parent = out.enter();
                    out.path.push_str(key);
                    let more = match simple(value) {
                        Some(value) => out.emit(value),
                        None => out.emit_text(value),
                    };
                    out.leave(parent);
                    if !more {
                        break;
                    }
                }
            }
            Form::Text => {
                let text = unquote(self.text);
                if let Some(value) = simple(self.text) {
                    bare(out, value);
                } else if let Some((value, unit)) = number_in_text(text) {
                    bare(out, ItemValue::Number(value));
                    return Ok(unit);
                } else {
                    name_bare(out);
                    out.emit_text(text);
                }
            }
        }
        Ok(None)
    }
}

/// Longer text is not searched for `key=value` pairs.
const MAX_PLAIN_TEXT: usize = 4096;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A text of which some bytes are no UTF-8, as a text with as many other characters. Such a byte is most
/// often Latin-1, like the `°` of a unit. What has many of them, or control characters, is no text.
pub(crate) fn repaired(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len() + 8);
    let mut wrong = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        match chunk.invalid() {
            [] => continue,
            [byte @ 0xa0..=0xff] => text.push(char::from(*byte)),
            _ => text.push(char::REPLACEMENT_CHARACTER),
        }
        wrong += 1;
    }
    let few = wrong == 1 || wrong * 4 <= bytes.len();
    (few && bytes.len() > 1 && !text.bytes().any(is_binary)).then_some(text)
}

/// White space, and the NUL that C programs send with their strings.
fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '\0' || c.is_ascii_whitespace())
}

/// Control characters that text does not have.
const fn is_binary(byte: u8) -> bool {
    matches!(byte, 0..=8 | 14..=26 | 28..=31 | 127)
}

fn bare(out: &mut Readings, value: ItemValue) {
    name_bare(out);
    out.emit(value);
}

/// Names a value `value` if neither its topic nor its payload names it.
fn name_bare(out: &mut Readings) {
    if out.path.is_empty() {
        out.path.push_str("value");
    }
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text)
}

/// A number, a truth value, or what stands for no number.
fn simple(text: &str) -> Option<ItemValue> {
    if let Some((value, length)) = number::parse_prefix(text.as_bytes())
        && length == text.len()
    {
        return Some(ItemValue::Number(value));
    }
    if number::no_number(text.as_bytes()) == Some(text.len()) {
        return Some(ItemValue::Number(f64::NAN));
    }
    for (word, value) in [
        ("true", ItemValue::Bool(true)),
        ("false", ItemValue::Bool(false)),
        ("null", ItemValue::Null),
    ] {
        if text.eq_ignore_ascii_case(word) {
            return Some(value);
        }
    }
    None
}

/// `21.5`, `21.5 °C`, `45%`: only units that are known, so that `3 doors` stays text.
fn number_with_unit(text: &str) -> Option<(f64, Option<&'static str>)> {
    let (value, length) = number::parse_prefix(text.as_bytes())?;
    match text.get(length..)?.trim_ascii_start() {
        "" => Some((value, None)),
        rest => units::symbol(rest).map(|unit| (value, Some(unit))),
    }
}

/// A number in a text, as people and programs write it between quotes: `21.5`, `21.5 °C`, `21,5`. What may
/// be a name is none: leading zeros, an exponent, or more digits than a measurement has. `1,234` is none
/// either, because it may be a thousand.
pub(crate) fn number_in_text(text: &str) -> Option<(f64, Option<&'static str>)> {
    const MAX: usize = 40;
    let text = text.trim_ascii();
    if text.len() > MAX || !text.as_bytes().iter().any(u8::is_ascii_digit) {
        return None;
    }
    let mut bytes = [0; MAX];
    let bytes = bytes.get_mut(..text.len())?;
    bytes.copy_from_slice(text.as_bytes());
    if let Some(comma) = bytes.iter().position(|byte| *byte == b',') {
        let behind = bytes[comma + 1..].iter();
        let digits = behind.take_while(|byte| byte.is_ascii_digit()).count();
        if comma == 0 || digits == 0 || digits == 3 {
            return None;
        }
        bytes[comma] = b'.';
    }
    let (value, length) = number::parse_prefix(bytes)?;
    let number = bytes.get(..length)?;
    let plain = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+');
    let digits = number.iter().filter(|byte| byte.is_ascii_digit()).count();
    let unsigned = number.strip_prefix(b"-").unwrap_or(number);
    let padded = matches!(unsigned, [b'0', b'0'..=b'9', ..]);
    if padded || digits > 15 || !number.iter().all(plain) {
        return None;
    }
    match text.get(length..)?.trim_ascii_start() {
        "" => Some((value, None)),
        rest => units::symbol(rest).map(|unit| (value, Some(unit))),
    }
}

/// `key=value` pairs, separated by white space, `,`, `;` or `&`; `None` for a part that is none.
fn pairs(text: &str) -> impl Iterator<Item = Option<(&str, &str)>> {
    text.split(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | ';' | '&'))
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (key, value) = part.split_once('=')?;
            (!key.is_empty() && !value.is_empty()).then_some((key, value))
        })
}
