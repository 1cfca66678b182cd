//! One forward pass, differentiated: once through all heads, then through the trunk as often as is asked for.

use manytask_data::{Batch, Inputs};
use manytask_nn::Cx;
use manytask_tensor::{Graph, Kind, Params, Slot, Tensor, gradients, vjp, write_in_turn};

use super::{HardSharing, context, gradient};
use crate::aggregator::layer_slots;
use crate::{Combination, Draw, Error, Jacobian, Level, Pass, Result, Shared, SharedTrunk, layer_columns};

/// The representation of a batch: of rows that all tasks share, or of each task's rows, one after the other.
pub(super) struct Represented {
    pub(super) all: Tensor,
    /// For each present task its first row and the number of rows; `None` where all share them.
    rows: Option<Vec<(i64, i64)>>,
}

impl Represented {
    /// The representation of the rows of one of the present tasks.
    pub(super) fn of(&self, row: usize) -> Result<Tensor> {
        match self.rows.as_ref().and_then(|rows| rows.get(row)) {
            None => Ok(self.all.shallow_clone()),
            Some(&(start, length)) => Ok(self.all.f_narrow(0, start, length)?),
        }
    }

    /// A cotangent of the representation of one task's rows as one of all rows.
    fn widen(&self, row: usize, cotangent: &Tensor) -> Result<Tensor> {
        match self.rows.as_ref().and_then(|rows| rows.get(row)) {
            None => Ok(cotangent.shallow_clone()),
            Some(&(start, length)) => {
                let zeros = self.all.f_detach()?.f_zeros_like()?;
                zeros.f_narrow(0, start, length)?.f_copy_(cotangent)?;
                Ok(zeros)
            }
        }
    }

    /// `Σ wᵢ cᵢ` for cotangents of the tasks' rows.
    fn combine(&self, cotangents: &[Tensor], weights: &[f64]) -> Result<Tensor> {
        let scaled = cotangents.iter().zip(weights).map(|(cotangent, weight)| {
            if *weight == 1.0 {
                Ok(cotangent.shallow_clone())
            } else {
                Ok(cotangent.f_mul(&number(*weight, cotangent)?)?)
            }
        });
        let scaled = scaled.collect::<Result<Vec<_>>>()?;
        if self.rows.is_some() {
            return Ok(Tensor::f_cat(&scaled, 0)?);
        }
        let mut parts = scaled.into_iter();
        let Some(mut sum) = parts.next() else { return Ok(self.all.f_detach()?.f_zeros_like()?) };
        for part in parts {
            sum = sum.f_add(&part)?;
        }
        Ok(sum)
    }
}

/// A number as a tensor of the other's kind and device, which costs less than a number argument.
pub(super) fn number(value: f64, like: &Tensor) -> Result<Tensor> {
    let value = if like.kind() == Kind::Double {
        Tensor::from(value)
    } else {
        Tensor::from(value as f32).f_to_kind(like.kind())?
    };
    Ok(value.f_to_device(like.device())?)
}

pub(super) fn represent(
    network: &SharedTrunk,
    params: &Params,
    batch: &Batch,
    present: &[usize],
    cx: &mut Cx,
) -> Result<Represented> {
    let (inputs, rows) = join(batch, present)?;
    Ok(Represented { all: network.represent(params, &inputs, cx)?, rows })
}

/// A task's first row, and the number of its rows.
type Place = (i64, i64);

/// The inputs of all present tasks: one for all, or the tasks' own rows one after the other with their places.
pub(super) fn join(batch: &Batch, present: &[usize]) -> Result<(Inputs, Option<Vec<Place>>)> {
    if let [inputs] = batch.inputs.as_slice() {
        return Ok((inputs.shallow_clone(), None));
    }
    let inputs: Vec<&Inputs> = present.iter().filter_map(|task| batch.inputs.get(*task)).collect();
    let joined = Inputs::cat(&inputs)?;
    let rows = inputs.iter().scan(0, |start, input| {
        let length = input.rows() as i64;
        let place = (*start, length);
        *start += length;
        Some(place)
    });
    Ok((joined, Some(rows.collect())))
}

