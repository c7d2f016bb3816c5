//! Edges between components of the model: who writes to the residual stream, and who reads it later.

use std::collections::BTreeMap;
use std::fmt;

use pythia_hooks::{HookPoint, ModelShape, Site};

use super::words::{self, RECEIVERS, SENDERS};
use crate::error::ProbeError;
use crate::families::causal::effect::Label;
use crate::families::causal::not_empty;
use crate::families::causal::places::pos_of;
use crate::pairs::Pair;
use crate::table::{ColumnSpec, TableValue};

/// A component that writes to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sender {
    /// The token embeddings.
    Embed,
    /// An attention head.
    Head {
        layer: usize,
        /// Its number there.
        head: usize,
    },
    /// The MLP of a block.
    Mlp { layer: usize },
}

/// What reads the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Input {
    /// The queries of the heads of a block.
    Query(usize),
    /// Their keys.
    Key(usize),
    /// Their values.
    Value(usize),
    /// The MLP of a block.
    Mlp(usize),
    /// The final norm and the unembedding.
    Logits,
}

/// A receiver: an input, of one head where heads have one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Receiver {
    /// What reads.
    pub input: Input,
    /// For which head.
    pub head: Option<usize>,
}

impl Input {
    /// Its name in experiment files and tables.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Input::Query(_) => "q",
            Input::Key(_) => "k",
            Input::Value(_) => "v",
            Input::Mlp(_) => "mlp",
            Input::Logits => "logits",
        }
    }

    pub(super) const fn layer(self) -> Option<usize> {
        match self {
            Input::Query(layer) | Input::Key(layer) | Input::Value(layer) | Input::Mlp(layer) => Some(layer),
            Input::Logits => None,
        }
    }

    /// What is made of the input alone, so that changing it there is changing what the receiver reads and nothing
    /// else. Queries and keys are meant after rotation, which is how base runs keep them.
    pub(super) const fn point(self, n_layers: usize) -> HookPoint {
        match self {
            Input::Query(layer) => Site::RotQ.at(layer),
            Input::Key(layer) => Site::RotK.at(layer),
            Input::Value(layer) => Site::V.at(layer),
            Input::Mlp(layer) => Site::MlpOut.at(layer),
            Input::Logits => Site::ResidPost.at(n_layers - 1),
        }
    }

    /// Whether what `sender` writes is part of what is read here. In a parallel block nothing goes from attention to
    /// the MLP of the same layer.
    pub(super) const fn reads(self, sender: Sender, parallel: bool) -> bool {
        match (sender, self) {
            (Sender::Embed, _) | (_, Input::Logits) => true,
            (Sender::Head { layer, .. }, Input::Mlp(at)) if !parallel => layer <= at,
            (
                Sender::Head { layer, .. } | Sender::Mlp { layer },
                Input::Query(at) | Input::Key(at) | Input::Value(at) | Input::Mlp(at),
            ) => layer < at,
        }
    }
}

impl Sender {
    const fn layer(self) -> Option<usize> {
        match self {
            Sender::Embed => None,
            Sender::Head { layer, .. } | Sender::Mlp { layer } => Some(layer),
        }
    }

    const fn head(self) -> Option<usize> {
        match self {
            Sender::Head { head, .. } => Some(head),
            Sender::Embed | Sender::Mlp { .. } => None,
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Embed => f.write_str("embed"),
            Sender::Head { layer, head } => write!(f, "{layer}.{head}"),
            Sender::Mlp { layer } => write!(f, "mlp{layer}"),
        }
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.input.name();
        match (self.input.layer(), self.head) {
            (Some(layer), Some(head)) => write!(f, "{layer}.{head}.{name}"),
            (Some(layer), None) => write!(f, "{name}{layer}"),
            (None, _) => f.write_str(name),
        }
    }
}

/// An edge and the positions that send along it, as tables show them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    /// The component that writes.
    pub sender: Sender,
    /// What reads it.
    pub receiver: Receiver,
    /// The position, where it is one number for all pairs.
    pub pos: Option<usize>,
    /// The position's name, where it has one.
    pub position_name: String,
}

/// The columns of an edge, without its positions.
pub(super) const EDGE: &[ColumnSpec] = &[
    ColumnSpec::text("sender", "Component that writes: embed, a head as layer.head, mlp with its layer"),
    ColumnSpec::int("sender_layer", "Layer of the sender; null for embed"),
    ColumnSpec::int("sender_head", "Head of the sender; null for embed and MLPs"),
    ColumnSpec::text("receiver", "Component that reads: layer.head.input, mlp with its layer, logits"),
    ColumnSpec::int("receiver_layer", "Layer of the receiver; null for logits"),
    ColumnSpec::int("receiver_head", "Head of the receiver; null for MLPs and logits"),
    ColumnSpec::text("input", "Input of the receiver: q, k, v, mlp, logits"),
];

