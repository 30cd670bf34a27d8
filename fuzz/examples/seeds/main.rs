//! Writes the kept inputs to `corpus/`: `cargo run --manifest-path fuzz/Cargo.toml --example
//! seeds`.
//!
//! They are small, and each has a name. The corpus does not keep what fuzzing finds. A finding
//! becomes a test of the crate that has the fault.

mod broker;
mod client;
mod journal;
mod made;
mod messages;
mod packets;
mod segments;
mod series;
mod topics;
mod websocket;

use std::path::Path;
use std::{fs, io};

use mqtt::ProtocolVersion;

const V3: ProtocolVersion = ProtocolVersion::V3_1_1;
const V5: ProtocolVersion = ProtocolVersion::V5;

fn main() -> io::Result<()> {
    let mut count = 0;
    for (target, seeds) in [
        ("packets", packets::seeds()),
        ("client", client::seeds()),
        ("broker", broker::seeds()),
        ("journal", journal::seeds()),
        ("messages", messages::seeds()),
        ("segments", segments::seeds()),
        ("series", series::seeds()),
        ("topics", topics::seeds()),
        ("websocket", websocket::seeds()),
    ] {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(target);
        fs::create_dir_all(&dir)?;
        for (name, bytes) in seeds {
            fs::write(dir.join(name), bytes)?;
            count += 1;
        }
    }
    println!("{count} seeds");
    Ok(())
}

type Seeds = Vec<(String, Vec<u8>)>;

fn named(seeds: impl IntoIterator<Item = (&'static str, Vec<u8>)>) -> Seeds {
    seeds
        .into_iter()
        .map(|(name, bytes)| (name.to_owned(), bytes))
        .collect()
}
