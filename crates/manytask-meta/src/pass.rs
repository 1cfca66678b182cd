//! A meta-batch, computed in one of its ways.

use manytask_data::Episodes;
use manytask_multitask::{Combination, Draw, Error, Jacobian, Level, Pass, Result, Shared, layer_columns};
use manytask_nn::Cx;
use manytask_tensor::{Graph, Kind, Params, Tensor, grad};

use crate::analytic::Found;
use crate::episodes::select;
use crate::execution::{self, Execution};
use crate::problem::{Judge, MetaProblem, key};

pub(crate) fn forward<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    draw: Draw,
) -> Result<Box<dyn Pass + 'a>> {
    let (episodes, ids) = problem.draw(draw)?;
    match problem.execution(params) {
        Execution::Loop => {
            let rows = empty_rows(params, ids.len())?;
            let losses = rows_of(&problem.judge, params, &episodes, draw, &ids, 0..ids.len(), &rows)?;
            Ok(Box::new(Ready::new(params, losses, &rows)?))
        }
        Execution::Threads(workers) => {
            let rows = empty_rows(params, ids.len())?;
            let losses = in_threads(&problem.judge, params, &episodes, draw, &ids, workers, &rows)?;
            Ok(Box::new(Ready::new(params, losses, &rows)?))
        }
        Execution::Analytic => {
            let found =
                problem.analytic.as_ref().map(|analytic| analytic.run(params, &episodes)).transpose()?;
            match found.flatten() {
                Some(Found { losses, rows }) => Ok(Box::new(Ready::new(params, losses, &rows)?)),
                // A label is missing, or of the wrong kind: the graph knows what to do, or to say.
                None => at_once(problem, params, &episodes, draw, ids),
            }
        }
        Execution::Batched | Execution::Auto => at_once(problem, params, &episodes, draw, ids),
    }
}

/// All tasks along a leading dimension.
fn at_once<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    episodes: &Episodes,
    draw: Draw,
    ids: Vec<u64>,
) -> Result<Box<dyn Pass + 'a>> {
    let tasks = ids.len() as i64;
    let expanded = params.expand_tasks(tasks)?;
    let scene = problem.judge.scene(episodes, Some(tasks), Some((key(draw), ids)));
    if let Some((losses, gradient)) =
        problem.judge.learner.query_gradient(&scene, &expanded, &episodes.query_y)?
    {
        let losses = Vec::<f64>::try_from(losses.f_detach()?.f_to_kind(Kind::Double)?)?;
        return Ok(Box::new(Ready::new(params, losses, &gradient.flatten()?)?));
    }
    let losses = problem.judge.query_losses(&scene, &expanded, &episodes.query_y)?;
    Ok(Box::new(AtOnce::new(params, expanded, losses)?))
}

fn broken(message: &str) -> Error {
    Error::Contract { aggregator: "meta-problem".into(), message: message.into() }
}

/// The gradients of a level, of which those of all parameters are known; `layers` keeps what was asked for last.
fn at_level<'j>(
    all: &'j Jacobian,
    layers: &'j mut Option<(Level, Jacobian)>,
    params: &Params,
    level: &Level,
) -> Result<&'j Jacobian> {
    match level {
        Level::Parameters => Ok(all),
        Level::Representation => Err(Error::setting(
            "gradients of a representation, of which each task has its own",
            "take the level `parameters`",
        )),
        Level::LastLayer | Level::Layers(_) => {
            if layers.as_ref().is_none_or(|(of, _)| of != level) {
                let layout = params.layout();
                let columns = layer_columns(layout, &layout.trained(), level)?;
                *layers = Some((level.clone(), all.of_columns(&columns)?));
            }
            layers.as_ref().map(|(_, rows)| rows).ok_or_else(|| broken("no Jacobian"))
        }
    }
}

/// A direction of all parameters.
fn vector_of(direction: &Tensor, level: &Level) -> Result<Tensor> {
    match level {
        Level::Parameters => Ok(direction.shallow_clone()),
        _ => Err(Error::setting("a direction of some layers only", "take the level `parameters`")),
    }
}

fn as_many(weights: &[f64], tasks: usize) -> Result<&[f64]> {
    if weights.len() == tasks { Ok(weights) } else { Err(broken("as many weights as tasks are needed")) }
}

/// A matrix for the gradients of so many tasks.
fn empty_rows(params: &Params, tasks: usize) -> Result<Tensor> {
    let width = params.layout().trained_count();
    Ok(Tensor::f_empty([tasks as i64, width], (params.kind(), params.device()))?)
}

/// The tasks of a range, one after the other: their query losses; each task's gradient becomes a row.
fn rows_of(
    judge: &Judge,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    range: std::ops::Range<usize>,
    rows: &Tensor,
) -> Result<Vec<f64>> {
    let losses = range.zip(ids).enumerate().map(|(number, (task, id))| {
        let one = select(episodes, task as i64)?;
        let scene = judge.scene(&one, None, Some((key(draw), vec![*id])));
        let found = judge.learner.query_gradient(&scene, params, &one.query_y)?;
        let (loss, gradient) = if let Some(found) = found {
            found
        } else {
            let loss = judge.query_losses(&scene, params, &one.query_y)?;
            let gradient = grad(&loss, params, Graph::Free)?;
            (loss, gradient)
        };
        gradient.flatten_into(&rows.f_select(0, number as i64)?)?;
        Ok(loss.f_double_value(&[])?)
    });
    losses.collect()
}

