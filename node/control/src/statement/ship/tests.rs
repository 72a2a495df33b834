#![allow(clippy::unwrap_used, clippy::panic)]

use raftduck_engine::plain::Plain;
use raftduck_model::meta::Meta;
use raftduck_model::{SchemaVersion, TableId};
use raftduck_sql::{Columns, check};

use super::*;

/// t(k, a, b) and u(k, a, c).
fn catalog() -> Meta {
    let mut meta = Meta::default();
    for (id, name, columns) in
        [(1, "t", ["k BIGINT", "a BIGINT", "b VARCHAR"]), (2, "u", ["k BIGINT", "a BIGINT", "c DATE"])]
    {
        let columns = columns.iter().map(|column| column.split_once(' ').unwrap()).map(|(name, kind)| Column {
            name: name.to_owned(),
            kind: kind.parse().unwrap(),
            nullable: true,
            default: None,
        });
        let (id, version) = (TableId(id), SchemaVersion(1));
        meta.tables.insert(id, Table { id, name: name.to_owned(), version, columns: columns.collect(), key: 0 });
    }
    meta
}

/// What a statement ships, by table.
fn shipped(scratch: &Scratch, sql: &str) -> Vec<Shipment> {
    let catalog = catalog();
    let facts = check(&Tree::parse(&scratch.parse(sql).unwrap()).unwrap(), &catalog).unwrap();
    let tables = facts.tables.iter().map(|(id, columns)| {
        let table = catalog.tables.get(id).unwrap().clone();
        let sent = |name: &str| {
            matches!(columns, Columns::All) || matches!(columns, Columns::Named(names) if names.contains(name))
        };
        let mut columns: Vec<String> = table.columns.iter().map(|c| c.name.clone()).filter(|name| sent(name)).collect();
        if columns.is_empty() {
            columns.push("k".to_owned());
        }
        Shipment { table, columns, query: None }
    });
    let plan = Plan::Ship { tables: tables.collect(), from: Vec::new(), reason: String::new(), missing: Vec::new() };
    let Plan::Ship { tables, .. } = narrowed(scratch, sql, plan).unwrap() else { panic!("another plan") };
    tables
}

fn queries(sql: &str) -> Vec<String> {
    let shipped = shipped(&Scratch::open().unwrap(), sql);
    shipped.iter().map(|shipment| shipment.query.clone().unwrap_or_else(|| whole(shipment))).collect()
}

#[test]
fn a_statement_ships_what_its_conditions_leave() {
    for (sql, expected) in [
        ("SELECT count(*) FROM t WHERE a > 3", vec!["SELECT a FROM t WHERE (a > 3)"]),
        (
            "SELECT b FROM t AS x WHERE x.a IN (1, 2) AND b LIKE 'x%'",
            vec!["SELECT a, b FROM t AS x WHERE ((x.a IN (1, 2)) AND (b ~~ 'x%'))"],
        ),
        // Only what may be asked twice and before.
        ("SELECT a FROM t WHERE a > 3 AND random() < 0.5", vec!["SELECT a FROM t WHERE (a > 3)"]),
        ("SELECT a FROM t WHERE a > 3 OR random() < 0.5", vec!["SELECT a FROM t"]),
        ("SELECT a FROM t WHERE len(repeat(b, a)) > 5", vec!["SELECT a, b FROM t"]),
        ("SELECT a FROM t TABLESAMPLE 50 PERCENT WHERE a > 3", vec!["SELECT a FROM t"]),
        // Twice in the statement, and each would need other rows.
        ("SELECT a FROM t WHERE a > 3 UNION ALL SELECT a FROM t WHERE a < 2", vec!["SELECT a FROM t"]),
        ("WITH t AS (SELECT 1 AS a) SELECT a FROM t WHERE a > 3", vec![]),
        (
            "WITH m AS (SELECT a FROM t WHERE a > 3) SELECT m.a + n.a FROM m, m AS n",
            vec!["SELECT a FROM t WHERE (a > 3)"],
        ),
    ] {
        assert_eq!(queries(sql), expected, "{sql}");
    }
}

