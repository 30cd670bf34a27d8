//! Where messages come from, besides the command line.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// How many bytes of lines go from the reader to the client at once, about.
const BATCH: usize = 64 * 1024;
/// How many such batches may wait. When they do, the reader stops to read.
const BATCHES: usize = 4;

/// Lines, without their ends.
pub(super) type Batch = io::Result<Vec<Bytes>>;

/// What a file holds.
pub(super) fn file(path: &Path) -> Result<Bytes, String> {
    let read = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Bytes::from(read))
}

/// What standard input holds. An empty one is a mistake more often than a message.
pub(super) fn all_of_stdin() -> Result<Bytes, String> {
    let mut all = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut all);
    read.map_err(|error| format!("standard input: {error}"))?;
    if all.is_empty() {
        return Err("standard input is empty; -n sends an empty message".to_owned());
    }
    Ok(Bytes::from(all))
}

/// Reads lines on a thread of its own, because a read cannot be taken back. The channel ends after the
/// last line.
pub(super) fn lines_of<R: Read>(
    open: impl FnOnce() -> R + Send + 'static,
) -> io::Result<mpsc::Receiver<Batch>> {
    let (sender, receiver) = mpsc::channel(BATCHES);
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || {
            let mut input = BufReader::with_capacity(BATCH, open());
            loop {
                match batch(&mut input) {
                    Ok(lines) if lines.is_empty() => return,
                    other => {
                        let failed = other.is_err();
                        // Nobody takes more when the program is about to end.
                        if sender.blocking_send(other).is_err() || failed {
                            return;
                        }
                    }
                }
            }
        })?;
    Ok(receiver)
}

/// The lines that are there, at least one. None at the end.
fn batch<R: Read>(input: &mut BufReader<R>) -> Batch {
    let mut lines = Vec::new();
    let available = input.fill_buf()?;
    if available.is_empty() {
        return Ok(lines);
    }
    let Some(end) = available.iter().rposition(|&byte| byte == b'\n') else {
        lines.push(long_line(input)?);
        return Ok(lines);
    };
    // A short line costs no memory of its own: all lines of one buffer share a copy of it.
    let mut whole = Bytes::copy_from_slice(&available[..=end]);
    input.consume(end + 1);
    while let Some(end) = whole.iter().position(|&byte| byte == b'\n') {
        lines.push(whole.split_to(end));
        whole.advance(1);
    }
    Ok(lines)
}

/// A line that is longer than the buffer, or the last one if it has no end.
fn long_line<R: Read>(input: &mut BufReader<R>) -> io::Result<Bytes> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Bytes::from(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, capacity: usize) -> Vec<String> {
        let mut input = BufReader::with_capacity(capacity, text.as_bytes());
        let mut all = Vec::new();
        loop {
            let lines = batch(&mut input).unwrap();
            if lines.is_empty() {
                return all;
            }
            all.extend(
                lines
                    .iter()
                    .map(|it| String::from_utf8(it.to_vec()).unwrap()),
            );
        }
    }

    #[test]
    fn lines_are_the_same_with_every_buffer() {
        for capacity in 1..40 {
            let text = "one\n\ntwo, which is longer than some buffers\nthree\n";
            let expected = ["one", "", "two, which is longer than some buffers", "three"];
            assert_eq!(lines(text, capacity), expected);
            assert_eq!(lines(&text[..text.len() - 1], capacity), expected);
            assert_eq!(lines("", capacity), [""; 0]);
            assert_eq!(lines("\n", capacity), [""]);
        }
    }
}