/// Each thread takes an equal run of tasks. A task's numbers do not depend on how many threads there are.
fn in_threads(
    judge: &Judge,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    workers: usize,
    rows: &Tensor,
) -> Result<Vec<f64>> {
    /// What one thread takes with it: tensors can be sent, but not shared.
    struct Load {
        params: Params,
        episodes: Episodes,
        start: usize,
        ids: Vec<u64>,
        rows: Tensor,
    }
    let each = ids.len().div_ceil(workers.max(1)).max(1);
    let mut loads = Vec::new();
    for (number, ids) in ids.chunks(each).enumerate() {
        let own = |tensor: &Tensor| tensor.shallow_clone();
        let start = number * each;
        loads.push(Load {
            params: params.require_grad()?,
            episodes: Episodes {
                support_x: own(&episodes.support_x),
                support_y: own(&episodes.support_y),
                query_x: own(&episodes.query_x),
                query_y: own(&episodes.query_y),
            },
            start,
            ids: ids.to_vec(),
            rows: rows.f_narrow(0, start as i64, ids.len() as i64)?,
        });
    }
    let of_load = |load: Load| {
        let range = load.start..load.start + load.ids.len();
        rows_of(judge, &load.params, &load.episodes, draw, &load.ids, range, &load.rows)
    };
    Ok(execution::in_threads(loads, of_load)?.concat())
}

/// A pass whose gradients are there already, the rows of one matrix.
struct Ready<'a> {
    params: &'a Params,
    present: Vec<usize>,
    losses: Vec<f64>,
    jacobian: Jacobian,
    layers: Option<(Level, Jacobian)>,
}

impl<'a> Ready<'a> {
    fn new(params: &'a Params, losses: Vec<f64>, rows: &Tensor) -> Result<Self> {
        let present = (0..losses.len()).collect();
        Ok(Self { params, present, losses, jacobian: Jacobian::new(rows)?, layers: None })
    }
}

impl Pass for Ready<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        at_level(&self.jacobian, &mut self.layers, self.params, level)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let vector = match &combination.shared {
            Shared::Direction { vector, level } => vector_of(vector, level)?,
            Shared::Weights(weights) => self.jacobian.combine(as_many(weights, self.losses.len())?)?,
        };
        Ok(Params::from_vector(self.params.layout(), &vector)?)
    }

    fn take_context(&mut self) -> Cx {
        Cx::eval()
    }
}

/// A pass over all tasks at once, whose graph waits for the weights.
struct AtOnce<'a> {
    params: &'a Params,
    /// Each task's own, views of the parameters.
    expanded: Params,
    present: Vec<usize>,
    values: Vec<f64>,
    losses: Tensor,
    jacobian: Option<Jacobian>,
    layers: Option<(Level, Jacobian)>,
}

impl<'a> AtOnce<'a> {
    fn new(params: &'a Params, expanded: Params, losses: Tensor) -> Result<Self> {
        let values = Vec::<f64>::try_from(losses.f_detach()?.f_to_kind(Kind::Double)?)?;
        let present = (0..values.len()).collect();
        Ok(Self { params, expanded, present, values, losses, jacobian: None, layers: None })
    }
}

impl Pass for AtOnce<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.values
    }

    /// One pass: a task's loss depends on its own parameters alone, so the gradient of the sum by all tasks' parameters has a
    /// task's gradient in each row.
    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        if self.jacobian.is_none() {
            let total = self.losses.f_sum(self.losses.kind())?;
            let rows = grad(&total, &self.expanded, Graph::Free)?.flatten()?;
            self.jacobian = Some(Jacobian::new(&rows)?);
        }
        let all = self.jacobian.as_ref().ok_or_else(|| broken("no Jacobian"))?;
        at_level(all, &mut self.layers, self.params, level)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let vector = match (&combination.shared, &self.jacobian) {
            (Shared::Direction { vector, level }, _) => vector_of(vector, level)?,
            (Shared::Weights(weights), Some(jacobian)) => {
                jacobian.combine(as_many(weights, self.present.len())?)?
            }
            (Shared::Weights(weights), None) => {
                let weights = Tensor::f_from_slice(as_many(weights, self.present.len())?)?;
                let weights = weights.f_to_kind(self.losses.kind())?.f_to_device(self.losses.device())?;
                let total = self.losses.f_dot(&weights)?;
                return Ok(grad(&total, self.params, Graph::Free)?);
            }
        };
        Ok(Params::from_vector(self.params.layout(), &vector)?)
    }

    fn take_context(&mut self) -> Cx {
        Cx::eval()
    }
}
