//! What programs print: lines for a pipe, and colour only for a person at a terminal.

use std::fmt;
use std::io::{self, IsTerminal, Write};

/// Standard output. Nothing is colour but on a terminal, and `NO_COLOR` turns it off there.
pub(crate) struct Output {
    stream: io::BufWriter<io::Stdout>,
    is_terminal: bool,
    has_colour: bool,
}

/// Why writing ended.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// Whoever read has gone, as `head` does. The program ends quietly.
    Closed,
    /// Something else, such as a full disk.
    Failed(io::Error),
}

/// How text stands out on a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Of less weight than the rest.
    Dim,
    /// Of more weight.
    Bold,
}

impl Output {
    /// Standard output as it is.
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Self {
            stream: io::BufWriter::with_capacity(64 * 1024, stdout),
            is_terminal,
            has_colour: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|it| it.is_empty()),
        }
    }

    /// Whether a person looks on.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// `text` in a colour, if this is a terminal.
    pub(crate) fn paint<T: fmt::Display>(&self, colour: Colour, text: T) -> Painted<T> {
        let colour = self.has_colour.then_some(colour);
        Painted { colour, text }
    }

    /// Writes bytes as they are. They may wait in a buffer until [`flush`](Self::flush).
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), OutputError> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Writes one line, and sends it off.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> Result<(), OutputError> {
        writeln!(self.stream, "{line}")?;
        self.flush()
    }

    /// Sends off what was written.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        Ok(self.stream.flush()?)
    }
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Failed(error)
        }
    }
}

/// Text with its colour.
pub(crate) struct Painted<T> {
    colour: Option<Colour>,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(colour) = self.colour else {
            return self.text.fmt(f);
        };
        let code = match colour {
            Colour::Bold => 1,
            Colour::Dim => 2,
        };
        write!(f, "\x1b[{code}m{}\x1b[0m", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_gets_colour() {
        let text = |colour| Painted { colour, text: "x" }.to_string();
        assert_eq!(text(None), "x");
        assert_eq!(text(Some(Colour::Bold)), "\u{1b}[1mx\u{1b}[0m");
    }
}
