//! What the tests of causal probes share: a small model, pairs of several lengths, and runs made by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::DType;
use pythia_core::model::GptNeoX;
use pythia_hooks::{HookPoint, Site};

use crate::engine::{Engine, EngineInput, IntervenedRun, Run, SourceActivations, cone, tests::model};
use crate::error::ProbeError;
use crate::metric::{Metric, Question, Readout};
use crate::pairs::{Pair, PairSource};
use crate::probe::Answer;
use crate::probes::ProbeSpec;
use crate::run::run;
use crate::subject::{Files, Subject};
use crate::table::{Column, Table};

const VOCAB: usize = 40;

/// A model, and the files that probes name: `pairs` has the prompts.
pub(crate) struct Fixture {
    pub model: GptNeoX,
    pub files: Files,
}

impl Fixture {
    /// Pairs of these lengths, which differ at position 2 and at the last but one.
    pub(crate) fn new(parallel: bool, dtype: DType, lengths: &[usize]) -> Self {
        let line = |(index, &length): (usize, &usize)| {
            let clean: Vec<usize> = (0..length).map(|at| (7 * index + 11 * at * at + 3 * length) % VOCAB).collect();
            let mut corrupt = clean.clone();
            for at in [2, length - 2] {
                corrupt[at] = (clean[at] + 1 + (4 + index) % (VOCAB - 1)) % VOCAB;
            }
            let (answer, wrong, middle) = ((3 * index + 1) % VOCAB, (3 * index + 2) % VOCAB, 1 + index % 2);
            format!(
                "{{\"clean\": {clean:?}, \"corrupt\": {corrupt:?}, \"answer\": [{answer}], \"wrong\": [{wrong}], \
                 \"positions\": {{\"middle\": {middle}}}, \"positions_count_bos\": false}}\n"
            )
        };
        let text = lengths.iter().enumerate().map(line).collect();
        Fixture { model: model(parallel, dtype, 5), files: Files([(PathBuf::from("pairs"), text)].into()) }
    }

    pub(crate) fn with_file(mut self, name: &str, text: String) -> Self {
        self.files.0.insert(name.into(), text);
        self
    }

    pub(crate) fn source() -> PairSource {
        PairSource::file("pairs".into())
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { files: &self.files, ..Subject::new(&self.model, VOCAB, false, 0) }
    }

    pub(crate) fn pairs(&self) -> Vec<Pair> {
        let vocabulary = self.subject().context(0).vocabulary();
        let made =
            PairSource { n: 1000, ..Self::source() }.make(None, self.files.get("pairs".as_ref()), vocabulary, false, 0);
        made.expect("pairs of ids").list
    }

    /// What a probe answers.
    pub(crate) fn ask(&self, probe: ProbeSpec) -> Result<Answer, ProbeError> {
        run(&[probe], &self.subject(), 3).remove(0)
    }

    /// The activations of one prompt at these points, run alone.
    pub(crate) fn seen(&self, tokens: &[u32], points: &[HookPoint]) -> SourceActivations {
        Run::of(&self.model, vec![tokens.to_vec()], points.iter().copied()).expect("the points exist").seen().clone()
    }

    /// The metrics of one prompt, run alone and in full under an intervention, and its answers those of the pair.
    pub(crate) fn alone(
        &self,
        tokens: &[u32],
        pair: &Pair,
        metrics: &[Metric],
        sources: &[SourceActivations],
        intervention: &IntervenedRun,
    ) -> Vec<f64> {
        let (answers, wrongs) = (pair.answers.clone(), pair.wrongs.clone());
        let question = Question { tokens: tokens.to_vec(), at: tokens.len() - 1, answers, wrongs };
        let points = cone::base_points(&self.model.model_shape(), [Site::Z.at(0)]);
        let base = Run::of(&self.model, vec![tokens.to_vec()], points).expect("the points exist");
        let readout = Readout::new(vec![question], metrics.to_vec(), VOCAB);
        let input = EngineInput { model: &self.model, base: &base, sources, readout: &readout, memory: 1 << 30 };
        input
            .scores(Engine::Naive, std::slice::from_ref(intervention))
            .expect("the naive engine runs")
            .remove(0)
            .remove(0)
    }
}

/// The numbers of a column.
pub(crate) fn floats<'a>(table: &'a Table, name: &str) -> &'a [Option<f64>] {
    table.column(name).and_then(Column::floats).expect("a column of numbers")
}

/// The whole numbers of a column.
pub(crate) fn ints<'a>(table: &'a Table, name: &str) -> &'a [Option<i64>] {
    table.column(name).and_then(Column::ints).expect("a column of whole numbers")
}

/// The words of a column.
pub(crate) fn texts<'a>(table: &'a Table, name: &str) -> &'a [String] {
    table.column(name).and_then(Column::text).expect("a column of text")
}

/// The names of the columns.
pub(crate) fn names(table: &Table) -> Vec<&'static str> {
    table.columns().iter().map(|(name, _)| *name).collect()
}

/// `changed` of the table of examples, by pair, of the rows that `wanted` keeps; one metric.
pub(crate) fn changed(examples: &Table, wanted: impl Fn(usize) -> bool) -> BTreeMap<i64, f64> {
    let (ids, values) = (ints(examples, "prompt_id"), floats(examples, "changed"));
    let rows = (0..examples.n_rows()).filter(|&row| wanted(row));
    rows.map(|row| (ids[row].expect("a pair"), values[row].expect("a value"))).collect()
}

/// Asserts that two tables are equal but for rounding.
pub(crate) fn assert_close(a: &Table, b: &Table, tolerance: f64) {
    assert_eq!((names(a), a.n_rows()), (names(b), b.n_rows()));
    for ((name, a), (_, b)) in a.columns().iter().zip(b.columns()) {
        let (Some(a), Some(b)) = (a.floats(), b.floats()) else {
            assert_eq!(a, b, "{name}");
            continue;
        };
        for (row, (a, b)) in a.iter().zip(b).enumerate() {
            let close = match (a, b) {
                (Some(a), Some(b)) => (a - b).abs() <= tolerance * a.abs().max(1.0),
                (a, b) => a == b,
            };
            assert!(close, "{name}[{row}]: {a:?} {b:?}");
        }
    }
}
