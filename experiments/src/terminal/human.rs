//! Numbers as people read them.

use pythia_report::words::noun;

/// A number of things in words: `1 cell`, `2000 cells`.
pub(crate) fn plural(number: usize, one: &str) -> String {
    format!("{number} {}", noun(number, one))
}

pub(crate) fn bytes(bytes: u64) -> String {
    scaled(bytes as f64, &["B", "kB", "MB", "GB", "TB"])
}

pub(crate) fn flops(flops: u64) -> String {
    scaled(flops as f64, &["FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"])
}

/// A time, rounded to what matters: `0.4 s`, `12 s`, `3.5 min`, `2.1 h`, `4.0 d`.
pub(crate) fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 6_000.0 => format!("{:.1} min", s / 60.0),
        s if s < 360_000.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} d", s / 86_400.0),
    }
}

fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut rank = 0;
    while value >= 1e3 && rank + 1 < units.len() {
        value /= 1e3;
        rank += 1;
    }
    if rank == 0 { format!("{value:.0} {}", units[0]) } else { format!("{value:.1} {}", units[rank]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_no_plural() {
        assert_eq!(["cell", "entry"].map(|one| plural(1, one)), ["1 cell", "1 entry"]);
        assert_eq!(["cell", "entry"].map(|one| plural(1_000, one)), ["1000 cells", "1000 entries"]);
    }

    #[test]
    fn numbers_are_scaled() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(166_019_180), "166.0 MB");
        assert_eq!(flops(2_500_000_000_000), "2.5 TFLOP");
        assert_eq!(flops(u64::MAX), "18446.7 PFLOP");
        assert_eq!(seconds(0.42), "0.4 s");
        assert_eq!(seconds(200.0), "3.3 min");
        assert_eq!(seconds(7_560.0), "2.1 h");
        assert_eq!(seconds(1e6), "11.6 d");
    }
}
