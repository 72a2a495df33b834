//! A DuckDB in memory that parses SQL, reads column types, and evaluates constants. It holds no
//! data and reaches no file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use duckdb::Connection;
use parking_lot::Mutex;
use raftduck_model::table::HIDDEN_COLUMNS;
use raftduck_model::{Column, ColumnType};

use crate::fault::Fault;
use crate::instance::{self, Shares};
use crate::literal::{self, LiteralError};
use crate::nice::{self, Priority};
use crate::query::QueryError;
use crate::running::Running;
use crate::view;

/// What one scratch instance may hold in memory.
const MEMORY_BYTES: u64 = 256 << 20;
/// How long one call may take: parsing the longest statement takes a tenth of it.
const LONGEST: Duration = Duration::from_secs(5);
/// DuckDB's parser and binder recurse with the statement's depth.
const STACK_BYTES: usize = 64 << 20;

/// Why a scratch instance could not do its work.
#[derive(Debug, thiserror::Error)]
#[error("the scratch database failed: {0}")]
pub struct ScratchError(pub Fault);

/// Why a statement's tree could not be had.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// The statement's fault.
    #[error("{0}")]
    Statement(String),
    /// The engine's.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
}

/// Why a CREATE TABLE makes no table here.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// DuckDB refuses it.
    #[error("{0}")]
    Statement(String),
    /// It has a part that a replicated table cannot have.
    #[error("{what} is not supported: {advice}")]
    Refused {
        /// Which part.
        what: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// The engine failed.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
}

impl From<ScratchError> for QueryError {
    fn from(error: ScratchError) -> Self {
        error.0.into()
    }
}

/// An in-memory DuckDB without data. Calls take turns; each is bounded in time and memory.
pub struct Scratch {
    connection: Mutex<Connection>,
    running: Arc<Running>,
}

impl Scratch {
    /// Opens one.
    ///
    /// # Errors
    /// Where DuckDB cannot start.
    pub fn open() -> Result<Self, ScratchError> {
        let connection = open_instance()?;
        let running = Running::start().map_err(|error| ScratchError(Fault::Storage(error.to_string())))?;
        Ok(Self { connection: Mutex::new(connection), running })
    }

    /// The tree of a SELECT, as `json_serialize_sql` writes it; a statement that cannot be parsed
    /// gives a tree that says so.
    ///
    /// # Errors
    /// Where DuckDB fails otherwise.
    pub fn parse(&self, sql: &str) -> Result<String, ParseError> {
        self.text("SELECT json_serialize_sql(?)", sql)
    }

    /// The SELECT of a tree.
    ///
    /// # Errors
    /// Where the tree is none.
    pub fn unparse(&self, tree: &str) -> Result<String, ParseError> {
        self.text("SELECT json_deserialize_sql(CAST(? AS JSON))", tree)
    }

    fn text(&self, sql: &str, argument: &str) -> Result<String, ParseError> {
        self.bounded(|connection| {
            connection.query_row(sql, [argument], |row| row.get(0)).map_err(|error| match error.into() {
                Fault::Statement(text) => ParseError::Statement(text),
                Fault::Interrupted => ParseError::Statement("it takes too long to parse".into()),
                fault => ScratchError(fault).into(),
            })
        })
    }

    /// The rows of one VALUES or SELECT over constants, evaluated once. The caller has made sure
    /// that no function in it can make more of its input than the input is.
    ///
    /// # Errors
    /// Where the statement is not one SELECT or cannot be evaluated.
    pub fn evaluate_values(&self, sql: &str) -> Result<RecordBatch, QueryError> {
        self.bounded(|connection| {
            view::check_one_select(connection, sql)?;
            let of = |error: duckdb::Error| QueryError::from(Fault::from(error));
            let mut statement = connection.prepare(sql).map_err(of)?;
            let batches = statement.stream_arrow([]).map_err(of)?;
            let schema = batches.get_schema();
            let batches = batches.collect::<Result<Vec<_>, _>>().map_err(of)?;
            concat_batches(&schema, &batches).map_err(|error| QueryError::Store(error.to_string()))
        })
    }

    /// The columns of a bare `CREATE TABLE name (…)`, as DuckDB reads them. It runs in an instance
    /// of its own, so that nothing in it outlives the call.
    ///
    /// # Errors
    /// Where DuckDB or the design refuses the table.
    pub fn columns_of_create(&self, sql: &str) -> Result<Vec<Column>, CreateError> {
        let instance = open_instance()?;
        bounded(&instance, &self.running, |connection| columns(connection, sql))
    }

    /// Waits for its turn, then runs the work with a deadline.
    fn bounded<T: Send, E: Send + From<ScratchError>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send,
    ) -> Result<T, E> {
        let connection = self.connection.lock();
        let clone = connection.try_clone().map_err(|error| ScratchError(error.into()))?;
        bounded(&clone, &self.running, work)
    }
}

fn open_instance() -> Result<Connection, ScratchError> {
    let shares = Shares { memory_bytes: MEMORY_BYTES, threads: 1, spill: None };
    let connection = instance::open(&shares).map_err(ScratchError)?;
    instance::harden(&connection).map_err(ScratchError)?;
    Ok(connection)
}

