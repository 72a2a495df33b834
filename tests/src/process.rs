//! One real process: started, killed, frozen, watched, and always reaped.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Of `/proc/<id>/stat`: Linux counts for programs in hundredths of a second, whatever its own ticks are (`USER_HZ`).
const MILLIS_PER_TICK: u64 = 10;

/// A command line that can be started again after its process ended.
#[derive(Clone, Debug)]
pub struct Line {
    /// What messages call it: `worker-1`.
    pub name: String,
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it gets in its environment beside ours.
    pub environment: Vec<(String, String)>,
}

/// A child process whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    line: Line,
    log: PathBuf,
    child: Option<Child>,
    /// Frozen by us: a SIGSTOP that was not followed by a SIGCONT yet.
    frozen: bool,
}

impl Process {
    /// Starts the command line, with its output appended to `<folder>/<name>.log`.
    ///
    /// # Errors
    /// Where the log or the program cannot be opened.
    pub fn start(line: Line, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{}.log", line.name));
        let mut process = Self { line, log, child: None, frozen: false };
        process.restart()?;
        Ok(process)
    }

    /// Starts the process again after it ended.
    ///
    /// # Errors
    /// Where it still runs, or cannot be started.
    pub fn restart(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("{} still runs", self.line.name);
        }
        let log = OpenOptions::new().create(true).append(true).open(&self.log).context("opening a process' log")?;
        let errors = log.try_clone().context("opening a process' log")?;
        let child = Command::new(&self.line.program)
            .args(&self.line.arguments)
            .envs(self.line.environment.iter().map(|(name, value)| (name, value)))
            // Kept open and never written: our servers end when it closes, so also when we are killed.
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {} ({})", self.line.name, self.line.program.display()))?;
        self.child = Some(child);
        self.frozen = false;
        Ok(())
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.line.name
    }

    /// Its process id, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it has not ended yet; a frozen one has not.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.as_mut().map(Child::try_wait), Some(Ok(None)))
    }

    /// How it ended, where it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// SIGKILL, and its remains collected.
    ///
    /// # Errors
    /// Where it does not run any more: then it ended by itself, which is what the test must hear.
    pub fn kill(&mut self) -> Result<()> {
        self.begin_kill()?;
        self.end_kill()
    }

    /// SIGKILL alone, for more than one at once: to collect a process' remains takes a while.
    ///
    /// # Errors
    /// As [`kill`](Self::kill).
    pub fn begin_kill(&mut self) -> Result<()> {
        if let Some(status) = self.ended() {
            bail!("{} had ended by itself ({status}); its log:\n{}", self.line.name, self.log_tail(40));
        }
        let Some(child) = &mut self.child else { bail!("{} was not running", self.line.name) };
        child.kill().with_context(|| format!("killing {}", self.line.name))
    }

    /// Collects what [`begin_kill`](Self::begin_kill) leaves.
    ///
    /// # Errors
    /// Where it was not running.
    pub fn end_kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { bail!("{} was not running", self.line.name) };
        child.wait().with_context(|| format!("waiting for {}", self.line.name))?;
        self.frozen = false;
        Ok(())
    }

    /// SIGTERM, and its end in order.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn end(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        self.end_kill()
    }

    /// SIGSTOP: it keeps its sockets and answers nothing.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        self.frozen = true;
        Ok(())
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::CONT)?;
        self.frozen = false;
        Ok(())
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            bail!("{} does not run", self.line.name);
        }
        let id = self.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.with_context(|| format!("{} has no process id", self.line.name))?;
        kill_process(id, signal).with_context(|| format!("signalling {}", self.line.name))
    }

    /// Resident memory in bytes, now and at its highest; none where it does not run.
    pub fn memory(&self) -> Option<Memory> {
        memory_of(self.id()?)
    }

    /// Processor time that it has used, all its threads together; none where it does not run.
    pub fn processor(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()?)).ok()?;
        // The name, in parentheses, may hold spaces; utime and stime are the 14th and 15th fields of all.
        let ticks = stat.rsplit_once(") ")?.1.split(' ').skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().ok()).sum::<Option<u64>>()?;
        Some(Duration::from_millis(ticks * MILLIS_PER_TICK))
    }

    /// The last lines of its output.
    pub fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // SIGKILL ends a stopped process too. Errors: it has ended, which is what we want.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("---- the end of {}'s log\n{}", self.line.name, self.log_tail(60));
        }
    }
}

/// A process' resident memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes resident now.
    pub now: u64,
    /// The most there ever were.
    pub peak: u64,
}

/// What `/proc/<id>/status` says of a process' memory; none where there is no such process.
pub fn memory_of(id: u32) -> Option<Memory> {
    memory_in(&fs::read_to_string(format!("/proc/{id}/status")).ok()?)
}

fn memory_in(status: &str) -> Option<Memory> {
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Memory { now: field("VmRSS:")?, peak: field("VmHWM:")? })
}

/// Runs a command line to its end, its output in `<folder>/<name>.log`.
///
/// # Errors
/// Where it cannot be started, or has not ended when `limit` has passed; it is killed then.
pub fn run(line: Line, folder: &Path, limit: Duration) -> Result<(ExitStatus, String)> {
    let log = folder.join(format!("{}.log", line.name));
    File::create(&log).context("emptying a process' log")?;
    let mut process = Process::start(line, folder)?;
    let end = Instant::now() + limit;
    loop {
        if let Some(status) = process.ended() {
            return Ok((status, fs::read_to_string(&log).context("reading a process' log")?));
        }
        if Instant::now() >= end {
            bail!("{} did not end within {} s:\n{}", process.name(), limit.as_secs(), process.log_tail(60));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shell(name: &str, script: &str) -> Line {
        Line {
            name: name.to_owned(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            environment: vec![("GREETING".to_owned(), "hello".to_owned())],
        }
    }

    #[test]
    fn a_process_runs_to_its_end_with_its_environment_and_output() {
        let folder = tempfile::tempdir().unwrap();
        let (status, output) =
            run(shell("a", "echo $GREETING; exit 3"), folder.path(), Duration::from_secs(10)).unwrap();
        assert_eq!((status.code(), output.as_str()), (Some(3), "hello\n"));
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(shell("endless", "exec sleep 600"), folder.path(), Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("endless did not end"), "{error}");
    }

    #[test]
    fn a_frozen_process_is_reaped_when_its_owner_goes() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(shell("sleeper", "exec sleep 600"), folder.path()).unwrap();
        process.freeze().unwrap();
        let id = process.id().unwrap();
        assert!(memory_of(id).is_some());
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn killing_a_process_that_ended_by_itself_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Process::start(shell("brief", "exit 7"), folder.path()).unwrap();
        while process.is_running() {
            std::thread::yield_now();
        }
        assert!(process.kill().unwrap_err().to_string().contains("ended by itself"));
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(memory_in(status), Some(Memory { now: 1 << 20, peak: 2 << 20 }));
    }
}
