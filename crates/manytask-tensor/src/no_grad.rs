use std::marker::PhantomData;

/// Turns gradients off on this thread until the guard is dropped, also by a panic. Guards nest.
///
/// ```
/// use manytask_tensor::{no_grad, Device, Kind, Tensor};
/// let x = Tensor::ones([2], (Kind::Float, Device::Cpu)).set_requires_grad(true);
/// {
///     let _off = no_grad();
///     assert!(!(&x * 2).requires_grad());
/// }
/// assert!((&x * 2).requires_grad());
/// ```
///
/// Gradient mode belongs to a thread, so the guard cannot leave it:
/// ```compile_fail
/// let guard = manytask_tensor::no_grad();
/// std::thread::spawn(move || drop(guard));
/// ```
#[must_use = "gradients are on again as soon as the guard is dropped"]
#[expect(clippy::disallowed_methods, reason = "this is the wrapper the others are sent to")]
pub fn no_grad() -> NoGrad {
    NoGrad { _guard: tch::no_grad_guard(), _not_send: PhantomData }
}

/// The guard of [`no_grad`].
pub struct NoGrad {
    _guard: tch::NoGradGuard,
    _not_send: PhantomData<*const ()>,
}

impl std::fmt::Debug for NoGrad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NoGrad")
    }
}
