//! The change that a sender writes, and what a receiver computes from it.
//!
//! Everything between a sender and a receiver is frozen, so the sender's change reaches the receiver unaltered: the
//! receiver reads the base run's stream plus the difference of what the sender writes. No run is needed for that,
//! only one product per receiver and the tokens at which there is a difference.

use burn::tensor::Tensor;
use pythia_core::model::GptNeoX;
use pythia_hooks::{Activation, HookPoint, Site};

use super::edges::{Input, Sender};
use crate::engine::{Run, SourceActivations, flat, rows_differ, rows_of};
use crate::error::ProbeError;
use crate::rows::select;

/// The run that is changed, and the run that senders take their values from.
pub(super) struct BaseAndSource<'a> {
    pub model: &'a GptNeoX,
    pub base: &'a Run,
    pub source: &'a Run,
}

/// What a sender writes in the source run minus what it writes in the base run.
pub(super) struct Delta {
    pub sender: Sender,
    /// Tokens at which there is a difference, as rows `prompt · length + position`, ascending.
    pub rows: Vec<usize>,
    /// `[row, d_model]`; absent where there is no difference at all.
    pub values: Option<Tensor<2>>,
}

impl BaseAndSource<'_> {
    /// The difference that a sender sends.
    ///
    /// # Errors
    /// Reading from the device.
    pub(super) fn delta(&self, sender: Sender) -> Result<Delta, ProbeError> {
        match sender {
            Sender::Embed => self.between(sender, Site::ResidPre.at(0), |values| values, |written| written),
            Sender::Mlp { layer } => self.between(sender, Site::MlpOut.at(layer), |values| values, |written| written),
            Sender::Head { layer, head } => {
                let d_head = self.model.config().d_head();
                let own = |z: Tensor<2>| z.slice_dim(1, head * d_head..(head + 1) * d_head);
                self.between(sender, Site::Z.at(layer), own, |z| self.model.rows(layer).result(z, head))
            }
        }
    }

    /// The difference at a point, where there is one: of the part that is `own`, as it is `written` to the stream.
    fn between(
        &self,
        sender: Sender,
        point: HookPoint,
        own: impl Fn(Tensor<2>) -> Tensor<2>,
        written: impl Fn(Tensor<2>) -> Tensor<2>,
    ) -> Result<Delta, ProbeError> {
        let (base, source) = (own(rows_at(self.base, point)), own(rows_at(self.source, point)));
        let differs = rows_differ(base.clone(), source.clone())?.into_iter().enumerate();
        let rows: Vec<usize> = differs.filter(|(_, differs)| *differs).map(|(row, _)| row).collect();
        let values = (!rows.is_empty()).then(|| written(select(&source, &rows) - select(&base, &rows)));
        Ok(Delta { sender, rows, values })
    }

    /// Per delta, the activation at the input's point when the input reads the base run's stream plus the delta.
    /// Tokens without a difference keep the base run's values, bit for bit.
    pub(super) fn sources(&self, input: Input, deltas: &[&Delta]) -> Vec<SourceActivations> {
        let point = input.point(self.model.config().n_layers);
        let base = self.kept(point);
        let table = rows_of(&base, point.site());
        let changed = self.read(input, deltas);
        let mut next = 0;
        let source = |delta: &&Delta| {
            let Some(changed) = changed.clone().filter(|_| !delta.rows.is_empty()) else {
                return [(point, base.clone())].into();
            };
            let own = changed.slice_dim(0, next..next + delta.rows.len());
            next += delta.rows.len();
            [(point, shaped(replaced(&table, &delta.rows, own), &base))].into()
        };
        deltas.iter().map(source).collect()
    }

    /// What the input computes for the changed tokens of all deltas, one delta after another; `None` if there are none.
    fn read(&self, input: Input, deltas: &[&Delta]) -> Option<Tensor<2>> {
        let values: Vec<Tensor<2>> = deltas.iter().filter_map(|delta| delta.values.clone()).collect();
        if values.is_empty() {
            return None;
        }
        let rows: Vec<usize> = deltas.iter().flat_map(|delta| delta.rows.iter().copied()).collect();
        let stream = select(&self.stream(input), &rows) + Tensor::cat(values, 0);
        let positions: Vec<u32> = rows.iter().map(|row| (row % self.base.length()) as u32).collect();
        let block = |layer| self.model.rows(layer);
        Some(match input {
            Input::Query(layer) => block(layer).queries(block(layer).normalize(stream), &positions),
            Input::Key(layer) => block(layer).keys(block(layer).normalize(stream), &positions),
            Input::Value(layer) => block(layer).values(block(layer).normalize(stream)),
            Input::Mlp(layer) => block(layer).mlp_out(block(layer).neurons(block(layer).normalize(stream))),
            Input::Logits => stream,
        })
    }

    /// The base run's stream that an input reads, `[prompt · pos, d_model]`.
    fn stream(&self, input: Input) -> Tensor<2> {
        let at = |site: Site, layer| rows_at(self.base, site.at(layer));
        match input {
            Input::Logits => flat(self.base.end()),
            Input::Mlp(layer) if !self.model.config().variant.parallel_residual => {
                at(Site::ResidPre, layer) + at(Site::AttnOut, layer)
            }
            Input::Query(layer) | Input::Key(layer) | Input::Value(layer) | Input::Mlp(layer) => {
                at(Site::ResidPre, layer)
            }
        }
    }

    /// The base run's activation at an input's point.
    fn kept(&self, point: HookPoint) -> Activation {
        match point.site() {
            Site::ResidPost => Activation::Three(self.base.end().clone()),
            _ => at(self.base, point).clone(),
        }
    }
}

/// A run's activation.
///
/// # Panics
/// If the run was made without it. Base runs hold every point that is asked for here.
fn at(run: &Run, point: HookPoint) -> &Activation {
    run.get(point).unwrap_or_else(|| panic!("the run does not hold {point}"))
}

fn rows_at(run: &Run, point: HookPoint) -> Tensor<2> {
    rows_of(at(run, point), point.site())
}

/// Rows as an activation of the shape of `like`.
fn shaped(rows: Tensor<2>, like: &Activation) -> Activation {
    match like {
        Activation::Three(tensor) => Activation::Three(rows.reshape(tensor.dims())),
        Activation::Four(tensor) => Activation::Four(rows.reshape(tensor.dims())),
    }
}

/// The table with other values at some rows.
fn replaced(table: &Tensor<2>, rows: &[usize], values: Tensor<2>) -> Tensor<2> {
    let count = table.dims()[0];
    let mut places: Vec<usize> = (0..count).collect();
    rows.iter().zip(count..).for_each(|(row, place)| places[*row] = place);
    select(&Tensor::cat(vec![table.clone(), values], 0), &places)
}
