//! One SELECT over a store, as a stream of Arrow batches.
//!
//! The statement runs in a read-only transaction, on a connection of its own and one of the threads for queries. The
//! public table names are temporary views over the physical tables; which columns those have, and
//! how far each partition is applied, is read in the same transaction.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::thread::Thread;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use duckdb::Connection;
use raftduck_model::{LogIndex, PartitionId, Table};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio::time::timeout;

use crate::fault::Fault;
use crate::gather::Gathered;
use crate::instance::Connector;
use crate::nice::Priority;
use crate::options::StoreOptions;
use crate::pool::Pool;
use crate::running::{Ended, Query, Running};
use crate::store::Store;
use crate::system;
use crate::view;

/// Batches between the query's thread and whoever reads them: 4 MiB, where one row is not more.
const CHANNEL: usize = 4;

/// What to ask.
#[derive(Clone, Debug)]
pub struct QuerySpec {
    /// One SELECT over the tables' public names, checked by `sql`.
    pub sql: String,
    /// What the names mean, and at which version.
    pub tables: Vec<Table>,
    /// Only these partitions' rows; all that the store holds if none. Naming all that it holds costs
    /// nothing, and nothing is read of one that comes meanwhile.
    pub partitions: Option<Vec<PartitionId>>,
    /// Where to cut the answer short.
    pub max_rows: Option<u64>,
    /// How long it may take, waiting for its turn and for its reader included.
    pub timeout: Duration,
}

/// What an answer is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The answer's columns.
    pub schema: SchemaRef,
    /// Up to where each partition's log is in the rows that were read: of those asked for, or all
    /// where none were named. One without any entry is missing, as is one that was removed, however
    /// far the store said it was before.
    pub applied: BTreeMap<PartitionId, LogIndex>,
}

/// Why there is no answer, or no more of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The statement's fault: its user must change it.
    #[error("{0}")]
    Statement(String),
    /// Not exactly one SELECT.
    #[error("one SELECT at a time: {0}")]
    NotOneSelect(String),
    /// Too many others wait already.
    #[error("too many queries wait, try again later")]
    Busy,
    /// The time ran out.
    #[error("the time for the query ran out: ask for less, or allow more time")]
    Timeout,
    /// The query would take more memory than it may.
    #[error("the query needs more memory than it may have: {0}")]
    Memory(String),
    /// The store or its engine failed.
    #[error("the store failed: {0}")]
    Store(String),
}

impl From<Fault> for QueryError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Interrupted => Self::Timeout,
            Fault::Statement(text) => Self::Statement(text),
            Fault::Memory(text) => Self::Memory(text),
            Fault::Storage(text) => Self::Store(text),
        }
    }
}

/// Turns for queries, and threads for those that have theirs.
pub(crate) struct Slots {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    threads: Pool,
}

impl Slots {
    pub fn new(options: &StoreOptions) -> io::Result<Self> {
        Ok(Self {
            running: Arc::new(Semaphore::new(options.concurrent_queries)),
            waiting: Arc::new(Semaphore::new(options.waiting_queries)),
            threads: Pool::start("query", Priority::Lowest, options.concurrent_queries)?,
        })
    }

    async fn turn(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, QueryError> {
        let closed = |_| QueryError::Store("it is closed".into());
        match Arc::clone(&self.running).try_acquire_owned() {
            Ok(turn) => return Ok(turn),
            Err(TryAcquireError::Closed) => return Err(QueryError::Store("it is closed".into())),
            Err(TryAcquireError::NoPermits) => {}
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| QueryError::Busy)?;
        let left = deadline.saturating_duration_since(Instant::now());
        let turn = timeout(left, Arc::clone(&self.running).acquire_owned()).await;
        turn.map_err(|_| QueryError::Timeout)?.map_err(closed)
    }
}

enum Message {
    /// And the thread that waits for room in the channel.
    Start(Answered, Thread),
    Batch(RecordBatch),
    End {
        truncated: bool,
    },
    Failed(QueryError),
}

/// An answer on its way. Dropping it ends the query.
pub struct QueryStream {
    /// What the answer is of.
    pub answered: Answered,
    messages: mpsc::Receiver<Message>,
    thread: Thread,
    running: Arc<Running>,
    query: Arc<Query>,
    ended: Option<bool>,
}

impl QueryStream {
    /// The next rows, or none after the last. Rows count only once this has said none: an answer
    /// can fail half-way.
    ///
    /// # Errors
    /// See [`QueryError`]; the answer is worth nothing then.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        if self.ended.is_some() {
            return Ok(None);
        }
        let message = self.messages.recv().await;
        // The thread may wait for room.
        self.thread.unpark();
        match message {
            Some(Message::Batch(batch)) => Ok(Some(batch)),
            Some(Message::End { truncated }) => {
                self.ended = Some(truncated);
                Ok(None)
            }
            Some(Message::Failed(error)) => Err(error),
            Some(Message::Start(..)) | None => Err(QueryError::Store("the query ended without a word".into())),
        }
    }

    /// Whether the answer was cut short at [`QuerySpec::max_rows`]; known after its last row.
    pub fn truncated(&self) -> bool {
        self.ended == Some(true)
    }
}

impl Drop for QueryStream {
    fn drop(&mut self) {
        if self.ended.is_none() {
            self.running.end(&self.query, Ended::Dropped);
        }
        self.messages.close();
        self.thread.unpark();
    }
}

