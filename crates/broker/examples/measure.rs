//! Measures the broker alone, without sockets: nanoseconds per delivery, and bytes per idle
//! connection. The shell throws away what it takes.
//!
//! ```text
//! cargo run --release -p beaconry-broker --example measure
//! ```
//!
//! The argument `stuck` measures only publishing to clients that read nothing. `silent` measures
//! only closing many clients at once.

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use broker::{Broker, BrokerOptions, Conn, Input, Output};
use bytes::{Bytes, BytesMut};
use mqtt::{Instant, Packet, PacketId, PubAck, QoS, ReasonCode};
use shell::{Shell, batch, bytes, message, nanos, resident};

#[allow(dead_code)] // what only the measurement of journals needs
mod shell;

fn main() {
    if std::env::args().any(|argument| argument == "stuck") {
        return all_stuck();
    }
    if std::env::args().any(|argument| argument == "silent") {
        return all_silent();
    }
    // This comes first. Later it could reuse memory that other measurements had freed, and would
    // seem to need less.
    idle();
    println!("64 B payloads, version 5, one turn = 50 packets of each publisher");
    for (name, publishers, subscribers, qos) in [
        ("fan-out 1 to 100, QoS 0", 1, 100, QoS::AtMostOnce),
        ("fan-out 1 to 1,000, QoS 0", 1, 1_000, QoS::AtMostOnce),
        ("fan-in 50 to 1, QoS 0", 50, 1, QoS::AtMostOnce),
        ("fan-in 50 to 1, QoS 1", 50, 1, QoS::AtLeastOnce),
        ("fan-out 1 to 100, QoS 1", 1, 100, QoS::AtLeastOnce),
    ] {
        let nanos = best_of(5, || deliver(publishers, subscribers, qos));
        println!("{name:28} {nanos:7.1} ns a delivery");
    }
    for most in [0, 16] {
        let nanos = best_of(5, || aliases(most));
        println!("aliases up to {most:2}, 1 to 1,000 {nanos:7.1} ns a delivery");
    }
    for stuck in [0, 999] {
        let nanos = best_of(5, || share(1_000, stuck));
        println!("group of 1,000, {stuck:3} stuck    {nanos:7.1} ns a message");
    }
    all_stuck();
    all_silent();
    println!(
        "{:28} {:7.1} ns a message",
        "100,000 retained to one",
        best_of(3, retained)
    );
}

fn best_of(rounds: usize, mut run: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| run()).fold(f64::INFINITY, f64::min)
}

fn options() -> BrokerOptions {
    let mut options = BrokerOptions::default();
    options.limits.receive_maximum = u16::MAX;
    options.limits.inflight_window = 1_000;
    options.limits.connections = 200_000;
    options.limits.out_buffer_bytes = 64 << 20;
    options
}

/// A client with this keep alive in seconds.
fn connect(shell: &mut Shell, number: u64, keep_alive: u16) -> Conn {
    shell.connect_with(number, |connect| connect.keep_alive = keep_alive)
}

/// Nanoseconds per delivery to 1,000 clients that take `most` aliases, with a topic that is worth
/// an alias.
fn aliases(most: u16) -> f64 {
    let mut shell = Shell::new(options());
    for number in 0..1_000 {
        let conn = shell.connect_with(number, |connect| {
            connect.keep_alive = 60;
            connect.properties.topic_alias_maximum = Some(most);
        });
        shell.subscribe(conn, "plant/7/line/+/temperature", QoS::AtMostOnce);
    }
    let publisher = connect(&mut shell, 1_000_000, 60);
    let publish = message("plant/7/line/3/temperature", QoS::AtMostOnce, 1);
    let packet = bytes(&Packet::Publish(publish));
    let start = Clock::now();
    for _ in 0..2_000 {
        shell.input(Input::Bytes(publisher, packet.clone()));
        shell.turn();
    }
    let took = start.elapsed();
    let deliveries = shell.broker.metrics().messages_out;
    nanos(took, deliveries)
}

