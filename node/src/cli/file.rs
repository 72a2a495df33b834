//! The TOML file of `--config`: its keys are the long names of the command's flags.
//!
//! Its values become the flags' defaults before the command line is parsed, so clap validates all three sources alike
//! and the order of precedence is clap's: flag, environment, then default.

use std::path::{Path, PathBuf};

use clap::Command;
use toml::Value;

/// Why a configuration file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration file {} is not TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A key that is no flag.
    #[error("{}: there is no setting {key:?}; the nearest is {nearest:?}", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// As written.
        key: String,
        /// The flag that looks most like it.
        nearest: String,
    },
    /// A value that no flag can have.
    #[error("{}: {key:?} must be text, a number, true, false or a list of those", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// Whose value.
        key: String,
    },
}

/// `command` with the file's values as the defaults of the subcommand `verb`.
///
/// # Errors
/// Where the file cannot be read, or says something that no flag of `verb` does.
pub fn apply(command: Command, verb: &str, path: &Path) -> Result<Command, FileError> {
    let text = std::fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    let table: toml::Table = toml::from_str(&text)
        .map_err(|source| FileError::Syntax { path: path.to_owned(), source: Box::new(source) })?;
    table.iter().try_fold(command, |command, (key, value)| set(command, verb, path, key, value))
}

fn set(command: Command, verb: &str, path: &Path, key: &str, value: &Value) -> Result<Command, FileError> {
    let flag = key.replace('_', "-");
    let values = texts(value).ok_or_else(|| FileError::BadValue { path: path.to_owned(), key: key.to_owned() })?;
    let id_in = |command: &Command| {
        let arg = command.get_arguments().find(|arg| arg.get_long() == Some(flag.as_str()))?;
        Some(arg.get_id().to_string())
    };
    let with_default = move |arg: clap::Arg| arg.required(false).default_values(values);
    if let Some(id) = id_in(&command).filter(|id| id != "config") {
        return Ok(command.mut_arg(id, with_default));
    }
    match command.find_subcommand(verb).and_then(id_in) {
        Some(id) => Ok(command.mut_subcommand(verb, |sub| sub.mut_arg(id, with_default))),
        None => Err(FileError::UnknownKey {
            path: path.to_owned(),
            key: key.to_owned(),
            nearest: nearest(&command, verb, &flag),
        }),
    }
}

/// The value as clap would find it on the command line, a list as one text for each element.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(items) => items.iter().map(|item| Some(texts(item)?.concat())).collect(),
        Value::String(text) => Some(vec![text.clone()]),
        Value::Integer(number) => Some(vec![number.to_string()]),
        Value::Float(number) => Some(vec![number.to_string()]),
        Value::Boolean(flag) => Some(vec![flag.to_string()]),
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

fn nearest(command: &Command, verb: &str, flag: &str) -> String {
    let below = command.find_subcommand(verb).into_iter().flat_map(Command::get_arguments);
    let names = command.get_arguments().chain(below).filter(|arg| !arg.is_hide_set()).filter_map(clap::Arg::get_long);
    names.min_by_key(|name| distance(name, flag)).unwrap_or_default().to_owned()
}

/// How many characters to insert, remove or replace (Levenshtein's distance, Wagner-Fischer's table by rows).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (pair, y) in row.windows(2).zip(&b) {
            if let [diagonal, above] = pair {
                left = (left + 1).min(above + 1).min(diagonal + usize::from(x != *y));
                next.push(left);
            }
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_single_changes() {
        assert_eq!(distance("memory", "memory"), 0);
        assert_eq!(distance("memory", "memroy"), 2);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("threads", "thread"), 1);
    }
}
