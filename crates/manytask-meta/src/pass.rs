//! A meta-batch, computed in one of three ways.

use manytask_data::Episodes;
use manytask_multitask::{Combination, Draw, Error, Jacobian, Level, Pass, Result, Shared};
use manytask_nn::Cx;
use manytask_tensor::{Graph, Kind, Params, Tensor, grad, threads, vjp};

use crate::analytic::Found;
use crate::episodes::select;
use crate::execution::Execution;
use crate::learner::Scene;
use crate::problem::{Judge, MetaProblem, key};

pub(crate) fn forward<'a>(
    problem: &'a MetaProblem,
    params: &'a Params,
    draw: Draw,
) -> Result<Box<dyn Pass + 'a>> {
    let (episodes, ids) = problem.draw(draw)?;
    let count = ids.len();
    match problem.execution(params) {
        Execution::Loop => {
            let rows = rows_of(&problem.judge, params, &episodes, draw, &ids, 0..count)?;
            Ok(Box::new(Ready::new(params, rows)?))
        }
        Execution::Threads(workers) => {
            let rows = in_threads(&problem.judge, params, &episodes, draw, &ids, workers)?;
            Ok(Box::new(Ready::new(params, rows)?))
        }
        Execution::Analytic => {
            let found =
                problem.analytic.as_ref().map(|analytic| analytic.run(params, &episodes)).transpose()?;
            match found.flatten() {
                Some(found) => Ok(Box::new(Written::new(params, found)?)),
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
        return Ok(Box::new(Written::new(params, Found { losses, rows: gradient.flatten()? })?));
    }
    Ok(Box::new(AtOnce::forward(problem, params, &expanded, &scene, episodes)?))
}

fn broken(message: &str) -> Error {
    Error::Contract { aggregator: "meta-problem".into(), message: message.into() }
}

fn no_representation() -> Error {
    Error::setting(
        "gradients of a representation, of which each task has its own",
        "take the level `parameters`",
    )
}

/// A task's query loss with its gradient by the meta-parameters.
struct Row {
    loss: f64,
    gradient: Params,
}

/// The tasks of a range, one after the other.
fn rows_of(
    judge: &Judge,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    range: std::ops::Range<usize>,
) -> Result<Vec<Row>> {
    let rows = range.zip(ids).map(|(task, id)| {
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
        Ok(Row { loss: loss.f_double_value(&[])?, gradient })
    });
    rows.collect()
}

/// Each thread takes an equal run of tasks. A task's numbers do not depend on how many threads there are.
fn in_threads(
    judge: &Judge,
    params: &Params,
    episodes: &Episodes,
    draw: Draw,
    ids: &[u64],
    workers: usize,
) -> Result<Vec<Row>> {
    /// What one thread takes with it: tensors can be sent, but not shared.
    struct Load {
        params: Params,
        episodes: Episodes,
        start: usize,
        ids: Vec<u64>,
    }
    let each = ids.len().div_ceil(workers.max(1)).max(1);
    let mut loads = Vec::new();
    for (number, ids) in ids.chunks(each).enumerate() {
        let own = |tensor: &Tensor| tensor.shallow_clone();
        loads.push(Load {
            params: params.require_grad()?,
            episodes: Episodes {
                support_x: own(&episodes.support_x),
                support_y: own(&episodes.support_y),
                query_x: own(&episodes.query_x),
                query_y: own(&episodes.query_y),
            },
            start: number * each,
            ids: ids.to_vec(),
        });
    }
    std::thread::scope(|scope| {
        let spawn = |load: Load| {
            scope.spawn(move || {
                threads::set(1)?;
                let range = load.start..load.start + load.ids.len();
                rows_of(judge, &load.params, &load.episodes, draw, &load.ids, range)
            })
        };
        let handles: Vec<_> = loads.into_iter().map(spawn).collect();
        let mut rows = Vec::with_capacity(ids.len());
        for handle in handles {
            match handle.join() {
                Ok(found) => rows.extend(found?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(rows)
    })
}

/// A pass whose gradients are there already.
struct Ready<'a> {
    params: &'a Params,
    present: Vec<usize>,
    losses: Vec<f64>,
    rows: Vec<Params>,
    jacobian: Option<Jacobian>,
}

impl<'a> Ready<'a> {
    fn new(params: &'a Params, rows: Vec<Row>) -> Result<Self> {
        if rows.is_empty() {
            return Err(broken("a meta-batch of no task"));
        }
        let losses = rows.iter().map(|row| row.loss).collect();
        let present = (0..rows.len()).collect();
        Ok(Self {
            params,
            present,
            losses,
            rows: rows.into_iter().map(|row| row.gradient).collect(),
            jacobian: None,
        })
    }
}

impl Pass for Ready<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses
    }

    fn jacobian(&mut self, level: Level) -> Result<&Jacobian> {
        if level == Level::Representation {
            return Err(no_representation());
        }
        if self.jacobian.is_none() {
            let rows = self.rows.iter().map(Params::flatten).collect::<Result<Vec<_>, _>>()?;
            self.jacobian = Some(Jacobian::new(&Tensor::f_stack(&rows, 0)?)?);
        }
        self.jacobian.as_ref().ok_or_else(|| broken("no Jacobian"))
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        match &combination.shared {
            Shared::Direction(vector) => Ok(self.params.detach()?.zeros_like()?.unflatten(vector)?),
            Shared::Weights(weights) if weights.len() == self.rows.len() => {
                let mut rows = self.rows.iter().zip(weights);
                let Some((first, weight)) = rows.next() else { return Err(broken("no task")) };
                rows.try_fold(first.scale(*weight)?, |sum, (row, weight)| Ok(sum.add_scaled(row, *weight)?))
            }
            Shared::Weights(_) => Err(broken("as many weights as tasks are needed")),
        }
    }

    fn take_context(&mut self) -> Cx {
        Cx::eval()
    }
}

/// A pass whose gradients are the rows of one matrix.
struct Written<'a> {
    params: &'a Params,
    present: Vec<usize>,
    losses: Vec<f64>,
    jacobian: Jacobian,
}

