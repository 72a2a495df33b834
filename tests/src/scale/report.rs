//! What a run came to, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::check::Checked;

/// So many of the logs' errors are shown.
const COMPLAINTS: usize = 10;

/// One line of the table.
#[derive(Debug)]
pub struct Phase {
    /// What was done.
    pub name: String,
    /// How long it took until all was as it should be.
    pub took: Duration,
    /// Copies of groups that were made.
    pub copies: usize,
    /// What all stores have on disk at its end; what is set aside does not count.
    pub bytes: u64,
    /// Who was killed, in how many moves.
    pub faults: Vec<String>,
    /// Rows acknowledged meanwhile.
    pub rows: u64,
    /// The reader's whole answers, partial ones and errors.
    pub answers: [u64; 3],
    /// How long the reader waited at most, whatever came of it.
    pub slowest: Duration,
}

/// What a run came to.
#[derive(Debug)]
pub struct ScaleReport {
    /// In the order in which they were done.
    pub phases: Vec<Phase>,
    /// What the checks compared.
    pub checked: Checked,
    /// Why questions got no answer, with how often.
    pub reasons: BTreeMap<String, u64>,
    /// What the processes logged as errors.
    pub complaints: Vec<String>,
    /// How long it all took.
    pub took: Duration,
}

/// A line for each phase, under a head.
pub fn table(phases: &[Phase]) -> String {
    let head = format!(
        "{:<22} {:>7} {:>7} {:>8} {:>9} {:>7} {:>8} {:>7} {:>8}  killed",
        "phase", "seconds", "copies", "MiB", "rows", "whole", "partial", "errors", "slowest"
    );
    phases.iter().fold(head, |table, phase| format!("{table}\n{phase}"))
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [whole, partial, errors] = self.answers;
        let (took, slowest) = (self.took.as_secs_f64(), self.slowest.as_secs_f64());
        write!(
            f,
            "{:<22} {took:>7.1} {:>7} {:>8} {:>9} {whole:>7} {partial:>8} {errors:>7} {slowest:>6.1} s  {}",
            self.name,
            self.copies,
            self.bytes >> 20,
            self.rows,
            self.faults.join(", ")
        )
    }
}

impl fmt::Display for ScaleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", table(&self.phases))?;
        for (reason, times) in &self.reasons {
            writeln!(f, "{times} questions without an answer: {reason}")?;
        }
        for complaint in self.complaints.iter().take(COMPLAINTS) {
            writeln!(f, "{complaint}")?;
        }
        write!(
            f,
            "{} batches with {} rows found exactly once, {} of unknown outcome; replicas equal; \
             {} errors in the logs; {:.0} s",
            self.checked.batches,
            self.checked.rows,
            self.checked.unknown,
            self.complaints.len(),
            self.took.as_secs_f64()
        )
    }
}