impl Label for Edge {
    fn values(&self, pos: Option<usize>) -> Vec<TableValue> {
        let Edge { sender, receiver, pos: _, position_name } = self;
        vec![
            sender.to_string().into(),
            sender.layer().into(),
            sender.head().into(),
            receiver.to_string().into(),
            receiver.input.layer().into(),
            receiver.head.into(),
            receiver.input.name().into(),
            pos.into(),
            position_name.clone().into(),
        ]
    }

    fn pos_in(&self, pair: &Pair) -> Option<usize> {
        self.pos.or_else(|| pos_of(&self.position_name, pair))
    }
}

/// The senders and receivers of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Graph {
    /// The senders, each once.
    pub senders: Vec<Sender>,
    /// The receivers: per input the heads, or `None` for an input without heads.
    pub inputs: BTreeMap<Input, Vec<Option<usize>>>,
    parallel: bool,
}

impl Graph {
    /// Reads the entries of the fields `senders` and `receivers`.
    ///
    /// # Errors
    /// An empty field, a word that means nothing for the model, a word that takes part in no edge.
    pub(super) fn read(senders: &[String], receivers: &[String], model_shape: &ModelShape) -> Result<Self, ProbeError> {
        not_empty([(SENDERS, senders.is_empty()), (RECEIVERS, receivers.is_empty())])?;
        let from = each(senders, |word| words::sender(word, model_shape))?;
        let to = each(receivers, |word| words::receiver(word, model_shape))?;
        let meets = |sender: &Sender, receiver: &Receiver| receiver.input.reads(*sender, model_shape.parallel);
        for (word, senders) in &from {
            let met = senders.iter().any(|sender| to.iter().flat_map(|(_, list)| list).any(|to| meets(sender, to)));
            met.then_some(()).ok_or_else(|| without_edge(SENDERS, word, model_shape))?;
        }
        for (word, receivers) in &to {
            let met = receivers.iter().any(|to| from.iter().flat_map(|(_, list)| list).any(|from| meets(from, to)));
            met.then_some(()).ok_or_else(|| without_edge(RECEIVERS, word, model_shape))?;
        }
        let senders = sorted(from.into_iter().flat_map(|(_, list)| list));
        let mut inputs: BTreeMap<Input, Vec<Option<usize>>> = BTreeMap::new();
        for Receiver { input, head } in sorted(to.into_iter().flat_map(|(_, list)| list)) {
            inputs.entry(input).or_default().push(head);
        }
        Ok(Graph { senders, inputs, parallel: model_shape.parallel })
    }

    /// Whether there is an edge.
    pub(super) fn has(&self, sender: Sender, input: Input) -> bool {
        input.reads(sender, self.parallel)
    }
}

/// What each word stands for.
fn each<T>(
    words: &[String],
    read: impl Fn(&str) -> Result<Vec<T>, ProbeError>,
) -> Result<Vec<(&str, Vec<T>)>, ProbeError> {
    words.iter().map(|word| Ok((word.as_str(), read(word)?))).collect()
}

fn sorted<T: Ord>(list: impl Iterator<Item = T>) -> Vec<T> {
    let mut list: Vec<T> = list.collect();
    list.sort_unstable();
    list.dedup();
    list
}

