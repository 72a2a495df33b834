//! Why a statement has no answer, sorted by what its sender can do about it.

use raftduck_engine::{CreateError, ParseError, ProcessError, QueryError, ScratchError};
use raftduck_model::PartitionId;
use raftduck_sql::{BindError, CheckError, HeadError, PlanError, TreeError};

use crate::meta::ChangeError;
use crate::route::{AppendError, SplitError};
use crate::scratch::NoTurn;

/// Why a statement has no answer. Except under [`StatementError::Append`], nothing of it was written.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// The request around the statement.
    #[error("{0}")]
    Request(String),
    /// The statement's own fault.
    #[error("{detail}")]
    Statement {
        /// DuckDB's words or ours.
        detail: String,
        /// Where in the request's SQL, in bytes, where that is known.
        offset: Option<usize>,
    },
    /// Legal SQL that is not served.
    #[error("{what}")]
    Refused {
        /// What is refused.
        what: String,
        /// What to do instead.
        advice: String,
        /// Where in the request's SQL, in bytes, where that is known.
        offset: Option<usize>,
    },
    /// It names a table that is not there.
    #[error("there is no table {name:?}")]
    NoSuchTable {
        /// The name.
        name: String,
        /// Where in the request's SQL, in bytes, where that is known.
        offset: Option<usize>,
    },
    /// A value that its column does not take.
    #[error("{detail}")]
    Value {
        /// What was found.
        detail: String,
        /// The row of VALUES, from 1, where that is known.
        row: Option<u64>,
        /// The column, where that is known.
        column: Option<String>,
    },
    /// The catalog was not changed, or may not have been.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The rows of an INSERT cannot be split by their keys.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// Not all rows of an INSERT are known to be in.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// No store can answer for any partition now.
    #[error("{0}")]
    NoQuorum(String),
    /// This control knows of no cluster yet.
    #[error("no store has told the cluster's map yet")]
    NotReady,
    /// Some partitions cannot answer, and the request wants all or nothing.
    #[error("{} of {total} partitions cannot answer now", missing.len())]
    Partial {
        /// Those that cannot.
        missing: Vec<PartitionId>,
        /// How many there are.
        total: u32,
    },
    /// It takes more than it may have: memory, or a turn among too many others.
    #[error("{0}")]
    Resources(String),
    /// Too many statements wait for their turn here.
    #[error("too many statements wait for their turn")]
    Busy,
    /// Its time ran out.
    #[error("the statement was given up after {millis} ms")]
    Timeout {
        /// The time it had.
        millis: u64,
    },
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl StatementError {
    /// Where in the request's SQL the trouble is, in bytes.
    pub fn offset(&self) -> Option<usize> {
        match self {
            Self::Statement { offset, .. } | Self::Refused { offset, .. } | Self::NoSuchTable { offset, .. } => *offset,
            _ => None,
        }
    }

    /// The same for a text that begins `by` bytes into the request's SQL.
    pub(super) fn shifted(mut self, by: usize) -> Self {
        if let Self::Statement { offset, .. } | Self::Refused { offset, .. } | Self::NoSuchTable { offset, .. } =
            &mut self
        {
            *offset = offset.map(|offset| offset.saturating_add(by));
        }
        self
    }

    pub(super) fn statement(detail: impl Into<String>) -> Self {
        Self::Statement { detail: without_echo(&detail.into()).to_owned(), offset: None }
    }
}

/// DuckDB's message without the excerpt of the statement below it, which may be one that we rewrote.
fn without_echo(message: &str) -> &str {
    message.split("\n\nLINE ").next().unwrap_or(message).trim_end()
}

impl From<HeadError> for StatementError {
    fn from(error: HeadError) -> Self {
        let offset = error.offset();
        match error {
            HeadError::Refused { what, advice, .. } => {
                Self::Refused { what: format!("{what} is not supported"), advice: advice.to_owned(), offset }
            }
            error => Self::Statement { detail: error.to_string(), offset },
        }
    }
}

impl From<TreeError> for StatementError {
    fn from(error: TreeError) -> Self {
        match error {
            TreeError::Statement { message, offset } => Self::Statement { detail: message, offset },
            error => Self::Statement { detail: error.to_string(), offset: None },
        }
    }
}

impl From<CheckError> for StatementError {
    fn from(error: CheckError) -> Self {
        let offset = error.offset();
        match error {
            CheckError::NoSuchTable { name, offset } => Self::NoSuchTable { name, offset },
            CheckError::Unsupported { what, advice, .. } => Self::Refused {
                what: format!("{what} is not supported"),
                advice: advice.trim_start_matches([':', ' ']).to_owned(),
                offset,
            },
            error => Self::Refused { what: error.to_string(), advice: String::new(), offset },
        }
    }
}

impl From<BindError> for StatementError {
    fn from(error: BindError) -> Self {
        Self::Request(error.to_string())
    }
}

impl From<PlanError> for StatementError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::NoPartitions => Self::NotReady,
            PlanError::Unavailable | PlanError::TableGone => Self::NoQuorum(error.to_string()),
        }
    }
}

impl From<NoTurn> for StatementError {
    fn from(_: NoTurn) -> Self {
        Self::Busy
    }
}

impl From<ScratchError> for StatementError {
    fn from(error: ScratchError) -> Self {
        Self::from(QueryError::from(error))
    }
}

impl From<ParseError> for StatementError {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Statement(detail) => Self::statement(detail),
            ParseError::Scratch(error) => error.into(),
        }
    }
}

impl From<CreateError> for StatementError {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Statement(detail) => Self::statement(detail),
            CreateError::Refused { what, advice } => {
                Self::Refused { what: format!("{what} is not supported"), advice: advice.to_owned(), offset: None }
            }
            CreateError::Scratch(error) => error.into(),
        }
    }
}

impl From<QueryError> for StatementError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Statement(detail) => Self::statement(detail),
            QueryError::NotOneSelect(_) => Self::statement(error.to_string()),
            QueryError::Busy | QueryError::Timeout | QueryError::Memory(_) => Self::Resources(error.to_string()),
            QueryError::Store(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<ProcessError> for StatementError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Statement(detail) => Self::statement(detail),
            ProcessError::Killed(_) | ProcessError::Timeout => Self::Resources(error.to_string()),
            ProcessError::Io(source) => Self::Internal(format!("the query process failed: {source}")),
            ProcessError::Broken(_) => Self::Internal(error.to_string()),
        }
    }
}
