//! Memory that comes back: many clients connect, subscribe and disconnect. Messages are queued for
//! them. They connect once more to end their sessions, and disconnect. Nobody needs what is still
//! in use then.
//!
//! It happens twice: what an allocator keeps for the next time may stay, but must not grow.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mqtt::QoS;

use super::{Context, Detail, Measurement, PAYLOAD, Patience, idle::settled};
use crate::packets::{self, CONNACK, DISCONNECT, Hello, PUBACK, SUBACK};
use crate::swarm::{Member, Swarm};

/// Messages that wait for each client.
const QUEUED: u64 = 20;
/// How many messages may be unacknowledged.
const WINDOW: u64 = 100;
/// How many clients connect at once.
const AT_ONCE: usize = 100;

pub(super) fn run(context: &Context<'_>, clients: usize) -> Result<Measurement> {
    // The first clients make the broker allocate what it needs only once for all clients.
    flood(context, AT_ONCE)?;
    let before = settled(context)?;
    let (cpu, began) = (context.broker.cpu()?, Instant::now());
    let mut peak = flood(context, clients)?;
    let after = settled(context)?;
    peak = peak.max(flood(context, clients)?);
    let (wall, cpu) = (began.elapsed(), context.broker.cpu()?.saturating_sub(cpu));
    let again = settled(context)?;
    Ok(Measurement {
        deliveries: 2 * clients as u64 * QUEUED,
        lost: 0,
        wall,
        cpu,
        memory: again,
        detail: Detail::Ebb {
            before,
            peak,
            after,
        },
    })
}

/// Lets all clients come and go. Returns the most memory: with all clients there, or with all
/// messages queued.
fn flood(context: &Context<'_>, clients: usize) -> Result<u64> {
    let hello = |number: usize, lasting: bool| Hello {
        lasting,
        ..context.hello(format!("device-{number:06}"))
    };
    let all = join(context, clients, SUBACK, |number, out| {
        out.extend(packets::connect(&hello(number, true))?);
        let topic = topic(number);
        out.extend(packets::subscribe(
            context.version,
            &topic,
            QoS::AtLeastOnce,
        )?);
        Ok(())
    })?;
    let present = context.broker.memory()?;
    leave(all)?;
    queue(context, clients)?;
    let queued = context.broker.memory()?;
    // Each connects with clean start: its earlier session ends, and the new one ends with its
    // connection.
    let all = join(context, clients, CONNACK, |number, out| {
        out.extend(packets::connect(&hello(number, false))?);
        Ok(())
    })?;
    leave(all)?;
    Ok(present.max(queued))
}

/// Connects all clients, each with what `say` writes, and waits for an answer of kind `answer` to
/// each.
fn join(
    context: &Context<'_>,
    clients: usize,
    answer: u8,
    say: impl Fn(usize, &mut Vec<u8>) -> Result<()>,
) -> Result<Swarm> {
    let mut swarm = Swarm::new()?;
    let mut answered = 0;
    for first in (0..clients).step_by(AT_ONCE) {
        let last = clients.min(first + AT_ONCE);
        for number in first..last {
            let mut packets = Vec::new();
            say(number, &mut packets)?;
            let member = swarm.open(context.route())?;
            swarm.send(member, |out| out.packet(&packets))?;
        }
        let mut patience = Patience::new();
        while answered < last {
            let before = answered;
            swarm.turn(Duration::from_millis(100), |_, seen, _| {
                answered += usize::from(seen.first >> 4 == answer);
            })?;
            if patience.is_over(answered > before, answered as u64, last as u64)? {
                bail!("stalled: {answered} of {clients} clients were answered");
            }
        }
    }
    Ok(swarm)
}

fn leave(mut swarm: Swarm) -> Result<()> {
    for member in 0..swarm.len() {
        swarm.send(Member(member), |out| out.packet(&DISCONNECT))?;
    }
    Ok(())
}

fn queue(context: &Context<'_>, clients: usize) -> Result<()> {
    let mut swarm = Swarm::new()?;
    let publisher = swarm.join(context.route(), &context.hello("pub".to_owned()))?;
    let messages = clients as u64 * QUEUED;
    let mut next = (0..QUEUED).flat_map(|_| 0..clients);
    let (mut sent, mut acknowledged) = (0, 0);
    let mut patience = Patience::new();
    while acknowledged < messages {
        while sent < acknowledged + WINDOW
            && let Some(number) = next.next()
        {
            let payload = [b'x'; PAYLOAD];
            let mut packet = packets::publish(
                context.version,
                &topic(number),
                &payload,
                QoS::AtLeastOnce,
                false,
            )?;
            let at = packets::publish_id_at(&packet);
            let packet_id = u16::try_from(sent % WINDOW)? + 1;
            packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
            swarm.send(publisher, |out| out.packet(&packet))?;
            sent += 1;
        }
        let before = acknowledged;
        swarm.turn(Duration::from_millis(100), |_, seen, _| {
            acknowledged += u64::from(seen.first >> 4 == PUBACK);
        })?;
        if patience.is_over(acknowledged > before, acknowledged, messages)? {
            bail!("stalled: {acknowledged} of {messages} messages were acknowledged");
        }
    }
    Ok(())
}

fn topic(number: usize) -> String {
    format!("device/{number:06}/command")
}
