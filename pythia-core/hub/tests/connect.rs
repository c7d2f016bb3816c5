//! Connections through SOCKS proxies and to servers with certificates of an authority of their own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use pythia_files::Environment;
use pythia_hub::{Certificates, Connection, Endpoint, Hub, HubError, RetryPolicy, Settings, SettingsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn file(name: &str) -> String {
    format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Answers one request with a list of branches.
fn answer(mut stream: impl Read + Write) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let body = format!(r#"{{"branches": [{{"name": "main", "ref": "refs/heads/main", "targetCommit": "{COMMIT}"}}]}}"#);
    let length = body.len();
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")?;
    stream.flush()
}

/// A server on a port of its own; each connection gets this handler.
fn serve(handle: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(handle(stream))));
    port
}

fn hub_by_http() -> u16 {
    serve(answer)
}

fn hub_by_https() -> u16 {
    let certificate = CertificateDer::from_pem_file(file("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(file("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![certificate], key).unwrap());
    serve(move |stream| {
        let session = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        answer(StreamOwned::new(session, stream))
    })
}

/// A SOCKS5 server that leads every connection to one port of this machine. The receiver has the server that each
/// connection asked for, and the user.
fn socks_to(port: u16) -> (u16, Receiver<(String, String)>) {
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let read = |stream: &mut TcpStream, length: u8| -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length.into()];
        stream.read_exact(&mut bytes).map(|()| bytes)
    };
    let proxy = serve(move |mut stream| {
        let methods = read(&mut stream, 2)?[1];
        let with_user = read(&mut stream, methods)?.contains(&2);
        stream.write_all(&[5, if with_user { 2 } else { 0 }])?;
        let mut user = String::new();
        if with_user {
            let length = read(&mut stream, 2)?[1];
            user = String::from_utf8(read(&mut stream, length)?).unwrap();
            let length = read(&mut stream, 1)?[0];
            user += &format!(":{}", String::from_utf8(read(&mut stream, length)?).unwrap());
            stream.write_all(&[1, 0])?;
        }
        let host = match read(&mut stream, 4)?[3] {
            3 => {
                let length = read(&mut stream, 1)?[0];
                String::from_utf8(read(&mut stream, length)?).unwrap()
            }
            _ => format!("{:?}", read(&mut stream, 4)?),
        };
        let asked = read(&mut stream, 2)?;
        sender.lock().unwrap().send((format!("{host}:{}", u16::from_be_bytes([asked[0], asked[1]])), user)).unwrap();
        stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
        let (mut there, mut back) = (TcpStream::connect(("127.0.0.1", port))?, stream.try_clone()?);
        let mut from = there.try_clone()?;
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut back);
            back.shutdown(Shutdown::Both)
        });
        io::copy(&mut stream, &mut there).map(drop)
    });
    (proxy, seen)
}

fn hub(vars: &[(&str, &str)]) -> Hub {
    let mut settings = Settings::of(Environment::of(vars.iter().copied(), Some("/nonexistent")));
    settings.retry = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    Hub::new(settings)
}

/// The commit of the main branch, asked for with the settings of these variables.
fn ask(vars: &[(&str, &str)]) -> Result<String, HubError> {
    let branches = hub(vars).branches(&"org/model".parse().unwrap())?;
    Ok(branches["main"].as_str().to_owned())
}

#[test]
fn a_socks_proxy_looks_names_up_and_may_want_a_password() {
    let (proxy, seen) = socks_to(hub_by_http());
    for scheme in ["socks", "socks5h"] {
        let address = format!("{scheme}://127.0.0.1:{proxy}/");
        assert_eq!(ask(&[("HF_ENDPOINT", "http://hub.invalid"), ("ALL_PROXY", &address)]).unwrap(), COMMIT);
        assert_eq!(seen.recv().unwrap(), ("hub.invalid:80".to_owned(), String::new()));
    }
    let address = format!("socks5://me:secret@127.0.0.1:{proxy}");
    assert_eq!(ask(&[("HF_ENDPOINT", "http://127.0.0.9:81"), ("HTTP_PROXY", &address)]).unwrap(), COMMIT);
    assert_eq!(seen.recv().unwrap(), ("[127, 0, 0, 9]:81".to_owned(), "me:secret".to_owned()));
}

