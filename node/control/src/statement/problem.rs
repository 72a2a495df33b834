//! A statement's error as the client sees it.

use std::time::Duration;

use super::StatementError;
use crate::problem::{Code, Problem};

/// When to come again after what passes by itself.
const SOON: Duration = Duration::from_secs(1);

impl From<StatementError> for Problem {
    fn from(error: StatementError) -> Self {
        let detail = match (error.to_string(), error.offset()) {
            (detail, Some(offset)) if !detail.starts_with("at byte") => format!("at byte {offset}: {detail}"),
            (detail, _) => detail,
        };
        match error {
            StatementError::Request(_) => Self::new(Code::BadRequest, detail),
            StatementError::Statement { .. } => Self::new(Code::BadStatement, detail),
            StatementError::Refused { advice, .. } if advice.is_empty() => Self::new(Code::NotSupported, detail),
            StatementError::Refused { advice, .. } => Self::new(Code::NotSupported, detail).hint(advice),
            StatementError::NoSuchTable { name, .. } => Self::no_such_table(&name),
            StatementError::Value { row, column, .. } => {
                let problem = Self::new(Code::BadValue, detail).row(row.unwrap_or(0));
                match column {
                    Some(column) => problem.column(column),
                    None => problem,
                }
            }
            StatementError::Change(error) => error.into(),
            StatementError::Split(error) => error.into(),
            StatementError::Append(error) => error.into(),
            StatementError::NotReady => Self::not_ready(),
            StatementError::NoQuorum(_) => Self::new(Code::NoLeader, detail)
                .retry_after(SOON)
                .hint("send it again: it passes once a majority of every partition's stores is up"),
            StatementError::Partial { missing, .. } => Self::new(Code::PartitionsMissing, detail)
                .partitions(&[], missing)
                .retry_after(SOON)
                .hint("send it again, or with \"partial\": \"allow\" for an answer without them"),
            StatementError::Resources(_) => {
                Self::new(Code::OutOfMemory, detail).hint("ask for fewer rows or columns, or try again later")
            }
            StatementError::Busy => Self::busy(detail),
            StatementError::Timeout { .. } => {
                Self::new(Code::StatementTimeout, detail).hint("ask for less, or send a larger timeout_ms")
            }
            StatementError::Internal(_) => Self::internal(&error),
        }
    }
}
