//! Measures nanoseconds per packet, for everyone who changes the codec. The packet is a 64 byte
//! `QoS` 0 PUBLISH, which a broker handles most.
//!
//! `cargo run --release -p beaconry-mqtt --example codec_speed`
#![allow(clippy::unwrap_used)] // a measurement that fails may panic

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mqtt::{
    Decoder, Packet, ProtocolVersion, Publish, PublishForm, PublishTemplate, QoS, TemplatePatch,
    TopicName, encode,
};

/// How many packets follow one another in the input, as on a busy connection.
const BATCH: u32 = 200;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(300);

fn main() {
    for version in [ProtocolVersion::V3_1_1, ProtocolVersion::V5] {
        let publish = Publish::new(
            TopicName::try_from("fleet/data/weather-01").unwrap(),
            "x".repeat(64),
        );
        let packet = Packet::Publish(publish.clone());
        let mut with_properties = publish.clone();
        with_properties.properties.message_expiry_interval = Some(300);
        with_properties.properties.content_type = Some("json".try_into().unwrap());

        let mut out = BytesMut::with_capacity(1 << 20);
        report(version, "encode", || {
            out.clear();
            for _ in 0..BATCH {
                encode(black_box(&packet), version, &mut out).unwrap();
            }
        });
        let form = PublishForm {
            qos: QoS::AtMostOnce,
            ..PublishForm::of(&publish)
        };
        let template = PublishTemplate::new(&publish, version, &form).unwrap();
        report(version, "write from a template", || {
            out.clear();
            for _ in 0..BATCH {
                black_box(&template).write(&TemplatePatch::default(), &mut out);
            }
        });
        report(version, "make a template", || {
            for _ in 0..BATCH {
                black_box(PublishTemplate::new(black_box(&publish), version, &form).unwrap());
            }
        });
        measure_decoding(version, "decode", &packet);
        let packet = Packet::Publish(with_properties);
        measure_decoding(version, "decode, two properties", &packet);
    }
}

fn measure_decoding(version: ProtocolVersion, what: &str, packet: &Packet) {
    let mut wire = BytesMut::new();
    for _ in 0..BATCH {
        encode(packet, version, &mut wire).unwrap();
    }
    let wire = wire.freeze();
    let mut decoder = Decoder::client(version);
    report(version, what, || {
        let mut input = wire.clone();
        while let Some(packet) = decoder.decode(&mut input).unwrap() {
            black_box(packet);
        }
    });
}

/// Takes the best of some rounds: a disturbance only ever makes a measurement longer.
fn report(version: ProtocolVersion, what: &str, mut batch: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let mut batches = 0_u32;
        while start.elapsed() < ROUND {
            batch();
            batches += 1;
        }
        let nanoseconds = start.elapsed().as_secs_f64() * 1e9;
        best = best.min(nanoseconds / f64::from(batches) / f64::from(BATCH));
    }
    println!("{version:?}: {what}: {best:.1} ns");
}
