//! `raftduck demo`: a tour of a whole cluster on this machine.

use std::time::{Duration, Instant};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use raftduck_engine::plain::Plain;
use raftduck_wire::client::{Client, ClientConfig, Rows, RowsOptions};
use raftduck_wire::http::{SqlRequest, media};

use crate::cli::DemoOptions;
use crate::local;
use crate::machine;
use crate::shutdown;
use crate::supervisor::Local;
use crate::tables::Text;

mod data;
mod outage;
mod questions;

/// Rows in one request of the load.
const BATCH_ROWS: usize = 20_000;
/// What the plain DuckDB that checks the answers may use, in bytes.
const PLAIN_MEMORY: u64 = 512 << 20;

/// Runs the tour, and serves afterwards unless it was to be `--once`.
///
/// # Errors
/// Where an answer was wrong, a row was lost, or the cluster could not be run.
pub async fn run(options: DemoOptions) -> anyhow::Result<()> {
    let stop = shutdown::on_signal()?;
    let folder = tempfile::Builder::new().prefix("raftduck-demo-").tempdir()?;
    let began = Instant::now();
    let plan = local::plan(&options.local, folder.path(), "info")?;
    println!("Starting {} workers and a control in {} …", plan.workers, folder.path().display());
    let mut local = tokio::select! {
        local = Local::start(plan) => local?,
        () = stop.cancelled() => return Ok(()),
    };
    println!("A cluster of {} partitions serves on {} after {:.1?}.", local.partitions(), local.url(), began.elapsed());
    let mut outcome = tokio::select! {
        outcome = tour(&mut local) => outcome,
        () = stop.cancelled() => Ok(()),
    };
    if outcome.is_ok() && !options.once && !stop.is_cancelled() {
        invite(&local);
        outcome = local::serve(&mut local, &stop).await;
    }
    let ended = local.ended();
    local.stop().await;
    if outcome.is_err() {
        ended.iter().for_each(|ended| eprintln!("{ended}"));
        // What went wrong is in the logs there.
        eprintln!("kept {}", folder.keep().display());
    }
    outcome
}

async fn tour(local: &mut Local) -> anyhow::Result<()> {
    let client =
        Client::new(&local.url(), ClientConfig { token: Some(local.token().to_owned()), ..Default::default() })?;
    let csv = data::csv()?;
    load(&client, &csv).await?;
    let plain = Plain::open_in_memory(PLAIN_MEMORY, usize::from(machine::cores().get()))?;
    load_plain(&plain, &csv)?;
    let right = ask(&client, &plain).await?;
    let whole = outage::run(local, &client).await?;
    anyhow::ensure!(right, "some answers differ from plain DuckDB's, see above");
    anyhow::ensure!(whole, "rows are missing or doubled, see above");
    println!("\nEvery answer equals plain DuckDB's, and every acknowledged row is there once.");
    Ok(())
}

async fn load(client: &Client, csv: &bytes::Bytes) -> anyhow::Result<()> {
    println!(
        "\n── Loading all 336,776 flights from New York in 2013, as CSV over HTTP, each batch on a quorum's disks"
    );
    client.ddl(&format!("{} PARTITIONED BY (flight)", questions::CREATE)).await.context("CREATE TABLE")?;
    let batches = data::batches(csv, BATCH_ROWS);
    let rows: usize = batches.iter().map(|(_, rows)| rows).sum();
    let bar = ProgressBar::new(rows as u64);
    bar.set_style(ProgressStyle::with_template("{bar:50} {human_pos}/{human_len} rows, {per_sec}")?);
    let began = Instant::now();
    for (body, rows) in batches {
        let rows_body = Rows { body, content_type: media::CSV, encoding: None };
        let answer = client.insert("flights", &rows_body, &RowsOptions::default()).await.context("loading")?;
        anyhow::ensure!(answer.rows == rows as u64, "sent {rows} rows, {} were taken", answer.rows);
        bar.inc(rows as u64);
    }
    bar.finish_and_clear();
    let seconds = began.elapsed().as_secs_f64();
    println!("{rows} rows in {seconds:.2} s, {:.0} rows/s from one client", rows as f64 / seconds);
    Ok(())
}

fn load_plain(plain: &Plain, csv: &[u8]) -> anyhow::Result<()> {
    let file = tempfile::Builder::new().suffix(".csv").tempfile()?;
    std::fs::write(file.path(), csv)?;
    plain.execute(questions::CREATE)?;
    let path = file.path().to_string_lossy().replace('\'', "''");
    plain.execute(&format!("INSERT INTO flights FROM read_csv('{path}', header = true)"))?;
    Ok(())
}

/// Whether all answers equal plain DuckDB's.
async fn ask(client: &Client, plain: &Plain) -> anyhow::Result<bool> {
    let years = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year() - 2013;
    let mut right = true;
    for (index, question) in questions::questions(years).iter().enumerate() {
        println!("\n── {}. {}", index + 1, question.title);
        let (mut cluster, mut single, mut took) = answers(client, plain, &question.sql).await?;
        if cluster != single {
            // Midnight may have passed between the two.
            (cluster, single, took) = answers(client, plain, &question.sql).await?;
        }
        println!("{}", cluster.table());
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        let [here, there] = took.map(milliseconds);
        if cluster == single {
            println!("{here:.1} ms over HTTP; plain DuckDB in this process says the same after {there:.1} ms");
        } else {
            right = false;
            println!("WRONG: plain DuckDB says\n{}", single.table());
        }
    }
    Ok(right)
}

async fn answers(client: &Client, plain: &Plain, sql: &str) -> anyhow::Result<(Text, Text, [Duration; 2])> {
    let began = Instant::now();
    let bytes = client.bytes(&SqlRequest::new(sql), media::ARROW).await?;
    let here = began.elapsed();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let began = Instant::now();
    let batches = plain.query(&questions::for_plain(sql, &now))?;
    let there = began.elapsed();
    let cluster = Text::from_ipc(&bytes)?;
    let mut single = Text::from_batches(&batches)?;
    if single.rows.is_empty() {
        // No batch, no names: an empty answer has them only in the stream.
        single.head.clone_from(&cluster.head);
    }
    Ok((cluster, single, [here, there]))
}

fn invite(local: &Local) {
    let (url, token) = (local.url(), local.token());
    println!("\n── It keeps serving; Ctrl-C ends it and removes its data. Try:\n");
    println!("curl {url}/v1/sql -H 'Authorization: Bearer {token}' -H 'Content-Type: text/plain' \\");
    println!("  -d 'SELECT carrier, count(*) FROM flights GROUP BY carrier ORDER BY 2 DESC'\n");
    println!("curl '{url}/v1/tables/readings/rows?create=true' -H 'Authorization: Bearer {token}' \\");
    println!("  -H 'Content-Type: application/json' -d '[{{\"sensor\": \"a\", \"celsius\": 21.5}}]'\n");
    println!("curl {url}/v1/cluster -H 'Authorization: Bearer {token}'\n");
}
