//! Ctrl-C, or SIGTERM: what is under way ends, what is finished is still told.
//!
//! Who waits for a broker asks [`check`] now and then, so that the error goes the way of all
//! errors: brokers are ended and their folders removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Signals are for the whole process.
static HAS_COME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// From now on the first signal is only noted; a second one ends this process at once.
pub(crate) fn listen() -> Result<()> {
    let has_come = HAS_COME.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal must not find what it notes itself.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(has_come))
            .and_then(|_| flag::register(signal, Arc::clone(has_come)))
            .context("cannot listen to signals")?;
    }
    Ok(())
}

pub(crate) fn has_come() -> bool {
    HAS_COME.get().is_some_and(|it| it.load(Ordering::Relaxed))
}

/// An error once a signal has come.
pub(crate) fn check() -> Result<()> {
    if has_come() {
        bail!("broken off");
    }
    Ok(())
}
