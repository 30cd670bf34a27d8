//! How long a message takes from publisher to subscriber, at a fixed rate.
//!
//! Counted from when the message *should* have been sent: a broker (or a generator) that holds
//! everything up for a while does not look better by sending less meanwhile.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mqtt::QoS;

use super::{Context, Detail, Measurement, PAYLOAD, Patience};
use crate::packets::{self, PUBACK, PUBLISH};
use crate::swarm::{Member, Swarm};

const PAIRS: u64 = 10;
const RATE: u64 = 5_000;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(4);

/// What those that read nothing are sent: filling them up, and a second while others are
/// measured.
const FLOOD_PAYLOAD: usize = 4096;
const FLOOD_FIRST: u64 = 3_000;
const FLOOD_RATE: u64 = 200;
const FLOOD_WINDOW: u16 = 50;

pub(super) fn run(context: &Context<'_>, stuck: usize) -> Result<Measurement> {
    let route = context.route();
    let mut swarm = Swarm::new()?;
    let mut publishers = Vec::new();
    for number in 0..PAIRS {
        let topic = format!("bench/{number}");
        let hello = context.hello(format!("sub-{number}"));
        let subscription = Some((topic.as_str(), QoS::AtMostOnce));
        swarm.join_subscribed(route, &hello, subscription)?;
        let member = swarm.join(route, &context.hello(format!("pub-{number}")))?;
        let packet = packets::publish(
            context.version,
            &topic,
            &[b'x'; PAYLOAD],
            QoS::AtMostOnce,
            false,
        )?;
        publishers.push((member, packet));
    }
    let mut flood = (stuck > 0)
        .then(|| Flood::begin(context, &mut swarm, stuck))
        .transpose()?;

    let every = Duration::from_nanos(1_000_000_000 / RATE);
    let total = u64::try_from((WARM_UP + MEASURED).as_nanos() / every.as_nanos())?;
    let warm_up = u64::try_from(WARM_UP.as_nanos() / every.as_nanos())?;
    let (mut sent, mut received) = (0, 0);
    let mut samples = Vec::new();
    let mut cpu = None;
    let mut patience = Patience::new();
    let began = Instant::now();
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    while received < total {
        let now = began.elapsed();
        while sent < total && every * u32::try_from(sent)? <= now {
            let index = usize::try_from(sent % PAIRS)?;
            let due = nanos(every * u32::try_from(sent)?);
            let (member, packet) = &mut publishers[index];
            let stamp = packet.len() - 8;
            packet[stamp..].copy_from_slice(&due.to_be_bytes());
            let packet = &*packet;
            swarm.send(*member, |out| out.packet(packet))?;
            sent += 1;
            if sent == warm_up {
                cpu = Some(context.broker.cpu()?);
            }
        }
        if let Some(flood) = &mut flood {
            flood.go_on(&mut swarm, now)?;
        }
        let before = received;
        // Never sleeps: a core is there for nothing else.
        swarm.turn(Duration::ZERO, |member, seen, _| match seen.first >> 4 {
            PUBLISH => {
                let took = nanos(began.elapsed()).saturating_sub(seen.stamp());
                received += 1;
                if received > warm_up {
                    samples.push(took);
                }
            }
            PUBACK => {
                if let Some(flood) = &mut flood {
                    flood.acknowledged(member);
                }
            }
            _ => {}
        })?;
        if patience.is_over(received > before, received, total)? {
            break;
        }
    }
    let wall = began.elapsed();
    samples.sort_unstable();
    let Some(longest) = samples.last() else {
        bail!("stalled: no message was received");
    };
    let at = |percent: usize| Duration::from_nanos(samples[(samples.len() - 1) * percent / 100]);
    Ok(Measurement {
        deliveries: samples.len() as u64,
        lost: total - received,
        wall,
        cpu: context
            .broker
            .cpu()?
            .saturating_sub(cpu.unwrap_or_default()),
        memory: context.broker.memory()?,
        detail: Detail::Latency {
            p50: at(50),
            p99: at(99),
            max: Duration::from_nanos(*longest),
        },
    })
}

/// A publisher whose subscribers read nothing.
struct Flood {
    publisher: Member,
    packet: Vec<u8>,
    id_at: usize,
    sent: u64,
    acknowledged: u64,
}

impl Flood {
    /// Half of the subscribers at `QoS` 0, half at `QoS` 1; comes back when the broker has
    /// had to find out that they are stuck.
    fn begin(context: &Context<'_>, swarm: &mut Swarm, stuck: usize) -> Result<Self> {
        let route = context.route();
        for number in 0..stuck {
            let qos = if number % 2 == 0 {
                QoS::AtMostOnce
            } else {
                QoS::AtLeastOnce
            };
            let hello = context.hello(format!("stuck-{number}"));
            let member = swarm.join_subscribed(route, &hello, Some(("flood", qos)))?;
            swarm.deafen(member)?;
        }
        let publisher = swarm.join(route, &context.hello("flood".to_owned()))?;
        let payload = vec![b'x'; FLOOD_PAYLOAD];
        let packet = packets::publish(context.version, "flood", &payload, QoS::AtLeastOnce, false)?;
        let id_at = packets::publish_id_at(&packet);
        let mut flood = Self {
            publisher,
            packet,
            id_at,
            sent: 0,
            acknowledged: 0,
        };
        let mut patience = Patience::new();
        while flood.acknowledged < FLOOD_FIRST {
            while flood.sent < FLOOD_FIRST && flood.has_room() {
                flood.publish(swarm)?;
            }
            let publisher = flood.publisher;
            let mut count = 0;
            swarm.turn(Duration::from_millis(100), |member, seen, _| {
                count += u64::from(member == publisher && seen.first >> 4 == PUBACK);
            })?;
            flood.acknowledged += count;
            if patience.is_over(count > 0, flood.acknowledged, FLOOD_FIRST)? {
                bail!("stalled: nothing is acknowledged while subscribers are stuck");
            }
        }
        Ok(flood)
    }

    fn go_on(&mut self, swarm: &mut Swarm, now: Duration) -> Result<()> {
        let due = u64::try_from(now.as_millis())? * FLOOD_RATE / 1000;
        if self.sent < FLOOD_FIRST + due && self.has_room() {
            self.publish(swarm)?;
        }
        Ok(())
    }

    fn acknowledged(&mut self, member: Member) {
        self.acknowledged += u64::from(member == self.publisher);
    }

    fn has_room(&self) -> bool {
        self.sent - self.acknowledged < u64::from(FLOOD_WINDOW)
    }

    fn publish(&mut self, swarm: &mut Swarm) -> Result<()> {
        let packet_id = u16::try_from(self.sent % 1000)? + 1;
        self.packet[self.id_at..self.id_at + 2].copy_from_slice(&packet_id.to_be_bytes());
        let packet = &self.packet;
        swarm.send(self.publisher, |out| out.packet(packet))?;
        self.sent += 1;
        Ok(())
    }
}