/// Runs the work on a thread with a stack for deep statements, and interrupts it at the deadline.
fn bounded<T: Send, E: Send + From<ScratchError>>(
    connection: &Connection,
    running: &Arc<Running>,
    work: impl FnOnce(&Connection) -> Result<T, E> + Send,
) -> Result<T, E> {
    let failed = |text: &str| E::from(ScratchError(Fault::Storage(text.to_owned())));
    let clone = connection.try_clone().map_err(|error| E::from(ScratchError(error.into())))?;
    let registered = running.register(Instant::now() + LONGEST);
    registered.0.runs_on(&clone);
    std::thread::scope(|scope| {
        let body = move || {
            nice::lower_this_thread(Priority::Lowest);
            work(&clone)
        };
        let thread = std::thread::Builder::new().name("scratch".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, body).map_err(|error| failed(&error.to_string()))?;
        thread.join().unwrap_or_else(|_| Err(failed("it ended by a panic")))
    })
}

fn columns(connection: &Connection, sql: &str) -> Result<Vec<Column>, CreateError> {
    let of = |error: duckdb::Error| match Fault::from(error) {
        Fault::Statement(text) | Fault::Memory(text) => CreateError::Statement(text),
        Fault::Interrupted => CreateError::Statement("it takes too long".into()),
        fault => ScratchError(fault).into(),
    };
    connection.execute_batch(sql).map_err(of)?;
    check_constraints(connection).map_err(of)??;

    let mut statement = connection
        .prepare(
            "SELECT column_name, data_type, is_nullable, column_default FROM duckdb_columns()
             WHERE database_name = 'memory' AND NOT internal ORDER BY table_oid, column_index",
        )
        .map_err(of)?;
    let rows = statement
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get::<_, Option<String>>(3)?))
        })
        .map_err(of)?;
    let mut columns = Vec::new();
    for row in rows {
        let (name, kind, nullable, default) = row.map_err(of)?;
        if HIDDEN_COLUMNS.iter().any(|hidden| hidden.eq_ignore_ascii_case(&name)) {
            return Err(CreateError::Refused {
                what: format!("a column {name:?}"),
                advice: "the name is Raftduck's own, take another",
            });
        }
        let kind: ColumnType = kind.parse().map_err(|error: raftduck_model::column::TypeError| {
            CreateError::Statement(format!("column {name:?}: {error}"))
        })?;
        let default = default.filter(|text| !text.eq_ignore_ascii_case("NULL"));
        if let Some(text) = &default {
            literal::value(connection, text, &kind).map_err(|error| default_error(&name, error))?;
        }
        columns.push(Column { name, kind, nullable, default });
    }
    Ok(columns)
}

fn default_error(column: &str, error: LiteralError) -> CreateError {
    match error {
        LiteralError::NotConstant(text) => CreateError::Refused {
            what: format!("DEFAULT {text} of column {column:?}"),
            advice: "a default must be a constant, as every replica evaluates it; send the value with the row",
        },
        error => CreateError::Statement(format!("the default of column {column:?}: {error}")),
    }
}

/// Refuses all that would make a row depend on other rows or on when it is read.
fn check_constraints(connection: &Connection) -> Result<Result<(), CreateError>, duckdb::Error> {
    let refused = |what: &str, advice| Ok(Err(CreateError::Refused { what: what.to_owned(), advice }));
    let (tables, others): (u64, u64) = connection.query_row(
        "SELECT (SELECT count(*) FROM duckdb_tables() WHERE NOT internal),
                (SELECT count(*) FROM duckdb_views() WHERE NOT internal) + (SELECT count(*) FROM duckdb_sequences())
                + (SELECT count(*) FROM duckdb_indexes()) + (SELECT count(*) FROM duckdb_types() WHERE NOT internal)",
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    if tables != 1 || others != 0 {
        return refused("more than one CREATE TABLE", "write one table in one statement");
    }
    let constraint: Option<String> = connection.query_row(
        "SELECT min(constraint_type) FROM duckdb_constraints() WHERE constraint_type <> 'NOT NULL'",
        [],
        |row| row.get(0),
    )?;
    match constraint.as_deref() {
        None => {}
        Some(kind @ ("PRIMARY KEY" | "UNIQUE")) => {
            return refused(
                kind,
                "leave it out; send an Idempotency-Key with your rows, and a retry writes nothing twice",
            );
        }
        Some(kind) => return refused(kind, "leave it out and check the rows before you send them"),
    }
    let (sql, rows): (String, u64) =
        connection.query_row("SELECT sql, estimated_size FROM duckdb_tables() WHERE NOT internal", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if rows > 0 {
        return refused("CREATE TABLE … AS SELECT", "create the table, then insert the rows");
    }
    if sql.contains("GENERATED ALWAYS AS") {
        return refused("a generated column", "compute it in your queries, or send its value with the row");
    }
    Ok(Ok(()))
}

#[cfg(test)]
#[path = "tests/scratch.rs"]
mod tests;
