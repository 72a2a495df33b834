//! SQL's lexical elements, as far as statements' heads need them.

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Spaces and comments.
    Blank,
    /// A bare word: a keyword or a name.
    Word,
    /// A name in double quotes.
    Quoted,
    /// Text in single quotes (`'…'`, `E'…'`, `X'…'`) or dollar quotes.
    Text,
    /// A number.
    Number,
    /// `$1`, `$name` or `?`.
    Parameter,
    /// One character of anything else.
    Symbol,
    /// A quote or comment that is never closed: the rest of the input.
    Unclosed,
}

/// A piece of the statement. All tokens in a row are the statement again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its text, quotes and all.
    pub text: &'a str,
    /// Where it begins, in bytes.
    pub offset: usize,
}

impl Token<'_> {
    /// Whether it is this bare word, in whatever case.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    /// Whether it is this symbol.
    pub fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol && self.text.starts_with(symbol)
    }

    /// The name it gives, without its quotes; none where it is no name.
    pub fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_owned()),
            Kind::Quoted => Some(self.text.get(1..self.text.len() - 1)?.replace("\"\"", "\"")),
            _ => None,
        }
    }
}

/// Cuts a statement into tokens. Never fails: what makes no sense is a [`Kind::Symbol`] or [`Kind::Unclosed`].
pub fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut offset = 0;
    while let Some(rest) = sql.get(offset..).filter(|rest| !rest.is_empty()) {
        let (kind, length) = next(rest);
        tokens.push(Token { kind, text: rest.get(..length).unwrap_or(rest), offset });
        offset += length;
    }
    tokens
}

/// The kind and the length in bytes, at least one character, of the token that `rest` begins with.
fn next(rest: &str) -> (Kind, usize) {
    let Some(first) = rest.chars().next() else { return (Kind::Blank, 0) };
    let tail = |skip: usize| rest.get(skip..).unwrap_or_default();
    let second = tail(first.len_utf8()).chars().next();
    match (first, second) {
        (c, _) if c.is_whitespace() => (Kind::Blank, span(rest, char::is_whitespace)),
        ('-', Some('-')) => (Kind::Blank, rest.find(['\n', '\r']).map_or(rest.len(), |end| end + 1)),
        ('/', Some('*')) => comment(rest),
        ('\'', _) => quoted(rest, 1, '\'', false, Kind::Text),
        ('"', _) => match quoted(rest, 1, '"', false, Kind::Quoted) {
            (Kind::Quoted, 2) => (Kind::Unclosed, rest.len()), // DuckDB knows no empty name
            token => token,
        },
        ('e' | 'E', Some('\'')) => quoted(rest, 2, '\'', true, Kind::Text),
        ('x' | 'X' | 'b' | 'B', Some('\'')) => quoted(rest, 2, '\'', false, Kind::Text),
        ('$', _) => dollar(rest),
        ('?', _) => (Kind::Parameter, 1 + span(tail(1), |c| c.is_ascii_digit())),
        (c, second) if c.is_ascii_digit() || (c == '.' && second.is_some_and(|c| c.is_ascii_digit())) => {
            (Kind::Number, number(rest))
        }
        (c, _) if is_word(c) => (Kind::Word, span(rest, |c| is_word(c) || c.is_ascii_digit() || c == '$')),
        (c, _) => (Kind::Symbol, c.len_utf8()),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || (!c.is_ascii() && !c.is_whitespace())
}

fn span(text: &str, inside: impl Fn(char) -> bool) -> usize {
    text.find(|c| !inside(c)).unwrap_or(text.len())
}

/// A comment in `/* */`, which may hold others.
fn comment(rest: &str) -> (Kind, usize) {
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(pair) = bytes.get(at..at + 2) {
        match pair {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" if depth == 1 => return (Kind::Blank, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    (Kind::Unclosed, rest.len())
}

/// A quoted token whose opening takes `skip` bytes; a doubled quote stands for one, and so does one behind a
/// backslash where `escapes`.
fn quoted(rest: &str, skip: usize, quote: char, escapes: bool, kind: Kind) -> (Kind, usize) {
    let mut characters = rest.char_indices().skip(skip).peekable();
    while let Some((at, character)) = characters.next() {
        if escapes && character == '\\' {
            characters.next();
        } else if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
            return (kind, at + 1);
        }
    }
    (Kind::Unclosed, rest.len())
}

/// `$1`, `$name`, or text between `$tag$` and `$tag$`.
fn dollar(rest: &str) -> (Kind, usize) {
    let body = rest.get(1..).unwrap_or_default();
    let name = span(body, |c| is_word(c) || c.is_ascii_digit());
    if !body.starts_with(|c: char| c.is_ascii_digit()) && body.get(name..).is_some_and(|rest| rest.starts_with('$')) {
        let tag = rest.get(..name + 2).unwrap_or_default();
        let inside = rest.get(tag.len()..).unwrap_or_default();
        return match inside.find(tag) {
            Some(end) => (Kind::Text, end + 2 * tag.len()),
            None => (Kind::Unclosed, rest.len()),
        };
    }
    match name {
        0 => (Kind::Symbol, 1),
        name => (Kind::Parameter, 1 + name),
    }
}

/// Digits, a point, an exponent; a sign only inside an exponent.
fn number(rest: &str) -> usize {
    let mut before = ' ';
    let hex = rest.starts_with("0x") || rest.starts_with("0X");
    for (at, c) in rest.char_indices() {
        let signed = matches!(c, '+' | '-') && matches!(before, 'e' | 'E') && !hex;
        if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || signed) {
            return at;
        }
        before = c;
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(sql: &str) -> Vec<(Kind, &str)> {
        tokens(sql)
            .into_iter()
            .filter(|token| token.kind != Kind::Blank)
            .map(|token| (token.kind, token.text))
            .collect()
    }

    #[test]
    fn quotes_comments_and_numbers_are_single_tokens() {
        assert_eq!(
            kinds("a -- ; x\n/* ; /* ' */ */ 'it''s;' \"q\"\"r\" $t$ ' ; $t$ E'\\'' 1.5e-3 $1 ?2 ;"),
            [
                (Kind::Word, "a"),
                (Kind::Text, "'it''s;'"),
                (Kind::Quoted, "\"q\"\"r\""),
                (Kind::Text, "$t$ ' ; $t$"),
                (Kind::Text, "E'\\''"),
                (Kind::Number, "1.5e-3"),
                (Kind::Parameter, "$1"),
                (Kind::Parameter, "?2"),
                (Kind::Symbol, ";"),
            ]
        );
    }

    #[test]
    fn what_is_never_closed_takes_the_rest() {
        for sql in ["'a", "\"a", "/* /* */", "$x$ $y$", "E'\\'", "\"\""] {
            assert_eq!(kinds(sql), [(Kind::Unclosed, sql)], "{sql}");
        }
    }

    proptest! {
        #[test]
        fn tokens_in_a_row_are_the_statement(sql in ".{0,200}") {
            let text: String = tokens(&sql).iter().map(|token| token.text).collect();
            prop_assert_eq!(text, sql);
        }

        #[test]
        fn tokens_of_hostile_characters_are_the_statement(sql in "['\"$/*\\-ex0 .;é\\\\\n]{0,60}") {
            let text: String = tokens(&sql).iter().map(|token| token.text).collect();
            prop_assert_eq!(text, sql);
        }
    }
}
