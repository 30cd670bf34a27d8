//! One device: it wakes, connects, sends, answers, sleeps, and at last signs out.

use std::rc::Rc;
use std::time::Duration;

use mqtt::client::{PublishOutcome, SessionSnapshot};
use mqtt::{Event, Publish, QoS};
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout};

use super::SIGN_OUT_PATIENCE;
use super::report::{Report, Step};
use super::settings::Settings;
use crate::clock::Clock;
use crate::demo::device::Device;
use crate::mqtt_driver::Driver;
use crate::programs::connection::{explain, is_fall_back};
use crate::programs::exit::Exit;

/// How much longer a device stays awake for what is not acknowledged yet.
const LINGER: Duration = Duration::from_secs(10);

/// A device, and what connects it.
pub(super) struct Life {
    pub(super) device: Device,
    pub(super) settings: Rc<Settings>,
    pub(super) report: Rc<Report>,
    /// Whoever connects holds one of its permits.
    pub(super) connecting: Rc<Semaphore>,
    pub(super) clock: Clock,
    /// The models' time counts from here.
    pub(super) began: Instant,
    /// When it wakes first.
    pub(super) first: Instant,
    pub(super) stopping: watch::Receiver<bool>,
    /// Whether this process has signed it in. The session may forget that, the retained message not.
    pub(super) has_signed_in: bool,
}

/// Why a connection is over.
enum Left {
    Asleep(Box<SessionSnapshot>),
    Stopped,
    /// For good.
    Ended(Exit),
}

/// How far the device has got since it woke.
struct Waking {
    is_connected: bool,
    /// Its subscription is granted, and the broker has not forgotten it since.
    is_subscribed: bool,
    next_reading: Instant,
    /// When it sleeps, unless something is unfinished then.
    asleep_at: Option<Instant>,
}

impl Life {
    /// Runs until the program is to end, or the broker refuses the device for good.
    pub(super) async fn run(mut self) -> Exit {
        let mut session = None;
        let mut signed_in = None;
        if self.pause_until(self.first).await {
            return Exit::Success;
        }
        loop {
            match self.awake(session.take(), &mut signed_in).await {
                Left::Asleep(left) => session = Some(*left),
                // `awake` has signed it out.
                Left::Stopped => return Exit::Success,
                Left::Ended(exit) => return exit,
            }
            let next = self.settings.schedule.next_period(self.first.elapsed());
            if self.pause_until(self.first + next).await {
                return self.sign_out_from_sleep(session).await;
            }
        }
    }

