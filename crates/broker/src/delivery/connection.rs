//! One network connection, from its opening to its end.

use bytes::Bytes;
use mqtt::{Connect, DecodeError, Decoder, Instant, Packet, ProtocolVersion, Utf8String};

use crate::admission::MemoryBudget;
use crate::delivery::{Agreement, Outbox, Pause};
use crate::types::{Conn, Peer, Slot, Timer, Timers, connect_cost, detach_connect};

/// One network connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) conn: Conn,
    decoder: Decoder,
    pub(super) phase: Phase,
    pub(super) outbox: Outbox,
    /// The client's Maximum Packet Size `[MQTT-3.1.2-24]`. No limit before CONNECT.
    maximum_packet_size: u32,
    /// Set while the connection is paused.
    pause: Option<Box<Pause>>,
    /// When [`Timer::Resume`] is due.
    resumes_at: Option<Instant>,
    /// Bytes of an unfinished packet or a waiting CONNECT, as counted in
    /// [`Metrics::partial_bytes`](crate::Metrics::partial_bytes).
    pub(super) partial: usize,
    /// When a whole packet was last received, or the connection opened.
    pub(super) last_heard: Instant,
    /// When [`Timer::Connection`] is due.
    deadline: Option<Instant>,
}

/// The phase of a connection.
#[derive(Debug)]
pub(crate) enum Phase {
    /// The client has sent at most a part of CONNECT.
    AwaitingConnect(Peer),
    /// The client has sent CONNECT. The shell decides whether it may connect.
    Authenticating(Box<Authenticating>),
    /// The broker has sent CONNACK "success".
    Connected(Agreement),
    /// The shell has been told to close the connection, or soon will be. Nothing more is read.
    Closing,
}

/// A CONNECT that waits for the shell's decision.
#[derive(Debug)]
pub(crate) struct Authenticating {
    peer: Peer,
    /// A copy that keeps no read buffer alive, because CONNECT may have to wait for long.
    connect: Connect,
    /// Bytes that the copy takes.
    connect_bytes: usize,
    /// The client identifier, which the client asked for or the broker assigned.
    client_id: ClientId,
    /// Bytes that the client has sent after CONNECT.
    early: Vec<Bytes>,
    early_bytes: usize,
}

/// A client identifier, and who chose it.
#[derive(Clone, Debug)]
pub(crate) struct ClientId {
    text: Utf8String,
    /// Whether the broker chose the identifier. CONNACK must then carry it `[MQTT-3.1.3-7]`.
    is_assigned: bool,
}

impl Connection {
    pub(crate) fn new(now: Instant, conn: Conn, peer: Peer, maximum_packet_size: u32) -> Self {
        let mut decoder = Decoder::server();
        decoder.set_max_packet_size(maximum_packet_size);
        Self {
            conn,
            decoder,
            phase: Phase::AwaitingConnect(peer),
            outbox: Outbox::default(),
            pause: None,
            resumes_at: None,
            partial: 0,
            maximum_packet_size: u32::MAX,
            last_heard: now,
            deadline: None,
        }
    }

    pub(crate) fn conn(&self) -> Conn {
        self.conn
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(crate) fn phase_mut(&mut self) -> &mut Phase {
        &mut self.phase
    }

    pub(crate) fn outbox_mut(&mut self) -> &mut Outbox {
        &mut self.outbox
    }

    /// Lets CONNECT wait for the shell's decision.
    pub(crate) fn begin_authentication(&mut self, waiting: Authenticating) {
        self.phase = Phase::Authenticating(Box::new(waiting));
    }

    /// Ends the wait for the shell's decision. Returns the CONNECT that waited.
    pub(crate) fn end_authentication(&mut self) -> Option<Box<Authenticating>> {
        match core::mem::replace(&mut self.phase, Phase::Closing) {
            Phase::Authenticating(waiting) => {
                self.phase = Phase::AwaitingConnect(waiting.peer);
                Some(waiting)
            }
            other @ (Phase::AwaitingConnect(_) | Phase::Connected(_) | Phase::Closing) => {
                self.phase = other;
                None
            }
        }
    }

    /// Notes that the client is connected.
    pub(crate) fn establish(&mut self, now: Instant, agreement: Agreement) {
        self.phase = Phase::Connected(agreement);
        self.last_heard = now;
    }

    /// Begins to close the connection. Returns the phase that it was in.
    pub(crate) fn begin_closing(&mut self) -> Phase {
        core::mem::replace(&mut self.phase, Phase::Closing)
    }

    /// The version that the client speaks, once CONNECT has said so.
    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.decoder.version()
    }

