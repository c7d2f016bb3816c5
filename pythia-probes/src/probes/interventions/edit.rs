//! One edit of a run, as an experiment file has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use pythia_core::config::NeoxConfig;
use pythia_hooks::{Axis, Edit, HookPoint, Intervention, ModelShape, Region};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ProbeError;
use crate::families::causal::places::{self, EACH, Positions};
use crate::families::causal::{longest, not_empty, sources};
use crate::pairs::Pair;
use crate::subject::Files;

/// What becomes of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EditKind {
    /// Zeros in its place.
    Zero,
    /// The activation times `factor`.
    Scale,
    /// The activation of the pair's other prompt in its place.
    Other,
    /// Its mean over all prompts of the side that is run and their positions in its place.
    Mean,
    /// `factor` times the vector of a file added to it.
    Add,
}

/// An edit of part of one hook's activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserEdit {
    /// The hook by its name as TransformerLens has it: `blocks.1.attn.hook_z`, `z.1`; a name that stands for several
    /// (`z`, `blocks.*.hook_mlp_out`) edits them all.
    pub hook: String,
    /// The heads; all where they are left out.
    pub heads: Option<Vec<usize>>,
    /// The positions, each a number (from 0 with the BOS included, or from the end) or a name that the pairs have
    /// (`end`); all where they are left out. At patterns and scores these are the queries.
    pub positions: Option<Vec<String>>,
    /// The keys of `hook_pattern` and `hook_attn_scores`, written as positions are; all where they are left out.
    pub keys: Option<Vec<String>>,
    /// The neurons of the MLP's hooks, each a number or a range without its end (`"0..16"`); all where they are left
    /// out.
    pub neurons: Option<Vec<String>>,
    /// What becomes of it: `zero`, `scale` (times `factor`), `other` (the pair's other prompt), `mean` (over prompts
    /// and positions), `add` (`factor` times the vector of a file).
    pub edit: EditKind,
    /// The factor. `scale` needs one; for `add` it is 1 where it is left out.
    pub factor: Option<f64>,
    /// File with the vector of `add`: a JSON list of as many numbers as the hook's last axis is long (d_model; d_head
    /// for `z`).
    pub vector: Option<PathBuf>,
}

/// The error for a value that a field cannot have.
fn refused(field: &'static str, word: impl ToString, allowed: impl ToString) -> ProbeError {
    ProbeError::NoSuchChoice { field, word: word.to_string(), allowed: allowed.to_string() }
}

impl UserEdit {
    /// The points that the edit concerns.
    ///
    /// # Errors
    /// A name that matches none, a point after the last block.
    pub(super) fn points(&self, model_shape: &ModelShape) -> Result<Vec<HookPoint>, ProbeError> {
        let points = places::points(std::slice::from_ref(&self.hook), model_shape)?;
        places::before_the_end("hook", &points)?;
        Ok(points)
    }

    /// The factor as the model counts with it.
    pub(super) fn factor(&self) -> f32 {
        self.factor.unwrap_or(1.0) as f32
    }

    /// Refuses what cannot be done to any pair: `pairs` are all of them.
    pub(super) fn check(&self, config: &NeoxConfig, files: &Files, pairs: &[Pair]) -> Result<(), ProbeError> {
        self.check_fields()?;
        let model_shape = config.model_shape();
        for words in [("positions", &self.positions), ("keys", &self.keys)] {
            read_positions(words.0, words.1.as_deref(), pairs)?;
        }
        for point in self.points(&model_shape)? {
            self.check_point(point, config, files)?;
            let regions = self.regions(point, config, longest(pairs).as_slice())?;
            let zeros = regions.into_iter().map(|region| Intervention { point, region, edit: Edit::Zero });
            pythia_hooks::Interventions::new(zeros.collect(), &model_shape)?;
        }
        Ok(())
    }

