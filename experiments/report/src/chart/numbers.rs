//! Numbers as people read them.

use super::scale::drawable;

/// How the numbers of one axis are written: all in the same unit, with enough decimals to tell them apart.
pub(crate) struct Unit {
    divisor: f64,
    suffix: &'static str,
    decimals: usize,
    step: f64,
    scientific: bool,
}

impl Unit {
    /// The unit for ticks `step` apart of which the largest is `most`.
    pub(crate) fn of(most: f64, step: f64) -> Self {
        let (divisor, suffix) = match most {
            most if most >= 1e12 => (1e12, "T"),
            most if most >= 1e9 => (1e9, "B"),
            most if most >= 1e6 => (1e6, "M"),
            most if most >= 1e4 => (1e3, "k"),
            _ => (1.0, ""),
        };
        let decimals = (-(step / divisor).log10() - 1e-9).ceil().clamp(0.0, 9.0) as usize;
        Self { divisor, suffix, decimals, step, scientific: most >= 1e15 || (most > 0.0 && most < 1e-3) }
    }

    /// A number in this unit.
    pub(crate) fn write(&self, value: f64) -> String {
        if value == 0.0 {
            return "0".to_owned();
        }
        let text = match self.scientific {
            true => {
                let digits = value.abs().log10().floor() - (self.step * 1.000_001).log10().floor();
                format!("{value:.*e}", digits.clamp(0.0, 9.0) as usize)
            }
            false => format!("{:.*}{}", self.decimals, value / self.divisor, self.suffix),
        };
        text.replace('-', "−")
    }
}

/// A number for a bar or a title: three significant digits.
pub(crate) fn brief(value: f64) -> String {
    let Some(value) = drawable(value) else {
        return if value.is_nan() {
            "not a number".to_owned()
        } else {
            format!("{}∞", if value < 0.0 { "−" } else { "" })
        };
    };
    // Adding 0 takes the sign from −0.
    let (value, size) = (value + 0.0, value.abs());
    let text = if size != 0.0 && !(1e-3..1e5).contains(&size) {
        format!("{value:.2e}")
    } else {
        let digits = if size == 0.0 { 0.0 } else { 2.0 - size.log10().floor() };
        trimmed(&format!("{value:.*}", digits.max(0.0) as usize)).to_owned()
    };
    text.replace('-', "−")
}

/// A count such as 1, 512, 1k, 2.1M or 300B: two significant digits below 100 of a unit.
pub(crate) fn count(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")];
    let Some((unit, suffix)) = units.into_iter().find(|(unit, _)| value >= *unit * 0.9995) else {
        return trimmed(&format!("{value:.1}")).to_owned();
    };
    let value = value / unit;
    let text = if value < 99.5 { format!("{value:.1}") } else { format!("{value:.0}") };
    let text = if value >= 9.95 { format!("{value:.0}") } else { text };
    format!("{}{suffix}", trimmed(&text))
}

/// The last step as a label: exact, where a short form would round it.
pub(crate) fn exact(step: f64) -> String {
    // The end of an axis is the power of a logarithm, so it is rounded first.
    let step = step.round();
    let is_short = step < 1000.0 || (step < 1e6 && step % 1000.0 == 0.0);
    if is_short { count(step) } else { crate::words::count(step as u64) }
}

fn trimmed(number: &str) -> &str {
    if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let counts = [
            (0.0, "0"),
            (1.0, "1"),
            (512.0, "512"),
            (1000.0, "1k"),
            (2_097_152.0, "2.1M"),
            (2.99892736e11, "300B"),
            (2.0971520e10, "21B"),
            (999.9, "1k"),
        ];
        for (value, text) in counts {
            assert_eq!(count(value), text);
        }
        let briefs = [
            (-0.0, "0"),
            (0.0, "0"),
            (0.51234, "0.512"),
            (-12.345, "−12.3"),
            (1234.5, "1234"),
            (1e-5, "1.00e−5"),
            (0.5, "0.5"),
            (f64::INFINITY, "∞"),
        ];
        for (value, text) in briefs {
            assert_eq!(brief(value), text);
        }
    }
}