impl<'a> Written<'a> {
    fn new(params: &'a Params, found: Found) -> Result<Self> {
        let present = (0..found.losses.len()).collect();
        Ok(Self { params, present, losses: found.losses, jacobian: Jacobian::new(&found.rows)? })
    }
}

impl Pass for Written<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.losses
    }

    fn jacobian(&mut self, level: Level) -> Result<&Jacobian> {
        if level == Level::Representation {
            return Err(no_representation());
        }
        Ok(&self.jacobian)
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let like = self.params.detach()?;
        match &combination.shared {
            Shared::Direction(vector) => Ok(like.unflatten(vector)?),
            Shared::Weights(weights) if weights.len() == self.losses.len() => {
                Ok(like.unflatten(&self.jacobian.combine(weights)?)?)
            }
            Shared::Weights(_) => Err(broken("as many weights as tasks are needed")),
        }
    }

    fn take_context(&mut self) -> Cx {
        Cx::eval()
    }
}

/// A pass over all tasks at once, whose graph waits for the weights.
struct AtOnce<'a> {
    params: &'a Params,
    present: Vec<usize>,
    values: Vec<f64>,
    losses: Tensor,
    jacobian: Option<Jacobian>,
}

impl<'a> AtOnce<'a> {
    fn forward(
        problem: &MetaProblem,
        params: &'a Params,
        expanded: &Params,
        scene: &Scene<'_>,
        episodes: &Episodes,
    ) -> Result<Self> {
        let losses = problem.judge.query_losses(scene, expanded, &episodes.query_y)?;
        let count = losses.numel();
        let values = Vec::<f64>::try_from(losses.f_detach()?.f_to_kind(Kind::Double)?)?;
        Ok(Self { params, present: (0..count).collect(), values, losses, jacobian: None })
    }
}

impl Pass for AtOnce<'_> {
    fn present(&self) -> &[usize] {
        &self.present
    }

    fn losses(&self) -> &[f64] {
        &self.values
    }

    fn jacobian(&mut self, level: Level) -> Result<&Jacobian> {
        if level == Level::Representation {
            return Err(no_representation());
        }
        if self.jacobian.is_none() {
            let rows = manytask_tensor::jacobian(&self.losses, self.params, Graph::Free)?;
            self.jacobian = Some(Jacobian::new(&rows.flatten()?)?);
        }
        self.jacobian.as_ref().ok_or_else(|| broken("no Jacobian"))
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let unflatten = |vector: &Tensor| Ok(self.params.detach()?.zeros_like()?.unflatten(vector)?);
        match (&combination.shared, &self.jacobian) {
            (Shared::Direction(vector), _) => unflatten(vector),
            (Shared::Weights(weights), _) if weights.len() != self.present.len() => {
                Err(broken("as many weights as tasks are needed"))
            }
            (Shared::Weights(weights), Some(jacobian)) => unflatten(&jacobian.combine(weights)?),
            (Shared::Weights(weights), None) => {
                let weights = Tensor::f_from_slice(weights)?.f_to_kind(self.losses.kind())?;
                let weights = weights.f_to_device(self.losses.device())?;
                let trained = self.params.layout().trained();
                let inputs =
                    trained.iter().map(|slot| Ok(self.params.get(*slot)?)).collect::<Result<Vec<_>>>()?;
                let found = vjp(&[&self.losses], &[&weights], &inputs, Graph::Free)?;
                let mut gradient = self.params.detach()?;
                for (slot, leaf) in self.params.layout().slots().zip(self.params.leaves()) {
                    if !trained.contains(&slot) {
                        gradient.put(slot, leaf.f_zeros_like()?)?;
                    }
                }
                for (slot, found) in trained.iter().zip(found) {
                    gradient.put(*slot, found)?;
                }
                Ok(gradient)
            }
        }
    }

    fn take_context(&mut self) -> Cx {
        Cx::eval()
    }
}
