//! Draws a table on a terminal, and leaves the terminal as it was.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use crate::platform;

/// The terminal's other screen. It is left when this is dropped.
pub(super) struct Screen {
    /// What is there now, to write only what changes.
    drawn: Vec<String>,
    size: (usize, usize),
}

impl Screen {
    /// Switches to it.
    pub(super) fn enter() -> io::Result<Self> {
        // The other screen, without a cursor.
        write_all("\x1b[?1049h\x1b[?25l\x1b[2J")?;
        Ok(Self {
            drawn: Vec::new(),
            size: (0, 0),
        })
    }

    /// How many characters and lines there is room for.
    pub(super) fn size() -> (usize, usize) {
        platform::terminal_size().unwrap_or((80, 24))
    }

    /// Shows these lines, and nothing else.
    pub(super) fn draw(&mut self, lines: Vec<String>) -> io::Result<()> {
        let size = Self::size();
        let mut out = String::new();
        if size != self.size {
            self.size = size;
            self.drawn.clear();
            out.push_str("\x1b[2J");
        }
        for (index, line) in lines.iter().enumerate() {
            if self.drawn.get(index) != Some(line) {
                let row = index + 1;
                // To the begin of the row, the line, and nothing behind it.
                let _ = write!(out, "\x1b[{row};1H{line}\x1b[K");
            }
        }
        if lines.len() < self.drawn.len() {
            let _ = write!(out, "\x1b[{};1H\x1b[J", lines.len() + 1);
        }
        self.drawn = lines;
        write_all(&out)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone.
        let _ = write_all("\x1b[?25h\x1b[?1049l");
    }
}

fn write_all(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
