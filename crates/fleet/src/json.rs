//! A JSON reader that flattens while it reads: no tree, no allocation but the [`Readings`].
//!
//! It reads RFC 8259, and also `NaN`, `-nan`, `inf`, `Infinity` and the like in any case, because
//! Python and C write them. Work and depth are bounded: parts nested too deeply are skipped without recursion, and
//! after the last value that may be kept it stops.

use crate::number;
use crate::readings::{ItemValue, Readings};
use crate::text::{part, push_hex};
use alloc::string::String;
use core::str;

/// The text is not JSON.
#[derive(Copy, Clone, Eq, PartialEq, Debug)]
pub(crate) struct NotJson {
    /// Byte offset of the first byte that does not fit.
    pub(crate) offset: usize,
}

/// Why reading stopped.
enum Stop {
    NotJson(usize),
    /// The readings are full, which their own flag says.
    Full,
}

/// Reads all values of `text` into `out`, names dotted: `{"a":{"b":[1,2]}}` is `a.b.0` and
/// `a.b.1`.
pub(crate) fn flatten(text: &str, max_depth: usize, out: &mut Readings) -> Result<(), NotJson> {
    let mut reader = Reader {
        bytes: text.as_bytes(),
        text,
        at: 0,
    };
    let end = reader.flatten_value(max_depth, out).and_then(|()| {
        reader.skip_space();
        if reader.at == reader.bytes.len() {
            Ok(())
        } else {
            Err(Stop::NotJson(reader.at))
        }
    });
    match end {
        Ok(()) | Err(Stop::Full) => Ok(()),
        Err(Stop::NotJson(offset)) => Err(NotJson { offset }),
    }
}

/// Calls `each` with every member's name (unescaped) and its value's text. Fails when `text` is
/// not one JSON object.
pub(crate) fn each_member<'a>(
    text: &'a str,
    mut each: impl FnMut(&str, &'a str),
) -> Result<(), NotJson> {
    let mut reader = Reader {
        bytes: text.as_bytes(),
        text,
        at: 0,
    };
    let mut name = String::new();
    let mut walk = || {
        reader.skip_space();
        reader.expect(b'{')?;
        reader.skip_space();
        if reader.take(b'}') {
            reader.skip_space();
            return reader.end();
        }
        loop {
            name.clear();
            reader.key(Some(&mut name))?;
            reader.skip_space();
            let start = reader.at;
            reader.skip_value()?;
            each(&name, part(text, start..reader.at));
            if !reader.comma_or(b'}')? {
                reader.skip_space();
                return reader.end();
            }
        }
    };
    walk().map_err(|stop| NotJson {
        offset: match stop {
            Stop::NotJson(offset) => offset,
            Stop::Full => text.len(),
        },
    })
}

/// The characters of a JSON text, such as `"PONG"`; `None` for any other value.
pub fn text_of_json(json: &str) -> Option<String> {
    let mut text = String::new();
    unquote_into(json, &mut text).then_some(text)
}

/// Appends the characters of a JSON string literal (with its quotes) to `out`; `false` when
/// `literal` is not a string.
pub(crate) fn unquote_into(literal: &str, out: &mut String) -> bool {
    let mut reader = Reader {
        bytes: literal.as_bytes(),
        text: literal,
        at: 0,
    };
    reader.string(Some(out)).is_ok() && reader.at == literal.len()
}