    /// The client's Maximum Packet Size `[MQTT-3.1.2-24]`. No limit before CONNECT.
    pub(crate) fn maximum_packet_size(&self) -> u32 {
        self.maximum_packet_size
    }

    pub(crate) fn set_maximum_packet_size(&mut self, bytes: u32) {
        self.maximum_packet_size = bytes;
    }

    /// Decodes the next whole packet from earlier bytes and `bytes`.
    pub(crate) fn decode(
        &mut self,
        now: Instant,
        bytes: &mut Bytes,
    ) -> Result<Option<Packet>, DecodeError> {
        let decoded = self.decoder.decode(bytes);
        if let Ok(Some(_)) = decoded {
            self.last_heard = now;
        }
        decoded
    }

    /// Whether a part of a packet was received.
    pub(crate) fn has_partial_packet(&self) -> bool {
        self.decoder.buffered() > 0
    }

    /// Counts the bytes of the unfinished packet, the deferred bytes, and the CONNECT that waits
    /// for a decision.
    pub(crate) fn count_partial(&mut self, memory: &mut MemoryBudget) {
        let deferred = self.pause.as_ref().map_or(0, |pause| pause.bytes());
        let waiting = match &self.phase {
            Phase::Authenticating(waiting) => waiting.bytes(),
            Phase::AwaitingConnect(_) | Phase::Connected(_) | Phase::Closing => 0,
        };
        let buffered = self.decoder.buffered() + deferred + waiting;
        if buffered != self.partial {
            memory.change_partial(self.partial, buffered);
            self.partial = buffered;
        }
    }

    /// Frees the unfinished packet and the deferred bytes. They will never be read.
    pub(crate) fn drop_unread(&mut self, memory: &mut MemoryBudget) {
        self.decoder = Decoder::server();
        self.pause = None;
        self.count_partial(memory);
    }

    /// The time until which the client may be silent. `None`: for ever.
    pub(crate) fn may_be_silent_until(&self, now: Instant) -> Option<Instant> {
        let Phase::Connected(agreement) = &self.phase else {
            return None;
        };
        let longest_silence = agreement.longest_silence()?;
        // A paused client cannot be heard, so its time begins when it is read again.
        let awaits_store = self.awaits_store().then_some(now);
        let heard = self.resumes_at.max(awaits_store);
        Some(heard.unwrap_or(self.last_heard) + longest_silence)
    }

    /// Sets when [`Timer::Connection`] is due.
    pub(crate) fn set_deadline(&mut self, slot: Slot, at: Option<Instant>, timers: &mut Timers) {
        timers.set(Timer::Connection(slot), &mut self.deadline, at);
    }

    /// Notes that [`Timer::Connection`] was due.
    pub(crate) fn clear_deadline(&mut self) {
        self.deadline = None;
    }

    /// The connection is gone: subtracts what it counted for, and removes its timer.
    pub(crate) fn forget(mut self, slot: Slot, memory: &mut MemoryBudget, timers: &mut Timers) {
        self.outbox.forget(memory);
        memory.change_partial(self.partial, 0);
        timers.set(Timer::Resume(slot), &mut self.resumes_at, None);
    }
}