    /// Refuses settings that do not go with the edit, and those that leave nothing to edit.
    fn check_fields(&self) -> Result<(), ProbeError> {
        not_empty([
            ("positions", self.positions.as_ref().is_some_and(Vec::is_empty)),
            ("keys", self.keys.as_ref().is_some_and(Vec::is_empty)),
            ("neurons", self.neurons.as_ref().is_some_and(Vec::is_empty)),
            ("heads", self.heads.as_ref().is_some_and(Vec::is_empty)),
        ])?;
        match (self.edit, self.factor, &self.vector) {
            (EditKind::Scale, None, _) => Err(refused("edit", "scale", "it needs a factor")),
            (EditKind::Add, _, None) => Err(refused("edit", "add", "it needs the file of a vector")),
            (EditKind::Zero | EditKind::Other | EditKind::Mean, Some(factor), _) => {
                Err(refused("factor", factor, "only the edits scale and add have one"))
            }
            (edit, _, Some(path)) if edit != EditKind::Add => {
                Err(refused("vector", path.display(), "only the edit add has one"))
            }
            (_, Some(factor), _) if !(factor as f32).is_finite() => {
                Err(refused("factor", factor, "a factor is a number that a float32 can hold"))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what the edit cannot do at a point.
    fn check_point(&self, point: HookPoint, config: &NeoxConfig, files: &Files) -> Result<(), ProbeError> {
        let attention = point.site().dim_of(Axis::Key).is_some();
        match (self.edit, &self.vector) {
            (EditKind::Mean, _) if attention => {
                let why = format!("queries see different keys, so that there is no mean over positions at {point}");
                Err(refused("edit", "mean", why))
            }
            (EditKind::Add, _) if attention => {
                Err(refused("edit", "add", format!("{point} has no axis of a fixed length along which a vector lies")))
            }
            (EditKind::Add, Some(path)) => {
                sources::read_vector(files, path, width(point, &config.model_shape())).map(|_| ())
            }
            _ => Ok(()),
        }
    }

    /// The parts of a point that are edited, for pairs of one length: prompts whose positions have the same numbers
    /// share one.
    ///
    /// # Errors
    /// A position, neuron or head that is not there, an axis that the point lacks.
    pub(super) fn regions(
        &self,
        point: HookPoint,
        config: &NeoxConfig,
        members: &[&Pair],
    ) -> Result<Vec<Region>, ProbeError> {
        let mut base = Region::all();
        if let Some(heads) = &self.heads {
            base = base.along(Axis::Head, heads.iter().map(|&head| head as i64).collect::<Vec<_>>());
        }
        if let Some(words) = &self.neurons {
            base = base.along(Axis::Mlp, neurons(words, config.d_mlp)?);
        }
        let mut prompts: BTreeMap<[Option<Vec<i64>>; 2], Vec<i64>> = BTreeMap::new();
        for (index, pair) in members.iter().enumerate() {
            let at = |field, words: &Option<Vec<String>>| indices(field, words.as_deref(), pair);
            let places = [at("positions", &self.positions)?, at("keys", &self.keys)?];
            prompts.entry(places).or_default().push(index as i64);
        }
        let axes = [places::position_axis(point), Axis::Key];
        let region = |(places, prompts): ([Option<Vec<i64>>; 2], Vec<i64>)| {
            let narrowed = axes.into_iter().zip(places).filter_map(|(axis, indices)| Some((axis, indices?)));
            let region = narrowed.fold(base.clone(), |region, (axis, indices)| region.along(axis, indices));
            if prompts.len() == members.len() { region } else { region.along(Axis::Batch, prompts) }
        };
        let regions: Vec<Region> = prompts.into_iter().map(region).collect();
        regions.iter().try_for_each(|region| region.check_axes(point))?;
        Ok(regions)
    }
}

/// Length of the last axis of a point's activations, where that is not a position.
pub(super) fn width(point: HookPoint, model_shape: &ModelShape) -> usize {
    model_shape.dims(point.site(), 1, 1).pop().unwrap_or(1)
}

/// The choices of a list of positions; none where it is left out.
fn read_positions(field: &'static str, words: Option<&[String]>, pairs: &[Pair]) -> Result<Vec<Positions>, ProbeError> {
    let read = places::positions(field, words.unwrap_or_default(), pairs)?;
    if read.contains(&Positions::Each) {
        return Err(refused(
            field,
            EACH,
            "all edits of a run are made together; list the positions, or leave them out for all",
        ));
    }
    Ok(read)
}

/// The positions of a list in one pair's prompts, ascending; `None` for all.
fn indices(field: &'static str, words: Option<&[String]>, pair: &Pair) -> Result<Option<Vec<i64>>, ProbeError> {
    let Some(words) = words else { return Ok(None) };
    let length = pair.clean.len() as i64;
    let mut found = BTreeSet::new();
    for choice in read_positions(field, Some(words), std::slice::from_ref(pair))? {
        match choice {
            Positions::At(number) => found.extend([if number < 0 { length + number } else { number }]),
            Positions::Named(name) => found.extend(pair.positions[&name].iter().map(|at| *at as i64)),
            Positions::All | Positions::Each => return Ok(None),
        }
    }
    Ok(Some(found.into_iter().collect()))
}

/// The neurons of a list, ascending.
fn neurons(words: &[String], d_mlp: usize) -> Result<Vec<i64>, ProbeError> {
    let mut found = BTreeSet::new();
    for word in words {
        let number = |word: &str| word.parse::<usize>().ok();
        let (from, to) = match word.split_once("..") {
            Some((from, to)) => (number(from), number(to)),
            None => (number(word), number(word).and_then(|at| at.checked_add(1))),
        };
        match (from, to) {
            (Some(from), Some(to)) if from < to && to <= d_mlp => found.extend(from as i64..to as i64),
            _ => {
                let allowed = format!("a neuron from 0 to {}, or a range of them such as \"0..{d_mlp}\"", d_mlp - 1);
                return Err(refused("neurons", word, allowed));
            }
        }
    }
    Ok(found.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pythia_hooks::Site;

    fn pair(length: usize, middle: usize) -> Pair {
        let positions = [("end".to_owned(), vec![length - 1]), ("middle".to_owned(), vec![middle])].into();
        let tokens = vec![1; length];
        Pair { clean: tokens.clone(), corrupt: tokens, answers: vec![2], wrongs: vec![3], positions, source: 0 }
    }

    fn edit(fields: &str) -> UserEdit {
        serde_json::from_str(fields).expect("an edit")
    }

    fn config() -> NeoxConfig {
        crate::engine::tests::model(true, burn::tensor::DType::F32, 0).config().clone()
    }

    #[test]
    fn prompts_whose_positions_are_the_same_share_a_region() {
        let (first, second) = (pair(5, 1), pair(5, 3));
        let edit = edit(
            r#"{"hook": "pattern.0", "heads": [2], "positions": ["end", "-1", "0"],
                "keys": ["middle"], "edit": "zero"}"#,
        );
        let regions = |members: &[&Pair]| edit.regions(Site::Pattern.at(0), &config(), members).expect("they fit");
        let whole = Region::all().along(Axis::Head, vec![2]).along(Axis::Query, vec![0, 4]);
        assert_eq!(regions(&[&first, &first]), [whole.clone().along(Axis::Key, vec![1])]);
        let split = |key, prompts: Vec<i64>| whole.clone().along(Axis::Key, vec![key]).along(Axis::Batch, prompts);
        assert_eq!(regions(&[&second, &first, &second]), [split(1, vec![1]), split(3, vec![0, 2])]);
    }

    #[test]
    fn neurons_are_numbers_and_ranges() {
        let read = |words: &[&str]| neurons(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>(), 10);
        assert_eq!(read(&["7..10", "2", "8"]), Ok(vec![2, 7, 8, 9]));
        for wrong in ["10", "3..3", "4..2", "0..11", "-1", "..", "a", "18446744073709551615", "1..2..3", ""] {
            assert!(matches!(read(&[wrong]), Err(ProbeError::NoSuchChoice { field: "neurons", .. })), "{wrong}");
        }
    }

    #[test]
    fn what_can_edit_nothing_is_refused() {
        let files = Files([(PathBuf::from("v"), "[1, 2]".to_owned())].into());
        let told = |fields: &str| match edit(fields).check(&config(), &files, &[pair(5, 1)]) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        assert_eq!(told(r#"{"hook": "z.1", "heads": [3], "positions": ["end"], "edit": "zero"}"#), "");
        for (fields, reason) in [
            (r#"{"hook": "zz", "edit": "zero"}"#, "no hook point is called `zz`"),
            (r#"{"hook": "z.3", "edit": "zero"}"#, "layers 0 to 2"),
            (r#"{"hook": "resid_mid", "edit": "zero"}"#, "parallel"),
            (r#"{"hook": "ln_final.hook_scale", "edit": "zero"}"#, "before any hook of the final layer norm"),
            (r#"{"hook": "z.1", "heads": [4], "edit": "zero"}"#, "head 4 is out of range"),
            (r#"{"hook": "mlp_out.1", "heads": [0], "edit": "zero"}"#, "no head axis"),
            (r#"{"hook": "z.1", "keys": ["0"], "edit": "zero"}"#, "no key axis"),
            (r#"{"hook": "z.1", "neurons": ["0"], "edit": "zero"}"#, "no d_mlp axis"),
            (r#"{"hook": "mlp_post.1", "neurons": ["48"], "edit": "zero"}"#, "0 to 47"),
            (r#"{"hook": "z.1", "positions": ["5"], "edit": "zero"}"#, "the shortest prompt has 5 tokens"),
            (r#"{"hook": "z.1", "positions": ["each"], "edit": "zero"}"#, "together"),
            (r#"{"hook": "z.1", "positions": ["start"], "edit": "zero"}"#, "end, middle"),
            (r#"{"hook": "z.1", "positions": [], "edit": "zero"}"#, "positions is empty"),
            (r#"{"hook": "z.1", "heads": [], "edit": "zero"}"#, "heads is empty"),
            (r#"{"hook": "z.1", "edit": "scale"}"#, "needs a factor"),
            (r#"{"hook": "z.1", "edit": "scale", "factor": 1e39}"#, "float32"),
            (r#"{"hook": "z.1", "edit": "zero", "factor": 2}"#, "only the edits scale and add"),
            (r#"{"hook": "z.1", "edit": "mean", "vector": "v"}"#, "only the edit add"),
            (r#"{"hook": "z.1", "edit": "add"}"#, "the file of a vector"),
            (r#"{"hook": "z.1", "edit": "add", "vector": "v"}"#, "2 numbers, but 8"),
            (r#"{"hook": "z.1", "edit": "add", "vector": "w"}"#, "was not read"),
            (r#"{"hook": "pattern.1", "edit": "add", "vector": "v"}"#, "no axis of a fixed length"),
            (r#"{"hook": "pattern.1", "edit": "mean"}"#, "no mean over positions"),
        ] {
            assert!(told(fields).contains(reason), "{fields}: {}", told(fields));
        }
    }
}
