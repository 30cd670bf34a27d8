//! Following our own server: its list of devices, then its changes.
//!
//! | file | what it decides |
//! |---|---|
//! | [`following`] | whether broker and API are the same server, and what to ask it for, when |
//! | [`clock`] | how far this machine's clock is from the server's |
//! | [`order`] | whether an answer or a change is the newer one |
//! | [`requests`] | where to ask: the addresses |
//!
//! None of them touches a browser: `state/session.rs` carries out what they decide.

pub mod clock;
pub mod following;
pub mod order;
pub mod requests;
