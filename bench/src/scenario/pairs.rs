//! Publishers with one subscriber each, at `QoS` 1 or 2.
//!
//! Each publisher has up to 16 unacknowledged messages. The scenario ends when all messages are
//! received and acknowledged, in both directions.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mqtt::QoS;

use super::{Context, Detail, Measurement, PAYLOAD, Patience, WARM_UP};
use crate::packets::{self, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL};
use crate::swarm::{Member, SendBuffer, Swarm};

const PAIRS: usize = 50;
const WINDOW: u16 = 16;

struct Pairs {
    swarm: Swarm,
    /// For each pair, its PUBLISH for each packet identifier. Each member with an even number
    /// publishes to the next member.
    wires: Vec<Vec<Vec<u8>>>,
    progress: Progress,
}

#[derive(Default)]
struct Progress {
    /// For each pair, how many messages it still has to publish.
    to_send: Vec<u64>,
    received: u64,
    /// How many acknowledgements the publishers have received.
    acknowledged: u64,
    /// How many releases (PUBREL) the subscribers have received, at `QoS` 2.
    released: u64,
}

pub(super) fn run(
    context: &Context<'_>,
    qos: QoS,
    lasting: bool,
    deliveries: u64,
) -> Result<Measurement> {
    let route = context.route();
    let mut pairs = Pairs {
        swarm: Swarm::new()?,
        wires: Vec::new(),
        progress: Progress::default(),
    };
    for number in 0..PAIRS {
        let topic = format!("bench/{number}");
        let mut hello = context.hello(format!("pub-{number}"));
        hello.lasting = lasting;
        pairs.swarm.join(route, &hello)?;
        hello.client_id = format!("sub-{number}");
        let subscription = Some((topic.as_str(), qos));
        pairs.swarm.join_subscribed(route, &hello, subscription)?;
        let mut packet = packets::publish(context.version, &topic, &[b'x'; PAYLOAD], qos, false)?;
        let at = packets::publish_id_at(&packet);
        let wires = (1..=WINDOW).map(|packet_id| {
            packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
            let mut wire = Vec::new();
            route.wire(&packet, &mut wire);
            wire
        });
        pairs.wires.push(wires.collect());
    }

    let deliveries = context.deliveries(deliveries);
    pairs.pump(qos, deliveries / WARM_UP)?;
    let (cpu, began) = (context.broker.cpu()?, Instant::now());
    let (received, expected) = pairs.pump(qos, deliveries)?;
    Ok(Measurement {
        deliveries: received,
        lost: expected.saturating_sub(received),
        wall: began.elapsed(),
        cpu: context.broker.cpu()?.saturating_sub(cpu),
        memory: context.broker.memory()?,
        detail: Detail::Work,
    })
}

impl Pairs {
    /// Returns how many messages were received and how many were due.
    fn pump(&mut self, qos: QoS, deliveries: u64) -> Result<(u64, u64)> {
        let each = deliveries.div_ceil(PAIRS as u64).max(u64::from(WINDOW));
        let expected = each * PAIRS as u64;
        self.progress = Progress {
            to_send: vec![each - u64::from(WINDOW); PAIRS],
            ..Progress::default()
        };
        for (pair, wires) in self.wires.iter().enumerate() {
            let first = |out: &mut SendBuffer| wires.iter().for_each(|wire| out.wire(wire));
            self.swarm.send(Member(2 * pair), first)?;
        }
        let mut patience = Patience::new();
        while !self.progress.is_complete(qos, expected) {
            let (progress, wires) = (&mut self.progress, &self.wires);
            let came = self
                .swarm
                .turn(Duration::from_millis(100), |member, seen, out| {
                    progress.packet(member, seen.first >> 4, &seen, &wires[member.0 / 2], out);
                })?;
            if patience.is_over(came, self.progress.received, expected)? {
                let Progress {
                    received,
                    acknowledged,
                    released,
                    ..
                } = self.progress;
                bail!(
                    "stalled: of {expected} messages {received} were received, \
                     {acknowledged} acknowledged, {released} released"
                );
            }
        }
        Ok((self.progress.received, expected))
    }
}

impl Progress {
    fn is_complete(&self, qos: QoS, expected: u64) -> bool {
        self.received >= expected
            && self.acknowledged >= expected
            && (qos != QoS::ExactlyOnce || self.released >= expected)
    }

    fn packet(
        &mut self,
        Member(member): Member,
        kind: u8,
        seen: &crate::scanner::Seen<'_>,
        wires: &[Vec<u8>],
        out: &mut SendBuffer,
    ) {
        match kind {
            PUBLISH => {
                self.received += 1;
                let answer = if seen.first & 0x06 == 0x04 {
                    PUBREC
                } else {
                    PUBACK
                };
                out.packet(&packets::ack(answer, seen.publish_id()));
            }
            PUBREL => {
                self.released += 1;
                out.packet(&packets::ack(PUBCOMP, seen.packet_id()));
            }
            PUBREC => out.packet(&packets::ack(PUBREL, seen.packet_id())),
            PUBACK | PUBCOMP => {
                self.acknowledged += 1;
                let (left, packet_id) = (&mut self.to_send[member / 2], seen.packet_id());
                if let Some(wire) = wires.get(usize::from(packet_id).wrapping_sub(1))
                    && *left > 0
                {
                    *left -= 1;
                    out.wire(wire);
                }
            }
            _ => {}
        }
    }
}
