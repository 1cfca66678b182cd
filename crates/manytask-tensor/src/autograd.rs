use tch::Tensor;

use crate::{Error, OpContext, Params, Result};

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
/// Gradients may be views that share memory with each other (that of a sum is one number, expanded): they are to be read.
///
/// ```
/// use manytask_tensor::{grad, Device, Graph, Init, Kind, Layout, Role};
/// let mut layout = Layout::builder();
/// let w = layout.add("w", &[2], Init::Constant(3.0), Role::Weight)?;
/// let params = layout.build().init(0, Kind::Double, Device::Cpu)?.require_grad()?;
/// let loss = params.get(w)?.f_pow_tensor_scalar(3)?.f_sum(Kind::Double)?; // Σ w³
/// let first = grad(&loss, &params, Graph::Differentiable)?; // 3 w²
/// let second = grad(&first.get(w)?.f_sum(Kind::Double)?, &params, Graph::Free)?; // 6 w
/// assert_eq!(second.get(w)?.double_value(&[0]), 18.0);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When the loss has more than one element, has no graph (where the binding would end the process), or had its graph freed
/// by an earlier pass.
pub fn grad(loss: &Tensor, params: &Params, graph: Graph) -> Result<Params> {
    if loss.numel() != 1 {
        return Err(Error::NotScalar { shape: loss.size() });
    }
    into_params(params, |inputs| backward("the loss", loss, inputs, graph))
}

/// The gradients of a loss of one element with respect to some tensors, zeros where one is not reached.
///
/// The tensors may lie inside the graph: representations as well as parameters.
///
/// ```
/// use manytask_tensor::{gradients, Device, Graph, Kind, Tensor};
/// let x = Tensor::from(2.0_f64).set_requires_grad(true);
/// let hidden = x.f_square()?;
/// let loss = hidden.f_exp()?;
/// let found = gradients(&loss, &[&hidden, &x], Graph::Free)?;
/// assert_eq!(found[0].double_value(&[]), 4.0_f64.exp());
/// assert_eq!(found[1].double_value(&[]), 4.0 * 4.0_f64.exp());
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
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
/// Cotangents are constants. Only with [`Graph::Differentiable`] is a graph of theirs kept, so that the product, which is
/// linear in them, can be differentiated by them.
///
/// ```
/// use manytask_tensor::{vjp, Device, Graph, Kind, Tensor};
/// let x = Tensor::from_slice(&[1.0, 2.0, 3.0]).set_requires_grad(true);
/// let v = Tensor::from_slice(&[1.0, 0.0, -1.0]);
/// let product = vjp(&[&x.f_square()?], &[&v], &[&x], Graph::Free)?; // 2 x v
/// assert_eq!(Vec::<f64>::try_from(&product[0]).unwrap(), [2.0, 0.0, -6.0]);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When a cotangent's shape is not its output's, or no output has a graph, or (with [`Graph::Differentiable`]) a cotangent
/// depends on an input, whose derivative would then be mixed into the product.
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
        let part = if graph == Graph::Differentiable && v.requires_grad() {
            check_independent(v, inputs)?;
            y.f_mul(v)
        } else {
            y.f_mul(&v.f_detach()?)
        };
        let part = part.op("vjp", &[y, v])?.f_sum(y.kind())?;
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
/// It takes K backward passes over the graph. It must be called outside of [`no_grad`](crate::no_grad).
///
/// ```
/// use manytask_tensor::{jacobian, Device, Graph, Init, Kind, Layout, Role, Tensor};
/// let mut layout = Layout::builder();
/// let w = layout.add("w", &[2], Init::Constant(3.0), Role::Weight)?;
/// let params = layout.build().init(0, Kind::Double, Device::Cpu)?.require_grad()?;
/// let w_now = params.get(w)?;
/// let losses = Tensor::f_stack(&[w_now.f_sum(Kind::Double)?, w_now.f_square()?.f_sum(Kind::Double)?], 0)?;
/// let rows = jacobian(&losses, &params, Graph::Free)?;
/// assert_eq!(rows.tasks(), Some(2));
/// assert_eq!(Vec::<f64>::try_from(rows.flatten()?.f_reshape([-1])?).unwrap(), [1.0, 1.0, 6.0, 6.0]);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// When the values are not a vector of at least one, have no graph, or the parameters have a task dimension already.
pub fn jacobian(values: &Tensor, params: &Params, graph: Graph) -> Result<Params> {
    let count = match values.size().as_slice() {
        &[count] if count > 0 => count,
        found => return Err(Error::NotVector { shape: found.to_vec() }),
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
/// With a task dimension the Hessian is that of the loss by all tasks' parameters together; where the loss is a sum over
/// tasks, it is one product for each.
///
/// ```
/// use manytask_tensor::{hvp, Device, Graph, Init, Kind, Layout, Role};
/// let mut layout = Layout::builder();
/// let w = layout.add("w", &[2], Init::Constant(3.0), Role::Weight)?;
/// let params = layout.build().init(0, Kind::Double, Device::Cpu)?.require_grad()?;
/// let loss = params.get(w)?.f_pow_tensor_scalar(3)?.f_sum(Kind::Double)?; // its Hessian is 6 diag(w)
/// let product = hvp(&loss, &params, &params.scale(2.0)?, Graph::Free)?;
/// assert_eq!(product.get(w)?.double_value(&[0]), 6.0 * 3.0 * 6.0);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
///
/// # Errors
/// As [`grad`], and when the layouts differ. A loss that is linear in the parameters gives zeros.
pub fn hvp(loss: &Tensor, params: &Params, vector: &Params, graph: Graph) -> Result<Params> {
    let gradient = grad(loss, params, Graph::Differentiable)?;
    let product = gradient.dot(&vector.detach()?)?;
    let product = product.f_sum(product.kind())?;
    if !product.requires_grad() {
        return params.zeros_like();
    }
    grad(&product, params, graph)
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
            None => Ok(leaf.f_zeros_like()?),
        }
    });
    Ok(Params::of_known_shapes(params.layout().clone(), leaves.collect::<Result<_>>()?, params.tasks()))
}

