//! Measures how long a message takes from one client to another beside subscribers that read nothing.
//! Such subscribers must not slow others down.
//!
//! ```text
//! cargo build --release && cargo run --release -p beaconry --example stuck
//! ```
//!
//! An argument names another binary than `target/release/beaconry`.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mqtt::{
    Connect, Decoder, Packet, PacketId, ProtocolVersion, Publish, QoS, Subscribe, Subscription,
    TopicFilter, TopicName, encode,
};
use testbed::Server;

const V5: ProtocolVersion = ProtocolVersion::V5;
/// The topic of the stuck subscribers: a kilobyte, a thousand times a second.
const LOAD_PAYLOAD: usize = 1024;
const EVERY: Duration = Duration::from_millis(1);
/// How many messages are measured.
const MEASURED: u32 = 10_000;

type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Fallible<()> {
    let binary = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "target/release/beaconry".to_owned());
    println!("{MEASURED} messages, one a millisecond; beside them a load of 1,000 kB/s");
    for stuck in [0, 100] {
        let server = Server::start(
            Command::new(&binary)
                .args(["serve", "--in-memory", "--log", "error"])
                .args(["--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0"]),
        );
        let latencies = measure(&server.ready().0.to_string(), stuck)?;
        let at = |part: usize| latencies[(latencies.len() - 1) * part / 1_000];
        println!(
            "{stuck:4} stuck subscribers: p50 {:>8.1?}  p99 {:>8.1?}  p99.9 {:>8.1?}  max {:>8.1?}  server {} MB",
            at(500),
            at(990),
            at(999),
            at(1_000),
            server.resident().unwrap_or(0) / 1_000_000,
        );
    }
    Ok(())
}

/// Sorted latencies.
fn measure(address: &str, stuck: u32) -> Fallible<Vec<Duration>> {
    let mut piled_up = Vec::new();
    for number in 0..stuck {
        let qos = if number % 2 == 0 {
            QoS::AtMostOnce
        } else {
            QoS::AtLeastOnce
        };
        let mut connect = Connect::with_client_id(V5, &format!("stuck-{number}"))?;
        connect.properties.session_expiry_interval = Some(3_600);
        piled_up.push(subscriber(address, connect, "load", qos)?);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let load = thread::spawn({
        let (address, is_over) = (address.to_owned(), Arc::clone(&is_over));
        move || load(&address, &is_over)
    });
    // By then the sockets and queues of the stuck subscribers are full.
    thread::sleep(Duration::from_secs(5));
    let mut listener = subscriber(
        address,
        Connect::new(V5, "listener"),
        "measured",
        QoS::AtMostOnce,
    )?;
    let mut speaker = open(address, Connect::new(V5, "speaker"))?;
    let epoch = Instant::now();
    let speaking = thread::spawn(move || -> Fallible<()> {
        for number in 0..MEASURED {
            pause_until(epoch + EVERY * number);
            let sent = u64::try_from(epoch.elapsed().as_nanos())?;
            let packet = publish(
                "measured",
                Bytes::copy_from_slice(&sent.to_be_bytes()),
                None,
            )?;
            speaker.write_all(&packet)?;
        }
        // Its connection stays open until all messages have come.
        thread::sleep(Duration::from_secs(1));
        Ok(())
    });
    let mut latencies = Vec::new();
    let mut decoder = Decoder::client(V5);
    let mut buffer = vec![0; 64 * 1024];
    while latencies.len() < usize::try_from(MEASURED)? {
        let count = listener.read(&mut buffer)?;
        if count == 0 {
            return Err("the server closed the healthy listener".into());
        }
        let heard = epoch.elapsed();
        let mut bytes = Bytes::copy_from_slice(&buffer[..count]);
        while let Some(packet) = decoder.decode(&mut bytes)? {
            if let Packet::Publish(publish) = packet {
                let sent = u64::from_be_bytes(publish.payload[..].try_into()?);
                latencies.push(heard.saturating_sub(Duration::from_nanos(sent)));
            }
        }
    }
    is_over.store(true, Ordering::Relaxed);
    speaking.join().map_err(|_| "the speaker panicked")??;
    load.join().map_err(|_| "the load panicked")??;
    drop(piled_up);
    latencies.sort_unstable();
    Ok(latencies)
}

/// Publishes to the stuck subscribers until the measurement is over.
fn load(address: &str, is_over: &AtomicBool) -> Fallible<()> {
    let mut stream = open(address, Connect::new(V5, "load"))?;
    let mut acknowledgements = stream.try_clone()?;
    thread::spawn(move || {
        let mut ignored = [0; 4096];
        while acknowledgements
            .read(&mut ignored)
            .is_ok_and(|count| count > 0)
        {}
    });
    let payload = Bytes::from(vec![b'x'; LOAD_PAYLOAD]);
    let start = Instant::now();
    let mut number = 0_u32;
    while !is_over.load(Ordering::Relaxed) {
        pause_until(start + EVERY * number);
        let id = PacketId::new(u16::try_from(number % 200 + 1)?);
        stream.write_all(&publish("load", payload.clone(), id)?)?;
        number += 1;
    }
    Ok(())
}

/// Sleeps for most of the time, and spins for the rest, because sleeping is not exact.
fn pause_until(at: Instant) {
    const INEXACT: Duration = Duration::from_micros(200);
    let left = at.saturating_duration_since(Instant::now());
    thread::sleep(left.saturating_sub(INEXACT));
    while Instant::now() < at {
        std::hint::spin_loop();
    }
}

fn open(address: &str, connect: Connect) -> Fallible<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(&bytes(&Packet::Connect(connect))?)?;
    match answer(&mut stream)? {
        Some(Packet::ConnAck(connack)) if !connack.reason_code.is_error() => Ok(stream),
        other => Err(format!("not connected: {other:?}").into()),
    }
}

fn subscriber(address: &str, connect: Connect, filter: &str, qos: QoS) -> Fallible<TcpStream> {
    let mut stream = open(address, connect)?;
    let packet = Packet::Subscribe(Subscribe {
        packet_id: PacketId::MIN,
        subscriptions: vec![Subscription::new(TopicFilter::try_from(filter)?, qos)],
        subscription_identifier: None,
        user_properties: Vec::new(),
    });
    stream.write_all(&bytes(&packet)?)?;
    match answer(&mut stream)? {
        Some(Packet::SubAck(_)) => Ok(stream),
        other => Err(format!("not subscribed: {other:?}").into()),
    }
}

/// The next packet. Reads byte by byte, so that nothing behind it is lost.
fn answer(stream: &mut TcpStream) -> Fallible<Option<Packet>> {
    let mut decoder = Decoder::client(V5);
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        if let Some(packet) = decoder.decode(&mut Bytes::copy_from_slice(&byte))? {
            return Ok(Some(packet));
        }
    }
    Ok(None)
}

fn publish(topic: &'static str, payload: Bytes, id: Option<PacketId>) -> Fallible<Bytes> {
    let mut publish = Publish::new(TopicName::try_from(topic)?, payload);
    if id.is_some() {
        publish.qos = QoS::AtLeastOnce;
        publish.packet_id = id;
    }
    bytes(&Packet::Publish(publish))
}

fn bytes(packet: &Packet) -> Fallible<Bytes> {
    let mut out = BytesMut::new();
    encode(packet, V5, &mut out)?;
    Ok(out.freeze())
}