/// Nanoseconds per `QoS` 1 message to a group of `members`, of which `stuck` acknowledge
/// nothing.
fn share(members: u64, stuck: u64) -> f64 {
    const MESSAGES: u32 = 50_000;
    let mut shell = Shell::new(options());
    shell.broker = Broker::new(Instant::ZERO, BrokerOptions::default());
    let conns: Vec<_> = (0..members)
        .map(|number| {
            let conn = connect(&mut shell, number, 60);
            shell.subscribe(conn, "$share/g/bench/data", QoS::AtLeastOnce);
            conn
        })
        .collect();
    let publisher = connect(&mut shell, 1_000_000, 60);
    let packet = bytes(&Packet::Publish(message("bench/data", QoS::AtLeastOnce, 1)));
    let mut took = Duration::ZERO;
    // First fill the windows of the stuck members.
    let filling = u32::try_from(stuck * 64).unwrap_or(0);
    let mut at = vec![0_u16; conns.len()];
    for number in 0..filling + MESSAGES {
        let start = Clock::now();
        shell.input(Input::Bytes(publisher, packet.clone()));
        if number >= filling {
            took += start.elapsed();
        }
        let mut chosen = None;
        while let Output::Write(conn) = shell.broker.poll_output() {
            shell.out.clear();
            shell.broker.take_writes(conn, &mut shell.out);
            chosen = if conn == publisher {
                chosen
            } else {
                Some(conn)
            };
            shell.broker.handle_input(shell.now, Input::Drained(conn));
        }
        if let Some(conn) = chosen
            && let Some(at) = usize::try_from(conn.0).ok().and_then(|it| at.get_mut(it))
        {
            *at = at.checked_add(1).unwrap_or(1);
            if conn.0 >= stuck
                && let Some(id) = PacketId::new(*at)
            {
                let ack = Packet::PubAck(mqtt::PubAck::new(id, mqtt::ReasonCode::Success));
                shell.input(Input::Bytes(conn, bytes(&ack)));
            }
        }
    }
    let (delivered, all) = (shell.broker.metrics().messages_out, filling + MESSAGES);
    if delivered != u64::from(all) {
        println!("{delivered} of {all} delivered");
    }
    nanos(took, u64::from(MESSAGES))
}

fn all_stuck() {
    for (subscribers, payload, is_cold) in
        [(1_000, 64, false), (100, 4_096, false), (100, 4_096, true)]
    {
        stuck(subscribers, payload, is_cold);
    }
}

