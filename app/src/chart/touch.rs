//! Fingers and wheels move what the charts show.

use leptos::ev::{PointerEvent, WheelEvent};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

use super::past::Past;

/// The finger that moves a chart.
#[derive(Copy, Clone)]
pub(super) struct Finger(StoredValue<Option<Grip>, LocalStorage>);

impl Default for Finger {
    fn default() -> Self {
        Self(StoredValue::new_local(None))
    }
}

impl Finger {
    pub(super) fn set(self, grip: Option<Grip>) {
        self.0.set_value(grip);
    }

    pub(super) fn get(self) -> Option<Grip> {
        self.0.get_value()
    }
}

/// Where a finger was put down, and what was shown then.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) struct Grip {
    x: f64,
    width: f64,
    shown: (f64, f64),
}

/// A shorter way is a tap.
const TAP: f64 = 6.0;

/// A finger is put down. A mouse selects a part instead.
pub(super) fn grip(event: &PointerEvent, past: Option<Past>) -> Option<Grip> {
    let past = past.filter(|_| event.pointer_type() == "touch")?;
    Some(Grip {
        x: f64::from(event.client_x()),
        width: width_of(event)?,
        shown: past.shown(),
    })
}

impl Grip {
    /// The finger has moved.
    pub(super) fn drag(self, event: &PointerEvent, past: Past) {
        let way = self.x - f64::from(event.client_x());
        if way.abs() < TAP {
            return;
        }
        let by = way / self.width * (self.shown.1 - self.shown.0);
        past.drag_to(self.shown.0 + by, self.shown.1 + by);
    }
}

/// Two fingers on a trackpad, or the wheel with Control, make what is shown longer or shorter; sideways they move it.
/// The wheel alone scrolls the page, as everywhere.
pub(super) fn wheel(event: &WheelEvent, past: Past) {
    let shown = past.shown();
    let (across, along) = (event.delta_x(), event.delta_y());
    let width = width_of(event).unwrap_or(1.0);
    if event.ctrl_key() {
        event.prevent_default();
        let around = f64::from(event.offset_x()) / width;
        let factor = (along / 300.0).clamp(-1.0, 1.0).exp2();
        past.drag_to_changed(shown, 0.0, factor, around.clamp(0.0, 1.0));
    } else if across.abs() > along.abs() || event.shift_key() {
        event.prevent_default();
        let way = if across == 0.0 { along } else { across };
        past.drag_to_changed(shown, way / width, 1.0, 0.0);
    }
}

fn width_of(event: &web_sys::MouseEvent) -> Option<f64> {
    let element: HtmlElement = event.current_target()?.dyn_into().ok()?;
    Some(f64::from(element.client_width()).max(1.0))
}
