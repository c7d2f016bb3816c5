//! Servers that are busy, refuse, hang up, hang or redirect.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pythia_hub::{Hub, HubError};
use pythia_tests::command::wait_until;
use pythia_tests::hub::Fault;
use pythia_tests::hub::setup::{HubSetup, WEIGHTS, commit, repo, weights, weights_body};
use pythia_tests::suite::PATIENCE;

use super::{AT_CDN, arrives_after, never_arrives, ranges};

#[test]
fn servers_that_are_busy_are_asked_again() {
    let after = |value: &str| vec![("Retry-After".to_owned(), value.to_owned())];
    let window = vec![("RateLimit".to_owned(), "\"resolvers\";r=0;t=42".to_owned())];
    for (name, fault, least) in [
        ("seconds", Fault::Status(429, after("7")), 7),
        ("date", Fault::Status(429, after("Sun, 06 Nov 1994 08:49:47 GMT")), 10),
        ("window", Fault::Status(429, window), 42),
        ("silent", Fault::Status(503, Vec::new()), 0),
    ] {
        let setup = arrives_after(&format!("hub-busy-{name}"), fault);
        let waited = setup.clock.waited();
        assert!(waited >= Duration::from_secs(least) && waited < Duration::from_secs(least + 5), "{name}: {waited:?}");
    }
}

#[test]
fn a_server_that_stays_busy_is_an_error_after_some_attempts() {
    let (setup, error) = never_arrives("hub-busy-always", Fault::Status(503, Vec::new()));
    assert!(matches!(error, HubError::Busy { status: 503, .. }) && error.is_temporary(), "{error}");
    assert!((2..=10).contains(&setup.mock.count(AT_CDN)));
    let patient = vec![("Retry-After".to_owned(), "86400".to_owned())];
    let (setup, error) = never_arrives("hub-busy-long", Fault::Status(429, patient));
    let HubError::Busy { after, .. } = error else { panic!("{error}") };
    assert_eq!((after, setup.mock.count(AT_CDN)), (Some(Duration::from_secs(86_400)), 1));
    assert!(setup.clock.waited() < Duration::from_secs(1), "it is not waited for a day");
}

#[test]
fn a_wait_that_the_server_asks_of_one_thread_holds_for_all() {
    // In real time: on the clock of the other tests the first thread's wait is over at once, and the second thread has
    // nothing to wait for.
    let setup = HubSetup::new("hub-busy-shared");
    let hub = Hub::new(setup.settings());
    setup.mock.fault("/refs", 1, Fault::Status(429, vec![("Retry-After".to_owned(), "2".to_owned())]));
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| hub.branches(&repo()).unwrap());
        wait_until("the first request", PATIENCE, || setup.mock.count("/refs") > 0);
        // Time for the answer to arrive at the first thread.
        std::thread::sleep(Duration::from_millis(500));
        hub.branches(&repo()).unwrap();
        assert!(start.elapsed() >= Duration::from_secs(2), "the second thread did not wait: {:?}", start.elapsed());
    });
    assert_eq!(setup.mock.count("/refs"), 3, "one request was refused and two were answered");
}

#[test]
fn refusals_are_not_repeated() {
    for status in [400, 401, 403, 404, 410] {
        let (setup, error) = never_arrives(&format!("hub-status-{status}"), Fault::Status(status, Vec::new()));
        assert!(matches!(error, HubError::Status { status: found, .. } if found == status), "{error}");
        assert_eq!((setup.mock.count(AT_CDN), error.is_temporary()), (1, false));
    }
}

#[test]
fn broken_connections_are_opened_again() {
    for (name, fault) in [("garbage", Fault::Garbage), ("close", Fault::Close), ("early", Fault::Truncate(0))] {
        arrives_after(&format!("hub-broken-{name}"), fault);
    }
    let setup = HubSetup::new("hub-gone");
    setup.mock.die_after(0);
    let error = setup.fetch().unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }) && error.is_temporary(), "{error}");
}

