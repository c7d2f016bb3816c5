use pythia_core::config::NeoxConfig;
use pythia_core::params::HostParams;
use serde::de::value::{Error, MapDeserializer};

use super::*;
use crate::probes::head_scores::HeadScores;
use crate::probes::induction_loss::InductionLoss;
use crate::probes::token_loss::TokenLoss;
use crate::prompts::PromptSource;
use crate::subject::{SourceCheckpoints, Subject};
use crate::testing::{config, model, params};
use crate::{Answer, WeightSubject, run, run_on_weights};

/// The answer of a probe, whichever its family.
fn ask(spec: &ProbeSpec, subject: &Subject, params: &HostParams) -> Answer {
    let weights = WeightSubject { context: subject.context(3), param: &|param| Ok(params[&param].clone()) };
    let one = std::slice::from_ref(spec);
    let answers = match spec.weights_only(subject.model.config()) {
        Some(_) => run_on_weights(one, &weights).expect("all parameters are there"),
        None => run(one, subject, 3),
    };
    answers.into_iter().next().expect("an answer").unwrap_or_else(|error| panic!("{}: {error}", spec.kind()))
}

#[test]
fn every_probe_says_of_itself_what_its_answer_shows() {
    let (model, params) = (model(true), params(true));
    let steps = ProbeSpec::examples().into_iter().flat_map(|spec| spec.source_checkpoints());
    let sources = SourceCheckpoints(steps.map(|step| (step, model.clone())).collect());
    let subject = Subject { source_checkpoints: &sources, ..Subject::new(&model, 21, true, 0) };
    let context = subject.context(3);
    for (spec, kind) in ProbeSpec::examples().into_iter().zip(ProbeSpec::KINDS) {
        assert_eq!(spec.kind(), kind.name);
        assert_eq!(spec.check(&context), Ok(()), "{}", kind.name);
        let tables = spec.tables();
        assert!(tables[0].suffix.is_empty() && tables.iter().all(|table| kind.tables.contains(table)), "{}", kind.name);
        let answer = ask(&spec, &subject, &params);
        assert_eq!(answer.len(), tables.len(), "{}", kind.name);
        for (table, declared) in answer.iter().zip(tables) {
            let found: Vec<_> = table.columns().iter().map(|(name, column)| (*name, column.kind())).collect();
            let expected: Vec<_> = declared.columns().map(|column| (column.name, column.kind)).collect();
            assert_eq!(found, expected, "{}", declared.name(kind.name));
            assert!(table.n_rows() > 0, "{}", declared.name(kind.name));
        }
        // A pass costs what its prompts say; whatever costs something else says so.
        let (batch, len) = spec.tokens_per_run(&context);
        match spec.estimate(&context) {
            None => assert!(batch > 0 && len > 0, "{}", kind.name),
            Some(estimate) => assert!(estimate.flops > 0 && estimate.memory > 0, "{}: {estimate:?}", kind.name),
        }
    }
}

#[test]
fn every_column_is_declared_once_with_a_doc() {
    for kind in ProbeSpec::KINDS {
        let mut suffixes: Vec<&str> = kind.tables.iter().map(|table| table.suffix).collect();
        assert_eq!(suffixes.first(), Some(&""), "{}", kind.name);
        suffixes.sort_unstable();
        suffixes.dedup();
        assert_eq!(suffixes.len(), kind.tables.len(), "{}", kind.name);
        for table in kind.tables {
            let mut names: Vec<&str> = table.columns().map(|column| column.name).collect();
            assert_eq!(names.last(), Some(&"status"), "{}", table.name(kind.name));
            assert!(!table.doc.is_empty() && table.columns().all(|column| !column.doc.is_empty()), "{}", kind.name);
            let columns = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), columns, "{}", table.name(kind.name));
        }
    }
}

#[test]
fn every_kind_has_a_name_of_its_own_and_refuses_unknown_fields() {
    let mut names: Vec<&str> = ProbeSpec::KINDS.iter().map(|kind| kind.name).collect();
    for &name in &names {
        let error = ProbeSpec::read(name, serde_json::json!({ "no_such_field": 1 })).map_err(|error| error.to_string());
        assert!(error.is_err_and(|error| error.contains("no_such_field")), "{name}");
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_configuration_is_read_by_the_name_of_its_probe() {
    let read = |kind: &str, json| ProbeSpec::read(kind, json).map_err(|error: serde_json::Error| error.to_string());
    let four = serde_json::json!({ "prompts": { "n": 4 } });
    let expected = HeadScores { prompts: PromptSource::random(4, 50), ..HeadScores::default() };
    assert_eq!(read("head_scores", four.clone()), Ok(Some(ProbeSpec::HeadScores(expected))));
    assert_eq!(read("head_score", four), Ok(None));
    let error = read("induction_loss", serde_json::json!({ "prompts": { "length": 4 } }));
    assert!(error.is_err_and(|error| error.contains("unknown field `length`") && error.contains("half_len")));
    for spec in specs() {
        let none = MapDeserializer::<_, Error>::new(std::iter::empty::<(&str, u32)>());
        assert_eq!(ProbeSpec::read(spec.kind(), none), Ok(Some(spec.clone())), "{}", spec.kind());
        assert_eq!((spec.files().len(), spec.source_checkpoints().len()), (0, 0));
    }
}

/// Probes of repeated tokens with their defaults.
fn specs() -> [ProbeSpec; 3] {
    [
        ProbeSpec::HeadScores(HeadScores::default()),
        ProbeSpec::InductionLoss(InductionLoss::default()),
        ProbeSpec::TokenLoss(TokenLoss::default()),
    ]
}

#[test]
fn probes_of_the_same_size_have_the_same_prompts() {
    let (model, config) = (model(true), NeoxConfig { n_ctx: 200, ..config() });
    let context = Context { config: &config, ..Subject::new(&model, 24, true, 0).context(3) };
    let inputs = specs().map(|spec| match spec.family() {
        ProbeFamily::Reading(probe) => probe.input(&context).expect("there are ids"),
        _ => panic!("these three read"),
    });
    assert_eq!(inputs[0], inputs[1]);
    assert_eq!(inputs[0], inputs[2]);
    assert_eq!(specs().map(|spec| spec.tokens_per_run(&context)), [(8, 101); 3]);
    assert_eq!((inputs[0].prompts.batch(), inputs[0].prompts.len()), (8, 101));
}

#[test]
fn what_can_have_no_answer_is_refused_with_its_datum() {
    let model = model(true);
    let context = Subject::new(&model, 24, true, 0).context(3);
    let check = |probe: HeadScores, n_ctx| {
        ProbeSpec::HeadScores(probe).check(&Context { config: &NeoxConfig { n_ctx, ..config() }, ..context })
    };
    assert_eq!(check(HeadScores::default(), 101), Ok(()));
    assert_eq!(check(HeadScores::default(), 100), Err(ProbeError::TooLong { field: "prompts", len: 101, n_ctx: 100 }));
    let none = HeadScores { scores: Vec::new(), ..HeadScores::default() };
    assert_eq!(check(none, 200), Err(ProbeError::Empty { field: "scores" }));
}
