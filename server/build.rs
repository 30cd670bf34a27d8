//! Puts the dashboard into the binary: every file of `dist/`, in brotli and gzip too, as a table
//! that src/http/assets.rs includes.
//!
//! `BEACONRY_DIST` names another directory. Without a built dashboard the table is empty, so that
//! `cargo check` and `cargo test` need no browser tools. Compressed files are kept by the hash of their
//! content, so an unchanged dashboard is not compressed again.

use std::{
    collections::BTreeSet,
    env, fmt,
    fmt::Write as _,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

fn main() {
    println!("cargo::rerun-if-env-changed=BEACONRY_DIST");
    println!("cargo::rerun-if-changed=build.rs");
    if let Err(error) = run() {
        println!("cargo::error=the dashboard cannot be put into the binary: {error}");
    }
}

fn run() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let dist = env::var_os("BEACONRY_DIST").map_or_else(|| PathBuf::from("../dist"), PathBuf::from);
    // Cargo cannot watch a missing file: it would run this and compile the server every time.
    fs::create_dir_all(&dist)?;
    println!("cargo::rerun-if-changed={}", dist.display());

    let mut files = Vec::new();
    collect(&dist, &mut files)?;
    files.sort();
    if files.is_empty() {
        println!(
            "cargo::warning=no dashboard in {}: run `cargo xtask build`",
            dist.display()
        );
    }

    let mut table = String::from(
        "/// Every file of the dashboard, by path.\npub static ASSETS: &[Asset] = &[\n",
    );
    let mut hashes = Vec::new();
    let mut kept = BTreeSet::from([out.join("assets.rs")]);
    for file in files {
        let name = relative(&dist, &file);
        let content = fs::read(&file)?;
        let mut assets = Vec::new();
        if name == "index.html" {
            let html = String::from_utf8_lossy(&content);
            hashes = inline_scripts(&html);
            for (path, html) in pages(&html)? {
                assets.push(Asset::prepare(&path, html.as_bytes(), &out)?);
            }
        } else {
            assets.push(Asset::prepare(&format!("/{name}"), &content, &out)?);
        }
        for asset in assets {
            kept.extend(asset.stored());
            let _ = write!(table, "{asset}");
        }
    }
    table.push_str("];\n\n/// The hashes of index.html's own scripts, for its policy.\n");
    let _ = writeln!(
        table,
        "pub static INLINE_SCRIPT_HASHES: &[&str] = &{hashes:?};"
    );
    fs::write(out.join("assets.rs"), table)?;
    forget_others(&out, &kept)
}

/// How many folders deep an address may be to get the page. Deeper ones get 404. They only come from a
/// proxy that decodes `%2F`, for a device whose id has that many levels.
const DEEPEST_PAGE: usize = 7;

/// The page for an address at each depth, under the path by which the server finds it: `/index.html`,
/// `../index.html` and so on. The pages differ in their `<base>`, which leads back to the root of the
/// dashboard. It is relative, so the page works under any prefix that a proxy strips.
fn pages(html: &str) -> io::Result<Vec<(String, String)>> {
    let split = html
        .split_once("<base href=")
        .and_then(|(before, rest)| Some((before, rest.split_once('>')?.1)));
    let (before, after) =
        split.ok_or_else(|| io::Error::other("index.html has no <base href=…>"))?;
    Ok((0..=DEEPEST_PAGE)
        .map(|depth| {
            let up = "../".repeat(depth);
            let (folder, base) = if depth == 0 {
                ("/", "./")
            } else {
                (&*up, &*up)
            };
            let page = format!("{before}<base href=\"{base}\">{after}");
            (format!("{folder}index.html"), page)
        })
        .collect())
}

/// A file, and where its plain and compressed bytes are stored for the compiler.
struct Asset {
    path: String,
    content_type: &'static str,
    hash: String,
    immutable: bool,
    identity: PathBuf,
    brotli: Option<PathBuf>,
    gzip: Option<PathBuf>,
}

impl Asset {
    fn prepare(name: &str, content: &[u8], out: &Path) -> io::Result<Self> {
        let (content_type, compressible) = kind(name);
        let hash = hex(&Sha256::digest(content)[..16]);
        let identity = out.join(format!("{hash}.raw"));
        if !identity.exists() {
            write_whole(&identity, content)?;
        }
        let compressed = |method: Method| -> io::Result<Option<PathBuf>> {
            let path = out.join(format!("{hash}.{}", method.ending()));
            if !path.exists() {
                write_whole(&path, &method.compress(content)?)?;
            }
            let smaller = fs::metadata(&path)?.len() < content.len() as u64;
            Ok(smaller.then_some(path))
        };
        Ok(Self {
            path: name.to_owned(),
            content_type,
            immutable: named_by_content(name),
            brotli: if compressible {
                compressed(Method::Brotli)?
            } else {
                None
            },
            gzip: if compressible {
                compressed(Method::Gzip)?
            } else {
                None
            },
            identity,
            hash,
        })
    }

