//! The Beaconry dashboard: a Leptos page that talks MQTT over a WebSocket.
//!
//! Everything of the page is in this library, so that its logic is tested natively and its
//! browser part in headless Chromium; `main.rs` only mounts it.
//!
//! - [`state`]: what the screen shows, and the one connection that feeds it.
//! - [`chart`]: the frame loop, the trend lines and the charts.
//! - [`app`]: the shell round the pages; [`route`]: which page the address names.
//! - [`pages`] and [`components`]: what is on them.

pub mod app;
pub mod chart;
pub mod components;
pub mod pages;
pub mod route;
pub mod state;
