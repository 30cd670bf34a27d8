//! A stream of numbers that can be read page by page.
//!
//! ```text
//! form            0 even, 1 short, 2 pages
//! even            the first number, and by how much each is larger than the one before: times on the second,
//!                 numbers that never change
//! short           the length of the rest in bytes, then each number's difference to the one before: at most
//!                 [`SHORT`] of them, for which pco takes longer, and often more bytes
//! pages           the lengths of all pages, of pco's head, of each page; then these, compressed by pco
//! ```
//!
//! Only integers are even or short.

use std::ops::Range;

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, PagingSpec};

use super::PAGE;
use crate::bytes::{Reader, put_len, put_signed};
use crate::damage::Damage;

/// How much pco tries: 8 is its own choice.
const LEVEL: usize = 8;
/// The most numbers of a short stream.
const SHORT: usize = 256;
/// So few numbers are stored as a short stream in any case.
const FEW: usize = 8;
/// pco reads numbers in batches of so many.
const BATCH: usize = 256;

const EVEN: u8 = 0;
const DIFFERENCES: u8 = 1;
const PAGES: u8 = 2;

/// Where the parts of a stream are. Places are relative to the bytes that hold it.
#[derive(Clone, Debug)]
pub(super) struct Paged {
    len: usize,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Even {
        first: i64,
        step: i64,
    },
    Short(Range<usize>),
    Pages {
        head: Range<usize>,
        /// Where each page begins, and where the last one ends.
        bounds: Vec<usize>,
    },
}

/// Appends a stream of integers in its smallest form, or nearly: short ones are read so much faster that they
/// may be a little larger.
pub(super) fn encode_integers(values: &[i64], bytes: &mut Vec<u8>) {
    if let Some((first, step)) = even(values) {
        bytes.push(EVEN);
        put_signed(bytes, first);
        put_signed(bytes, step);
        return;
    }
    if values.len() > SHORT {
        encode_floats(values, bytes);
        return;
    }
    let mut differences = Vec::with_capacity(values.len() * 2);
    let mut before = 0;
    for value in values {
        put_signed(&mut differences, value.wrapping_sub(before));
        before = *value;
    }
    if values.len() > FEW {
        let begin = bytes.len();
        encode_floats(values, bytes);
        let pages = bytes.len() - begin;
        if pages + pages / 4 + 16 < differences.len() {
            return;
        }
        bytes.truncate(begin);
    }
    bytes.push(DIFFERENCES);
    put_len(bytes, differences.len());
    bytes.extend(differences);
}

/// The first number and the step to each next one, if all steps are equal.
fn even(values: &[i64]) -> Option<(i64, i64)> {
    let first = values.first().copied().unwrap_or(0);
    let step = values.get(1).map_or(0, |second| second.wrapping_sub(first));
    let mut steps = values.windows(2).map(|pair| pair[1].wrapping_sub(pair[0]));
    steps.all(|it| it == step).then_some((first, step))
}

/// Appends a stream in pages. pco cannot fail here: the configuration is valid, and writing to memory is, too.
pub(super) fn encode_floats<T: Number>(values: &[T], bytes: &mut Vec<u8>) {
    let (head, pages) = compress(values).unwrap_or_default();
    let len: usize = pages.iter().map(Vec::len).sum();
    bytes.push(PAGES);
    put_len(bytes, len);
    put_len(bytes, head.len());
    for page in &pages {
        put_len(bytes, page.len());
    }
    bytes.extend(head);
    for page in pages {
        bytes.extend(page);
    }
}

fn compress<T: Number>(values: &[T]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    if values.is_empty() {
        return Some((Vec::new(), Vec::new()));
    }
    let mut counts = vec![PAGE; values.len() / PAGE];
    if !values.len().is_multiple_of(PAGE) {
        counts.push(values.len() % PAGE);
    }
    let count = counts.len();
    let config = ChunkConfig::default()
        .with_compression_level(LEVEL)
        .with_paging_spec(PagingSpec::Exact(counts));
    let compressor = FileCompressor::default();
    let mut head = Vec::new();
    compressor.write_header(&mut head).ok()?;
    let mut chunk = compressor.chunk_compressor(values, &config).ok()?;
    chunk.write_meta(&mut head).ok()?;
    let mut pages = Vec::with_capacity(count);
    for page in 0..count {
        let mut bytes = Vec::new();
        chunk.write_page(page, &mut bytes).ok()?;
        pages.push(bytes);
    }
    Some((head, pages))
}

