//! A network that is as bad as the test asks for, and the same each time.
//!
//! A link gives what TCP gives: bytes in order, each at most once, in chunks that have nothing to
//! do with how they were sent. It fails as TCP fails: it is slow, is refused, or ends. When it
//! ends, any number of the last bytes may not have arrived, perhaps from the middle of a packet on,
//! and either side may learn of the end late.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use mqtt::Instant;

use crate::clock::Clock;
use crate::random::Random;

/// How bad a network is.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// How long a chunk takes to arrive.
    pub latency: Range<Duration>,
    /// The most chunks that the bytes of one send arrive in. 1: never split.
    pub chunks: usize,
    /// How many of a thousand attempts to open a link fail.
    pub refused: u32,
    /// How many of a thousand sends are the link's last. Only part of those bytes arrives.
    pub cut: u32,
    /// How many of a thousand cut links just fall silent. Neither side hears of the cut before
    /// [`silence`](Self::silence) has passed.
    pub silent: u32,
    /// How long the sides of a silent link wait until they hear of the end.
    pub silence: Duration,
}

/// A network with its links.
///
/// It is a state machine like the ones that it connects: [`pop`](Self::pop) says what arrives next
/// and when.
#[derive(Debug)]
pub struct Network {
    /// The conditions may change at any time. Bytes that are already on their way stay as they are.
    pub conditions: Conditions,
    random: Random,
    clock: Clock<Delivery>,
    links: BTreeMap<LinkId, LinkState>,
    opened: u64,
}

/// Identifies one link. Never reused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// The ends of a link.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The side that opened it.
    Client,
    /// The other side.
    Server,
}

/// What arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The link is open at this side. The server's side hears it first.
    Opened {
        /// The link.
        link: LinkId,
        /// The side that hears it.
        at: Side,
    },
    /// The link could not be opened. Only the client hears it.
    Refused {
        /// The link.
        link: LinkId,
    },
    /// Bytes have arrived.
    Bytes {
        /// The link.
        link: LinkId,
        /// The side that receives them.
        at: Side,
        /// Never empty.
        bytes: Bytes,
    },
    /// The link has ended at this side, which hears nothing more of it.
    Closed {
        /// The link.
        link: LinkId,
        /// The side that hears it.
        at: Side,
    },
}

#[derive(Debug)]
struct LinkState {
    client: End,
    server: End,
    /// The link is cut: neither side's bytes arrive any more.
    cut: bool,
}

/// One side of a link.
#[derive(Debug)]
struct End {
    /// This side closed the link or has heard of its end: it sends and hears nothing more.
    closed: bool,
    /// When the last delivery to this side arrives. Nothing overtakes it.
    last_arrival: Instant,
}

impl Conditions {
    /// One millisecond of latency, bytes in one chunk, no faults.
    pub const fn perfect() -> Self {
        Self {
            latency: Duration::from_millis(1)..Duration::from_millis(1),
            chunks: 1,
            refused: 0,
            cut: 0,
            silent: 0,
            silence: Duration::from_mins(10),
        }
    }

    /// A bad day: 1 to 200 ms of latency, bytes in chunks, and a cut at one send in fifty. One in
    /// four cut links just falls silent.
    pub const fn bad() -> Self {
        Self {
            latency: Duration::from_millis(1)..Duration::from_millis(200),
            chunks: 4,
            refused: 200,
            cut: 20,
            silent: 250,
            silence: Duration::from_mins(10),
        }
    }
}

