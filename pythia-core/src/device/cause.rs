//! Error messages of backends.

/// The first cause in a chain of errors, such as "can't allocate buffer of size: 281107200". Backends report the
/// whole chain with backtraces over many lines.
pub fn cause(report: &str) -> &str {
    let last = report.rsplit("Caused by:").next().unwrap_or(report);
    last.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it does not say why")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cause_is_told_without_backtraces() {
        let chain = "An error happened during execution\nCaused by:\n  Several failures at once\nCaused by:\n  \
                     An IO error happened\n\
                     Caused by:\n  can't allocate buffer of size: 9\nNo backtrace available\n\
                     Asked at:\nNo backtrace available";
        assert_eq!(cause(chain), "can't allocate buffer of size: 9");
        assert_eq!(cause("one line"), "one line");
        assert_eq!(cause("  \n"), "it does not say why");
    }
}
