use burn::tensor::{DType, Device};
use pythia_core::device::host_f64;
use pythia_core::model::GptNeoX;
use pythia_hooks::Site;

use super::*;
use crate::metric::Question;
use crate::pairs::{PairSource, Task};
use crate::probes::attention_patterns::AttentionPatterns;
use crate::probes::head_scores::HeadScores;
use crate::probes::induction_loss::InductionLoss;
use crate::probes::logit_lens::LogitLens;
use crate::probes::token_loss::TokenLoss;
use crate::prompts::PromptSource;
use crate::random::{Domain, below, generator};
use crate::table::{Column, ColumnSpec, Table, TableSpec};
use crate::testing::{config, model, params};

/// A probe of pairs: how much the last stream's first number at the end of a clean prompt counts for its right
/// answers, and a second table with a number that depends on the seed.
struct Attribution;

impl Attribution {
    const TABLES: &'static [TableSpec] = &[
        TableSpec { suffix: "", doc: "a row per prompt", columns: &[&[ColumnSpec::float("value", "", "the product")]] },
        TableSpec { suffix: "draws", doc: "a row", columns: &[&[ColumnSpec::int("draw", "a draw of the seed")]] },
    ];

    fn pairs() -> PairSource {
        PairSource { n: 5, half_len: Some(4), ..PairSource::task(Task::Induction) }
    }
}

impl Probe for Attribution {
    fn reads_logits(&self) -> bool {
        false
    }

    fn check(&self, context: &Context) -> Result<(), ProbeError> {
        context.pairs(&Self::pairs()).map(drop)
    }

    fn tokens_per_run(&self, _: &Context) -> (usize, usize) {
        (5, 9)
    }
}

impl ReadingProbe for Attribution {
    fn input(&self, context: &Context) -> Result<ReadingInput, ProbeError> {
        let pairs = context.pairs(&Self::pairs())?.list;
        let clean: Vec<Vec<u32>> = pairs.iter().map(|pair| pair.clean.clone()).collect();
        let question = |pair: &crate::pairs::Pair| Question {
            tokens: pair.clean.clone(),
            at: pair.clean.len() - 1,
            answers: pair.answers.clone(),
            wrongs: pair.wrongs.clone(),
        };
        let questions = pairs.iter().map(question).collect();
        Ok(ReadingInput { prompts: Prompts::given("pairs", &clean, false, context.vocabulary())?, questions })
    }

    fn reader<'a>(&'a self, run: ReadingRun<'a>) -> Box<dyn Reader + 'a> {
        Box::new(AnswerReader { run, part: 0..0, values: Vec::new() })
    }
}

struct AnswerReader<'a> {
    run: ReadingRun<'a>,
    part: Range<usize>,
    values: Vec<f64>,
}

impl Reader for AnswerReader<'_> {
    fn wants(&self, point: HookPoint) -> bool {
        point == Site::ResidPost.at(1)
    }

    fn part(&mut self, prompts: Range<usize>) {
        self.part = prompts;
    }

    fn read(&mut self, _: HookPoint, stream: &Activation) -> Result<(), ProbeError> {
        let stream: Tensor<3> = stream.clone().into_tensor().expect("a stream");
        for (row, question) in self.run.input.questions[self.part.clone()].iter().enumerate() {
            let number = stream.clone().slice([row..row + 1, question.at..question.at + 1, 0..1]);
            let number = host_f64(number).expect("the device answers")[0];
            // Divided by a power of two near the vocabulary's size, so that values are of the size of the stream.
            self.values.push(number * f64::from(question.answers[0]) / 32.0);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, losses: &[PromptLoss]) -> Result<Answer, ProbeError> {
        assert!(losses.is_empty(), "it did not ask for them");
        let [mut values, mut draws] = [0, 1].map(|at| Attribution::TABLES[at].builder());
        self.values.iter().for_each(|value| values.row([(*value).into()]));
        draws.row([below(&mut generator(self.run.context.seed, Domain::Bootstrap, 0), 1 << 20).into()]);
        Ok(vec![values.build(), draws.build()])
    }
}

