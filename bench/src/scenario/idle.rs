//! What an idle connection costs.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Context, Detail, Measurement};
use crate::swarm::Swarm;

pub(super) fn run(context: &Context<'_>, connections: usize) -> Result<Measurement> {
    let route = context.route();
    let mut swarm = Swarm::new()?;
    // The first connection makes the broker allocate what it needs only once for all connections.
    swarm.join(route, &context.hello("first".to_owned()))?;
    let before = settled(context)?;
    let (cpu, began) = (context.broker.cpu()?, Instant::now());
    let hellos: Vec<_> = (0..connections)
        .map(|number| context.hello(format!("device-{number:06}")))
        .collect();
    swarm.join_all(route, &hellos, None)?;
    let (wall, cpu) = (began.elapsed(), context.broker.cpu()?.saturating_sub(cpu));
    let after = settled(context)?;
    Ok(Measurement {
        deliveries: connections as u64,
        lost: 0,
        wall,
        cpu,
        memory: after,
        detail: Detail::Connection(after.saturating_sub(before) / connections as u64),
    })
}

/// The broker's memory, once it no longer changes.
pub(super) fn settled(context: &Context<'_>) -> Result<u64> {
    const MOST: usize = 10;
    let mut memory = context.broker.memory()?;
    for _ in 0..MOST {
        std::thread::sleep(Duration::from_millis(200));
        let now = context.broker.memory()?;
        if now == memory {
            break;
        }
        memory = now;
    }
    Ok(memory)
}