impl Network {
    /// A network without links.
    pub const fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            conditions,
            random: Random::new(seed),
            clock: Clock::new(Instant::ZERO),
            links: BTreeMap::new(),
            opened: 0,
        }
    }

    /// Begins to open a link. [`Delivery::Opened`] or [`Delivery::Refused`] follows.
    pub fn open(&mut self, now: Instant) -> LinkId {
        let link = LinkId(self.opened);
        self.opened += 1;
        let there = now + self.latency();
        let back = there + self.latency();
        if self.random.chance(self.conditions.refused) {
            self.clock.schedule(back, Delivery::Refused { link });
            return link;
        }
        let end = |last_arrival| End {
            closed: false,
            last_arrival,
        };
        let both = LinkState {
            client: end(back),
            server: end(there),
            cut: false,
        };
        self.links.insert(link, both);
        for (arrival, at) in [(there, Side::Server), (back, Side::Client)] {
            self.clock.schedule(arrival, Delivery::Opened { link, at });
        }
        link
    }

    /// Sends bytes from one side to the other. On a link that has ended they are lost, as in a
    /// socket whose end nobody has noticed yet.
    pub fn send(&mut self, now: Instant, link: LinkId, from: Side, bytes: Bytes) {
        let alive = self
            .links
            .get(&link)
            .is_some_and(|both| !both.cut && !both.end(from).closed);
        if !alive || bytes.is_empty() {
            return;
        }
        if self.random.chance(self.conditions.cut) {
            let arriving = self.random.index(bytes.len() + 1);
            self.deliver(now, link, from.other(), bytes.slice(..arriving));
            self.cut(now, link);
        } else {
            self.deliver(now, link, from.other(), bytes);
        }
    }

    /// Closes a link from one side, in order: bytes that were sent before arrive before the end
    /// does.
    pub fn close(&mut self, now: Instant, link: LinkId, from: Side) {
        let Some(both) = self.links.get_mut(&link) else {
            return;
        };
        both.end_mut(from).closed = true;
        if both.end(from.other()).closed {
            self.links.remove(&link);
        } else if !both.cut {
            let latency = self.latency();
            self.schedule_closed(now + latency, link, from.other());
        }
    }

    /// Cuts a link. Nothing that is sent from now on arrives. Both sides hear of the end, now or
    /// after a long silence.
    pub fn cut(&mut self, now: Instant, link: LinkId) {
        let Some(both) = self.links.get_mut(&link) else {
            return;
        };
        if core::mem::replace(&mut both.cut, true) {
            return;
        }
        for side in [Side::Client, Side::Server] {
            let silent = self.random.chance(self.conditions.silent);
            let delay = if silent {
                self.conditions.silence
            } else {
                self.latency()
            };
            self.schedule_closed(now + delay, link, side);
        }
    }

    /// Cuts every link.
    pub fn cut_all(&mut self, now: Instant) {
        let links: Vec<LinkId> = self.links.keys().copied().collect();
        for link in links {
            self.cut(now, link);
        }
    }

    /// When the next delivery may arrive.
    pub fn next_at(&self) -> Option<Instant> {
        self.clock.next_at()
    }

    /// What arrives next, and when.
    pub fn pop(&mut self) -> Option<(Instant, Delivery)> {
        while let Some((now, delivery)) = self.clock.pop() {
            if self.note_delivery(&delivery) {
                return Some((now, delivery));
            }
        }
        None
    }

    /// What arrives next, if it arrives at `now` or before.
    pub fn pop_by(&mut self, now: Instant) -> Option<(Instant, Delivery)> {
        while self.next_at().is_some_and(|at| at <= now) {
            let (at, delivery) = self.clock.pop()?;
            if self.note_delivery(&delivery) {
                return Some((at, delivery));
            }
        }
        None
    }

    /// Whether bytes that are sent on a link may still arrive.
    pub fn is_alive(&self, link: LinkId) -> bool {
        self.links
            .get(&link)
            .is_some_and(|both| !both.cut && !both.client.closed && !both.server.closed)
    }

    /// How many links are open or half open.
    pub fn links(&self) -> usize {
        self.links.len()
    }

    /// Notes what a side hears. Returns whether it still listens.
    fn note_delivery(&mut self, delivery: &Delivery) -> bool {
        match *delivery {
            Delivery::Refused { .. } => true,
            Delivery::Opened { link, at } | Delivery::Bytes { link, at, .. } => self
                .links
                .get(&link)
                .is_some_and(|both| !both.end(at).closed),
            Delivery::Closed { link, at } => {
                let Some(both) = self.links.get_mut(&link) else {
                    return false;
                };
                let heard = !core::mem::replace(&mut both.end_mut(at).closed, true);
                if both.end(at.other()).closed {
                    self.links.remove(&link);
                }
                heard
            }
        }
    }

    /// Sends bytes to one side in chunks, each no earlier than the one before.
    fn deliver(&mut self, now: Instant, link: LinkId, at: Side, mut bytes: Bytes) {
        let mut chunks = 1 + self.random.index(self.conditions.chunks.max(1));
        while !bytes.is_empty() {
            chunks -= 1;
            let len = match chunks {
                0 => bytes.len(),
                _ => 1 + self.random.index(bytes.len()),
            };
            let chunk = bytes.split_to(len);
            chunks = chunks.max(1);
            let arrival = now + self.latency();
            self.schedule_last(
                arrival,
                link,
                at,
                Delivery::Bytes {
                    link,
                    at,
                    bytes: chunk,
                },
            );
        }
    }

    fn schedule_closed(&mut self, arrival: Instant, link: LinkId, at: Side) {
        self.schedule_last(arrival, link, at, Delivery::Closed { link, at });
    }

    /// Schedules a delivery for a side, after everything that is on its way there.
    fn schedule_last(&mut self, arrival: Instant, link: LinkId, at: Side, delivery: Delivery) {
        if let Some(both) = self.links.get_mut(&link) {
            let end = both.end_mut(at);
            end.last_arrival = end.last_arrival.max(arrival);
            self.clock.schedule(end.last_arrival, delivery);
        }
    }

    fn latency(&mut self) -> Duration {
        self.random.duration(&self.conditions.latency)
    }
}

