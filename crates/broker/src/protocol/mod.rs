//! The wing protocol.

mod last_word;
mod prefix_sniffing;

pub(crate) use last_word::{farewell, refusal};
pub(crate) use prefix_sniffing::looks_like;
