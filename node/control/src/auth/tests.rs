#![allow(clippy::unwrap_used)]

use super::*;

fn headers(value: &str) -> HeaderMap {
    HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
}

fn code(result: Result<Role, Problem>) -> Result<Role, Code> {
    result.map_err(|problem| problem.code())
}

#[test]
fn each_token_has_its_role_and_others_have_none() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# ours\n\nalpha read\n  beta\twrite \ngamma admin\ndelta\n").unwrap();
    let auth = Auth::load(Some("epsilon"), Some(file.path())).unwrap();
    for (sent, role) in [
        ("Bearer alpha", Ok(Role::Read)),
        ("bearer beta", Ok(Role::Write)),
        ("BEARER  gamma ", Ok(Role::Admin)),
        ("Bearer delta", Ok(Role::Admin)),
        ("Bearer epsilon", Ok(Role::Admin)),
        ("Bearer alph", Err(Code::Unauthorized)),
        ("Bearer alphaa", Err(Code::Unauthorized)),
        ("Bearer", Err(Code::Unauthorized)),
        ("Bearer ", Err(Code::Unauthorized)),
        ("Basic alpha", Err(Code::Unauthorized)),
        ("Bearer # ours", Err(Code::Unauthorized)),
    ] {
        assert_eq!(code(auth.role(&headers(sent))), role, "{sent:?}");
    }
    assert_eq!(code(auth.role(&HeaderMap::new())), Err(Code::Unauthorized));
}

#[test]
fn a_role_may_do_what_lesser_roles_may() {
    assert!(Role::Admin.require(Role::Write).is_ok());
    assert!(Role::Write.require(Role::Read).is_ok());
    assert_eq!(Role::Write.require(Role::Admin).unwrap_err().code(), Code::Forbidden);
    assert_eq!(Role::Read.require(Role::Write).unwrap_err().code(), Code::Forbidden);
}

#[test]
fn without_any_token_everybody_may_do_anything() {
    let auth = Auth::load(None, None).unwrap();
    assert!(auth.is_open());
    assert_eq!(code(auth.role(&HeaderMap::new())), Ok(Role::Admin));
}

#[test]
fn a_file_that_is_none_of_tokens_is_refused_without_saying_a_token() {
    for text in ["", "# only\n", "secret king\n", "secret read more\n", "secret read\nsecret write\n"] {
        let error = parse(text).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_changed_file_replaces_the_tokens_and_a_broken_one_changes_nothing() {
    let auth = Auth::load(None, Some(written("old write\n").path())).unwrap();
    for broken in [Ok("old king".to_owned()), Ok(String::new()), Err("gone".to_owned())] {
        auth.take(&broken, false);
        assert_eq!(code(auth.role(&headers("Bearer old"))), Ok(Role::Write));
    }
    auth.take(&Ok("old write\nnew read\n".to_owned()), false);
    assert_eq!(code(auth.role(&headers("Bearer new"))), Ok(Role::Read));
    auth.take(&Ok("new read\n".to_owned()), false);
    assert_eq!(code(auth.role(&headers("Bearer old"))), Err(Code::Unauthorized));
}

#[tokio::test]
async fn a_file_is_followed_while_the_process_runs() {
    let file = written("old write\n");
    let auth = Auth::load(None, Some(file.path())).unwrap();
    let following = tokio::spawn(auth.clone().follow());
    std::fs::write(file.path(), "new read\n").unwrap();
    let seen = async {
        while auth.role(&headers("Bearer new")).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), seen).await.unwrap();
    assert_eq!(code(auth.role(&headers("Bearer old"))), Err(Code::Unauthorized));
    following.abort();
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}
