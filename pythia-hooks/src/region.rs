//! Part of an activation, by named axis.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Range, RangeFrom, RangeTo};

use crate::Axis;

/// Indices along one axis, read as Python reads subscripts: negative ones count from the end, and the end of a slice
/// is not part of it. Unlike in Python, the bounds of a slice must lie within the axis, and a slice that ends before it
/// begins is an error.
///
/// ```
/// use pythia_hooks::Span;
///
/// assert_eq!(Span::from(-1).resolve(5), Ok(vec![4]));
/// assert_eq!(Span::from(1..3).resolve(5), Ok(vec![1, 2]));
/// assert_eq!(Span::from(-2..).resolve(5), Ok(vec![3, 4]));
/// assert_eq!(Span::from(..-3).resolve(5), Ok(vec![0, 1]));
/// assert_eq!(Span::from(-4..-1).resolve(5), Ok(vec![1, 2, 3]));
/// // In Python `x[-2:0]` is empty, for 0 is the beginning.
/// assert!(Span::from(-2..0).resolve(5).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Span {
    /// One index.
    Index(i64),
    /// Indices from a start up to, not including, an end. Without a start it begins at 0, and without an end it goes to
    /// the end of the axis.
    Slice(Option<i64>, Option<i64>),
    /// Any indices.
    List(Vec<i64>),
}

impl From<i64> for Span {
    fn from(index: i64) -> Self {
        Span::Index(index)
    }
}

impl From<Range<i64>> for Span {
    fn from(range: Range<i64>) -> Self {
        Span::Slice(Some(range.start), Some(range.end))
    }
}

impl From<RangeFrom<i64>> for Span {
    fn from(range: RangeFrom<i64>) -> Self {
        Span::Slice(Some(range.start), None)
    }
}

impl From<RangeTo<i64>> for Span {
    fn from(range: RangeTo<i64>) -> Self {
        Span::Slice(None, Some(range.end))
    }
}

impl From<Vec<i64>> for Span {
    fn from(indices: Vec<i64>) -> Self {
        Span::List(indices)
    }
}

/// A span that does not fit an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// The axis has no such index. For a slice, this is the first of its bounds that lies outside the axis.
    #[error("{0} is out of range")]
    OutOfRange(i64),
    /// The slice ends before it begins, or it begins with an index from the end and ends at 0.
    #[error("the slice ends before it begins")]
    Backwards,
}

impl Span {
    /// The indices along an axis of length `size`, in the order given. A slice is empty if it begins where it ends:
    /// `3..3`, or `..0`.
    ///
    /// # Errors
    /// [`SpanError`], if an index lies outside the axis or a slice ends before it begins.
    pub fn resolve(&self, size: usize) -> Result<Vec<usize>, SpanError> {
        // The greatest index that is allowed: an end may be one past the last.
        let within = |index: i64, greatest: Option<usize>| {
            let from_start = if index < 0 { index.saturating_add_unsigned(size as u64) } else { index };
            let found = usize::try_from(from_start).ok().filter(|found| greatest.is_some_and(|most| *found <= most));
            found.ok_or(SpanError::OutOfRange(index))
        };
        let at = |index: &i64| within(*index, size.checked_sub(1));
        match self {
            Span::Index(index) => Ok(vec![at(index)?]),
            Span::List(indices) => indices.iter().map(at).collect(),
            Span::Slice(Some(..0), Some(0)) => Err(SpanError::Backwards),
            Span::Slice(start, end) => {
                let start = start.map_or(Ok(0), |start| within(start, Some(size)))?;
                let end = end.map_or(Ok(size), |end| within(end, Some(size)))?;
                if start <= end { Ok((start..end).collect()) } else { Err(SpanError::Backwards) }
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bound = |bound: &Option<i64>| bound.map(|bound| bound.to_string()).unwrap_or_default();
        match self {
            Span::Index(index) => write!(f, "{index}"),
            Span::Slice(start, end) => write!(f, "{}..{}", bound(start), bound(end)),
            Span::List(indices) => write!(f, "{indices:?}"),
        }
    }
}

/// A part of an activation, to edit or to cache: the whole, or some indices along named axes.
///
/// ```
/// use pythia_hooks::{Axis, Region};
/// let region = Region::all().along(Axis::Head, 3).along(Axis::Pos, -4..-1);
/// assert_eq!(region.to_string(), "[pos -4..-1, head 3]");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Region(BTreeMap<Axis, Span>);

impl Region {
    /// The whole activation.
    pub fn all() -> Self {
        Region::default()
    }

    /// Narrows the region to `span` along `axis`. A second call for the same axis replaces the first.
    pub fn along(mut self, axis: Axis, span: impl Into<Span>) -> Self {
        self.0.insert(axis, span.into());
        self
    }

    /// Whether it is the whole activation.
    pub(crate) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The axes along which the region is narrowed, with their spans.
    pub fn spans(&self) -> impl Iterator<Item = (Axis, &Span)> {
        self.0.iter().map(|(axis, span)| (*axis, span))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return Ok(());
        }
        let parts: Vec<String> = self.0.iter().map(|(axis, span)| format!("{axis} {span}")).collect();
        write!(f, "[{}]", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_resolve_from_both_ends() {
        assert_eq!(Span::from(-5).resolve(5), Ok(vec![0]));
        assert_eq!(Span::from(-2..5).resolve(5), Ok(vec![3, 4]));
        assert_eq!(Span::from(..2).resolve(5), Ok(vec![0, 1]));
        assert_eq!(Span::from(vec![4, 0]).resolve(5), Ok(vec![4, 0]));
        assert_eq!(Span::from(5).resolve(5), Err(SpanError::OutOfRange(5)));
        assert_eq!(Span::from(-6).resolve(5), Err(SpanError::OutOfRange(-6)));
        assert_eq!(Span::from(3..7).resolve(5), Err(SpanError::OutOfRange(7)));
        assert_eq!(Span::from(i64::MIN..).resolve(5), Err(SpanError::OutOfRange(i64::MIN)));
        assert_eq!(Span::from(0).resolve(0), Err(SpanError::OutOfRange(0)));
    }

    #[test]
    fn a_slice_is_empty_on_purpose_only() {
        for empty in [Span::from(0..0), Span::from(3..3), Span::from(..0), Span::from(5..), Span::from(-2..-2)] {
            assert_eq!(empty.resolve(5), Ok(vec![]), "{empty}");
        }
        for (mistake, size) in [
            (Span::from(-2..0), 5),
            (Span::from(-2..0), 2),
            (Span::Slice(Some(3), Some(1)), 5),
            (Span::Slice(Some(-1), Some(-3)), 5),
        ] {
            assert_eq!(mistake.resolve(size), Err(SpanError::Backwards), "{mistake}");
        }
    }
}
