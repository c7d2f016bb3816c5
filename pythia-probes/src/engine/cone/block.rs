//! One block of the cone: the tokens that are recomputed at each hook of the block, and their values there.

use burn::tensor::Tensor;
use pythia_core::model::{Lookup, RowBlock};
use pythia_hooks::{HookPoint, Site};

use super::Cone;
use super::changed_rows::{ChangedRows, Token, TokenSet};
use crate::rows::select;

impl Cone<'_> {
    /// From the tokens whose residual stream differs from the base run's before block `layer` to those after it.
    pub(super) fn block(&self, layer: usize, entering: ChangedRows) -> ChangedRows {
        let block = self.input.model.rows(layer);
        let entering = if layer == 0 { self.edit(Site::Embed.at(0), entering, false) } else { entering };
        let stream = self.edit(Site::ResidPre.at(layer), entering, false);
        let normalized = stream.values.clone().map(|x| block.normalize(x));
        let attn = self.attention(layer, &block, &stream, normalized.as_ref());
        let read = self.read_part(layer, &stream.tokens);
        if self.config().variant.parallel_residual {
            let input = ChangedRows::new(read.clone(), pick(&stream.tokens, normalized, &read));
            let mlp = self.feed_forward(layer, &block, input);
            let tokens = read.union(&attn.tokens).union(&mlp.tokens);
            let sum =
                self.sum(&tokens, [(&stream, Site::ResidPre), (&attn, Site::AttnOut), (&mlp, Site::MlpOut)], layer);
            return self.edit(Site::ResidPost.at(layer), ChangedRows::new(tokens, sum), true);
        }
        let tokens = read.union(&attn.tokens);
        let sum = self.sum(&tokens, [(&stream, Site::ResidPre), (&attn, Site::AttnOut)], layer);
        let mid = self.edit(Site::ResidMid.at(layer), ChangedRows::new(tokens, sum), true);
        let input = ChangedRows::new(mid.tokens.clone(), mid.values.clone().map(|x| block.normalize(x)));
        let mlp = self.feed_forward(layer, &block, input);
        let tokens = mid.tokens.union(&mlp.tokens);
        let sum = self.sum(&tokens, [(&mid, Site::ResidMid), (&mlp, Site::MlpOut)], layer);
        self.edit(Site::ResidPost.at(layer), ChangedRows::new(tokens, sum), true)
    }

    /// Attention's output where it differs from the base run's.
    fn attention(
        &self,
        layer: usize,
        block: &RowBlock<'_>,
        stream: &ChangedRows,
        normalized: Option<&Tensor<2>>,
    ) -> ChangedRows {
        let at = |site: Site| site.at(layer);
        let read = self.read_part(layer, &stream.tokens);
        let changed = |tokens: &TokenSet, map: &dyn Fn(Tensor<2>) -> Tensor<2>| {
            let normalized = pick(&stream.tokens, normalized.cloned(), tokens);
            self.spend(tokens.len() * 2 * self.config().d_model * self.config().d_model);
            ChangedRows::new(tokens.clone(), normalized.map(map))
        };
        let q = changed(&read, &|x| block.queries(x, &read.positions()));
        let k = changed(&stream.tokens, &|x| block.keys(x, &stream.tokens.positions()));
        let v = changed(&stream.tokens, &|x| block.values(x));
        let q = self.edit(at(Site::RotQ), self.edit(at(Site::Q), q, true), true);
        let k = self.edit(at(Site::RotK), self.edit(at(Site::K), k, false), false);
        let v = self.edit(at(Site::V), v, false);
        let pattern = self.touched(at(Site::Pattern), &TokenSet::default(), true);
        let after = self.after(&k.tokens.union(&v.tokens));
        let tokens = self.read_part(layer, &after).union(&q.tokens).union(&pattern);
        let z = ChangedRows::new(tokens.clone(), self.attend(layer, block, &tokens, [&q, &k, &v]));
        let z = self.edit(at(Site::Z), z, true);
        self.write(layer, block, z)
    }

    /// `hook_z` of some tokens. Queries, keys and values are the changed ones where there are any, else the base run's.
    fn attend(
        &self,
        layer: usize,
        block: &RowBlock<'_>,
        tokens: &TokenSet,
        [q, k, v]: [&ChangedRows; 3],
    ) -> Option<Tensor<2>> {
        if tokens.is_empty() {
            return None;
        }
        let base = |site: Site| self.base(site.at(layer));
        let (queries, keys, values) = (q.table(&base(Site::RotQ)), k.table(&base(Site::RotK)), v.table(&base(Site::V)));
        let lookup = self.lookup(tokens, q, k, v);
        let seen: usize = lookup.position.iter().map(|&position| position as usize + 1).sum();
        self.spend(4 * self.config().d_model * seen);
        let pattern = ChangedRows::new(tokens.clone(), Some(block.pattern(queries, keys, &lookup)));
        let pattern = self.patches.apply(Site::Pattern.at(layer), &self.runs, pattern, &self.activations);
        pattern.values.map(|pattern| block.mix(pattern, values, &lookup))
    }

    /// Where attention finds the queries of `tokens`, and the keys and values that they attend to.
    fn lookup(&self, tokens: &TokenSet, q: &ChangedRows, k: &ChangedRows, v: &ChangedRows) -> Lookup {
        let length = self.input.base.length();
        let n_base = self.input.base.batch() * length;
        let whole = |tokens: &[Token]| {
            let run = tokens[0].run;
            (0..length as u32).map(move |position| Token { run, position }).collect::<Vec<_>>()
        };
        let all = TokenSet::new(tokens.by_run().flat_map(whole).collect());
        let places = |changed: &ChangedRows, wanted: &TokenSet| -> Vec<u32> {
            let places = changed.tokens.places(wanted, n_base, |token| self.base_row(token));
            places.into_iter().map(|place| place as u32).collect()
        };
        let sequence = tokens.by_run().zip(0..).flat_map(|(tokens, index)| vec![index; tokens.len()]).collect();
        Lookup {
            queries: places(q, tokens),
            sequence,
            position: tokens.positions(),
            keys: places(k, &all),
            values: places(v, &all),
            length,
        }
    }

    /// From `hook_z` to attention's output.
    fn write(&self, layer: usize, block: &RowBlock<'_>, z: ChangedRows) -> ChangedRows {
        let result = Site::Result.at(layer);
        let touched = self.touched(result, &z.tokens, true);
        let tokens = z.tokens.union(&touched);
        let all = self.gather(&z, &tokens, Site::Z.at(layer));
        let d = self.config().d_model;
        self.spend(tokens.len() * 2 * d * d);
        let mut out = all.clone().map(|z| block.attn_out(z));
        if let (Some(all), false) = (all, touched.is_empty()) {
            // The change of the heads' results is added as a difference, as the model itself does.
            let before = block
                .results(pick(&tokens, Some(all), &touched).unwrap_or_else(|| unreachable!("tokens were touched")));
            let after = ChangedRows::new(touched.clone(), Some(before.clone()));
            let after = self.patches.apply(result, &self.runs, after, &self.activations);
            let difference = after.values.map(|after| {
                let [rows, width] = after.dims();
                (after - before).reshape([rows, width / d, d]).sum_dim(1).reshape([rows, d])
            });
            out = out.map(|out| add_at(out, &tokens, &touched, difference));
        }
        self.edit(Site::AttnOut.at(layer), ChangedRows::new(tokens, out), true)
    }

    /// The MLP's output where it differs from the base run's. `input`: what LN2 reads, normalised.
    fn feed_forward(&self, layer: usize, block: &RowBlock<'_>, input: ChangedRows) -> ChangedRows {
        let size = 2 * self.config().d_model * self.config().d_mlp;
        self.spend(input.tokens.len() * size);
        let neurons = ChangedRows::new(input.tokens, input.values.map(|x| block.neurons(x)));
        let neurons = self.edit(Site::MlpPost.at(layer), neurons, true);
        self.spend(neurons.tokens.len() * size);
        let out = ChangedRows::new(neurons.tokens, neurons.values.map(|x| block.mlp_out(x)));
        self.edit(Site::MlpOut.at(layer), out, true)
    }

    /// The values after the changes at a point; tokens that are touched there join. `read_only`: no other token reads
    /// the activation at this point, so that in the last layer only tokens that the metrics read join.
    fn edit(&self, point: HookPoint, changed: ChangedRows, read_only: bool) -> ChangedRows {
        let touched = self.touched(point, &changed.tokens, read_only);
        if touched.is_empty() {
            return changed;
        }
        let tokens = changed.tokens.union(&touched);
        let values = self.gather(&changed, &tokens, point);
        self.patches.apply(point, &self.runs, ChangedRows::new(tokens, values), &self.activations)
    }

    fn touched(&self, point: HookPoint, changed: &TokenSet, read_only: bool) -> TokenSet {
        let touched = self.patches.touched(point, &self.runs, changed).filter(|token| self.counts(token));
        match point.layer() {
            Some(layer) if read_only => self.read_part(layer, &touched),
            _ => touched,
        }
    }

    /// The tokens for which an activation is computed that no other token reads: all of them, but in the last layer
    /// only those that the metrics read.
    fn read_part(&self, layer: usize, tokens: &TokenSet) -> TokenSet {
        if layer + 1 < self.config().n_layers { tokens.clone() } else { tokens.filter(|token| self.is_read(token)) }
    }

    /// All tokens that attend to one of `tokens`: per run, from its first one to the last one that is read.
    fn after(&self, tokens: &TokenSet) -> TokenSet {
        let from_first = |tokens: &[Token]| {
            let Token { run, position } = tokens[0];
            let end = self.end(&self.runs[run as usize]) as u32;
            (position..end).map(move |position| Token { run, position }).collect::<Vec<_>>()
        };
        TokenSet::new(tokens.by_run().flat_map(from_first).collect())
    }

    /// The sum of parts of the residual stream: changed values where there are any, the base run's elsewhere. The
    /// order of the parts is the model's, so that rounding is the same.
    fn sum<const N: usize>(
        &self,
        tokens: &TokenSet,
        parts: [(&ChangedRows, Site); N],
        layer: usize,
    ) -> Option<Tensor<2>> {
        let parts = parts.into_iter().filter_map(|(changed, site)| self.gather(changed, tokens, site.at(layer)));
        parts.reduce(|sum, part| sum + part)
    }

    fn gather(&self, changed: &ChangedRows, wanted: &TokenSet, point: HookPoint) -> Option<Tensor<2>> {
        if changed.tokens == *wanted {
            return changed.values.clone();
        }
        changed.gather(wanted, &self.base(point), |token| self.base_row(token))
    }

    /// The base run's rows at a point, `[prompt · pos, width]`.
    ///
    /// # Panics
    /// If the base run was made without it: [`super::base_points`] lists what it must hold.
    fn base(&self, point: HookPoint) -> Tensor<2> {
        self.activations.base(point).unwrap_or_else(|| panic!("the base run does not hold {point}"))
    }
}

/// The rows of `values` for `wanted`; `values` has a row per token of `have`, which contains `wanted`.
fn pick(have: &TokenSet, values: Option<Tensor<2>>, wanted: &TokenSet) -> Option<Tensor<2>> {
    if wanted.is_empty() {
        return None;
    }
    if have == wanted {
        return values;
    }
    let place = |token: &Token| have.find(*token).unwrap_or_else(|| unreachable!("what is picked is among the tokens"));
    let places: Vec<usize> = wanted.as_slice().iter().map(place).collect();
    values.map(|values| select(&values, &places))
}

/// Adds `difference`, a row per token of `some`, to `values`, a row per token of `tokens`; `some` is part of `tokens`.
fn add_at(values: Tensor<2>, tokens: &TokenSet, some: &TokenSet, difference: Option<Tensor<2>>) -> Tensor<2> {
    let Some(difference) = difference else { return values };
    let nothing = Tensor::zeros_like(&values).slice_dim(0, 0..1);
    let places = tokens.as_slice().iter().map(|token| some.find(*token).map_or(0, |place| place + 1));
    values + select(&Tensor::cat(vec![nothing, difference], 0), &places.collect::<Vec<_>>())
}
