//! Messages from the client: `QoS` 2 exchanges that are not over, and the publish rate.

use core::time::Duration;

use mqtt::{Instant, PacketId};

use crate::admission::{MemoryBudget, allowed_messages};
use crate::session::Session;

impl Session {
    /// The packet identifiers of incoming `QoS` 2 messages between PUBLISH and PUBREL, in order
    /// `[MQTT-4.3.3-10]`.
    pub(crate) fn incoming(&self) -> &[PacketId] {
        &self.incoming
    }

    /// Whether a `QoS` 2 message with this identifier was received and not released.
    pub(crate) fn has_incoming(&self, packet_id: PacketId) -> bool {
        self.incoming.binary_search(&packet_id).is_ok()
    }

    /// Notes that a `QoS` 2 message was received.
    pub(crate) fn add_incoming(&mut self, packet_id: PacketId, memory: &mut MemoryBudget) {
        if let Err(place) = self.incoming.binary_search(&packet_id) {
            self.incoming.insert(place, packet_id);
            memory.add_incoming();
        }
    }

    /// Notes that a `QoS` 2 message was released. Returns whether there was one.
    pub(crate) fn release_incoming(
        &mut self,
        packet_id: PacketId,
        memory: &mut MemoryBudget,
    ) -> bool {
        let Ok(place) = self.incoming.binary_search(&packet_id) else {
            return false;
        };
        self.incoming.remove(place);
        memory.remove_incoming(1);
        if self.incoming.is_empty() {
            self.incoming = Vec::new();
        }
        true
    }

    /// Counts a published message. The client may publish `rate` messages a second, and as many at
    /// once as `burst` allows. Returns how far the client is ahead of that, as a time.
    pub(crate) fn count_published(&mut self, now: Instant, rate: u32, burst: Duration) -> Duration {
        let paid = self.paid.max(allowed_messages(now, rate));
        self.paid = paid.saturating_add(1);
        let ahead = self
            .paid
            .saturating_sub(allowed_messages(now + burst, rate));
        Duration::from_secs(ahead) / rate
    }

    /// For tests: sets how much the client has published.
    #[cfg(test)]
    pub(crate) fn set_paid(&mut self, paid: u64) {
        self.paid = paid;
    }
}
