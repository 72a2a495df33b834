#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn columns_are_read_as_duckdb_reads_them() {
    let scratch = Scratch::open().unwrap();
    let columns = scratch
        .columns_of_create(
            "CREATE TABLE t (a INT NOT NULL, \"b b\" TEXT DEFAULT 'x;''y', c DECIMAL(9, 2) DEFAULT -1.5, d INT[], \
             e STRUCT(x UUID, \"Y y\" DATE), f TIMESTAMP DEFAULT TIMESTAMP '2020-01-01 00:00:00', g BOOLEAN DEFAULT true)",
        )
        .unwrap();
    let shown: Vec<_> = columns
        .iter()
        .map(|column| format!("{} {} {} {}", column.name, column.kind, column.nullable, column.default.is_some()))
        .collect();
    assert_eq!(
        shown,
        [
            "a INTEGER false false",
            "b b VARCHAR true true",
            "c DECIMAL(9,2) true true",
            "d INTEGER[] true false",
            "e STRUCT(x UUID, \"Y y\" DATE) true false",
            "f TIMESTAMP true true",
            "g BOOLEAN true true"
        ]
    );
}

#[test]
fn what_a_replicated_table_cannot_have_is_refused_by_name() {
    let scratch = Scratch::open().unwrap();
    for (sql, word) in [
        ("CREATE TABLE t (a INT PRIMARY KEY)", "PRIMARY KEY"),
        ("CREATE TABLE t (a INT UNIQUE)", "UNIQUE"),
        ("CREATE TABLE t (a INT CHECK (a > 0))", "CHECK"),
        ("CREATE TABLE t (a INT, b INT REFERENCES t (a))", ""),
        ("CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a + 1))", "generated"),
        ("CREATE TABLE t (a DOUBLE DEFAULT random())", "DEFAULT"),
        ("CREATE TABLE t (a TIMESTAMP DEFAULT now())", "DEFAULT"),
        ("CREATE TABLE t (a VARCHAR DEFAULT (SELECT 'x'))", ""),
        ("CREATE TABLE t (a VARCHAR DEFAULT repeat('a', 1500000000))", "DEFAULT"),
        ("CREATE TABLE t (a INT DEFAULT 'x')", "default"),
        ("CREATE TABLE t (a TIMESTAMPTZ)", "TIMESTAMP"),
        ("CREATE TABLE t (_part INT)", "_part"),
        ("CREATE TABLE t AS SELECT 1 AS a", "SELECT"),
        ("CREATE TABLE t (a INT); CREATE TABLE u (a INT)", "more than one"),
        ("CREATE VIEW t AS SELECT 1 AS a", ""),
        ("CREATE TABLE t (a INT", ""),
        ("ATTACH '/tmp/x.duckdb'", ""),
        ("COPY (SELECT 1) TO '/tmp/raftduck-scratch-copy'", ""),
    ] {
        let error = scratch.columns_of_create(sql).unwrap_err().to_string();
        assert!(error.contains(word), "{sql}: {error}");
    }
    assert!(!std::path::Path::new("/tmp/raftduck-scratch-copy").exists());
}

#[test]
fn a_select_goes_to_its_tree_and_back() {
    let scratch = Scratch::open().unwrap();
    let tree = scratch.parse("SELECT a + 1 AS b FROM t WHERE c = 'x'").unwrap();
    assert!(tree.contains("\"error\":false"));
    assert_eq!(scratch.unparse(&tree).unwrap(), "SELECT (a + 1) AS b FROM t WHERE (c = 'x')");
    assert!(scratch.parse("SELEC 1").unwrap().contains("\"position\":\"0\""));
}

#[test]
fn deep_and_long_statements_end_in_an_answer_or_an_error() {
    let scratch = Scratch::open().unwrap();
    for depth in [10, 100, 1_000, 20_000] {
        let _ = scratch.parse(&format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth)));
        let _ = scratch.parse(&format!("SELECT 1{}", "+1".repeat(depth)));
        let _ = scratch.parse(&format!("SELECT {}1{}", "[".repeat(depth), "]".repeat(depth)));
        let _ = scratch.parse(&format!("SELECT {}1", "NOT ".repeat(depth)));
        let _ = scratch.parse(&format!("{}1{}", "SELECT (".repeat(depth), ")".repeat(depth)));
    }
    assert!(scratch.parse("SELECT 1").is_ok());
}

#[test]
fn values_are_evaluated_once_to_arrow() {
    let scratch = Scratch::open().unwrap();
    let batch = scratch.evaluate_values("VALUES (1, 'a;b', NULL), (2, 'c', DATE '2020-01-02')").unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (2, 3));
    for bad in ["VALUES (1); VALUES (2)", "DELETE FROM t", "VALUES (1), (2, 3)", ""] {
        assert!(scratch.evaluate_values(bad).is_err(), "{bad}");
    }
}
