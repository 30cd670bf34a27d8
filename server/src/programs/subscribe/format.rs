//! `-F`: a message as a line in a format of the user's own. What it can hold is what the manual of
//! `mosquitto_sub` says.

use std::io::Write;

use jiff::ZonedDateTime;
use mqtt::Publish;

use super::json;

/// A format that was read once, and is written for each message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Format(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Vec<u8>),
    Field(Field, Layout),
    /// A conversion of strftime.
    Time(Vec<u8>),
    /// `@N`.
    Nanoseconds,
}

/// What `%` can stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    TopicAlias,
    ContentType,
    CorrelationData,
    ExpiryInterval,
    PayloadFormat,
    IsoTime,
    Json,
    JsonPayload,
    Length,
    PacketId,
    UserProperties,
    Payload,
    QoS,
    ResponseTopic,
    Retain,
    SubscriptionIdentifier,
    Topic,
    UnixTime,
    LowerHex,
    UpperHex,
}

/// How wide a field is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layout {
    is_left: bool,
    has_zeros: bool,
    width: usize,
    /// The most bytes of a text.
    precision: Option<usize>,
}

/// What went wrong with one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoJson;

impl Format {
    /// Reads a format. `Err` says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            let piece = match character {
                '%' => field(&mut rest)?,
                '@' => time(&mut rest)?,
                '\\' => escape(&mut rest)?,
                other => Piece::Text(other.encode_utf8(&mut [0; 4]).as_bytes().to_vec()),
            };
            if let Piece::Text(text) = piece {
                literal.extend(text);
            } else {
                if !literal.is_empty() {
                    pieces.push(Piece::Text(std::mem::take(&mut literal)));
                }
                pieces.push(piece);
            }
        }
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Ok(Self(pieces))
    }

    /// Writes a message. `Err`: the format asked for a payload of JSON, and it is none. The rest is
    /// written.
    pub(super) fn write(
        &self,
        out: &mut Vec<u8>,
        message: &Publish,
        now: &ZonedDateTime,
        is_pretty: bool,
    ) -> Result<(), NoJson> {
        let mut written = Ok(());
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text),
                Piece::Time(conversion) => {
                    let _ = jiff::fmt::strtime::format(conversion, now)
                        .map(|text| out.extend_from_slice(text.as_bytes()));
                }
                Piece::Nanoseconds => {
                    let _ = write!(out, "{:09}", now.subsec_nanosecond());
                }
                Piece::Field(field @ (Field::Json | Field::JsonPayload), _) => {
                    let payload = match field {
                        Field::Json => json::Payload::Text,
                        _ => json::Payload::Json,
                    };
                    let ok = json::write(out, message, now, payload, is_pretty);
                    written = written.and(ok.map_err(|()| NoJson));
                }
                Piece::Field(field, layout) => field.write(out, message, now, *layout),
            }
        }
        written
    }
}

fn field(rest: &mut std::str::Chars<'_>) -> Result<Piece, String> {
    let mut layout = Layout::default();
    let mut next = || rest.next().ok_or("the last % is not complete");
    let mut character = next()?;
    if character == '-' {
        layout.is_left = true;
        character = next()?;
    }
    if character == '0' {
        layout.has_zeros = !layout.is_left;
        character = next()?;
    }
    while let Some(digit) = character.to_digit(10) {
        layout.width = (layout.width * 10 + digit as usize).min(10_000);
        character = next()?;
    }
    if character == '.' {
        let mut precision = 0;
        character = next()?;
        while let Some(digit) = character.to_digit(10) {
            precision = (precision * 10 + digit as usize).min(10_000);
            character = next()?;
        }
        layout.precision = Some(precision);
    }
    let field = match character {
        '%' => return Ok(Piece::Text(b"%".to_vec())),
        'A' => Field::TopicAlias,
        'C' => Field::ContentType,
        'D' => Field::CorrelationData,
        'E' => Field::ExpiryInterval,
        'F' => Field::PayloadFormat,
        'I' => Field::IsoTime,
        'j' => Field::Json,
        'J' => Field::JsonPayload,
        'l' => Field::Length,
        'm' => Field::PacketId,
        'P' => Field::UserProperties,
        'p' => Field::Payload,
        'q' => Field::QoS,
        'R' => Field::ResponseTopic,
        'r' => Field::Retain,
        'S' => Field::SubscriptionIdentifier,
        't' => Field::Topic,
        'U' => Field::UnixTime,
        'x' => Field::LowerHex,
        'X' => Field::UpperHex,
        other => return Err(format!("%{other} means nothing; % itself is %%")),
    };
    Ok(Piece::Field(field, layout))
}

