//! The parameters at step 0, as GPT-NeoX draws them.
//!
//! Matrices that read are normal with the deviation √(2 / 5d) (Nguyen & Salazar 2019), matrices that write into the
//! residual stream with 2 / (L·√d) (Wang & Komatsuzaki 2021); biases are 0 and the norms' weights 1.

use pythia_core::config::NeoxConfig;
use pythia_core::params::{HostParams, HostTensor, LayerParam, Param};

use super::random::{Purpose, Random};

/// A complete set of parameters for `config`, a pure function of the seed.
pub(crate) fn initial(config: &NeoxConfig, seed: u64) -> HostParams {
    let draw = |(place, param): (usize, Param)| {
        let shape = param.shape(config);
        let n = shape.iter().product();
        let values = match draw_of(param) {
            Draw::Constant(value) => vec![value; n],
            Draw::Normal(role) => {
                normals(&mut Random::new(seed, Purpose::Parameters, place as u64), n, role.deviation(config))
            }
        };
        (param, HostTensor { shape, values: values.into() })
    };
    Param::all(config).into_iter().enumerate().map(draw).collect()
}

fn normals(random: &mut Random, n: usize, deviation: f64) -> Vec<f32> {
    (0..n).map(|_| (random.normal() * deviation) as f32).collect()
}

/// How a parameter is drawn.
enum Draw {
    Constant(f32),
    Normal(Role),
}

/// What a matrix does to the residual stream.
enum Role {
    Reads,
    Writes,
}

impl Role {
    fn deviation(self, config: &NeoxConfig) -> f64 {
        let d = config.d_model as f64;
        match self {
            Role::Reads => (2.0 / (5.0 * d)).sqrt(),
            Role::Writes => 2.0 / (config.n_layers as f64 * d.sqrt()),
        }
    }
}

fn draw_of(param: Param) -> Draw {
    use LayerParam::*;
    match param {
        Param::Embed | Param::Unembed => Draw::Normal(Role::Reads),
        Param::FinalNormWeight | Param::Layer(_, Ln1Weight | Ln2Weight) => Draw::Constant(1.0),
        Param::Layer(_, QueryWeight | KeyWeight | ValueWeight | MlpInWeight) => Draw::Normal(Role::Reads),
        Param::Layer(_, OutWeight | MlpOutWeight) => Draw::Normal(Role::Writes),
        Param::FinalNormBias | Param::UnembedBias => Draw::Constant(0.0),
        Param::Layer(_, Ln1Bias | Ln2Bias | QueryBias | KeyBias | ValueBias | OutBias | MlpInBias | MlpOutBias) => {
            Draw::Constant(0.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nano::Recipe;

    fn deviation(values: &[f32]) -> f64 {
        (values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn every_parameter_has_its_shape_and_spread() {
        let config = Recipe::default().config();
        let params = initial(&config, 0);
        assert_eq!(params.len(), Param::all(&config).len());
        for (param, tensor) in &params {
            assert_eq!(tensor.shape, param.shape(&config), "{param}");
            assert_eq!(tensor.values.len(), tensor.shape.iter().product::<usize>(), "{param}");
        }
        let close = |param: Param, expected: f64| {
            let found = deviation(&params[&param].values);
            assert!((found / expected - 1.0).abs() < 0.05, "{param}: {found}, expected {expected}");
        };
        close(Param::Embed, (2.0f64 / 320.0).sqrt());
        close(Param::Layer(1, LayerParam::MlpOutWeight), 2.0 / (2.0 * 8.0));
        assert!(params[&Param::Layer(0, LayerParam::Ln2Weight)].values.iter().all(|&w| w == 1.0));
        assert!(params[&Param::Layer(0, LayerParam::OutBias)].values.iter().all(|&b| b == 0.0));
    }

    #[test]
    fn equal_seeds_agree_and_equal_shapes_do_not() {
        let config = Recipe::default().config();
        assert_eq!(initial(&config, 4), initial(&config, 4));
        assert_ne!(initial(&config, 4), initial(&config, 5));
        let params = initial(&config, 4);
        let query = |layer| &params[&Param::Layer(layer, LayerParam::QueryWeight)].values;
        assert_ne!(query(0), query(1));
        assert_ne!(query(0), &params[&Param::Layer(0, LayerParam::KeyWeight)].values);
    }
}
