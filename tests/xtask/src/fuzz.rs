//! libFuzzer on stable Rust: what `cargo fuzz --sanitizer none` does, without the tool.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, root};

/// The fuzz targets' own workspace.
pub const MANIFEST: &str = "tests/fuzz/Cargo.toml";
const TARGETS: [&str; 5] = ["log", "consensus", "command", "meta", "protobuf"];
/// Coverage counters and compared constants, as cargo-fuzz 0.13 sets them. They are plain code
/// generation options, so stable takes them.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                     -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing";
/// How many targets run at once.
const AT_ONCE: usize = 2;

/// Builds the targets and runs each for so many seconds.
pub fn fuzz(seconds: u32, only: Option<&str>) -> Result<()> {
    let targets: Vec<&str> = TARGETS.into_iter().filter(|target| only.is_none_or(|only| only == *target)).collect();
    ensure!(!targets.is_empty(), "there is no such target; there are {}", TARGETS.join(", "));
    without_duckdb()?;
    let folder = folder()?;
    let triple = triple()?;
    // With --target the flags stay off build scripts and macros, which have no fuzzer to link.
    let build = ["build", "--release", "--bins", "--manifest-path", MANIFEST, "--target", &triple];
    cargo(build).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &folder).checked()?;
    let programs = folder.join(&triple).join("release");
    println!("{:<12} {:>12} {:>9} {:>9} {:>9}", "target", "executions", "per s", "edges", "features");
    for some in targets.chunks(AT_ONCE) {
        let running = some.iter().map(|target| Target::start(target, &programs, &folder, seconds));
        for target in running.collect::<Result<Vec<_>>>()? {
            target.finish()?;
        }
    }
    Ok(())
}

/// DuckDB in the fuzz workspace would be compiled a second time, with coverage.
fn without_duckdb() -> Result<()> {
    let tree = cargo(["tree", "--manifest-path", MANIFEST, "--edges", "normal,build", "--prefix", "none"]).output()?;
    match tree.lines().find(|line| line.contains("duckdb-sys")) {
        Some(line) => bail!("{line} is in the fuzz targets' dependencies: take it out"),
        None => Ok(()),
    }
}

fn folder() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set")?;
    Ok(PathBuf::from(home).join(".cache/raftduck/fuzz"))
}

fn triple() -> Result<String> {
    let version = crate::run::Run::new("rustc").args(["-vV"]).output()?;
    let triple = version.lines().find_map(|line| line.strip_prefix("host: "));
    triple.map(str::to_owned).context("rustc -vV names no host")
}

struct Target {
    name: String,
    child: Child,
    log: PathBuf,
    artifacts: PathBuf,
}

impl Target {
    fn start(name: &str, programs: &Path, folder: &Path, seconds: u32) -> Result<Self> {
        let (corpus, artifacts) = (folder.join("corpus").join(name), folder.join("artifacts").join(name));
        fs::create_dir_all(&corpus).context("making the corpus' folder")?;
        fs::create_dir_all(&artifacts).context("making the findings' folder")?;
        let log = folder.join(format!("{name}.log"));
        let output = fs::File::create(&log).context("making the target's log")?;
        let child = Command::new(programs.join(name))
            .arg(format!("-max_total_time={seconds}"))
            // One input may take this many seconds and all of it this many MiB.
            .args(["-timeout=10", "-rss_limit_mb=1024", "-max_len=65536", "-print_final_stats=1"])
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .arg(&corpus)
            .env("RAFTDUCK_FUZZ_SEEDS", &corpus)
            .current_dir(root())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("sharing the target's log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("starting the target {name}"))?;
        Ok(Self { name: name.to_owned(), child, log, artifacts })
    }

    fn finish(mut self) -> Result<()> {
        let status = self.child.wait().context("waiting for a target")?;
        let log = String::from_utf8_lossy(&fs::read(&self.log).context("reading a target's log")?).into_owned();
        if !status.success() {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            bail!(
                "{} found something ({status}); the input is in {}\n{}",
                self.name,
                self.artifacts.display(),
                tail.join("\n")
            );
        }
        let stats =
            Stats::read(&log).with_context(|| format!("{} says no figures: {}", self.name, self.log.display()))?;
        // Without counters the fuzzer still runs, blindly: that must not pass for fuzzing.
        ensure!(log.contains("inline 8-bit counters"), "{} was built without coverage counters", self.name);
        ensure!(stats.edges > 50, "{} reached only {} edges: coverage does not work", self.name, stats.edges);
        let Stats { executions, per_second, edges, features } = stats;
        println!("{:<12} {executions:>12} {per_second:>9} {edges:>9} {features:>9}", self.name);
        Ok(())
    }
}

/// The figures at the end of libFuzzer's output.
#[derive(Debug, PartialEq, Eq)]
struct Stats {
    executions: u64,
    per_second: u64,
    edges: u64,
    features: u64,
}

impl Stats {
    fn read(log: &str) -> Option<Self> {
        let field = |name: &str| log.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok();
        let last = |name: &str| {
            let mut words = log.lines().rev().find(|line| line.contains(name))?.split_whitespace();
            words.find(|word| *word == name)?;
            words.next()?.parse().ok()
        };
        Some(Self {
            executions: field("stat::number_of_executed_units:")?,
            per_second: field("stat::average_exec_per_sec:")?,
            edges: last("cov:")?,
            features: last("ft:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_are_the_last_ones() {
        let log = "#2\tINITED cov: 40 ft: 41 corp: 1/1b\n#99\tDONE   cov: 312 ft: 900 corp: 80/4Kb exec/s: 33\n\
                   stat::number_of_executed_units: 99\nstat::average_exec_per_sec:     33\n";
        assert_eq!(Stats::read(log), Some(Stats { executions: 99, per_second: 33, edges: 312, features: 900 }));
        assert_eq!(Stats::read("nothing"), None);
    }
}
