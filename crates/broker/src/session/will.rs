//! The will of a session (section 3.1.2.5).

use core::time::Duration;

use mqtt::{Instant, Will};

use crate::admission::MemoryBudget;
use crate::durability::TransientWill;
use crate::session::Session;
use crate::types::{
    Cause, DueWill, Grants, SessionId, SessionNumber, Timer, Timers, detach_will, will_cost,
};

/// The will of a session.
#[derive(Debug)]
pub(crate) struct HeldWill {
    /// A copy that keeps no read buffer alive.
    will: Will,
    /// Its own name in records, if its session ends with its connection. The name is here and
    /// not in the session because most sessions have no will.
    number: Option<SessionNumber>,
}

impl HeldWill {
    /// Its own name in records, if its session ends with its connection.
    pub(crate) fn number(&self) -> Option<SessionNumber> {
        self.number
    }

    pub(crate) fn into_will(self) -> Will {
        self.will
    }

    pub(crate) fn new(will: &Will) -> Self {
        Self {
            will: detach_will(will),
            number: None,
        }
    }
}

impl DueWill {
    /// A will from records whose session ended with its connection. `grants` are the present ones.
    pub(crate) fn left(transient_will: &TransientWill, grants: Grants) -> Self {
        Self {
            will: detach_will(&transient_will.will),
            publisher: transient_will.client_id.detach(),
            session: None,
            cause: Cause::TransientWill(transient_will.session),
            grants,
        }
    }
}

/// The will of a session.
impl Session {
    /// When the will would be due if the session lost its connection now. `None` if the session
    /// ends first.
    pub(crate) fn will_due_at(&self, now: Instant) -> Option<Instant> {
        let delay = self.will()?.properties.will_delay_interval.unwrap_or(0);
        let is_before = delay == 0 || delay < self.expiry_interval;
        is_before.then(|| now + Duration::from_secs(delay.into()))
    }

    pub(crate) fn will(&self) -> Option<&Will> {
        self.will.as_ref().map(|held| &held.will)
    }

    /// The record of the will of a session that ends with its connection. `number` names it if
    /// it has no name yet.
    pub(crate) fn transient_will(
        &mut self,
        number: impl FnOnce() -> SessionNumber,
    ) -> Option<TransientWill> {
        debug_assert!(self.number.is_none(), "its record has the will");
        let held = self.will.as_deref_mut()?;
        Some(TransientWill {
            session: *held.number.get_or_insert_with(number),
            client_id: self.client_id.clone(),
            will: Box::new(held.will.clone()),
        })
    }

    /// The will and its own name in records, if it has one.
    #[cfg(test)]
    pub(crate) fn held_will(&self) -> Option<(SessionNumber, &Will)> {
        let held = self.will.as_deref()?;
        Some((held.number?, &held.will))
    }

    /// Replaces the will by a copy that keeps no read buffer alive.
    pub(crate) fn set_will(&mut self, will: Option<&Will>, memory: &mut MemoryBudget) {
        self.forget_will(memory);
        if let Some(will) = will {
            memory.add_will(will_cost(will));
            self.will = Some(Box::new(HeldWill::new(will)));
        }
    }

    /// Removes and returns the will.
    pub(crate) fn take_will(&mut self, memory: &mut MemoryBudget) -> Option<Box<HeldWill>> {
        let will = self.will.take()?;
        memory.remove_will(will_cost(&will.will));
        Some(will)
    }

    pub(crate) fn forget_will(&mut self, memory: &mut MemoryBudget) {
        self.take_will(memory);
    }

    /// Whether no record holds the will, because the store had no room.
    pub(crate) fn is_will_unrecorded(&self) -> bool {
        self.is_will_unrecorded
    }

    pub(crate) fn set_will_unrecorded(&mut self, is_will_unrecorded: bool) {
        self.is_will_unrecorded = is_will_unrecorded;
    }

    /// When the will is due, if it is delayed.
    pub(crate) fn will_at(&self) -> Option<Instant> {
        self.will_at
    }

    /// Sets when the will is due. `None`: no time is set.
    pub(crate) fn set_will_at(&mut self, id: SessionId, at: Option<Instant>, timers: &mut Timers) {
        timers.set(Timer::Will(id), &mut self.will_at, at);
    }

    /// Notes that the timer of the will has fired.
    pub(crate) fn will_timer_fired(&mut self) {
        self.will_at = None;
    }
}
