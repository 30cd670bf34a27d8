//! `QoS` 0 as fast as possible: many to one, and one to many.
//!
//! Only a window of messages is in flight, so that no broker has to drop any. The scenario measures
//! a broker's work, not its limits.

use std::time::{Duration, Instant};

use anyhow::Result;
use mqtt::QoS;

use super::{Context, Detail, Measurement, PAYLOAD, Patience, WARM_UP};
use crate::packets::{self, PUBLISH};
use crate::swarm::{Member, Swarm};

/// How many messages a publisher sends at once.
const BATCH: u64 = 50;

struct Flood {
    swarm: Swarm,
    publishers: Vec<(Member, Vec<u8>)>,
    subscribers: u64,
    /// How many published messages may be in flight.
    window: u64,
    next: usize,
}

pub(super) fn run(
    context: &Context<'_>,
    publishers: usize,
    subscribers: usize,
    window: u64,
    deliveries: u64,
) -> Result<Measurement> {
    let route = context.route();
    let mut swarm = Swarm::new()?;
    let hellos: Vec<_> = (0..subscribers)
        .map(|number| context.hello(format!("sub-{number}")))
        .collect();
    swarm.join_all(route, &hellos, Some(("bench/+", QoS::AtMostOnce)))?;
    let mut flood = Flood {
        swarm,
        publishers: Vec::new(),
        subscribers: subscribers as u64,
        window,
        next: 0,
    };
    for number in 0..publishers {
        let hello = context.hello(format!("pub-{number}"));
        let member = flood.swarm.join(route, &hello)?;
        let packet = packets::publish(
            context.version,
            &format!("bench/{number}"),
            &[b'x'; PAYLOAD],
            QoS::AtMostOnce,
            false,
        )?;
        let mut wire = Vec::new();
        for _ in 0..BATCH {
            route.wire(&packet, &mut wire);
        }
        flood.publishers.push((member, wire));
    }

    let deliveries = context.deliveries(deliveries);
    let (warmed, expected) = flood.pump(deliveries / WARM_UP)?;
    let lost_before = expected.saturating_sub(warmed);
    let (cpu, began) = (context.broker.cpu()?, Instant::now());
    let (received, expected) = flood.pump(deliveries)?;
    Ok(Measurement {
        deliveries: received,
        lost: lost_before + expected.saturating_sub(received),
        wall: began.elapsed(),
        cpu: context.broker.cpu()?.saturating_sub(cpu),
        memory: context.broker.memory()?,
        detail: Detail::Work,
    })
}

impl Flood {
    /// Publishes enough for at least `deliveries`. Returns how many were received and how many were
    /// due.
    fn pump(&mut self, deliveries: u64) -> Result<(u64, u64)> {
        let batches = deliveries.div_ceil(BATCH * self.subscribers).max(1);
        let expected = batches * BATCH * self.subscribers;
        let (mut sent, mut received) = (0, 0);
        let mut patience = Patience::new();
        while received < expected {
            while sent < batches
                && (sent + 1) * BATCH <= received / self.subscribers + self.window
                && self.swarm.is_flushed(self.publishers[self.next].0)
            {
                let (member, wire) = &self.publishers[self.next];
                self.swarm.send(*member, |out| out.wire(wire))?;
                self.next = (self.next + 1) % self.publishers.len();
                sent += 1;
            }
            let before = received;
            self.swarm.turn(Duration::from_millis(100), |_, seen, _| {
                received += u64::from(seen.first >> 4 == PUBLISH);
            })?;
            if patience.is_over(received > before, received, expected)? {
                break;
            }
        }
        // If a message is lost, the window never empties, and some messages are never sent. Those
        // do not count as lost.
        Ok((received, sent * BATCH * self.subscribers))
    }
}