fn without_edge(field: &'static str, word: &str, model_shape: &ModelShape) -> ProbeError {
    let other = if field == SENDERS { "no receiver reads what it writes" } else { "no sender writes what it reads" };
    let order = "a component reads what earlier layers write";
    let block = if model_shape.parallel {
        "in this model's parallel blocks the MLP does not read its own layer's heads"
    } else {
        "an MLP also reads its own layer's heads"
    };
    ProbeError::NoSuchChoice { field, word: word.to_owned(), allowed: format!("{other}; {order}, and {block}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARALLEL: ModelShape =
        ModelShape { n_layers: 3, n_heads: 2, d_model: 8, d_head: 4, d_mlp: 32, parallel: true };
    const SEQUENTIAL: ModelShape = ModelShape { parallel: false, ..PARALLEL };

    fn graph(senders: &[&str], receivers: &[&str], model_shape: &ModelShape) -> Result<Graph, ProbeError> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Graph::read(&words(senders), &words(receivers), model_shape)
    }

    fn edges(graph: &Graph) -> Vec<String> {
        let mut edges = Vec::new();
        for (input, heads) in &graph.inputs {
            for sender in graph.senders.iter().filter(|sender| graph.has(**sender, *input)) {
                edges.extend(heads.iter().map(|&head| format!("{sender}>{}", Receiver { input: *input, head })));
            }
        }
        edges
    }

    #[test]
    fn edges_go_upwards_and_a_parallel_block_has_none_inside() {
        let names = |model_shape| {
            edges(&graph(&["1.0", "mlp1", "embed"], &["mlps", "logits", "1.1.k", "2.0.q"], model_shape).expect("edges"))
        };
        let parallel = names(&PARALLEL);
        let expected = [
            "embed>2.0.q",
            "1.0>2.0.q",
            "mlp1>2.0.q",
            "embed>1.1.k",
            "embed>mlp0",
            "embed>mlp1",
            "embed>mlp2",
            "1.0>mlp2",
            "mlp1>mlp2",
            "embed>logits",
            "1.0>logits",
            "mlp1>logits",
        ];
        assert_eq!(parallel, expected);
        let sequential = names(&SEQUENTIAL);
        assert_eq!(sequential.iter().filter(|edge| !parallel.contains(edge)).collect::<Vec<_>>(), ["1.0>mlp1"]);
    }

    #[test]
    fn words_are_expanded_and_nothing_is_named_twice() {
        let all =
            graph(&["heads", "0.1", "mlps", "mlp2", "embed"], &["q", "0.1.q", "k", "v", "mlps", "logits"], &PARALLEL);
        let all = all.expect("edges");
        assert_eq!(all.senders.len(), 6 + 3 + 1);
        assert_eq!(all.inputs.len(), 3 * 4 + 1);
        assert_eq!(all.inputs[&Input::Query(0)], [Some(0), Some(1)]);
        // Senders below each layer's heads, for three inputs of two heads; then MLPs, then logits.
        assert_eq!(edges(&all).len(), 3 * 2 * (1 + 4 + 7) + (1 + 4 + 7) + 10);
    }

    #[test]
    fn what_means_nothing_is_refused_with_what_would() {
        let refused = |senders: &[&str], receivers: &[&str], model_shape| match graph(senders, receivers, model_shape) {
            Err(ProbeError::NoSuchChoice { field, word, allowed }) => (field, word, allowed),
            other => panic!("{other:?}"),
        };
        for word in ["head", "3.0", "0.2", "mlp3", "mlp", "0.1.k", "mlp-1", "q", "", "0.", ".", "1"] {
            let (field, found, allowed) = refused(&[word], &["logits"], &PARALLEL);
            assert_eq!((field, found.as_str()), (SENDERS, word));
            assert!(allowed.contains("\"2.1\"") && allowed.contains("mlp2"), "{allowed}");
        }
        for word in ["0.1", "0.1.z", "0.2.k", "3.1.k", "mlp3", "embed", "..k", "k.", "logits0"] {
            let (field, found, allowed) = refused(&["embed"], &[word], &PARALLEL);
            assert_eq!((field, found.as_str()), (RECEIVERS, word));
            assert!(allowed.contains("\"2.1.v\""), "{allowed}");
        }
        assert_eq!(graph(&[], &["q"], &PARALLEL), Err(ProbeError::Empty { field: SENDERS }));
        assert_eq!(graph(&["embed"], &[], &PARALLEL), Err(ProbeError::Empty { field: RECEIVERS }));
    }

    #[test]
    fn what_takes_part_in_no_edge_is_refused_with_the_reason() {
        let refused = |senders: &[&str], receivers: &[&str], model_shape| match graph(senders, receivers, model_shape) {
            Err(ProbeError::NoSuchChoice { field, word, allowed }) => (field, word, allowed),
            other => panic!("{other:?}"),
        };
        let (field, word, reason) = refused(&["embed", "1.0"], &["mlp1"], &PARALLEL);
        assert_eq!((field, word.as_str()), (SENDERS, "1.0"));
        assert!(reason.contains("parallel"), "{reason}");
        assert!(graph(&["embed", "1.0"], &["mlp1"], &SEQUENTIAL).is_ok());
        let (field, word, _) = refused(&["1.0"], &["2.0.k", "1.1.k"], &SEQUENTIAL);
        assert_eq!((field, word.as_str()), (RECEIVERS, "1.1.k"));
        let (field, word, _) = refused(&["mlp2"], &["q"], &SEQUENTIAL);
        assert_eq!((field, word.as_str()), (SENDERS, "mlp2"));
    }
}
