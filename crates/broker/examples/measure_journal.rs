//! Measures what a journal costs in the broker alone: nanoseconds per message with records and
//! without, bytes of journal per message, and how long a start from a large journal takes.
//!
//! ```text
//! cargo run --release -p beaconry-broker --example measure_journal
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use broker::{BrokerOptions, Conn, Input, Recovery, journal};
use bytes::{Bytes, BytesMut};
use mqtt::{Instant, Packet, PacketId, PubAck, PubComp, PubRec, PubRel, QoS, ReasonCode};
use shell::{Shell, batch, bytes, message, nanos, number, resident};

mod shell;

const PUBLISHERS: u64 = 50;
const PACKETS: u16 = 50;

/// The subscriber.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Subscriber {
    Passing,
    Absent,
    Present,
}

fn main() {
    start();
    println!("64 B payloads, version 5, 50 publishers, one turn = 50 packets of each");
    println!("{:28} {:>10} {:>10} {:>12}", "", "off", "on", "journal");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for subscriber in [Subscriber::Passing, Subscriber::Absent, Subscriber::Present] {
            let runs = [false, true].map(|durable| {
                let runs = (0..3).map(|_| publish(qos, subscriber, durable));
                runs.fold((f64::INFINITY, 0.0), |best: (f64, f64), run| {
                    (best.0.min(run.0), run.1)
                })
            });
            let name = format!("{qos:?}, {subscriber:?}");
            let [(off, _), (on, bytes)] = runs;
            println!("{name:28} {off:7.0} ns {on:7.0} ns {bytes:10.0} B");
        }
    }
}

/// Connects a client with this session expiry interval in seconds.
fn connect(shell: &mut Shell, number: u64, expiry: u32) -> Conn {
    shell.connect_with(number, |connect| {
        connect.clean_start = false;
        connect.properties.session_expiry_interval = Some(expiry);
    })
}

fn options(durable: bool) -> BrokerOptions {
    let mut options = BrokerOptions {
        durable,
        ..BrokerOptions::default()
    };
    let limits = &mut options.limits;
    limits.receive_maximum = u16::MAX;
    limits.inflight_window = 10_000;
    limits.connections = 200_000;
    limits.sessions = 200_000;
    limits.out_buffer_bytes = 64 << 20;
    limits.queue_messages = usize::MAX / 4;
    limits.queue_bytes = usize::MAX / 4;
    limits.all_queues_bytes = usize::MAX / 4;
    limits.memory_bytes = usize::MAX / 4;
    limits.retained_messages = 2_000_000;
    limits.retained_bytes = usize::MAX / 4;
    options
}

/// Nanoseconds and bytes of journal per message, including its acknowledgements.
fn publish(qos: QoS, subscriber: Subscriber, durable: bool) -> (f64, f64) {
    const TURNS: u64 = 80;
    let code = ReasonCode::Success;
    let id = |number| PacketId::new(number).unwrap_or(PacketId::MIN);
    let mut shell = Shell::new(options(durable));
    let expiry = if subscriber == Subscriber::Passing {
        0
    } else {
        u32::MAX
    };
    let subscribed = connect(&mut shell, 0, expiry);
    shell.subscribe(subscribed, "bench/+/data", qos);
    if subscriber == Subscriber::Absent {
        shell.input(Input::Closed(subscribed));
        shell.turn();
    }
    let ids = || 1..=PACKETS;
    let publishing: Vec<_> = (1..=PUBLISHERS)
        .map(|number| {
            let topic = format!("bench/{number}/data");
            let publishes = ids().map(|id| Packet::Publish(message(&topic, qos, id)));
            (connect(&mut shell, number, 0), batch(publishes))
        })
        .collect();
    let releases = batch(ids().map(|it| Packet::PubRel(PubRel::new(id(it), code))));
    let before = shell.journal_bytes;
    let mut next = 0_u16;
    let mut took = Duration::ZERO;
    for _ in 0..TURNS {
        // The subscriber's answers are encoded outside the measured time.
        let count = if subscriber == Subscriber::Absent {
            0
        } else {
            PUBLISHERS * u64::from(PACKETS)
        };
        let answered: Vec<PacketId> = (0..count)
            .map(|_| {
                next = next.checked_add(1).unwrap_or(1);
                id(next)
            })
            .collect();
        let first = batch(answered.iter().map(|id| match qos {
            QoS::AtMostOnce | QoS::AtLeastOnce => Packet::PubAck(PubAck::new(*id, code)),
            QoS::ExactlyOnce => Packet::PubRec(PubRec::new(*id, code)),
        }));
        let second = answered
            .iter()
            .map(|id| Packet::PubComp(PubComp::new(*id, code)));
        let second = batch(second);
        let start = Clock::now();
        for (conn, batch) in &publishing {
            let read = BytesMut::from(&batch[..]).freeze();
            shell.input(Input::Bytes(*conn, read));
            shell.turn();
        }
        shell.input(Input::Bytes(subscribed, first));
        shell.turn();
        if qos == QoS::ExactlyOnce {
            for (conn, _) in &publishing {
                shell.input(Input::Bytes(*conn, releases.clone()));
                shell.turn();
            }
            shell.input(Input::Bytes(subscribed, second));
            shell.turn();
        }
        took += start.elapsed();
    }
    let messages = TURNS * PUBLISHERS * u64::from(PACKETS);
    let bytes = shell.journal_bytes - before;
    (
        nanos(took, messages),
        number(u64::try_from(bytes).unwrap_or(0)) / number(messages),
    )
}

