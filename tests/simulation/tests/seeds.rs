//! What CI simulates; `cargo xtask simulate --seeds 2000` goes on from there.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn simulation(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_simulation")).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_must_stay_true_does_for_200_seeds() {
    let output = simulation(&["--seeds", "200"]);
    let failed: Vec<String> =
        text(&output).lines().filter(|line| !line.starts_with("seed ")).map(str::to_owned).collect();
    assert!(output.status.success(), "{failed:#?}");
}

#[test]
fn a_seed_always_comes_to_the_same() {
    for seed in ["3", "4", "5"] {
        let first = text(&simulation(&["--seed", seed]));
        assert_eq!(text(&simulation(&["--seed", seed])), first);
    }
}

/// Whatever is wrong on purpose is noticed, by the check that is there for it.
fn is_noticed(wrong: &str, as_breach_of: &str) {
    let output = simulation(&["--seeds", "8", "--wrong", wrong]);
    let text = text(&output);
    assert!(!output.status.success() && text.contains(as_breach_of), "{wrong} was not noticed: {text}");
}

#[test]
fn a_write_that_is_acknowledged_before_a_quorum_has_it_is_noticed() {
    is_noticed("acknowledge-before-quorum", " 6: ");
}

#[test]
fn keys_that_a_restart_forgets_are_noticed() {
    is_noticed("forget-keys", " 2: ");
}

#[test]
fn reads_that_do_not_ask_how_far_they_have_to_be_are_noticed() {
    is_noticed("read-without-index", " 4: ");
}
