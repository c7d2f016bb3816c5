//! What holds for every causal probe.

use std::collections::BTreeSet;

use super::*;
use crate::probes::ablation::Ablation;
use crate::probes::activation_patching::ActivationPatching;
use crate::probes::cross_checkpoint::CrossCheckpoint;
use crate::probes::interventions::InterventionRuns;
use crate::probes::path_patching::PathPatching;
use crate::probes::spec::ProbeSpec;
use crate::probes::steering::Steering;
use crate::subject::SourceCheckpoints;
use crate::table::{Column, ColumnKind};
use crate::testing::model;

/// The example of every causal probe with its tables.
fn examples() -> [(ProbeSpec, &'static [TableSpec]); 6] {
    [
        (ProbeSpec::ActivationPatching(ActivationPatching::example()), ActivationPatching::TABLES),
        (ProbeSpec::PathPatching(PathPatching::example()), PathPatching::TABLES),
        (ProbeSpec::CrossCheckpoint(CrossCheckpoint::example()), CrossCheckpoint::TABLES),
        (ProbeSpec::Ablation(Ablation::example()), Ablation::TABLES),
        (ProbeSpec::Steering(Steering::example()), Steering::TABLES),
        (ProbeSpec::Interventions(InterventionRuns::example()), InterventionRuns::TABLES),
    ]
}

fn kind(column: &Column) -> ColumnKind {
    match column {
        Column::Text(_) => ColumnKind::Text,
        Column::Int(_) => ColumnKind::Int,
        Column::Float(_) => ColumnKind::Float,
    }
}

#[test]
fn every_probe_answers_with_the_columns_that_it_declares() {
    let model = model(true);
    let source_checkpoints = SourceCheckpoints([(512, model.clone())].into());
    let subject = Subject { source_checkpoints: &source_checkpoints, ..Subject::new(&model, 21, false, 0) };
    for (probe, tables) in examples() {
        let answer = crate::run(std::slice::from_ref(&probe), &subject, 3).remove(0).expect("the example runs");
        assert_eq!(tables.iter().map(|table| table.suffix).collect::<Vec<_>>(), probe.tables());
        assert_eq!(answer.len(), tables.len(), "{}", probe.kind());
        for (table, spec) in answer.iter().zip(tables) {
            let found: Vec<_> = table.columns().iter().map(|(name, column)| (*name, kind(column))).collect();
            let declared: Vec<_> = spec.columns().map(|column| (column.name, column.kind)).collect();
            assert_eq!(found, declared, "{} {}", probe.kind(), spec.suffix);
            assert!(table.n_rows() > 0, "{} {}", probe.kind(), spec.suffix);
        }
    }
}

#[test]
fn every_column_is_named_once_and_says_what_it_holds() {
    for spec in examples().into_iter().flat_map(|(_, tables)| tables) {
        let names: BTreeSet<&str> = spec.columns().map(|column| column.name).collect();
        assert_eq!(names.len(), spec.columns().count(), "{spec:?}");
        assert!(spec.doc.len() > 10 && spec.columns().all(|column| column.doc.len() > 10), "{spec:?}");
        assert!(spec.columns().any(|column| column.name == "status"));
    }
}

#[test]
fn every_probe_says_what_it_costs() {
    let model = model(true);
    let context = Subject::new(&model, 21, false, 0).context(3);
    for (probe, _) in examples() {
        let estimate = probe.estimate(&context).expect("the pairs can be made");
        assert!(estimate.flops > 1000 && estimate.memory > 1000, "{}: {estimate:?}", probe.kind());
        assert_eq!(probe.tokens_per_run(&context), (2, 6), "{}", probe.kind());
        assert!(probe.reads_logits() && probe.files().is_empty());
        assert_eq!(probe.source_checkpoints().is_empty(), probe.kind() != "cross_checkpoint");
    }
}
