//! Bytes to packets and back (chapters 1.5, 2 and 3 of the standard).
//!
//! **Invariant.** What is decoded holds no copy of a string or payload, only slices of the
//! input; what is encoded is measured first and then written once.

mod decode;
mod decoder;
mod encode;
mod properties;
mod reader;
mod sink;

pub use decoder::Decoder;
pub use encode::{
    PublishForm, PublishTemplate, TemplatePatch, TopicForm, encode, encode_publish, encode_within,
    encoded_len,
};
