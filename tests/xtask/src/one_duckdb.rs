//! DuckDB compiles for half an hour: another profile, or one more set of features, doubles that.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Fails unless exactly one run of libduckdb-sys' build script is below the target folder.
pub fn check(target: &Path) -> Result<()> {
    let runs: Vec<PathBuf> = ["release", "debug"].iter().flat_map(|profile| runs_in(&target.join(profile))).collect();
    match runs.as_slice() {
        [one] => {
            println!("DuckDB was built once: {}", one.display());
            Ok(())
        }
        [] => bail!("DuckDB was not built below {}", target.display()),
        several => bail!(
            "DuckDB was built {} times: {several:?}. Its features, its dependencies' features or the profile differ \
             between two commands",
            several.len()
        ),
    }
}

/// A build script's compiled form and its run have a folder each; only the run's has `output`.
fn runs_in(profile: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(profile.join("build")).into_iter().flatten().flatten();
    let builds = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("libduckdb-sys-"));
    builds.map(|entry| entry.path()).filter(|folder| folder.join("output").is_file()).collect()
}
