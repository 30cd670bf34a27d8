//! The state of one session (section 4.1).

use core::time::Duration;

use mqtt::{Instant, PacketId, Utf8String};

use crate::admission::MemoryBudget;
use crate::routing::Lookups;
use crate::session::{HeldWill, Memberships, Outgoing};
use crate::types::{Grants, NodeId, SessionId, SessionNumber, Slot, Timer, Timers};

/// A client's session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(super) client_id: Utf8String,
    /// Its name in records, if it outlives its connection and the broker writes a journal.
    pub(super) number: Option<SessionNumber>,
    /// The client's connection, if it has one.
    pub(super) slot: Option<Slot>,
    /// How long it outlives its connection, in seconds. `u32::MAX`: for ever.
    pub(super) expiry_interval: u32,
    /// The nodes of its filters, in order.
    pub(super) subscriptions: Vec<NodeId>,
    /// Its places in groups. `None` until it joins one.
    pub(super) shared: Option<Box<Memberships>>,
    /// Bytes of its subscriptions.
    pub(super) subscription_bytes: usize,
    /// Messages to be sent, or sent and not acknowledged. `None` while there are none.
    pub(super) outgoing: Option<Box<Outgoing>>,
    /// Its retained look-ups. `None` while there are none.
    pub(super) lookups: Option<Box<Lookups>>,
    /// The last packet identifier, from which the next `outgoing` continues. So an identifier is
    /// not used again soon, and a late packet is not taken for an answer to a newer message.
    pub(super) last_packet_id: u16,
    /// The packet identifiers of incoming `QoS` 2 messages between PUBLISH and PUBREL, in
    /// order `[MQTT-4.3.3-10]`.
    pub(super) incoming: Vec<PacketId>,
    /// How much of its publish rate the client has used: the number of messages that the rate
    /// allows from the start of the clock to the time up to which it is used.
    pub(super) paid: u64,
    /// The time since which the session has had no connection.
    /// [`Sessions`](crate::session::Sessions) orders sessions by this time, so it changes both
    /// together.
    pub(super) absent_since: Option<Instant>,
    /// The will `[MQTT-3.1.2-7]`.
    pub(super) will: Option<Box<HeldWill>>,
    /// Whether no record holds the will, because the store had no room.
    pub(super) is_will_unrecorded: bool,
    /// When [`Timer::Will`] is due.
    pub(super) will_at: Option<Instant>,
    /// What its client may do, as of its last connection.
    pub(super) grants: Grants,
    /// When [`Timer::SessionExpiry`] is due.
    pub(super) expires_at: Option<Instant>,
}

impl Session {
    /// Mutable access to the outgoing messages. Creates the queue and window if there are none.
    pub(crate) fn outgoing_or_new(&mut self) -> &mut Outgoing {
        self.named_outgoing_or_new().1
    }

    /// The client identifier, and the outgoing messages as [`outgoing_or_new`](Self::outgoing_or_new)
    /// gives them.
    pub(crate) fn named_outgoing_or_new(&mut self) -> (&Utf8String, &mut Outgoing) {
        let (last_packet_id, lasts) = (self.last_packet_id, self.number.is_some());
        let outgoing = self
            .outgoing
            .get_or_insert_with(|| Box::new(Outgoing::following(last_packet_id, lasts)));
        (&self.client_id, outgoing)
    }

    /// Sets its name in records.
    pub(crate) fn set_number(&mut self, number: Option<SessionNumber>, memory: &mut MemoryBudget) {
        let before = self.stored_bytes();
        self.number = number;
        memory.change_stored_session(before, self.stored_bytes());
        if let Some(outgoing) = &mut self.outgoing {
            let before = outgoing.weight();
            outgoing.set_stored(number.is_some());
            memory.requeue(before, outgoing.weight());
        }
    }

    /// Bytes that it takes in a checkpoint without its will and its messages, estimated rather
    /// too high.
    pub(crate) fn stored_bytes(&self) -> u64 {
        /// Bytes of the frame and of all fields of fixed length.
        const SESSION: usize = 96;
        match self.number {
            Some(_) => (SESSION + self.client_id.len() + self.subscription_bytes) as u64,
            None => 0,
        }
    }

    /// Sets the bytes of its subscriptions.
    pub(crate) fn set_subscription_bytes(&mut self, bytes: usize, memory: &mut MemoryBudget) {
        let before = self.stored_bytes();
        memory.change_subscriptions(self.subscription_bytes, bytes);
        self.subscription_bytes = bytes;
        memory.change_stored_session(before, self.stored_bytes());
    }

    /// Frees the queue and the window if both are empty. Look-ups know their place by how many
    /// messages have entered the queue, so while there are any, the queue stays.
    pub(crate) fn drop_outgoing_if_empty(&mut self) {
        if self.lookups.is_none()
            && let Some(outgoing) = &self.outgoing
            && outgoing.messages() == 0
        {
            self.last_packet_id = outgoing.last_packet_id();
            self.outgoing = None;
        }
    }

