//! What the fuzz targets share: seeds made by today's encoders, so that the fuzzer starts from
//! well-formed input and no binary file has to be kept in step with the formats.

use std::path::PathBuf;

/// Names the folder that libFuzzer is about to read as its corpus.
pub const SEEDS: &str = "RAFTDUCK_FUZZ_SEEDS";

/// Writes each seed into the folder that [`SEEDS`] names. Called from a target's `init`, which
/// libFuzzer runs before it reads the corpus.
///
/// # Panics
/// Where a seed cannot be written: a run without its seeds would look like a good one.
pub fn write_seeds(seeds: impl IntoIterator<Item = Vec<u8>>) {
    let Some(folder) = std::env::var_os(SEEDS).map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).expect("the seeds' folder cannot be made");
    for (number, seed) in seeds.into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("a seed cannot be written");
    }
}
