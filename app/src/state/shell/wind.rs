//! The past is shown in place of what is.
//!
//! What is goes on aside: messages and changes reach it, and nothing of it is drawn. So the way back takes
//! no time.

use std::cell::RefMut;
use std::rc::Rc;

use api::fleet::Device;
use fleet::Timestamp;

use super::Shell;
use crate::state::core::Core;

impl Shell {
    /// What is, whether it is shown or not.
    pub(super) fn live(&self) -> RefMut<'_, Core> {
        if self.is_wound() {
            self.aside.borrow_mut()
        } else {
            self.core.borrow_mut()
        }
    }

    /// Whether the past is shown.
    pub(in crate::state) fn is_wound(&self) -> bool {
        self.wound.get().is_some()
    }

    /// Shows these devices, which are all that there were at this time.
    pub(in crate::state) fn wind(self: &Rc<Self>, at: Timestamp, devices: &[Device]) {
        if !self.is_wound() {
            // What is goes aside, and the past takes its place.
            self.aside.replace(Core::of_past());
            self.core.swap(&self.aside);
        }
        self.wound.set(Some(at));
        self.core.borrow_mut().show_past(at, devices);
        self.list_due.set(true);
        self.request_frame();
    }

    /// What is known of one device at the time that is shown.
    pub(in crate::state) fn wind_device(&self, device: &Device) {
        if let Some(at) = self.wound.get() {
            self.core
                .borrow_mut()
                .adopt_devices(at, std::slice::from_ref(device), false);
            self.request_frame();
        }
    }

    /// Shows what is again.
    pub(in crate::state) fn unwind(self: &Rc<Self>) {
        if self.wound.take().is_none() {
            return;
        }
        self.core.swap(&self.aside);
        self.aside.replace(Core::default());
        self.core.borrow_mut().show_all_again();
        self.list_due.set(true);
        self.request_frame();
        self.subscribe_soon();
    }
}
