//! A cell's probes are asked: those of weights alone of its tensors, the others of its model.

use std::collections::BTreeMap;

use pythia_core::weights::{SomeWeights, WeightError};
use pythia_probes::{Answer, ProbeError, ProbeSpec, Subject, WeightSubject, run_on_weights};

use super::Sweep;
use crate::checkpoint::load::Loaded;
use crate::checkpoint::source_models::SourceModels;
use crate::plan::Cell;
use crate::resolved::BOS;

/// What one probe answered.
type ProbeAnswer = Result<Answer, ProbeError>;

impl Sweep<'_> {
    /// The answers of probes in their order, or what is wrong with the weights. The model lives in here only, so that its memory is free
    /// before the next one comes.
    pub(super) fn ask(
        &self,
        cell: &Cell,
        mut loaded: Loaded,
        probes: &[usize],
        sources: &SourceModels,
    ) -> Result<Vec<ProbeAnswer>, WeightError> {
        let config = &self.resolved.models[cell.model].config;
        let alone = |probe: &&usize| self.spec(**probe).weights_only(config).is_some();
        let (of_weights, of_model): (Vec<usize>, Vec<usize>) = probes.iter().partition(alone);
        let mut answers = BTreeMap::new();
        if let Some(parts) = loaded.parts.take() {
            answers.extend(of_weights.iter().copied().zip(self.ask_weights(cell, &parts, &of_weights)?));
        }
        if !of_model.is_empty() {
            answers.extend(of_model.iter().copied().zip(self.ask_model(cell, loaded, &of_model, sources)?));
        }
        Ok(answers.into_values().collect())
    }

    fn ask_weights(&self, cell: &Cell, parts: &SomeWeights, probes: &[usize]) -> Result<Vec<ProbeAnswer>, WeightError> {
        let model = &self.resolved.models[cell.model];
        let context = model.context(&self.resolved.experiment, &self.resolved.inputs.contents);
        run_on_weights(&self.specs(probes), &WeightSubject { context, param: &|param| parts.param(param) })
    }

    fn ask_model(
        &self,
        cell: &Cell,
        loaded: Loaded,
        probes: &[usize],
        sources: &SourceModels,
    ) -> Result<Vec<ProbeAnswer>, WeightError> {
        let (experiment, model) = (&self.resolved.experiment, &self.resolved.models[cell.model]);
        let gpt = loaded.model(self.runs_on)?;
        let subject = Subject {
            tokenizer: model.tokenizer.as_ref(),
            files: &self.resolved.inputs.contents,
            source_checkpoints: &sources.models,
            ..Subject::new(&gpt, model.vocabulary.size, experiment.prepend_bos, BOS)
        };
        let answers = pythia_probes::run(&self.specs(probes), &subject, experiment.seed);
        match gpt.fault().or_else(|| sources.fault()) {
            Some(fault) => Err(fault),
            None => Ok(answers),
        }
    }

    fn specs(&self, probes: &[usize]) -> Vec<ProbeSpec> {
        probes.iter().map(|probe| self.spec(*probe).clone()).collect()
    }

    pub(super) fn spec(&self, probe: usize) -> &ProbeSpec {
        &self.resolved.experiment.probes[probe].spec
    }
}
