//! Names in SQL text: when they take quotes, and the quoting.

use std::borrow::Cow;

/// Writes a name so that DuckDB reads that very name: bare where it may stand bare, quoted otherwise.
///
/// This is DuckDB's own rule (`KeywordHelper::WriteOptionallyQuoted`), so types print as DuckDB prints them.
pub fn quote(name: &str) -> Cow<'_, str> {
    match is_bare(name) {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("\"{}\"", name.replace('"', "\"\""))),
    }
}

/// Writes text as an SQL string literal.
pub fn quote_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn is_bare(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !is_keyword(name)
}

/// Whether DuckDB's grammar gives the word a meaning, reserved or not.
pub fn is_keyword(word: &str) -> bool {
    word.len() <= LONGEST_KEYWORD && KEYWORDS.binary_search(&word.to_ascii_lowercase().as_str()).is_ok()
}

const LONGEST_KEYWORD: usize = 15;

/// DuckDB 2.0's keywords, sorted: `SELECT DISTINCT keyword_name FROM duckdb_keywords() ORDER BY 1`.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "abort", "absolute", "access", "action", "add", "admin", "after", "aggregate", "all", "also", "alter", "always",
    "analyse", "analyze", "and", "anti", "any", "approx", "array", "as", "asc", "asof", "assertion", "assignment",
    "asymmetric", "at", "attach", "attribute", "authorization", "backward", "before", "begin", "between", "bigint",
    "binary", "bit", "boolean", "both", "by", "cache", "call", "called", "cascade", "cascaded", "case", "cast",
    "catalog", "centuries", "century", "chain", "char", "character", "characteristics", "check", "checkpoint",
    "class", "close", "cluster", "coalesce", "collate", "collation", "column", "columns", "comment", "comments",
    "commit", "committed", "compression", "concurrently", "configuration", "conflict", "connect", "connection",
    "constraint", "constraints", "content", "continue", "conversion", "copy", "cost", "create", "cross", "csv",
    "cube", "current", "cursor", "cycle", "data", "database", "day", "days", "deallocate", "dec", "decade", "decades",
    "decimal", "declare", "default", "defaults", "deferrable", "deferred", "definer", "delete", "delimiter",
    "delimiters", "depends", "desc", "describe", "destroy", "detach", "dictionary", "disable", "discard",
    "disconnect", "distance", "distinct", "do", "document", "domain", "double", "drop", "each", "else", "enable",
    "encoding", "encrypted", "end", "enum", "error", "escape", "event", "exact", "except", "exclude", "excluding",
    "exclusive", "execute", "exists", "explain", "export", "export_state", "extension", "extensions", "external",
    "extract", "false", "family", "fetch", "filter", "first", "float", "following", "for", "force", "foreign",
    "forward", "freeze", "from", "full", "function", "functions", "generated", "glob", "global", "grant", "granted",
    "group", "grouping", "grouping_id", "groups", "handler", "having", "header", "hold", "hour", "hours", "identity",
    "if", "ignore", "ilike", "immediate", "immutable", "implicit", "import", "in", "include", "including",
    "increment", "index", "indexes", "inherit", "inherits", "initially", "inline", "inner", "inout", "input",
    "insensitive", "insert", "install", "instead", "int", "integer", "intersect", "interval", "into", "invoker", "is",
    "isnull", "isolation", "join", "json", "key", "label", "lambda", "language", "large", "last", "lateral",
    "leading", "leakproof", "left", "level", "like", "limit", "listen", "load", "local", "location", "lock", "locked",
    "logged", "macro", "map", "mapping", "match", "matched", "materialized", "maxvalue", "merge", "method",
    "microsecond", "microseconds", "millennia", "millennium", "millisecond", "milliseconds", "minute", "minutes",
    "minvalue", "mode", "month", "months", "move", "name", "names", "national", "natural", "nchar", "nearest", "new",
    "next", "no", "none", "not", "nothing", "notify", "notnull", "nowait", "null", "nullif", "nulls", "numeric",
    "object", "of", "off", "offset", "oids", "old", "on", "only", "operator", "option", "options", "or", "order",
    "ordinality", "others", "out", "outer", "over", "overlaps", "overlay", "overriding", "owned", "owner", "parallel",
    "parser", "partial", "partition", "partitioned", "passing", "password", "percent", "persistent", "pivot",
    "pivot_longer", "pivot_wider", "placing", "plans", "policy", "position", "positional", "pragma", "preceding",
    "precision", "prepare", "prepared", "preserve", "primary", "prior", "privileges", "procedural", "procedure",
    "program", "publication", "qualify", "quarter", "quarters", "quote", "range", "read", "real", "reassign",
    "recheck", "recursive", "ref", "references", "referencing", "refresh", "register", "reindex", "relative",
    "release", "rename", "repeatable", "replace", "replica", "reset", "resource", "resources", "respect", "restart",
    "restrict", "returning", "returns", "revoke", "right", "role", "rollback", "rollup", "row", "rows", "rule",
    "sample", "savepoint", "schema", "schemas", "scope", "scroll", "search", "second", "seconds", "secret", "secure",
    "security", "select", "semi", "sequence", "sequences", "serializable", "server", "session", "set", "setof",
    "sets", "share", "show", "similar", "similarity", "simple", "skip", "smallint", "snapshot", "some", "sorted",
    "source", "sql", "stable", "standalone", "start", "statement", "statistics", "stdin", "stdout", "storage",
    "stored", "strict", "strip", "struct", "subscription", "substring", "summarize", "symmetric", "sysid", "system",
    "table", "tables", "tablesample", "tablespace", "target", "temp", "template", "temporary", "text", "then", "ties",
    "time", "timestamp", "to", "trailing", "transaction", "transform", "treat", "trigger", "trim", "true", "truncate",
    "trusted", "try_cast", "tuple", "type", "types", "unbounded", "uncommitted", "unencrypted", "union", "unique",
    "unknown", "unlisten", "unlogged", "unpack", "unpivot", "until", "update", "use", "user", "using", "vacuum",
    "valid", "validate", "validator", "value", "values", "varchar", "variable", "variadic", "varying", "verbose",
    "version", "view", "views", "virtual", "volatile", "week", "weeks", "when", "where", "whitespace", "window",
    "with", "within", "without", "work", "wrapper", "write", "xml", "xmlattributes", "xmlconcat", "xmlelement",
    "xmlexists", "xmlforest", "xmlnamespaces", "xmlparse", "xmlpi", "xmlroot", "xmlserialize", "xmltable", "year",
    "years", "yes", "zone",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted_and_lower_case() {
        assert!(KEYWORDS.is_sorted());
        assert!(KEYWORDS.iter().all(|word| *word == word.to_ascii_lowercase()));
        assert_eq!(KEYWORDS.iter().map(|word| word.len()).max(), Some(LONGEST_KEYWORD));
    }

    #[test]
    fn names_are_quoted_where_duckdb_quotes_them() {
        for bare in ["a", "Big", "_u", "a1"] {
            assert_eq!(quote(bare), bare);
        }
        for (name, quoted) in [
            ("b c", "\"b c\""),
            ("x\"y", "\"x\"\"y\""),
            ("1a", "\"1a\""),
            ("SELECT", "\"SELECT\""),
            ("é", "\"é\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote(name), quoted);
        }
        assert_eq!(quote_text("it's"), "'it''s'");
    }
}
