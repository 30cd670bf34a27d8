//! Keeps a panic of one thread from ending the server.
//!
//! The release build aborts the process at a panic, after the panic's hook. So the hook never returns on
//! a thread that stays: the thread waits for ever, and the rest of the server goes on. A build that
//! unwinds would have to be paid for by every message of the broker.
//!
//! **Invariant.** What such a thread holds stays taken. So it computes nothing under a lock that others
//! need.

use std::cell::Cell;
use std::sync::Once;

type OnPanic = Box<dyn FnOnce()>;

thread_local! {
    /// What is to be done if this thread panics. `None`: what is always done.
    static ON_PANIC: Cell<Option<OnPanic>> = const { Cell::new(None) };
}

/// From now on a panic of this thread ends no other: the thread calls `on_panic`, and then waits for
/// ever, or ends where the build unwinds.
pub(super) fn stay(on_panic: impl FnOnce() + 'static) {
    /// Once, because a hook that does not return cannot be replaced.
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            before(info);
            // A thread that ends has no such values any more.
            let on_panic = ON_PANIC.try_with(Cell::take).ok().flatten();
            if let Some(on_panic) = on_panic {
                on_panic();
                // Where a panic unwinds, it ends this thread alone. A thread that waits in the hook holds
                // it for ever, and the test harness wants it back.
                while cfg!(panic = "abort") {
                    std::thread::park();
                }
            }
        }));
    });
    ON_PANIC.set(Some(Box::new(on_panic)));
}