/// A conversion of strftime, in the C locale as in `mosquitto_sub`.
fn time(rest: &mut std::str::Chars<'_>) -> Result<Piece, String> {
    let conversion = match rest.next().ok_or("the last @ is not complete")? {
        '@' => return Ok(Piece::Text(b"@".to_vec())),
        'N' => return Ok(Piece::Nanoseconds),
        'c' => "%a %b %e %H:%M:%S %Y".to_owned(),
        'x' => "%m/%d/%y".to_owned(),
        'X' => "%H:%M:%S".to_owned(),
        'r' => "%I:%M:%S %p".to_owned(),
        '+' => "%a %b %e %H:%M:%S %Z %Y".to_owned(),
        other => format!("%{other}"),
    };
    if jiff::fmt::strtime::format(&conversion, &ZonedDateTime::now()).is_err() {
        return Err(format!(
            "{} is no conversion of strftime",
            conversion.replace('%', "@")
        ));
    }
    Ok(Piece::Time(conversion.into_bytes()))
}

fn escape(rest: &mut std::str::Chars<'_>) -> Result<Piece, String> {
    let byte = match rest
        .next()
        .ok_or("the last \\ is not complete; \\ itself is \\\\")?
    {
        '\\' => b'\\',
        '0' => 0,
        'a' => 7,
        'e' => 0x1b,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        other => return Err(format!("\\{other} means nothing; \\ itself is \\\\")),
    };
    Ok(Piece::Text(vec![byte]))
}

impl Field {
    fn write(self, out: &mut Vec<u8>, message: &Publish, now: &ZonedDateTime, layout: Layout) {
        let properties = &message.properties;
        match self {
            Self::TopicAlias => {
                layout.number(out, properties.topic_alias.map(|it| u64::from(it.get())));
            }
            Self::ContentType => {
                let text = properties.content_type.as_deref();
                layout.text(out, text.unwrap_or("").as_bytes());
            }
            Self::CorrelationData => {
                out.extend_from_slice(properties.correlation_data.as_deref().unwrap_or(&[]));
            }
            Self::ExpiryInterval => {
                layout.number(out, properties.message_expiry_interval.map(u64::from));
            }
            Self::PayloadFormat => {
                layout.number(out, properties.payload_format_indicator.map(u64::from));
            }
            Self::IsoTime => {
                let time = now.strftime("%Y-%m-%dT%H:%M:%S%z").to_string();
                layout.text(out, time.as_bytes());
            }
            // These have no layout.
            Self::Json | Self::JsonPayload => {}
            Self::Length => layout.number(out, Some(message.payload.len() as u64)),
            Self::PacketId => {
                let packet_id = message.packet_id.map_or(0, std::num::NonZero::get);
                layout.number(out, Some(u64::from(packet_id)));
            }
            Self::UserProperties => {
                for (index, (name, value)) in properties.user_properties.iter().enumerate() {
                    let space = if index == 0 { "" } else { " " };
                    let _ = write!(out, "{space}{name}:{value}");
                }
            }
            Self::Payload => layout.payload(out, &message.payload),
            Self::QoS => out.push(b'0' + message.qos.as_u8()),
            Self::ResponseTopic => {
                // Without one, not even the width is there.
                if let Some(topic) = &properties.response_topic {
                    layout.text(out, topic.as_str().as_bytes());
                }
            }
            Self::Retain => out.push(b'0' + u8::from(message.retain)),
            Self::SubscriptionIdentifier => {
                let first = properties.subscription_identifiers.first();
                layout.number(out, first.map(|it| u64::from(it.get())));
            }
            Self::Topic => layout.text(out, json::topic(message).as_bytes()),
            Self::UnixTime => {
                let (seconds, rest) = (now.timestamp().as_second(), now.subsec_nanosecond());
                let _ = write!(out, "{seconds}.{rest:09}");
            }
            Self::LowerHex => layout.hex(out, &message.payload, |byte| format!("{byte:02x}")),
            Self::UpperHex => layout.hex(out, &message.payload, |byte| format!("{byte:02X}")),
        }
    }
}

impl Layout {
    /// A number, or as much room if there is none.
    fn number(self, out: &mut Vec<u8>, number: Option<u64>) {
        let digits = number.map(|it| it.to_string()).unwrap_or_default();
        self.padded(out, digits.as_bytes(), self.padding());
    }

    fn text(self, out: &mut Vec<u8>, text: &[u8]) {
        let length = self
            .precision
            .map_or(text.len(), |most| most.min(text.len()));
        self.padded(out, &text[..length], b' ');
    }

    /// The width is also the most that is written.
    fn payload(self, out: &mut Vec<u8>, payload: &[u8]) {
        let length = match self.width {
            0 => payload.len(),
            width => payload.len().min(width),
        };
        self.padded(out, &payload[..length], self.padding());
    }