    /// When the session would expire if it lost its connection now. `None`: never.
    pub(crate) fn expires_after(&self, now: Instant) -> Option<Instant> {
        (self.expiry_interval != u32::MAX)
            .then(|| now + Duration::from_secs(self.expiry_interval.into()))
    }

    pub(crate) fn client_id(&self) -> &Utf8String {
        &self.client_id
    }

    /// Its name in records, if it outlives its connection and the broker writes a journal.
    pub(crate) fn number(&self) -> Option<SessionNumber> {
        self.number
    }

    /// The client's connection, if it has one.
    pub(crate) fn slot(&self) -> Option<Slot> {
        self.slot
    }

    pub(crate) fn set_slot(&mut self, slot: Option<Slot>) {
        self.slot = slot;
    }

    /// What its client may do.
    pub(crate) fn grants(&self) -> &Grants {
        &self.grants
    }

    pub(crate) fn set_grants(&mut self, grants: Grants) {
        self.grants = grants;
    }

    /// How long it outlives its connection, in seconds. `u32::MAX`: for ever.
    pub(crate) fn expiry_interval(&self) -> u32 {
        self.expiry_interval
    }

    pub(crate) fn set_expiry_interval(&mut self, seconds: u32) {
        self.expiry_interval = seconds;
    }

    /// When it expires, while it has no connection.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }

    /// Sets when it expires. `None`: never, or it is connected.
    pub(crate) fn set_expires_at(
        &mut self,
        id: SessionId,
        at: Option<Instant>,
        timers: &mut Timers,
    ) {
        timers.set(Timer::SessionExpiry(id), &mut self.expires_at, at);
    }

    /// Notes that the timer of its expiry has fired.
    pub(crate) fn expiry_timer_fired(&mut self) {
        self.expires_at = None;
    }

    /// The messages to be sent, or sent and not acknowledged, if there are any.
    pub(crate) fn outgoing(&self) -> Option<&Outgoing> {
        self.outgoing.as_deref()
    }

    /// Whether a `QoS` 0 message waits in the queue.
    pub(crate) fn holds_at_most_once(&self) -> bool {
        self.outgoing().is_some_and(Outgoing::holds_at_most_once)
    }

    /// Mutable access to the outgoing messages, if there are any.
    pub(crate) fn outgoing_mut(&mut self) -> Option<&mut Outgoing> {
        self.outgoing.as_deref_mut()
    }

    /// What the broker needs to send to the client, if there are messages: the client
    /// identifier, the look-ups that may go first, and the messages.
    pub(crate) fn sending_parts(
        &mut self,
    ) -> Option<(&Utf8String, Option<&Lookups>, &mut Outgoing)> {
        let outgoing = self.outgoing.as_deref_mut()?;
        Some((&self.client_id, self.lookups.as_deref(), outgoing))
    }

    /// Takes the outgoing messages out of the session, if `is_wanted` says so.
    pub(crate) fn take_outgoing_if(
        &mut self,
        is_wanted: impl FnOnce(&Outgoing) -> bool,
    ) -> Option<Box<Outgoing>> {
        self.outgoing.take_if(|it| is_wanted(it))
    }

    /// Puts the outgoing messages back.
    pub(crate) fn put_outgoing(&mut self, outgoing: Box<Outgoing>) {
        self.outgoing = Some(outgoing);
    }

    /// The last packet identifier that was used.
    pub(crate) fn last_packet_id(&self) -> u16 {
        self.outgoing()
            .map_or(self.last_packet_id, Outgoing::last_packet_id)
    }

    /// Restores the last packet identifier that was used.
    pub(crate) fn restore_last_packet_id(&mut self, last_packet_id: u16) {
        self.last_packet_id = last_packet_id;
    }

    /// The retained look-ups, if there are any.
    pub(crate) fn lookups(&self) -> Option<&Lookups> {
        self.lookups.as_deref()
    }

    /// Mutable access to the retained look-ups, if there are any.
    pub(crate) fn lookups_mut(&mut self) -> Option<&mut Lookups> {
        self.lookups.as_deref_mut()
    }

    /// Mutable access to the retained look-ups. Creates the list if there is none.
    pub(crate) fn lookups_or_new(&mut self) -> &mut Lookups {
        self.lookups.get_or_insert_default()
    }

    /// Takes the retained look-ups out of the session.
    pub(crate) fn take_lookups(&mut self) -> Option<Box<Lookups>> {
        self.lookups.take()
    }

    /// Puts the retained look-ups back.
    pub(crate) fn put_lookups(&mut self, lookups: Box<Lookups>) {
        self.lookups = Some(lookups);
    }

    pub(super) fn new(client_id: Utf8String) -> Self {
        Self {
            client_id,
            number: None,
            slot: None,
            expiry_interval: 0,
            subscriptions: Vec::new(),
            shared: None,
            grants: Grants::default(),
            subscription_bytes: 0,
            outgoing: None,
            lookups: None,
            last_packet_id: 0,
            incoming: Vec::new(),
            paid: 0,
            absent_since: None,
            will: None,
            is_will_unrecorded: false,
            will_at: None,
            expires_at: None,
        }
    }
}