#[test]
fn a_probe_may_have_answers_a_seed_and_several_tables() {
    let model = model(false);
    let subject = Subject::new(&model, 21, true, 0);
    let ask = |seed| answers(&[(4, &Attribution)], &subject, seed).remove(0);
    let (index, tables) = ask(3);
    let tables = tables.expect("it runs");
    assert_eq!((index, tables.len(), tables[0].n_rows()), (4, 2, 5));
    assert_ne!(tables[1], ask(5).1.expect("it runs")[1]);
}

/// Holds the tables of every number of parts on `device` to those of one part on the CPU.
pub(crate) fn agree(device: &Device, tolerance: f64) {
    let rows = [vec![3, 1, 4, 1, 5], vec![9, 2], vec![6, 5, 3, 5, 8, 9, 7, 9, 3], vec![2], vec![7, 1]];
    let [random, given] = [PromptSource::random(7, 9), PromptSource::tokens(rows.clone())];
    let [few_random, few_given] = [PromptSource::random(7, 9), PromptSource::tokens(rows)];
    let random: [&dyn ReadingProbe; 6] = [
        &HeadScores { prompts: random.clone(), ..HeadScores::default() },
        &InductionLoss { prompts: random.clone(), ..InductionLoss::default() },
        &TokenLoss { prompts: random },
        &AttentionPatterns { prompts: few_random.clone(), layers: None },
        &LogitLens { prompts: few_random },
        &Attribution,
    ];
    let given: [&dyn ReadingProbe; 3] = [
        &TokenLoss { prompts: given },
        &AttentionPatterns { prompts: few_given.clone(), layers: None },
        &LogitLens { prompts: few_given },
    ];
    let model = |device| GptNeoX::from_params(config(), params(true), device, DType::F32);
    let (host, model) = (model(&Device::flex()), model(device));
    for probes in [&random[..5], &random[..1], &random[1..2], &random[5..], &given] {
        let subject = Subject::new(&host, 21, true, 0);
        let group = group(probes, &subject);
        let expected = pass(&group, &subject, 3, 1);
        assert!(expected.iter().all(Result::is_ok), "{expected:?}");
        for parts in 1..=group[0].input.prompts.batch() {
            let found = pass(&group, &Subject::new(&model, 21, true, 0), 3, parts);
            for (found, expected) in found.iter().zip(&expected) {
                let (Ok(found), Ok(expected)) = (found, expected) else { panic!("{found:?}, {expected:?}") };
                assert_eq!(found.len(), expected.len());
                found.iter().zip(expected).for_each(|(found, expected)| same(found, expected, tolerance));
            }
        }
    }
}

/// Probes that have the same prompts.
fn group<'a>(probes: &[&'a dyn ReadingProbe], subject: &Subject) -> Vec<Member<'a>> {
    let input = |probe: &dyn ReadingProbe| probe.input(&subject.context(3)).expect("there are ids");
    probes.iter().enumerate().map(|(index, &probe)| Member { index, probe, input: input(probe) }).collect()
}

fn same(found: &Table, expected: &Table, tolerance: f64) {
    assert_eq!(found.columns().len(), expected.columns().len());
    for ((name, found), (expected_name, expected)) in found.columns().iter().zip(expected.columns()) {
        assert_eq!((name, found.len()), (expected_name, expected.len()));
        let (Column::Float(found), Column::Float(expected)) = (found, expected) else {
            assert_eq!(found, expected, "{name}");
            continue;
        };
        for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
            let close = found.zip(*expected).is_none_or(|(found, expected)| (found - expected).abs() <= tolerance);
            assert!(found.is_some() == expected.is_some() && close, "{name} {row}: {found:?}, not {expected:?}");
        }
    }
}

#[test]
fn any_number_of_parts_gives_every_bit_of_one() {
    agree(&Device::flex(), 0.0);
}
