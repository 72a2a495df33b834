//! A child process that is this test's own program, killed whenever its parent likes.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const FOLDER: &str = "RAFTDUCK_CRASH_TEST_FOLDER";
/// How long a child may take to say anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// The folder that the parent gave this process; none where it is no child.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// A running child and what it says, line by line.
pub struct Victim {
    child: Child,
    lines: Receiver<String>,
}

impl Victim {
    /// Runs the test `body` of this program in a process of its own.
    pub fn start(body: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([body, "--exact", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits until it says `word`, and returns how long that took.
    pub fn until(&self, word: &str) -> Duration {
        let begun = Instant::now();
        while self.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("it never said {word:?}")) != word {}
        begun.elapsed()
    }

    /// Kills it (SIGKILL) once it has said `word`, or after `at_most`; returns all that it has said
    /// from now on.
    pub fn kill_at(mut self, word: &str, at_most: Duration) -> Vec<String> {
        let end = Instant::now() + at_most;
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let last = line == word;
                    said.push(line);
                    if last {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => panic!("it ended by itself: {said:?}"),
            }
        }
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // The kill may come between a line's arrival and its reading.
        said.extend(self.lines.iter());
        said
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
