//! The Beaconry dashboard: a Leptos page that talks MQTT over a WebSocket.
//!
//! The whole page is in this library. Native tests check its logic, tests in headless Chromium its
//! browser part; `main.rs` only mounts it.
//!
//! From the ground up; each part imports only parts above it in this list (`xtask/tests/imports.rs`):
//!
//! - [`frame`]: the one animation frame loop; nothing else asks for animation frames.
//! - [`route`]: which page the address names.
//! - [`state`]: what the screen shows, and the one connection that feeds it.
//! - [`chart`]: trend lines and charts.
//! - [`components`]: what the pages are made of.
//! - [`pages`]: the fleet, one device, and what an unknown address gets.
//! - [`app`]: the frame around the pages.

pub mod app;
pub mod chart;
pub mod components;
pub mod frame;
pub mod pages;
pub mod route;
pub mod state;