/// A cotangent that depends on an input would add its own derivative to the product.
#[expect(clippy::disallowed_methods, reason = "the value was checked to require a gradient")]
fn check_independent(cotangent: &Tensor, inputs: &[&Tensor]) -> Result<()> {
    for input in inputs {
        require_grad("an input of `vjp`", input)?;
    }
    let sum = cotangent.f_sum(cotangent.kind())?;
    // Under `no_grad` the sum has no graph, nor has the product that it is asked for.
    require_grad("a cotangent", &sum)?;
    let reached = Tensor::f_run_backward(&[sum], inputs, true, false)?;
    if reached.iter().any(Tensor::defined) { Err(Error::DependentCotangent) } else { Ok(()) }
}

fn require_grad(what: &'static str, tensor: &Tensor) -> Result<()> {
    if tensor.defined() && tensor.requires_grad() { Ok(()) } else { Err(Error::NoGraph { what }) }
}

/// The one call of libtorch's backward pass. It would use the null pointer of a value without a graph, and give undefined
/// tensors for inputs that are not reached.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper the others are sent to")]
fn backward(what: &'static str, value: &Tensor, inputs: &[&Tensor], graph: Graph) -> Result<Vec<Tensor>> {
    require_grad(what, value)?;
    if inputs.is_empty() {
        return Err(Error::NoGraph { what });
    }
    let keep = graph != Graph::Free;
    let create = graph == Graph::Differentiable;
    let gradients = match Tensor::f_run_backward(&[value], inputs, keep, create).map_err(Error::from) {
        Ok(gradients) => gradients,
        Err(Error::Torch { message }) => return Err(explain(what, message)),
        Err(other) => return Err(other),
    };
    gradients
        .into_iter()
        .zip(inputs)
        .map(|(gradient, input)| if gradient.defined() { Ok(gradient) } else { Ok(input.f_zeros_like()?) })
        .collect()
}

/// libtorch's own words speak of options that this crate does not have.
fn explain(what: &'static str, message: String) -> Error {
    if message.contains("backward through the graph a second time") {
        Error::GraphFreed { what }
    } else if message.contains("does not use set_requires_grad") {
        Error::NoGraph { what: "an input that a gradient is asked for" }
    } else {
        Error::Torch { message }
    }
}
