//! What a statement is, by its first words. DuckDB serialises only SELECT, so the heads of the others are read here.

use raftduck_model::limits::STATEMENT_BYTES;

use crate::token::{Kind, Token, tokens};

mod parse;

/// A statement that is served, and what its head says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Head {
    /// A query: SELECT, WITH, VALUES, FROM, TABLE, PIVOT-free. Its text, without the semicolon and without EXPLAIN.
    Select {
        /// The query's text, for DuckDB to parse.
        text: String,
        /// Whether only the plan is asked for.
        explain: bool,
    },
    /// SHOW TABLES.
    ShowTables,
    /// DESCRIBE t.
    Describe {
        /// The table's name.
        table: String,
    },
    /// CREATE TABLE.
    CreateTable(CreateTable),
    /// DROP TABLE.
    DropTable {
        /// The table's name.
        name: String,
        /// IF EXISTS.
        if_exists: bool,
    },
    /// ALTER TABLE … ADD COLUMN.
    AddColumn {
        /// The table's name.
        table: String,
        /// The column's name.
        column: String,
        /// Its definition from its name on (`c INTEGER DEFAULT 0`), for a scratch `CREATE TABLE x(…)`.
        definition: String,
        /// IF NOT EXISTS.
        if_not_exists: bool,
    },
    /// INSERT INTO … VALUES.
    InsertValues {
        /// The table's name.
        table: String,
        /// The columns named; none where the statement names none.
        columns: Option<Vec<String>>,
        /// From VALUES on, for DuckDB to parse as a query.
        values: String,
    },
}

/// CREATE TABLE's head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateTable {
    /// The statement without PARTITIONED BY, WITH and IF NOT EXISTS, with the bare name, for a scratch DuckDB.
    pub bare: String,
    /// The table's name.
    pub name: String,
    /// IF NOT EXISTS.
    pub if_not_exists: bool,
    /// PARTITIONED BY's column; none where the clause is missing: the first column is the key.
    pub partition_key: Option<String>,
}

/// Why a statement is not served.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HeadError {
    /// Nothing but blanks.
    #[error("the statement is empty")]
    Empty,
    /// Beyond [`STATEMENT_BYTES`].
    #[error("a statement has at most {STATEMENT_BYTES} bytes, this one has {0}: send rows to /v1/tables/<table>/rows")]
    TooLong(usize),
    /// More than one statement.
    #[error("at byte {offset}: one statement at a time")]
    Several {
        /// Where the second begins, in bytes.
        offset: usize,
    },
    /// A head that does not follow the grammar.
    #[error("at byte {offset}: {expected} expected")]
    Syntax {
        /// Where, in bytes.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A statement that is not served, whatever its rest.
    #[error("{what} is not supported: {advice}")]
    Refused {
        /// The kind of statement or clause.
        what: String,
        /// What to do instead.
        advice: &'static str,
        /// Where it stands, in bytes.
        offset: usize,
    },
}

impl HeadError {
    /// Where in the statement the trouble is, in bytes, where it is anywhere.
    pub fn offset(&self) -> Option<usize> {
        match self {
            Self::Empty | Self::TooLong(_) => None,
            Self::Several { offset } | Self::Syntax { offset, .. } | Self::Refused { offset, .. } => Some(*offset),
        }
    }
}

/// Says what a statement is, or why it is not served.
pub fn classify(sql: &str) -> Result<Head, HeadError> {
    if sql.len() > STATEMENT_BYTES {
        return Err(HeadError::TooLong(sql.len()));
    }
    let all = tokens(sql);
    if let Some(bad) = all.iter().find(|token| token.kind == Kind::Unclosed || token.text.contains('\0')) {
        let expected = "the end of a quote or comment that begins here";
        return Err(HeadError::Syntax { offset: bad.offset, expected });
    }
    let tokens: Vec<Token<'_>> = all.into_iter().filter(|token| token.kind != Kind::Blank).collect();
    let end = tokens.iter().position(|token| token.is_symbol(';')).unwrap_or(tokens.len());
    if let Some(second) = tokens.iter().skip(end).find(|token| !token.is_symbol(';')) {
        return Err(HeadError::Several { offset: second.offset });
    }
    let text = sql.get(..tokens.get(end).map_or(sql.len(), |semicolon| semicolon.offset)).unwrap_or(sql);
    parse::Parser::new(text, tokens.get(..end).unwrap_or_default()).statement()
}

#[cfg(test)]
mod tests;
