//! Loops compiled for the widest vectors of the machine they run on.

use pulp::{Arch, Simd, WithSimd};

/// Runs `f` with everything that is inlined into it compiled for the widest vectors this machine has. The closure
/// must be marked `#[inline(always)]`.
///
/// `f` is called through `FnMut` on purpose: the compiler calls such a closure through `FnOnce` by an adapter that is
/// not inlined, and then the loop uses the oldest vector instructions.
pub(crate) fn widest<R>(f: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Task(f))
}

struct Task<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Task<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