/// What publishing to clients that read nothing costs: when messages are refused, when they are
/// queued, and when the queues are full and all clients are dismissed at once. With `is_cold`,
/// other work between two messages evicts the broker's data from the processor's cache.
fn stuck(subscribers: u64, payload: usize, is_cold: bool) {
    const QUEUE: u32 = 1_000;
    let publish = |qos| {
        let mut publish = message("bench/data", qos, 1);
        publish.payload = vec![b'x'; payload].into();
        bytes(&Packet::Publish(publish))
    };
    let begin = |qos| {
        let mut shell = Shell::new(options());
        let mut options = BrokerOptions::default();
        options.limits.out_buffer_bytes = 64 * 1024;
        options.limits.queue_messages = QUEUE as usize;
        options.limits.queue_bytes = usize::MAX / 4;
        options.limits.all_queues_bytes = usize::MAX / 4;
        options.limits.memory_bytes = usize::MAX / 4;
        shell.broker = Broker::new(Instant::ZERO, options);
        for number in 0..subscribers {
            let conn = connect(&mut shell, number, 0);
            shell.subscribe(conn, "bench/data", qos);
        }
        let publisher = connect(&mut shell, 1_000_000, 0);
        (shell, publisher)
    };
    let mut other = vec![0_u8; if is_cold { 16 << 20 } else { 0 }];
    // Only the publisher's bytes are taken.
    let mut send = |shell: &mut Shell, publisher: Conn, packet: &Bytes| {
        for byte in other.iter_mut().step_by(64) {
            *byte = black_box(byte.wrapping_add(1));
        }
        let start = Clock::now();
        shell.input(Input::Bytes(publisher, packet.clone()));
        let took = start.elapsed();
        loop {
            match shell.broker.poll_output() {
                Output::Write(conn) if conn == publisher => {
                    shell.out.clear();
                    shell.broker.take_writes(conn, &mut shell.out);
                    shell.input(Input::Drained(conn));
                }
                Output::Idle(_) => break,
                _ => {}
            }
        }
        took
    };
    let cold = if is_cold { ", cold" } else { "" };
    let what = format!("to {subscribers} stuck, {payload} B{cold}");

    let (mut shell, publisher) = begin(QoS::AtMostOnce);
    let packet = publish(QoS::AtMostOnce);
    while shell.broker.metrics().dropped_slow < subscribers {
        send(&mut shell, publisher, &packet);
    }
    let before = shell.broker.metrics().dropped_slow;
    let took = median((0..500).map(|_| send(&mut shell, publisher, &packet)));
    let refused = shell.broker.metrics().dropped_slow - before;
    let each = nanos(took, refused / 500);
    println!("{what:28} {each:7.1} ns each refused, QoS 0");

    let (mut shell, publisher) = begin(QoS::AtLeastOnce);
    let packet = publish(QoS::AtLeastOnce);
    while shell.broker.metrics().queued_messages < subscribers * 64 {
        send(&mut shell, publisher, &packet);
    }
    let before = shell.broker.metrics().queued_messages;
    let messages = QUEUE - 64;
    let took = median((0..messages).map(|_| send(&mut shell, publisher, &packet)));
    let queued = shell.broker.metrics().queued_messages - before;
    let each = nanos(took, queued / u64::from(messages));
    println!("{what:28} {each:7.1} ns each queued, QoS 1");

    let (mut longest, mut all) = (Duration::ZERO, Duration::ZERO);
    while shell.broker.metrics().closed_queue_full == 0 {
        send(&mut shell, publisher, &packet);
    }
    while shell.broker.metrics().queued_messages > 0 {
        shell.now = shell.now + Duration::from_millis(1);
        let start = Clock::now();
        shell.input(Input::Timeout);
        let took = start.elapsed();
        while !matches!(shell.broker.poll_output(), Output::Idle(_)) {}
        longest = longest.max(took);
        all += took;
    }
    println!("{what:28} {all:10.1?} to dismiss them, {longest:.1?} at once");
}

/// Many clients that share a filter are silent for too long at once, as after a network failure.
/// Measures how long everybody else waits while they are closed.
fn all_silent() {
    const CONNECTIONS: u64 = 100_000;
    let mut shell = Shell::new(options());
    for number in 0..CONNECTIONS {
        let conn = connect(&mut shell, number, 60);
        shell.subscribe(conn, "bench/data", QoS::AtMostOnce);
    }
    shell.now = Instant::from_millis(90_000);
    let mut times = Vec::new();
    while shell.broker.metrics().connections > 0 {
        let start = Clock::now();
        shell.input(Input::Timeout);
        times.push(start.elapsed());
        while !matches!(shell.broker.poll_output(), Output::Idle(_)) {}
        shell.now = shell.now + Duration::from_millis(1);
    }
    let all: Duration = times.iter().sum();
    times.sort_unstable();
    println!(
        "{:28} {all:10.1?} to close them, {:.1?} at once, median {:.1?}",
        "100,000 silent at once",
        times[times.len() - 1],
        times[times.len() / 2]
    );
}

