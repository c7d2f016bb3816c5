//! Names, headers and redirects that try to write elsewhere or to learn a secret.

use pythia_hub::{AnswerProblem, Connection, HubError, Token};
use pythia_tests::hub::setup::{HubSetup, commit, files, repo, weights};
use pythia_tests::hub::{Body, Fault, MockFile, MockRepo, Seen, commit_of};

use super::AT_CDN;

#[test]
fn the_token_is_sent_to_the_endpoint_alone_and_never_printed() {
    const SECRET: &str = "hf_TheSecretOfThisTest";
    let setup = HubSetup::new("hub-token");
    let with_token = || {
        let connection = setup.settings().connection().unwrap();
        setup.settings().through(Connection { token: Token::new(SECRET), ..connection })
    };
    let hub = setup.hub_with(with_token());
    hub.fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap();
    let seen = setup.mock.seen();
    assert!(seen.iter().any(|seen| seen.at_cdn) && seen.iter().any(|seen| !seen.at_cdn));
    for Seen { at_cdn, headers, path, .. } in &seen {
        let sent = headers.values().any(|value| value.contains(SECRET));
        assert_eq!(sent, !at_cdn, "{path}");
    }
    let mut printed = format!("{:?}", hub.settings());
    for fault in [
        Fault::Status(403, Vec::new()),
        Fault::Flip(0),
        Fault::Garbage,
        Fault::Redirect("ftp://x?X-Signature=s".into()),
    ] {
        for part in [AT_CDN, "resolve"] {
            setup.mock.heal();
            setup.mock.fault(part, usize::MAX, fault.clone());
            let other = setup.hub_with(with_token()).fetch(&repo(), &commit("step1"), &weights("step1"), &|_| ());
            let error = other.unwrap_err();
            printed += &format!("{error} {error:?} {}", error.remedy());
        }
    }
    assert!(!printed.contains(SECRET) && !printed.contains("X-Signature"), "{printed}");
}

#[test]
fn hostile_names_never_become_paths() {
    for name in ["../evil", "../../../evil", "/tmp/evil", "a\\..\\evil", "evil\0", "a/../../evil", ".", "a//b"] {
        let mut hostile = MockFile::new("evil", Body::Bytes(b"evil".to_vec()));
        hostile.name = name.to_owned();
        let setup = HubSetup::with("hub-hostile-name", vec![MockRepo::new("org/model").branch("step0", vec![hostile])]);
        let error = setup.hub().files(&repo(), &commit("step0")).unwrap_err();
        assert!(matches!(error, HubError::Answer { problem: AnswerProblem::Name(_), .. }), "{name}: {error}");
        setup.assert_clean();
    }
    for oid in ["../../../evil", "/tmp/evil", "", "ab", "\0"] {
        let mut hostile = MockFile::new("config.json", Body::Bytes(b"evil".to_vec()));
        hostile.oid = oid.to_owned();
        let setup = HubSetup::with("hub-hostile-oid", vec![MockRepo::new("org/model").branch("step0", vec![hostile])]);
        assert!(matches!(setup.hub().files(&repo(), &commit("step0")), Err(HubError::Answer { .. })), "{oid}");
        setup.assert_clean();
    }
}

#[test]
fn hostile_headers_change_nothing() {
    let setup = HubSetup::new("hub-hostile-etag");
    let headers = [("ETag", "\"../../../../evil\""), ("X-Linked-Etag", "/tmp/evil"), ("X-Repo-Commit", "../evil")];
    let headers: Vec<_> = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    setup.mock.fault("", usize::MAX, Fault::Headers(headers));
    let hub = setup.hub();
    for file in &hub.files(&repo(), &commit("step0")).unwrap() {
        hub.fetch(&repo(), &commit("step0"), file, &|_| ()).unwrap();
    }
    setup.assert_clean();
}

#[test]
fn hostile_branches_are_left_out_and_never_written() {
    let mut hostile = MockRepo::new("org/model").branch("step0", files("step0"));
    hostile.branches.insert("../../../evil".to_owned(), commit_of("org/model", "step0"));
    let setup = HubSetup::with("hub-hostile-branch", vec![hostile]);
    let hub = setup.hub();
    assert_eq!(hub.branches(&repo()).unwrap().len(), 1);
    for branch in ["../../../evil", "/tmp/evil", "", "a\0", ".."] {
        assert!(matches!(hub.note_branch(&repo(), branch, &commit("step0")), Err(HubError::Name(_))), "{branch}");
    }
    setup.assert_clean();
    let mut hostile = MockRepo::new("org/model");
    hostile.branches.insert("step0".to_owned(), "../evil".to_owned());
    let setup = HubSetup::with("hub-hostile-commit", vec![hostile]);
    assert!(matches!(setup.hub().branches(&repo()), Err(HubError::Answer { .. })));
}
