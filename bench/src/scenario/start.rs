//! A start with much to read: the scenario fills a broker over the wire, ends it, and starts it
//! again.
//!
//! It then counts what the broker has, message by message and session by session. A fast start of a
//! broker that has forgotten something does not count.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mqtt::QoS;

use super::{Context, Detail, Measurement, PAYLOAD};
use crate::packets::{self, CONNACK, Hello, PUBACK, PUBLISH, SUBACK};
use crate::swarm::{Member, Swarm};

/// How many publishers fill it side by side, and how many messages each has unacknowledged.
const PUBLISHERS: u64 = 8;
const WINDOW: u64 = 200;
/// How many clients are connected at once.
const CLIENTS: u64 = 100;
/// A broker that does nothing for this long counts as stuck.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a person who waits hears of the progress.
const TELL: Duration = Duration::from_secs(5);

/// What a broker starts with.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(crate) retained: u64,
    /// Sessions that last, with a subscription each.
    pub(crate) sessions: u64,
    /// `QoS` 1 messages that wait for each of them.
    pub(crate) queued: u64,
}

/// What the broker still had after the start.
struct Found {
    retained: u64,
    sessions: u64,
    queued: u64,
}

pub(super) fn run(context: &mut Context<'_>) -> Result<Measurement> {
    eprintln!();
    let fill = context.fill;
    context.make_sessions()?;
    context.queue()?;
    context.retain()?;
    context.broker.end()?;
    let disk = context.broker.disk()?;

    let began = Instant::now();
    context.broker.start_again()?;
    context.say_hello()?;
    let wall = began.elapsed();
    let cpu = context.broker.cpu()?;
    let memory = context.broker.memory()?;
    let peak = context.broker.peak_memory()?;

    let found = Found {
        retained: context.count_retained()?,
        ..context.count_sessions()?
    };
    // Each session must have its subscription too: one more message is published for it.
    let expected = fill.retained + fill.sessions * (fill.queued + 2);
    let received = found.retained + found.sessions + found.queued;
    if received < expected {
        eprintln!(
            "  the broker was given {} retained messages, {} sessions and {} messages for them; after the start it had {}, {} and {}",
            fill.retained,
            fill.sessions,
            fill.sessions * (fill.queued + 1),
            found.retained,
            found.sessions,
            found.queued
        );
    }
    eprint!("{:34}", "");
    Ok(Measurement {
        deliveries: received,
        lost: expected.saturating_sub(received),
        wall,
        cpu,
        memory,
        detail: Detail::Start { peak, disk },
    })
}

