//! The dashboard's files. The build script compressed them and put them into this binary.

/// One file, ready to send.
#[derive(Debug)]
pub struct Asset {
    /// Its path in a request.
    pub path: &'static str,
    /// Its media type; for a text, with the character set.
    pub content_type: &'static str,
    /// A quoted hash of its bytes.
    pub etag: &'static str,
    /// Whether its name changes with its bytes, so that a cache may keep it for ever.
    pub immutable: bool,
    /// Its bytes, uncompressed.
    pub identity: &'static [u8],
    /// Its bytes in brotli, if they are fewer.
    pub brotli: Option<&'static [u8]>,
    /// Its bytes in gzip, if they are fewer.
    pub gzip: Option<&'static [u8]>,
}

// Defines `ASSETS`, which has every file, and `INLINE_SCRIPT_HASHES`, the scripts in index.html that the
// Content-Security-Policy must allow. Both are empty if there was no dashboard to put in.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));
