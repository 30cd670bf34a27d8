//! Where collected messages go: a file or standard output, a line for each, as NDJSON or CSV.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use api::fleet::Time;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::programs::topics::Part;

/// How the lines are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// One JSON object a line.
    Ndjson,
    /// Comma-separated values, with a head.
    Csv,
}

/// A message that was collected.
#[derive(Debug, Serialize)]
pub(crate) struct Record<'a> {
    /// When it came.
    pub(crate) time: Time,
    pub(crate) device: &'a str,
    pub(crate) kind: &'static str,
    pub(crate) topic: &'a str,
    payload: Payload<'a>,
}

/// JSON as it was sent, or any other text.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<'a> Record<'a> {
    /// `text`: the payload, decoded.
    pub(crate) fn new(part: Part, device: &'a str, topic: &'a str, text: &'a str) -> Self {
        let json = serde_json::from_str::<&RawValue>(text);
        Self {
            time: Time(since_1970()),
            device,
            kind: match part {
                Part::Data => "data",
                Part::Response => "answer",
                Part::Register => "registration",
            },
            topic,
            payload: match json {
                // A line is a line: JSON may have breaks between its values.
                Ok(json) if !text.contains(['\n', '\r']) => Payload::Json(json),
                Ok(_) | Err(_) => Payload::Text(text),
            },
        }
    }

    fn payload(&self) -> &str {
        match self.payload {
            Payload::Json(json) => json.get(),
            Payload::Text(text) => text,
        }
    }
}

fn since_1970() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(i64::MAX)
}

/// The file, or standard output.
#[derive(Debug)]
pub(crate) struct Store {
    target: Target,
    format: Format,
    /// Whether each record is on the disk before the broker is told that it has arrived.
    syncs: bool,
    needs_head: bool,
    line: Vec<u8>,
}

#[derive(Debug)]
enum Target {
    File {
        file: File,
        /// Bytes that are written whole. A record that was written in part is cut off.
        len: u64,
    },
    Stdout(io::Stdout),
}

impl Store {
    /// Appends to a file, or writes to standard output. A torn line at the end, which a crash or a full
    /// disk has left, is cut off.
    pub(crate) fn open(path: Option<&Path>, format: Format, syncs: bool) -> io::Result<Self> {
        let (target, len) = match path {
            None => (Target::Stdout(io::stdout()), 0),
            Some(path) => {
                let file = OpenOptions::new()
                    .read(true)
                    .append(true)
                    .create(true)
                    .open(path)?;
                // A pipe or a terminal has no end that could be torn.
                let len = if file.metadata()?.is_file() {
                    let len = whole_lines(&file)?;
                    file.set_len(len)?;
                    len
                } else {
                    0
                };
                (Target::File { file, len }, len)
            }
        };
        Ok(Self {
            target,
            format,
            syncs,
            needs_head: format == Format::Csv && len == 0,
            line: Vec::new(),
        })
    }

    /// Whether the records go to standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.target, Target::Stdout(_))
    }

    /// Writes a record. After an error nothing of it is there, and it can be written again.
    pub(crate) fn write(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.line.clear();
        match self.format {
            Format::Ndjson => {
                serde_json::to_writer(&mut self.line, record)?;
                self.line.push(b'\n');
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(&mut self.line);
                if self.needs_head {
                    writer.write_record(["time", "device", "kind", "topic", "payload"])?;
                }
                let time = record.time.to_string();
                writer.write_record([
                    time.as_str(),
                    record.device,
                    record.kind,
                    record.topic,
                    record.payload(),
                ])?;
                writer.flush()?;
            }
        }
        match &mut self.target {
            Target::Stdout(stdout) => {
                stdout.write_all(&self.line)?;
                stdout.flush()?;
            }
            Target::File { file, len } => {
                let written = file.write_all(&self.line);
                let synced =
                    written.and_then(|()| if self.syncs { file.sync_data() } else { Ok(()) });
                if let Err(error) = synced {
                    // If this fails too, the next start does it.
                    let _ = file.set_len(*len);
                    return Err(error);
                }
                *len += self.line.len() as u64;
            }
        }
        self.needs_head = false;
        Ok(())
    }
}

/// Bytes up to the end of the last whole line.
fn whole_lines(file: &File) -> io::Result<u64> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const STEP: u64 = 64 * 1024;
    let mut file = file;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(STEP);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(end - start).read_to_end(&mut bytes)?;
        if let Some(at) = bytes.iter().rposition(|byte| *byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record<'_> {
        Record {
            time: Time(1_796_113_800_123),
            ..Record::new(Part::Data, "a", "t/data/a", text)
        }
    }

    fn written(format: Format, texts: &[&str]) -> String {
        let folder = testbed::Folder::new();
        let path = folder.path().join("out");
        for text in texts {
            // Each time anew, as after a restart.
            let mut store = Store::open(Some(&path), format, true).unwrap();
            store.write(&record(text)).unwrap();
        }
        std::fs::read_to_string(&path).unwrap()
    }

    #[test]
    fn json_stays_as_it_was_sent() {
        let text = r#"{"big": 12345678901234567890.10, "a":1}"#;
        let line = written(Format::Ndjson, &[text]);
        let begin = r#"{"time":"2026-12-01T08:30:00.123Z","device":"a","kind":"data","topic":"t/data/a","payload":"#;
        assert_eq!(line, format!("{begin}{text}}}\n"));
        for text in ["SIGN_IN", "nan", "{\"a\":\n1}", ""] {
            let line = written(Format::Ndjson, &[text]);
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (read["payload"].as_str(), line.lines().count()),
                (Some(text), 1)
            );
        }
    }

    #[test]
    fn csv_has_one_head_and_quotes() {
        let lines = written(Format::Csv, &["{\"a\":1,\"b\":2}", "x\ny"]);
        assert_eq!(
            lines,
            "time,device,kind,topic,payload\n\
             2026-12-01T08:30:00.123Z,a,data,t/data/a,\"{\"\"a\"\":1,\"\"b\"\":2}\"\n\
             2026-12-01T08:30:00.123Z,a,data,t/data/a,\"x\ny\"\n"
        );
    }

    #[test]
    fn a_torn_line_is_cut_off() {
        let folder = testbed::Folder::new();
        let path = folder.path().join("out");
        let long = "x".repeat(200_000);
        for (found, kept) in [("{\"a\":1}\n{\"b", "{\"a\":1}\n"), (&*long, ""), ("", "")] {
            std::fs::write(&path, found).unwrap();
            drop(Store::open(Some(&path), Format::Ndjson, false).unwrap());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), kept);
        }
    }

    /// `/dev/null` and pipes have no length.
    #[cfg(unix)]
    #[test]
    fn what_is_no_file_can_be_written_too() {
        let mut store = Store::open(Some(Path::new("/dev/null")), Format::Csv, false).unwrap();
        store.write(&record("1")).unwrap();
    }

    /// A disk that is full.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_is_full_is_told() {
        let full = Path::new("/dev/full");
        let mut store = Store {
            target: Target::File {
                file: OpenOptions::new().write(true).open(full).unwrap(),
                len: 0,
            },
            format: Format::Ndjson,
            syncs: false,
            needs_head: false,
            line: Vec::new(),
        };
        let error = store.write(&record("1")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