/// Appends `text` as a JSON string literal with its quotes to `out`.
pub(crate) fn quote_into(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => {
                let code = u32::from(c);
                out.push_str(if code < 16 { "\\u000" } else { "\\u00" });
                push_hex(out, code);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

struct Reader<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn flatten_value(&mut self, depth_left: usize, out: &mut Readings) -> Result<(), Stop> {
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth_left == 0 => {
                out.too_deep = true;
                self.skip_value()
            }
            Some(b'{') => self.flatten_object(depth_left - 1, out),
            Some(b'[') => self.flatten_array(depth_left - 1, out),
            Some(b'"') => {
                let start = out.begin_text();
                self.string(Some(&mut out.texts))?;
                let value = out.end_text(start);
                Self::emit(out, value)
            }
            Some(b't') => {
                self.literal("true")?;
                Self::emit(out, ItemValue::Bool(true))
            }
            Some(b'f') => {
                self.literal("false")?;
                Self::emit(out, ItemValue::Bool(false))
            }
            Some(b'n') if self.begins_with("null") => {
                self.literal("null")?;
                Self::emit(out, ItemValue::Null)
            }
            Some(_) | None => {
                let start = self.at;
                let value = self.number()?;
                let value = if self.at - start < number::LONG {
                    ItemValue::Number(value)
                } else {
                    out.number(value, part(self.text, start..self.at))
                };
                Self::emit(out, value)
            }
        }
    }

    fn emit(out: &mut Readings, value: ItemValue) -> Result<(), Stop> {
        if out.emit(value) {
            Ok(())
        } else {
            Err(Stop::Full)
        }
    }

    fn flatten_object(&mut self, depth_left: usize, out: &mut Readings) -> Result<(), Stop> {
        self.at += 1;
        self.skip_space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let parent = out.enter();
            self.key(Some(&mut out.path))?;
            self.flatten_value(depth_left, out)?;
            out.leave(parent);
            if !self.comma_or(b'}')? {
                return Ok(());
            }
        }
    }

    fn flatten_array(&mut self, depth_left: usize, out: &mut Readings) -> Result<(), Stop> {
        self.at += 1;
        self.skip_space();
        if self.take(b']') {
            return Ok(());
        }
        let mut index = 0;
        loop {
            let parent = out.enter_index(index);
            self.flatten_value(depth_left, out)?;
            out.leave(parent);
            index += 1;
            if !self.comma_or(b']')? {
                return Ok(());
            }
        }
    }

    /// Passes over one value of any depth without recursion.
    fn skip_value(&mut self) -> Result<(), Stop> {
        let mut depth = 0usize;
        loop {
            self.skip_space();
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                Some(b'}' | b']' | b',' | b':') if depth > 0 => {
                    // Inside what is skipped, only the brackets' balance is checked.
                    if matches!(self.peek(), Some(b'}' | b']')) {
                        depth -= 1;
                    }
                    self.at += 1;
                    if depth > 0 {
                        continue;
                    }
                }
                Some(b'"') => self.string(None)?,
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') if self.begins_with("null") => self.literal("null")?,
                Some(_) | None => {
                    self.number()?;
                }
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// `"name" :`
    fn key(&mut self, out: Option<&mut String>) -> Result<(), Stop> {
        self.skip_space();
        self.string(out)?;
        self.skip_space();
        self.expect(b':')
    }

    /// After a value: `,` and more to come, or the closing bracket.
    fn comma_or(&mut self, close: u8) -> Result<bool, Stop> {
        self.skip_space();
        if self.take(b',') {
            self.skip_space();
            return Ok(true);
        }
        self.expect(close).map(|()| false)
    }

    fn number(&mut self) -> Result<f64, Stop> {
        let rest = &self.bytes[self.at..];
        if let Some(length) = number::no_number(rest) {
            self.at += length;
            return Ok(f64::NAN);
        }
        match rest.first() {
            Some(b'-' | b'0'..=b'9') => match number::parse_prefix(rest) {
                Some((value, length)) => {
                    self.at += length;
                    Ok(value)
                }
                None => Err(self.wrong()),
            },
            Some(_) | None => Err(self.wrong()),
        }
    }

    fn begins_with(&self, word: &str) -> bool {
        self.bytes[self.at..].starts_with(word.as_bytes())
    }

    fn literal(&mut self, word: &str) -> Result<(), Stop> {
        if self.begins_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    /// Reads a string literal, and appends its characters to `out`, if there is one.
    fn string(&mut self, mut out: Option<&mut String>) -> Result<(), Stop> {
        self.expect(b'"')?;
        let mut run = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    if let Some(out) = out {
                        out.push_str(part(self.text, run..self.at));
                    }
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => {
                    if let Some(out) = out.as_deref_mut() {
                        out.push_str(part(self.text, run..self.at));
                    }
                    let c = self.escape()?;
                    if let Some(out) = out.as_deref_mut() {
                        out.push(c);
                    }
                    run = self.at;
                }
                Some(0..=0x1f) | None => return Err(self.wrong()),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, Stop> {
        self.at += 1;
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            Some(_) | None => return Err(self.wrong()),
        };
        self.at += 1;
        Ok(c)
    }

    /// Four hex digits, or twice with `\u` between them; a lone surrogate is U+FFFD.
    fn unicode_escape(&mut self) -> Result<char, Stop> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before_second = self.at;
        if self.take(b'\\') && self.take(b'u') {
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = before_second;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, Stop> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.wrong());
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<(), Stop> {
        if self.take(byte) {
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    fn end(&self) -> Result<(), Stop> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.wrong())
        }
    }

    const fn wrong(&self) -> Stop {
        Stop::NotJson(self.at)
    }
}

#[cfg(test)]
#[cfg(feature = "telemetry")]
mod tests;
