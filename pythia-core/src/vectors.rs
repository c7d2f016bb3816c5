//! Loops compiled for the widest vectors of the machine they run on.

use pulp::{Arch, Simd, WithSimd};

/// Runs `f` with everything that is inlined into it compiled for the widest vectors this machine has. Give it a closure
/// marked `#[inline(always)]`.
///
/// `f` is called through `FnMut` on purpose: calling a closure that could be called again through `FnOnce` goes by way
/// of an adapter of the compiler's, which is not inlined, and then the whole loop keeps to the oldest vectors.
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
