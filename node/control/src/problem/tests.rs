#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use raftduck_model::meta::MetaError;

use super::*;
use crate::route::{AppendError, Failure, Final, Waiting};

#[test]
fn no_two_problems_share_a_code_and_each_has_an_errors_status() {
    let texts: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(texts.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
    }
}

/// Clients' programs hold these.
#[test]
fn codes_and_statuses_keep_their_golden_values() {
    let golden: Vec<String> =
        Code::ALL.iter().map(|code| format!("{} {}", code.status().as_u16(), code.as_str())).collect();
    assert_eq!(golden.join("\n"), include_str!("golden.txt").trim_end());
}

#[test]
fn a_problem_is_sent_with_its_headers() {
    let response = Problem::busy("later").retry_after(Duration::from_millis(1200)).into_response();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    assert_eq!(response.headers()[header::CONTENT_TYPE], media::PROBLEM);
    let response = Problem::new(Code::Unauthorized, "who").into_response();
    assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    let response = Problem::new(Code::MethodNotAllowed, "no").allow("GET, HEAD").into_response();
    assert_eq!(response.headers()[header::ALLOW], "GET, HEAD");
}

fn append_error(written: &[u32], failed: &[(u32, Failure)]) -> Problem {
    let failed: BTreeMap<_, _> = failed.iter().map(|(id, failure)| (PartitionId(*id), failure.clone())).collect();
    AppendError { written: written.iter().copied().map(PartitionId).collect(), failed }.into()
}

#[test]
fn a_failed_write_says_what_is_in_and_whether_to_repeat_it() {
    let busy = Failure::NotWritten(Waiting::Busy { retry_after_ms: 2500 });
    let leaderless = Failure::NotWritten(Waiting::NoLeader);
    let cases = [
        (append_error(&[], &[(1, busy.clone())]), Code::Busy),
        (append_error(&[], &[(1, leaderless.clone())]), Code::NoLeader),
        // 429 and no_leader promise that nothing was written.
        (append_error(&[2], &[(1, busy)]), Code::PartlyWritten),
        (append_error(&[2], &[(1, leaderless.clone())]), Code::PartlyWritten),
        (append_error(&[], &[(1, Failure::Unknown), (2, leaderless)]), Code::OutcomeUnknown),
        (append_error(&[], &[(1, Failure::Unknown), (2, Failure::Final(Final::KeyReused))]), Code::KeyReused),
        (append_error(&[], &[(1, Failure::Final(Final::TableDropped))]), Code::TableDropped),
        (append_error(&[], &[(1, Failure::Final(Final::DiskFull("85 %".into())))]), Code::DiskFull),
    ];
    for (problem, code) in cases {
        assert_eq!(problem.code(), code, "{problem:?}");
        assert!(!problem.body().failed_partitions.is_empty());
    }
    assert_eq!(append_error(&[3], &[(1, Failure::Unknown)]).body().written_partitions, [3]);
}

#[test]
fn the_catalogs_refusals_are_the_clients_to_mend() {
    let name = || "t".to_owned();
    for (error, code) in [
        (MetaError::TableExists { name: name() }, Code::TableExists),
        (MetaError::NoSuchTable { name: name() }, Code::NoSuchTable),
        (MetaError::ColumnExists { table: name(), column: name() }, Code::ColumnExists),
        (MetaError::TooManyColumns { columns: 2, limit: 1 }, Code::BadTable),
        (MetaError::Invalid { reason: name() }, Code::BadTable),
        (MetaError::NotBootstrapped, Code::NotReady),
    ] {
        assert_eq!(Problem::from(error).code(), code);
    }
}
