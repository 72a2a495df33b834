#![allow(clippy::unwrap_used, clippy::panic)]
use super::*;

fn parse_with(file: &str, args: &[&str]) -> Result<Cli, clap::Error> {
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), file).unwrap();
    let config: OsString = path.path().into();
    let head = [OsString::from("raftduck"), OsString::from("--config"), config];
    parse_from(head.into_iter().chain(args.iter().map(OsString::from)).collect())
}

fn control(cli: Cli) -> ControlOptions {
    match cli.command {
        Command::Control(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_line_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn the_file_gives_what_is_required_and_lists() {
    let cli = parse_with("stores = [\"a:1\", \"b:2\"]\ninsecure = true\nlog_level = \"warn\"", &["control"]).unwrap();
    assert_eq!(cli.log.log_level, "warn");
    let options = control(cli);
    assert_eq!(options.stores, ["a:1", "b:2"]);
    assert!(options.insecure);
}

#[test]
fn a_flag_wins_over_the_file() {
    let file = "stores = \"a:1\"\nmemory = \"1GiB\"\nthreads = 3";
    let options = control(parse_with(file, &["control", "--memory", "2GiB"]).unwrap());
    assert_eq!(options.resources.memory, Some(units::ByteSize(2 << 30)));
    assert_eq!(options.resources.threads.map(u16::from), Some(3));
    assert_eq!(options.stores, ["a:1"]);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let error = parse_with("memroy = \"1GiB\"", &["control", "--stores", "a:1"]).unwrap_err().to_string();
    assert!(error.contains("\"memroy\"") && error.contains("\"memory\""), "{error}");
}

#[test]
fn a_value_in_the_file_is_checked_like_a_flag() {
    let error = parse_with("stores = \"a:1\"\nmemory = \"lots\"", &["control"]).unwrap_err().to_string();
    assert!(error.contains("512MiB"), "{error}");
    let error = parse_with("memory = {}", &["control"]).unwrap_err().to_string();
    assert!(error.contains("memory"), "{error}");
}
