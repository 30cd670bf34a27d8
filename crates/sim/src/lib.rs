//! For tests: a seeded network, a simulated clock and reference models.
//!
//! State machines that know no socket and no clock meet here. One [`Random`] with one seed makes
//! all random decisions, so a run is the same each time, and its seed alone reproduces a failure.
//!
//! ```
//! use core::time::Duration;
//! use mqtt::Instant;
//! use sim::{Conditions, Delivery, Network, Side};
//!
//! let mut network = Network::new(7, Conditions::perfect());
//! let link = network.open(Instant::ZERO);
//! network.send(Instant::ZERO, link, Side::Client, b"hello".as_slice().into());
//!
//! let mut heard = Vec::new();
//! while let Some((_now, delivery)) = network.pop() {
//!     if let Delivery::Bytes { bytes, .. } = delivery {
//!         heard.extend_from_slice(&bytes);
//!     }
//! }
//! assert_eq!(heard, b"hello");
//! ```

pub mod broker;
mod clock;
mod network;
pub mod peer;
mod random;
pub mod seeds;

pub use clock::Clock;
pub use network::{Conditions, Delivery, LinkId, Network, Side};
pub use random::Random;
