#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// A head in one line.
fn shown(sql: &str) -> String {
    match classify(sql) {
        Ok(Head::Select { text, explain: false }) => format!("select [{text}]"),
        Ok(Head::Select { text, explain: true }) => format!("explain [{text}]"),
        Ok(Head::ShowTables) => "show tables".to_owned(),
        Ok(Head::Describe { table }) => format!("describe [{table}]"),
        Ok(Head::CreateTable(create)) => {
            let CreateTable { bare, name, if_not_exists, partition_key } = create;
            format!("create [{name}] {if_not_exists} by {partition_key:?} [{bare}]")
        }
        Ok(Head::DropTable { name, if_exists }) => format!("drop [{name}] {if_exists}"),
        Ok(Head::AddColumn { table, column, definition, if_not_exists }) => {
            format!("add [{table}] [{column}] {if_not_exists} [{definition}]")
        }
        Ok(Head::InsertValues { table, columns, values }) => format!("insert [{table}] {columns:?} [{values}]"),
        Err(HeadError::Refused { what, .. }) => format!("refused {what}"),
        Err(error) => format!("error {error}"),
    }
}

#[test]
fn statements_are_told_apart_by_their_heads() {
    for (sql, expected) in [
        ("SELECT 1", "select [SELECT 1]"),
        (" /* x */ select ';' ; ", "select [select ';']"),
        ("WITH a AS (SELECT 1) FROM a", "select [WITH a AS (SELECT 1) FROM a]"),
        ("((SELECT 1))", "select [((SELECT 1))]"),
        ("from t", "select [from t]"),
        ("EXPLAIN SELECT 1;", "explain [SELECT 1]"),
        ("SHOW TABLES", "show tables"),
        ("DESCRIBE main.\"T x\"", "describe [T x]"),
        ("DESCRIBE SELECT 1", "select [DESCRIBE SELECT 1]"),
        (
            "CREATE TABLE IF NOT EXISTS main.t (a INT, b DECIMAL(3, 1) DEFAULT (1)) PARTITIONED BY (\"b\")",
            "create [t] true by Some(\"b\") [CREATE TABLE t (a INT, b DECIMAL(3, 1) DEFAULT (1))]",
        ),
        ("create table \"select\" (a int)", "create [select] false by None [CREATE TABLE \"select\" (a int)]"),
        ("DROP TABLE IF EXISTS t", "drop [t] true"),
        ("ALTER TABLE t ADD COLUMN IF NOT EXISTS c INT DEFAULT 0", "add [t] [c] true [c INT DEFAULT 0]"),
        ("ALTER TABLE t ADD c DECIMAL(3,1)", "add [t] [c] false [c DECIMAL(3,1)]"),
        ("INSERT INTO t VALUES (1, ';'), (2, 'x')", "insert [t] None [VALUES (1, ';'), (2, 'x')]"),
        ("INSERT INTO t (a, \"b c\") VALUES (1, 2)", "insert [t] Some([\"a\", \"b c\"]) [VALUES (1, 2)]"),
    ] {
        assert_eq!(shown(sql), expected, "{sql}");
    }
}

#[test]
fn what_is_not_served_is_refused_by_name() {
    for (sql, expected) in [
        ("UPDATE t SET a = 1", "refused UPDATE"),
        ("DELETE FROM t", "refused DELETE"),
        ("COPY t TO 'x'", "refused COPY"),
        ("ATTACH ':memory:'", "refused ATTACH"),
        ("PRAGMA version", "refused PRAGMA"),
        ("SET threads = 1", "refused SET"),
        ("CHECKPOINT", "refused CHECKPOINT"),
        ("VACUUM", "refused VACUUM"),
        ("BEGIN", "refused BEGIN"),
        ("CALL pragma_version()", "refused CALL"),
        ("INSTALL httpfs", "refused INSTALL"),
        ("CREATE VIEW v AS SELECT 1", "refused CREATE VIEW"),
        ("CREATE INDEX i ON t(a)", "refused CREATE INDEX"),
        ("CREATE OR REPLACE TABLE t (a INT)", "refused CREATE OR"),
        ("CREATE TABLE t AS SELECT 1", "refused CREATE TABLE … AS"),
        ("CREATE TABLE t (a INT) AS SELECT 1", "refused CREATE TABLE … AS"),
        ("CREATE TABLE x.t (a INT)", "refused another schema"),
        ("CREATE TABLE t (a INT, b INT) PARTITIONED BY (a, b)", "refused a partition key of several columns"),
        ("INSERT INTO t SELECT 1", "refused INSERT … SELECT"),
        ("INSERT INTO t VALUES (1) RETURNING a", "refused RETURNING"),
        ("INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING", "refused ON CONFLICT"),
        ("ALTER TABLE t DROP COLUMN a", "refused this change of a table"),
        ("DROP VIEW v", "refused DROP of anything but a table"),
        ("EXPLAIN ANALYZE SELECT 1", "refused EXPLAIN with options"),
        ("SHOW ALL TABLES", "refused SHOW"),
        ("", "error the statement is empty"),
        (" -- nothing", "error the statement is empty"),
        ("SELECT 1; SELECT 2", "error at byte 10: one statement at a time"),
        ("INSERT INTO t VALUES (1); DROP TABLE t", "error at byte 26: one statement at a time"),
        ("ALTER TABLE t ADD c INT, d INT", "error at byte 23: the end of one column's definition expected"),
        ("ALTER TABLE t ADD c INT); DROP TABLE t", "error at byte 26: one statement at a time"),
        ("ALTER TABLE t ADD c INT) (", "error at byte 23: the end of one column's definition expected"),
        ("SELECT 'x", "error at byte 7: the end of a quote or comment that begins here expected"),
    ] {
        assert_eq!(shown(sql), expected, "{sql}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_it_panic(sql in ".{0,100}") {
        let _ = classify(&sql);
    }

    #[test]
    fn no_words_make_it_panic(words in prop::collection::vec(
        prop::sample::select(vec![
            "CREATE", "TABLE", "IF", "NOT", "EXISTS", "t", "(", ")", ",", ";", "PARTITIONED", "BY", "INSERT", "INTO", "VALUES",
            "ALTER", "ADD", "COLUMN", "DROP", "SELECT", "AS", ".", "\"q\"", "'s'", "EXPLAIN", "DESCRIBE", "SHOW", "[", "}",
        ]), 0..14)) {
        let sql = words.join(" ");
        let _ = classify(&sql);
    }
}
