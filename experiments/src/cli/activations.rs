//! `pythia activations`: store a model's activations on some tokens.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use pythia_core::config::ConfigFile;
use pythia_core::load::read_config_file;
use pythia_core::store::{CheckpointFiles, Checkpoints};
use pythia_core::suite::Step;
use pythia_core::tokenizer::Tokenizer;
use pythia_core::weights::{Profile, StoredCheckpoint, Wanted};
use serde::Deserialize;
use serde_json::json;

use crate::checkpoint::hub_access::HubAccess;
use crate::checkpoint::load::RunsOn;
use crate::checkpoint::single::{Single, model_named};
use crate::cli::capture::{self, Request};
use crate::cli::device_args::DeviceArgs;
use crate::cli::error::{CommandError, read_file};
use crate::cli::failure::Failure;
use crate::files::folder::PendingFile;
use crate::files::json::canonical;
use crate::resolved::notes;
use crate::terminal::exit::{self, Exit};
use crate::terminal::say;

/// Store a model's activations on some tokens
///
/// The file holds one tensor per hook, keyed by the hook's full name, beside `tokens` [prompt pos], `lengths` [prompt]
/// and `logits` [prompt pos vocabulary]. Behind the end of a shorter prompt, numbers are 0 and tokens −1. The file's
/// provenance is JSON under the key `pythia` of the header's metadata.
#[derive(Debug, clap::Args)]
#[command(after_help = exit::HELP, after_long_help = LONG_HELP)]
pub(crate) struct Args {
    /// A model of the suite, which is fetched if the cache lacks it, or a folder (./data/nano)
    #[arg(long)]
    model: OsString,
    /// Which checkpoint; left out for a single model and for the suite's main branch
    #[arg(long)]
    step: Option<Step>,
    #[command(flatten)]
    input: Input,
    /// Hooks: names, patterns with *, or short forms (z, resid_post.-1); `pythia list hooks` shows them
    #[arg(long, required = true, num_args = 1.., value_name = "PATTERN")]
    hooks: Vec<String>,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Keep the logits of the last position only
    #[arg(long)]
    last_logits: bool,
    #[command(flatten)]
    device: DeviceArgs,
    /// Fold the weights as TransformerLens does (profile tl2) instead of using them as published
    #[arg(long)]
    tl2: bool,
    /// Root of the hub's cache [default: HF_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub or
    /// ~/.cache/huggingface/hub]
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Open no connection: use what is in the cache
    #[arg(long)]
    offline: bool,
}

/// What the model reads.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Input {
    /// A text, once per prompt; the model needs a tokenizer.json. No BOS is added: write <|endoftext|> where one is
    /// meant
    #[arg(long)]
    text: Vec<String>,
    /// A JSON file: a list of token ids, or a list of such lists, of any lengths
    #[arg(long, value_name = "FILE")]
    tokens: Option<PathBuf>,
}

const LONG_HELP: &str = exit::examples!(
    "  # With the model that `pythia demo` leaves in ./data/nano:
  echo '[[0, 5, 9, 5]]' > ids.json
  pythia activations --model ./data/nano --step 512 --tokens ids.json --hooks '*hook_pattern' z --out a.safetensors
  # Fetched from the hub, where the cache lacks it:
  pythia activations --model pythia-70m --text 'When Mary and John' --hooks z --last-logits --out z.safetensors"
);

