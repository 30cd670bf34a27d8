//! Kills the process again and again, at random moments, under load.
//!
//! `BEACONRY_KILLS` says how often, `BEACONRY_SEED` at which moments.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use mqtt::QoS;

use super::publisher::Publisher;
use super::server::{Folder, Server, binary, serve};
use super::stage::{Act, Alarm, Stage};
use super::subscriber::{Presence, Subscriber};

/// Small files, so that the server makes checkpoints all the time. The queues hold everything that
/// is published while a subscriber is away.
const ARGUMENTS: &[&str] = &[
    "--store-segment-size",
    "256KiB",
    "--max-queued-messages",
    "10000000",
    "--max-queued-bytes",
    "1GiB",
    "--max-all-queues-bytes",
    "4GiB",
];

#[test]
fn nothing_acknowledged_is_lost_or_doubled_however_often_the_server_is_killed() {
    let kills = number("BEACONRY_KILLS").unwrap_or(8);
    let seed = number("BEACONRY_SEED").unwrap_or(7);
    println!(
        "BEACONRY_KILLS={kills} BEACONRY_SEED={seed} {}",
        binary().display()
    );
    let began = Instant::now();
    let mut random = Random(seed);
    let folder = Folder::new();
    let stage = Stage::new();

    let mut server = serve(&folder.data(), "127.0.0.1:0".parse().unwrap(), ARGUMENTS);
    let (address, _) = server.ready();
    let publishers: Vec<_> = (0..6)
        .map(|index| {
            let qos = if index % 2 == 0 {
                QoS::AtLeastOnce
            } else {
                QoS::ExactlyOnce
            };
            Publisher::new(index, qos, index < 2)
        })
        .collect();
    let mut subscribers = [
        Subscriber::new(0, Presence::Always),
        Subscriber::new(1, Presence::Sometimes),
        Subscriber::new(2, Presence::AtTheEnd),
    ];
    for subscriber in &mut subscribers {
        subscriber.subscribe(address);
    }
    let expected = Mutex::new(BTreeMap::new());

    let server = std::thread::scope(|scope| {
        let (stage, expected) = (&stage, &expected);
        let _alarm = Alarm(stage);
        let publishing: Vec<_> = publishers
            .into_iter()
            .map(|publisher| {
                let topic = publisher.topic();
                (topic, scope.spawn(move || publisher.run(stage)))
            })
            .collect();
        let subscribing: Vec<_> = subscribers
            .into_iter()
            .map(|subscriber| {
                scope.spawn(move || subscriber.run(stage, || expected.lock().unwrap().clone()))
            })
            .collect();

        stage.up(address);
        let mut acknowledged = 0;
        for _ in 0..kills {
            acknowledged = stage.wait_for_acknowledgements(1 + random.below(600));
            // Also between two groups.
            std::thread::sleep(Duration::from_micros(random.below(6_000)));
            stage.down();
            server.kill();
            server = restart(&folder, address, &mut random);
            stage.up(address);
        }
        stage.set_act(Act::Finishing);
        for (topic, publisher) in publishing {
            let last = publisher.join().unwrap();
            expected.lock().unwrap().insert(topic, last);
        }
        stage.set_act(Act::Receiving);
        let published: u64 = expected.lock().unwrap().values().sum();
        assert!(published >= acknowledged && acknowledged > 0);
        for subscriber in subscribing {
            let taken = subscriber.join().unwrap();
            for (topic, last) in &*expected.lock().unwrap() {
                assert_eq!(taken[topic].last, *last, "{topic}");
            }
            let again: u64 = taken.values().map(|taken| taken.again).sum();
            println!("a subscriber has all {published} messages, and {again} of QoS 1 again");
        }
        server
    });
    server.end();
    println!("{kills} kills in {:.1?}", began.elapsed());
}

/// Kills one in eight again while it starts.
fn restart(folder: &Folder, address: SocketAddr, random: &mut Random) -> Server {
    loop {
        let server = serve(&folder.data(), address, ARGUMENTS);
        if random.below(8) > 0 {
            server.ready();
            return server;
        }
        std::thread::sleep(Duration::from_micros(random.below(60_000)));
        server.kill();
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
    )
}

/// xorshift64*: good enough to choose moments, and the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % limit
    }
}
