//! Connects a simulated device, and makes it behave as its kind does.

use std::net::SocketAddr;
use std::time::Duration;

use mqtt::client::SessionSnapshot;
use mqtt::{ClientOptions, Event, Publish, Utf8String};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::device::Device;
use super::kinds::Habit;
use crate::clock::Clock;
use crate::mqtt_driver::Driver;
use crate::programs::connection::Endpoint;

/// How long a device waits before it goes away, so that what it published is acknowledged.
const SIGN_OUT_TIME: Duration = Duration::from_secs(2);
/// How long the broker keeps a sleeping device's session, in seconds.
const SESSION: u32 = 3_600;

/// A device, and what connects it.
pub(super) struct Runner {
    pub(super) device: Device,
    pub(super) clock: Clock,
    pub(super) address: SocketAddr,
    /// When the demo began: the models' time counts from here.
    pub(super) began: Instant,
    /// How long the device waits at first, so that not all connect at once.
    pub(super) delay: Duration,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Why a device's connection is over.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Left {
    /// The demo stops.
    Stopped,
    /// It was awake for long enough.
    Asleep,
    /// Someone told it to reboot.
    Rebooting,
    /// It is out of reach.
    Vanished,
}

/// When a connection ends, unless something else ends it before.
#[derive(Copy, Clone, Debug)]
struct Until {
    at: Instant,
    then: Left,
}

impl Runner {
    /// Runs until the demo stops.
    pub(super) async fn run(mut self) {
        let habit = self.device.kind().habit();
        let mut session = None;
        self.pause(self.delay).await;
        // When the rhythm of a sleeping device begins. Each has its own, so that not all sleep at once.
        let mut rhythm = None;
        while !*self.stopping.borrow() {
            let woken = Instant::now();
            let until = match habit {
                Habit::Steady => None,
                Habit::Sleeps { awake, period } => {
                    let first = *rhythm
                        .get_or_insert_with(|| woken + period.mul_f64(self.device.random().unit()));
                    Some(Until {
                        at: woken.max(first) + awake,
                        then: Left::Asleep,
                    })
                }
                Habit::Vanishes => {
                    let reachable =
                        Duration::from_secs_f64(self.device.random().between(45.0, 150.0));
                    Some(Until {
                        at: woken + reachable,
                        then: Left::Vanished,
                    })
                }
            };
            let (left, unfinished) = self.connected(until, session.take()).await;
            session = unfinished;
            debug!(id = self.device.id(), ?left, "demo device left");
            let away = match (left, habit) {
                (Left::Stopped, _) => return,
                // The device wakes a whole number of periods after it first woke, so its rhythm
                // stays regular.
                (Left::Asleep, Habit::Sleeps { period, .. }) => {
                    until_next(rhythm.unwrap_or(woken), period)
                }
                (Left::Vanished, _) => {
                    Duration::from_secs_f64(self.device.random().between(12.0, 25.0))
                }
                (Left::Rebooting | Left::Asleep, _) => {
                    Duration::from_secs_f64(self.device.random().between(3.0, 6.0))
                }
            };
            self.pause(away).await;
        }
    }

    /// One connection, with its reconnections: from signing in to leaving.
    async fn connected(
        &mut self,
        until: Option<Until>,
        session: Option<SessionSnapshot>,
    ) -> (Left, Option<SessionSnapshot>) {
        let Some(options) = self.options(session) else {
            // This does not happen: the demo makes the ids, of a few letters and digits.
            warn!(
                id = self.device.id(),
                "demo device has an id that MQTT cannot carry"
            );
            return (Left::Stopped, None);
        };
        let mut driver = Driver::new(self.clock, Endpoint::tcp(self.address), options);
        let (client, now) = driver.client();
        if let Err(error) = client.subscribe(now, self.device.subscriptions()) {
            warn!(
                id = self.device.id(),
                "demo device cannot subscribe: {error}"
            );
        }
        let left = self.live(&mut driver, until).await;
        if left == Left::Vanished {
            return (left, Some(driver.vanish()));
        }
        let deadline = Instant::now() + SIGN_OUT_TIME;
        publish(&mut driver, self.device.id(), self.device.sign_out());
        // A command that comes now has been delivered, so it is answered too.
        while let Some(event) = driver.next_before_settled(deadline).await {
            if let Event::Message(message) = event {
                for answer in self.device.handle(&message).answers {
                    publish(&mut driver, self.device.id(), answer);
                }
            }
        }
        (left, Some(driver.disconnect().await))
    }