/// Pauses.
impl Connection {
    pub(crate) fn is_paused(&self) -> bool {
        self.pause.is_some()
    }

    fn awaits_store(&self) -> bool {
        self.pause.as_ref().is_some_and(|it| it.awaits_store())
    }

    /// Pauses the connection until `until`.
    pub(crate) fn pause_until(&mut self, slot: Slot, until: Instant, timers: &mut Timers) {
        self.pause = Some(Box::default());
        timers.set(Timer::Resume(slot), &mut self.resumes_at, Some(until));
    }

    /// Pauses the connection until the store has caught up. Returns `false` if it already waited
    /// for that.
    pub(crate) fn pause_for_store(&mut self) -> bool {
        self.pause.get_or_insert_default().await_store()
    }

    /// Notes that the store has caught up. Returns whether the connection may be read again: it may
    /// not if it is also paused because its client is too fast.
    pub(crate) fn stop_awaiting_store(&mut self) -> bool {
        if let Some(pause) = &mut self.pause {
            pause.stop_awaiting_store();
        }
        self.resumes_at.is_none()
    }

    /// Defers `bytes`, if the connection is paused. Returns whether it is.
    pub(crate) fn defer(&mut self, bytes: &Bytes) -> bool {
        match &mut self.pause {
            Some(pause) => {
                pause.defer(bytes);
                true
            }
            None => false,
        }
    }

    /// Resumes the connection after [`Timer::Resume`] was due or the store has caught up.
    /// Returns the deferred bytes, if nothing else keeps it paused.
    pub(crate) fn resume(&mut self, now: Instant) -> Option<Vec<Bytes>> {
        self.resumes_at = None;
        if self.awaits_store() {
            return None;
        }
        let pause = self.pause.take()?;
        // The client could not be heard during the pause.
        self.last_heard = now;
        Some(pause.into_unread())
    }
}

impl Authenticating {
    pub(crate) fn new(peer: Peer, connect: &Connect, client_id: &ClientId) -> Self {
        Self {
            peer,
            connect: detach_connect(connect),
            connect_bytes: connect_cost(connect),
            client_id: client_id.detach(),
            early: Vec::new(),
            early_bytes: 0,
        }
    }

    pub(crate) fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    pub(crate) fn connect(&self) -> &Connect {
        &self.connect
    }

    fn bytes(&self) -> usize {
        self.connect_bytes + self.early_bytes
    }

    /// Defers bytes after CONNECT. Returns whether they are at most `most` bytes in all.
    pub(crate) fn defer(&mut self, bytes: &Bytes, most: usize) -> bool {
        self.early_bytes += bytes.len();
        // A copy, because these bytes may have to wait for long.
        self.early.push(Bytes::copy_from_slice(bytes));
        self.early_bytes <= most
    }

    /// The CONNECT, its client identifier, and the bytes after it.
    pub(crate) fn into_parts(self) -> (Connect, ClientId, Vec<Bytes>) {
        (self.connect, self.client_id, self.early)
    }
}

impl ClientId {
    /// An identifier that the client asked for.
    pub(crate) fn asked_for(text: Utf8String) -> Self {
        Self {
            text,
            is_assigned: false,
        }
    }

    /// An identifier that the broker chose.
    pub(crate) fn assigned(text: Utf8String) -> Self {
        Self {
            text,
            is_assigned: true,
        }
    }

    /// The same identifier as a copy, if it is a slice of the read buffer.
    fn detach(&self) -> Self {
        Self {
            text: self.text.detach(),
            is_assigned: self.is_assigned,
        }
    }

    pub(crate) fn text(&self) -> &Utf8String {
        &self.text
    }

    pub(crate) fn into_text(self) -> Utf8String {
        self.text
    }

    /// The text, if the broker chose it.
    pub(crate) fn if_assigned(&self) -> Option<&Utf8String> {
        self.is_assigned.then_some(&self.text)
    }
}
