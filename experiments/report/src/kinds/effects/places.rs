//! Which map, panel, row and column a row of a causal table belongs to.

use crate::results::{FrameRows, ResultsError};
use crate::words;

/// What the rows and columns of a map are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MapAxes {
    LayerPosition,
    LayerHead,
    HeadPosition,
    SenderReceiver,
    SourceStep,
}

/// A name with its place in the order.
pub(super) type Label = (i64, i64, String);

impl MapAxes {
    /// The words for rows and columns.
    pub(crate) fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::LayerPosition => ("layer", "position"),
            Self::LayerHead => ("layer", "head"),
            Self::HeadPosition => ("head", "position"),
            Self::SenderReceiver => ("sender", "receiver"),
            Self::SourceStep => ("source step", "step"),
        }
    }
}

/// The columns that name places; those that a table lacks are empty.
pub(super) struct Places {
    layers: Vec<Option<i64>>,
    heads: Vec<Option<i64>>,
    positions: Vec<Option<i64>>,
    sources: Vec<Option<i64>>,
    pub steps: Vec<Option<i64>>,
    hooks: Vec<String>,
    what: Vec<String>,
    position_names: Vec<String>,
    /// Sender and receiver.
    edges: Vec<(String, String)>,
    /// What stands at the positions, where that is known.
    tokens: Vec<String>,
}

impl Places {
    pub(crate) fn of(rows: &FrameRows<'_>, tokens: Vec<String>) -> Result<Self, ResultsError> {
        let ints = |name: &str| if rows.has(name) { rows.ints(name) } else { Ok(vec![None; rows.len()]) };
        let texts = |name: &str| if rows.has(name) { rows.texts(name) } else { Ok(vec![String::new(); rows.len()]) };
        let names = texts("position_name")?;
        Ok(Self {
            layers: ints("layer")?,
            heads: ints("head")?,
            positions: ints("pos")?.into_iter().zip(&names).map(|(pos, name)| pos.filter(|_| numbered(name))).collect(),
            sources: ints("source_step")?,
            steps: ints("step")?,
            hooks: texts("hook")?,
            what: texts("what")?,
            position_names: names,
            edges: texts("sender")?.into_iter().zip(texts("receiver")?).collect(),
            tokens,
        })
    }

    /// The axes of the map that a row of the table belongs to; none for a row without two coordinates, such as that of
    /// a whole layer.
    pub(crate) fn axes(&self, row: usize) -> Option<MapAxes> {
        if self.sources[row].is_some() {
            return Some(MapAxes::SourceStep);
        }
        if !self.edges[row].0.is_empty() {
            return Some(MapAxes::SenderReceiver);
        }
        match (self.layers[row].is_some(), self.heads[row].is_some(), self.positions[row].is_some()) {
            (true, false, true) => Some(MapAxes::LayerPosition),
            (true, true, false) => Some(MapAxes::LayerHead),
            (true, true, true) => Some(MapAxes::HeadPosition),
            _ => None,
        }
    }

    /// The panel, the row and the column of a row of the table.
    pub(crate) fn at(&self, axes: MapAxes, row: usize) -> Option<(String, Label, Label)> {
        let number = |number: Option<i64>| number.map(|number| (number, 0, number.to_string()));
        let (layer, head) = (self.layers[row], self.heads[row]);
        let site = [words::site(&self.hooks[row]), self.position_names[row].as_str()].join(" ").trim().to_owned();
        Some(match axes {
            MapAxes::LayerPosition => (site, number(layer)?, self.position(row)?),
            MapAxes::LayerHead => (site, number(layer)?, number(head)?),
            MapAxes::HeadPosition => (site, (layer?, head?, words::head(layer?, head?)), self.position(row)?),
            MapAxes::SenderReceiver => (String::new(), component(&self.edges[row].0), component(&self.edges[row].1)),
            MapAxes::SourceStep => (self.sourced(&site, row), number(self.sources[row])?, number(self.steps[row])?),
        })
    }

    fn position(&self, row: usize) -> Option<Label> {
        let position = self.positions[row]?;
        let text = usize::try_from(position).ok().and_then(|index| self.tokens.get(index));
        let text = text.filter(|text| !text.is_empty()).cloned();
        Some((position, 0, text.unwrap_or_else(|| position.to_string())))
    }

    /// What comes from the source: `resid_post L3`, `weights attn_out L1H3`, `weights`.
    fn sourced(&self, site: &str, row: usize) -> String {
        let what = Some(self.what[row].as_str()).filter(|what| *what != "activation").unwrap_or_default();
        let place = match (self.layers[row], self.heads[row]) {
            (Some(layer), Some(head)) => words::head(layer, head),
            (Some(layer), None) => format!("L{layer}"),
            _ => String::new(),
        };
        let position = self.positions[row].map(|position| format!("pos {position}")).unwrap_or_default();
        let words = [what, site, &place, &position];
        words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }
}

/// Whether a position is given by its number alone. A named one is no column of a map of positions, although its number
/// stands beside its name. Blocks of neurons come before the name.
fn numbered(name: &str) -> bool {
    name.is_empty() || name.starts_with("neurons ") && !name.contains(", ")
}

/// The order of components in the model: the embedding, in each layer heads before the MLP, the logits.
fn component(name: &str) -> Label {
    let number = |text: &str| text.split('.').next().and_then(|digits| digits.parse::<i64>().ok());
    let (layer, kind) = match name.strip_prefix("mlp") {
        Some(layer) => (number(layer), 1),
        None => (number(name), 0),
    };
    let outside = if name == "embed" { -1 } else { i64::MAX };
    (layer.unwrap_or(outside), kind, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_positions_are_no_columns_of_a_map() {
        let found = ["", "neurons 0..16", "end", "-1", "neurons 0..16, end", "subject"].map(numbered);
        assert_eq!(found, [true, true, false, false, false, false]);
    }

    #[test]
    fn components_stand_in_the_order_of_the_model() {
        let mut names = ["logits", "mlp1", "1.3.k", "0.10", "0.2", "mlp0", "embed"].map(component);
        names.sort();
        assert_eq!(names.map(|label| label.2), ["embed", "0.10", "0.2", "mlp0", "1.3.k", "mlp1", "logits"]);
    }
}
