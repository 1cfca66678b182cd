//! Operations with a number among their arguments.
//!
//! In the binding a fallible operation that takes a number (`f_add_scalar`, `f_mul_scalar`, `f_clamp`, `f_baddbmm`,
//! `f_masked_fill`, …) **panics** where libtorch refuses it: the number is freed before the error is read, and freeing
//! unwraps any error that it finds. What may be refused for its shapes is therefore checked here before; what remains is
//! memory that runs out, and mistakes, which [`catch_panics`] turns back into errors.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tch::{Device, Kind, Tensor};

use crate::error::first_line_of;
use crate::{Error, Result};

/// `input + a b` for batches of matrices: `[B, n, k]` times `[B, k, m]`, plus what broadcasts to `[B, n, m]`.
///
/// ```
/// use manytask_tensor::{baddbmm, Device, Kind, Tensor};
/// let (a, b) = (Tensor::ones([4, 2, 3], (Kind::Float, Device::Cpu)), Tensor::ones([4, 3, 5], (Kind::Float, Device::Cpu)));
/// let bias = Tensor::ones([4, 1, 5], (Kind::Float, Device::Cpu));
/// let y = baddbmm(&bias, &a, &b)?;
/// assert_eq!((y.size(), y.double_value(&[3, 1, 4])), (vec![4, 2, 5], 4.0));
/// assert!(baddbmm(&bias, &b, &a).is_err()); // the binding panics
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When shapes, element types or devices do not fit.
pub fn baddbmm(input: &Tensor, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    baddbmm_scaled(input, a, b, 1.0)
}

/// `input + factor · a b`, otherwise as [`baddbmm`].
///
/// # Errors
/// When shapes, element types or devices do not fit.
pub fn baddbmm_scaled(input: &Tensor, a: &Tensor, b: &Tensor, factor: f64) -> Result<Tensor> {
    let (size_a, size_b) = (a.size(), b.size());
    let fits = match (size_a.as_slice(), size_b.as_slice()) {
        (&[batch_a, n, k], &[batch_b, k_b, m]) => {
            batch_a == batch_b && k == k_b && broadcasts(&input.size(), &[batch_a, n, m])
        }
        _ => false,
    };
    let message = if !fits {
        "shapes do not fit `[B, n, m] + [B, n, k] [B, k, m]`"
    } else if !(input.defined() && a.defined() && b.defined()) {
        "an input holds no tensor"
    } else if a.kind() != b.kind() || a.kind() != input.kind() {
        "the inputs have different element types"
    } else if a.device() != b.device() || a.device() != input.device() {
        "the inputs are on different devices"
    } else {
        return Ok(input.f_baddbmm(a, b, 1.0, factor)?);
    };
    Err(refused("baddbmm", &[input, a, b], message))
}

/// A copy of `input` with `value` where `mask` is true; the mask broadcasts to the input.
///
/// # Errors
/// When the mask is not of truth values, or does not broadcast.
pub fn masked_fill(input: &Tensor, mask: &Tensor, value: f64) -> Result<Tensor> {
    let message = if !(input.defined() && mask.defined()) {
        "an input holds no tensor"
    } else if mask.kind() != Kind::Bool {
        "the mask is not of truth values"
    } else if !broadcasts(&mask.size(), &input.size()) {
        "the mask does not broadcast to the input"
    } else if mask.device() != input.device() {
        "the inputs are on different devices"
    } else {
        return Ok(input.f_masked_fill(mask, value)?);
    };
    Err(refused("masked_fill", &[input, mask], message))
}

/// A number as a tensor without dimensions, of the element type and on the device of another. A product with one costs less than
/// a product with a number argument; on a GPU it is made there, without a copy that would wait for all work in flight.
///
/// # Errors
/// When the device has no memory left.
pub fn number_like(value: f64, like: &Tensor) -> Result<Tensor> {
    let (kind, device) = (like.kind(), like.device());
    if device != Device::Cpu {
        return Ok(Tensor::f_full([0_i64; 0], value, (kind, device))?);
    }
    let number = if kind == Kind::Double { Tensor::from(value) } else { Tensor::from(value as f32) };
    Ok(number.f_to_kind(kind)?)
}

/// Runs what computes with tensors, and turns a panic of the binding into an error; any other panic goes on.
///
/// For the outermost loops: it is how memory that runs out in the middle of a step becomes a message. What `run` was
/// changing may be half changed. The process' panic hook still sees the panic first.
///
/// ```
/// use manytask_tensor::{catch_panics, Device, Error, Kind, Tensor};
/// let huge = Tensor::ones([1], (Kind::Float, Device::Cpu)).f_expand([1 << 50], false)?;
/// let error = catch_panics(|| Ok::<_, Error>(huge.f_mul_scalar(2.0)?)).unwrap_err();
/// assert!(error.to_string().contains("memory"), "{error}");
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// Those of `run`, and libtorch's words where the binding panics.
pub fn catch_panics<T, E: From<Error>>(run: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| match panic.downcast_ref::<String>() {
        Some(text) if let Some(message) = torch_message(text) => Err(Error::Torch { message }.into()),
        _ => resume_unwind(panic),
    })
}

/// libtorch's message in the text of a panic, which shows it as Rust would write it.
fn torch_message(panic: &str) -> Option<String> {
    let start = panic.find("on an `Err` value: Torch(\"")?;
    let quoted = panic.get(start..)?.split_once("Torch(\"")?.1;
    let text = quoted.rsplit_once("\")").map_or(quoted, |(text, _)| text);
    Some(first_line_of(&text.replace("\\n", "\n").replace("\\\"", "\"").replace("\\'", "'")))
}

/// Whether a shape broadcasts to another without changing it.
fn broadcasts(from: &[i64], to: &[i64]) -> bool {
    from.len() <= to.len() && from.iter().rev().zip(to.iter().rev()).all(|(f, t)| f == t || *f == 1)
}

fn refused(op: &str, inputs: &[&Tensor], message: &str) -> Error {
    let shapes = inputs.iter().map(|x| if x.defined() { x.size() } else { Vec::new() }).collect();
    Error::Op { op: op.to_owned(), shapes, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_broadcasts_to_a_larger_one_only() {
        assert!(broadcasts(&[], &[2, 3]) && broadcasts(&[1, 3], &[2, 3]) && broadcasts(&[3], &[2, 3]));
        assert!(!broadcasts(&[2], &[2, 3]) && !broadcasts(&[1, 2, 3], &[2, 3]) && !broadcasts(&[3], &[1]));
    }

    #[test]
    fn the_message_is_taken_out_of_a_panic() {
        let panic = "called `Result::unwrap()` on an `Err` value: Torch(\"a \\\"b\\\" (c)\\nException raised from x\")";
        assert_eq!(torch_message(panic).unwrap(), "a \"b\" (c)");
        assert_eq!(torch_message("index out of bounds"), None);
    }
}