#[test]
fn a_connection_that_hangs_or_drips_is_given_up_and_continued() {
    let setup = HubSetup::new("hub-hang");
    setup.mock.fault(AT_CDN, 1, Fault::Hang(2_000_000));
    let mut settings = setup.settings();
    settings.retry.stall = Duration::from_millis(300);
    let start = Instant::now();
    Hub::new(settings).fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap();
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(ranges(&setup), vec![format!("bytes=2000000-{}", WEIGHTS - 1); 2]);
    setup.assert_clean();
    let setup = HubSetup::new("hub-trickle");
    setup.mock.fault(AT_CDN, 1, Fault::Drip(1, Duration::from_millis(20)));
    let mut settings = setup.settings();
    settings.retry.stall = Duration::from_millis(300);
    Hub::new(settings).fetch(&repo(), &commit("step0"), &weights("step0"), &|_| ()).unwrap();
    setup.assert_clean();
}

#[test]
fn a_transfer_starts_over_when_the_server_ignores_ranges() {
    for (name, fault) in [("ignored", Fault::IgnoreRange), ("wrong", Fault::WrongRange)] {
        let setup = HubSetup::new(&format!("hub-range-{name}"));
        setup.mock.fault(AT_CDN, 1, Fault::Truncate(2_000_000));
        setup.mock.fault(AT_CDN, 1, fault);
        assert_eq!(std::fs::read(setup.fetch().unwrap()).unwrap(), weights_body("step0").bytes());
        setup.assert_clean();
    }
    let setup = HubSetup::new("hub-range-refused");
    setup.mock.fault(AT_CDN, 1, Fault::Truncate(2_000_000));
    setup.mock.fault(AT_CDN, 1, Fault::Status(416, Vec::new()));
    setup.fetch().unwrap();
    setup.assert_clean();
}

#[test]
fn redirects_are_followed_five_times_and_to_http_addresses_alone() {
    let setup = HubSetup::new("hub-redirects");
    let here = format!("{}/org/model/resolve/{}/model.safetensors", setup.mock.endpoint(), commit("step0"));
    setup.mock.fault("/resolve/", 4, Fault::Redirect(here.clone()));
    setup.fetch().unwrap();
    let setup = HubSetup::new("hub-redirect-loop");
    setup.mock.fault("/resolve/", usize::MAX, Fault::Redirect("?again[1]".into()));
    let error = setup.fetch().unwrap_err();
    assert!(matches!(error, HubError::Redirect { .. }), "{error}");
    assert_eq!(setup.mock.seen().len(), 6);
    let setup = HubSetup::new("hub-redirect-elsewhere");
    setup.mock.fault("/resolve/", usize::MAX, Fault::Redirect("/resolve/again".into()));
    let error = setup.fetch().unwrap_err();
    let HubError::Redirect { url, to, .. } = &error else { panic!("{error}") };
    assert!(url.ends_with("model.safetensors") && to.ends_with("/resolve/again"), "{error}");
    for to in ["ftp://other/x", "file:///etc/passwd", "https://user:pass@other/", "http://"] {
        let (setup, error) = never_arrives("hub-redirect-strange", Fault::Redirect(to.into()));
        assert!(matches!(error, HubError::Redirect { .. }) && !error.to_string().contains("pass@"), "{to}: {error}");
        assert_eq!(setup.mock.count(AT_CDN), 1);
    }
}

#[test]
fn stopping_ends_transfers_and_keeps_the_bytes_that_arrived() {
    let setup = HubSetup::new("hub-stop");
    setup.mock.fault(AT_CDN, 1, Fault::Hang(2_000_000));
    let hub = Hub::new(setup.settings());
    let (seen, start) = (AtomicU64::new(0), Instant::now());
    let watch = |bytes| _ = seen.fetch_add(bytes, Ordering::SeqCst);
    let error = std::thread::scope(|scope| {
        let fetch = scope.spawn(|| hub.fetch(&repo(), &commit("step0"), &weights("step0"), &watch));
        while seen.load(Ordering::SeqCst) < 2_000_000 {
            std::thread::sleep(Duration::from_millis(2));
        }
        hub.stop();
        fetch.join().unwrap().unwrap_err()
    });
    assert!(matches!(error, HubError::Stopped) && error.is_temporary(), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(matches!(hub.branches(&repo()), Err(HubError::Stopped)));
    assert_eq!((setup.blobs(), setup.unfinished()), (0, 1));
    setup.fetch().unwrap();
    assert_eq!(ranges(&setup).last().unwrap(), &format!("bytes=2000000-{}", WEIGHTS - 1));
    setup.assert_clean();
}
