//! How long a message takes from publisher to subscriber, at a fixed rate.
//!
//! The time counts from when the message *should* have been sent. So a broker (or a generator) that
//! delays everything for a while does not look better because it sends less meanwhile.
//!
//! All brokers run, and take turns of a quarter of a second. Other programs of the machine delay
//! about one message in a hundred. A broker that was measured in a bad minute would look worse, so
//! all of them are measured in the same minute.
//!
//! Other programs delay the generator too, now and then for a whole tick of the system's clock.
//! Twenty messages then leave late and are read late, and the broker is not to blame. The generator
//! notices it, because it never waits itself, and leaves the messages that were on their way out of
//! the percentiles. It reports how many those were. Delays of a broker still hit brokers at random.
//! So the percentile of the turn in the middle stands beside the one of all turns.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mqtt::QoS;

use super::{Context, Detail, Measurement, PAYLOAD, Patience};
use crate::packets::{self, PUBACK, PUBLISH};
use crate::swarm::{Member, Swarm};

const PAIRS: u64 = 10;
const RATE: u64 = 5_000;
const EVERY: Duration = Duration::from_nanos(1_000_000_000 / RATE);
/// How many messages one turn has. They take 230 ms, which is no multiple of 100 ms. Otherwise what
/// the operating system does ten times a second would always hit the same broker.
const TURN: u64 = 1_150;
/// How many messages at the start of a turn are not measured. They find the processor's caches full
/// of what the other brokers used.
const SETTLING: u64 = 50;
/// If one round of the generator's loop takes this long, another program delayed it. By itself a
/// round takes some 10 µs.
const HELD_UP: Duration = Duration::from_micros(100);
/// How many turns of each broker only warm it up, and how many are measured.
const WARM_UP: u32 = 2;
const MEASURED: u32 = 32;

/// What stuck subscribers are sent: `FLOOD_FIRST` messages, which fill their queues, and
/// `FLOOD_RATE` messages a second while the others are measured.
const FLOOD_PAYLOAD: usize = 4096;
const FLOOD_FIRST: u64 = 3_000;
const FLOOD_RATE: u64 = 200;
const FLOOD_WINDOW: u16 = 50;

/// Measures all brokers side by side. The results are in their order.
pub(super) fn run(contexts: &[Context<'_>], stuck: usize) -> Result<Vec<Measurement>> {
    let began = Instant::now();
    let lanes: Result<Vec<_>> = contexts
        .iter()
        .map(|context| Lane::new(context, stuck, began))
        .collect();
    let mut lanes = lanes?;
    for turn in 0..WARM_UP + MEASURED {
        // Each broker comes first as often as last.
        let order: &mut dyn Iterator<Item = &mut Lane<'_>> = if turn % 2 == 0 {
            &mut lanes.iter_mut()
        } else {
            &mut lanes.iter_mut().rev()
        };
        for lane in order {
            lane.turn(turn >= WARM_UP)?;
        }
    }
    lanes.into_iter().map(Lane::finish).collect()
}

/// One broker and its clients.
struct Lane<'a> {
    context: &'a Context<'a>,
    swarm: Swarm,
    publishers: Vec<(Member, Vec<u8>)>,
    flood: Option<Flood>,
    /// The stamps in messages count from here.
    epoch: Instant,
    /// Messages that were received in the measured turns.
    received: u64,
    lost: u64,
    /// How many messages the generator itself was too late for.
    held_up: u64,
    wall: Duration,
    cpu: Duration,
    /// The latencies, in nanoseconds.
    samples: Vec<u64>,
    /// The percentile of each turn.
    p99s: Vec<u64>,
}

impl<'a> Lane<'a> {
    fn new(context: &'a Context<'a>, stuck: usize, epoch: Instant) -> Result<Self> {
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
        let flood = (stuck > 0)
            .then(|| Flood::begin(context, &mut swarm, stuck))
            .transpose()?;
        Ok(Self {
            context,
            swarm,
            publishers,
            flood,
            epoch,
            received: 0,
            lost: 0,
            held_up: 0,
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            samples: Vec::new(),
            p99s: Vec::new(),
        })
    }

