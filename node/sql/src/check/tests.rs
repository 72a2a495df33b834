#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::testkit::{catalog, tree};

/// `ok t(a,b) u(*)`, `process: why` after it, or `refused: why`.
fn verdict(sql: &str) -> String {
    let meta = catalog();
    let facts = match check(&tree(sql), &meta) {
        Ok(facts) => facts,
        Err(error) => return format!("refused: {error}"),
    };
    let tables = facts.tables.iter().map(|(id, columns)| {
        let columns = match columns {
            Columns::All => "*".to_owned(),
            Columns::Named(names) => names.iter().cloned().collect::<Vec<_>>().join(","),
        };
        format!("{}({columns})", meta.tables[id].name)
    });
    let tables = tables.collect::<Vec<_>>().join(" ");
    match facts.process {
        None => format!("store {tables}").trim_end().to_owned(),
        Some(reason) => format!("process {tables}: {reason}"),
    }
}

#[test]
fn a_store_may_run_these_and_they_read_these_columns() {
    for (sql, expected) in [
        ("SELECT a, count(*) AS n FROM t WHERE b = $1 AND a > 5 GROUP BY a ORDER BY n LIMIT 3", "store t(a,b)"),
        ("SELECT count(*) FROM t", "store t()"),
        ("SELECT * FROM t", "store t(*)"),
        ("SELECT t.b FROM main.t", "store t(b)"),
        ("SELECT t FROM t", "store t(*)"),
        ("SELECT x.a, u.c FROM t x JOIN u USING (k)", "store t(a,k) u(c,k)"),
        ("SELECT * EXCLUDE (a) FROM t NATURAL JOIN u", "store t(*) u(*)"),
        ("WITH m AS (SELECT a FROM t) SELECT a FROM m", "store t(a)"),
        ("WITH t AS (SELECT c AS a FROM u) SELECT a FROM t", "store u(c)"),
        ("WITH t AS (SELECT a FROM t) SELECT a FROM t", "store t(a)"),
        ("SELECT a FROM t WHERE a IN (SELECT k FROM u)", "store t(a,k) u(k)"),
        ("SELECT (SELECT max(c) FROM u WHERE u.k = t.k) FROM t", "store t(k) u(c,k)"),
        ("SELECT sum(a) OVER (PARTITION BY b ORDER BY k) FROM t", "store t(a,b,k)"),
        ("SELECT a FROM t AS s(x, y)", "store t(*)"),
        ("SELECT b->'$.x', b->>'y' FROM t", "store t(b)"),
        ("SELECT string_agg(b, ', ' ORDER BY a) FROM t", "store t(a,b)"),
        ("SELECT a || ' ' || b FROM t", "store t(a,b)"),
        ("SELECT 1 + 1", "store"),
        ("FROM t SELECT b", "store t(b)"),
        ("VALUES (1, 'x'), (2, NULL)", "store"),
        ("DESCRIBE SELECT a FROM t", "store t(*)"),
        ("SUMMARIZE t", "store t(*)"),
        ("SELECT columns('a|b') FROM t", "store t(*)"),
        ("SELECT a, unnest([1, 2]) FROM t", "store t(a)"),
    ] {
        assert_eq!(verdict(sql), expected, "{sql}");
    }
}

#[test]
fn only_a_query_process_may_run_these() {
    for sql in section("-- only a query process") {
        assert!(verdict(&sql).starts_with("process "), "{sql}: {}", verdict(&sql));
    }
}

#[test]
fn hostile_statements_are_refused() {
    let refused = section("-- refused");
    assert!(refused.len() > 40);
    for sql in refused {
        assert!(verdict(&sql).starts_with("refused: "), "{sql}: {}", verdict(&sql));
    }
}

#[test]
fn an_unknown_kind_of_node_is_refused() {
    let meta = catalog();
    for (from, to) in [
        ("SELECT_NODE", "TOMORROW_NODE"),
        ("\"BASE_TABLE\"", "\"TOMORROW_REF\""),
        ("\"class\":\"COLUMN_REF\"", "\"class\":\"TOMORROW\""),
    ] {
        let json = tree("SELECT t.b FROM main.t").to_json();
        assert!(json.contains(from), "{json}");
        let changed = Tree::parse(&json.replace(from, to)).unwrap();
        assert!(matches!(check(&changed, &meta), Err(CheckError::Unsupported { .. })), "{to}");
    }
}

#[test]
fn an_error_says_where() {
    let error = check(&tree("SELECT * FROM t1"), &catalog()).unwrap_err();
    assert_eq!(error.offset(), Some(14));
}

/// The statements below one heading of statements.sql.
fn section(heading: &str) -> Vec<String> {
    let lines = include_str!("../../tests/trees/statements.sql").lines();
    let after = lines.skip_while(|line| *line != heading).skip(1);
    after.take_while(|line| !line.starts_with("--")).map(str::to_owned).collect()
}
