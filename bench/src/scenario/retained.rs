//! All retained messages, to a client that has just connected.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mqtt::QoS;

use super::{Context, Detail, Measurement, PAYLOAD, Patience};
use crate::packets::{self, PUBACK, PUBLISH};
use crate::swarm::Swarm;

const WINDOW: u64 = 100;
const SUBSCRIBERS: u32 = 5;

pub(super) fn run(context: &Context<'_>, messages: u64) -> Result<Measurement> {
    let messages = context.deliveries(messages);
    let mut swarm = Swarm::new()?;
    load(context, &mut swarm, messages)?;

    let before = context.broker.cpu()?;
    let mut walls = Vec::new();
    let mut lost = 0;
    for number in 0..SUBSCRIBERS {
        let hello = context.hello(format!("sub-{number}"));
        let member = swarm.join(context.route(), &hello)?;
        let subscribe = packets::subscribe(context.version, "state/#", QoS::AtMostOnce)?;
        let began = Instant::now();
        swarm.send(member, |out| out.packet(&subscribe))?;
        let mut received = 0;
        let mut patience = Patience::new();
        while received < messages {
            let before = received;
            swarm.turn(Duration::from_millis(100), |_, seen, _| {
                received += u64::from(seen.first >> 4 == PUBLISH);
            })?;
            if patience.is_over(received > before, received, messages)? {
                lost += messages - received;
                break;
            }
        }
        walls.push(began.elapsed());
    }
    walls.sort_unstable();
    Ok(Measurement {
        deliveries: messages,
        lost,
        wall: walls[walls.len() / 2],
        cpu: context.broker.cpu()?.saturating_sub(before) / SUBSCRIBERS,
        memory: context.broker.memory()?,
        detail: Detail::Work,
    })
}

/// Publishes with `QoS` 1, so that the acknowledgements show when the broker has all messages.
fn load(context: &Context<'_>, swarm: &mut Swarm, messages: u64) -> Result<()> {
    let publisher = swarm.join(context.route(), &context.hello("pub".to_owned()))?;
    let (mut sent, mut acknowledged) = (0, 0);
    let mut patience = Patience::new();
    while acknowledged < messages {
        while sent < messages && sent < acknowledged + WINDOW {
            let topic = format!("state/{}/{}", sent / 100, sent % 100);
            let payload = [b'x'; PAYLOAD];
            let mut packet =
                packets::publish(context.version, &topic, &payload, QoS::AtLeastOnce, true)?;
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
            bail!("stalled: {acknowledged} of {messages} retained messages were acknowledged");
        }
    }
    Ok(())
}
