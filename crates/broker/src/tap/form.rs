//! The bytes of a batch.
//!
//! Each event has the same head, and behind it the client identifier, the topic, the Correlation
//! Data and the payload, as long as the head says. What an event does not have is empty.
//!
//! ```text
//! kind         u8
//! flags        u8   of the kind
//! client       u16  bytes of the client identifier
//! topic        u16  bytes of the topic
//! correlation  u16  bytes of the Correlation Data
//! payload      u32  bytes of the payload
//! number       u64  a connection, or how many messages were lost
//! at           u64  microseconds of the broker's clock
//! ```
//!
//! All numbers are little-endian. No batch outlives the process, so the form has no version.
//!
//! A broker routes a message in about 300 ns. So an event is written with one copy of each part into
//! one buffer, and allocates nothing.

use mqtt::{Instant, QoS};

use crate::tap::{Departure, Publisher, TapEvent};
use crate::types::Conn;

/// Bytes of an event besides its parts.
const HEAD: usize = 28;

const MESSAGE: u8 = 1;
const WILL: u8 = 2;
const RETAINED: u8 = 3;
const CONNECTED: u8 = 4;
const LEFT: u8 = 5;
const RETAINED_GONE: u8 = 6;
const RESYNC_BEGINS: u8 = 7;
const RESYNC_ENDS: u8 = 8;
const LOST: u8 = 9;

/// The bits of a message's flags that hold its `QoS`.
const QOS: u8 = 0b11;
const RETAIN: u8 = 0b100;
/// Correlation Data is there, perhaps empty.
const HAS_CORRELATION: u8 = 0b1000;
/// The flag of a client that has connected just now.
const IS_NEWS: u8 = 1;

/// The events of a batch, in order: see [`read`].
#[derive(Clone, Debug)]
pub struct Events<'a> {
    rest: &'a [u8],
}

/// Reads a batch that [`Broker::take_tap`](crate::Broker::take_tap) gave.
///
/// It reads nothing else, but other bytes do no harm: the events end where the bytes stop making
/// sense.
pub fn read(batch: &[u8]) -> Events<'_> {
    Events { rest: batch }
}

impl<'a> Iterator for Events<'a> {
    type Item = TapEvent<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let event = read_one(&mut self.rest);
        if event.is_none() {
            self.rest = &[];
        }
        event
    }
}

/// Bytes that `event` takes in a batch.
pub(super) fn size(event: &TapEvent<'_>) -> usize {
    let parts = parts(event);
    HEAD + parts.client.len() + parts.topic.len() + parts.correlation.len() + parts.payload.len()
}

/// Appends `event`. The caller has made room.
pub(super) fn put(out: &mut Vec<u8>, event: &TapEvent<'_>) {
    let parts = parts(event);
    let mut head = [0; HEAD];
    head[0] = parts.kind;
    head[1] = parts.flags;
    head[2..4].copy_from_slice(&short(parts.client.len()));
    head[4..6].copy_from_slice(&short(parts.topic.len()));
    head[6..8].copy_from_slice(&short(parts.correlation.len()));
    head[8..12].copy_from_slice(&long(parts.payload.len()));
    head[12..20].copy_from_slice(&parts.number.to_le_bytes());
    head[20..28].copy_from_slice(&parts.at.as_micros().to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(parts.client.as_bytes());
    out.extend_from_slice(parts.topic.as_bytes());
    out.extend_from_slice(parts.correlation);
    out.extend_from_slice(parts.payload);
}

/// The length of a string or of binary data. MQTT has none that are longer (section 1.5.4).
fn short(len: usize) -> [u8; 2] {
    u16::try_from(len).unwrap_or(u16::MAX).to_le_bytes()
}

/// The length of a payload. MQTT has no packets that are longer (section 2.1.4).
fn long(len: usize) -> [u8; 4] {
    u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes()
}

/// What the head says, and what stands behind it.
struct Parts<'a> {
    kind: u8,
    flags: u8,
    client: &'a str,
    topic: &'a str,
    correlation: &'a [u8],
    payload: &'a [u8],
    number: u64,
    at: Instant,
}

impl Parts<'_> {
    const fn of(kind: u8) -> Self {
        Self {
            kind,
            flags: 0,
            client: "",
            topic: "",
            correlation: &[],
            payload: &[],
            number: 0,
            at: Instant::ZERO,
        }
    }
}

