//! The files of the store: a segment of the journal, with holes, flips and a torn end, which the
//! server's own reader reads.
//!
//! Byte 0 of the input says what follows. If it is even, the rest is a file. If it is odd, the rest
//! is a list of groups of records, and of changes to their bytes.
//!
//! The target checks that nothing panics. The reader reads every record before the first changed
//! byte, and none behind it. It reports damage exactly when a later group shows that the lost
//! records were durable. So it never reports what a crash tears, which is only the last group, as
//! damage.

use std::convert::Infallible;

use broker::{Lsn, journal};
use bytes::{Bytes, BytesMut};
use store::read::{Rest, header, records};
use store::segment::{GROUP_LEN, Header, JournalId, write_group};

use crate::Script;

const HEADER: Header = Header {
    version: 1,
    journal: JournalId(0x1234_5678_9ABC_DEF0),
    first: Lsn(1),
};
const MOST_GROUPS: usize = 20;

/// Runs one input; see the module.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    if script.flag() {
        let file = File::new(&mut script);
        let mut bytes = file.bytes.to_vec();
        harm(&mut script, &mut bytes);
        file.check(&bytes);
    } else {
        let mut bytes = Bytes::copy_from_slice(script.rest());
        let header = header(&mut bytes).ok().flatten().unwrap_or(HEADER);
        let Ok(_) = records(bytes, 0, &header, |_, _, _| Ok::<(), Infallible>(()));
    }
}

/// What was written after the header.
struct File {
    bytes: BytesMut,
    /// Where each record's frame ends.
    ends: Vec<usize>,
    /// Where each group's frame begins, and the last record before it.
    groups: Vec<(usize, u64)>,
}

impl File {
    fn new(script: &mut Script<'_>) -> Self {
        let mut file = Self {
            bytes: BytesMut::new(),
            ends: Vec::new(),
            groups: Vec::new(),
        };
        let groups = usize::from(script.byte()) % MOST_GROUPS;
        for _ in 0..groups {
            let last = file.ends.len() as u64;
            file.groups.push((file.bytes.len(), last));
            write_group(&mut file.bytes, HEADER.journal, Lsn(last));
            for _ in 0..script.below(4) {
                let lsn = file.ends.len() as u64 + 1;
                let len = usize::from(script.byte()) + 1;
                let fill = script.byte();
                journal::write_frame(&mut file.bytes, Lsn(lsn), |body| {
                    body.resize(body.len() + len, fill);
                });
                file.ends.push(file.bytes.len());
            }
        }
        file
    }

    fn check(&self, bytes: &[u8]) {
        let mut found = 0;
        let found_end = records(Bytes::copy_from_slice(bytes), 0, &HEADER, |_, lsn, _| {
            found += 1;
            assert_eq!(lsn, Lsn(found));
            Ok::<(), Infallible>(())
        });
        let Ok(end) = found_end;
        assert_eq!(end.next, Lsn(found + 1));

        let same = bytes
            .iter()
            .zip(&self.bytes)
            .take_while(|(a, b)| a == b)
            .count();
        let expected = self.ends.iter().filter(|&&end| end <= same).count() as u64;
        assert_eq!(
            found, expected,
            "read, where {same} bytes are as they were written"
        );

        let is_there = |at: usize| {
            let place = at..at + GROUP_LEN;
            bytes.get(place.clone()) == self.bytes.get(place)
        };
        let was_durable = self
            .groups
            .iter()
            .any(|&(at, last)| at >= same && last >= end.next.0 && is_there(at));
        let at = usize::try_from(end.offset).expect("short");
        let is_empty = bytes[at..].iter().all(|&byte| byte == 0);
        match (was_durable, is_empty, &end.rest) {
            (true, false, Rest::Damaged { .. })
            | (false, true, Rest::Empty)
            | (false, false, Rest::Torn { .. }) => {}
            (was_durable, is_empty, rest) => {
                panic!("{rest:?} where durable is {was_durable}, and empty {is_empty}")
            }
        }
    }
}

/// Changes the bytes before they are read again.
pub(crate) fn harm(script: &mut Script<'_>, bytes: &mut Vec<u8>) {
    while !script.is_over() {
        let kind = script.below(5);
        let at = usize::from(script.word()) % (bytes.len() + 1);
        match kind {
            // A crash, before the size of the file was durable, and after.
            0 => bytes.truncate(at),
            1 => bytes[at..].fill(0),
            // Reserved space.
            2 => bytes.resize(bytes.len() + usize::from(script.byte()), 0),
            // A bad spot on the disk.
            3 => {
                let end = bytes.len().min(at + usize::from(script.byte()));
                bytes[at..end].fill(0);
            }
            _ => {
                let flip = script.byte();
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= flip;
                }
            }
        }
    }
}

/// A whole file of two groups: for the seeds.
pub fn whole() -> Vec<u8> {
    let mut out = BytesMut::new();
    HEADER.write(&mut out);
    for lsn in 1..3 {
        write_group(&mut out, HEADER.journal, Lsn(lsn - 1));
        journal::write_frame(&mut out, Lsn(lsn), |body| {
            body.extend_from_slice(b"\x07record")
        });
    }
    out.to_vec()
}