pub(crate) fn run(args: Args) -> Result<Exit, Failure> {
    let hub = HubAccess::open_client(args.cache.as_deref(), args.offline);
    let Single { store, files, .. } =
        &Single::open(&model_named(&args.model)?, args.step, hub, &|line| say!("{line}"))?;
    let ConfigFile { config, unknown_keys } = read_config_file(&files.config)?;
    if let Some(note) = notes::of_keys(store.model(), &unknown_keys) {
        say!("{note}");
    }
    let RunsOn { compute, dtype } = args.device.open()?;
    let request = Request {
        rows: rows(&args.input, files, store.as_ref())?,
        patterns: args.hooks,
        last_logits: args.last_logits,
        device: compute.device.clone(),
        dtype,
    };
    capture::check(&config, &request)?;
    refuse_input(&args.out, &args.input, files)?;
    let claim = PendingFile::claim(&args.out)?;
    let profile = if args.tl2 { Profile::Tl2 } else { Profile::AsPublished };
    let (params, hashes) =
        StoredCheckpoint::open(&config, &files.weights)?.params(&Wanted { unembed: true, profile })?;
    let provenance = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "model": store.model(),
        "step": args.step.map(Step::label),
        "weights": profile.name(),
        "weights_hash": hashes.content.to_string(),
        "device": compute.backend.name(),
        "device_name": compute.name,
        "dtype": args.device.dtype,
        "texts": args.input.text,
        "last_logits": args.last_logits,
    });
    let bytes = capture::safetensors(config, params, &request, canonical(&provenance))?;
    claim.write(&bytes)?;
    say!("wrote {} ({:.1} MB)", args.out.display(), bytes.len() as f64 / 1e6);
    Ok(Exit::Ok)
}

/// Refuses an output that would replace a file that the command reads.
fn refuse_input(out: &Path, input: &Input, files: &CheckpointFiles) -> Result<(), Failure> {
    let Ok(out) = fs::canonicalize(out) else { return Ok(()) };
    let read = files.weights.paths().iter().chain([&files.config]).chain(&files.tokenizer).chain(&input.tokens);
    match read.into_iter().any(|path| fs::canonicalize(path).is_ok_and(|path| path == out)) {
        true => Err(CommandError::OutIsInput(out).into()),
        false => Ok(()),
    }
}

/// The token ids of the input.
fn rows(input: &Input, files: &CheckpointFiles, store: &dyn Checkpoints) -> Result<Vec<Vec<u32>>, Failure> {
    if let Some(path) = &input.tokens {
        return Ok(read_ids(path)?);
    }
    let Some(path) = &files.tokenizer else {
        let (model, config) = (store.model().to_owned(), files.config.clone());
        return Err(CommandError::NoTokenizer { model, config }.into());
    };
    let tokenizer = Tokenizer::from_file(path)?;
    Ok(input.text.iter().map(|text| tokenizer.encode(text)).collect::<Result<_, _>>()?)
}

/// Reads `[1, 2]` or `[[1, 2], [3, 4]]`.
fn read_ids(path: &Path) -> Result<Vec<Vec<u32>>, CommandError> {
    let text = read_file(path)?;
    let malformed = |source| CommandError::Tokens { path: path.into(), source };
    let value: serde_json::Value = serde_json::from_str(&text).map_err(malformed)?;
    let nested = value.as_array().is_some_and(|items| items.first().is_some_and(serde_json::Value::is_array));
    if nested {
        Vec::deserialize(value).map_err(malformed)
    } else {
        Vec::deserialize(value).map(|row| vec![row]).map_err(malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Scratch;

    fn ids(text: &str) -> Result<Vec<Vec<u32>>, CommandError> {
        let scratch = Scratch::new("ids");
        let path = scratch.0.join("ids.json");
        fs::write(&path, text).expect("write");
        read_ids(&path)
    }

    #[test]
    fn one_list_or_a_list_of_lists() {
        assert_eq!(ids("[1, 2]").expect("ids"), [[1, 2]]);
        assert_eq!(ids("[[1, 2], [3, 4]]").expect("ids"), [[1, 2], [3, 4]]);
        assert!(matches!(ids("[[1], 2]"), Err(CommandError::Tokens { .. })));
        assert!(matches!(ids("{"), Err(CommandError::Tokens { .. })));
        assert!(matches!(ids("[-1]"), Err(CommandError::Tokens { .. })));
    }
}
