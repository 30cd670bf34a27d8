//! Measures the message log on the messages of a fleet: `cargo run --release -p beaconry-messages --example figures`.
//!
//! A thousand devices send a JSON reading of about 70 bytes a second, for half an hour. The time of day
//! is simulated, and the disk is real.

#![allow(clippy::cast_precision_loss)] // these are figures for people

use std::time::Instant;

use messages::{Batch, Message, Messages, Options, Order, Query};

const DEVICES: u64 = 1_000;
const SECONDS: u64 = 1_800;
const START: i64 = 1_700_000_000_000;

fn main() -> Result<(), store::StoreError> {
    let folder = testbed::Folder::new();
    let options = Options::new(folder.path().join("messages"));
    let (mut messages, _) = Messages::open(options.clone())?;
    let mut random = 1_u64;
    let mut noise = |most: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % most
    };
    let (mut raw, mut topic, mut payload) = (0, String::new(), String::new());
    let begin = Instant::now();
    for second in 0..SECONDS {
        for device in 0..DEVICES {
            let time = START + (second * 1_000 + device).cast_signed();
            topic.clear();
            payload.clear();
            let line = device % 20;
            put(
                &mut topic,
                format_args!("plant/line-{line}/pump-{device}/data"),
            );
            let (flow, hot) = (noise(300), noise(40));
            put(
                &mut payload,
                format_args!(
                    r#"{{"deviceId":"pump-{device}","messageType":"DATA","flow":{}.{},"temperature":2{}.{}}}"#,
                    200 + flow,
                    flow % 10,
                    hot % 10,
                    hot / 4
                ),
            );
            raw += topic.len() + payload.len();
            let message = Message::new(time, &topic, payload.as_bytes());
            messages.append(&Message {
                client: Some(&topic[6..]),
                ..message
            });
            if messages.wants_commit() {
                messages.commit()?;
            }
        }
        messages.commit()?;
    }
    let took = begin.elapsed();
    hand_over();
    let counted = messages.counted();
    println!(
        "append: {:.2} million messages a second; {:.1} of {:.1} bytes a message on the disk",
        counted.messages as f64 / took.as_secs_f64() / 1e6,
        counted.bytes as f64 / counted.messages as f64,
        raw as f64 / counted.messages as f64,
    );
    drop(messages);
    let begin = Instant::now();
    let (messages, _) = Messages::open(options)?;
    println!("open: {:.1} ms", begin.elapsed().as_secs_f64() * 1e3);
    let reader = messages.reader();
    let minute = Query {
        from: START + 600_000,
        to: START + 660_000,
        filters: vec!["plant/line-7/pump-127/#".to_owned()],
        ..Query::default()
    };
    let text = Query {
        text: Some("PUMP-99999".to_owned()),
        work: usize::MAX,
        ..Query::default()
    };
    let all = Query {
        order: Order::Oldest,
        limit: 1_000,
        ..Query::default()
    };
    for (what, query) in [
        ("the newest 100 messages", Query::default()),
        ("a minute of one device", minute),
        ("the first 1,000 messages", all),
        ("a text that is in none", text),
    ] {
        let begin = Instant::now();
        let page = reader.read(&query)?;
        let found = page.messages.len();
        let ms = begin.elapsed().as_secs_f64() * 1e3;
        println!("{what}: {ms:.1} ms, {found} found");
    }
    Ok(())
}

/// What it costs the thread that sees the messages.
fn hand_over() {
    const COUNT: u32 = 2_000_000;
    let mut batch = Batch::new(64 << 10);
    let message = Message {
        client: Some("pump-127"),
        ..Message::new(START, "plant/line-7/pump-127/data", &[b'x'; 70])
    };
    let begin = Instant::now();
    let mut bytes = 0;
    for number in 0..COUNT {
        batch.push(&message);
        if number % 500 == 0 {
            bytes += batch.take().bytes();
        }
    }
    let took = begin.elapsed() / COUNT;
    println!(
        "hand over: {} ns a message, {} MB",
        took.as_nanos(),
        bytes / 1_000_000
    );
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    use std::fmt::Write;
    // Writing into memory does not fail.
    let _ = text.write_fmt(arguments);
}
