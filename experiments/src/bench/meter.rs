//! Repeated timing of one workload, with the memory it took and how busy the machine was with other things.

use std::fs;
use std::time::Instant;

use serde::Serialize;

use crate::terminal::env;

/// Repetitions during which others used less than this share of the machine count as clean.
const CLEAN: f64 = 0.05;
/// Clock ticks per second in `/proc`; a constant of the interface on every Linux architecture in use.
const TICKS: f64 = 100.0;

/// How long to repeat.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repetitions {
    /// Exactly this many repetitions; chosen to fit the budget where it is `None`.
    pub(crate) reps: Option<usize>,
    /// Seconds that the repetitions may take in all.
    pub(crate) budget: f64,
}

/// What was measured. Times are in seconds, memory in MiB; medians are over clean repetitions where there are at least
/// two.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Timing {
    /// Median of the repetitions.
    pub(crate) median_s: f64,
    /// The fastest repetition.
    pub(crate) min_s: f64,
    /// The slowest repetition.
    pub(crate) max_s: f64,
    /// The run before them, which warms caches and is not counted.
    pub(crate) first_s: f64,
    /// Repetitions behind the median.
    pub(crate) reps: usize,
    /// Largest resident set of the process so far.
    pub(crate) rss_mb: Option<u64>,
    /// The same before the first run: the process with what the workload keeps between runs.
    pub(crate) rss_before_mb: Option<u64>,
    /// Largest share of the machine that other processes used during a repetition.
    pub(crate) busy_other: f64,
    /// Repetitions that were clean.
    pub(crate) reps_clean: usize,
    /// The median over all repetitions, clean or not.
    pub(crate) median_all_s: f64,
}

/// Runs `work` once, and then again until there are enough clean repetitions or the budget is spent. An error of the
/// workload ends the timing.
pub(crate) fn time<E>(repetitions: Repetitions, work: &mut dyn FnMut() -> Result<(), E>) -> Result<Timing, E> {
    let rss_before_mb = peak_memory();
    let first = Instant::now();
    work()?;
    let first_s = first.elapsed().as_secs_f64();
    let wanted = repetitions.reps.unwrap_or_else(|| fitting(first_s, repetitions.budget));
    let begin = Instant::now();
    let mut samples: Vec<Sample> = Vec::new();
    loop {
        let clean = samples.iter().filter(|sample| sample.other < CLEAN).count();
        let enough = if repetitions.reps.is_some() { samples.len() } else { clean } >= wanted;
        let spent =
            repetitions.reps.is_none() && samples.len() >= 3 && begin.elapsed().as_secs_f64() > repetitions.budget;
        if enough || spent {
            break;
        }
        samples.push(Sample::take(work)?);
    }
    Ok(summary(&samples, first_s, rss_before_mb))
}

/// Between 3 and 15 repetitions, as many as the budget holds; one where a single run exceeds it.
fn fitting(first_s: f64, budget: f64) -> usize {
    if first_s >= budget { 1 } else { (((budget - first_s) / first_s.max(1e-3)) as usize).clamp(3, 15) }
}

/// One repetition.
#[derive(Clone, Copy, Debug)]
struct Sample {
    seconds: f64,
    /// Share of the machine that other processes used meanwhile.
    other: f64,
}

impl Sample {
    fn take<E>(work: &mut dyn FnMut() -> Result<(), E>) -> Result<Self, E> {
        let (machine, own, start) = (machine_busy(), own_busy(), Instant::now());
        work()?;
        let seconds = start.elapsed().as_secs_f64();
        let spent = |before: Option<f64>, after: Option<f64>| before.zip(after).map(|(before, after)| after - before);
        let other = spent(machine, machine_busy()).zip(spent(own, own_busy())).map_or(0.0, |(all, own)| {
            // The system counts in hundredths of a second: two of them are within its error.
            ((all - own - 2.0 / TICKS).max(0.0)) / (seconds * env::cores() as f64)
        });
        Ok(Self { seconds, other })
    }
}

fn summary(samples: &[Sample], first_s: f64, rss_before_mb: Option<u64>) -> Timing {
    let all: Vec<f64> = samples.iter().map(|sample| sample.seconds).collect();
    let clean: Vec<f64> = samples.iter().filter(|sample| sample.other < CLEAN).map(|sample| sample.seconds).collect();
    let counted = if clean.len() >= 2 { &clean } else { &all };
    Timing {
        median_s: median(counted),
        min_s: counted.iter().copied().fold(f64::INFINITY, f64::min),
        max_s: counted.iter().copied().fold(0.0, f64::max),
        first_s,
        reps: counted.len(),
        rss_mb: peak_memory(),
        rss_before_mb,
        busy_other: samples.iter().map(|sample| sample.other).fold(0.0, f64::max),
        reps_clean: clean.len(),
        median_all_s: median(&all),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 }
}

/// Largest resident set of this process, MiB; `None` where the system does not say.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// Processor seconds that the whole machine has worked since it started.
fn machine_busy() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    // user nice system idle iowait irq softirq steal
    let ticks: Vec<f64> = stat.lines().next()?.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((ticks.iter().sum::<f64>() - idle) / TICKS)
}

/// Processor seconds that this process has used.
fn own_busy() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field, the name in parentheses, may itself hold spaces; user and system time are fields 14 and 15.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn medians_are_over_clean_repetitions_where_there_are_two() {
        let sample = |seconds, other| Sample { seconds, other };
        let mixed = summary(&[sample(1.0, 0.0), sample(9.0, 0.5), sample(3.0, 0.01)], 4.0, None);
        assert_eq!((mixed.median_s, mixed.median_all_s, mixed.reps, mixed.reps_clean), (2.0, 3.0, 2, 2));
        let dirty = summary(&[sample(1.0, 0.0), sample(9.0, 0.5), sample(3.0, 0.5)], 4.0, None);
        assert_eq!((dirty.median_s, dirty.reps, dirty.reps_clean, dirty.max_s), (3.0, 3, 1, 9.0));
    }

    #[test]
    fn as_many_repetitions_as_asked_for_or_as_fit() {
        assert_eq!([fitting(0.1, 25.0), fitting(5.0, 25.0), fitting(20.0, 25.0), fitting(30.0, 25.0)], [15, 4, 3, 1]);
        let mut runs = 0;
        let timing = time::<Infallible>(Repetitions { reps: Some(4), budget: 0.0 }, &mut || {
            runs += 1;
            Ok(())
        });
        assert_eq!(runs, 5);
        assert!(timing.is_ok_and(|timing| timing.median_all_s >= 0.0));
    }

    #[test]
    fn an_error_ends_the_timing() {
        assert_eq!(time(Repetitions { reps: Some(4), budget: 1.0 }, &mut || Err("no")), Err("no"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_answers() {
        assert!(peak_memory().is_some_and(|mib| mib > 0));
        assert!(machine_busy().zip(own_busy()).is_some_and(|(machine, own)| machine >= own && own >= 0.0));
    }
}
