//! Which checkpoints: the value of `steps`.

use std::borrow::Cow;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeValue, ValueDeserializer};

use super::located::Located;
use super::problem::Problem;
use super::read::wrong_keys;
use super::schema;

/// A choice of checkpoints, to be made from the grid of steps that a model was saved at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Steps {
    /// Every checkpoint.
    All,
    /// The first, then always the one nearest to twice the one before, and the last. On the suite's grid: 0, 1, 2, 4
    /// ... 512, 1000, 2000, 4000 ... 128000, 143000.
    Log,
    /// These, each of which must be a checkpoint.
    List(Vec<Spanned<u32>>),
    /// The checkpoints from `from` to `to` whose distance to `from` is a multiple of `every`.
    Range(StepRange),
}

/// The table form of `steps`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StepRange {
    /// First step.
    pub(crate) from: u32,
    /// Last step, included.
    pub(crate) to: u32,
    /// Distance between two steps.
    #[serde(default = "one")]
    pub(crate) every: u32,
}

fn one() -> u32 {
    1
}

/// What `steps` can be.
pub(super) const EXPECTED: &str = "\"all\", \"log\", a list of steps, or { from, to, every }";

impl Steps {
    /// Reads the value by hand: an untagged enum would lose the place of a mistake.
    pub(crate) fn parse(value: Spanned<DeValue<'_>>) -> Result<Self, Located> {
        let span = value.span();
        match value.get_ref() {
            DeValue::String(word) => Self::from_word(word, span),
            DeValue::Array(_) => {
                let list = Vec::deserialize(ValueDeserializer::from(value));
                list.map(Steps::List).map_err(|error| Located::toml(error, span))
            }
            DeValue::Table(_) => Self::from_table(value, span),
            other => {
                let problem = Problem::WrongType { key: "steps".into(), expected: EXPECTED, found: other.type_str() };
                Err(Located::new(problem, span))
            }
        }
    }

    fn from_word(word: &str, span: Range<usize>) -> Result<Self, Located> {
        match word {
            "all" => Ok(Steps::All),
            "log" => Ok(Steps::Log),
            _ => {
                let allowed = ["all", "log"].map(String::from).into();
                Err(Located::new(Problem::UnknownWord { key: "steps", word: word.into(), allowed }, span))
            }
        }
    }

    fn from_table(value: Spanned<DeValue<'_>>, span: Range<usize>) -> Result<Self, Located> {
        let keys = schema::keys_of::<StepRange>();
        let wrong = value.get_ref().as_table().map(|table| wrong_keys(table, "`steps`", &keys, &span));
        if let Some(first) = wrong.into_iter().flatten().next() {
            return Err(first);
        }
        let range = StepRange::deserialize(ValueDeserializer::from(value));
        let range = range.map_err(|error| Located::toml(error, span.clone()))?;
        let StepRange { from, to, every } = range;
        if from > to || every == 0 {
            return Err(Located::new(Problem::BadRange { from, to, every }, span));
        }
        Ok(Steps::Range(range))
    }

    /// The chosen steps of an ascending grid, ascending and each once. `span` is the place of the whole value.
    pub(crate) fn select(&self, grid: &[u32], model: &str, span: &Range<usize>) -> Result<Vec<u32>, Vec<Located>> {
        let chosen = match self {
            Steps::All => grid.to_vec(),
            Steps::Log => doubling(grid),
            Steps::List(steps) => listed(steps, grid, model)?,
            Steps::Range(range) => grid.iter().copied().filter(|&step| range.contains(step)).collect(),
        };
        if chosen.is_empty() {
            let ends = grid.first().copied().zip(grid.last().copied());
            let problem = Problem::NoStep { model: model.into(), span: ends };
            return Err(vec![Located::new(problem, span.clone())]);
        }
        Ok(chosen)
    }
}

impl StepRange {
    fn contains(&self, step: u32) -> bool {
        (self.from..=self.to).contains(&step) && (step - self.from).is_multiple_of(self.every)
    }
}

