//! One block of the cone: which tokens are recomputed at each place of the block, and their values there.

use burn::tensor::Tensor;
use pythia_core::model::{Lookup, RowBlock};
use pythia_hooks::{HookPoint, Site};

use super::super::run::select;
use super::Wave;
use super::rows::{Own, Rows, Token};

impl Wave<'_> {
    /// Tokens whose stream differs from the base run's before block `layer`, to those after it.
    pub(super) fn block(&self, layer: usize, entering: Own) -> Own {
        let block = self.sweep.model.rows(layer);
        let entering = if layer == 0 { self.edit(Site::Embed.at(0), entering, false) } else { entering };
        let stream = self.edit(Site::ResidPre.at(layer), entering, false);
        let normalized = stream.values.clone().map(|x| block.normalize(x));
        let attn = self.attention(layer, &block, &stream, normalized.as_ref());
        let read = self.read_part(layer, &stream.rows);
        if self.config().variant.parallel_residual {
            let input = Own::new(read.clone(), pick(&stream.rows, normalized, &read));
            let mlp = self.feed_forward(layer, &block, input);
            let rows = read.union(&attn.rows).union(&mlp.rows);
            let sum = self.sum(&rows, [(&stream, Site::ResidPre), (&attn, Site::AttnOut), (&mlp, Site::MlpOut)], layer);
            return self.edit(Site::ResidPost.at(layer), Own::new(rows, sum), true);
        }
        let rows = read.union(&attn.rows);
        let sum = self.sum(&rows, [(&stream, Site::ResidPre), (&attn, Site::AttnOut)], layer);
        let mid = self.edit(Site::ResidMid.at(layer), Own::new(rows, sum), true);
        let input = Own::new(mid.rows.clone(), mid.values.clone().map(|x| block.normalize(x)));
        let mlp = self.feed_forward(layer, &block, input);
        let rows = mid.rows.union(&mlp.rows);
        let sum = self.sum(&rows, [(&mid, Site::ResidMid), (&mlp, Site::MlpOut)], layer);
        self.edit(Site::ResidPost.at(layer), Own::new(rows, sum), true)
    }

    /// Attention's output where it differs from the base run's.
    fn attention(&self, layer: usize, block: &RowBlock<'_>, stream: &Own, normalized: Option<&Tensor<2>>) -> Own {
        let at = |site: Site| site.at(layer);
        let read = self.read_part(layer, &stream.rows);
        let own = |rows: &Rows, map: &dyn Fn(Tensor<2>) -> Tensor<2>| {
            let normalized = pick(&stream.rows, normalized.cloned(), rows);
            self.spend(rows.len() * 2 * self.config().d_model * self.config().d_model);
            Own::new(rows.clone(), normalized.map(map))
        };
        let q = own(&read, &|x| block.queries(x, &read.positions()));
        let k = own(&stream.rows, &|x| block.keys(x, &stream.rows.positions()));
        let v = own(&stream.rows, &|x| block.values(x));
        let q = self.edit(at(Site::RotQ), self.edit(at(Site::Q), q, true), true);
        let k = self.edit(at(Site::RotK), self.edit(at(Site::K), k, false), false);
        let v = self.edit(at(Site::V), v, false);
        let pattern = self.touched(at(Site::Pattern), &Rows::default(), true);
        let after = self.after(&k.rows.union(&v.rows));
        let rows = self.read_part(layer, &after).union(&q.rows).union(&pattern);
        let z = Own::new(rows.clone(), self.attend(layer, block, &rows, [&q, &k, &v]));
        let z = self.edit(at(Site::Z), z, true);
        self.write(layer, block, z)
    }

    /// `hook_z` of some tokens, from queries, keys and values that are partly their own.
    fn attend(&self, layer: usize, block: &RowBlock<'_>, rows: &Rows, [q, k, v]: [&Own; 3]) -> Option<Tensor<2>> {
        if rows.is_empty() {
            return None;
        }
        let base = |site: Site| self.base(site.at(layer));
        let (queries, keys, values) = (q.table(&base(Site::RotQ)), k.table(&base(Site::RotK)), v.table(&base(Site::V)));
        let lookup = self.lookup(rows, q, k, v);
        let seen: usize = lookup.position.iter().map(|&position| position as usize + 1).sum();
        self.spend(4 * self.config().d_model * seen);
        let pattern = Own::new(rows.clone(), Some(block.pattern(queries, keys, &lookup)));
        let pattern = self.patches.apply(Site::Pattern.at(layer), &self.branches, pattern, &self.tables);
        pattern.values.map(|pattern| block.mix(pattern, values, &lookup))
    }

    /// Where attention finds what some tokens attend to.
    fn lookup(&self, rows: &Rows, q: &Own, k: &Own, v: &Own) -> Lookup {
        let length = self.sweep.base.length();
        let n_base = self.sweep.base.batch() * length;
        let whole = |tokens: &[Token]| {
            let branch = tokens[0].branch;
            (0..length as u32).map(move |position| Token { branch, position }).collect::<Vec<_>>()
        };
        let all = Rows::new(rows.by_branch().flat_map(whole).collect());
        let places = |own: &Own, wanted: &Rows| -> Vec<u32> {
            let places = own.rows.places(wanted, n_base, |token| self.base_row(token));
            places.into_iter().map(|place| place as u32).collect()
        };
        let sequence = rows.by_branch().zip(0..).flat_map(|(tokens, index)| vec![index; tokens.len()]).collect();
        Lookup {
            queries: places(q, rows),
            sequence,
            position: rows.positions(),
            keys: places(k, &all),
            values: places(v, &all),
            length,
        }
    }

    /// From `hook_z` to attention's output.
    fn write(&self, layer: usize, block: &RowBlock<'_>, z: Own) -> Own {
        let result = Site::Result.at(layer);
        let touched = self.touched(result, &z.rows, true);
        let rows = z.rows.union(&touched);
        let all = self.gather(&z, &rows, Site::Z.at(layer));
        let d = self.config().d_model;
        self.spend(rows.len() * 2 * d * d);
        let mut out = all.clone().map(|z| block.attn_out(z));
        if let (Some(all), false) = (all, touched.is_empty()) {
            // What the heads' results were and became is added as a difference, as the model itself does.
            let before =
                block.results(pick(&rows, Some(all), &touched).unwrap_or_else(|| unreachable!("rows were touched")));
            let after = Own::new(touched.clone(), Some(before.clone()));
            let after = self.patches.apply(result, &self.branches, after, &self.tables);
            let difference = after.values.map(|after| {
                let [rows, width] = after.dims();
                (after - before).reshape([rows, width / d, d]).sum_dim(1).reshape([rows, d])
            });
            out = out.map(|out| add_at(out, &rows, &touched, difference));
        }
        self.edit(Site::AttnOut.at(layer), Own::new(rows, out), true)
    }

    /// The MLP's output where it differs from the base run's. `input`: what LN2 reads, normalised.
    fn feed_forward(&self, layer: usize, block: &RowBlock<'_>, input: Own) -> Own {
        let size = 2 * self.config().d_model * self.config().d_mlp;
        self.spend(input.rows.len() * size);
        let neurons = Own::new(input.rows, input.values.map(|x| block.neurons(x)));
        let neurons = self.edit(Site::MlpPost.at(layer), neurons, true);
        self.spend(neurons.rows.len() * size);
        let out = Own::new(neurons.rows, neurons.values.map(|x| block.mlp_out(x)));
        self.edit(Site::MlpOut.at(layer), out, true)
    }

    /// The values after the changes at a point; tokens that are touched there join. `read_only`: what stands at this point
    /// matters to the token itself alone, so that in the last layer only tokens that are read join.
    fn edit(&self, point: HookPoint, own: Own, read_only: bool) -> Own {
        let touched = self.touched(point, &own.rows, read_only);
        if touched.is_empty() {
            return own;
        }
        let rows = own.rows.union(&touched);
        let values = self.gather(&own, &rows, point);
        self.patches.apply(point, &self.branches, Own::new(rows, values), &self.tables)
    }

    fn touched(&self, point: HookPoint, own: &Rows, read_only: bool) -> Rows {
        let touched = self.patches.touched(point, &self.branches, own).filter(|token| self.counts(token));
        match point.layer() {
            Some(layer) if read_only => self.read_part(layer, &touched),
            _ => touched,
        }
    }

    /// The tokens for which something is computed that only they themselves read: all, but in the last layer those that the
    /// metrics read.
    fn read_part(&self, layer: usize, rows: &Rows) -> Rows {
        if layer + 1 < self.config().n_layers { rows.clone() } else { rows.filter(|token| self.is_read(token)) }
    }

    /// From the first of each branch's tokens to the last one that is read: all that attend to one of them.
    fn after(&self, rows: &Rows) -> Rows {
        let from_first = |tokens: &[Token]| {
            let Token { branch, position } = tokens[0];
            let end = self.end(&self.branches[branch as usize]) as u32;
            (position..end).map(move |position| Token { branch, position }).collect::<Vec<_>>()
        };
        Rows::new(rows.by_branch().flat_map(from_first).collect())
    }

    /// The sum of parts of the stream, own values where there are, the base run's elsewhere; in the order given, which is the
    /// model's.
    fn sum<const N: usize>(&self, rows: &Rows, parts: [(&Own, Site); N], layer: usize) -> Option<Tensor<2>> {
        let parts = parts.into_iter().filter_map(|(own, site)| self.gather(own, rows, site.at(layer)));
        parts.reduce(|sum, part| sum + part)
    }

    fn gather(&self, own: &Own, wanted: &Rows, point: HookPoint) -> Option<Tensor<2>> {
        if own.rows == *wanted {
            return own.values.clone();
        }
        own.gather(wanted, &self.base(point), |token| self.base_row(token))
    }

    /// The base run's rows at a point.
    ///
    /// # Panics
    /// If the base run was made without it: [`super::base_points`] lists what it must hold.
    fn base(&self, point: HookPoint) -> Tensor<2> {
        self.tables.base(point).unwrap_or_else(|| panic!("the base run does not hold {point}"))
    }
}

/// Rows of `values`, which stand for `have`, that stand for `wanted`, a part of it.
fn pick(have: &Rows, values: Option<Tensor<2>>, wanted: &Rows) -> Option<Tensor<2>> {
    if wanted.is_empty() {
        return None;
    }
    if have == wanted {
        return values;
    }
    let place = |token: &Token| have.find(*token).unwrap_or_else(|| unreachable!("what is picked is among the rows"));
    let places: Vec<usize> = wanted.tokens().iter().map(place).collect();
    values.map(|values| select(&values, &places))
}

/// Adds `difference`, which stands for `some` of the `rows`, to `values`.
fn add_at(values: Tensor<2>, rows: &Rows, some: &Rows, difference: Option<Tensor<2>>) -> Tensor<2> {
    let Some(difference) = difference else { return values };
    let nothing = Tensor::zeros_like(&values).slice_dim(0, 0..1);
    let places = rows.tokens().iter().map(|token| some.find(*token).map_or(0, |place| place + 1));
    values + select(&Tensor::cat(vec![nothing, difference], 0), &places.collect::<Vec<_>>())
}
