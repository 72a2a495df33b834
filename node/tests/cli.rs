//! The program from outside: what is wrong is said before anything is done.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output};

fn raftduck(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raftduck"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RAFTDUCK_")) {
        command.env_remove(name);
    }
    command.args(args).output().unwrap()
}

fn refusal(args: &[&str]) -> String {
    let output = raftduck(args);
    assert!(!output.status.success(), "{args:?} succeeded");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn help_names_every_command_and_hides_the_internal_one() {
    let help = String::from_utf8(raftduck(&["--help"]).stdout).unwrap();
    for command in ["demo", "dev", "worker", "control", "bootstrap", "sql", "status", "recover", "bench"] {
        assert!(help.contains(&format!("  {command} ")), "{command} is missing in {help}");
    }
    assert!(!help.contains("query-process"), "{help}");
}

#[test]
fn a_busy_port_is_named_before_anything_is_started() {
    let busy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = busy.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let error = refusal(&["dev", "--data", data.to_str().unwrap(), "--base-port", &port.to_string()]);
    assert!(error.contains(&format!("port {port} is in use")) && error.contains("--base-port"), "{error}");
    assert!(!data.exists());
}

#[test]
fn a_serving_role_without_a_token_refuses_to_start_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let worker = ["worker", "--listen", "127.0.0.1:1", "--data", data.to_str().unwrap()];
    for args in [&worker[..], &["control", "--listen", "127.0.0.1:1", "--stores", "127.0.0.1:2"]] {
        let error = refusal(args);
        assert!(error.contains("token-file") && error.contains("--insecure"), "{error}");
    }
    assert!(!data.exists());
}

#[test]
fn a_misspelt_setting_in_the_file_is_named_with_the_nearest_one() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "memroy = \"1GiB\"\n").unwrap();
    let error = refusal(&["control", "--stores", "127.0.0.1:2", "--config", file.path().to_str().unwrap()]);
    assert!(error.contains("memroy") && error.contains("\"memory\""), "{error}");
}

#[test]
fn readmes_table_of_metrics_is_the_codes() {
    // Cargo runs tests in their package's folder.
    let readme = std::fs::read_to_string("../README.md").unwrap();
    let (_, after) = readme.split_once("<!-- metrics -->\n").unwrap();
    let (shown, _) = after.split_once("<!-- /metrics -->").unwrap();
    let table = String::from_utf8(raftduck(&["metrics"]).stdout).unwrap();
    assert_eq!(shown, table, "put what `raftduck metrics` prints between README's markers");
}

#[test]
fn recovery_of_a_folder_without_a_store_is_refused_and_makes_none() {
    let folder = tempfile::tempdir().unwrap();
    let error = refusal(&["recover", "--data", folder.path().to_str().unwrap()]);
    assert!(error.contains("holds no store"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
