//! The child's side: limits first, then DuckDB.

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bytes::Bytes;
use duckdb::Connection;
use raftduck_model::Table;
use rustix::process::{Resource, Rlimit, getppid, setrlimit};

use super::{Head, VERSION, answer, ask, frame_head, read_head};
use crate::fault::Fault;
use crate::gather::Gathered;
use crate::instance::{self, Shares};
use crate::nice::{self, Priority};
use crate::query::QueryError;
use crate::{appendable, arrow_schema, batch, view};

/// How often the child looks whether its parent is still there and its time not over.
const LOOK: Duration = Duration::from_millis(100);
/// What DuckDB may take of the process' memory, in percent: the rest is for what it does not count.
const ENGINE_SHARE: u64 = 70;

/// The body of the hidden subcommand `query-process`: one statement, then the process ends.
///
/// It must be called before anything else in the process, whose limits it lowers for good.
pub fn run_child() -> ExitCode {
    match answer_one(io::stdin().lock(), io::BufWriter::new(io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        // Nobody listens any more.
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer_one(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    nice::lower_this_thread(Priority::Lowest);
    let result = match serve(&mut input, &mut output) {
        Err(Failure::Io(error)) => return Err(error),
        Err(Failure::Query(error)) => {
            let (tag, text) = match error {
                QueryError::Statement(text) | QueryError::NotOneSelect(text) => (answer::STATEMENT, text),
                QueryError::Memory(text) => (answer::MEMORY, text),
                other => (answer::BROKEN, other.to_string()),
            };
            write_frame(&mut output, tag, text.as_bytes())
        }
        Ok(()) => Ok(()),
    };
    result.and_then(|()| output.flush())
}

enum Failure {
    Io(io::Error),
    Query(QueryError),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::Query(error)
    }
}

impl From<duckdb::Error> for Failure {
    fn from(error: duckdb::Error) -> Self {
        Self::Query(Fault::from(error).into())
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Query(fault.into())
    }
}

fn broken(text: impl ToString) -> Failure {
    Failure::Query(QueryError::Store(text.to_string()))
}

fn serve(input: &mut impl Read, output: &mut impl Write) -> Result<(), Failure> {
    let (tag, head) = read_frame(input)?;
    let head: Head = serde_json::from_slice(&head).map_err(broken)?;
    if tag != ask::HEAD || head.version != VERSION {
        return Err(broken("it was asked by another build"));
    }
    limit(&head)?;
    let shares = Shares { memory_bytes: head.memory_bytes / 100 * ENGINE_SHARE, threads: head.threads, spill: None };
    let connection = instance::open(&shares)?;
    instance::harden(&connection)?;
    load(&connection, input)?;
    view::check_one_select(&connection, &head.sql)?;
    answer_with(&connection, &head, output)
}

/// Sets the operating system's limits, and starts the thread that ends the process when its time
/// is over or its parent gone.
fn limit(head: &Head) -> Result<(), Failure> {
    let bytes = Some(head.memory_bytes);
    setrlimit(Resource::Data, Rlimit { current: bytes, maximum: bytes }).map_err(io::Error::from)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).map_err(io::Error::from)?;
    let parent = getppid();
    let end = Instant::now() + Duration::from_millis(head.time_millis);
    let watch = move || {
        while Instant::now() < end && getppid() == parent {
            std::thread::sleep(LOOK);
        }
        std::process::exit(1);
    };
    std::thread::Builder::new().name("watch".into()).spawn(watch)?;
    Ok(())
}

/// Takes in the tables until the word to run.
fn load(connection: &Connection, input: &mut impl Read) -> Result<(), Failure> {
    let mut table: Option<Table> = None;
    loop {
        let (tag, bytes) = read_frame(input)?;
        match (tag, &table) {
            (ask::RUN, _) => return Ok(()),
            (ask::TABLE, _) => {
                let next: Table = serde_json::from_slice(&bytes).map_err(broken)?;
                let columns: Vec<_> = next
                    .columns
                    .iter()
                    .map(|column| format!("{} {}", view::quoted(&column.name), column.kind))
                    .collect();
                let name = view::quoted(&next.name);
                connection.execute_batch(&format!("CREATE TABLE {name} ({})", columns.join(", ")))?;
                table = Some(next);
            }
            (ask::ROWS, Some(table)) => {
                let rows = batch::decode(bytes, &arrow_schema::of_answer(table)).map_err(broken)?;
                let mut appender = connection.appender(&table.name)?;
                for piece in appendable::pieces(&rows).map_err(broken)? {
                    appender.append_record_batch(piece)?;
                }
                appender.flush()?;
            }
            _ => return Err(broken("rows came before their table")),
        }
    }
}

fn answer_with(connection: &Connection, head: &Head, output: &mut impl Write) -> Result<(), Failure> {
    let mut statement = connection.prepare(&head.sql)?;
    let batches = statement.stream_arrow([])?;
    let mut gathered = Gathered::new(&batches.get_schema());
    write_frame(output, answer::SCHEMA, &batch::encode_schema(gathered.schema()))?;
    let mut left = head.max_rows.unwrap_or(u64::MAX);
    let mut truncated = false;
    for batch in batches {
        let mut batch = batch?;
        if batch.num_rows() as u64 > left {
            truncated = true;
            batch = batch.slice(0, left as usize);
        }
        left -= batch.num_rows() as u64;
        if let Some(full) = gathered.add(batch)? {
            write_frame(output, answer::ROWS, &batch::encode(&full).map_err(broken)?)?;
        }
        if truncated {
            break;
        }
    }
    if let Some(rest) = gathered.take()? {
        write_frame(output, answer::ROWS, &batch::encode(&rest).map_err(broken)?)?;
    }
    write_frame(output, answer::END, &[truncated.into()])?;
    Ok(())
}

fn write_frame(output: &mut impl Write, tag: u8, bytes: &[u8]) -> io::Result<()> {
    output.write_all(&frame_head(tag, bytes.len())?)?;
    output.write_all(bytes)
}

fn read_frame(input: &mut impl Read) -> io::Result<(u8, Bytes)> {
    let mut head = [0; 5];
    input.read_exact(&mut head)?;
    let (tag, length) = read_head(head)?;
    let mut bytes = vec![0; length];
    input.read_exact(&mut bytes)?;
    Ok((tag, bytes.into()))
}