    fn hex(self, out: &mut Vec<u8>, payload: &[u8], digits: impl Fn(u8) -> String) {
        let length = match self.width {
            0 => payload.len(),
            width => payload.len().min(width / 2),
        };
        let hex: String = payload[..length].iter().map(|&byte| digits(byte)).collect();
        self.padded(out, hex.as_bytes(), self.padding());
    }

    fn padding(self) -> u8 {
        if self.has_zeros { b'0' } else { b' ' }
    }

    fn padded(self, out: &mut Vec<u8>, text: &[u8], padding: u8) {
        let missing = self.width.saturating_sub(text.len());
        if self.is_left {
            out.extend_from_slice(text);
            out.extend(std::iter::repeat_n(b' ', missing));
        } else {
            out.extend(std::iter::repeat_n(padding, missing));
            out.extend_from_slice(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use mqtt::{QoS, TopicName, Utf8String};

    use super::*;

    fn written(format: &str, message: &Publish) -> String {
        let now: ZonedDateTime = "2026-03-09T07:05:04.001234567+01:00[Europe/Berlin]"
            .parse()
            .unwrap();
        let mut out = Vec::new();
        let format = Format::parse(format).unwrap();
        format.write(&mut out, message, &now, false).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn message() -> Publish {
        let topic = TopicName::try_from("p/1").unwrap();
        let mut message = Publish::new(topic, "one");
        message.retain = true;
        message.qos = QoS::AtLeastOnce;
        message.packet_id = std::num::NonZero::new(7);
        let properties = &mut message.properties;
        properties.content_type = Some(Utf8String::from_static("a/b"));
        properties.correlation_data = Some(Bytes::from_static(b"cc"));
        properties.user_properties = vec![
            (Utf8String::from_static("k"), Utf8String::from_static("v")),
            (Utf8String::from_static("k2"), Utf8String::from_static("v2")),
        ];
        message
    }

    /// What `mosquitto_sub` 2.0.11 printed for the same message.
    #[test]
    fn fields_are_as_mosquitto_sub_prints_them() {
        let message = message();
        for (format, expected) in [
            ("%t %p %q%r %m %l", "p/1 one 11 7 3"),
            ("%P|%C|%R|%D|%E|%F|%S|%A", "k:v k2:v2|a/b||cc||||"),
            (
                "%10l|%-10l|%010l|%10A",
                "         3|3         |0000000003|          ",
            ),
            ("%10.2t|%-6t|%.2C", "        p/|p/1   |a/"),
            (
                "%X|%x|%10p|%010p|%2p|%-5p|",
                "6F6E65|6f6e65|       one|0000000one|on|one  |",
            ),
            ("100%%\\t@@\\\\", "100%\t@\\"),
        ] {
            assert_eq!(written(format, &message), expected, "{format}");
        }
    }

    #[test]
    fn times_are_those_of_strftime() {
        for (format, expected) in [
            ("%I", "2026-03-09T07:05:04+0100"),
            ("%U", "1773036304.001234567"),
            ("@Y-@m-@d @H:@M:@S.@N", "2026-03-09 07:05:04.001234567"),
            (
                "@c|@x|@X|@r",
                "Mon Mar  9 07:05:04 2026|03/09/26|07:05:04|07:05:04 AM",
            ),
            (
                "@Z @z @s @j @u @w @V @G @y @C",
                "CET +0100 1773036304 068 1 1 11 2026 26 20",
            ),
            (
                "@a @A @b @B @h @p @P @I @l @k @e",
                "Mon Monday Mar March Mar AM am 07  7  7  9",
            ),
            ("@D @F @T @R@n@t", "03/09/26 2026-03-09 07:05:04 07:05\n\t"),
            ("@U @W @g", "10 10 26"),
        ] {
            assert_eq!(written(format, &message()), expected, "{format}");
        }
    }

    #[test]
    fn json_has_the_form_of_mosquitto_sub() {
        assert_eq!(
            written("%j", &message()),
            concat!(
                r#"{"tst":"2026-03-09T07:05:04.001234Z+0100","topic":"p/1","qos":1,"retain":1,"#,
                r#""payloadlen":3,"mid":7,"properties":{"correlation-data":"cc","#,
                r#""user-properties":{"k":"v","k2":"v2"},"content-type":"a/b"},"payload":"one"}"#
            )
        );
        let now = ZonedDateTime::now();
        let format = Format::parse("%J!").unwrap();
        let mut out = Vec::new();
        assert_eq!(format.write(&mut out, &message(), &now, false), Err(NoJson));
        assert_eq!(out, b"!");
    }

    #[test]
    fn a_wrong_format_is_named() {
        for (format, part) in [
            ("%", "last %"),
            ("%10", "last %"),
            ("%Z", "%Z"),
            ("@", "last @"),
            ("\\", "last \\"),
            ("\\q", "\\q"),
        ] {
            let error = Format::parse(format).unwrap_err();
            assert!(error.contains(part), "{format}: {error}");
        }
    }
}