/// Fills a broker, and counts what it has.
impl Context<'_> {
    fn make_sessions(&self) -> Result<()> {
        let sessions = self.fill.sessions;
        let mut progress = Progress::new("sessions", sessions);
        for first in (0..sessions).step_by(clients()) {
            let last = sessions.min(first + CLIENTS);
            let mut swarm = Swarm::new()?;
            let mut members = Vec::new();
            for session in first..last {
                let connect = packets::connect(&self.lasting(session))?;
                let topic = session_topic(session);
                let subscribe = packets::subscribe(self.version, &topic, QoS::AtLeastOnce)?;
                let member = swarm.open(self.route())?;
                swarm.send(member, |out| {
                    out.packet(&connect);
                    out.packet(&subscribe);
                })?;
                members.push(member);
            }
            let mut granted = 0;
            let mut refused = None;
            while granted < last - first {
                swarm.turn(Duration::from_millis(100), |_, seen, _| {
                    match seen.first >> 4 {
                        CONNACK if seen.body.get(1) != Some(&0) => refused = Some("CONNECT"),
                        SUBACK if seen.body.last() >= Some(&0x80) => refused = Some("SUBSCRIBE"),
                        SUBACK => granted += 1,
                        _ => {}
                    }
                })?;
                if let Some(what) = refused {
                    bail!("the broker refused a {what} for a session that lasts");
                }
                progress.at(first + granted)?;
            }
            disconnect(&mut swarm, &members)?;
        }
        Ok(())
    }

    fn queue(&self) -> Result<()> {
        let Fill {
            sessions, queued, ..
        } = self.fill;
        // Publishes one message for each session before the second for any, as real traffic would.
        self.publish("messages that wait", sessions * queued, false, |number| {
            session_topic(number % sessions)
        })
    }

    fn retain(&self) -> Result<()> {
        self.publish(
            "retained messages",
            self.fill.retained,
            true,
            retained_topic,
        )
    }

    /// Publishes `messages`, each with its number in it, and waits for all acknowledgements.
    fn publish(
        &self,
        what: &'static str,
        messages: u64,
        retain: bool,
        topic: impl Fn(u64) -> String,
    ) -> Result<()> {
        let mut swarm = Swarm::new()?;
        let mut publishers = Vec::new();
        for number in 0..PUBLISHERS {
            let hello = self.hello(format!("fill-{number}"));
            publishers.push(swarm.join(self.route(), &hello)?);
        }
        let mut progress = Progress::new(what, messages);
        let mut acknowledged = vec![0; publishers.len()];
        let mut sent = vec![0; publishers.len()];
        let mut next = 0;
        while acknowledged.iter().sum::<u64>() < messages {
            for (at, publisher) in publishers.iter().enumerate() {
                while next < messages && sent[at] < acknowledged[at] + WINDOW {
                    let packet = self.message(&topic(next), next, sent[at], retain)?;
                    swarm.send(*publisher, |out| out.packet(&packet))?;
                    sent[at] += 1;
                    next += 1;
                }
            }
            let mut refused = None;
            swarm.turn(Duration::from_millis(100), |Member(member), seen, _| {
                if seen.first >> 4 == PUBACK {
                    // Version 5 gives the reason. "No subscribers" is a success.
                    refused = refused.or(seen.body.get(2).filter(|code| **code >= 0x80).copied());
                    acknowledged[member] += 1;
                }
            })?;
            if let Some(code) = refused {
                bail!("the broker refused a message ({what}) with {code:#x}");
            }
            progress.at(acknowledged.iter().sum())?;
        }
        Ok(())
    }

    fn message(&self, topic: &str, number: u64, packet_id: u64, retain: bool) -> Result<Vec<u8>> {
        let mut payload = [b'x'; PAYLOAD];
        payload[PAYLOAD - 8..].copy_from_slice(&number.to_be_bytes());
        let mut packet = packets::publish(self.version, topic, &payload, QoS::AtLeastOnce, retain)?;
        let at = packets::publish_id_at(&packet);
        let packet_id = u16::try_from(packet_id % WINDOW)? + 1;
        packet[at..at + 2].copy_from_slice(&packet_id.to_be_bytes());
        Ok(packet)
    }

    /// Waits until the broker answers CONNECT.
    fn say_hello(&self) -> Result<()> {
        let hello = self.hello("first".to_owned());
        Swarm::new()?.join(self.route(), &hello)?;
        Ok(())
    }

    /// How many of the retained messages a new subscriber receives.
    fn count_retained(&self) -> Result<u64> {
        let expected = self.fill.retained;
        let mut swarm = Swarm::new()?;
        let member = swarm.join(self.route(), &self.hello("count".to_owned()))?;
        let subscribe = packets::subscribe(self.version, "state/#", QoS::AtMostOnce)?;
        swarm.send(member, |out| out.packet(&subscribe))?;
        let mut arrivals = Arrivals::new(expected);
        let mut progress = Progress::new("retained messages found", expected);
        while arrivals.seen < expected {
            let came = swarm.turn(Duration::from_millis(100), |_, seen, _| {
                if seen.first >> 4 == PUBLISH {
                    arrivals.take(seen.stamp());
                }
            })?;
            if !came && progress.is_stalled() {
                break;
            }
            progress.at(arrivals.seen)?;
        }
        arrivals.finish()
    }

    /// How many sessions still exist, and how many messages they receive: those that waited, and
    /// one more that is published now.
    fn count_sessions(&self) -> Result<Found> {
        let Fill {
            sessions, queued, ..
        } = self.fill;
        let mut arrivals = Arrivals::new(sessions * (queued + 1));
        let mut present = 0;
        let mut progress = Progress::new("sessions found", sessions);
        'counting: for first in (0..sessions).step_by(clients()) {
            let last = sessions.min(first + CLIENTS);
            let mut swarm = Swarm::new()?;
            let publisher = swarm.join(self.route(), &self.hello("more".to_owned()))?;
            let mut members = Vec::new();
            for session in first..last {
                let connect = packets::connect(&self.lasting(session))?;
                let member = swarm.open(self.route())?;
                let number = sessions * queued + session;
                let packet = self.message(&session_topic(session), number, session, false)?;
                swarm.send(member, |out| out.packet(&connect))?;
                swarm.send(publisher, |out| out.packet(&packet))?;
                members.push(member);
            }
            let goal = arrivals.seen + (last - first) * (queued + 1);
            let mut answered = 0;
            while arrivals.seen < goal || answered < last - first {
                let came = swarm.turn(Duration::from_millis(100), |Member(member), seen, _| {
                    match seen.first >> 4 {
                        CONNACK => {
                            answered += 1;
                            present += u64::from(seen.body.first() == Some(&1));
                        }
                        // A message that reached the wrong session does not count.
                        PUBLISH if seen.stamp() % sessions == first + member as u64 - 1 => {
                            arrivals.take(seen.stamp());
                        }
                        _ => {}
                    }
                })?;
                if !came && progress.is_stalled() {
                    // The sessions that were not asked yet count as missing too.
                    break 'counting;
                }
                progress.at(first + answered)?;
            }
            disconnect(&mut swarm, &members)?;
        }
        Ok(Found {
            retained: 0,
            sessions: present,
            queued: arrivals.finish()?,
        })
    }

    fn lasting(&self, session: u64) -> Hello {
        Hello {
            lasting: true,
            ..self.hello(format!("device-{session:06}"))
        }
    }
}

