//! MQTT 3.1.1 and 5: packets, codec, topics and a sans-IO client.
//!
//! Everything in Beaconry that speaks MQTT speaks it through this crate: the browser, the broker,
//! the simulator and the tests.
//!
//! **Invariant.** This crate knows no socket, clock, thread or random source: bytes and
//! [`Instant`]s come in, bytes and events come out.
//!
//! ```
//! use mqtt::{Connect, Decoder, Packet, ProtocolVersion, encode};
//! use bytes::{Bytes, BytesMut};
//!
//! let mut wire = BytesMut::new();
//! let connect = Packet::Connect(Connect::new(ProtocolVersion::V5, "weather-01"));
//! encode(&connect, ProtocolVersion::V5, &mut wire).unwrap();
//!
//! // A decoder learns the version from CONNECT, and accepts any split of the bytes.
//! let mut decoder = Decoder::server();
//! let mut input = wire.freeze();
//! assert_eq!(decoder.decode(&mut input).unwrap(), Some(connect));
//! assert_eq!(decoder.decode(&mut input).unwrap(), None);
//! ```
#![no_std]

extern crate alloc;

pub mod client;
mod codec;
mod coverage;
mod error;
pub mod packet;
mod reason;
mod text;
mod time;
mod topic;

/// The features of this build. The code tests them with `if`, so the compiler checks all code in
/// every build, and leaves out what is never reached.
const PUBLISH: bool = cfg!(feature = "publish");
const SERVER: bool = cfg!(feature = "server");

pub use client::{Client, ClientOptions, DisconnectCause, Event, State};
pub use codec::{
    Decoder, PublishForm, PublishTemplate, TemplatePatch, TopicForm, encode, encode_publish,
    encode_within, encoded_len, packet_len,
};
pub use coverage::{filter_covers, filters_overlap};
pub use error::{DecodeError, DecodeErrorKind, EncodeError, ProtocolError};
pub use packet::{
    Auth, ConnAck, Connect, Dialect, Disconnect, Packet, PacketId, PacketType, ProtocolVersion,
    PubAck, PubComp, PubRec, PubRel, Publish, QoS, RetainHandling, SubAck, Subscribe, Subscription,
    UnsubAck, Unsubscribe, Will,
};
pub use reason::ReasonCode;
pub use text::{TextError, Utf8String};
pub use time::Instant;
pub use topic::{TopicError, TopicFilter, TopicName, topic_matches};
