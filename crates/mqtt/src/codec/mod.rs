//! Bytes to packets and back (chapters 1.5, 2 and 3 of the standard).
//!
//! **Invariant.** A decoded packet holds no copy of a string or payload, only slices of the input.
//! The encoder measures first and then writes once.

mod decode;
mod decoder;
mod encode;
mod properties;
mod reader;
mod sink;

pub use decoder::{Decoder, packet_len};
pub use encode::{
    PublishForm, PublishTemplate, TemplatePatch, TopicForm, encode, encode_publish, encode_within,
    encoded_len,
};