/// The mean loss of a task, one element.
pub(super) fn loss(
    problem: &HardSharing,
    params: &Params,
    batch: &Batch,
    task: usize,
    representation: &Tensor,
    cx: &mut Cx,
) -> Result<Tensor> {
    let described = problem.tasks.get(task).zip(batch.targets.get(task));
    let Some((described, target)) = described else {
        return Err(Error::setting(format!("task {task} of {}", problem.tasks.len()), "count tasks from 0"));
    };
    let prediction = problem.network.head(task, params, representation, cx)?;
    described.mean_loss(&prediction, target, batch.weights.get(task).and_then(Option::as_ref))
}

/// The values of losses of one element each, fetched at once.
pub(super) fn values(losses: &[Tensor]) -> Result<Vec<f64>> {
    if losses.is_empty() {
        return Ok(Vec::new());
    }
    let stacked = Tensor::f_stack(losses, 0)?.f_detach()?.f_to_kind(Kind::Double)?;
    Ok(Vec::<f64>::try_from(stacked.f_reshape([-1])?)?)
}

/// A pass was asked for what cannot be.
pub(super) fn broken(message: &str) -> Error {
    Error::Contract { aggregator: "problem with a shared trunk".into(), message: message.into() }
}

/// A direction can be taken for all shared parameters or for the representation, but not for some layers.
pub(super) fn direction_of_layers() -> Error {
    Error::setting(
        "a direction of some layers only",
        "set level = \"parameters\" or \"representation\" for a method that gives a direction",
    )
}

/// A representation is asked for that tasks do not share.
pub(super) fn rows_of_its_own() -> Error {
    Error::setting(
        "gradients of the representation, but each task has rows of its own",
        "take the level `parameters`",
    )
}

/// A pass in which each task has its own copy of the representation, so that one backward pass through all heads gives
/// every task's cotangent.
pub(super) struct SharedPass<'a> {
    problem: &'a HardSharing,
    params: &'a Params,
    present: Vec<usize>,
    values: Vec<f64>,
    losses: Vec<Tensor>,
    representation: Represented,
    copies: Vec<Tensor>,
    cx: Option<Cx>,
    heads: Option<Heads>,
    parameters: Option<Jacobian>,
    representations: Option<Jacobian>,
    layers: Option<(Level, Jacobian)>,
}

/// What the pass through the heads gave.
struct Heads {
    /// Each present task's loss by its copy of the representation.
    cotangents: Vec<Tensor>,
    /// Each present task's loss by the parameters of its head.
    own: Vec<Vec<(Slot, Tensor)>>,
}

impl<'a> SharedPass<'a> {
    pub(super) fn forward(
        problem: &'a HardSharing,
        params: &'a Params,
        batch: &Batch,
        present: Vec<usize>,
        draw: Draw,
    ) -> Result<Self> {
        let mut cx = context(draw);
        let representation = represent(&problem.network, params, batch, &present, &mut cx)?;
        let mut copies = Vec::with_capacity(present.len());
        let mut losses = Vec::with_capacity(present.len());
        for (row, &task) in present.iter().enumerate() {
            let copy = representation.of(row)?.f_detach()?.f_set_requires_grad(true)?;
            losses.push(loss(problem, params, batch, task, &copy, &mut cx)?);
            copies.push(copy);
        }
        Ok(Self {
            problem,
            params,
            values: values(&losses)?,
            present,
            losses,
            representation,
            copies,
            cx: Some(cx),
            heads: None,
            parameters: None,
            representations: None,
            layers: None,
        })
    }

    /// The one pass through the heads.
    fn heads(&mut self) -> Result<&Heads> {
        if self.heads.is_none() {
            let own: Vec<&[Slot]> = self.present.iter().map(|&task| self.problem.network.own(task)).collect();
            let mut inputs: Vec<&Tensor> = self.copies.iter().collect();
            for slot in own.iter().copied().flatten() {
                inputs.push(self.params.get(*slot)?);
            }
            let found = match self.losses.as_slice() {
                [] => Vec::new(),
                losses => {
                    let total = Tensor::f_stack(losses, 0)?.f_sum(self.params.kind())?;
                    gradients(&total, &inputs, Graph::Free)?
                }
            };
            let mut found = found.into_iter();
            let cotangents = found.by_ref().take(self.copies.len()).collect();
            let own =
                own.into_iter().map(|slots| slots.iter().copied().zip(found.by_ref()).collect()).collect();
            self.losses.clear();
            self.heads = Some(Heads { cotangents, own });
        }
        self.heads.as_ref().ok_or_else(|| broken("no pass through the heads"))
    }

