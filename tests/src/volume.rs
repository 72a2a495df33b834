//! A store's volume packed small, file by file: most of a log's bytes are zeros.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use anyhow::{Context, Result};

/// What is made anew at every start, and need not be kept.
const PASSING: [&str; 3] = ["lock", "spill", "incoming"];
const LEVEL: i32 = 19;

/// Packs every file below `volume` into a file `<name>.zst` at the same place below `packed`.
///
/// # Errors
/// Where a file cannot be read or written.
pub fn pack(volume: &Path, packed: &Path) -> Result<()> {
    fs::create_dir_all(packed).with_context(|| format!("making {}", packed.display()))?;
    for entry in fs::read_dir(volume).with_context(|| format!("reading {}", volume.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match entry.file_type()? {
            _ if PASSING.contains(&name.as_str()) => {}
            kind if kind.is_dir() => pack(&entry.path(), &packed.join(name))?,
            _ => {
                let to = File::create(packed.join(format!("{name}.zst")))?;
                zstd::stream::copy_encode(File::open(entry.path())?, to, LEVEL)?;
            }
        }
    }
    Ok(())
}

/// Makes a volume of what [`pack`] made.
///
/// # Errors
/// Where a file cannot be read or written, or is not one of ours.
pub fn unpack(packed: &Path, volume: &Path) -> Result<()> {
    fs::create_dir_all(volume).with_context(|| format!("making {}", volume.display()))?;
    for entry in fs::read_dir(packed).with_context(|| format!("reading {}", packed.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            unpack(&entry.path(), &volume.join(name))?;
        } else {
            let plain = name.strip_suffix(".zst").with_context(|| format!("{name} is not packed"))?;
            let mut from = zstd::stream::Decoder::new(File::open(entry.path())?)?;
            io::copy(&mut from, &mut File::create(volume.join(plain))?)?;
        }
    }
    Ok(())
}
