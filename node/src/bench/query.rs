//! Five queries over the loaded rows, the cluster beside one DuckDB, in turns.

use std::time::{Duration, Instant};

use raftduck_engine::plain::Plain;
use raftduck_wire::http::{SqlRequest, media};

use super::{Bench, aim};
use crate::tables::Text;

/// Odd, so that the median is one of the times.
const TIMES: usize = 11;
/// The cluster may take this many times as long, and the network its 10 ms.
const FACTOR: f64 = 1.3;
const EXTRA: Duration = Duration::from_millis(10);

const QUERIES: [(&str, &str); 5] = [
    ("count", "SELECT count(*) AS n FROM readings"),
    (
        "group by state",
        "SELECT state, count(*) AS n, avg(celsius) AS mean, max(celsius) AS most FROM readings GROUP BY state \
         ORDER BY state",
    ),
    (
        "group by device, top 10",
        "SELECT device, sum(celsius) AS total FROM readings GROUP BY device ORDER BY total DESC, device LIMIT 10",
    ),
    (
        "filter on time, by minute",
        "SELECT date_trunc('minute', ts) AS minute, count(*) AS n, min(celsius) AS least FROM readings \
         WHERE ts >= TIMESTAMP '2026-01-01 00:30:00' AND ts < TIMESTAMP '2026-01-01 01:00:00' AND state = 'alarm' \
         GROUP BY minute ORDER BY minute",
    ),
    ("top 20 rows", "SELECT * FROM readings ORDER BY celsius DESC, id DESC LIMIT 20"),
];

/// Runs every query in turns and prints the medians.
///
/// # Errors
/// Where the two give different answers.
pub async fn run(bench: &Bench<'_>, plain: &Plain) -> anyhow::Result<()> {
    println!("\nquery: median of {TIMES}, over {} rows", bench.options.rows);
    let mut met = true;
    for (name, sql) in QUERIES {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let began = Instant::now();
            let answer = bench.client.bytes(&SqlRequest::new(sql), media::ARROW).await?;
            here.push(began.elapsed());
            let began = Instant::now();
            let batches = plain.query(sql)?;
            there.push(began.elapsed());
            let same = Text::from_ipc(&answer)?.rows == Text::from_batches(&batches)?.rows;
            anyhow::ensure!(same, "{name}: the cluster's answer is not plain DuckDB's");
        }
        let (here, there) = (median(&mut here), median(&mut there));
        met &= here <= there.mul_f64(FACTOR) + EXTRA;
        let ratio = here.as_secs_f64() / there.as_secs_f64();
        println!("  {name:<28} {:>9.1} ms, one DuckDB {:>9.1} ms, {ratio:.2} times", ms(here), ms(there));
    }
    aim(met, "each within 1.3 times + 10 ms");
    Ok(())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