pub(crate) async fn start(store: &Store, slots: &Slots, spec: QuerySpec) -> Result<QueryStream, QueryError> {
    let options = &store.shared().options;
    let deadline = Instant::now() + spec.timeout.min(options.longest_query);
    let turn = slots.turn(deadline).await?;

    let running = Arc::clone(&store.shared().running);
    let registered = running.register(deadline);
    let query = Arc::clone(&registered.0);
    let memory = options.query_memory_bytes;
    let (sender, mut messages) = mpsc::channel(CHANNEL);
    let connector = store.connector();
    slots.threads.run(move || {
        answer(&connector, &spec, memory, &Output { sender, query: Arc::clone(&registered.0) });
        // It counts as running, and has its turn, until its read transaction has ended.
        drop((registered, turn));
    });

    let waiting = Waiting { running: &running, query: &query, armed: true };
    match messages.recv().await {
        Some(Message::Start(answered, thread)) => {
            waiting.disarm();
            Ok(QueryStream { answered, messages, thread, running, query, ended: None })
        }
        Some(Message::Failed(error)) => Err(error),
        _ => Err(QueryError::Store("the query ended without a word".into())),
    }
}

/// Ends the query if whoever asked goes away before its first word.
struct Waiting<'a> {
    running: &'a Arc<Running>,
    query: &'a Query,
    armed: bool,
}

impl Waiting<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.running.end(self.query, Ended::Dropped);
        }
    }
}

/// Runs the query on this thread, and ends its read transaction with its connection.
fn answer(connector: &Connector, spec: &QuerySpec, memory: u64, output: &Output) {
    let connection = connector.connect();
    let done = match &connection {
        Ok(connection) => {
            output.query.runs_on(connection);
            run(connection, spec, memory, output)
        }
        Err(fault) => Err(output.error(fault.clone())),
    };
    if let Err(error) = done {
        // An interrupt may come up as any error of whatever it met.
        let error = output.query.ended().map_or(error, why);
        output.send(Message::Failed(error)).ok();
    }
    output.query.leave();
}

/// Where a query's thread puts its answer.
struct Output {
    sender: mpsc::Sender<Message>,
    query: Arc<Query>,
}

impl Output {
    /// Puts a message into the channel, waiting for room until the query must end.
    fn send(&self, mut message: Message) -> Result<(), QueryError> {
        const LOOK: Duration = Duration::from_millis(100);
        loop {
            message = match self.sender.try_send(message) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Closed(_)) => return Err(QueryError::Timeout),
                Err(TrySendError::Full(message)) => message,
            };
            if let Some(ended) = self.query.ended() {
                return Err(why(ended));
            }
            // The reader unparks this thread with every message that it takes.
            let left = self.query.deadline().saturating_duration_since(Instant::now());
            std::thread::park_timeout(left.min(LOOK));
        }
    }

    /// The error that DuckDB's stands for.
    fn error(&self, fault: Fault) -> QueryError {
        match fault {
            Fault::Interrupted => self.query.ended().map_or(QueryError::Timeout, why),
            fault => fault.into(),
        }
    }
}

fn why(ended: Ended) -> QueryError {
    match ended {
        Ended::Deadline | Ended::Dropped => QueryError::Timeout,
        Ended::Memory => QueryError::Memory("the store ran short of it; try again later".into()),
    }
}

fn run(connection: &Connection, spec: &QuerySpec, memory: u64, output: &Output) -> Result<(), QueryError> {
    let failed = |fault: Fault| output.error(fault);
    view::check_one_select(connection, &spec.sql)?;
    let begin = format!("SET operator_memory_limit = '{memory}B'; BEGIN TRANSACTION READ ONLY");
    connection.execute_batch(&begin).map_err(|error| failed(error.into()))?;
    // In the transaction that reads the rows: partitions come and go between two.
    let mut applied = system::read_applied_indexes(connection).map_err(failed)?;
    let held = applied.len();
    let named = spec.partitions.as_deref();
    applied.retain(|partition, _| named.is_none_or(|named| named.contains(partition)));
    // DuckDB is faster without the filter, where there is nothing that it would keep out.
    let only = named.filter(|_| applied.len() < held);
    view::create(connection, &spec.tables, only).map_err(failed)?;

    let mut statement = connection.prepare(&spec.sql).map_err(|error| failed(error.into()))?;
    let batches = statement.stream_arrow([]).map_err(|error| failed(error.into()))?;
    let mut gathered = Gathered::new(&batches.get_schema());
    let answered = Answered { schema: Arc::clone(gathered.schema()), applied };
    output.send(Message::Start(answered, std::thread::current()))?;

    let mut left = spec.max_rows.unwrap_or(u64::MAX);
    let mut truncated = false;
    for batch in batches {
        let mut batch = batch.map_err(|error| failed(error.into()))?;
        if batch.num_rows() as u64 > left {
            truncated = true;
            batch = batch.slice(0, left as usize);
        }
        left -= batch.num_rows() as u64;
        if let Some(full) = gathered.add(batch)? {
            output.send(Message::Batch(full))?;
        }
        if truncated {
            break;
        }
        if let Some(ended) = output.query.ended() {
            return Err(why(ended));
        }
    }
    if let Some(rest) = gathered.take()? {
        output.send(Message::Batch(rest))?;
    }
    output.send(Message::End { truncated })
}

#[cfg(test)]
#[path = "tests/query.rs"]
mod tests;