#[test]
fn a_proxy_that_speaks_no_socks_is_no_matter_of_trust() {
    let proxy = serve(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let address = format!("socks5h://127.0.0.1:{proxy}");
    let error = ask(&[("HF_ENDPOINT", "https://hub.invalid"), ("HTTPS_PROXY", &address)]).unwrap_err();
    assert!(matches!(&error, HubError::Unreachable { problem, .. } if problem.contains("SOCKS")), "{error}");
}

#[test]
fn a_bundle_makes_an_authority_known() {
    let endpoint = format!("https://localhost:{}", hub_by_https());
    for variable in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        assert_eq!(ask(&[("HF_ENDPOINT", &endpoint), (variable, &file("authority.pem"))]).unwrap(), COMMIT);
    }
    let (proxy, _seen) = socks_to(hub_by_https());
    let through = format!("socks5h://127.0.0.1:{proxy}");
    let vars = [("SSL_CERT_DIR", &*file("")), ("HTTPS_PROXY", &through), ("HF_ENDPOINT", "https://localhost")];
    assert_eq!(ask(&vars).unwrap(), COMMIT);
    let error = ask(&[("HF_ENDPOINT", &endpoint)]).unwrap_err();
    assert!(matches!(&error, HubError::Untrusted { .. }) && error.remedy().contains("SSL_CERT_FILE"), "{error}");
    let other_name = [("HF_ENDPOINT", "https://other.invalid"), ("HTTPS_PROXY", &through)];
    let error = ask(&[&other_name[..], &[("SSL_CERT_FILE", &file("authority.pem"))]].concat()).unwrap_err();
    assert!(matches!(&error, HubError::Untrusted { .. }), "{error}");
}

#[test]
fn what_the_system_trusts_is_trusted_beside_the_public_authorities() {
    let endpoint: Endpoint = format!("https://localhost:{}", hub_by_https()).parse().unwrap();
    let ask = |bundle: String| {
        let certificates = Certificates::with_system(bundle.into());
        let connection = Connection { certificates, ..Connection::to(endpoint.clone()) };
        let hub = Hub::new(Settings::new(endpoint.clone(), "/nonexistent".into()).through(connection));
        // The second request goes to the authorities that knew the server at the first.
        (0..2).map(|_| hub.branches(&"org/model".parse().unwrap()).map(|found| found.len())).next_back().unwrap()
    };
    assert_eq!(ask(file("authority.pem")).unwrap(), 1);
    assert!(matches!(ask(file("none.pem")), Err(HubError::Untrusted { .. })));
}

#[test]
fn a_setting_is_an_error_of_the_connections_that_need_it() {
    let endpoint = format!("http://127.0.0.1:{}", hub_by_http());
    let bundle = ("SSL_CERT_FILE", "/no/such/bundle.pem");
    // http needs no certificates, and an address of NO_PROXY no proxy.
    let direct = [("HF_ENDPOINT", &*endpoint), bundle, ("ALL_PROXY", "gopher://x"), ("NO_PROXY", "127.0.0.0/8")];
    assert_eq!(ask(&direct).unwrap(), COMMIT);
    hub(&direct).check_settings().unwrap();
    for (vars, name) in [
        (&[("HF_ENDPOINT", "https://hub.invalid"), bundle][..], "SSL_CERT_FILE"),
        (&[("HF_ENDPOINT", &endpoint), ("ALL_PROXY", "gopher://x")], "ALL_PROXY"),
        (&[("HF_ENDPOINT", "hub")], "HF_ENDPOINT"),
        (&[("HF_TOKEN", "a b")], "HF_TOKEN"),
    ] {
        let error = ask(vars).unwrap_err();
        assert!(matches!(error, HubError::Settings(_)) && error.to_string().contains(name), "{error}");
        assert!(!error.is_temporary() && error.remedy().contains(name), "{}", error.remedy());
        assert_eq!(hub(vars).check_settings().unwrap_err().to_string(), error.to_string());
        // Offline nothing of this is needed.
        let offline = [vars, &[("HF_HUB_OFFLINE", "1")]].concat();
        assert!(matches!(ask(&offline), Err(HubError::Offline { .. })));
        hub(&offline).check_settings().unwrap();
    }
}

#[test]
fn a_token_file_that_cannot_be_read_is_named_when_it_is_needed() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::create_dir(&token).unwrap();
    let vars = [("HF_HOME", dir.path().to_str().unwrap()), ("HF_ENDPOINT", "http://127.0.0.1:1")];
    assert_eq!(hub(&vars).cache(), dir.path().join("hub"));
    let error = ask(&vars).unwrap_err();
    let named = |path: &Path| *path == token;
    assert!(matches!(&error, HubError::Settings(SettingsError::Io { path, .. }) if named(path)), "{error}");
}
