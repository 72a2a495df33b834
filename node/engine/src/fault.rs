//! What a DuckDB error means to whoever must go on after it.

/// An error of DuckDB's, by what must follow. [`std::fmt::Display`] is DuckDB's own text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The statement or the data is at fault: the same again fails again, here and everywhere.
    #[error("{0}")]
    Statement(String),
    /// The memory or spill limit is reached: it may pass once others have finished.
    #[error("{0}")]
    Memory(String),
    /// Somebody interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// The file, the disk or the engine itself failed: nothing may be assumed about the store.
    #[error("{0}")]
    Storage(String),
}

impl From<duckdb::Error> for Fault {
    fn from(error: duckdb::Error) -> Self {
        Self::from_text(error.to_string())
    }
}

impl Fault {
    /// Sorts an error by the class that DuckDB writes before its message
    /// (`Exception::ExceptionTypeToString`). A class that is not known to be the statement's or the
    /// data's fault counts as the store's, so that nothing is ever skipped by mistake.
    pub(crate) fn from_text(text: String) -> Self {
        const STATEMENT: [&str; 16] = [
            "Constraint Error",
            "Conversion Error",
            "Out of Range Error",
            "Binder Error",
            "Catalog Error",
            "Parser Error",
            "Syntax Error",
            "Invalid Input Error",
            "Mismatch Type Error",
            "Invalid type Error",
            "Not implemented Error",
            "Permission Error",
            "Expression Error",
            "Decimal Error",
            "Divide by Zero Error",
            "Parameter Not Allowed Error",
        ];
        let is = |class: &str| text.starts_with(class);
        if is("INTERRUPT Error") {
            Self::Interrupted
        } else if is("Out of Memory Error") {
            Self::Memory(text)
        } else if is("Invalid Input Error") && text.contains("Attempting to execute an unsuccessful") {
            Self::Storage(text)
        } else if STATEMENT.into_iter().any(is) || is("TransactionContext Error: Cannot write to database") {
            Self::Statement(text)
        } else {
            Self::Storage(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_class_is_the_stores_fault() {
        assert_eq!(Fault::from_text("INTERRUPT Error: Interrupted!".into()), Fault::Interrupted);
        let of = |text: &str| Fault::from_text(text.into());
        assert!(matches!(of("Out of Memory Error: failed to pin block"), Fault::Memory(_)));
        assert!(matches!(of("Constraint Error: NOT NULL"), Fault::Statement(_)));
        for text in
            ["IO Error: no space", "FATAL Error: invalidated", "INTERNAL Error: x", "Serialization Error: x", "new"]
        {
            assert!(matches!(of(text), Fault::Storage(_)), "{text}");
        }
    }
}
