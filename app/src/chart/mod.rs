//! What draws: one animation frame loop, trend lines, charts.

pub mod frame;
mod uplot;