impl LinkState {
    const fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    const fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }
}

impl Side {
    /// The side at the other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `message` on a fresh link. Returns what the server's side received, and whether it
    /// heard of an end.
    fn run(seed: u64, conditions: Conditions, message: &'static [u8]) -> (Vec<u8>, bool) {
        let mut network = Network::new(seed, conditions);
        let link = network.open(Instant::ZERO);
        let (mut heard, mut closed) = (Vec::new(), false);
        while let Some((now, delivery)) = network.pop() {
            match delivery {
                Delivery::Opened {
                    at: Side::Client, ..
                } => {
                    for part in message.chunks(16) {
                        network.send(now, link, Side::Client, Bytes::from_static(part));
                    }
                }
                Delivery::Bytes {
                    at: Side::Server,
                    bytes,
                    ..
                } => heard.extend_from_slice(&bytes),
                Delivery::Closed {
                    at: Side::Server, ..
                } => closed = true,
                Delivery::Opened { .. }
                | Delivery::Bytes { .. }
                | Delivery::Closed { .. }
                | Delivery::Refused { .. } => {}
            }
        }
        (heard, closed)
    }

    #[test]
    fn received_bytes_are_the_beginning_of_the_sent_bytes() {
        static MESSAGE: [u8; 256] = {
            let mut bytes = [0; 256];
            let mut i = 0;
            while i < 256 {
                #[allow(clippy::cast_possible_truncation)]
                let byte = i as u8;
                bytes[i] = byte;
                i += 1;
            }
            bytes
        };
        let mut parts = 0;
        for seed in 0..500 {
            let (heard, closed) = run(seed, Conditions::bad(), &MESSAGE);
            assert!(MESSAGE.starts_with(&heard), "seed {seed}");
            assert!(heard.len() == MESSAGE.len() || closed || heard.is_empty());
            parts += usize::from(!heard.is_empty() && heard.len() < MESSAGE.len());
        }
        assert!(parts > 50, "only {parts} of 500 links carried a part");
    }

    #[test]
    fn a_seed_gives_the_same_network_each_time() {
        for seed in 0..50 {
            let once = run(seed, Conditions::bad(), b"the same each time");
            assert_eq!(once, run(seed, Conditions::bad(), b"the same each time"));
        }
    }
}
