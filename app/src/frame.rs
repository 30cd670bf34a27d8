//! The page's one animation frame loop.
//!
//! Everything that draws registers here and says when it is dirty. One `requestAnimationFrame`
//! serves all of them: each dirty drawable that is on screen is drawn once, however many messages
//! made it dirty.
//!
//! **Invariants.**
//! - At most one frame is requested at a time, and none while nothing is dirty.
//! - What is off screen stays dirty and is drawn when it comes back, not before.
//! - A hidden page draws nothing: browsers give it no animation frames.
//! - [`Phase::State`] comes first, so that what it makes dirty is drawn in the same frame.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use wasm_bindgen::JsCast;
use wasm_bindgen::closure::Closure;

/// The part of a frame in which something is called.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Carries what has arrived into the reactive graph.
    State,
    /// Draws.
    Draw,
}

/// The loop. Clones are the same loop.
#[derive(Clone, Default)]
pub struct FrameLoop(Rc<Inner>);

#[derive(Default)]
struct Inner {
    schedule: RefCell<Schedule>,
    /// The calls by slot. Free slots have none.
    calls: RefCell<Vec<Option<Call>>>,
    callback: RefCell<Option<Callback>>,
}

/// What is called with the frame's time, in milliseconds of `performance.now()`.
type Call = Rc<RefCell<dyn FnMut(f64)>>;
/// What the browser calls.
type Callback = Closure<dyn FnMut(f64)>;

thread_local! {
    static PAGE: FrameLoop = FrameLoop::default();
}

impl FrameLoop {
    /// The page's loop.
    pub fn page() -> Self {
        PAGE.with(Clone::clone)
    }

    /// Calls `call` in the next frame after each [`Drawable::invalidate`]. It counts as
    /// on screen until it says otherwise.
    pub fn register(&self, phase: Phase, call: impl FnMut(f64) + 'static) -> Drawable {
        let slot = self.0.schedule.borrow_mut().add(phase);
        let mut calls = self.0.calls.borrow_mut();
        if calls.len() <= slot {
            calls.resize(slot + 1, None);
        }
        calls[slot] = Some(Rc::new(RefCell::new(call)));
        Drawable {
            owner: Rc::downgrade(&self.0),
            slot,
        }
    }

    /// Makes everything dirty: the colours have changed.
    pub fn invalidate_all(&self) {
        let mut schedule = self.0.schedule.borrow_mut();
        for slot in 0..schedule.states.len() {
            schedule.invalidate(slot);
        }
        drop(schedule);
        Inner::request(&self.0);
    }

    /// How many drawables are registered.
    pub fn len(&self) -> usize {
        self.0.calls.borrow().iter().flatten().count()
    }

    /// Whether none is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a frame has been asked for.
    pub fn is_running(&self) -> bool {
        self.0.schedule.borrow().requested
    }
}

/// Something registered with the loop, until it is dropped.
pub struct Drawable {
    owner: Weak<Inner>,
    slot: Slot,
}

impl Drawable {
    /// Makes it dirty: it is called in the next frame in which it is on screen.
    pub fn invalidate(&self) {
        self.update(Schedule::invalidate);
    }

    /// Says whether it is on screen.
    pub fn set_on_screen(&self, on_screen: bool) {
        self.update(|schedule, slot| schedule.set_on_screen(slot, on_screen));
    }

    fn update(&self, update: impl FnOnce(&mut Schedule, Slot)) {
        if let Some(inner) = self.owner.upgrade() {
            update(&mut inner.schedule.borrow_mut(), self.slot);
            Inner::request(&inner);
        }
    }
}

impl Drop for Drawable {
    fn drop(&mut self) {
        if let Some(inner) = self.owner.upgrade() {
            inner.schedule.borrow_mut().remove(self.slot);
            // The closure may own other drawables, so it is dropped after the borrow has ended.
            let call = inner.calls.borrow_mut()[self.slot].take();
            drop(call);
        }
    }
}

impl Inner {
    /// Asks the browser for a frame, unless one is asked for already or nothing is due.
    fn request(this: &Rc<Self>) {
        if !this.schedule.borrow_mut().take_request() {
            return;
        }
        let mut callback = this.callback.borrow_mut();
        let callback = callback.get_or_insert_with(|| {
            let weak = Rc::downgrade(this);
            Closure::new(move |time| {
                if let Some(inner) = weak.upgrade() {
                    Self::frame(&inner, time);
                }
            })
        });
        if let Some(window) = web_sys::window() {
            // This fails only in a document that is being removed.
            let _ = window.request_animation_frame(callback.as_ref().unchecked_ref());
        }
    }

