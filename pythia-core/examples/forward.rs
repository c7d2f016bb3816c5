use burn::tensor::{DType, Device};
use pythia_core::{config::*, model::GptNeoX, params::*};
use pythia_hooks::*;
fn main() {
    let size = std::env::args().nth(1).unwrap_or("70m".into());
    let (l, d, h, m) = if size == "70m" { (6, 512, 8, 2048) } else { (12, 768, 12, 3072) };
    let config = NeoxConfig { n_layers: l, d_model: d, n_heads: h, d_mlp: m, vocab_size: 50304, n_ctx: 2048, layer_norm_eps: 1e-5, rotary: Rotary { ndims: 16, base: 10000.0 }, variant: Variant { parallel_residual: true, tied_embeddings: false, attention_bias: true } };
    let mut state = 1u64;
    let params: HostParams = Param::all(&config).into_iter().map(|p| {
        let shape = p.shape(&config);
        let n: usize = shape.iter().product();
        let values = (0..n).map(|_| { state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407); ((state >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.08 }).collect();
        (p, HostTensor { shape, values })
    }).collect();
    let model = GptNeoX::from_params(config, params, &Device::flex(), DType::F32);
    let rows: Vec<Vec<u32>> = (0..8).map(|i| (0..128).map(|j| ((i * 7919 + j * 104729) % 50000) as u32).collect()).collect();
    let tokens = model.tokens(&rows);
    struct P; impl Hooks for P { fn wants(&self, p: HookPoint) -> bool { p.site() == Site::Pattern } fn edits(&self, _: HookPoint) -> bool { false } fn at<const D: usize>(&mut self, _: HookPoint, v: burn::tensor::Tensor<D>) -> burn::tensor::Tensor<D> { v } }
    for _ in 0..5 {
        let t = std::time::Instant::now();
        let logits = model.forward(tokens.clone(), &mut ());
        let full = t.elapsed(); drop(logits);
        let t = std::time::Instant::now();
        let r = model.embed(tokens.clone(), &mut ());
        let r = model.advance(r, l, &mut ());
        let body = t.elapsed();
        let last = Residual2::last(r);
        let t2 = std::time::Instant::now();
        let _x = model.unembed(last, &mut ());
        let un = t2.elapsed();
        let t = std::time::Instant::now();
        model.observe(tokens.clone(), &mut P);
        println!("full {full:?} body {body:?} last-unembed {un:?} patterns {:?}", t.elapsed());
    }
}
struct Residual2;
impl Residual2 { fn last(r: pythia_core::model::Residual) -> pythia_core::model::Residual { let p = r.stream.dims()[1]; pythia_core::model::Residual { layer: r.layer, stream: r.stream.slice_dim(1, p - 1..p) } } }
