//! A stream of numbers in pages that can be read alone, compressed by pco.

use std::ops::Range;

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, PagingSpec};

use super::PAGE;
use crate::bytes::{Reader, put_len};
use crate::damage::Damage;

/// How much pco tries: 8 is its own choice.
const LEVEL: usize = 8;

/// Where the parts of a stream are. Places are relative to the bytes that hold it.
#[derive(Clone, Debug)]
pub(super) struct Paged {
    len: usize,
    meta: Range<usize>,
    /// Where each page begins. The last one ends with the bytes.
    pages: Vec<usize>,
    end: usize,
}

pub(super) fn encode_integers(values: &[i64], bytes: &mut Vec<u8>) {
    encode(values, bytes);
}

/// Appends a stream. pco cannot fail here: the configuration is valid, and writing to memory is, too.
pub(super) fn encode<T: Number>(values: &[T], bytes: &mut Vec<u8>) {
    let (meta, pages) = compress(values).unwrap_or_default();
    let len: usize = pages.iter().map(Vec::len).sum();
    put_len(bytes, len);
    put_len(bytes, meta.len());
    for page in &pages {
        put_len(bytes, page.len());
    }
    bytes.extend(meta);
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
    let mut meta = Vec::new();
    compressor.write_header(&mut meta).ok()?;
    let mut chunk = compressor.chunk_compressor(values, &config).ok()?;
    chunk.write_meta(&mut meta).ok()?;
    let mut pages = Vec::with_capacity(count);
    for page in 0..count {
        let mut bytes = Vec::new();
        chunk.write_page(page, &mut bytes).ok()?;
        pages.push(bytes);
    }
    Some((meta, pages))
}

impl Paged {
    /// Reads where the parts of a stream of `len` numbers are. `at` says where in the bytes a reader is.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        len: usize,
        at: impl Fn(Reader<'_>) -> usize,
    ) -> Result<Self, Damage> {
        let all = reader.len(reader.0.len())?;
        let meta = reader.len(reader.0.len())?;
        let mut lens = Vec::with_capacity(len.div_ceil(PAGE));
        for _ in 0..len.div_ceil(PAGE) {
            lens.push(reader.len(reader.0.len())?);
        }
        if lens
            .iter()
            .try_fold(0usize, |sum, len| sum.checked_add(*len))
            != Some(all)
        {
            return Err(Damage::Content);
        }
        let meta_at = at(*reader);
        reader.take(meta)?;
        let mut begin = at(*reader);
        reader.take(all)?;
        let pages = lens.into_iter().map(|len| {
            let page = begin;
            begin += len;
            page
        });
        let pages = pages.collect();
        Ok(Self {
            len,
            meta: meta_at..meta_at + meta,
            pages,
            end: begin,
        })
    }

    pub(super) fn integers(
        &self,
        bytes: &[u8],
        range: Range<usize>,
        into: &mut Vec<i64>,
    ) -> Result<(), Damage> {
        self.numbers(bytes, range, into)
    }

    /// Appends the numbers of a range.
    pub(super) fn numbers<T: Number + Default>(
        &self,
        bytes: &[u8],
        range: Range<usize>,
        into: &mut Vec<T>,
    ) -> Result<(), Damage> {
        if range.is_empty() {
            return Ok(());
        }
        if range.end > self.len {
            return Err(Damage::Content);
        }
        let meta = bytes.get(self.meta.clone()).ok_or(Damage::Short)?;
        let content = |_| Damage::Content;
        let (file, meta) = FileDecompressor::new(meta).map_err(content)?;
        let (mut chunk, _) = file.chunk_decompressor::<T, _>(meta).map_err(content)?;
        let (first, last) = (range.start / PAGE, (range.end - 1) / PAGE);
        for page in first..=last {
            let begin = self.pages[page];
            let end = self.pages.get(page + 1).copied().unwrap_or(self.end);
            let page_bytes = bytes.get(begin..end).ok_or(Damage::Short)?;
            let rows = page * PAGE..((page + 1) * PAGE).min(self.len);
            let mut reader = chunk
                .page_decompressor(page_bytes, rows.len())
                .map_err(content)?;
            let mut numbers = vec![T::default(); rows.len()];
            let progress = reader.read(&mut numbers).map_err(content)?;
            if progress.n_processed != rows.len() {
                return Err(Damage::Content);
            }
            let from = range.start.saturating_sub(rows.start);
            let to = range.end.min(rows.end) - rows.start;
            into.extend_from_slice(&numbers[from..to]);
        }
        Ok(())
    }
}
