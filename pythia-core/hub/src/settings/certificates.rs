//! The certificate authorities that https servers are checked against.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pythia_files::Environment;
use ureq::tls::{Certificate, PemItem, RootCerts, parse_pem};

use super::error::SettingsError;

/// Variables that name a bundle, in the order of the Python client's library; the last two are OpenSSL's.
const VARIABLES: [&str; 4] = ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Where systems keep the bundle of the authorities that their administrators trust.
const OF_SYSTEM: [&str; 7] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
    "/opt/homebrew/etc/ca-certificates/cert.pem",
];

/// A bundle of all public authorities has about 250 kB.
const MAX_BUNDLE: u64 = 16 << 20;
/// Files of a folder that are read. The folder of a system has two for each authority.
const MAX_FILES: usize = 4096;

/// The authorities that vouch for servers: those of the bundle that `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE`,
/// `SSL_CERT_FILE` or `SSL_CERT_DIR` names, whichever is set first: a PEM file, or a folder of such files. Without
/// these variables they are Mozilla's list, which this program contains, and those of the system's own bundle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificates {
    /// The variable and its value.
    given: Option<(&'static str, PathBuf)>,
    /// The system's bundle, where it is another than the usual ones.
    system: Option<PathBuf>,
}

impl Certificates {
    /// The bundle that an environment names. It is not read here.
    pub(super) fn of(environment: &Environment) -> Self {
        let value = |name: &str| Some(environment.expand_known(Path::new(&environment.var(name)?)));
        Self { given: VARIABLES.into_iter().find_map(|name| Some((name, value(name)?))), system: None }
    }

    /// Mozilla's list, and this file as the system's bundle.
    pub fn with_system(bundle: PathBuf) -> Self {
        Self { given: None, system: Some(bundle) }
    }

    /// The authorities that are asked first.
    pub(crate) fn first(&self) -> Result<RootCerts, SettingsError> {
        let Some((variable, path)) = &self.given else { return Ok(RootCerts::WebPki) };
        let failed = |source| SettingsError::Bundle { variable, path: path.clone(), source };
        match bundle(path).map_err(failed)? {
            found if found.is_empty() => Err(SettingsError::NoCertificates { variable, path: path.clone() }),
            found => Ok(RootCerts::Specific(Arc::new(found))),
        }
    }

    /// The authorities that are asked about a server of which the first know nothing: the system's, unless a bundle was
    /// named.
    pub(crate) fn second(&self) -> Option<RootCerts> {
        let usual = OF_SYSTEM.iter().map(Path::new);
        let paths: Vec<&Path> = self.system.as_deref().map_or_else(|| usual.collect(), |path| vec![path]);
        // A system without such a file knows no more than Mozilla's list.
        let found = || paths.into_iter().find_map(|path| bundle(path).ok().filter(|found| !found.is_empty()));
        if self.given.is_some() { None } else { found().map(|found| RootCerts::Specific(Arc::new(found))) }
    }
}

/// The certificates of a PEM file, or of all files in a folder.
fn bundle(path: &Path) -> io::Result<Vec<Certificate<'static>>> {
    if !fs::metadata(path)?.is_dir() {
        return file(path);
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(path)?.take(MAX_FILES) {
        let path = entry?.path();
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            // A folder may hold keys that only their owner may read, and files of other kinds.
            all.extend(file(&path).unwrap_or_default());
        }
    }
    Ok(all)
}

fn file(path: &Path) -> io::Result<Vec<Certificate<'static>>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_BUNDLE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BUNDLE {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut all = Vec::new();
    for item in parse_pem(&text) {
        match item.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not PEM"))? {
            PemItem::Certificate(certificate) => all.push(certificate),
            _ => continue,
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    const PEM: &[u8] = include_bytes!("../../tests/tls/authority.pem");

    fn certificates(vars: &[(&str, &str)]) -> Certificates {
        Certificates::of(&Environment::of(vars.iter().copied(), Some("/h")))
    }

    fn count(roots: &RootCerts) -> usize {
        if let RootCerts::Specific(found) = roots { found.len() } else { 0 }
    }

    #[test]
    fn the_first_variable_names_the_bundle() {
        let dir = TempDir::new();
        let one = dir.write("one.pem", PEM);
        let two = dir.write("two/a.pem", [PEM, b"# a comment\n", PEM].concat());
        dir.write("two/README", "no certificate");
        let (one, two) = (one.to_str().unwrap(), two.parent().unwrap().to_str().unwrap());
        assert_eq!(count(&certificates(&[("SSL_CERT_FILE", one)]).first().unwrap()), 1);
        assert_eq!(count(&certificates(&[("SSL_CERT_FILE", one), ("CURL_CA_BUNDLE", two)]).first().unwrap()), 2);
        assert!(certificates(&[("SSL_CERT_FILE", one)]).second().is_none());
        assert!(matches!(certificates(&[]).first(), Ok(RootCerts::WebPki)));
    }

    #[test]
    fn a_bundle_that_is_none_is_an_error_that_names_the_variable() {
        let dir = TempDir::new();
        let empty = dir.write("empty.pem", "");
        let cut = dir.write("cut.pem", &PEM[..PEM.len() / 2]);
        for path in [empty.to_str().unwrap(), cut.to_str().unwrap(), "/no/such/file"] {
            let error = certificates(&[("REQUESTS_CA_BUNDLE", path)]).first().unwrap_err();
            let (error, remedy) = (error.to_string(), error.remedy());
            assert!(error.starts_with("REQUESTS_CA_BUNDLE: ") && error.contains(path), "{error}");
            assert!(remedy.contains("REQUESTS_CA_BUNDLE"), "{remedy}");
        }
    }
}
