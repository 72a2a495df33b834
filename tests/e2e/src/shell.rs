//! Commands that a person would type.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// No command takes longer where all is well.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs a program; what it printed.
///
/// # Errors
/// Where it fails, with what it said, or does not end in time.
pub async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let line = format!("{program} {}", arguments.join(" "));
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.with_context(|| format!("{line}: did not end"))?;
    let output = output.with_context(|| line.clone())?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{line}: {said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}
