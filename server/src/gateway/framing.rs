//! JSON objects out of a stream of bytes, in which they stand with nothing between them.
//!
//! Pure: bytes go in, texts come out. A read may end anywhere: within an object, a string, an escape or a
//! character. Each byte is looked at once.

use std::fmt;
use std::str;

/// Finds where objects end.
#[derive(Debug)]
pub(crate) struct Framer {
    /// What was read of the object that is not whole yet, and what stands behind it.
    buffer: Vec<u8>,
    /// How much of `buffer` was looked at.
    seen: usize,
    /// How many braces and brackets are open.
    depth: usize,
    place: Place,
    /// The most bytes of an object.
    limit: usize,
}

/// Where the next byte stands.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Place {
    Outside,
    InString,
    /// Behind a backslash in a string.
    Escaped,
}

/// Why the bytes are no objects.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// Something else than an object begins.
    NoObject {
        /// Its first byte.
        byte: u8,
    },
    /// An object is larger than allowed, or does not end.
    TooLarge {
        /// The most bytes.
        limit: usize,
    },
    /// Brackets are nested deeper than this.
    TooDeep,
    /// An object is not UTF-8.
    NotUtf8,
}

impl Framer {
    /// As deep as the parser goes.
    const DEEPEST: usize = 120;

    /// `limit`: the most bytes of an object.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            seen: 0,
            depth: 0,
            place: Place::Outside,
            limit,
        }
    }

    /// Adds what was read. Then call [`Self::next`] until there is nothing more.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole object. After an error the stream cannot be read further.
    pub(crate) fn next(&mut self) -> Result<Option<String>, FramingError> {
        if self.depth == 0 {
            let blank = self.buffer.iter().take_while(|it| it.is_ascii_whitespace());
            let blank = blank.count();
            self.buffer.drain(..blank);
        }
        while let Some(&byte) = self.buffer.get(self.seen) {
            if self.depth == 0 && byte != b'{' {
                return Err(FramingError::NoObject { byte });
            }
            self.seen += 1;
            if self.seen > self.limit {
                return Err(FramingError::TooLarge { limit: self.limit });
            }
            self.look_at(byte)?;
            if self.depth == 0 {
                return self.take().map(Some);
            }
        }
        Ok(None)
    }

    fn look_at(&mut self, byte: u8) -> Result<(), FramingError> {
        self.place = match (self.place, byte) {
            (Place::InString, b'\\') => Place::Escaped,
            (Place::InString, b'"') => Place::Outside,
            (Place::InString | Place::Escaped, _) | (Place::Outside, b'"') => Place::InString,
            (Place::Outside, b'{' | b'[') => {
                self.depth += 1;
                if self.depth > Self::DEEPEST {
                    return Err(FramingError::TooDeep);
                }
                Place::Outside
            }
            (Place::Outside, b'}' | b']') => {
                self.depth -= 1;
                Place::Outside
            }
            (Place::Outside, _) => Place::Outside,
        };
        Ok(())
    }

    fn take(&mut self) -> Result<String, FramingError> {
        let rest = self.buffer.split_off(self.seen);
        let whole = std::mem::replace(&mut self.buffer, rest);
        self.seen = 0;
        String::from_utf8(whole).map_err(|_| FramingError::NotUtf8)
    }

    /// Bytes that wait for the rest of their object.
    #[cfg(test)]
    fn waiting(&self) -> usize {
        self.buffer.len()
    }
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject { byte } => {
                let shown = [*byte];
                let shown = str::from_utf8(&shown)
                    .ok()
                    .filter(|it| !it.contains(char::is_control));
                match shown {
                    Some(shown) => write!(f, "a JSON object must begin here, not {shown:?}"),
                    None => write!(f, "a JSON object must begin here, not byte 0x{byte:02x}"),
                }
            }
            Self::TooLarge { limit } => write!(
                f,
                "an object is larger than {limit} bytes, or its closing brace is missing"
            ),
            Self::TooDeep => f.write_str("brackets are nested too deep"),
            Self::NotUtf8 => f.write_str("an object is not UTF-8"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]], limit: usize) -> Result<Vec<String>, FramingError> {
        let mut framer = Framer::new(limit);
        let mut objects = Vec::new();
        for piece in pieces {
            framer.push(piece);
            while let Some(object) = framer.next()? {
                objects.push(object);
            }
        }
        Ok(objects)
    }

    const OBJECTS: [&str; 6] = [
        r#"{"deviceId":"a","messageType":"SIGNUP"}"#,
        "{}",
        r#"{"text":"}{\"\\","n":[1,{"deep":[[]]}]}"#,
        r#"{"grüße":"日本 🎉"}"#,
        r#"{"a":"[[[["}"#,
        r#"{"a":{"b":{"c":1}},"d":"\\"}"#,
    ];

    #[test]
    fn split_at_every_byte_the_objects_are_the_same() {
        let all = OBJECTS.concat();
        let bytes = all.as_bytes();
        for at in 0..=bytes.len() {
            assert_eq!(read(&[&bytes[..at], &bytes[at..]], 100).unwrap(), OBJECTS);
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single, 100).unwrap(), OBJECTS);
        let apart = OBJECTS.join("\r\n\t ");
        assert_eq!(read(&[apart.as_bytes(), b"\n"], 100).unwrap(), OBJECTS);
    }

    #[test]
    fn what_is_no_object_is_told() {
        let error = |bytes: &[u8]| read(&[bytes], 20).unwrap_err();
        assert_eq!(
            error(b"GET / HTTP/1.1"),
            FramingError::NoObject { byte: b'G' }
        );
        assert_eq!(error(b"{}]"), FramingError::NoObject { byte: b']' });
        assert_eq!(error(&[0x16, 3, 1]), FramingError::NoObject { byte: 0x16 });
        assert_eq!(error(b"{\"a\":\"\xff\"}"), FramingError::NotUtf8);
        assert_eq!(
            error(b"{\"a\":\"                "),
            FramingError::TooLarge { limit: 20 }
        );
        let deep = "{\"a\":".repeat(200);
        assert_eq!(
            read(&[deep.as_bytes()], 10_000).unwrap_err(),
            FramingError::TooDeep
        );
        // An object that is just as large as allowed, and one more byte.
        assert!(read(&[br#"{"a":"0123456789ab"}"#], 20).is_ok());
        assert!(read(&[br#"{"a":"0123456789abc"}"#], 20).is_err());
        assert!(error(b"\x16").to_string().contains("0x16"));
    }

    #[test]
    fn an_object_without_an_end_takes_no_more_memory_than_allowed() {
        let mut framer = Framer::new(1_000);
        framer.push(b"{\"a\":\"");
        let mut pushed = 0;
        let error = loop {
            match framer.next() {
                Ok(_) => {}
                Err(error) => break error,
            }
            framer.push(&[b'x'; 100]);
            pushed += 100;
        };
        assert_eq!(error, FramingError::TooLarge { limit: 1_000 });
        assert!(pushed <= 1_100 && framer.waiting() <= 1_200);
    }

    proptest! {
        #[test]
        fn objects_come_out_as_they_went_in(
            texts in proptest::collection::vec("[\\PC\"\\\\{}\\[\\]]{0,12}", 1..8),
            cuts in proptest::collection::vec(0_usize..2_000, 0..10),
        ) {
            let objects: Vec<String> = texts
                .iter()
                .map(|text| serde_json::json!({"t": text, "n": [1, {"x": text}]}).to_string())
                .collect();
            let all = objects.concat();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (all.len() + 1)).collect();
            cuts.extend([0, all.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> =
                cuts.windows(2).map(|cut| &all.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(read(&pieces, 1 << 20).unwrap(), objects);
        }

        #[test]
        fn any_bytes_are_objects_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(objects) = read(&[&bytes], 100) {
                let fits = objects.iter().all(|it| it.len() <= 100 && it.starts_with('{'));
                prop_assert!(fits);
            }
        }
    }
}