#[inline]
fn parts<'a>(event: &TapEvent<'a>) -> Parts<'a> {
    match *event {
        TapEvent::Message {
            at,
            publisher,
            qos,
            retain,
            topic,
            payload,
            correlation_data,
        } => {
            let (kind, client, number) = match publisher {
                Publisher::Connection(conn) => (MESSAGE, "", conn.0),
                Publisher::Will(client_id) => (WILL, client_id, 0),
            };
            Parts {
                kind,
                flags: message_flags(qos, retain, correlation_data),
                client,
                topic,
                correlation: correlation_data.unwrap_or_default(),
                payload,
                number,
                at,
            }
        }
        TapEvent::Retained {
            at,
            publisher,
            qos,
            topic,
            payload,
            correlation_data,
        } => Parts {
            kind: RETAINED,
            flags: message_flags(qos, true, correlation_data),
            client: publisher,
            topic,
            correlation: correlation_data.unwrap_or_default(),
            payload,
            number: 0,
            at,
        },
        TapEvent::Connected {
            at,
            conn,
            client_id,
            is_news,
        } => Parts {
            flags: if is_news { IS_NEWS } else { 0 },
            client: client_id,
            number: conn.0,
            at,
            ..Parts::of(CONNECTED)
        },
        TapEvent::Left {
            at,
            conn,
            client_id,
            how,
        } => Parts {
            flags: departure_to_bits(how),
            client: client_id,
            number: conn.0,
            at,
            ..Parts::of(LEFT)
        },
        TapEvent::RetainedGone { at, topic } => Parts {
            topic,
            at,
            ..Parts::of(RETAINED_GONE)
        },
        TapEvent::ResyncBegins => Parts::of(RESYNC_BEGINS),
        TapEvent::ResyncEnds => Parts::of(RESYNC_ENDS),
        TapEvent::Lost { messages } => Parts {
            number: messages,
            ..Parts::of(LOST)
        },
    }
}

fn message_flags(qos: QoS, retain: bool, correlation_data: Option<&[u8]>) -> u8 {
    let qos = match qos {
        QoS::AtMostOnce => 0,
        QoS::AtLeastOnce => 1,
        QoS::ExactlyOnce => 2,
    };
    let retain = if retain { RETAIN } else { 0 };
    let correlation = if correlation_data.is_some() {
        HAS_CORRELATION
    } else {
        0
    };
    qos | retain | correlation
}

/// Takes the first event off `rest`. `None`: there is none, or the bytes make no sense.
fn read_one<'a>(rest: &mut &'a [u8]) -> Option<TapEvent<'a>> {
    let (head, mut behind) = rest.split_first_chunk::<HEAD>()?;
    let [
        kind,
        flags,
        c0,
        c1,
        t0,
        t1,
        d0,
        d1,
        p0,
        p1,
        p2,
        p3,
        numbers @ ..,
    ] = head;
    let client = take_text(&mut behind, u16::from_le_bytes([*c0, *c1]))?;
    let topic = take_text(&mut behind, u16::from_le_bytes([*t0, *t1]))?;
    let correlation = take(&mut behind, u16::from_le_bytes([*d0, *d1]).into())?;
    let payload = u32::from_le_bytes([*p0, *p1, *p2, *p3]);
    let payload = take(&mut behind, usize::try_from(payload).ok()?)?;
    let (number, at) = numbers.split_first_chunk::<8>()?;
    let number = u64::from_le_bytes(*number);
    let at = Instant::from_micros(u64::from_le_bytes(*at.first_chunk()?));
    *rest = behind;

    let conn = Conn(number);
    let correlation_data = (flags & HAS_CORRELATION > 0).then_some(correlation);
    Some(match *kind {
        MESSAGE | WILL => TapEvent::Message {
            at,
            publisher: match *kind {
                MESSAGE => Publisher::Connection(conn),
                _ => Publisher::Will(client),
            },
            qos: qos(*flags)?,
            retain: flags & RETAIN > 0,
            topic,
            payload,
            correlation_data,
        },
        RETAINED => TapEvent::Retained {
            at,
            publisher: client,
            qos: qos(*flags)?,
            topic,
            payload,
            correlation_data,
        },
        CONNECTED => TapEvent::Connected {
            at,
            conn,
            client_id: client,
            is_news: flags & IS_NEWS > 0,
        },
        LEFT => TapEvent::Left {
            at,
            conn,
            client_id: client,
            how: departure_of_bits(*flags)?,
        },
        RETAINED_GONE => TapEvent::RetainedGone { at, topic },
        RESYNC_BEGINS => TapEvent::ResyncBegins,
        RESYNC_ENDS => TapEvent::ResyncEnds,
        LOST => TapEvent::Lost { messages: number },
        _ => return None,
    })
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

