//! Whether an element is on screen, and how large it is. The whole page has one observer of each
//! kind.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, WeakMap};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{
    Element, IntersectionObserver, IntersectionObserverEntry, IntersectionObserverInit,
    ResizeObserver, ResizeObserverEntry,
};

/// What is reported about an element. Both reports come once soon after [`Visibility::watch`].
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// Whether it is inside the window, or a little outside.
    OnScreen(bool),
    /// Its content box, in CSS pixels.
    Size { width: f64, height: f64 },
}

/// Watches an element until it is dropped.
pub(super) struct Visibility {
    element: Element,
    number: u32,
}

type Report = Rc<dyn Fn(Seen)>;

struct Observers {
    intersection: IntersectionObserver,
    resize: ResizeObserver,
    /// The number of each watched element.
    numbers: WeakMap,
    /// The reports by number. Free numbers have none.
    reports: Vec<Option<Report>>,
    free: Vec<u32>,
    _callbacks: [Closure<dyn FnMut(Array)>; 2],
}

thread_local! {
    static OBSERVERS: RefCell<Option<Observers>> = const { RefCell::new(None) };
}

/// How far outside of the window an element counts as on screen already.
const MARGIN: &str = "120px";

impl Visibility {
    /// Watches `element`. `None` if the browser has no observers: then everything counts as on screen.
    pub(super) fn watch(element: &Element, report: impl Fn(Seen) + 'static) -> Option<Self> {
        OBSERVERS.with_borrow_mut(|observers| {
            if observers.is_none() {
                *observers = Observers::new().ok();
            }
            let observers = observers.as_mut()?;
            let number = observers.place(Rc::new(report));
            observers.numbers.set(element, &JsValue::from(number));
            observers.intersection.observe(element);
            observers.resize.observe(element);
            Some(Self {
                element: element.clone(),
                number,
            })
        })
    }
}

impl Drop for Visibility {
    fn drop(&mut self) {
        let report = OBSERVERS.with_borrow_mut(|observers| {
            let observers = observers.as_mut()?;
            observers.intersection.unobserve(&self.element);
            observers.resize.unobserve(&self.element);
            observers.numbers.delete(&self.element);
            observers.free.push(self.number);
            observers.reports.get_mut(self.number as usize)?.take()
        });
        // The closure may own other watched elements, so it is dropped outside of the borrow.
        drop(report);
    }
}

impl Observers {
    fn new() -> Result<Self, JsValue> {
        let on_screen = Closure::<dyn FnMut(Array)>::new(|entries: Array| {
            for entry in entries.iter() {
                let entry: IntersectionObserverEntry = entry.unchecked_into();
                report(&entry.target(), Seen::OnScreen(entry.is_intersecting()));
            }
        });
        let size = Closure::<dyn FnMut(Array)>::new(|entries: Array| {
            for entry in entries.iter() {
                let entry: ResizeObserverEntry = entry.unchecked_into();
                let content = entry.content_rect();
                let seen = Seen::Size {
                    width: content.width(),
                    height: content.height(),
                };
                report(&entry.target(), seen);
            }
        });
        let options = IntersectionObserverInit::new();
        options.set_root_margin(MARGIN);
        Ok(Self {
            intersection: IntersectionObserver::new_with_options(
                on_screen.as_ref().unchecked_ref(),
                &options,
            )?,
            resize: ResizeObserver::new(size.as_ref().unchecked_ref())?,
            numbers: WeakMap::new(),
            reports: Vec::new(),
            free: Vec::new(),
            _callbacks: [on_screen, size],
        })
    }
}

impl Observers {
    fn place(&mut self, report: Report) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.reports.push(None);
            u32::try_from(self.reports.len() - 1).unwrap_or(u32::MAX)
        });
        self.reports[number as usize] = Some(report);
        number
    }
}

fn report(element: &Element, seen: Seen) {
    let report = OBSERVERS.with_borrow(|observers| {
        let observers = observers.as_ref()?;
        let number = observers.numbers.get(element).as_f64()?;
        // These are numbers that we gave.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        observers.reports.get(number as usize).cloned().flatten()
    });
    // This is outside of the borrow, because the callback may watch other elements, or stop
    // watching.
    if let Some(report) = report {
        report(seen);
    }
}
