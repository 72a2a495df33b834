//! The parent's side: a child for one statement, killed when it is late or nobody wants it.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use raftduck_model::Table;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use super::{Head, ProcessError, ProcessLimits, VERSION, answer, ask, frame_head, read_head};
use crate::batch;

/// The hidden subcommand that calls [`super::run_child`].
pub(super) const SUBCOMMAND: &str = "query-process";
/// What the child gets beyond its own deadline to say that it is late.
const GRACE: Duration = Duration::from_millis(500);

/// A query process that takes its tables. Dropping it kills the process.
pub struct QueryProcess {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    limits: ProcessLimits,
    deadline: Instant,
}

impl QueryProcess {
    /// Starts `exe query-process` for one SELECT over tables that follow.
    ///
    /// # Errors
    /// Where the process cannot be started.
    pub async fn spawn(
        exe: &Path,
        limits: ProcessLimits,
        sql: &str,
        max_rows: Option<u64>,
    ) -> Result<Self, ProcessError> {
        let mut child = Command::new(exe)
            .arg(SUBCOMMAND)
            .env_clear()
            // In KiB: by itself the allocator takes a whole GiB before the child has set its bound.
            .env("MIMALLOC_ARENA_RESERVE", "32768")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(ProcessError::Io)?;
        let missing = || ProcessError::Io(io::Error::other("it has no pipes"));
        let (input, output) = (child.stdin.take().ok_or_else(missing)?, child.stdout.take().ok_or_else(missing)?);
        let mut process = Self { child, input, output, limits, deadline: Instant::now() + limits.time + GRACE };
        let head = Head {
            version: VERSION,
            sql: sql.to_owned(),
            max_rows,
            memory_bytes: limits.memory_bytes,
            threads: limits.threads,
            time_millis: u64::try_from(limits.time.as_millis()).unwrap_or(u64::MAX),
        };
        let head = serde_json::to_vec(&head).map_err(|error| ProcessError::Broken(error.to_string()))?;
        process.write(ask::HEAD, &head).await?;
        Ok(process)
    }

    /// Announces a table by the name that the statement uses; its rows follow.
    ///
    /// # Errors
    /// Where the process has failed already; the error says why.
    pub async fn table(&mut self, table: &Table) -> Result<(), ProcessError> {
        let table = serde_json::to_vec(table).map_err(|error| ProcessError::Broken(error.to_string()))?;
        self.write(ask::TABLE, &table).await
    }

    /// Rows of the table announced last, in the form in which a store answers them
    /// ([`crate::arrow_schema::of_answer`]), as [`batch::encode`] gives them.
    ///
    /// # Errors
    /// Where the process has failed already; the error says why.
    pub async fn rows(&mut self, rows: &Bytes) -> Result<(), ProcessError> {
        self.write(ask::ROWS, rows).await
    }

    /// Runs the statement; returns once the answer's columns are known.
    ///
    /// # Errors
    /// See [`ProcessError`].
    pub async fn run(mut self) -> Result<ProcessAnswer, ProcessError> {
        self.write(ask::RUN, &[]).await?;
        match self.read().await? {
            (answer::SCHEMA, bytes) => {
                let schema = batch::decode_schema(&bytes).map_err(|error| ProcessError::Broken(error.to_string()))?;
                Ok(ProcessAnswer { schema, process: self, truncated: None })
            }
            (tag, bytes) => Err(self.failure(tag, &bytes)),
        }
    }

    async fn write(&mut self, tag: u8, bytes: &[u8]) -> Result<(), ProcessError> {
        let head = frame_head(tag, bytes.len()).map_err(ProcessError::Io)?;
        let sent = async {
            self.input.write_all(&head).await?;
            self.input.write_all(bytes).await?;
            self.input.flush().await
        };
        match timeout_at(self.deadline, sent).await {
            Ok(Ok(())) => Ok(()),
            // A child that failed has said why, and reads no more.
            Ok(Err(_)) => {
                let (tag, bytes) = self.read().await?;
                Err(self.failure(tag, &bytes))
            }
            Err(_) => Err(self.late().await),
        }
    }

    async fn read(&mut self) -> Result<(u8, Bytes), ProcessError> {
        let frame = async {
            let mut head = [0; 5];
            self.output.read_exact(&mut head).await?;
            let (tag, length) = read_head(head)?;
            let mut bytes = vec![0; length];
            self.output.read_exact(&mut bytes).await?;
            io::Result::Ok((tag, Bytes::from(bytes)))
        };
        match timeout_at(self.deadline, frame).await {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.died().await),
            Ok(Err(error)) => Err(ProcessError::Io(error)),
            Err(_) => Err(self.late().await),
        }
    }

    async fn late(&mut self) -> ProcessError {
        match self.child.kill().await {
            Ok(()) => ProcessError::Timeout,
            Err(error) => ProcessError::Io(error),
        }
    }

    /// What a closed pipe means: the child ends itself when its time is over.
    async fn died(&mut self) -> ProcessError {
        if Instant::now() + GRACE >= self.deadline {
            return self.late().await;
        }
        // Whatever its state says, the answer to its user is the same.
        let _ = self.child.kill().await;
        ProcessError::Killed(self.limits.memory_bytes)
    }

    fn failure(&self, tag: u8, bytes: &[u8]) -> ProcessError {
        let text = String::from_utf8_lossy(bytes).into_owned();
        match tag {
            answer::STATEMENT => ProcessError::Statement(text),
            answer::MEMORY => ProcessError::Killed(self.limits.memory_bytes),
            answer::BROKEN => ProcessError::Broken(text),
            other => ProcessError::Broken(format!("it sent frame {other} out of turn")),
        }
    }
}

/// The answer of a query process. Dropping it kills the process.
pub struct ProcessAnswer {
    /// The answer's columns.
    pub schema: SchemaRef,
    process: QueryProcess,
    truncated: Option<bool>,
}

impl ProcessAnswer {
    /// The next rows, or none after the last.
    ///
    /// # Errors
    /// See [`ProcessError`]; the answer is worth nothing then.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, ProcessError> {
        if self.truncated.is_some() {
            return Ok(None);
        }
        match self.process.read().await? {
            (answer::ROWS, bytes) => match batch::decode(bytes, &self.schema) {
                Ok(rows) => Ok(Some(rows)),
                Err(error) => Err(ProcessError::Broken(error.to_string())),
            },
            (answer::END, bytes) => {
                self.truncated = Some(bytes.first() == Some(&1));
                Ok(None)
            }
            (tag, bytes) => Err(self.process.failure(tag, &bytes)),
        }
    }

    /// Whether the answer was cut short at its greatest number of rows; known after the last.
    pub fn truncated(&self) -> bool {
        self.truncated == Some(true)
    }
}
