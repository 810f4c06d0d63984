//! Compresses the page's assets at build time, so that no request pays for it.
//!
//! `assets/` goes to `$OUT_DIR/assets` three times: `identity/`, `br/` and `gzip/`; a compressed
//! variant is kept only where it saves something. The program embeds that folder.

use std::env;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Below this many bytes the response's head outweighs what compression saves.
const WORTH_COMPRESSING: usize = 256;
/// The endings of files that are text; pictures and fonts are compressed already.
const TEXT: [&str; 8] = [
    "html",
    "css",
    "js",
    "mjs",
    "json",
    "svg",
    "txt",
    "webmanifest",
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=assets");
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?;
    let target = Path::new(&out).join("assets");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    for folder in ["identity", "br", "gzip"] {
        fs::create_dir_all(target.join(folder))?;
    }
    let source = Path::new("assets");
    if source.is_dir() {
        copy(source, Path::new(""), &target)?;
    }
    Ok(())
}

/// Copies one folder of assets, with its variants; `below` is its path under `assets/`.
fn copy(source: &Path, below: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &name, target)?;
        } else if !entry.file_name().to_string_lossy().starts_with('.') {
            let data = fs::read(&path)?;
            write(&target.join("identity").join(&name), &data)?;
            variants(&name, &data, target)?;
        }
    }
    Ok(())
}

fn variants(name: &Path, data: &[u8], target: &Path) -> io::Result<()> {
    let ending = name.extension().unwrap_or_default().to_string_lossy();
    if data.len() < WORTH_COMPRESSING || !TEXT.contains(&&*ending) {
        return Ok(());
    }
    for (folder, compressed) in [("br", brotli(data)?), ("gzip", gzip(data)?)] {
        // At least a tenth saved: below that the client's work is not worth it.
        if compressed.len() * 10 < data.len() * 9 {
            let path = target.join(folder).join(name);
            write(&path, &compressed)?;
        }
    }
    Ok(())
}

fn brotli(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    {
        let mut writer = brotli::CompressorWriter::new(&mut out, 4_096, 11, 22);
        writer.write_all(data)?;
        writer.flush()?;
    }
    Ok(out)
}

fn gzip(data: &[u8]) -> io::Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    writer.write_all(data)?;
    writer.finish()
}

fn write(path: &Path, data: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(path)?.write_all(data)
}