    fn options(&mut self, session: Option<SessionSnapshot>) -> Option<ClientOptions> {
        let keeps_session = !matches!(self.device.kind().habit(), Habit::Steady);
        let client_id = Utf8String::try_from(self.device.id()).ok()?;
        Some(ClientOptions {
            clean_start: !keeps_session,
            session_expiry_interval: if keeps_session { SESSION } else { 0 },
            keep_alive: 30,
            will: Some(self.device.will()),
            seed: self.device.random().next_u64(),
            session: session.filter(|_| keeps_session),
            ..ClientOptions::new(client_id)
        })
    }

    async fn live(&mut self, driver: &mut Driver, until: Option<Until>) -> Left {
        let mut next_data = Instant::now();
        let mut next_sign_in = None;
        let mut reboot_at = None;
        loop {
            let deadline = [
                Some(next_data),
                next_sign_in,
                reboot_at,
                until.map(|until| until.at),
            ]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(next_data);
            let event = tokio::select! {
                event = driver.next(deadline) => event,
                _ = self.stopping.wait_for(|stopping| *stopping) => return Left::Stopped,
            };
            let now = Instant::now();
            match event {
                Some(Event::Connected { .. }) => {
                    publish(driver, self.device.id(), self.device.sign_in());
                    publish(driver, self.device.id(), self.device.announcement());
                    next_sign_in = Some(now + Device::sign_in_again());
                }
                Some(Event::Message(message)) => {
                    let reaction = self.device.handle(&message);
                    for answer in reaction.answers {
                        publish(driver, self.device.id(), answer);
                    }
                    if reaction.reboots {
                        // Time for the answer to arrive before the device is gone.
                        reboot_at = Some(now + Duration::from_millis(250));
                    }
                }
                Some(Event::Disconnected { why, .. }) => {
                    next_sign_in = None;
                    debug!(id = self.device.id(), "demo device was disconnected: {why}");
                }
                Some(
                    Event::Published { .. }
                    | Event::Subscribed { .. }
                    | Event::Unsubscribed { .. }
                    | Event::CredentialsNeeded { .. }
                    | Event::OpenTransport
                    | Event::CloseTransport,
                )
                | None => {}
            }
            if reboot_at.is_some_and(|at| now >= at) {
                return Left::Rebooting;
            }
            if let Some(until) = until.filter(|until| now >= until.at) {
                return until.then;
            }
            if next_sign_in.is_some_and(|at| now >= at) {
                publish(driver, self.device.id(), self.device.sign_in());
                next_sign_in = Some(now + Device::sign_in_again());
            }
            if now >= next_data {
                self.device.advance(now - self.began);
                // Nobody can use readings of a time without connection later.
                if driver.client().0.state().is_connected() {
                    publish(driver, self.device.id(), self.device.data());
                }
                next_data += self.device.interval();
                if next_data < now {
                    next_data = now + self.device.interval();
                }
            }
        }
    }

    /// Waits, unless the demo stops.
    async fn pause(&mut self, time: Duration) {
        let _ = tokio::time::timeout(time, self.stopping.wait_for(|stopping| *stopping)).await;
    }
}

fn publish(driver: &mut Driver, id: &str, message: Publish) {
    let (client, now) = driver.client();
    if let Err(error) = client.publish(now, message) {
        debug!(id, "demo device could not publish: {error}");
    }
}

/// How long until the next multiple of `period` after `first`.
fn until_next(first: Instant, period: Duration) -> Duration {
    let into = first.elapsed().as_secs_f64() % period.as_secs_f64();
    period.saturating_sub(Duration::from_secs_f64(into))
}