/// The grid thinned to about one step per doubling.
fn doubling(grid: &[u32]) -> Vec<u32> {
    let mut chosen: Vec<u32> = grid.first().copied().into_iter().collect();
    while let (Some(&last), Some(&end)) = (chosen.last(), grid.last())
        && last < end
    {
        let target = last.saturating_mul(2).max(1);
        let later = grid.iter().copied().filter(|&step| step > last);
        let next = if target > end { Some(end) } else { later.min_by_key(|step| step.abs_diff(target)) };
        chosen.extend(next);
    }
    chosen
}

fn listed(steps: &[Spanned<u32>], grid: &[u32], model: &str) -> Result<Vec<u32>, Vec<Located>> {
    let (known, unknown): (Vec<_>, Vec<_>) = steps.iter().partition(|step| grid.contains(step.get_ref()));
    if unknown.is_empty() {
        let mut chosen: Vec<u32> = known.into_iter().map(|step| *step.get_ref()).collect();
        chosen.sort_unstable();
        chosen.dedup();
        return Ok(chosen);
    }
    let problem = |step: &Spanned<u32>| {
        let nearest = nearest(*step.get_ref(), grid);
        let problem = Problem::NotACheckpoint { step: *step.get_ref(), model: model.into(), nearest };
        Located::new(problem, step.span())
    };
    Err(unknown.into_iter().map(problem).collect())
}

/// The grid's steps on both sides of one that is not there.
pub(crate) fn nearest(step: u32, grid: &[u32]) -> Vec<u32> {
    let after = grid.partition_point(|&known| known < step);
    grid[after.saturating_sub(1)..(after + 1).min(grid.len())].to_vec()
}

impl JsonSchema for Steps {
    fn schema_name() -> Cow<'static, str> {
        "Steps".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let range = generator.subschema_for::<StepRange>();
        json_schema!({
            "description": "Which checkpoints: every one, about one per doubling, a list, or a range.",
            "anyOf": [
                { "enum": ["all", "log"] },
                { "type": "array", "items": { "type": "integer", "minimum": 0 } },
                range,
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Vec<u32> {
        let doubling = std::iter::once(0).chain((0..10).map(|power| 1 << power));
        doubling.chain((1..=143).map(|thousand| thousand * 1000)).collect()
    }

    fn select(text: &str) -> Result<Vec<u32>, String> {
        let value = DeValue::parse(text).expect("TOML");
        let steps = Steps::parse(value).map_err(|located| located.problem.to_string())?;
        let chosen = steps.select(&grid(), "m", &(0..1));
        chosen.map_err(|all| all.iter().map(|located| located.problem.to_string()).collect::<Vec<_>>().join("; "))
    }

    #[test]
    fn every_form_selects() {
        assert_eq!(select("'all'").unwrap().len(), 154);
        let log = select("'log'").unwrap();
        assert_eq!(log[..4], [0, 1, 2, 4]);
        assert_eq!(log[10..], [512, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 143000]);
        assert_eq!(select("[512, 0, 512]").unwrap(), [0, 512]);
        let ends = select("{ from = 0, to = 143000, every = 10000 }").unwrap();
        assert_eq!((ends.len(), ends[1], ends[14]), (15, 10000, 140000));
    }

    #[test]
    fn wrong_steps_say_so() {
        assert_eq!(select("[3, 512]").unwrap_err(), "step 3 is not a checkpoint of m");
        assert_eq!(select("{ from = 3, to = 3 }").unwrap_err(), "these steps select no checkpoint of m");
        assert!(select("{ from = 4, to = 3 }").unwrap_err().starts_with("a range of steps needs"));
        assert_eq!(select("{ form = 4, to = 3 }").unwrap_err(), "unknown key `form` in `steps`");
        assert_eq!(select("{ from = 0 }").unwrap_err(), "missing key `to` in `steps`");
        assert_eq!(select("'al'").unwrap_err(), "`steps` cannot be \"al\"");
        assert!(select("3").unwrap_err().contains("found integer"));
        assert!(select("[-1]").unwrap_err().contains("expected a whole number from 0"));
    }

    #[test]
    fn neighbours_lie_on_both_sides() {
        assert_eq!(nearest(3, &grid()), [2, 4]);
        assert_eq!(nearest(200_000, &grid()), [143_000]);
    }
}