/// Measures a start with 1,000,000 retained messages, and 100,000 sessions with a subscription and
/// two queued messages each.
fn start() {
    const RETAINED: u32 = 1_000_000;
    const SESSIONS: u64 = 100_000;
    let mut shell = Shell::new(options(true));
    shell.keeps = true;
    let publisher = connect(&mut shell, 0, 0);
    for number in 0..RETAINED {
        let topic = format!("home/{}/{number}", number % 1_000);
        let mut publish = message(&topic, QoS::AtMostOnce, 1);
        publish.retain = true;
        shell.input(Input::Bytes(publisher, bytes(&Packet::Publish(publish))));
        if number % 100 == 0 {
            shell.turn();
        }
    }
    for number in 1..=SESSIONS {
        let conn = connect(&mut shell, number, u32::MAX);
        let topic = format!("beaconry/cmd/req/device-{number:06}");
        shell.subscribe(conn, &topic, QoS::AtLeastOnce);
        shell.input(Input::Closed(conn));
        for id in 1..=2 {
            let publish = Packet::Publish(message(&topic, QoS::AtLeastOnce, id));
            shell.input(Input::Bytes(publisher, bytes(&publish)));
        }
        shell.turn();
    }
    let whole = std::mem::take(&mut shell.journal).freeze();
    replay("the whole journal", &whole);
    shell.journal.reserve(whole.len());

    let begin = Clock::now();
    let mut pieces = 0;
    let mut longest = Duration::ZERO;
    loop {
        let start = Clock::now();
        let more = shell.broker.checkpoint(Instant::from_millis(1), 64 * 1024);
        longest = longest.max(start.elapsed());
        pieces += 1;
        shell.turn();
        if !more {
            break;
        }
    }
    println!(
        "{:28} {:7.2} s in {pieces} pieces of 64 KiB, the longest {:.1} ms",
        "a copy of it",
        begin.elapsed().as_secs_f64(),
        longest.as_secs_f64() * 1_000.0
    );
    shell.turn();
    let copy = std::mem::take(&mut shell.journal).freeze();
    drop(shell);
    replay("the copy alone", &copy);
}

fn replay(name: &str, journal: &Bytes) {
    let before = resident();
    let start = Clock::now();
    let mut recovery = Recovery::new(options(true));
    let mut left = journal.clone();
    let mut records = 0_u64;
    while let Ok(Some(frame)) = journal::next_frame(&mut left) {
        if let Err(error) = recovery.replay(frame.lsn, frame.body) {
            println!("{error}");
            return;
        }
        records += 1;
    }
    let (sessions, retained) = (recovery.sessions(), recovery.retained_messages());
    let (queued, strays) = (recovery.queued_messages(), recovery.strays());
    match recovery.finish(Instant::from_millis(2)) {
        Ok(broker) => {
            let took = start.elapsed();
            println!(
                "{name:28} {:7.2} s for {records} records in {} MB: {retained} retained, \
                 {sessions} sessions, {queued} queued, {strays} strays; {} MB of memory",
                took.as_secs_f64(),
                journal.len() >> 20,
                resident().saturating_sub(before) >> 20,
            );
            drop(black_box(broker));
        }
        Err(error) => println!("{error}"),
    }
}