fn take_text<'a>(rest: &mut &'a [u8], len: u16) -> Option<&'a str> {
    core::str::from_utf8(take(rest, len.into())?).ok()
}

fn qos(flags: u8) -> Option<QoS> {
    match flags & QOS {
        0 => Some(QoS::AtMostOnce),
        1 => Some(QoS::AtLeastOnce),
        2 => Some(QoS::ExactlyOnce),
        _ => None,
    }
}

fn departure_to_bits(how: Departure) -> u8 {
    match how {
        Departure::Disconnected => 0,
        Departure::DisconnectedWithWill => 1,
        Departure::ConnectionLost => 2,
        Departure::KeepAliveTimeout => 3,
        Departure::TakenOver => 4,
        Departure::Dismissed => 5,
        Departure::ServerShutDown => 6,
    }
}

fn departure_of_bits(bits: u8) -> Option<Departure> {
    Some(match bits {
        0 => Departure::Disconnected,
        1 => Departure::DisconnectedWithWill,
        2 => Departure::ConnectionLost,
        3 => Departure::KeepAliveTimeout,
        4 => Departure::TakenOver,
        5 => Departure::Dismissed,
        6 => Departure::ServerShutDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events() -> Vec<TapEvent<'static>> {
        let (at, conn) = (Instant::from_micros(1_234_567), Conn(u64::MAX - 7));
        let message = |publisher, qos, retain, correlation_data| TapEvent::Message {
            at,
            publisher,
            qos,
            retain,
            topic: "häuser/1/temperatur",
            payload: b"21.5",
            correlation_data,
        };
        let mut events = vec![
            message(Publisher::Connection(conn), QoS::AtMostOnce, false, None),
            message(
                Publisher::Connection(conn),
                QoS::AtLeastOnce,
                true,
                Some(b""),
            ),
            message(Publisher::Will("a"), QoS::ExactlyOnce, true, Some(b"\xff")),
            TapEvent::Retained {
                at,
                publisher: "",
                qos: QoS::ExactlyOnce,
                topic: "t",
                payload: &[0; 70_000],
                correlation_data: None,
            },
            TapEvent::RetainedGone { at, topic: "t" },
            TapEvent::ResyncBegins,
            TapEvent::ResyncEnds,
            TapEvent::Lost { messages: 1 << 40 },
        ];
        for is_news in [false, true] {
            events.push(TapEvent::Connected {
                at,
                conn,
                client_id: "wetter-01",
                is_news,
            });
        }
        for how in (0..=6).filter_map(departure_of_bits) {
            events.push(TapEvent::Left {
                at,
                conn,
                client_id: "wetter-01",
                how,
            });
        }
        events
    }

    fn written(events: &[TapEvent<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for event in events {
            let before = out.len();
            put(&mut out, event);
            assert_eq!(out.len() - before, size(event), "{event:?}");
        }
        out
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        let events = events();
        assert_eq!(events.len(), 17);
        assert_eq!(read(&written(&events)).collect::<Vec<_>>(), events);
    }

    #[test]
    fn a_batch_that_is_cut_off_ends_before_the_event_that_is_not_whole() {
        let events = events();
        let bytes = written(&events);
        let cuts = (0..bytes.len()).filter(|cut| *cut < 600 || cut % 997 == 0);
        for cut in cuts {
            let read: Vec<_> = read(&bytes[..cut]).collect();
            assert!(read.len() < events.len());
            assert_eq!(read, events[..read.len()], "cut at {cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(&bytes).count() <= bytes.len() / HEAD);
        }

        #[test]
        fn no_damage_makes_reading_panic(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut bytes = written(&events());
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            prop_assert!(read(&bytes).count() <= bytes.len() / HEAD);
        }
    }
}
