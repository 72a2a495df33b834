//! Who may do what: bearer tokens, several at once, each with a role.
//!
//! A tokens file holds one `token role` a line, the role being `read`, `write` or `admin`; a token alone is an
//! `admin`'s. Blank lines and lines that begin with `#` are passed over. The file is read again when it changes, so a
//! token is replaced without a restart: add the new one, change the clients, take the old one out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use parking_lot::RwLock;
use subtle::ConstantTimeEq;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::problem::{Code, Problem};

/// How often a tokens file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What a tokens file may have, in bytes: ten thousand tokens.
const FILE_BYTES: u64 = 1 << 20;

/// What a token's bearer may do; each role may do what those before it may.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// SELECT, and look at tables, cluster and metrics.
    Read,
    /// Write rows.
    Write,
    /// CREATE, DROP and ALTER.
    Admin,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Lets a request pass whose role is at least `needed`.
    ///
    /// # Errors
    /// 403 for others.
    pub fn require(self, needed: Self) -> Result<(), Problem> {
        if self >= needed {
            return Ok(());
        }
        let detail = format!("this needs a token of the role {}, the one sent is of {}", needed.name(), self.name());
        Err(Problem::new(Code::Forbidden, detail))
    }
}

/// Why there are no tokens. None of them says a token's text.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The file cannot be read.
    #[error("the tokens file {file} cannot be read")]
    Read {
        /// Which.
        file: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line that is none.
    #[error("line {line} of the tokens: {reason}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// No token at all: then nobody could do anything.
    #[error("the tokens file holds no token: write one `token role` a line")]
    Empty,
}

/// The tokens that are valid now.
#[derive(Clone)]
pub struct Auth {
    /// None where everybody may do anything.
    tokens: Arc<RwLock<Option<Tokens>>>,
    fixed: Option<String>,
    file: Option<PathBuf>,
}

type Tokens = Vec<(String, Role)>;

impl Auth {
    /// A single admin's token, a file of tokens, both, or with neither anybody.
    ///
    /// # Errors
    /// Where the file is none of tokens.
    pub fn load(token: Option<&str>, file: Option<&Path>) -> Result<Self, TokensError> {
        let fixed = token.map(str::to_owned);
        let mut tokens = None;
        if let Some(file) = file {
            tokens = Some(parse(&read(file)?)?);
        }
        let auth = Self { tokens: Arc::default(), fixed, file: file.map(Path::to_owned) };
        auth.set(tokens);
        Ok(auth)
    }

    fn set(&self, tokens: Option<Tokens>) {
        let fixed = self.fixed.iter().map(|token| (token.clone(), Role::Admin));
        *self.tokens.write() = match (tokens, &self.fixed) {
            (None, None) => None,
            (tokens, _) => Some(tokens.into_iter().flatten().chain(fixed).collect()),
        };
    }

    /// Whether everybody may do anything.
    pub fn is_open(&self) -> bool {
        self.tokens.read().is_none()
    }

    /// The role of a request's bearer.
    ///
    /// # Errors
    /// 401 where it carries no token that is valid now.
    pub fn role(&self, headers: &HeaderMap) -> Result<Role, Problem> {
        let tokens = self.tokens.read();
        let Some(tokens) = tokens.as_ref() else { return Ok(Role::Admin) };
        let Some(sent) = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).and_then(bearer) else {
            return Err(Problem::new(Code::Unauthorized, "the request carries no token")
                .hint("send the header `Authorization: Bearer <token>`"));
        };
        let mut found = None;
        for (token, role) in tokens {
            // All are compared, each in a time that does not depend on where it differs.
            if token.as_bytes().ct_eq(sent).into() {
                found = found.max(Some(*role));
            }
        }
        found.ok_or_else(|| Problem::new(Code::Unauthorized, "the token is not known, or no longer"))
    }

    /// Reads the file again whenever it has changed. A file that cannot be used changes nothing.
    pub async fn follow(self) {
        let Some(file) = self.file.clone() else { return };
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known: Option<Result<String, String>> = None;
        loop {
            ticks.tick().await;
            let path = file.clone();
            let text = tokio::task::spawn_blocking(move || read(&path)).await;
            let Ok(text) = text else { continue };
            let text = text.map_err(|error| error.to_string());
            // The text, not the time of change: a Secret's files are links that are swapped.
            if known.as_ref() == Some(&text) {
                continue;
            }
            self.take(&text, known.is_none());
            known = Some(text);
        }
    }

    fn take(&self, text: &Result<String, String>, first: bool) {
        let parsed = text.as_ref().map_err(String::clone).and_then(|text| parse(text).map_err(|e| e.to_string()));
        match parsed {
            Ok(tokens) => {
                if !first {
                    info!(tokens = tokens.len(), "the tokens file changed");
                }
                self.set(Some(tokens));
            }
            Err(error) => warn!(%error, "the tokens file cannot be used: the tokens stay as they were"),
        }
    }
}

/// The scheme's name is compared without regard to case (RFC 9110, 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

fn read(file: &Path) -> Result<String, TokensError> {
    use std::io::Read;
    let error = |source| TokensError::Read { file: file.display().to_string(), source };
    let mut text = String::new();
    std::fs::File::open(file).map_err(error)?.take(FILE_BYTES).read_to_string(&mut text).map_err(error)?;
    Ok(text)
}

fn parse(text: &str) -> Result<Tokens, TokensError> {
    let mut tokens = Tokens::new();
    for (line, text) in (1..).zip(text.lines()) {
        let mut words = text.split_whitespace();
        let Some(token) = words.next().filter(|word| !word.starts_with('#')) else { continue };
        let role = match (words.next(), words.next()) {
            (None | Some("admin"), None) => Role::Admin,
            (Some("write"), None) => Role::Write,
            (Some("read"), None) => Role::Read,
            _ => {
                return Err(TokensError::Line {
                    line,
                    reason: "write `token role`, the role being read, write or admin",
                });
            }
        };
        if tokens.iter().any(|(known, _)| known == token) {
            return Err(TokensError::Line { line, reason: "this token stands above already" });
        }
        tokens.push((token.to_owned(), role));
    }
    if tokens.is_empty() { Err(TokensError::Empty) } else { Ok(tokens) }
}

#[cfg(test)]
mod tests;
