//! `--demo N`: a fleet of simulated devices, each with a TCP connection of its own.
//!
//! `kinds` knows what a device measures and `device` which messages it sends, both without a socket or
//! clock. `runner` connects it. All devices run on one thread, which is not the broker's, and connect
//! to the same port as everyone else.

pub(crate) mod device;
pub(crate) mod kinds;
mod model;
mod random;
mod runner;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::info;

use self::device::Device;
use self::kinds::Kind;
use self::random::Random;
use self::runner::Runner;
use crate::clock::Clock;

/// New connections a second while the fleet comes up.
const CONNECTS_A_SECOND: u32 = 250;

/// Ends the demo.
#[derive(Debug)]
pub(crate) struct Handle {
    stop: watch::Sender<bool>,
    ended: oneshot::Receiver<()>,
}

impl Handle {
    /// Lets all devices sign out and disconnect, and waits for them for a limited time.
    pub(crate) async fn stop(self) {
        /// A device takes up to three seconds to sign out.
        const PATIENCE: Duration = Duration::from_secs(4);
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(PATIENCE, self.ended).await;
    }
}

/// Starts `count` devices that connect to `address`.
pub(crate) fn spawn(count: u32, address: SocketAddr, interval: Duration) -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (stop, stopping) = watch::channel(false);
    let (tell_ended, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("demo".to_owned())
        .spawn(move || {
            runtime.block_on(run(count, address, interval, stopping));
            // This fails only if the process is ending already.
            let _ = tell_ended.send(());
        })?;
    Ok(Handle { stop, ended })
}

async fn run(count: u32, address: SocketAddr, interval: Duration, stopping: watch::Receiver<bool>) {
    let clock = Clock::new();
    let began = Instant::now();
    let mut devices = JoinSet::new();
    for (index, (kind, number)) in (0_u32..).zip(device_list(count)) {
        let Ok(device) = Device::new(kind, &number, u64::from(index), interval) else {
            continue;
        };
        // The devices start spread over an interval, so that they do not all send at the same time.
        let spread = Random::new(u64::from(index)).unit() * interval.as_secs_f64().min(1.0);
        let delay =
            Duration::from_secs(1) / CONNECTS_A_SECOND * index + Duration::from_secs_f64(spread);
        devices.spawn(
            Runner {
                device,
                clock,
                address,
                began,
                delay,
                stopping: stopping.clone(),
            }
            .run(),
        );
    }
    info!("demo: {count} simulated devices connect to {address}");
    while devices.join_next().await.is_some() {}
}

/// Which devices a fleet of `count` has: the kinds in turn, each numbered from 1.
fn device_list(count: u32) -> impl Iterator<Item = (Kind, String)> {
    let kinds = u32::try_from(Kind::ALL.len()).unwrap_or(1);
    let width = count.div_ceil(kinds).to_string().len().max(2);
    (0..count)
        .zip(Kind::ALL.into_iter().cycle())
        .map(move |(index, kind)| (kind, format!("{:0width$}", index / kinds + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_has_every_kind_and_no_id_twice() {
        let ids: Vec<String> = device_list(24)
            .map(|(kind, number)| format!("{}-{number}", kind.name()))
            .collect();
        assert_eq!(ids.len(), 24);
        assert_eq!(
            (ids[0].as_str(), ids[16].as_str()),
            ("weather-01", "weather-03")
        );
        let unique: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), 24);
        assert_eq!(device_list(1_000).last().unwrap().1, "125");
        assert_eq!(device_list(0).count(), 0);
    }
}
