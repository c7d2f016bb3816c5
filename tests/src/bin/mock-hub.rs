//! The mock hub as a program, and a client for it: `mock-hub serve …`, `mock-hub fetch …`.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use pythia_files::Environment;
use pythia_hub::{Hub, HubError, Repo, Settings};
use pythia_tests::hub::{Body, Fault, MockFile, MockHub, MockRepo};

const USAGE: &str = "usage:
  mock-hub serve ADDRESS REPO=DIR…          folders of DIR are branches
  mock-hub serve ADDRESS REPO:BYTES…        one branch, main, with a model.safetensors of that many bytes
  mock-hub drip ADDRESS REPO:BYTES          the same, 64 KiB every 20 ms
  mock-hub fetch REPO BRANCH [FILE…]        into HF_HUB_CACHE from HF_ENDPOINT; prints paths, bytes and seconds";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", address, ref repos @ ..] if !repos.is_empty() => serve(address, repos, None),
        ["drip", address, repo] => serve(address, &[repo], Some(Fault::Drip(64 << 10, Duration::from_millis(20)))),
        ["fetch", repo, branch, ref files @ ..] => fetch(repo, branch, files),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn serve(address: &str, repos: &[&str], fault: Option<Fault>) -> ExitCode {
    let repos = repos.iter().map(|text| repo(text)).collect::<Option<Vec<MockRepo>>>();
    let Some(Ok(hub)) = repos.map(|repos| MockHub::start_at(address, repos)) else {
        eprintln!("cannot serve that\n{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(fault) = fault {
        hub.fault("model.safetensors?", usize::MAX, fault);
    }
    println!("{}", hub.endpoint());
    loop {
        std::thread::park();
    }
}

fn repo(text: &str) -> Option<MockRepo> {
    if let Some((name, dir)) = text.split_once('=') {
        return MockRepo::from_folder(name, Path::new(dir)).ok();
    }
    let (name, size) = text.rsplit_once(':')?;
    let weights = Body::Pattern { seed: 1, size: size.parse().ok()? };
    let config = MockFile::new("config.json", Body::Bytes(b"{}".to_vec()));
    Some(MockRepo::new(name).branch("main", vec![config, MockFile::new("model.safetensors", weights)]))
}

fn fetch(repo: &str, branch: &str, files: &[&str]) -> ExitCode {
    match fetch_all(repo, branch, files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n{}", error.remedy());
            ExitCode::from(if error.is_temporary() { 75 } else { 1 })
        }
    }
}

fn fetch_all(repo: &str, branch: &str, files: &[&str]) -> Result<(), HubError> {
    let repo: Repo = repo.parse()?;
    let settings = Settings::of(Environment::of_process());
    let hub = Hub::new(settings);
    let commit = hub.branches(&repo)?.remove(branch).expect("the repository has the branch");
    let listed = hub.files(&repo, &commit)?;
    for file in listed.iter().filter(|file| files.is_empty() || files.contains(&file.name.as_str())) {
        let start = Instant::now();
        let path = hub.fetch(&repo, &commit, file, &|_| ())?;
        println!("{} {} {:.3}", path.display(), file.size, start.elapsed().as_secs_f64());
    }
    hub.note_branch(&repo, branch, &commit)
}
