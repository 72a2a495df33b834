//! Bad input of every kind gets a clear error, ends no process and takes no memory to speak of.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use raftduck_tests::cluster::Cluster;
use raftduck_tests::launch::TOKEN;
use raftduck_tests::{content, raw};
use raftduck_wire::http::{Problem, SqlRequest, media};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// No process may ever have had more resident: the shares that the tests give, and room for the
/// bodies that are under way.
const MOST_MEMORY: u64 = 2 << 30;

struct Case {
    name: &'static str,
    path: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

fn case(name: &'static str, path: &'static str, content_type: &'static str, body: impl Into<Vec<u8>>) -> Case {
    Case { name, path, content_type, body: body.into() }
}

fn cases() -> Vec<Case> {
    const ROWS: &str = "/v1/tables/load/rows";
    const SQL: &str = "/v1/sql";
    let wide = (0..10_000).map(|column| format!("c{column} INTEGER")).collect::<Vec<_>>().join(", ");
    let wide_row = (0..10_000).map(|column| format!("\"c{column}\":1")).collect::<Vec<_>>().join(",");
    let long = format!("SELECT '{}'", "x".repeat(2 << 20));
    let sql = |name, text: &str| case(name, SQL, media::TEXT, text);
    vec![
        case("truncated JSON", ROWS, media::JSON, r#"[{"id":1,"client":2"#),
        case("truncated NDJSON", ROWS, media::NDJSON, "{\"id\":1}\n{\"id\":"),
        case("an open quote in CSV", ROWS, media::CSV, "id,text\n1,\"open"),
        case("a CSV row too long", ROWS, media::CSV, "id,client\n1,2,3\n"),
        case("truncated Arrow", ROWS, media::ARROW, vec![0xff, 0xff, 0xff, 0xff, 0x10, 0, 0, 0, 1, 2, 3]),
        case("Arrow that is none", ROWS, media::ARROW, vec![7; 4096]),
        case("text where a number belongs", ROWS, media::JSON, r#"[{"id":"seven"}]"#),
        case("a number out of range", ROWS, media::JSON, r#"[{"id":9223372036854775808}]"#),
        case("a fraction where an integer belongs", ROWS, media::JSON, r#"[{"id":1.5}]"#),
        case("an object where a number belongs", ROWS, media::JSON, r#"[{"id":{"a":1}}]"#),
        case("an unknown column", ROWS, media::JSON, r#"[{"id":1,"nobody":2}]"#),
        case("rows that are no objects", ROWS, media::JSON, "[1,2,3]"),
        case("invalid UTF-8 in JSON", ROWS, media::JSON, b"[{\"id\":1,\"text\":\"\xff\xfe\"}]".as_slice()),
        case("invalid UTF-8 in CSV", ROWS, media::CSV, b"id,text\n1,\xff\xfe\n".as_slice()),
        case("deep JSON", ROWS, media::JSON, "[".repeat(200_000)),
        case("deep objects", ROWS, media::JSON, "{\"a\":".repeat(100_000)),
        case("10,000 columns in a row", ROWS, media::JSON, format!("[{{{wide_row}}}]")),
        case("10,000 columns inferred", "/v1/tables/wide/rows?create=true", media::JSON, format!("[{{{wide_row}}}]")),
        case("an unknown media type", ROWS, "image/png", vec![1, 2, 3]),
        case("an unknown table", "/v1/tables/nobody/rows", media::JSON, r#"[{"id":1}]"#),
        case("SQL in a table's name", "/v1/tables/x%22;DROP%20TABLE%20load/rows", media::JSON, r#"[{"id":1}]"#),
        case("SQL that is no JSON", SQL, media::JSON, "{"),
        case("a misspelt option", SQL, media::JSON, r#"{"sql":"SELECT 1","maxrows":2}"#),
        case("deep JSON as a request", SQL, media::JSON, "[".repeat(200_000)),
        case("invalid UTF-8 in SQL", SQL, media::TEXT, b"SELECT '\xff'".as_slice()),
        sql("bad SQL", "SELEC 1"),
        sql("no SQL", ""),
        sql("two statements", "SELECT 1; SELECT 2"),
        sql("an unknown table in SQL", "SELECT * FROM nobody"),
        sql("an unknown column in SQL", "SELECT nobody FROM load"),
        sql("a statement too long", &long),
        sql("10,000 columns in SQL", &format!("CREATE TABLE wide ({wide})")),
        sql("deep parentheses", &format!("SELECT {}1{}", "(".repeat(50_000), ")".repeat(50_000))),
        sql("a file of the server", "SELECT * FROM read_text('/etc/passwd')"),
        sql("a file by its name", "SELECT * FROM '/etc/passwd'"),
        sql("writing a file", "COPY (SELECT 1) TO '/tmp/raftduck-was-here'"),
        sql("attaching a database", "ATTACH '/tmp/raftduck-was-here.db'"),
        sql("an extension", "INSTALL httpfs"),
        sql("a setting", "SET memory_limit = '100GB'"),
        sql("a HUGEINT of 39 digits", "INSERT INTO wide_numbers VALUES (170141183460469231731687303715884105727)"),
        sql(
            "a HUGEINT of 39 digits below zero",
            "INSERT INTO wide_numbers VALUES (-170141183460469231731687303715884105728)",
        ),
        sql(
            "a HUGEINT of 39 digits in a list",
            "INSERT INTO wide_numbers VALUES (1, [170141183460469231731687303715884105727])",
        ),
        sql(
            "a default of 39 digits",
            "ALTER TABLE wide_numbers ADD COLUMN d HUGEINT DEFAULT 170141183460469231731687303715884105727",
        ),
        sql("a primary key", "CREATE TABLE p (a INTEGER PRIMARY KEY)"),
        sql("a huge string in SELECT", "SELECT repeat('a', 1500000000)"),
        sql("a huge string in WHERE", "SELECT count(*) FROM load WHERE repeat('a', 1500000000) = text"),
        sql("a huge list in SELECT", "SELECT len(range(300000000))"),
        sql("a huge list in WHERE", "SELECT count(*) FROM load WHERE len(range(300000000)) = id"),
        case(
            "endless recursion",
            SQL,
            media::JSON,
            r#"{"sql":"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
                "timeout_ms":3000}"#,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_gets_an_error_and_the_cluster_goes_on() -> Result<()> {
    let mut cluster = Cluster::start().await?;
    let client = cluster.patient_client()?;
    client.ddl(content::CREATE).await?;
    client.ddl("CREATE TABLE wide_numbers (n HUGEINT, list HUGEINT[])").await?;
    let good = content::Batch { seed: 1, client: 0, number: 0, rows: 100 };
    client.insert("load", &good.body(), &Default::default()).await?;
    let ids = cluster.ids();

    let mut wrong = Vec::new();
    for case in cases() {
        let name = case.name;
        if let Err(error) = refused(&cluster, case).await {
            wrong.push(format!("{name}: {error:#}"));
        }
        // Others are served meanwhile and afterwards.
        let answer = client.query(&SqlRequest::new("SELECT count(*) FROM load")).await;
        let count = answer.with_context(|| format!("nobody is served after {name}"))?.rows;
        if count != vec![vec![serde_json::json!(100)]] {
            wrong.push(format!("{name}: the table then had {count:?} rows"));
        }
    }
    if let Err(error) = on_the_wire(&cluster).await {
        wrong.push(format!("{error:#}"));
    }
    ensure!(wrong.is_empty(), "{} wrong answers:\n{}\n{}", wrong.len(), wrong.join("\n"), cluster.logs());

    ensure!(cluster.ids() == ids, "a process ended: {}", cluster.logs());
    for role in cluster.roles() {
        let memory = cluster.process(role)?.memory().context("a process is gone")?;
        println!("{role:?}: {} MiB resident, {} MiB at the most", memory.now >> 20, memory.peak >> 20);
        ensure!(memory.peak < MOST_MEMORY, "{role:?} took {} MiB", memory.peak >> 20);
    }
    cluster.wait_ready().await
}

/// The case is answered with a problem of the client's making, or 503 to 507 where only running it shows that.
async fn refused(cluster: &Cluster, case: Case) -> Result<()> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
    let response = http
        .request(Method::POST, format!("{}{}", cluster.base(), case.path))
        .bearer_auth(TOKEN)
        .header("content-type", case.content_type)
        .body(case.body)
        .send()
        .await?;
    let status = response.status();
    let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let body = response.text().await?;
    ensure!(!status.is_success(), "it was taken: {status} {body}");
    ensure!(status != StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    ensure!(kind.as_deref() == Some(media::PROBLEM), "{status} as {kind:?}: {body}");
    let problem: Problem = serde_json::from_str(&body).context("reading the problem")?;
    ensure!(problem.status == status.as_u16() && !problem.code.is_empty() && !problem.detail.is_empty(), "{body}");
    Ok(())
}

async fn on_the_wire(cluster: &Cluster) -> Result<()> {
    const SHORT: Duration = Duration::from_secs(5);
    let control = cluster.base().trim_start_matches("http://");
    let ports: Vec<&str> =
        std::iter::once(control).chain(cluster.worker_addresses().iter().map(String::as_str)).collect();

    // Random bytes, and HTTP/2's preface with random bytes behind it, everywhere.
    let mut random = StdRng::seed_from_u64(5);
    for port in &ports {
        for preface in [
            b"".as_slice(),
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"POST /raftduck.store.v1.Store/Query HTTP/1.1\r\n\r\n",
        ] {
            let mut noise = vec![0; 64 << 10];
            random.fill_bytes(&mut noise);
            raw::exchange(port, &[preface, &noise].concat(), SHORT).await?;
        }
    }

    // Without a token, or with a wrong one.
    for authorization in ["", "authorization: Bearer wrong\r\n", "authorization: Basic bG9jYWw6\r\n"] {
        let request = format!("GET /v1/tables HTTP/1.1\r\nhost: h\r\n{authorization}connection: close\r\n\r\n");
        let answer = raw::exchange(control, request.as_bytes(), SHORT).await?;
        let answer = String::from_utf8_lossy(&answer);
        ensure!(answer.starts_with("HTTP/1.1 401"), "{authorization:?} was answered with {answer}");
    }

    // A body beyond the limit is refused by its length, before it is sent.
    let head = raw::head("POST", "/v1/tables/load/rows", media::JSON, 1 << 40);
    let answer = raw::exchange(control, &head, Duration::from_secs(30)).await?;
    ensure!(answer.starts_with(b"HTTP/1.1 413"), "a TiB was answered with {}", String::from_utf8_lossy(&answer));

    // Senders that never finish, and readers that never read, hold nobody else up.
    let mut idle = Vec::new();
    for _ in 0..50 {
        let mut sender = TcpStream::connect(control).await?;
        sender.write_all(&raw::head("POST", "/v1/tables/load/rows", media::JSON, 1000)).await?;
        sender.write_all(b"[").await?;
        idle.push(sender);
        let sql = br#"{"sql":"SELECT a.*, b.* FROM load a, load b, load c"}"#;
        let mut reader = TcpStream::connect(control).await?;
        reader.write_all(&raw::head("POST", "/v1/sql", media::JSON, sql.len())).await?;
        reader.write_all(sql).await?;
        idle.push(reader);
    }
    let answer = cluster.patient_client()?.query(&SqlRequest::new("SELECT count(*) FROM load")).await;
    answer.context("nobody is served beside idle clients")?;
    Ok(())
}