#[test]
fn a_join_ships_what_each_side_may_leave_out() {
    for (sql, t, u) in [
        ("FROM t JOIN u USING (k) SELECT b WHERE t.a > 3 AND u.a > 4 AND t.a > u.a", true, true),
        ("FROM t, u SELECT b WHERE t.k = u.k AND b = 'x'", true, false),
        ("FROM t LEFT JOIN u USING (k) SELECT b WHERE t.a > 3 AND u.a > 4", true, false),
        ("FROM t RIGHT JOIN u USING (k) SELECT b WHERE t.a > 3 AND u.a > 4", false, false),
        ("FROM t FULL JOIN u USING (k) SELECT b WHERE t.a > 3 AND u.a > 4", false, false),
        ("FROM t SEMI JOIN u USING (k) SELECT b WHERE t.a > 3", true, false),
        ("FROM t POSITIONAL JOIN u SELECT b WHERE t.a > 3", false, false),
        (
            "SELECT b FROM t WHERE EXISTS (FROM u SELECT 1 WHERE u.k = t.k AND c > '2020-01-01' AND t.a > 3)",
            false,
            true,
        ),
    ] {
        let narrow: Vec<bool> =
            shipped(&Scratch::open().unwrap(), sql).iter().map(|shipment| shipment.query.is_some()).collect();
        assert_eq!(narrow, [t, u], "{sql}");
    }
}

/// The statement on what is shipped answers as on all rows.
#[test]
fn what_is_left_out_changes_no_answer() {
    let (plain, scratch) = (Plain::open_in_memory(256 << 20, 2).unwrap(), Scratch::open().unwrap());
    plain
        .execute(
            "CREATE TABLE t AS SELECT i % 17 AS k, CASE WHEN i % 7 > 0 THEN i % 23 END AS a, 'x' || (i % 5) AS b FROM range(500) r(i);
             CREATE TABLE u AS SELECT i % 19 AS k, CASE WHEN i % 5 > 0 THEN i % 13 END AS a, DATE '2020-01-01' + (i % 9)::INTEGER AS c FROM range(60) r(i);
             CREATE SCHEMA sent",
        )
        .unwrap();
    let joins = [
        "t JOIN u USING (k)",
        "t, u",
        "t LEFT JOIN u USING (k)",
        "t RIGHT JOIN u USING (k)",
        "t FULL JOIN u USING (k)",
        "t ANTI JOIN u USING (k)",
        "t SEMI JOIN u USING (k)",
        "t LEFT JOIN u ON t.k = u.k AND t.a > u.a",
        "t",
        "t AS u",
    ];
    let conditions = [
        "t.a > 5",
        "a IS NULL",
        "t.a > 5 OR u.c IS NULL",
        "t.k = u.k AND u.c < '2020-01-05'",
        "t.k < 9 AND u.k > 3",
        "NOT (b LIKE 'x1%')",
        "u.a IS NULL AND t.a BETWEEN 3 AND 9",
        "coalesce(t.a, 4) = 4",
        "coalesce(u.a, 4) = 4",
        "CASE WHEN b = 'x2' THEN t.a END > 1",
        "u.k IN (1, 2, 3)",
        "t.k < 5 AND exists(FROM u SELECT 1 WHERE u.a = t.a AND u.c > '2020-01-03')",
        "minus_a > -3",
        "a > -3",
    ];
    let (mut asked, mut left_out) = (0, 0);
    // Not every name is there in every join, and DuckDB says so.
    for columns in ["1 AS n", "-a AS minus_a, -a AS a, 1 AS n"] {
        for (from, condition) in joins.iter().flat_map(|from| conditions.iter().map(move |condition| (from, condition)))
        {
            let sql = format!("SELECT count(*), sum(n) FROM (SELECT {columns} FROM {from} WHERE {condition})");
            let ask = || plain.query(&sql).map(|rows| format!("{rows:?}"));
            let Ok(expected) = ask() else { continue };
            for shipment in shipped(&scratch, &sql) {
                left_out += usize::from(shipment.query.is_some());
                let query = shipment.query.clone().unwrap_or_else(|| whole(&shipment));
                plain.execute(&format!("CREATE TABLE sent.{} AS {query}", shipment.table.name)).unwrap();
            }
            plain.execute("USE sent").unwrap();
            let answer = ask();
            plain.execute("USE main; DROP SCHEMA sent CASCADE; CREATE SCHEMA sent").unwrap();
            assert_eq!(answer.unwrap(), expected, "{sql}");
            asked += 1;
        }
    }
    assert!(asked > 80 && left_out > 50, "{asked} asked, {left_out} of their tables narrowed");
}