    /// The gradient of some shared parameters for a cotangent of the representation.
    fn through_trunk(&self, slots: &[Slot], cotangent: &Tensor, graph: Graph) -> Result<Vec<Tensor>> {
        let inputs = slots.iter().map(|slot| Ok(self.params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
        if inputs.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vjp(&[&self.representation.all], &[cotangent], &inputs, graph)?)
    }

    /// Each task's gradient of some shared parameters; `end` is what becomes of the graph.
    fn rows_by(&mut self, slots: &[Slot], end: Graph) -> Result<Tensor> {
        self.heads()?;
        let cotangents = self.heads.as_ref().map_or(&[][..], |heads| &heads.cotangents);
        if cotangents.is_empty() {
            return Err(broken("a Jacobian of no task"));
        }
        let width: i64 =
            slots.iter().map(|slot| Ok(self.params.get(*slot)?.numel() as i64)).sum::<Result<_>>()?;
        let kind = (self.params.kind(), self.params.device());
        let rows = Tensor::f_empty([cotangents.len() as i64, width], kind)?;
        let last = cotangents.len() - 1;
        for (number, cotangent) in cotangents.iter().enumerate() {
            let graph = if number == last { end } else { Graph::Keep };
            let parts = self.through_trunk(slots, &self.representation.widen(number, cotangent)?, graph)?;
            // Each gradient is written where it belongs: a row is never put together elsewhere.
            write_in_turn(&parts, &rows.f_select(0, number as i64)?)?;
        }
        Ok(rows)
    }

    fn representation_rows(&mut self) -> Result<Tensor> {
        if self.representation.rows.is_some() {
            return Err(rows_of_its_own());
        }
        let rows = self.heads()?.cotangents.iter().map(|cotangent| cotangent.f_reshape([-1]));
        let rows = rows.collect::<std::result::Result<Vec<_>, _>>()?;
        if rows.is_empty() {
            return Err(broken("a Jacobian of no task"));
        }
        Ok(Tensor::f_stack(&rows, 0)?)
    }

    fn shared_gradient(&mut self, shared: &Shared) -> Result<Vec<Tensor>> {
        match shared {
            Shared::Weights(weights) => {
                if let Some(jacobian) = &self.parameters {
                    return gradient::split(self.problem, self.params, &jacobian.combine(weights)?);
                }
                self.heads()?;
                let cotangents = self.heads.as_ref().map_or(&[][..], |heads| &heads.cotangents);
                let cotangent = self.representation.combine(cotangents, weights)?;
                self.through_trunk(self.problem.network.shared(), &cotangent, Graph::Free)
            }
            Shared::Direction { vector, level: Level::Parameters } => {
                gradient::split(self.problem, self.params, vector)
            }
            Shared::Direction { vector, level: Level::Representation } => {
                let cotangent = vector.f_reshape(self.representation.all.size())?;
                self.through_trunk(self.problem.network.shared(), &cotangent, Graph::Free)
            }
            Shared::Direction { .. } => Err(direction_of_layers()),
        }
    }
}

impl Pass for SharedPass<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.values
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        let network = &self.problem.network;
        let found = match level {
            Level::Parameters => {
                if self.parameters.is_none() {
                    self.parameters = Some(Jacobian::new(&self.rows_by(network.shared(), Graph::Free)?)?);
                }
                self.parameters.as_ref()
            }
            Level::Representation => {
                if self.representations.is_none() {
                    self.representations = Some(Jacobian::new(&self.representation_rows()?)?);
                }
                self.representations.as_ref()
            }
            Level::LastLayer | Level::Layers(_) => {
                if self.layers.as_ref().is_none_or(|(of, _)| of != level) {
                    let rows = if let Some(all) = &self.parameters {
                        all.of_columns(&layer_columns(network.layout(), network.shared(), level)?)?
                    } else {
                        let slots = layer_slots(network.layout(), network.shared(), level)?;
                        Jacobian::new(&self.rows_by(&slots, Graph::Keep)?)?
                    };
                    self.layers = Some((level.clone(), rows));
                }
                self.layers.as_ref().map(|(_, rows)| rows)
            }
        };
        found.ok_or_else(|| broken("no Jacobian"))
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        gradient::fits(combination, self.present.len())?;
        let shared = self.shared_gradient(&combination.shared)?;
        let (problem, params) = (self.problem, self.params);
        gradient::assemble(problem, params, shared, &self.heads()?.own, &combination.heads)
    }

    fn take_context(&mut self) -> Cx {
        self.cx.take().unwrap_or_else(Cx::eval)
    }
}