    fn stored(&self) -> Vec<PathBuf> {
        ["raw", "br", "gz"]
            .iter()
            .map(|ending| self.identity.with_extension(ending))
            .collect()
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let include = |path: &PathBuf| format!("include_bytes!({:?})", path.to_string_lossy());
        let optional = |path: &Option<PathBuf>| {
            path.as_ref().map_or_else(
                || "None".to_owned(),
                |path| format!("Some({})", include(path)),
            )
        };
        writeln!(f, "    Asset {{")?;
        writeln!(f, "        path: {:?},", self.path)?;
        writeln!(f, "        content_type: {:?},", self.content_type)?;
        writeln!(f, "        etag: {:?},", format!("\"{}\"", self.hash))?;
        writeln!(f, "        immutable: {},", self.immutable)?;
        writeln!(f, "        identity: {},", include(&self.identity))?;
        writeln!(f, "        brotli: {},", optional(&self.brotli))?;
        writeln!(f, "        gzip: {},", optional(&self.gzip))?;
        writeln!(f, "    }},")
    }
}

#[derive(Clone, Copy)]
enum Method {
    Brotli,
    Gzip,
}

impl Method {
    fn ending(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gz",
        }
    }

    fn compress(self, content: &[u8]) -> io::Result<Vec<u8>> {
        // The best level takes seconds more, which only a release build is worth.
        let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
        let mut out = Vec::new();
        match self {
            Self::Brotli => {
                let quality = if release { 11 } else { 4 };
                let params = brotli::enc::BrotliEncoderParams {
                    quality,
                    lgwin: 22,
                    ..Default::default()
                };
                brotli::BrotliCompress(&mut &*content, &mut out, &params)?;
            }
            Self::Gzip => {
                let level = flate2::Compression::new(if release { 9 } else { 4 });
                let mut encoder = flate2::write::GzEncoder::new(&mut out, level);
                encoder.write_all(content)?;
                encoder.finish()?;
            }
        }
        Ok(out)
    }
}

/// The media type, and whether compressing is worth trying.
fn kind(name: &str) -> (&'static str, bool) {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    match ending {
        "html" => ("text/html; charset=utf-8", true),
        "js" | "mjs" => ("text/javascript; charset=utf-8", true),
        "css" => ("text/css; charset=utf-8", true),
        "wasm" => ("application/wasm", true),
        "json" | "map" => ("application/json", true),
        "webmanifest" => ("application/manifest+json", true),
        "svg" => ("image/svg+xml", true),
        "txt" => ("text/plain; charset=utf-8", true),
        "ico" => ("image/x-icon", true),
        "png" => ("image/png", false),
        "jpg" | "jpeg" => ("image/jpeg", false),
        "webp" => ("image/webp", false),
        "woff2" => ("font/woff2", false),
        _ => ("application/octet-stream", false),
    }
}

/// Trunk and xtask write `NAME-HASH.js`, `NAME-HASH.wasm`, `NAME-HASH.css`, with 16 hexadecimal digits.
/// Trunk leaves out zeros at their start. A hash in the name of a folder does not count.
fn named_by_content(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let before_ending = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    before_ending.rsplit_once('-').is_some_and(|(_, hash)| {
        (12..=16).contains(&hash.len()) && hash.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// `sha256-…` of the content of each script without `src`.
fn inline_scripts(html: &str) -> Vec<String> {
    let mut hashes = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("<script") {
        let Some((attributes, after)) = after.split_once('>') else {
            break;
        };
        let Some((body, after)) = after.split_once("</script>") else {
            break;
        };
        rest = after;
        let outside = attributes
            .split_ascii_whitespace()
            .any(|attribute| attribute.starts_with("src="));
        if !outside {
            hashes.push(format!(
                "sha256-{}",
                base64(&Sha256::digest(body.as_bytes()))
            ));
        }
    }
    hashes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0_usize, |word, byte| word << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for position in 0..4 {
            let digit = DIGITS[word >> (18 - 6 * position) & 63];
            text.push(if position <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            // Such as the stamp of xtask, and Trunk's staging folder.
        } else if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn relative(dist: &Path, file: &Path) -> String {
    let name = file.strip_prefix(dist).unwrap_or(file);
    name.to_string_lossy().replace('\\', "/")
}

/// Writes a file in one step, so that an interrupted build leaves nothing that looks finished.
fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, content)?;
    fs::rename(partial, path)
}

fn forget_others(out: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(out)? {
        let path = entry?.path();
        if !kept.contains(&path) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
