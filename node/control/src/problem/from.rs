//! Each operation's error to its problem, exhaustively: an error that is added must be given a code here.

use std::time::Duration;

use raftduck_model::meta::MetaError;

use super::{Code, Problem};
use crate::ingest::IngestError;
use crate::meta::ChangeError;
use crate::route::append::Failure;
use crate::route::{AppendError, Final, SplitError, Waiting};
use crate::scratch::NoTurn;

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        let detail = error.to_string();
        match error {
            IngestError::Value { row, column, .. } => Self::new(Code::BadValue, detail).row(row).column(column),
            IngestError::UnknownColumn { row, column, .. } => {
                let problem = Self::new(Code::NoSuchColumn, detail).row(row).column(column);
                problem.hint("leave it out, or add it with ALTER TABLE … ADD COLUMN")
            }
            IngestError::Syntax { row, .. } => Self::new(Code::BadBody, detail).row(row),
            IngestError::TooLarge { row } => Self::new(Code::TooLarge, detail).row(row),
            IngestError::Unsupported { column, .. } => Self::new(Code::BadValue, detail).column(column),
        }
    }
}

impl From<SplitError> for Problem {
    fn from(error: SplitError) -> Self {
        match &error {
            SplitError::RowTooLarge => Self::new(Code::TooLarge, error.to_string()).hint("split the row's long values"),
            SplitError::NoKey(column) => Self::new(Code::BadTable, error.to_string()).column(column),
            SplitError::Encode(_) | SplitError::Take(_) => Self::internal(&error),
        }
    }
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        let failures = || error.failed.iter().map(|(partition, failure)| (*partition, failure));
        let detail = error.to_string();
        let problem = if let Some((partition, reason)) = failures().find_map(|(partition, failure)| match failure {
            Failure::Final(reason) => Some((partition, reason)),
            Failure::NotWritten(_) | Failure::Unknown => None,
        }) {
            match reason {
                Final::KeyReused => {
                    Self::new(Code::KeyReused, "the Idempotency-Key was used for another body or another form of it")
                        .hint("repeat the first body under this key, or take a new key for new rows")
                }
                Final::TableDropped => Self::new(Code::TableDropped, "the table was dropped meanwhile"),
                Final::DiskFull(text) => Self::new(Code::DiskFull, format!("partition {partition}: {text}"))
                    .hint("give the workers larger volumes, or drop a table"),
                Final::Invalid(text) => {
                    Self::internal(&Odd(format!("partition {partition} cannot read the rows: {text}")))
                }
            }
        } else if failures().any(|(_, failure)| *failure == Failure::Unknown) {
            Self::new(Code::OutcomeUnknown, format!("{detail}; of others it is not known before the time was up"))
        } else if !error.written.is_empty() {
            Self::new(Code::PartlyWritten, format!("{detail} before the time was up"))
        } else {
            let busy = failures().find_map(|(_, failure)| match failure {
                Failure::NotWritten(Waiting::Busy { retry_after_ms }) => Some(*retry_after_ms),
                _ => None,
            });
            match busy {
                Some(wait) => Self::busy("too many rows wait at the partitions' leaders")
                    .retry_after(Duration::from_millis(wait.into())),
                None => Self::new(Code::NoLeader, "a partition's leader did not answer before the time was up")
                    .retry_after(Duration::from_secs(1))
                    .hint("nothing was written: send it again; a majority of the partition's stores must be up"),
            }
        };
        problem.partitions(&error.written, error.failed.keys().copied())
    }
}

impl From<MetaError> for Problem {
    fn from(error: MetaError) -> Self {
        let code = match &error {
            MetaError::OtherCluster { .. } | MetaError::BadBootstrap { .. } => Code::BadRequest,
            MetaError::NotBootstrapped => Code::NotReady,
            // Control asks for none of what these refuse.
            MetaError::Retired { .. }
            | MetaError::NoSuchStore { .. }
            | MetaError::TooFewStores { .. }
            | MetaError::RestartTaken { .. }
            | MetaError::WrongLevel { .. }
            | MetaError::StoresBehind { .. } => Code::BadRequest,
            MetaError::TableExists { .. } => Code::TableExists,
            MetaError::NoSuchTable { .. } => Code::NoSuchTable,
            MetaError::ColumnExists { .. } => Code::ColumnExists,
            MetaError::TooManyColumns { .. } | MetaError::TooManyTables { .. } | MetaError::Invalid { .. } => {
                Code::BadTable
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::Refused(error) => error.into(),
            ChangeError::NoLeader => Self::new(Code::NoLeader, detail).retry_after(Duration::from_secs(1)),
            ChangeError::Unknown => Self::new(Code::OutcomeUnknown, detail).hint("look with GET /v1/tables"),
            ChangeError::Encode(error) => Self::internal(&error),
        }
    }
}

impl From<NoTurn> for Problem {
    fn from(error: NoTurn) -> Self {
        Self::busy(error.to_string())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Odd(String);