    /// From waking to falling asleep. `signed_in`: when the device last signed in. `None`: the broker does
    /// not take it for signed in.
    async fn awake(
        &mut self,
        session: Option<SessionSnapshot>,
        signed_in: &mut Option<Instant>,
    ) -> Left {
        let connecting = Rc::clone(&self.connecting);
        let mut permit = self.may_connect(&connecting).await;
        let mut driver = match self.driver(session) {
            Ok(driver) => driver,
            Err(exit) => return Left::Ended(exit),
        };
        let mut waking = Waking {
            is_connected: false,
            is_subscribed: false,
            next_reading: Instant::now(),
            asleep_at: None,
        };
        let left = loop {
            let now = Instant::now();
            if waking.is_subscribed {
                self.send_what_is_due(&mut driver, &mut waking, signed_in, now);
            }
            if let Some(at) = waking.asleep_at
                && now >= at
                && (driver.client().0.queued().0 == 0 || now >= at + LINGER)
            {
                break None;
            }
            let far = now + Duration::from_hours(1);
            let reading = if waking.is_subscribed {
                waking.next_reading
            } else {
                far
            };
            let sleep = waking
                .asleep_at
                .map_or(far, |at| if now < at { at } else { at + LINGER });
            let event = tokio::select! {
                event = driver.next(reading.min(sleep)) => event,
                _ = self.stopping.wait_for(|stopping| *stopping) => break Some(Left::Stopped),
            };
            match event {
                Some(Event::Connected {
                    session_present, ..
                }) => {
                    permit = None;
                    waking.is_connected = true;
                    self.report.tell(self.device.id(), Step::Connected);
                    if !session_present {
                        // The broker has forgotten the device, and what it kept for it. The client
                        // subscribes again by itself.
                        *signed_in = None;
                        waking.is_subscribed = false;
                    }
                }
                Some(Event::Subscribed { reason_codes, .. }) => {
                    if let Some(code) = reason_codes.iter().find(|code| **code as u8 >= 0x80) {
                        let why =
                            format!("the broker refuses the subscription to commands: {code}");
                        self.report.tell(self.device.id(), Step::Trouble(&why));
                    } else {
                        self.report.tell(self.device.id(), Step::Subscribed);
                    }
                    waking.is_subscribed = true;
                }
                Some(Event::Message(message)) => self.answer(&mut driver, &message),
                Some(Event::Disconnected { why, retry_at })
                    if is_fall_back(&why, retry_at.is_some()) => {}
                Some(Event::Disconnected { why, retry_at }) => {
                    if std::mem::take(&mut waking.is_connected) {
                        self.report.note_left();
                        // The broker publishes the will, which signs the device out.
                        *signed_in = None;
                    }
                    let what = explain(driver.endpoint(), &why, driver.trouble());
                    if retry_at.is_none() {
                        self.report.tell(self.device.id(), Step::Trouble(&what));
                        break Some(Left::Ended(Exit::of_cause(
                            &why,
                            self.settings.connection.options.version,
                        )));
                    }
                    let what = format!("{what}; it tries again by itself");
                    self.report.tell(self.device.id(), Step::Trouble(&what));
                }
                Some(Event::Published { outcome, .. }) => self.note_outcome(&outcome),
                Some(
                    Event::CredentialsNeeded { .. }
                    | Event::Unsubscribed { .. }
                    | Event::OpenTransport
                    | Event::CloseTransport,
                )
                | None => {}
            }
        };
        drop(permit);
        if waking.is_connected {
            self.report.note_left();
        }
        match left {
            None => {
                self.report.tell(self.device.id(), Step::Asleep);
                Left::Asleep(Box::new(driver.disconnect().await))
            }
            Some(Left::Stopped) => {
                // Nobody has heard of a device that never came so far.
                Left::Ended(if self.has_signed_in {
                    self.sign_out(driver).await
                } else {
                    driver.disconnect().await;
                    Exit::Success
                })
            }
            Some(left) => left,
        }
    }

    /// Signs in at once if the broker does not know that the device is here, and sends a reading when it is
    /// time.
    fn send_what_is_due(
        &mut self,
        driver: &mut Driver,
        waking: &mut Waking,
        signed_in: &mut Option<Instant>,
        now: Instant,
    ) {
        let is_due = now >= waking.next_reading;
        let signs_in = match *signed_in {
            None => waking.is_connected,
            Some(at) => is_due && at + Device::sign_in_again() <= now,
        };
        if signs_in {
            self.sign_in(driver);
            *signed_in = Some(now);
        }
        if is_due {
            self.send_data(driver);
            let schedule = &self.settings.schedule;
            waking.next_reading = self.first + schedule.next_period(self.first.elapsed());
            waking.asleep_at = schedule.awake.map(|awake| now + awake);
        }
    }

