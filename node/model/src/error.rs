//! Errors as text.

use std::error::Error;

/// An error and what caused it, outermost first, in one line.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the log cannot be opened")]
    struct Open(#[source] Read);

    #[derive(Debug, thiserror::Error)]
    #[error("its head cannot be read")]
    struct Read(#[source] io::Error);

    #[test]
    fn every_cause_is_named_once_and_outermost_first() {
        let cause = io::Error::other("the volume is gone");
        assert_eq!(error_chain(&cause), "the volume is gone");
        let error = Open(Read(cause));
        assert_eq!(error_chain(&error), "the log cannot be opened: its head cannot be read: the volume is gone");
    }
}
