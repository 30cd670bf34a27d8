//! Ctrl-C or SIGTERM: the run under way ends, and the report shows what was finished.
//!
//! Code that waits for a broker calls [`check`] now and then. So the signal becomes an error like
//! others: brokers end and their folders are removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether a signal has come. This is a static, because signals concern the whole process.
static HAS_COME: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Begins to note signals. The first one is only noted. A second one ends this process at once.
pub(crate) fn listen() -> Result<()> {
    let has_come = HAS_COME.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM] {
        // The order matters: a signal first looks for an earlier note and then leaves one.
        // Otherwise the first signal would find its own.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(has_come))
            .and_then(|_| flag::register(signal, Arc::clone(has_come)))
            .context("cannot listen to signals")?;
    }
    Ok(())
}

pub(crate) fn has_come() -> bool {
    HAS_COME.get().is_some_and(|it| it.load(Ordering::Relaxed))
}

/// Returns an error once a signal has come.
pub(crate) fn check() -> Result<()> {
    if has_come() {
        bail!("interrupted by a signal");
    }
    Ok(())
}
