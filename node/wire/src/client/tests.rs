#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

/// Answers each connection in turn with the next of `replies` (empty: closes it without a word) and hands out what
/// was asked.
async fn serve(replies: Vec<String>) -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (asked, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for reply in replies {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !is_whole(&request) {
                if socket.read_buf(&mut request).await.unwrap() == 0 {
                    break;
                }
            }
            asked.send(String::from_utf8(request).unwrap()).unwrap();
            socket.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (base, requests)
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    body.len() >= length.parse().unwrap()
}

fn reply(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn problem(status: u16, code: &str) -> String {
    let body = format!(r#"{{"status":{status},"code":"{code}","detail":"d"}}"#);
    reply(&format!("{status} x"), &body)
}

fn client(base: &str) -> Client {
    let config = ClientConfig { first_wait: Duration::from_millis(1), retries: 3, ..ClientConfig::default() };
    Client::new(base, config).unwrap()
}

fn key_of(request: &str) -> String {
    let line = request.lines().find(|line| line.starts_with(header::IDEMPOTENCY_KEY)).unwrap();
    line.split_once(": ").unwrap().1.to_owned()
}

const WRITTEN: &str = r#"{"table":"t","rows":1,"duplicate":true,"elapsed_ms":1}"#;

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_repeated_under_the_same_key() {
    let (base, mut requests) = serve(vec![String::new(), problem(503, "no_leader"), reply("200 OK", WRITTEN)]).await;
    let rows = Rows { body: Bytes::from_static(b"[{}]"), content_type: media::JSON, encoding: None };
    let answer = client(&base).insert("t", &rows, &RowsOptions::default()).await.unwrap();
    assert!(answer.duplicate);
    let keys: Vec<String> = [requests.recv().await, requests.recv().await, requests.recv().await]
        .map(|request| key_of(&request.unwrap()))
        .into();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn ddl_whose_reply_is_lost_is_not_repeated() {
    let (base, mut requests) = serve(vec![String::new(), reply("200 OK", "{}")]).await;
    let error = client(&base).ddl("CREATE TABLE t (a INTEGER)").await.unwrap_err();
    assert!(matches!(error, ClientError::Transport { .. }), "{error}");
    assert!(requests.recv().await.unwrap().contains("CREATE TABLE"));
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_problem_that_no_repetition_heals_comes_at_once_and_typed() {
    let (base, _requests) = serve(vec![problem(422, "key_reused"), reply("200 OK", WRITTEN)]).await;
    let rows = Rows { body: Bytes::from_static(b"[]"), content_type: media::JSON, encoding: None };
    let error = client(&base).insert("t", &rows, &RowsOptions::default()).await.unwrap_err();
    assert_eq!(error.code(), Some("key_reused"));
}

#[tokio::test]
async fn attempts_end() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let failing = client("http://127.0.0.1:1");
    let result: Result<(), ClientError> = failing
        .retrying(true, move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Err(ClientError::Problem(Box::new(Problem { status: 503, ..Problem::default() }))) }
        })
        .await;
    assert!(result.is_err());
    assert_eq!(calls.load(Ordering::Relaxed), 4);
}

#[test]
fn a_table_name_stays_one_path_segment() {
    let url = client("http://h:1").table_url("a/b ?ü", Some("rows"));
    assert_eq!(url.as_str(), "http://h:1/v1/tables/a%2Fb%20%3F%C3%BC/rows");
}

#[test]
fn only_statements_that_read_are_repeated_blindly() {
    for sql in ["SELECT 1", " (select 1)", "WITH a AS (SELECT 1) SELECT 2", "FROM t"] {
        assert!(reads(sql), "{sql}");
    }
    for sql in ["INSERT INTO t VALUES (1)", "CREATE TABLE t (a INT)", "selection", "/* c */ SELECT 1", ""] {
        assert!(!reads(sql), "{sql}");
    }
}
