//! Reading heads, token by token.

use raftduck_model::ident::quote;

use crate::head::{CreateTable, Head, HeadError};
use crate::token::{Kind, Token};

/// The words that a statement may begin with and that are refused, with what to do instead.
const REFUSED: &[(&str, &str)] = &[
    ("UPDATE", "rows are appended; insert the new state and query the latest"),
    ("DELETE", "rows are appended; DROP TABLE removes them all"),
    ("TRUNCATE", "DROP TABLE and CREATE TABLE again"),
    ("MERGE", "rows are appended"),
    ("COPY", "send rows to /v1/tables/<table>/rows, read them with SELECT and an Accept header"),
    ("EXPORT", "read the tables with SELECT"),
    ("IMPORT", "send rows to /v1/tables/<table>/rows"),
    ("ATTACH", "all tables are in one catalog"),
    ("DETACH", "all tables are in one catalog"),
    ("USE", "all tables are in one catalog"),
    ("PRAGMA", "settings belong to the cluster's configuration"),
    ("SET", "settings belong to the cluster's configuration"),
    ("RESET", "settings belong to the cluster's configuration"),
    ("BEGIN", "every statement is a transaction of its own"),
    ("START", "every statement is a transaction of its own"),
    ("COMMIT", "every statement is a transaction of its own"),
    ("ROLLBACK", "every statement is a transaction of its own"),
    ("ABORT", "every statement is a transaction of its own"),
    ("END", "every statement is a transaction of its own"),
    ("INSTALL", "extensions are chosen when Raftduck is built"),
    ("LOAD", "extensions are chosen when Raftduck is built"),
    ("UPDATE EXTENSIONS", "extensions are chosen when Raftduck is built"),
    ("CALL", "query tables with SELECT"),
    ("CHECKPOINT", "the workers do it"),
    ("FORCE", "the workers do it"),
    ("VACUUM", "the workers do it"),
    ("ANALYZE", "the workers do it"),
    ("REINDEX", "there are no indexes"),
    ("COMMENT", "comments are not kept"),
    ("PREPARE", "send params with the statement"),
    ("EXECUTE", "send params with the statement"),
    ("DEALLOCATE", "send params with the statement"),
    ("PIVOT", "write SELECT … FROM t PIVOT (… FOR c IN ('a', 'b'))"),
    ("UNPIVOT", "write SELECT … FROM t UNPIVOT (v FOR n IN (a, b))"),
    ("SHOW", "SHOW TABLES is; for one table DESCRIBE it"),
    ("GRANT", "rights belong to tokens"),
    ("REVOKE", "rights belong to tokens"),
];

