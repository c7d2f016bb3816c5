//! Words for people, on stderr.

/// Prints a line to stderr. A stderr that is closed or full must not end a sweep, so a failure to speak is let go.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($words)*);
    }};
}
pub(crate) use say;
