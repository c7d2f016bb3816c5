//! Errors of hook points, regions and interventions.

use std::fmt;

use crate::{Axis, HookPoint, Region, Span};

/// Why a request about hook points fails.
///
/// ```
/// use pythia_hooks::{HookError, HookPoint};
///
/// let error = "blocks.0.attn.hook_patern".parse::<HookPoint>().unwrap_err();
/// let HookError::UnknownName { nearest, .. } = &error else { panic!("another error") };
/// assert_eq!(nearest.0[0], "blocks.0.attn.hook_pattern");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HookError {
    /// No site has this name.
    #[error("no hook point is called `{name}`{nearest}")]
    UnknownName {
        /// The name as given.
        name: String,
        /// The nearest valid names.
        nearest: Suggestions,
    },
    /// A name of TransformerLens for something that is no hook point here.
    #[error("`{name}` is no hook point here: in TransformerLens it is {what}; {instead}")]
    Foreign {
        /// The name as given.
        name: String,
        /// What TransformerLens has there.
        what: &'static str,
        /// Which point is near, and how it differs.
        instead: &'static str,
    },
    /// The model has no such layer.
    #[error("`{name}`: the model has layers 0 to {} (−{n_layers} to −1 from the end), not {layer}", n_layers - 1)]
    LayerOutOfRange {
        /// The name as given.
        name: String,
        /// The layer as given.
        layer: i64,
        /// How many layers the model has.
        n_layers: usize,
    },
    /// `hook_resid_mid` was requested of a model with parallel blocks.
    #[error(
        "`{name}` does not exist in this model: its blocks are parallel (use_parallel_residual = true), attention and \
         MLP both read hook_resid_pre and are added at once, so there is no stream between them; use hook_resid_pre, \
         hook_attn_out or hook_resid_post"
    )]
    NoResidMid {
        /// The name as given.
        name: String,
    },
    /// A region names an axis that the site's activations lack.
    #[error("{point} has no {axis} axis; its axes are {}", names(point.site().axes()))]
    NoSuchAxis {
        /// The hook point.
        point: HookPoint,
        /// The requested axis.
        axis: Axis,
    },
    /// A region reaches past the end of an axis.
    #[error("{point}: {axis} {index} is out of range, the activation has {size} there")]
    OutOfRange {
        /// The hook point.
        point: HookPoint,
        /// Axis that the index is on, one of the point's own.
        axis: Axis,
        /// The first index that does not exist.
        index: i64,
        /// The axis's length.
        size: usize,
    },
    /// A slice selects nothing and was not meant to be empty.
    #[error("{point}: {axis} {span} selects nothing, as in Python: {}", backwards(span, *size))]
    Backwards {
        /// The hook point.
        point: HookPoint,
        /// Axis that the slice runs along, one of the point's own.
        axis: Axis,
        /// Slice as given, with negative bounds as they were written.
        span: Span,
        /// The axis's length.
        size: usize,
    },
    /// A value to add or put in place does not fit the activation.
    #[error(
        "{point}: a value of shape {found:?} does not fit the activation's {expected:?} (axes of size 1 are repeated)"
    )]
    ShapeMismatch {
        /// The hook point.
        point: HookPoint,
        /// The activation's shape.
        expected: Vec<usize>,
        /// The value's shape.
        found: Vec<usize>,
    },
    /// The run did not reach the point of an intervention.
    #[error("the intervention on {point}{region} never fired: the run did not pass that point")]
    NeverFired {
        /// The hook point.
        point: HookPoint,
        /// The part of it.
        region: Region,
    },
    /// A requested activation was not captured.
    #[error("{point} was not captured: either the cache was not asked for it, or the run did not pass it")]
    NotCaptured {
        /// The hook point.
        point: HookPoint,
    },
    /// A name of several points was used where one point is needed.
    #[error("`{name}` names {found} points, and one is read at a time; name a layer, as in `z.-1`")]
    SeveralPoints {
        /// The name as given.
        name: String,
        /// How many points it names.
        found: usize,
    },
    /// An activation was read with the wrong number of axes.
    #[error("{point} has {found} axes, not {asked}")]
    WrongRank {
        /// The hook point.
        point: HookPoint,
        /// The requested number of axes.
        asked: usize,
        /// Number of axes it has.
        found: usize,
    },
    /// Two edits of one layer that cannot both take effect.
    #[error(
        "layer {layer}: an edit of {site} has no effect beside an edit of the split inputs (hook_attn_in, \
         hook_q_input, hook_k_input, hook_v_input), which each have a layer norm of their own; leave one of the two out"
    )]
    SplitInputConflict {
        /// Layer of both edits, counted from 0.
        layer: usize,
        /// The layer norm's site.
        site: &'static str,
    },
}

/// The nearest valid names.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Suggestions(pub Vec<String>);

impl fmt::Display for Suggestions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(f, " (did you mean `{}`?)", self.0.join("`, `"))
    }
}

fn names(axes: &[Axis]) -> String {
    axes.iter().map(|axis| axis.name()).collect::<Vec<_>>().join(", ")
}

/// Why a slice selects nothing, and what was probably meant.
fn backwards(span: &Span, size: usize) -> String {
    match span {
        Span::Slice(Some(start @ ..0), Some(0)) => {
            format!("an end of 0 is the beginning of the axis; write {start}.. for all that follows {start}")
        }
        Span::Slice(..) | Span::Index(_) | Span::List(_) => format!("it ends before it begins (the length is {size})"),
    }
}
