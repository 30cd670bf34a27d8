//! A timer that goes off once each time it is started.

use core::cell::Cell;

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

/// Calls a closure once, some time after each start, until it is dropped.
///
/// A new start replaces the earlier one. So there are one closure and at most one time-out, however
/// often the timer is started.
pub struct Timer {
    callback: Closure<dyn FnMut()>,
    id: Cell<Option<i32>>,
}

impl Timer {
    /// A timer that is not running.
    pub fn new(callback: impl FnMut() + 'static) -> Self {
        Self {
            callback: Closure::new(callback),
            id: Cell::new(None),
        }
    }

    /// Goes off `millis` milliseconds from now, and no earlier.
    pub fn start(&self, millis: u32) {
        self.stop();
        // A browser takes a signed number; the longest is 24 days.
        let millis = i32::try_from(millis).unwrap_or(i32::MAX);
        let callback = self.callback.as_ref().unchecked_ref();
        let id = crate::window().and_then(|window| {
            window
                .set_timeout_with_callback_and_timeout_and_arguments_0(callback, millis)
                .ok()
        });
        self.id.set(id);
    }

    /// Stops it, until it is started again.
    pub fn stop(&self) {
        if let (Some(id), Some(window)) = (self.id.take(), crate::window()) {
            window.clear_timeout_with_handle(id);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}
