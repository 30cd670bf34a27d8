//! Reads one segment: which part is good, and whether a bad end is a torn tail or damage.
//!
//! A crash can tear what was being written. That is the last group, and nothing in it was
//! acknowledged. A group begins only when everything before it is durable. So if the frame of a group
//! stands behind the bad place, the bad part was durable and may have been acknowledged: that is
//! damage.

use broker::Lsn;
use broker::journal::{self, Frame, FrameError};
use bytes::Bytes;

use crate::segment::{GROUP_LEN, Header, JournalId, durable_before};

/// Where reading ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Everything before this byte is good.
    pub offset: u64,
    /// Where the last group begins. Everything before it was durable at that time.
    pub group: u64,
    /// The number of the next record.
    pub next: Lsn,
    /// What stands behind that byte.
    pub rest: Rest,
}

/// What stands behind the last good frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing, or zeros.
    Empty,
    /// A torn tail: what was being written at a crash.
    Torn {
        /// How many bytes it has, without zeros at the end.
        bytes: u64,
        /// Why it is not a frame.
        what: String,
    },
    /// Damage: what was durable has changed.
    Damaged {
        /// What is wrong with it.
        what: String,
    },
}

/// Reads the header of a file, and advances behind it. `Ok(None)`: the file was never used.
///
/// # Errors
///
/// Says what the file begins with, if that is not a header.
pub fn header(bytes: &mut Bytes) -> Result<Option<Header>, String> {
    match journal::next_frame(bytes) {
        Ok(Some(frame)) => match Header::read(&frame) {
            Some(header) => Ok(Some(header)),
            None => Err("it does not begin with the header of a journal".to_owned()),
        },
        Ok(None) if is_zero(bytes) => Ok(None),
        Ok(None) => Err("it begins with zeros".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Gives every record of a segment, whose header has been read, to `each`, with the byte at which
/// its frame begins.
///
/// # Errors
///
/// Only errors of `each`, which end the reading.
pub fn records<E>(
    mut bytes: Bytes,
    start: u64,
    header: &Header,
    mut each: impl FnMut(u64, Lsn, Bytes) -> Result<(), E>,
) -> Result<End, E> {
    let whole = bytes.len();
    let mut next = header.first;
    let mut group = start;
    loop {
        let offset = start + (whole - bytes.len()) as u64;
        let at = bytes.clone();
        let what = match journal::next_frame(&mut bytes) {
            Ok(Some(frame)) => match place(&frame, header.journal, next) {
                Place::Group => {
                    group = offset;
                    continue;
                }
                Place::Next => {
                    each(offset, frame.lsn, frame.body)?;
                    next = Lsn(next.0 + 1);
                    continue;
                }
                Place::Wrong(what) => what,
            },
            Ok(None) if is_zero(&bytes) => {
                let rest = Rest::Empty;
                return Ok(End {
                    offset,
                    group,
                    next,
                    rest,
                });
            }
            Ok(None) => "zeros instead of a record".to_owned(),
            Err(error) => describe(&error),
        };
        let rest = if is_durable(&at, header.journal, next) {
            Rest::Damaged { what }
        } else {
            let bytes = used_len(&at) as u64;
            Rest::Torn { bytes, what }
        };
        return Ok(End {
            offset,
            group,
            next,
            rest,
        });
    }
}

enum Place {
    Group,
    Next,
    Wrong(String),
}

fn place(frame: &Frame, journal: JournalId, next: Lsn) -> Place {
    match durable_before(frame, journal) {
        Some(Lsn(durable)) if durable < next.0 => Place::Group,
        Some(Lsn(durable)) => Place::Wrong(format!("records up to {durable} are missing here")),
        None if frame.lsn == next => Place::Next,
        None => Place::Wrong(format!(
            "record {} instead of record {}",
            frame.lsn.0, next.0
        )),
    }
}

fn describe(error: &FrameError) -> String {
    error.to_string()
}

/// Whether a group behind the front of `bytes` shows that record `next` was durable.
fn is_durable(bytes: &Bytes, journal: JournalId, next: Lsn) -> bool {
    let len = u32::try_from(GROUP_LEN - 8)
        .unwrap_or_default()
        .to_le_bytes();
    bytes
        .windows(GROUP_LEN)
        .enumerate()
        .filter(|(_, window)| window.starts_with(&len) && window[8..17] == [0; 9])
        .any(|(at, _)| {
            let mut bytes = bytes.slice(at..at + GROUP_LEN);
            let frame = journal::next_frame(&mut bytes).ok().flatten();
            frame
                .and_then(|frame| durable_before(&frame, journal))
                .is_some_and(|durable| durable >= next)
        })
}

fn is_zero(bytes: &[u8]) -> bool {
    let (chunks, rest) = bytes.as_chunks::<8>();
    chunks.iter().all(|chunk| *chunk == [0; 8]) && rest.iter().all(|&byte| byte == 0)
}

/// Cuts off the zeros at the end.
fn used_len(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::super::segment::write_group;
    use super::*;

    const JOURNAL: JournalId = JournalId(0x1234_5678_9ABC_DEF0);
    const HEADER: Header = Header {
        version: 1,
        journal: JOURNAL,
        first: Lsn(1),
    };

    /// Groups of this many records each, and where each group begins.
    fn groups(sizes: &[u64]) -> (BytesMut, Vec<usize>) {
        let (mut out, mut starts, mut last) = (BytesMut::new(), Vec::new(), 0);
        for size in sizes {
            starts.push(out.len());
            write_group(&mut out, JOURNAL, Lsn(last));
            for _ in 0..*size {
                last += 1;
                journal::write_frame(&mut out, Lsn(last), |body| {
                    body.extend_from_slice(&[7; 40]);
                });
            }
        }
        (out, starts)
    }

    fn read(bytes: &[u8]) -> (u64, End) {
        let mut count = 0;
        let end = records(Bytes::copy_from_slice(bytes), 0, &HEADER, |_, lsn, _| {
            count += 1;
            assert_eq!(lsn, Lsn(count));
            Ok::<(), Infallible>(())
        });
        let Ok(end) = end;
        (count, end)
    }

    #[test]
    fn all_of_a_whole_segment_is_read_whatever_zeros_follow() {
        let (mut bytes, starts) = groups(&[3, 1, 5]);
        let len = bytes.len() as u64;
        for zeros in [0, 1, 7, 8, 100, 5000] {
            bytes.resize(usize::try_from(len).unwrap() + zeros, 0);
            let (count, end) = read(&bytes);
            assert_eq!(count, 9);
            let rest = Rest::Empty;
            assert_eq!(
                end,
                End {
                    offset: len,
                    group: starts[2] as u64,
                    next: Lsn(10),
                    rest
                }
            );
        }
    }

    #[test]
    fn the_same_hole_is_torn_in_the_last_group_and_damage_before_it() {
        let (bytes, starts) = groups(&[3, 3, 3]);
        for (group, start) in starts.iter().enumerate() {
            let mut bytes = bytes.clone();
            bytes[start + GROUP_LEN + 20..start + GROUP_LEN + 30].fill(0);
            let (count, end) = read(&bytes);
            assert_eq!(count, group as u64 * 3);
            assert_eq!(end.offset, (start + GROUP_LEN) as u64);
            match (group, end.rest) {
                (2, Rest::Torn { bytes: torn, .. }) => {
                    assert_eq!(torn, (bytes.len() - start - GROUP_LEN) as u64);
                }
                (0 | 1, Rest::Damaged { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_hole_of_zeros_before_a_group_is_damage() {
        let (mut bytes, starts) = groups(&[3, 3]);
        bytes[starts[0]..starts[1]].fill(0);
        assert!(matches!(read(&bytes).1.rest, Rest::Damaged { .. }));
    }

    #[test]
    fn a_missing_block_is_damage() {
        let (bytes, starts) = groups(&[3, 3, 3]);
        let mut cut = bytes[..starts[1]].to_vec();
        cut.extend_from_slice(&bytes[starts[2]..]);
        let (count, end) = read(&cut);
        assert_eq!(count, 3);
        assert!(matches!(end.rest, Rest::Damaged { .. }), "{end:?}");
    }

    /// A client may send bytes that look like a group, but it does not know the journal's number.
    #[test]
    fn a_payload_cannot_make_damage_of_a_torn_tail() {
        let mut forged = BytesMut::new();
        write_group(&mut forged, JournalId(1), Lsn(u64::MAX));
        let mut bytes = BytesMut::new();
        write_group(&mut bytes, JOURNAL, Lsn(0));
        let start = bytes.len();
        journal::write_frame(&mut bytes, Lsn(1), |body| {
            body.extend_from_slice(&[7; 40]);
            body.extend_from_slice(&forged);
        });
        bytes[start + 30] ^= 1;
        assert!(matches!(read(&bytes).1.rest, Rest::Torn { .. }));
    }

    proptest! {
        /// After a crash the beginning of what was being written is there.
        #[test]
        fn a_cut_anywhere_in_the_last_group_is_torn(sizes in prop::collection::vec(1..6_u64, 1..5), cut in any::<prop::sample::Index>()) {
            let (bytes, starts) = groups(&sizes);
            let start = *starts.last().unwrap();
            let cut = start + cut.index(bytes.len() - start);
            let before: u64 = sizes[..sizes.len() - 1].iter().sum();
            let (count, end) = read(&bytes[..cut]);
            prop_assert!(count >= before);
            prop_assert!(!matches!(end.rest, Rest::Damaged { .. }), "{:?}", end);
        }

        /// Any sectors of the last write may be missing, but nothing before it.
        #[test]
        fn any_sectors_missing_of_the_last_write_are_torn(sizes in prop::collection::vec(1..6_u64, 1..5), missing in any::<u32>()) {
            let (mut bytes, starts) = groups(&sizes);
            let start = *starts.last().unwrap();
            for (index, sector) in bytes[start..].chunks_mut(32).enumerate() {
                if missing >> (index % 32) & 1 == 1 {
                    sector.fill(0);
                }
            }
            let (_, end) = read(&bytes);
            prop_assert!(!matches!(end.rest, Rest::Damaged { .. }), "{:?}", end);
            prop_assert!(end.offset >= start as u64);
        }

        #[test]
        fn a_changed_bit_before_the_last_group_is_damage(sizes in prop::collection::vec(1..6_u64, 2..6), at in any::<prop::sample::Index>(), bit in 0..8) {
            let (mut bytes, starts) = groups(&sizes);
            let at = at.index(*starts.last().unwrap());
            bytes[at] ^= 1_u8 << bit;
            let (_, end) = read(&bytes);
            prop_assert!(matches!(end.rest, Rest::Damaged { .. }), "{:?}", end);
            prop_assert!(end.offset <= at as u64);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_, end) = read(&bytes);
            prop_assert!(end.offset <= bytes.len() as u64);
        }
    }
}
