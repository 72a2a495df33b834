//! The product's command lines, in one place.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use uuid::Uuid;

use crate::process::Line;

/// Lets the tests run against any binary.
pub const BINARY: &str = "RAFTDUCK_BIN";
/// What `dev` and `demo` take where nothing else is said; our clusters take it too.
pub const TOKEN: &str = "local-dev-token-123";
/// What our stores and controls know each other by.
pub const CLUSTER_TOKEN: &str = "cluster-token-of-the-tests";

/// The binary under test: [`BINARY`], else `raftduck` in the folder above the test executable's.
///
/// # Errors
/// Where there is none.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(BINARY) {
        return Ok(path.into());
    }
    let this = std::env::current_exe().context("finding the test executable")?;
    for folder in this.ancestors().skip(1).take(2) {
        let candidate = folder.join("raftduck");
        if candidate.is_file() {
            return Ok(candidate);
        }
    }
    bail!("no raftduck beside {}: `cargo build --release --workspace` first, or set {BINARY}", this.display())
}

fn line(name: impl Into<String>, arguments: &[&str]) -> Result<Line> {
    Ok(Line {
        name: name.into(),
        program: binary()?,
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        environment: vec![
            ("RAFTDUCK_TOKEN".to_owned(), TOKEN.to_owned()),
            ("RAFTDUCK_CLUSTER_TOKEN".to_owned(), CLUSTER_TOKEN.to_owned()),
        ],
    })
}

/// One worker on its folder and address.
///
/// # Errors
/// Where the binary is not found; so below.
pub fn worker(number: usize, data: &Path, address: &str) -> Result<Line> {
    let data = data.to_string_lossy();
    line(
        format!("worker-{number}"),
        &[
            "worker",
            "--data",
            &data,
            "--listen",
            address,
            "--advertise",
            address,
            "--memory",
            "512MiB",
            "--end-with-stdin",
        ],
    )
}

/// A worker that asks these stores to take it in where its volume is empty.
#[allow(missing_docs)]
pub fn joining_worker(number: usize, data: &Path, address: &str, through: &[String]) -> Result<Line> {
    let mut line = worker(number, data, address)?;
    line.arguments.extend(["--join".to_owned(), through.join(",")]);
    Ok(line)
}

/// A control in front of the stores, with that much memory.
#[allow(missing_docs)]
pub fn control(address: &str, stores: &[String], memory: &str) -> Result<Line> {
    line(
        "control",
        &["control", "--listen", address, "--stores", &stores.join(","), "--memory", memory, "--end-with-stdin"],
    )
}

/// The call that makes a cluster of the stores.
#[allow(missing_docs)]
pub fn bootstrap(cluster: Uuid, stores: &[String], partitions: u32, copies: u16) -> Result<Line> {
    let mut line = line("bootstrap", &["bootstrap"])?;
    for (flag, value) in [
        ("--cluster-uuid", cluster.to_string()),
        ("--stores", stores.join(",")),
        ("--partitions", partitions.to_string()),
        ("--replication", copies.to_string()),
    ] {
        line.arguments.extend([flag.to_owned(), value]);
    }
    Ok(line)
}

/// What is left on a volume, and with a plan's number the recovery from it.
#[allow(missing_docs)]
pub fn recover(data: &Path, apply: Option<&str>) -> Result<Line> {
    let mut line = line("recover", &["recover", "--data", &data.to_string_lossy()])?;
    line.arguments.extend(apply.into_iter().flat_map(|plan| ["--apply".to_owned(), plan.to_owned()]));
    Ok(line)
}

/// The tour, to its end.
#[allow(missing_docs)]
pub fn demo_once(base_port: u16) -> Result<Line> {
    line("demo", &["demo", "--once", "--base-port", &base_port.to_string()])
}