/// The median, because other programs disturb some runs.
fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Nanoseconds per delivery.
fn deliver(publishers: u64, subscribers: u64, qos: QoS) -> f64 {
    const PACKETS: u16 = 50;
    let mut shell = Shell::new(options());
    let mut conns = Vec::new();
    for number in 0..subscribers {
        let conn = connect(&mut shell, number, 60);
        shell.subscribe(conn, "bench/+/data", qos);
        conns.push(conn);
    }
    let publishing: Vec<_> = (0..publishers)
        .map(|number| {
            let conn = connect(&mut shell, 1_000_000 + number, 60);
            let topic = format!("bench/{number}/data");
            let publishes = (1..=PACKETS).map(|id| Packet::Publish(message(&topic, qos, id)));
            (conn, batch(publishes))
        })
        .collect();
    let acknowledgements = acknowledgements(PACKETS, publishers);
    let each = publishers * subscribers * u64::from(PACKETS);
    let turns = 2_000_000 / each + 1;
    let mut acknowledge = Duration::ZERO;
    let start = Clock::now();
    for turn in 0..turns {
        for (conn, batch) in &publishing {
            // The message is a copy, as if it had just been read from a socket.
            let read = BytesMut::from(&batch[..]).freeze();
            shell.input(Input::Bytes(*conn, read));
            shell.turn();
        }
        if qos > QoS::AtMostOnce {
            let start = Clock::now();
            let acks =
                &acknowledgements[usize::try_from(turn).unwrap_or(0) % acknowledgements.len()];
            for conn in &conns {
                shell.input(Input::Bytes(*conn, acks.clone()));
            }
            shell.turn();
            acknowledge += start.elapsed();
        }
    }
    let took = start.elapsed();
    let metrics = shell.broker.metrics();
    let deliveries = metrics.messages_out;
    if deliveries != turns * each {
        println!("{deliveries} of {} delivered: {metrics:?}", turns * each);
    }
    nanos(took, deliveries)
}

/// A subscriber's acknowledgements for each turn, until the packet identifiers begin again.
fn acknowledgements(packets: u16, publishers: u64) -> Vec<Bytes> {
    let a_turn = u64::from(packets) * publishers;
    let mut id = 0_u16;
    (0..65_535)
        .map(|_| {
            let mut batch = BytesMut::new();
            for _ in 0..a_turn {
                id = id.checked_add(1).unwrap_or(1);
                if let Some(packet_id) = PacketId::new(id) {
                    let ack = PubAck::new(packet_id, ReasonCode::Success);
                    batch.extend_from_slice(&bytes(&Packet::PubAck(ack)));
                }
            }
            batch.freeze()
        })
        .take(1_000)
        .collect()
}

fn retained() -> f64 {
    const MESSAGES: u32 = 100_000;
    let mut shell = Shell::new(options());
    let publisher = connect(&mut shell, 1, 60);
    for number in 0..MESSAGES {
        let mut publish = message(
            &format!("home/{}/{number}", number % 100),
            QoS::AtMostOnce,
            1,
        );
        publish.retain = true;
        shell.input(Input::Bytes(publisher, bytes(&Packet::Publish(publish))));
    }
    let subscriber = connect(&mut shell, 2, 60);
    let start = Clock::now();
    shell.subscribe(subscriber, "#", QoS::AtMostOnce);
    while shell.broker.metrics().retained_lookups > 0 {
        shell.turn();
    }
    let took = start.elapsed();
    let sent = shell.broker.metrics().messages_out;
    if sent != u64::from(MESSAGES) {
        println!("{sent} sent: {:?}", shell.broker.metrics());
    }
    nanos(took, sent)
}

/// Measures what silent connections cost.
fn idle() {
    const CONNECTIONS: u64 = 100_000;
    let mut shell = Shell::new(options());
    connect(&mut shell, 0, 60);
    let before = resident();
    let start = Clock::now();
    for number in 1..=CONNECTIONS {
        let conn = connect(&mut shell, number, 60);
        shell.subscribe(
            conn,
            &format!("beaconry/cmd/req/device-{number:06}"),
            QoS::ExactlyOnce,
        );
    }
    let took = start.elapsed();
    let bytes = resident().saturating_sub(before);
    println!(
        "{:28} {:7} B each, one subscription of its own included ({} each to connect)",
        "100,000 idle connections",
        bytes / CONNECTIONS,
        format_args!("{:.1} us", nanos(took, CONNECTIONS) / 1_000.0)
    );
    // 66 seconds pass, in which each client sends one PINGREQ.
    let ping = bytes_of_ping();
    let start = Clock::now();
    for number in 1..=CONNECTIONS {
        shell.now = Instant::from_micros(number * 660);
        shell.input(Input::Bytes(Conn(number), ping.clone()));
        shell.turn();
    }
    println!(
        "{:28} {:7.1} ns a PINGREQ, timers included",
        "100,000 kept alive",
        nanos(start.elapsed(), CONNECTIONS)
    );
}

fn bytes_of_ping() -> Bytes {
    bytes(&Packet::PingReq)
}
