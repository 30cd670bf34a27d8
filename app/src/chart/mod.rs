//! Trend lines and charts. The frame loop calls them: see [`frame`](crate::frame).
//!
//! - [`Sparkline`]: a metric's trend, on a canvas of our own.
//! - [`LiveChart`]: a group of metrics, by uPlot, with values under the cursor.
//!
//! - [`Past`]: what the server remembers, and which part of it is shown.
//!
//! Inside: `source` reads what a chart shows, `trace` turns readings into a line of pixels, `scale` chooses how much of
//! the value axis is shown, `align` puts several metrics on one time axis, `palette` knows the style sheet's colours, `visibility` knows what is on screen.

mod align;
// Signals are large in debug builds, where they know who made them. Elsewhere they are a few numbers.
#[allow(clippy::large_types_passed_by_value)]
pub mod live;
mod palette;
pub mod past;
mod plot;
mod scale;
#[allow(clippy::large_types_passed_by_value)] // as above
mod source;
pub mod sparkline;
#[allow(clippy::large_types_passed_by_value)] // as above
mod touch;
mod trace;
mod uplot;
mod visibility;

pub use live::LiveChart;
pub use past::{Memory, Past};
pub use sparkline::{Sparkline, TrendLine};