    /// Waits until not too many others connect. `None`: the program ends.
    async fn may_connect<'a>(&mut self, connecting: &'a Semaphore) -> Option<SemaphorePermit<'a>> {
        tokio::select! {
            permit = connecting.acquire() => permit.ok(),
            _ = self.stopping.wait_for(|stopping| *stopping) => None,
        }
    }

    fn driver(&mut self, session: Option<SessionSnapshot>) -> Result<Driver, Exit> {
        let mut options = match self.settings.options(&mut self.device) {
            Ok(options) => options,
            Err(why) => {
                self.report.tell(self.device.id(), Step::Trouble(&why));
                return Err(Exit::Usage);
            }
        };
        options.session = session;
        let endpoint = self.settings.connection.endpoint.clone();
        let mut driver = Driver::new(self.clock, endpoint, options);
        let (client, now) = driver.client();
        // First, so that the broker keeps commands as soon as it knows of the device.
        if let Err(error) = client.subscribe(now, self.device.subscriptions()) {
            let why = format!("cannot subscribe: {error}");
            self.report.tell(self.device.id(), Step::Trouble(&why));
            return Err(Exit::Failed);
        }
        Ok(driver)
    }

    fn sign_in(&mut self, driver: &mut Driver) {
        self.has_signed_in = true;
        self.report.tell(self.device.id(), Step::SignIn);
        self.publish(driver, self.device.sign_in());
        self.publish(driver, self.device.announcement());
    }

    fn send_data(&mut self, driver: &mut Driver) {
        self.device.advance(self.began.elapsed());
        let mut data = self.device.data();
        data.qos = QoS::ExactlyOnce;
        self.report
            .tell(self.device.id(), Step::Data(&data.payload));
        self.publish(driver, data);
    }

    fn answer(&mut self, driver: &mut Driver, message: &Publish) {
        let reaction = self.device.handle(message);
        if reaction.answers.is_empty() {
            // It came from the device that this one works with.
            return;
        }
        self.report
            .tell(self.device.id(), Step::Command(&message.payload));
        for answer in reaction.answers {
            self.report
                .tell(self.device.id(), Step::Answer(&answer.payload));
            self.publish(driver, answer);
        }
    }

    fn publish(&self, driver: &mut Driver, message: Publish) {
        let (client, now) = driver.client();
        if let Err(error) = client.publish(now, message) {
            let why = format!("a message is lost: {error}");
            self.report.tell(self.device.id(), Step::Trouble(&why));
        }
    }

    fn note_outcome(&self, outcome: &PublishOutcome) {
        let why = match outcome {
            PublishOutcome::Sent | PublishOutcome::Acknowledged(_) => return,
            PublishOutcome::Refused(code) => format!("the broker refused a message: {code}"),
            PublishOutcome::Dropped(cause) => format!("a message was given up: {cause:?}"),
        };
        self.report.tell(self.device.id(), Step::Trouble(&why));
    }

    /// Signs out over a connection that exists or comes about in time.
    async fn sign_out(&mut self, mut driver: Driver) -> Exit {
        self.report.tell(self.device.id(), Step::SignOut);
        self.publish(&mut driver, self.device.sign_out());
        let settled = timeout(SIGN_OUT_PATIENCE, async {
            let far = Instant::now() + SIGN_OUT_PATIENCE;
            while let Some(event) = driver.next_before_settled(far).await {
                match event {
                    // What comes now has been delivered, so it is answered.
                    Event::Message(message) => self.answer(&mut driver, &message),
                    Event::Disconnected { retry_at: None, .. } => break,
                    _ => {}
                }
            }
            driver.client().0.queued().0 == 0
        });
        let is_done = settled.await.unwrap_or(false);
        if !is_done {
            let why = "could not sign out in time; the will does it if the broker has seen this device connected";
            self.report.tell(self.device.id(), Step::Trouble(why));
        }
        driver.disconnect().await;
        if is_done { Exit::Success } else { Exit::Failed }
    }

    /// The program ends while the device sleeps.
    async fn sign_out_from_sleep(&mut self, session: Option<SessionSnapshot>) -> Exit {
        let connecting = Rc::clone(&self.connecting);
        let permit = timeout(SIGN_OUT_PATIENCE, connecting.acquire()).await;
        let exit = match self.driver(session) {
            Ok(driver) => self.sign_out(driver).await,
            Err(exit) => exit,
        };
        drop(permit);
        exit
    }

    /// Waits. Returns whether the program is to end.
    async fn pause_until(&mut self, at: Instant) -> bool {
        let stopped = self.stopping.wait_for(|stopping| *stopping);
        tokio::time::timeout_at(at, stopped).await.is_ok()
    }
}