/// Which messages have come.
struct Arrivals {
    has_come: Vec<bool>,
    seen: u64,
    /// Messages that came twice or were never published.
    unexpected: u64,
}

impl Arrivals {
    fn new(expected: u64) -> Self {
        Self {
            has_come: vec![false; index(expected)],
            seen: 0,
            unexpected: 0,
        }
    }

    fn take(&mut self, number: u64) {
        match self.has_come.get_mut(index(number)) {
            Some(has_come) if !*has_come => {
                *has_come = true;
                self.seen += 1;
            }
            Some(_) | None => self.unexpected += 1,
        }
    }

    fn finish(self) -> Result<u64> {
        if self.unexpected > 0 {
            bail!(
                "{} messages came twice, or were never published",
                self.unexpected
            );
        }
        Ok(self.seen)
    }
}

/// Reports the progress, and ends a broker that makes none.
struct Progress {
    what: &'static str,
    done: u64,
    of: u64,
    began: Instant,
    told: Instant,
    moved: Instant,
}

impl Progress {
    fn new(what: &'static str, of: u64) -> Self {
        let now = Instant::now();
        Self {
            what,
            done: 0,
            of,
            began: now,
            told: now,
            moved: now,
        }
    }

    fn at(&mut self, done: u64) -> Result<()> {
        let now = Instant::now();
        if done > self.done {
            self.done = done;
            self.moved = now;
        }
        if now - self.told > TELL || (done == self.of && now - self.began > TELL) {
            self.told = now;
            eprintln!(
                "  {done} of {} {}, {} s",
                self.of,
                self.what,
                self.began.elapsed().as_secs()
            );
        }
        if self.is_stalled() {
            bail!("stalled: {done} of {} {}", self.of, self.what);
        }
        Ok(())
    }

    fn is_stalled(&self) -> bool {
        self.moved.elapsed() > PATIENCE
    }
}

/// Sends DISCONNECT for all `members`. Dropping the swarm closes their sockets.
fn disconnect(swarm: &mut Swarm, members: &[Member]) -> Result<()> {
    for member in members {
        swarm.send(*member, |out| out.packet(&packets::DISCONNECT))?;
    }
    Ok(())
}

fn session_topic(session: u64) -> String {
    format!("device/{session:06}/command")
}

fn retained_topic(number: u64) -> String {
    format!("state/{}/{}", number / 100, number % 100)
}

fn clients() -> usize {
    index(CLIENTS)
}

/// Converts a number to an index. The numbers here count things in memory, so they fit.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_counts_once_and_strangers_are_an_error() {
        let mut arrivals = Arrivals::new(3);
        arrivals.take(2);
        arrivals.take(0);
        assert_eq!(arrivals.finish().unwrap(), 2);
        for number in [2, 3, u64::MAX] {
            let mut arrivals = Arrivals::new(3);
            arrivals.take(2);
            arrivals.take(number);
            assert_eq!((arrivals.seen, arrivals.unexpected), (1, 1));
            assert!(arrivals.finish().is_err());
        }
    }

    #[test]
    fn what_does_not_get_on_ends() {
        let mut progress = Progress::new("messages", 10);
        progress.at(3).unwrap();
        let long_ago = Instant::now().checked_sub(PATIENCE + TELL).unwrap();
        progress.moved = long_ago;
        assert!(progress.is_stalled());
        // Something has come after all.
        progress.at(4).unwrap();
        progress.moved = long_ago;
        let error = progress.at(4).unwrap_err().to_string();
        assert_eq!(error, "stalled: 4 of 10 messages");
    }
}
