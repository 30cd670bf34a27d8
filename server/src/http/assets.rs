//! The dashboard's files, compressed and put into this binary when it was built.

/// One file, ready to be sent.
#[derive(Debug)]
pub struct Asset {
    /// Where it is found, from `/`.
    pub path: &'static str,
    /// Its media type, with the character set for texts.
    pub content_type: &'static str,
    /// A quoted hash of its bytes.
    pub etag: &'static str,
    /// Its name changes with its bytes: it may be kept for ever.
    pub immutable: bool,
    /// As it is.
    pub identity: &'static [u8],
    /// In brotli, where that is smaller.
    pub brotli: Option<&'static [u8]>,
    /// In gzip, where that is smaller.
    pub gzip: Option<&'static [u8]>,
}

// `ASSETS`, every file, and `INLINE_SCRIPT_HASHES`, what the Content-Security-Policy must let
// run of index.html's own scripts. Both are empty when the dashboard was not built.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));