impl Paged {
    /// Reads where the parts of a stream of `len` numbers are. `at` says where in the bytes a reader is.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        len: usize,
        at: impl Fn(Reader<'_>) -> usize,
    ) -> Result<Self, Damage> {
        let form = match reader.byte()? {
            EVEN => Form::Even {
                first: reader.signed()?,
                step: reader.signed()?,
            },
            DIFFERENCES if len <= SHORT => {
                let bytes = reader.sized()?.len();
                let end = at(*reader);
                Form::Short(end - bytes..end)
            }
            PAGES => {
                let all = reader.len(reader.0.len())?;
                let head = reader.len(reader.0.len())?;
                let mut bounds = Vec::with_capacity(len.div_ceil(PAGE) + 1);
                let mut sum = 0;
                for _ in 0..len.div_ceil(PAGE) {
                    bounds.push(sum);
                    sum += reader.len(all - sum)?;
                }
                if sum != all {
                    return Err(Damage::Content);
                }
                bounds.push(sum);
                let begin = at(*reader);
                reader.take(head)?;
                let first = at(*reader);
                reader.take(all)?;
                for bound in &mut bounds {
                    *bound += first;
                }
                Form::Pages {
                    head: begin..first,
                    bounds,
                }
            }
            _ => return Err(Damage::Content),
        };
        Ok(Self { len, form })
    }

    /// Appends the integers of a range.
    pub(super) fn integers(
        &self,
        bytes: &[u8],
        range: Range<usize>,
        into: &mut Vec<i64>,
    ) -> Result<(), Damage> {
        if range.end > self.len {
            return Err(Damage::Content);
        }
        match &self.form {
            Form::Even { first, step } => {
                let mut next =
                    first.wrapping_add(step.wrapping_mul(range.start.cast_signed() as i64));
                into.extend(range.map(|_| {
                    let this = next;
                    next = next.wrapping_add(*step);
                    this
                }));
                Ok(())
            }
            Form::Short(place) => {
                let mut reader = Reader(bytes.get(place.clone()).ok_or(Damage::Short)?);
                let mut value = 0i64;
                for at in 0..range.end {
                    value = value.wrapping_add(reader.signed()?);
                    if at >= range.start {
                        into.push(value);
                    }
                }
                Ok(())
            }
            Form::Pages { head, bounds } => self.pages(bytes, (head, bounds), range, into),
        }
    }

    /// Appends the floats of a range.
    pub(super) fn floats(
        &self,
        bytes: &[u8],
        range: Range<usize>,
        into: &mut Vec<f64>,
    ) -> Result<(), Damage> {
        match &self.form {
            Form::Pages { head, bounds } if range.end <= self.len => {
                self.pages(bytes, (head, bounds), range, into)
            }
            Form::Even { .. } | Form::Short(_) | Form::Pages { .. } => Err(Damage::Content),
        }
    }

    fn pages<T: Number + Default>(
        &self,
        bytes: &[u8],
        (head, bounds): (&Range<usize>, &[usize]),
        range: Range<usize>,
        into: &mut Vec<T>,
    ) -> Result<(), Damage> {
        if range.is_empty() {
            return Ok(());
        }
        let content = |_| Damage::Content;
        let head = bytes.get(head.clone()).ok_or(Damage::Short)?;
        let (file, head) = FileDecompressor::new(head).map_err(content)?;
        let (mut chunk, _) = file.chunk_decompressor::<T, _>(head).map_err(content)?;
        for page in range.start / PAGE..range.end.div_ceil(PAGE) {
            let page_bytes = bytes
                .get(bounds[page]..bounds[page + 1])
                .ok_or(Damage::Short)?;
            let rows = page * PAGE..((page + 1) * PAGE).min(self.len);
            let mut reader = chunk
                .page_decompressor(page_bytes, rows.len())
                .map_err(content)?;
            // Not more of the last page than is asked for.
            let wanted = (range.end.min(rows.end) - rows.start)
                .next_multiple_of(BATCH)
                .min(rows.len());
            let begin = into.len();
            into.resize(begin + wanted, T::default());
            let progress = reader.read(&mut into[begin..]).map_err(content)?;
            if progress.n_processed != wanted {
                return Err(Damage::Content);
            }
            into.truncate(begin + range.end.min(rows.end) - rows.start);
            into.drain(begin..begin + range.start.saturating_sub(rows.start));
        }
        Ok(())
    }
}
