//! Statements whose memory DuckDB does not bound, in a process whose memory the operating system
//! bounds. This program is both ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "suite/support/mod.rs"]
mod support;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use raftduck_engine::{ProcessAnswer, ProcessError, ProcessLimits, QueryProcess, batch, run_child};
use support::types::all_types;
use support::*;

/// As in `raftduck`: what it takes from the operating system at once counts.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LIMITS: ProcessLimits = ProcessLimits { memory_bytes: 512 << 20, threads: 2, time: Duration::from_secs(30) };

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("query-process") {
        return run_child();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        an_answer_comes_back_as_it_is().await;
        a_bad_statement_is_told_as_such().await;
        memory_beyond_the_bound_is_an_error_and_not_more().await;
        a_late_statement_ends_at_its_time().await;
    });
    ExitCode::SUCCESS
}

async fn ask(sql: &str, limits: ProcessLimits) -> Result<ProcessAnswer, ProcessError> {
    let exe = std::env::current_exe().unwrap();
    let mut process = QueryProcess::spawn(&exe, limits, sql, None).await?;
    process.table(&events()).await?;
    process.rows(&batch::encode(&rows(0, 1_000)).unwrap()).await?;
    process.rows(&batch::encode(&rows(1_000, 1_000)).unwrap()).await?;
    process.run().await
}

async fn rows_of(mut answer: ProcessAnswer) -> Result<Vec<arrow::array::RecordBatch>, ProcessError> {
    let mut batches = Vec::new();
    while let Some(batch) = answer.next().await? {
        batches.push(batch);
    }
    Ok(batches)
}

async fn an_answer_comes_back_as_it_is() {
    let answer = ask("SELECT count(*), sum(k)::BIGINT FROM events WHERE v IS NOT NULL", LIMITS).await.unwrap();
    let batches = rows_of(answer).await.unwrap();
    let kept = (0..2_000_i64).filter(|key| key % 7 > 0);
    let numbers = [0, 1].map(|column| batches[0].column(column).as_primitive::<Int64Type>().value(0));
    assert_eq!(numbers, [kept.clone().count() as i64, kept.sum()]);

    // Rows of every type, in the form in which a store answers them.
    let (table, written) = all_types();
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    apply(&store, 1, 1, command(1, raftduck_model::CommandBody::SetSchema(table.clone()))).await;
    apply(&store, 1, 2, command(1, append(&table, vec![part(1, &written)]))).await;
    let sql = "SELECT * FROM \"all types\" ORDER BY n";
    let (schema, answered) = run(&store, spec(sql, std::slice::from_ref(&table))).await.unwrap();
    let mut process = QueryProcess::spawn(&std::env::current_exe().unwrap(), LIMITS, sql, None).await.unwrap();
    process.table(&table).await.unwrap();
    for rows in &answered {
        process.rows(&batch::encode(rows).unwrap()).await.unwrap();
    }
    let again = rows_of(process.run().await.unwrap()).await.unwrap();
    let [sent, got] = [&answered, &again].map(|batches| arrow::compute::concat_batches(&schema, batches).unwrap());
    for (column, field) in schema.fields().iter().enumerate() {
        assert_eq!(sent.column(column).to_data(), got.column(column).to_data(), "{}", field.name());
    }
    println!("test an_answer_comes_back_as_it_is ... ok");
}

async fn a_bad_statement_is_told_as_such() {
    for sql in ["SELEC 1", "SELECT nobody FROM events", "SELECT 1; SELECT 2", "COPY events TO '/tmp/x'"] {
        let error = ask(sql, LIMITS).await.err();
        assert!(matches!(error, Some(ProcessError::Statement(_))), "{sql}: {error:?}");
    }
    println!("test a_bad_statement_is_told_as_such ... ok");
}

async fn memory_beyond_the_bound_is_an_error_and_not_more() {
    for sql in [
        "SELECT repeat('a', 1500000000)",
        "SELECT repeat('a', 600000000)",
        "SELECT len(range(300000000))",
        "SELECT count(*) FROM events WHERE repeat('a', 1500000000) = v",
        "SELECT count(*) FROM events WHERE len(range(300000000)) = k",
        "SELECT count(*) FROM events WHERE len(range(300000000 + k)) = k",
        "SELECT list(repeat(v, 100000)) FROM events",
        "WITH RECURSIVE r(n, t) AS (SELECT 1, 'x' UNION ALL SELECT n + 1, t || t FROM r) SELECT max(len(t)) FROM r",
    ] {
        let begun = Instant::now();
        let error = match ask(sql, LIMITS).await {
            Err(error) => Some(error),
            Ok(answer) => rows_of(answer).await.err(),
        };
        let error = error.unwrap_or_else(|| panic!("{sql} was answered"));
        println!("{sql}: {error} ({:?})", begun.elapsed());
        assert!(
            matches!(error, ProcessError::Killed(_) | ProcessError::Statement(_) | ProcessError::Timeout),
            "{error:?}"
        );
    }
    println!("test memory_beyond_the_bound_is_an_error_and_not_more ... ok");
}

async fn a_late_statement_ends_at_its_time() {
    let limits = ProcessLimits { time: Duration::from_millis(500), ..LIMITS };
    let heavy = "SELECT count(*) FROM events a, events b, events c WHERE hash(a.k, b.k, c.k) = 0";
    let error = match ask(heavy, limits).await {
        Err(error) => Some(error),
        Ok(answer) => rows_of(answer).await.err(),
    };
    assert!(matches!(error, Some(ProcessError::Timeout | ProcessError::Killed(_))), "{error:?}");
    println!("test a_late_statement_ends_at_its_time ... ok");
}
