//! Nanoseconds a delivery and bytes an idle connection, in the broker alone: no socket, and
//! a shell that throws away what it takes.
//!
//! ```text
//! cargo run --release -p beaconry-broker --example measure
//! ```

use std::hint::black_box;
use std::time::{Duration, Instant as Clock};

use broker::{Broker, BrokerOptions, Conn, Input, Output, Peer};
use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, Instant, Packet, PacketId, ProtocolVersion, PubAck, Publish, QoS, ReasonCode,
    Subscribe, Subscription, TopicFilter, TopicName, Utf8String, encode,
};

const V5: ProtocolVersion = ProtocolVersion::V5;

fn main() {
    // First, while no memory has been given back that it could use again.
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
    for (subscribers, payload) in [(1_000, 64), (100, 4_096)] {
        stuck(subscribers, payload);
    }
    println!(
        "{:28} {:7.1} ns a message",
        "100,000 retained to one",
        best_of(3, retained)
    );
}

fn best_of(rounds: usize, mut run: impl FnMut() -> f64) -> f64 {
    (0..rounds).map(|_| run()).fold(f64::INFINITY, f64::min)
}

/// The shell: takes, throws away, acknowledges.
struct Shell {
    broker: Broker,
    now: Instant,
    out: BytesMut,
    written: Vec<Conn>,
    bytes: usize,
}

impl Shell {
    fn new() -> Self {
        let mut options = BrokerOptions::default();
        options.limits.receive_maximum = u16::MAX;
        options.limits.inflight_window = 1_000;
        options.limits.connections = 200_000;
        options.limits.out_buffer_bytes = 64 << 20;
        Self {
            broker: Broker::new(Instant::ZERO, options),
            now: Instant::ZERO,
            out: BytesMut::new(),
            written: Vec::new(),
            bytes: 0,
        }
    }

    fn connect(&mut self, number: u64, keep_alive: u16) -> Conn {
        self.connect_with(number, keep_alive, 0)
    }

    fn connect_with(&mut self, number: u64, keep_alive: u16, aliases: u16) -> Conn {
        let conn = Conn(number);
        let client_id = Utf8String::try_from(format!("device-{number:06}")).ok();
        let mut connect = Connect::new(V5, "");
        connect.client_id = client_id.unwrap_or_default();
        connect.keep_alive = keep_alive;
        connect.properties.topic_alias_maximum = Some(aliases);
        self.input(Input::Opened(conn, Peer::MEMORY));
        self.input(Input::Bytes(conn, bytes(&Packet::Connect(connect))));
        self.turn();
        conn
    }

    fn subscribe(&mut self, conn: Conn, filter: &str, qos: QoS) {
        let filter = TopicFilter::try_from(filter).ok();
        let packet = Packet::Subscribe(Subscribe {
            packet_id: PacketId::MIN,
            subscriptions: filter
                .map(|filter| Subscription::new(filter, qos))
                .into_iter()
                .collect(),
            subscription_identifier: None,
            user_properties: Vec::new(),
        });
        self.input(Input::Bytes(conn, bytes(&packet)));
        self.turn();
    }

    fn input(&mut self, input: Input) {
        self.broker.handle_input(self.now, input);
    }

    /// Writes all there is to write.
    fn turn(&mut self) {
        loop {
            match self.broker.poll_output() {
                Output::Write(conn) => {
                    self.broker.take_writes(conn, &mut self.out);
                    self.bytes += black_box(&self.out).len();
                    self.out.clear();
                    self.written.push(conn);
                }
                Output::Close(conn, reason) => println!("{conn:?} closed: {reason}"),
                Output::Idle(_) => break,
                Output::Authenticate(..)
                | Output::Connected(..)
                | Output::Persist(_)
                | Output::Checkpointed(_)
                | Output::Pause(_)
                | Output::Resume(_)
                | Output::Limited(_)
                | Output::ToShard(..) => {}
            }
        }
        for conn in std::mem::take(&mut self.written) {
            self.broker.handle_input(self.now, Input::Drained(conn));
        }
    }
}

fn bytes(packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    if let Err(error) = encode(packet, V5, &mut out) {
        println!("{packet:?}: {error}");
    }
    out.freeze()
}

fn message(topic: &str, qos: QoS, id: u16) -> Publish {
    let topic = TopicName::try_from(topic).ok();
    Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: PacketId::new(id).filter(|_| qos > QoS::AtMostOnce),
        payload: Bytes::from_static(&[b'x'; 64]),
        properties: mqtt::packet::PublishProperties::default(),
    }
}

