//! Series of readings: rows in, small exact blocks out, and back again.
//!
//! A *group* is the metrics of a device that come in the same messages. A *row* is what one message said:
//! a time, and values of some of the group's columns. So the times of all columns are stored once.
//!
//! | file | what |
//! |---|---|
//! | `value.rs` | a value |
//! | `open.rs` | rows that still come |
//! | `block/` | rows that do not change any more, as bytes |
//! | `rows.rs` | what both can be asked |
//! | `rollup/` | counts, sums and extremes of a minute, an hour, a day, and the time in each state |
//! | `m4.rs` | the points of a chart |
//!
//! **Invariants.** The crate knows no file, clock, thread or random source. A value is read back bit for bit
//! as it was pushed. Whatever bytes it is given, it does not panic, and takes no more memory than the number
//! of rows that fit into a block ([`MAX_ROWS`]) justifies.
//!
//! ```
//! use series::{Block, Open, Rows, Value};
//!
//! let mut open = Open::new();
//! for second in 0..3600 {
//!     let time = 1_795_233_600_000 + second * 1000;
//!     let temperature = 20.0 + (second % 50) as f64 / 100.0;
//!     open.push(time, time, &[(0, Value::Number(temperature)), (1, Value::Text("open"))]);
//! }
//! let bytes = open.seal();
//! assert!(bytes.len() < 3600);
//!
//! let block = Block::parse(bytes).unwrap();
//! let (time, value) = block.at(0, 1_795_233_607_999).unwrap().unwrap();
//! assert_eq!((time, value.borrow()), (1_795_233_607_000, Value::Number(20.07)));
//! ```

mod block;
mod bytes;
mod damage;
mod m4;
mod open;
mod rollup;
mod rows;
mod value;

pub use block::{Block, MAX_ROWS};
pub use damage::Damage;
pub use m4::{M4, Pixel, level_for};
pub use open::Open;
pub use rollup::{Level, OTHER_STATES, Rollup, RollupBlock, StateTimes, merge_rollups, rollup};
pub use rows::{Latest, Row, Rows, merge};
pub use value::{OwnedValue, Value};

/// Milliseconds, most often since 1970.
pub type Millis = i64;
