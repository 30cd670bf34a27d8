//! The memory of what happened, as files in a folder.
//!
//! An [`Archive`] takes rows: what one message said about one device. It journals them, seals them into blocks
//! ([`series`]) when there are enough, keeps the blocks in files by day, and drops the oldest by age and size.
//! A [`View`] answers questions from other threads.
//!
//! ```text
//! FOLDER/catalog/table                        names of devices, groups and columns
//! FOLDER/journal/00000001.log                 rows that are not sealed yet
//! FOLDER/blocks/20261201-raw-0000000001.seg   sealed rows of a day
//! FOLDER/blocks/20261201-minutes-….seg        rollups of a minute; `hours`: of an hour and of a day
//! FOLDER/blocks/20261201-events-….seg         presences, commands, faults, descriptions
//! ```
//!
//! | file | what |
//! |---|---|
//! | `archive.rs` | takes rows: the journal, and what is open |
//! | `opening.rs` | the start: what earlier runs have left |
//! | `sealing.rs` | open rows become blocks in files |
//! | `merging.rs` | many files of a day become one |
//! | `retention.rs` | what is old is dropped |
//! | `view.rs`, `query/` | answers questions |
//! | `catalog.rs` | names |
//! | `file.rs`, `name.rs` | a file of blocks |
//! | `journal.rs` | what stands in the journal |
//!
//! **Invariants.** The crate knows no clock: `now` comes in. What [`Archive::commit`] has returned for is there
//! at the next start, after a crash too, and no row is there twice. A damaged block costs that block: it
//! is named, and the rest is served. A question never waits for the disk that the archive writes to.
//!
//! ```
//! # let folder = testbed::Folder::new();
//! use history::{Archive, Settings, SeriesQuery};
//! use series::Value;
//!
//! let settings = Settings::new(folder.path().join("history"));
//! let now = 1_795_233_600_000;
//! let mut archive = Archive::open(settings, now).unwrap().archive;
//! let device = archive.device("plant/pump-1");
//! let metrics = archive.metrics(device, &["flow", "on"]);
//! archive.append(now, now, &[(metrics[0], Value::Number(21.53)), (metrics[1], Value::Bool(true))], None);
//! archive.commit().unwrap();
//!
//! let view = archive.view();
//! let query = SeriesQuery { from: now, to: now + 1000, width: 100, ..SeriesQuery::new("plant/pump-1", "flow") };
//! let answer = view.series(&query).unwrap().unwrap();
//! assert!(answer.is_raw && answer.points.len() == 1);
//! ```

mod archive;
mod catalog;
mod error;
mod file;
mod journal;
mod merging;
mod name;
mod opening;
mod query;
mod retention;
mod sealing;
mod settings;
mod view;

pub use archive::{Archive, Counted};
pub use catalog::{
    CLIENT, COMMAND, DEVICE, FAULT, LATITUDE, LONGITUDE, MetricRef, PRESENCE, metric_name,
    stored_name,
};
pub use error::{Damaged, Error};
pub use file::File;
pub use name::{Kind, Name};
pub use opening::Opened;
pub use query::{Aggregate, Moment, MomentValue, Point, SeriesAnswer, SeriesQuery, StateSpan};
pub use settings::Settings;
pub use view::{Kept, View};