    fn frame(this: &Rc<Self>, time: f64) {
        for phase in [Phase::State, Phase::Draw] {
            let due = this.schedule.borrow_mut().take_due(phase);
            for slot in due {
                // The calls are looked up one by one, because a call may have dropped a later one.
                let call = this.calls.borrow()[slot].clone();
                if let Some(call) = call
                    && let Ok(mut call) = call.try_borrow_mut()
                {
                    call(time);
                }
            }
        }
        this.schedule.borrow_mut().requested = false;
        Self::request(this);
    }
}

/// The index of a drawable. Free slots are used again.
type Slot = usize;

/// Which drawables are due: the part of the loop that knows no browser.
#[derive(Default)]
struct Schedule {
    states: Vec<State>,
    free: Vec<Slot>,
    /// Those that are dirty and on screen, in the order in which they became so. Some may have
    /// changed since: each is checked again when it is taken.
    due: Vec<Slot>,
    requested: bool,
}

#[derive(Copy, Clone)]
struct State {
    phase: Phase,
    on_screen: bool,
    dirty: bool,
    /// Whether it is in `due`.
    listed: bool,
}

impl Schedule {
    fn add(&mut self, phase: Phase) -> Slot {
        let state = State {
            phase,
            on_screen: true,
            dirty: false,
            listed: false,
        };
        if let Some(slot) = self.free.pop() {
            self.states[slot] = state;
            return slot;
        }
        self.states.push(state);
        self.states.len() - 1
    }

    fn remove(&mut self, slot: Slot) {
        self.due.retain(|due| *due != slot);
        // A free slot never becomes due.
        self.states[slot].on_screen = false;
        self.free.push(slot);
    }

    fn invalidate(&mut self, slot: Slot) {
        self.change(slot, |state| state.dirty = true);
    }

    fn set_on_screen(&mut self, slot: Slot, on_screen: bool) {
        self.change(slot, |state| state.on_screen = on_screen);
    }

    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut State)) {
        let state = &mut self.states[slot];
        change(state);
        if state.is_due() && !state.listed {
            state.listed = true;
            self.due.push(slot);
        }
    }

    /// Whether a frame must be requested now. After it was `true`, it is `false` until that frame
    /// has come.
    fn take_request(&mut self) -> bool {
        let request = !self.requested && self.due.iter().any(|slot| self.states[*slot].is_due());
        self.requested |= request;
        request
    }

    /// Takes the drawables that are to be called in `phase`, in order. They are clean afterwards.
    fn take_due(&mut self, phase: Phase) -> Vec<Slot> {
        let states = &mut self.states;
        let mut taken = Vec::new();
        self.due.retain(|slot| {
            let state = &mut states[*slot];
            let stays = state.is_due() && state.phase != phase;
            if state.is_due() && !stays {
                state.dirty = false;
                taken.push(*slot);
            }
            state.listed = stays;
            stays
        });
        taken
    }
}

impl State {
    fn is_due(self) -> bool {
        self.dirty && self.on_screen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_asks_for_one_frame_and_calls_each_once() {
        let mut schedule = Schedule::default();
        let slot = schedule.add(Phase::Draw);
        assert!(!schedule.take_request(), "nothing is dirty");
        for _ in 0..1_000 {
            schedule.invalidate(slot);
        }
        assert!(schedule.take_request());
        assert!(!schedule.take_request(), "one is on its way");
        assert_eq!(schedule.take_due(Phase::Draw), [slot]);
        assert!(schedule.take_due(Phase::Draw).is_empty());
    }

    #[test]
    fn what_is_off_screen_waits_and_is_drawn_when_it_comes_back() {
        let mut schedule = Schedule::default();
        let slot = schedule.add(Phase::Draw);
        schedule.set_on_screen(slot, false);
        schedule.invalidate(slot);
        assert!(!schedule.take_request());
        schedule.set_on_screen(slot, true);
        assert!(schedule.take_request());
        assert_eq!(schedule.take_due(Phase::Draw), [slot]);
    }

    #[test]
    fn state_comes_before_drawing_and_removed_ones_never() {
        let mut schedule = Schedule::default();
        let chart = schedule.add(Phase::Draw);
        let state = schedule.add(Phase::State);
        let gone = schedule.add(Phase::Draw);
        schedule.invalidate(chart);
        schedule.invalidate(state);
        schedule.invalidate(gone);
        schedule.remove(gone);
        assert_eq!(schedule.take_due(Phase::State), [state]);
        assert_eq!(schedule.take_due(Phase::Draw), [chart]);
    }

    #[test]
    fn a_slot_is_given_again_clean_and_once_due() {
        let mut schedule = Schedule::default();
        let first = schedule.add(Phase::Draw);
        schedule.invalidate(first);
        schedule.remove(first);
        schedule.invalidate(first);
        let second = schedule.add(Phase::Draw);
        assert_eq!(second, first);
        assert!(!schedule.take_request(), "it is clean");
        schedule.invalidate(second);
        schedule.set_on_screen(second, false);
        schedule.set_on_screen(second, true);
        assert_eq!(schedule.take_due(Phase::Draw), [second]);
    }
}
