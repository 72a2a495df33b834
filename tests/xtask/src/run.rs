//! Command lines, run in the repository's root.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The repository's root, as cargo says it now: clones share a target folder, and what one of them built may run for
/// another.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| ".".into(), |package| Path::new(&package).join("../.."))
}

/// Where cargo builds the root workspace.
pub fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// One command line.
pub struct Run(pub Command);

/// Cargo, the one that runs us.
pub fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Run {
    let mut run = Run::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo told us of this package. Some build scripts look at these names, and would have their crates (ring,
    // so rustls, so kube) compiled again each time a chore and a plain cargo follow one another.
    for (name, _) in std::env::vars_os() {
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|ours| name.to_string_lossy().starts_with(ours)) {
            run.0.env_remove(name);
        }
    }
    run.args(arguments)
}

impl Run {
    /// A program without arguments yet.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let mut command = Command::new(program);
        command.current_dir(root());
        Self(command)
    }

    /// More arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.args(arguments);
        self
    }

    /// One more variable in its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Runs it; anything but success is an error.
    pub fn checked(mut self) -> Result<()> {
        let status = self.0.status().with_context(|| format!("starting {:?}", self.0))?;
        match status.success() {
            true => Ok(()),
            false => bail!("{status}: {:?}", self.0),
        }
    }

    /// Runs it and gives what it printed.
    pub fn output(mut self) -> Result<String> {
        let output = self.0.output().with_context(|| format!("starting {:?}", self.0))?;
        if !output.status.success() {
            bail!("{}: {:?}\n{}", output.status, self.0, String::from_utf8_lossy(&output.stderr));
        }
        String::from_utf8(output.stdout).with_context(|| format!("reading what {:?} printed", self.0))
    }
}
