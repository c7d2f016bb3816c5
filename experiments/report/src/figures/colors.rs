//! One colour for each head of a model over all figures of a page.
//!
//! The sections count colours from 0 in each figure. Here curves of heads get the colour of their head, in the order in
//! which heads occur first, so the highest heads of the first score keep theirs.

use std::collections::{BTreeMap, BTreeSet};

use crate::chart::{Chart, LOOKS, LinePanel, PALETTE, Tone};
use crate::page::{Block, Section};

/// Gives the curves of heads the colours of their heads. The titles of figures begin with the names of their models.
pub(super) fn fix(sections: &mut [Section], models: &[&str]) {
    let mut colors = HeadColors::default();
    for block in sections.iter_mut().flat_map(|section| &mut section.blocks) {
        let Block::Figure(figure) = block else { continue };
        let Chart::Lines(lines) = &mut figure.chart else { continue };
        let own = models.iter().filter(|model| figure.title.starts_with(**model));
        let model = own.max_by_key(|model| model.len()).map_or(String::new(), |model| (*model).to_owned());
        lines.panels.iter_mut().for_each(|panel| colors.paint(&model, panel));
    }
}

/// The colours of the heads of each model, counted from 0.
#[derive(Default)]
struct HeadColors(BTreeMap<String, BTreeMap<String, usize>>);

impl HeadColors {
    fn of(&mut self, model: &str, head: &str) -> usize {
        let heads = self.0.entry(model.to_owned()).or_default();
        let next = heads.len();
        *heads.entry(head.to_owned()).or_insert(next)
    }

    /// Paints a panel that has curves of heads.
    fn paint(&mut self, model: &str, panel: &mut LinePanel) {
        let mut taken = BTreeSet::new();
        let (mut heads, mut others) = (Vec::new(), Vec::new());
        for series in &mut panel.series {
            match (head_in(&series.name).map(str::to_owned), series.tone) {
                (Some(head), Tone::Color(_)) => heads.push((head, series)),
                (None, Tone::Color(_)) => others.push(series),
                _ => {}
            }
        }
        if heads.is_empty() {
            return;
        }
        for (head, series) in heads {
            series.tone = Tone::Color(free(&mut taken, self.of(model, &head)));
        }
        for series in others {
            let Tone::Color(wanted) = series.tone else { continue };
            series.tone = Tone::Color(free(&mut taken, wanted));
        }
    }
}

/// A look that no other curve of the panel has: the wanted one, else the same colour with other dashes, else any.
fn free(taken: &mut BTreeSet<usize>, wanted: usize) -> usize {
    let wanted = wanted % LOOKS;
    let same = (0..LOOKS / PALETTE).map(|dash| (wanted + dash * PALETTE) % LOOKS);
    let found = same.chain(0..LOOKS).find(|look| !taken.contains(look)).unwrap_or(wanted);
    taken.insert(found);
    found
}

/// The head in the name of a curve: `L1H3` of `z L1H3`.
fn head_in(name: &str) -> Option<&str> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split(' ').find(|word| {
        let parts = word.strip_prefix('L').and_then(|rest| rest.split_once('H'));
        parts.is_some_and(|(layer, head)| is_number(layer) && is_number(head))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chart::{Lines, Series, X, Y};
    use crate::page::{Code, Figure};

    fn figure(title: &str, names: &[&str]) -> Block {
        let series = |(index, name): (usize, &&str)| Series {
            name: (*name).to_owned(),
            tone: Tone::Color(index),
            points: vec![],
            event: None,
        };
        let panel = LinePanel { title: String::new(), series: names.iter().enumerate().map(series).collect() };
        let (x, y) = (X::Steps { tokens_per_step: None }, Y { label: String::new(), include: vec![] });
        Block::Figure(Figure {
            id: "a".into(),
            title: title.into(),
            caption: String::new(),
            alt: String::new(),
            chart: Chart::Lines(Lines { x, y, panels: vec![panel] }),
            csv: String::new(),
            code: Code { python: String::new(), rust: String::new() },
        })
    }

    fn looks(figures: Vec<Block>) -> Vec<Vec<usize>> {
        let mut sections = [Section { id: "s".into(), title: String::new(), blocks: figures }];
        fix(&mut sections, &["nano", "nano-2"]);
        let tone = |series: &Series| if let Tone::Color(index) = series.tone { index } else { usize::MAX };
        let panels = sections[0].figures().map(|figure| {
            let Chart::Lines(lines) = &figure.chart else { return Vec::new() };
            lines.panels[0].series.iter().map(tone).collect()
        });
        panels.collect()
    }

    #[test]
    fn a_head_has_one_colour_in_all_figures_of_its_model() {
        let figures = vec![
            figure("nano: scores", &["L1H2", "L1H3"]),
            figure("nano · denoising", &["z L1H3", "q L0H0", "z L1H2", "resid_pre L0 pos 7", "q L1H2"]),
            figure("nano-2: scores", &["L0H5", "L1H2"]),
            figure("The highest head, by model", &["nano", "nano-2"]),
        ];
        // Of two curves of one head the second has other dashes.
        assert_eq!(looks(figures), [vec![0, 1], vec![1, 2, 0, 3, 8], vec![0, 1], vec![0, 1]]);
    }

    #[test]
    fn more_heads_than_looks_are_still_told_apart_in_one_panel() {
        let names: Vec<String> = (0..40).map(|head| format!("L{head}H0")).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let looks = looks(vec![figure("nano: a", &all[..24]), figure("nano: b", &[all[0], all[24], all[32]])]);
        assert_eq!(looks[0].iter().collect::<BTreeSet<_>>().len(), 24);
        assert_eq!(looks[1].iter().collect::<BTreeSet<_>>().len(), 3, "{looks:?}");
    }

    #[test]
    fn only_heads_are_heads() {
        assert_eq!(
            [head_in("z L1H3"), head_in("L12H0"), head_in("LH"), head_in("L1")],
            [Some("L1H3"), Some("L12H0"), None, None]
        );
    }
}
