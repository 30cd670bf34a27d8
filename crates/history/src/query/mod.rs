//! Questions: a metric over a range of time, and everything at one time.
//!
//! A question takes a picture first: under the lock it copies what it needs of the open rows, and the list of
//! files. Then it reads the files without holding up anybody. If the archive has merged a file away meanwhile, it
//! takes a new picture.

mod everyone;
mod in_order;
mod moment;
mod rows;
mod series;

pub use self::moment::{Moment, MomentValue};
pub use self::series::{Aggregate, Point, SeriesAnswer, SeriesQuery, StateSpan};

use std::io;

use crate::error::Error;

/// How often a question takes a new picture.
const TRIES: usize = 4;

/// Asks again if a file has gone meanwhile.
fn with_retries<T>(mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    for _ in 1..TRIES {
        match ask() {
            Err(Error::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {}
            answer => return answer,
        }
    }
    ask()
}
