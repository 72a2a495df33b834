//! The first thing that anyone runs.
#![allow(clippy::unwrap_used)]

use std::net::TcpListener;
use std::time::Duration;

use raftduck_tests::{launch, port, process};

#[test]
fn the_tour_ends_with_exit_code_zero() {
    let folder = tempfile::tempdir().unwrap();
    let line = launch::demo_once(port::free_block(4).unwrap()).unwrap();
    let (status, output) = process::run(line, folder.path(), Duration::from_secs(180)).unwrap();
    assert!(status.success(), "{status}\n{output}");
}

#[test]
fn a_busy_port_is_an_error_that_names_port_and_flag() {
    let folder = tempfile::tempdir().unwrap();
    let base = port::free_block(4).unwrap();
    for busy in [base, base + 2] {
        let _holder = TcpListener::bind(("127.0.0.1", busy)).unwrap();
        let line = launch::demo_once(base).unwrap();
        let (status, output) = process::run(line, folder.path(), Duration::from_secs(60)).unwrap();
        assert!(!status.success(), "{output}");
        assert!(output.contains(&busy.to_string()) && output.contains("--base-port"), "{output}");
    }
}