/// Nanoseconds a delivery to 1,000 clients that take so many aliases, with a topic that is
/// worth one.
fn aliases(most: u16) -> f64 {
    let mut shell = Shell::new();
    for number in 0..1_000 {
        let conn = shell.connect_with(number, 60, most);
        shell.subscribe(conn, "plant/7/line/+/temperature", QoS::AtMostOnce);
    }
    let publisher = shell.connect(1_000_000, 60);
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

/// Nanoseconds a message of `QoS` 1 to one of so many members, of whom some acknowledge
/// nothing.
fn share(members: u64, stuck: u64) -> f64 {
    const MESSAGES: u32 = 50_000;
    let mut shell = Shell::new();
    shell.broker = Broker::new(Instant::ZERO, BrokerOptions::default());
    let conns: Vec<_> = (0..members)
        .map(|number| {
            let conn = shell.connect(number, 60);
            shell.subscribe(conn, "$share/g/bench/data", QoS::AtLeastOnce);
            conn
        })
        .collect();
    let publisher = shell.connect(1_000_000, 60);
    let packet = bytes(&Packet::Publish(message("bench/data", QoS::AtLeastOnce, 1)));
    let mut took = Duration::ZERO;
    // The stuck ones get their windows full first.
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

/// What publishing costs to clients that read nothing: refused, queued, and when the queues are
/// full and all of them are dismissed at once.
fn stuck(subscribers: u64, payload: usize) {
    const QUEUE: u32 = 1_000;
    let publish = |qos| {
        let mut publish = message("bench/data", qos, 1);
        publish.payload = vec![b'x'; payload].into();
        bytes(&Packet::Publish(publish))
    };
    let connect = |qos| {
        let mut shell = Shell::new();
        let mut options = BrokerOptions::default();
        options.limits.out_buffer_bytes = 64 * 1024;
        options.limits.queue_messages = QUEUE as usize;
        options.limits.queue_bytes = usize::MAX / 4;
        options.limits.all_queues_bytes = usize::MAX / 4;
        options.limits.memory_bytes = usize::MAX / 4;
        shell.broker = Broker::new(Instant::ZERO, options);
        for number in 0..subscribers {
            let conn = shell.connect(number, 0);
            shell.subscribe(conn, "bench/data", qos);
        }
        let publisher = shell.connect(1_000_000, 0);
        (shell, publisher)
    };
    // Nothing is taken but what the publisher is told.
    let send = |shell: &mut Shell, publisher: Conn, packet: &Bytes| {
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
    let what = format!("to {subscribers} stuck, {payload} B");

    let (mut shell, publisher) = connect(QoS::AtMostOnce);
    let packet = publish(QoS::AtMostOnce);
    while shell.broker.metrics().dropped_slow < subscribers {
        send(&mut shell, publisher, &packet);
    }
    let before = shell.broker.metrics().dropped_slow;
    let took = (0..1_000)
        .map(|_| send(&mut shell, publisher, &packet))
        .sum();
    let refused = shell.broker.metrics().dropped_slow - before;
    let each = nanos(took, refused);
    println!("{what:28} {each:7.1} ns each refused, QoS 0");

    let (mut shell, publisher) = connect(QoS::AtLeastOnce);
    let packet = publish(QoS::AtLeastOnce);
    while shell.broker.metrics().queued_messages < subscribers * 64 {
        send(&mut shell, publisher, &packet);
    }
    let before = shell.broker.metrics().queued_messages;
    let took = (0..QUEUE - 64)
        .map(|_| send(&mut shell, publisher, &packet))
        .sum();
    let queued = shell.broker.metrics().queued_messages - before;
    println!(
        "{what:28} {:7.1} ns each queued, QoS 1",
        nanos(took, queued)
    );

    let (mut longest, mut all) = (Duration::ZERO, Duration::ZERO);
    send(&mut shell, publisher, &packet);
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

/// Nanoseconds a delivery.
fn deliver(publishers: u64, subscribers: u64, qos: QoS) -> f64 {
    const PACKETS: u16 = 50;
    let mut shell = Shell::new();
    let mut conns = Vec::new();
    for number in 0..subscribers {
        let conn = shell.connect(number, 60);
        shell.subscribe(conn, "bench/+/data", qos);
        conns.push(conn);
    }
    let publishing: Vec<_> = (0..publishers)
        .map(|number| {
            let conn = shell.connect(1_000_000 + number, 60);
            let mut batch = BytesMut::new();
            for id in 1..=PACKETS {
                let publish = message(&format!("bench/{number}/data"), qos, id);
                batch.extend_from_slice(&bytes(&Packet::Publish(publish)));
            }
            (conn, batch.freeze())
        })
        .collect();
    let acknowledgements = acknowledgements(PACKETS, publishers);
    let each = publishers * subscribers * u64::from(PACKETS);
    let turns = 2_000_000 / each + 1;
    let mut acknowledge = Duration::ZERO;
    let start = Clock::now();
    for turn in 0..turns {
        for (conn, batch) in &publishing {
            // As if it had just been read.
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

/// What a subscriber acknowledges in each turn, until the packet identifiers begin again.
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
    let mut shell = Shell::new();
    let publisher = shell.connect(1, 60);
    for number in 0..MESSAGES {
        let mut publish = message(
            &format!("home/{}/{number}", number % 100),
            QoS::AtMostOnce,
            1,
        );
        publish.retain = true;
        shell.input(Input::Bytes(publisher, bytes(&Packet::Publish(publish))));
    }
    let subscriber = shell.connect(2, 60);
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

/// What connections cost that say nothing.
fn idle() {
    const CONNECTIONS: u64 = 100_000;
    let mut shell = Shell::new();
    shell.connect(0, 60);
    let before = resident();
    let start = Clock::now();
    for number in 1..=CONNECTIONS {
        let conn = shell.connect(number, 60);
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
    // 66 seconds pass, in which each says PINGREQ once.
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

/// Memory of this process in bytes, where the system says so as Linux does; else 0.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

fn bytes_of_ping() -> Bytes {
    bytes(&Packet::PingReq)
}

#[allow(clippy::cast_precision_loss)] // of billions, a few digits are shown
fn nanos(took: Duration, count: u64) -> f64 {
    took.as_nanos() as f64 / count.max(1) as f64
}