    /// Sends the messages of one turn, each when it is due, and waits for all of them.
    fn turn(&mut self, is_measured: bool) -> Result<()> {
        let cpu = self.context.broker.cpu()?;
        let earlier = self.samples.len();
        let began = Instant::now();
        let offset = began.duration_since(self.epoch);
        let (began_at, settled) = (nanos(offset), nanos(offset + every(SETTLING)));
        let (mut sent, mut received) = (0, 0);
        let (mut looked, mut held_up_until) = (Duration::ZERO, 0);
        let mut patience = Patience::new();
        while received < TURN {
            let now = began.elapsed();
            if now.saturating_sub(looked) > HELD_UP {
                held_up_until = nanos(offset + now);
            }
            looked = now;
            while sent < TURN && every(sent) <= now {
                let index = usize::try_from(sent % PAIRS)?;
                let (member, packet) = &mut self.publishers[index];
                let stamp = packet.len() - 8;
                packet[stamp..].copy_from_slice(&nanos(offset + every(sent)).to_be_bytes());
                let packet = &*packet;
                self.swarm.send(*member, |out| out.packet(packet))?;
                sent += 1;
            }
            if let Some(flood) = &mut self.flood {
                flood.go_on(&mut self.swarm, now)?;
            }
            let before = received;
            // The loop never sleeps, because it has a core to itself.
            let (epoch, flood, samples) = (self.epoch, &mut self.flood, &mut self.samples);
            let (held_up, looked_at) = (&mut self.held_up, nanos(offset + looked));
            self.swarm
                .turn(Duration::ZERO, |member, seen, _| match seen.first >> 4 {
                    // A message of an earlier turn counted as lost there.
                    PUBLISH if seen.stamp() >= began_at => {
                        received += 1;
                        let due = seen.stamp();
                        if is_measured && due >= settled {
                            let read = nanos(epoch.elapsed());
                            // The message was delayed before it was sent, or between the broker and
                            // here.
                            let looking = read.saturating_sub(looked_at);
                            if due < held_up_until || looking > nanos(HELD_UP) {
                                *held_up += 1;
                            } else {
                                samples.push(read.saturating_sub(due));
                            }
                        }
                    }
                    PUBACK => {
                        if let Some(flood) = flood {
                            flood.acknowledged(member);
                        }
                    }
                    _ => {}
                })?;
            if patience.is_over(received > before, received, TURN)? {
                break;
            }
        }
        if let Some(flood) = &mut self.flood {
            flood.pause(began.elapsed());
        }
        if is_measured {
            self.received += received;
            self.lost += TURN - received;
            self.wall += began.elapsed();
            let mut samples = self.samples[earlier..].to_vec();
            samples.sort_unstable();
            self.p99s.extend(percentile(&samples, 99));
            self.cpu += self.context.broker.cpu()?.saturating_sub(cpu);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Measurement> {
        self.samples.sort_unstable();
        self.p99s.sort_unstable();
        let at = |samples: &[u64], percent| {
            let at = percentile(samples, percent).context("stalled: no message was received")?;
            anyhow::Ok(Duration::from_nanos(at))
        };
        Ok(Measurement {
            deliveries: self.received,
            lost: self.lost,
            wall: self.wall,
            cpu: self.cpu,
            memory: self.context.broker.memory()?,
            detail: Detail::Latency {
                p50: at(&self.samples, 50)?,
                p99: at(&self.samples, 99)?,
                p99_of_turn: at(&self.p99s, 50)?,
                max: at(&self.samples, 100)?,
                held_up: self.held_up,
            },
        })
    }
}

fn percentile(sorted: &[u64], percent: usize) -> Option<u64> {
    sorted
        .get(sorted.len().saturating_sub(1) * percent / 100)
        .copied()
}

/// When the message with this number is due, counted from the start of the turn.
fn every(number: u64) -> Duration {
    EVERY.saturating_mul(u32::try_from(number).unwrap_or(u32::MAX))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A publisher whose subscribers read nothing.
struct Flood {
    publisher: Member,
    packet: Vec<u8>,
    id_at: usize,
    sent: u64,
    acknowledged: u64,
    /// How long it has run, in the turns before this one.
    before: Duration,
}

impl Flood {
    /// Starts the flood: half of the subscribers have `QoS` 0, half `QoS` 1. Returns when the
    /// broker must have found out that they are stuck.
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
            before: Duration::ZERO,
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

    /// Publishes the flood's next messages that are due, as far as there is room. `now` is the time
    /// since the turn began.
    fn go_on(&mut self, swarm: &mut Swarm, now: Duration) -> Result<()> {
        let due = u64::try_from((self.before + now).as_millis())? * FLOOD_RATE / 1000;
        if self.sent < FLOOD_FIRST + due && self.has_room() {
            self.publish(swarm)?;
        }
        Ok(())
    }

    /// Ends the flood's part in a turn, which took `after`.
    fn pause(&mut self, after: Duration) {
        self.before += after;
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
