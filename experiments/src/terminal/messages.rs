//! Messages for people, on stderr.

/// Prints a line to stderr. A stderr that is closed or full must not end a sweep, so errors are ignored.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
pub(crate) use say;
