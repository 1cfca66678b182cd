use std::marker::PhantomData;

use tch::Tensor;

use crate::{Error, Params, Result};

/// What becomes of the graph after a backward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Graph {
    /// It is freed: the last pass over it.
    Free,
    /// It is kept for another pass.
    Keep,
    /// It is kept, and the gradients have a graph of their own, for derivatives of higher order.
    Differentiable,
}

/// The gradient of a loss of one element with respect to the trained parameters; entries not reached, and buffers, are zero.
///
/// # Errors
/// When the loss has more than one element, or has no graph (where the binding would end the process).
pub fn grad(loss: &Tensor, params: &Params, graph: Graph) -> Result<Params> {
    if loss.numel() != 1 {
        return Err(Error::NotScalar { shape: loss.size() });
    }
    into_params(params, |inputs| backward("the loss", loss, inputs, graph))
}

/// The gradients of a loss of one element with respect to some tensors, zeros where one is not reached.
///
/// # Errors
/// As [`grad`]; also when an input does not require a gradient.
pub fn gradients(loss: &Tensor, inputs: &[&Tensor], graph: Graph) -> Result<Vec<Tensor>> {
    if loss.numel() != 1 {
        return Err(Error::NotScalar { shape: loss.size() });
    }
    backward("the loss", loss, inputs, graph)
}

/// The product of cotangents with the Jacobian: `Σᵢ vᵢᵀ ∂yᵢ/∂x` for each input x.
///
/// # Errors
/// When a cotangent's shape is not its output's, or no output has a graph.
pub fn vjp(
    outputs: &[&Tensor],
    cotangents: &[&Tensor],
    inputs: &[&Tensor],
    graph: Graph,
) -> Result<Vec<Tensor>> {
    if outputs.len() != cotangents.len() {
        return Err(Error::Shape {
            what: "cotangents".into(),
            expected: vec![outputs.len() as i64],
            found: vec![cotangents.len() as i64],
        });
    }
    let mut sum = None::<Tensor>;
    for (y, v) in outputs.iter().zip(cotangents) {
        if y.size() != v.size() {
            return Err(Error::Shape { what: "cotangent".into(), expected: y.size(), found: v.size() });
        }
        if !y.requires_grad() {
            continue;
        }
        let part = y.f_mul(v)?.f_sum(y.kind())?;
        sum = Some(match sum {
            None => part,
            Some(sum) => sum.f_add(&part)?,
        });
    }
    let sum = sum.ok_or(Error::NoGraph { what: "the output" })?;
    backward("the output", &sum, inputs, graph)
}

/// The Jacobian of K values `[K]`: one gradient for each, as parameters with a leading dimension of K.
///
/// It takes K backward passes over the graph.
///
/// # Errors
/// When the values are not a vector, or have no graph.
pub fn jacobian(values: &Tensor, params: &Params, graph: Graph) -> Result<Params> {
    let &[count] = values.size().as_slice() else {
        return Err(Error::Shape {
            what: "values of a Jacobian".into(),
            expected: vec![-1],
            found: values.size(),
        });
    };
    if !values.requires_grad() {
        return Err(Error::NoGraph { what: "the vector of values" });
    }
    let rows = (0..count).map(|k| {
        let graph = match graph {
            Graph::Free if k + 1 < count => Graph::Keep,
            graph => graph,
        };
        grad(&values.f_select(0, k)?, params, graph)
    });
    Params::stack(&rows.collect::<Result<Vec<_>>>()?)
}

/// The Hessian-vector product `∇²f(θ) v` for a loss f with a graph to `params`, by the backward pass of `⟨∇f, v⟩`.
///
/// # Errors
/// As [`grad`], and when the layouts differ. A loss that is linear in the parameters gives zeros.
pub fn hvp(loss: &Tensor, params: &Params, vector: &Params, graph: Graph) -> Result<Params> {
    let gradient = grad(loss, params, Graph::Differentiable)?;
    let product = gradient.dot(&vector.detach()?)?;
    if !product.requires_grad() {
        return params.zeros_like();
    }
    grad(&product, params, graph)
}

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

fn into_params(params: &Params, run: impl FnOnce(&[&Tensor]) -> Result<Vec<Tensor>>) -> Result<Params> {
    let slots: Vec<_> = params
        .layout()
        .slots()
        .zip(params.iter())
        .filter(|(_, (entry, leaf))| entry.role.is_trained() && leaf.requires_grad())
        .map(|(slot, (_, leaf))| (slot, leaf))
        .collect();
    let inputs: Vec<&Tensor> = slots.iter().map(|(_, leaf)| *leaf).collect();
    let mut found = slots.iter().map(|(slot, _)| *slot).zip(run(&inputs)?).peekable();
    let leaves = params.layout().slots().zip(params.leaves()).map(|(slot, leaf)| {
        match found.next_if(|(reached, _)| *reached == slot) {
            Some((_, gradient)) => Ok(gradient),
            None => Ok(leaf.f_detach()?.f_zeros_like()?),
        }
    });
    let leaves = leaves.collect::<Result<_>>()?;
    match params.tasks() {
        None => Params::new(params.layout().clone(), leaves),
        Some(tasks) => Params::with_tasks(params.layout().clone(), leaves, tasks),
    }
}

/// The one call of libtorch's backward pass. It would use the null pointer of a value without a graph, and give undefined
/// tensors for inputs that are not reached.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper the others are sent to")]
fn backward(what: &'static str, value: &Tensor, inputs: &[&Tensor], graph: Graph) -> Result<Vec<Tensor>> {
    if !value.defined() || !value.requires_grad() || inputs.is_empty() {
        return Err(Error::NoGraph { what });
    }
    let keep = graph != Graph::Free;
    let create = graph == Graph::Differentiable;
    let gradients = Tensor::f_run_backward(&[value], inputs, keep, create)?;
    gradients
        .into_iter()
        .zip(inputs)
        .map(
            |(gradient, input)| {
                if gradient.defined() { Ok(gradient) } else { Ok(input.f_detach()?.f_zeros_like()?) }
            },
        )
        .collect()
}
