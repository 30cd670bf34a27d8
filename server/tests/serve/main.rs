//! The real binary, over real sockets on this machine.

// Nothing here ships, so what cannot happen may panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod access;
mod bounded;
mod changes;
mod demo;
mod devices;
mod floods;
mod frames;
mod gateway;
mod history;
mod hostile;
mod http;
mod large;
mod latest;
mod lifecycle;
mod limits;
mod meeting;
mod messages;
mod pages;
mod recorded;
mod restart;
mod standstill;
mod support;
mod tcp;
mod websocket;
