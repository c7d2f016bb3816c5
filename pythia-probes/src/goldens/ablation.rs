//! Ablation against TransformerLens: heads' outputs and whole layers replaced on the clean prompts.

use burn::tensor::DType;

use super::*;
use crate::engine::Engine;
use crate::families::causal::RunSettings;
use crate::metric::Metric;
use crate::pairs::PairSource;
use crate::probes::ablation::{Ablation, Method};
use crate::subject::Files;

/// The keys of TransformerLens' values, the hook, the method, and the metric that stand for them.
const VALUES: [(&str, &str, Method, Metric); 8] = [
    ("ablate_head.zero.metric", "z", Method::Zero, Metric::LogitDiff),
    ("ablate_head.zero.loss", "z", Method::Zero, Metric::Loss),
    ("ablate_head.mean_batchpos.metric", "z", Method::Mean, Metric::LogitDiff),
    ("ablate_head.mean_batchpos.loss", "z", Method::Mean, Metric::Loss),
    ("ablate_head.mean_batch.metric", "z", Method::MeanPerPosition, Metric::LogitDiff),
    ("ablate_head.mean_batch.loss", "z", Method::MeanPerPosition, Metric::Loss),
    ("ablate_layer.zero.attn_out.metric", "attn_out", Method::Zero, Metric::LogitDiff),
    ("ablate_layer.zero.mlp_out.metric", "mlp_out", Method::Zero, Metric::LogitDiff),
];

/// Means under ablation, by layer and head.
fn ablated(golden: &Golden, hook: &str, method: Method, metric: Metric, engine: Engine) -> Vec<f64> {
    let files = Files([(PathBuf::from("pairs"), golden.pairs())].into());
    let subject = Subject { files: &files, ..Subject::new(&golden.model, golden.model.config().vocab_size, false, 0) };
    let probe = Ablation {
        hooks: vec![hook.to_owned()],
        methods: vec![method],
        metrics: vec![metric],
        run: RunSettings { engine, ..RunSettings::default() },
        ..Ablation::new(PairSource::file("pairs".into()))
    };
    let answer = run(&[ProbeSpec::Ablation(probe)], &subject, 0).remove(0).expect("the probe runs");
    let values = answer[0].column("changed").and_then(Column::floats).expect("numbers");
    values.iter().map(|value| value.expect("a value")).collect()
}

fn compare(goldens: Vec<Golden>, tolerance: impl Fn(&Golden) -> f64) {
    let mut compared = 0;
    let models = goldens.len();
    for golden in goldens {
        for (key, hook, method, metric) in VALUES {
            for engine in [Engine::Cone, Engine::Naive] {
                let found = ablated(&golden, hook, method, metric, engine);
                golden.compare(&format!("{key} {engine:?}"), &found, golden.get(key), tolerance(&golden));
                compared += found.len();
            }
        }
    }
    assert!(compared >= models * 2 * 8 * 2, "{compared} values compared");
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_ablation_equals_transformer_lens() {
    // TransformerLens' own float32 noise on these models is up to 2e-5.
    compare(goldens(), |_| 1e-4);
}

#[test]
#[ignore = "needs PYTHIA_SHARED: a folder of TransformerLens goldens"]
fn shared_ablation_in_float64_equals_transformer_lens_in_float64() {
    compare(goldens_in(DType::F64), |golden| if golden.exact { 1e-10 } else { 1e-4 });
}