pub(super) struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token<'a>],
    at: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, tokens: &'a [Token<'a>]) -> Self {
        Self { text, tokens, at: 0 }
    }

    pub(super) fn statement(mut self) -> Result<Head, HeadError> {
        let Some(first) = self.peek() else { return Err(HeadError::Empty) };
        if self.take("EXPLAIN") {
            if self.is("ANALYZE") || self.symbol('(') {
                return Err(self.refuse("EXPLAIN with options", "EXPLAIN <query> names the plan"));
            }
            return match self.is_query() {
                true => Ok(Head::Select { text: self.rest(), explain: true }),
                false => Err(self.refuse("EXPLAIN of anything but a query", "EXPLAIN <query> names the plan")),
            };
        }
        if self.is_query() {
            return Ok(Head::Select { text: self.rest(), explain: false });
        }
        if self.take("CREATE") {
            return self.create();
        }
        if self.take("DROP") {
            return self.drop_table();
        }
        if self.take("ALTER") {
            return self.alter();
        }
        if self.take("INSERT") {
            return self.insert();
        }
        if self.take("DESCRIBE") || self.take("DESC") {
            self.take("TABLE");
            if self.is_query() {
                return Ok(Head::Select { text: self.text.to_owned(), explain: false });
            }
            let table = self.table()?;
            return self.end(Head::Describe { table });
        }
        if self.take("SHOW") && self.take("TABLES") {
            return self.end(Head::ShowTables);
        }
        if first.is_word("SUMMARIZE") {
            return Ok(Head::Select { text: self.text.to_owned(), explain: false });
        }
        self.at = 0;
        match REFUSED.iter().find(|(word, _)| first.is_word(word)) {
            Some((word, advice)) => Err(self.refuse(word, advice)),
            None => Err(self.syntax("SELECT, INSERT, CREATE TABLE, ALTER TABLE, DROP TABLE, SHOW TABLES or DESCRIBE")),
        }
    }

    fn create(&mut self) -> Result<Head, HeadError> {
        for (word, advice) in [
            ("OR", "DROP TABLE first, then CREATE TABLE"),
            ("TEMP", "tables are kept; a WITH clause names a query's part"),
            ("TEMPORARY", "tables are kept; a WITH clause names a query's part"),
            ("VIEW", "put the query in a WITH clause"),
            ("INDEX", "columns keep minima and maxima by themselves"),
            ("UNIQUE", "columns keep minima and maxima by themselves"),
            ("SEQUENCE", "let the client make the ids, a UUID for example"),
            ("SCHEMA", "all tables are in one schema"),
            ("MACRO", "write the expression out"),
            ("FUNCTION", "write the expression out"),
            ("TYPE", "use a STRUCT, or VARCHAR in the place of an ENUM"),
            ("SECRET", "there is no external access"),
            ("PERSISTENT", "there is no external access"),
            ("TRIGGER", "let the client do it"),
            ("DATABASE", "all tables are in one catalog"),
        ] {
            if self.is(word) {
                return Err(self.refuse(&format!("CREATE {word}"), advice));
            }
        }
        self.need("TABLE")?;
        let if_not_exists = self.take_all(&["IF", "NOT", "EXISTS"]);
        let name = self.table()?;
        if self.is("AS") {
            return Err(self.create_as());
        }
        let columns_from = self.peek().filter(|token| token.is_symbol('(')).ok_or(self.syntax("'('"))?.offset;
        let columns_to = self.skip_brackets()?;
        let columns = self.text.get(columns_from..columns_to).unwrap_or_default();
        let mut partition_key = None;
        while let Some(clause) = self.peek() {
            if partition_key.is_none() && (self.take("PARTITIONED") || self.take("PARTITION")) {
                partition_key = Some(self.partitioned_by()?);
            } else if clause.is_word("AS") {
                return Err(self.create_as());
            } else if clause.is_word("WITH") {
                return Err(self.refuse("CREATE TABLE … WITH", "no table takes options yet; leave the clause out"));
            } else {
                return Err(self.syntax("PARTITIONED BY (column) or the end of the statement"));
            }
        }
        let bare = format!("CREATE TABLE {} {columns}", quote(&name));
        Ok(Head::CreateTable(CreateTable { bare, name, if_not_exists, partition_key }))
    }

    fn create_as(&self) -> HeadError {
        self.refuse("CREATE TABLE … AS", "CREATE TABLE with its columns, then send the rows")
    }

    fn partitioned_by(&mut self) -> Result<String, HeadError> {
        self.need("BY")?;
        self.need_symbol('(', "'('")?;
        let column = self.name("a column's name")?;
        if self.symbol(',') {
            return Err(self.refuse("a partition key of several columns", "name one column"));
        }
        self.need_symbol(')', "')' after one column's name")?;
        Ok(column)
    }

    fn drop_table(&mut self) -> Result<Head, HeadError> {
        if !self.is("TABLE") {
            return Err(self.refuse("DROP of anything but a table", "DROP TABLE is all there is to drop"));
        }
        self.at += 1;
        let if_exists = self.take_all(&["IF", "EXISTS"]);
        let name = self.table()?;
        if self.symbol(',') {
            return Err(self.refuse("DROP TABLE of several tables", "drop them one by one"));
        }
        if !self.take("CASCADE") {
            self.take("RESTRICT");
        }
        self.end(Head::DropTable { name, if_exists })
    }

    fn alter(&mut self) -> Result<Head, HeadError> {
        if !self.is("TABLE") {
            return Err(self.refuse("ALTER of anything but a table", "ALTER TABLE … ADD COLUMN is what there is"));
        }
        self.at += 1;
        if self.is("IF") {
            return Err(self.refuse("ALTER TABLE IF EXISTS", "leave IF EXISTS out"));
        }
        let table = self.table()?;
        if !self.take("ADD") {
            let advice = "ALTER TABLE … ADD COLUMN is; for others make a new table";
            return Err(self.refuse("this change of a table", advice));
        }
        let named = self.take("COLUMN");
        let constraint = ["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK"].iter().any(|word| self.is(word));
        if constraint && !named {
            return Err(self.refuse("a constraint on a table", "check values before you send them"));
        }
        let if_not_exists = self.take_all(&["IF", "NOT", "EXISTS"]);
        let definition = self.rest();
        let column = self.name("a column's name")?;
        if self.symbol('.') {
            return Err(self.refuse("adding a struct's field", "add a column"));
        }
        // A comma outside brackets would make the scratch table's columns two.
        while let Some(token) = self.peek() {
            if token.is_symbol('(') || token.is_symbol('[') || token.is_symbol('{') {
                self.skip_brackets()?;
            } else if token.is_symbol(',') || token.is_symbol(')') || token.is_symbol(']') || token.is_symbol('}') {
                return Err(self.syntax("the end of one column's definition"));
            } else {
                self.at += 1;
            }
        }
        Ok(Head::AddColumn { table, column, definition, if_not_exists })
    }

    fn insert(&mut self) -> Result<Head, HeadError> {
        if self.is("OR") {
            return Err(self.refuse("INSERT OR …", "rows are appended; an Idempotency-Key keeps retries from doubling"));
        }
        self.need("INTO")?;
        let table = self.table()?;
        if self.is("BY") || self.is("AS") {
            return Err(
                self.refuse("INSERT with BY NAME or an alias", "name the columns: INSERT INTO t(a, b) VALUES …")
            );
        }
        if self.is("DEFAULT") {
            return Err(self.refuse("INSERT … DEFAULT VALUES", "give at least one value"));
        }
        let columns = match self.symbol('(') && !self.is("SELECT") && !self.is("VALUES") && !self.is("WITH") {
            false => None,
            true => Some(self.names()?),
        };
        if !self.is("VALUES") {
            let select =
                self.is("SELECT") || self.is("WITH") || self.is("FROM") || self.is("TABLE") || columns.is_none();
            return match select {
                true => Err(self.refuse("INSERT … SELECT", "read with SELECT and send the rows back")),
                false => Err(self.syntax("VALUES")),
            };
        }
        let values = self.rest();
        while let Some(token) = self.peek() {
            if token.is_word("ON") {
                return Err(self.refuse("ON CONFLICT", "rows are appended; there are no unique keys"));
            }
            if token.is_word("RETURNING") {
                return Err(self.refuse("RETURNING", "query the rows afterwards"));
            }
            match token.is_symbol('(') {
                true => drop(self.skip_brackets()?),
                false if token.is_symbol(',') || token.is_word("VALUES") => self.at += 1,
                false => return Err(self.syntax("a row in brackets")),
            }
        }
        Ok(Head::InsertValues { table, columns, values })
    }

    /// Names up to the closing bracket; the opening one is behind.
    fn names(&mut self) -> Result<Vec<String>, HeadError> {
        let mut names = vec![self.name("a column's name")?];
        while self.symbol(',') {
            names.push(self.name("a column's name")?);
        }
        self.need_symbol(')', "',' or ')'")?;
        Ok(names)
    }

    /// A table's name, bare or of schema `main`.
    fn table(&mut self) -> Result<String, HeadError> {
        let at = self.at;
        let name = self.name("a table's name")?;
        if !self.symbol('.') {
            return Ok(name);
        }
        let inner = self.name("a table's name")?;
        if !name.eq_ignore_ascii_case("main") || self.symbol('.') {
            self.at = at;
            return Err(self.refuse("another schema", "all tables are in schema main: leave the schema out"));
        }
        Ok(inner)
    }

    fn name(&mut self, expected: &'static str) -> Result<String, HeadError> {
        let name = self.peek().and_then(|token| token.name()).ok_or(self.syntax(expected))?;
        self.at += 1;
        Ok(name)
    }

    /// Goes behind the bracket that closes the one here, and gives the offset there.
    fn skip_brackets(&mut self) -> Result<usize, HeadError> {
        let mut depth = 0_usize;
        while let Some(token) = self.peek() {
            self.at += 1;
            if token.kind == Kind::Symbol && matches!(token.text, "(" | "[" | "{") {
                depth += 1;
            } else if token.kind == Kind::Symbol && matches!(token.text, ")" | "]" | "}") {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Ok(token.offset + token.text.len());
                }
            }
        }
        Err(self.syntax("a closing bracket"))
    }

    fn is_query(&self) -> bool {
        let bare = self.tokens.iter().skip(self.at).find(|token| !token.is_symbol('('));
        let words = ["SELECT", "WITH", "FROM", "VALUES", "TABLE"];
        bare.is_some_and(|token| words.iter().any(|word| token.is_word(word)))
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.at).copied()
    }

    fn is(&self, word: &str) -> bool {
        self.peek().is_some_and(|token| token.is_word(word))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    fn take_all(&mut self, words: &[&str]) -> bool {
        let from = self.at;
        let all = words.iter().all(|word| self.take(word));
        self.at = if all { self.at } else { from };
        all
    }

    fn symbol(&mut self, symbol: char) -> bool {
        let found = self.peek().is_some_and(|token| token.is_symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, word: &'static str) -> Result<(), HeadError> {
        match self.take(word) {
            true => Ok(()),
            false => Err(self.syntax(word)),
        }
    }

    fn need_symbol(&mut self, symbol: char, expected: &'static str) -> Result<(), HeadError> {
        match self.symbol(symbol) {
            true => Ok(()),
            false => Err(self.syntax(expected)),
        }
    }

    fn end(&self, head: Head) -> Result<Head, HeadError> {
        match self.peek() {
            None => Ok(head),
            Some(_) => Err(self.syntax("the end of the statement")),
        }
    }

    /// The statement from here on.
    fn rest(&self) -> String {
        self.text.get(self.offset()..).unwrap_or_default().trim_end().to_owned()
    }

    fn offset(&self) -> usize {
        self.peek().map_or(self.text.len(), |token| token.offset)
    }

    fn syntax(&self, expected: &'static str) -> HeadError {
        HeadError::Syntax { offset: self.offset(), expected }
    }

    fn refuse(&self, what: &str, advice: &'static str) -> HeadError {
        HeadError::Refused { what: what.to_owned(), advice, offset: self.offset() }
    }
}
