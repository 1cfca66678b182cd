//! Inner loops of perceptrons and convolutional blocks by gradient descent, with every derivative in closed form.
//!
//! With `φₖ₊₁ = φₖ − α ∇L(φₖ)` the meta-gradient is `λ₀` of the recursion `λ_K = ∇L_query(φ_K)`,
//! `λₖ = λₖ₊₁ − H(φₖ) (α ∘ λₖ₊₁)`: a Hessian product for each step, and no graph. Where α has a rate for each number, its
//! gradient is `−Σₖ ∇L(φₖ) ∘ λₖ₊₁`. A task at a time stays in the cache, and tasks are shared out among threads.

use std::any::Any;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use manytask_data::Episodes;
use manytask_multitask::{Error, Result};
use manytask_nn::Module;
use manytask_nn::dense::{PlainLoss, Target};
use manytask_nn::fused::{FusedNet, NetTangents, NetTrace, NotFused, Rows, sides};
use manytask_nn::loss::Loss;
use manytask_tensor::dense::{Real, uninit_with, values};
use manytask_tensor::{Kind, Layout, Params, Slot, Tensor, threads};

use crate::outer::OuterGradient;

/// Plain gradient descent on the mean support loss: what a learner answers that does nothing else.
#[derive(Debug, Clone, PartialEq)]
pub struct Descent {
    /// K.
    pub steps: u32,
    /// α.
    pub rates: Rates,
    /// What moves; the rest stays as it is.
    pub slots: Vec<Slot>,
    /// How the outer gradient sees the inner gradients.
    pub outer_gradient: OuterGradient,
    /// After how many steps the parameters are kept for the way back, where what lies between is computed again; absent:
    /// everything is kept.
    pub checkpoint_every: Option<u32>,
}

/// The rates of a descent.
#[derive(Debug, Clone, PartialEq)]
pub enum Rates {
    /// One for all, and no parameter.
    One(f64),
    /// Parameters: for each slot that moves one of the same shape, in the same order.
    Each(Vec<Slot>),
    /// Parameters of one number: for each step one of each slot that moves, in the same order; steps beyond have the last one's.
    EachStep(Vec<Vec<Slot>>),
}

/// A network, a learner and a loss that all have a fused form.
#[derive(Debug)]
pub(crate) struct Analytic {
    net: FusedNet,
    descent: Descent,
    loss: PlainLoss,
    /// The runs of the flat vector of parameters that move, none beside another.
    moving: Vec<Range<usize>>,
    /// How many numbers move.
    moved: usize,
    spaces: Spaces,
}

/// Memory of passes that are over, for the next ones: taking it anew would cost as much as a small pass.
#[derive(Debug, Default)]
struct Spaces(Mutex<Vec<Box<dyn Any + Send>>>);

impl Spaces {
    fn take<T: Real>(&self, size: usize) -> Workspace<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let known = known.and_then(|space| space.downcast::<Workspace<T>>().ok());
        known.map_or_else(|| Workspace::new(size), |space| *space)
    }

    fn put<T: Real>(&self, space: Workspace<T>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(space));
    }
}

/// The query loss of each task, and the meta-gradient of each, `[T, P]`.
pub(crate) struct AnalyticResult {
    pub(crate) losses: Vec<f64>,
    pub(crate) rows: Tensor,
}

impl Analytic {
    /// The fused form.
    ///
    /// # Errors
    /// With what prevents it.
    pub(crate) fn compile(
        network: &dyn Module,
        layout: &Layout,
        descent: Option<Descent>,
        loss: &Loss,
    ) -> std::result::Result<Self, NotFused> {
        // Rates, which are the learner's, stand behind the network's parameters.
        let is_rate = |slot: &Slot| matches!(&descent, Some(Descent { rates: Rates::Each(rates), .. }) if rates.contains(slot));
        let net = FusedNet::compile(network, layout)?;
        if !net.slots().eq(layout.trained().into_iter().filter(|slot| !is_rate(slot))) {
            return Err(NotFused::because("a learner with parameters of its own beside learned rates"));
        }
        let descent =
            descent.ok_or(const { NotFused::because("a learner that is not plain gradient descent") })?;
        let loss = PlainLoss::of(loss).ok_or(const {
            NotFused::because("a loss that is not plain mse, cross_entropy or binary_cross_entropy")
        })?;
        let (mut moving, mut end) = (Vec::<Range<usize>>::new(), 0);
        let sizes = net.slots().map(|slot| {
            let shape = layout.entry(slot).map_or(&[][..], |entry| &entry.shape);
            (slot, shape.iter().product::<i64>() as usize)
        });
        for (slot, size) in sizes {
            let run = end..end + size;
            end = run.end;
            match moving.last_mut() {
                _ if !descent.slots.contains(&slot) => {}
                Some(last) if last.end == run.start => last.end = run.end,
                _ => moving.push(run),
            }
        }
        let moved = moving.iter().map(Range::len).sum();
        Ok(Self { net, descent, loss, moving, moved, spaces: Spaces::default() })
    }

    /// All tasks' losses and meta-gradients; `None` where labels are missing or out of range, or numbers are not in the
    /// processor's memory: then the graph has to say what they are.
    pub(crate) fn run(&self, params: &Params, episodes: &Episodes) -> Result<Option<AnalyticResult>> {
        match params.kind() {
            Kind::Float => self.run_in::<f32>(params, episodes),
            Kind::Double => self.run_in::<f64>(params, episodes),
            _ => Ok(None),
        }
    }

    fn run_in<T: Real>(&self, params: &Params, episodes: &Episodes) -> Result<Option<AnalyticResult>> {
        let Episodes { support_x, support_y, query_x, query_y } = episodes;
        let tasks = support_x.size().first().copied().unwrap_or_default() as usize;
        if [support_x, query_x].iter().any(|x| x.kind() != T::KIND || x.size().len() < 3) || tasks == 0 {
            return Ok(None);
        }
        let Some(flat) = self.net.flat(params)? else { return Ok(None) };
        let Some(rates) = self.rates_of::<T>(params)? else { return Ok(None) };
        let inputs = [support_x.f_contiguous()?, query_x.f_contiguous()?];
        let [support, query] = [&inputs[0], &inputs[1]].map(|x| Pictures::<T>::of(x, tasks, &self.net));
        let (Some(support), Some(query)) = (support?, query?) else { return Ok(None) };
        let labels = (Labels::<T>::of(support_y)?, Labels::<T>::of(query_y)?);
        let (Some(support_y), Some(query_y)) = labels else { return Ok(None) };
        let work = Work {
            analytic: self,
            start: values(&flat)?,
            rates: &rates,
            support,
            query,
            labels: (&support_y, &query_y),
            tasks,
        };
        if !work.fits() {
            return Ok(None);
        }
        let mut losses = vec![0.0; tasks];
        let shape = [tasks as i64, params.layout().trained_count()];
        let rows = uninit_with::<T, Error>(&shape, |rows| work.all(&mut losses, rows))?;
        Ok(Some(AnalyticResult { losses, rows }))
    }
}

impl Analytic {
    /// The rates that are parameters, one after the other; `None` where they are not in the processor's memory.
    fn rates_of<T: Real>(&self, params: &Params) -> Result<Option<Vec<T>>> {
        let mut all = Vec::new();
        let Rates::Each(slots) = &self.descent.rates else { return Ok(Some(all)) };
        for slot in slots {
            let leaf = params.get(*slot)?.f_detach()?.f_contiguous()?.f_reshape([-1])?;
            all.extend_from_slice(values::<T>(&leaf)?);
        }
        Ok((all.len() == self.moved).then_some(all))
    }
}

/// The labels of all tasks.
enum Labels<T> {
    Values(Vec<T>),
    Classes(Vec<i64>),
}

impl<T: Real> Labels<T> {
    fn of(tensor: &Tensor) -> Result<Option<Self>> {
        let flat = tensor.f_contiguous()?.f_reshape([-1])?;
        Ok(match flat.kind() {
            Kind::Int64 => Some(Self::Classes(Vec::try_from(&flat)?)),
            kind if kind == T::KIND => Some(Self::Values(values::<T>(&flat)?.to_vec())),
            _ => None,
        })
    }

    /// The labels of one of so many tasks.
    fn task(&self, task: usize, tasks: usize) -> Target<'_, T> {
        fn part<N>(all: &[N], task: usize, tasks: usize) -> &[N] {
            let each = all.len() / tasks;
            all.get(task * each..(task + 1) * each).unwrap_or_default()
        }
        match self {
            Self::Values(all) => Target::Values(part(all, task, tasks)),
            Self::Classes(all) => Target::Classes(part(all, task, tasks)),
        }
    }
}

/// The inputs of all tasks.
struct Pictures<'a, T> {
    values: &'a [T],
    /// Rows of one task.
    count: usize,
    sides: (usize, usize),
    /// The numbers that the network gives for a row.
    outputs: usize,
}

impl<'a, T: Real> Pictures<'a, T> {
    /// `[T, N, …]`; `None` where the network takes no such rows.
    fn of(tensor: &'a Tensor, tasks: usize, net: &FusedNet) -> Result<Option<Self>> {
        let (values, shape) = (values::<T>(tensor)?, tensor.size());
        let count = shape.get(1).copied().unwrap_or_default().max(0) as usize;
        let sides = sides(shape.get(2..).unwrap_or_default());
        let outputs = net.outputs(values.len() / (tasks * count).max(1), sides);
        Ok(outputs.filter(|_| count > 0).map(|outputs| Self { values, count, sides, outputs }))
    }

    fn task(&self, task: usize, tasks: usize) -> Rows<'a, T> {
        let each = self.values.len() / tasks.max(1);
        let values = self.values.get(task * each..(task + 1) * each).unwrap_or_default();
        Rows { values, count: self.count, sides: self.sides }
    }
}

/// A meta-batch in memory: inputs, and labels.
struct Work<'a, T> {
    analytic: &'a Analytic,
    start: &'a [T],
    /// Of each number that moves; none where all have one.
    rates: &'a [T],
    support: Pictures<'a, T>,
    query: Pictures<'a, T>,
    labels: (&'a Labels<T>, &'a Labels<T>),
    tasks: usize,
}

/// Memory that a thread uses again for each of its tasks.
struct Workspace<T> {
    /// The parameters on their way.
    now: Vec<T>,
    /// The parameters at the start of each segment.
    kept: Vec<T>,
    /// The steps of a segment.
    segment: Vec<Traced<T>>,
    query: NetTrace<T>,
    /// A gradient, or a Hessian product.
    change: Vec<T>,
    /// Zero wherever nothing moves.
    direction: Vec<T>,
    along: NetTangents<T>,
}

impl<T: Real> Workspace<T> {
    fn new(size: usize) -> Self {
        Self {
            now: vec![T::zero(); size],
            kept: Vec::new(),
            segment: Vec::new(),
            query: NetTrace::default(),
            change: vec![T::zero(); size],
            direction: vec![T::zero(); size],
            along: NetTangents::default(),
        }
    }
}

/// A step of the descent.
struct Traced<T> {
    /// The parameters before it.
    before: Vec<T>,
    /// The pass there.
    trace: NetTrace<T>,
    /// Its gradient, where the rates need it.
    gradient: Vec<T>,
}

impl<T> Default for Traced<T>
where
    NetTrace<T>: Default,
{
    fn default() -> Self {
        Self { before: Vec::new(), trace: NetTrace::default(), gradient: Vec::new() }
    }
}

/// A task's support set, and what its descent goes by.
#[derive(Clone, Copy)]
struct Support<'a, T> {
    x: Rows<'a, T>,
    y: Target<'a, T>,
    outputs: usize,
    rates: &'a [T],
}

impl<T: Real> Work<'_, T> {
    /// Whether shapes and labels are what the fused passes take.
    fn fits(&self) -> bool {
        let loss = self.analytic.loss;
        let all = |x: &Pictures<'_, T>, labels: &Labels<T>| {
            (0..self.tasks).all(|task| loss.fits(labels.task(task, self.tasks), x.count, x.outputs))
        };
        all(&self.support, self.labels.0) && all(&self.query, self.labels.1)
    }

    /// Each thread takes an equal run of tasks.
    fn all(&self, losses: &mut [f64], rows: &mut [T]) -> Result<()> {
        let size = self.start.len();
        let width = rows.len() / self.tasks.max(1);
        let each = self.tasks.div_ceil(threads::get()).max(1);
        // Where there are fewer tasks than threads, the rest help with the query set.
        let spare = (threads::get() / self.tasks.max(1)).max(1);
        let run = |(number, (losses, rows)): (usize, (&mut [f64], &mut [T]))| -> Result<()> {
            let mut space = self.analytic.spaces.take(size);
            for (within, (loss, row)) in losses.iter_mut().zip(rows.chunks_exact_mut(width)).enumerate() {
                *loss = self.task(number * each + within, row, &mut space, spare)?;
            }
            self.analytic.spaces.put(space);
            Ok(())
        };
        if each >= self.tasks {
            return run((0, (losses, rows)));
        }
        let mut runs = losses.chunks_mut(each).zip(rows.chunks_mut(each * width)).enumerate();
        let Some(first) = runs.next() else { return Ok(()) };
        // This thread takes a run itself: a small meta-batch is done in the time in which a pool's thread wakes up.
        let failed = Mutex::new(None);
        let keep = |done: Result<()>| {
            if let Err(error) = done {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        };
        rayon::in_place_scope(|scope| {
            for other in runs {
                scope.spawn(|_| keep(run(other)));
            }
            keep(run(first));
        });
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// One task: its query loss, and its meta-gradient written over `row`.
    fn task(&self, task: usize, row: &mut [T], space: &mut Workspace<T>, threads: usize) -> Result<f64> {
        let Analytic { net, descent, loss, .. } = self.analytic;
        let support = Support {
            x: self.support.task(task, self.tasks),
            y: self.labels.0.task(task, self.tasks),
            outputs: self.support.outputs,
            rates: self.rates,
        };
        let segment = self.analytic.segment();
        space.now.copy_from_slice(self.start);
        space.kept.clear();
        // At once: growing by doubling would leave what it outgrew behind.
        space.kept.reserve((descent.steps as usize).div_ceil(segment) * self.start.len());
        let mut left = descent.steps as usize;
        while left > 0 {
            space.kept.extend_from_slice(&space.now);
            self.analytic.descend(support, left.min(segment), space)?;
            left -= left.min(segment);
        }
        let query = self.query.task(task, self.tasks);
        net.forward(&space.now, query, &mut space.query, threads)?;
        let labels = self.labels.1.task(task, self.tasks);
        let value = net.loss(*loss, labels, self.query.outputs, &mut space.query);
        let (row, of_rates) = row.split_at_mut(self.start.len());
        if descent.outer_gradient == OuterGradient::Difference {
            row.iter_mut()
                .zip(self.start)
                .zip(&space.now)
                .for_each(|((row, start), now)| *row = *start - *now);
            return Ok(value);
        }
        net.backward(&space.now, query, &mut space.query, row, threads)?;
        if descent.outer_gradient == OuterGradient::SecondOrder || !self.rates.is_empty() {
            of_rates.fill(T::zero());
            self.analytic.return_through(support, row, of_rates, space)?;
        }
        Ok(value)
    }
}

impl Analytic {
    /// The steps that are traced at once.
    fn segment(&self) -> usize {
        self.descent.checkpoint_every.unwrap_or(self.descent.steps).clamp(1, self.descent.steps.max(1))
            as usize
    }

    /// So many steps from `space.now`, each traced in `space.segment`.
    fn descend<T: Real>(
        &self,
        support: Support<'_, T>,
        steps: usize,
        space: &mut Workspace<T>,
    ) -> Result<()> {
        let rate = self.rate::<T>();
        let Workspace { now, segment, change, .. } = space;
        segment.resize_with(segment.len().max(steps), Traced::default);
        for Traced { before, trace, gradient } in segment.iter_mut().take(steps) {
            before.clear();
            before.extend_from_slice(now);
            self.net.forward(before, support.x, trace, 1)?;
            self.net.loss(self.loss, support.y, support.outputs, trace);
            self.net.backward(before, support.x, trace, change, 1)?;
            let mut rates = support.rates;
            if !rates.is_empty() {
                gradient.clone_from(change);
            }
            for run in &self.moving {
                let (Some(now), Some(change)) = (now.get_mut(run.clone()), change.get(run.clone())) else {
                    break;
                };
                let Some((own, rest)) = rates.split_at_checked(run.len()) else {
                    now.iter_mut().zip(change).for_each(|(now, change)| *now -= rate * *change);
                    continue;
                };
                rates = rest;
                now.iter_mut().zip(change).zip(own).for_each(|((now, change), rate)| *now -= *rate * *change);
            }
        }
        Ok(())
    }

    /// The rate of all numbers; 1 where each has its own.
    fn rate<T: Real>(&self) -> T {
        match self.descent.rates {
            Rates::One(rate) => T::of(rate),
            Rates::Each(_) | Rates::EachStep(_) => T::one(),
        }
    }

    /// The cotangent of the adapted parameters becomes that of those they started from, and that of the rates is added to
    /// `of_rates`. `space.segment` holds the last segment.
    fn return_through<T: Real>(
        &self,
        support: Support<'_, T>,
        cotangent: &mut [T],
        of_rates: &mut [T],
        space: &mut Workspace<T>,
    ) -> Result<()> {
        let (rate, each) = (self.rate::<T>(), self.segment());
        let steps = self.descent.steps as usize;
        let segments = steps.div_ceil(each);
        for number in (0..segments).rev() {
            let length = each.min(steps - number * each);
            if number + 1 < segments {
                let Workspace { now, kept, .. } = space;
                if let Some(kept) = kept.chunks_exact(now.len()).nth(number) {
                    now.copy_from_slice(kept);
                }
                self.descend(support, length, space)?;
            }
            let Workspace { segment, change, direction, along, .. } = space;
            for Traced { before, trace, gradient } in segment.iter().take(length).rev() {
                let mut start = 0;
                for run in &self.moving {
                    let own = start..start + run.len();
                    start = own.end;
                    let (Some(to), Some(from)) = (direction.get_mut(run.clone()), cotangent.get(run.clone()))
                    else {
                        continue;
                    };
                    to.copy_from_slice(from);
                    let (Some(rates), Some(sum), Some(gradient)) =
                        (support.rates.get(own.clone()), of_rates.get_mut(own), gradient.get(run.clone()))
                    else {
                        continue;
                    };
                    sum.iter_mut().zip(gradient).zip(from).for_each(|((sum, g), l)| *sum -= *g * *l);
                    to.iter_mut().zip(rates).for_each(|(to, rate)| *to *= *rate);
                }
                if self.descent.outer_gradient != OuterGradient::SecondOrder {
                    continue;
                }
                let of = (self.loss, support.y, support.outputs);
                self.net.hessian_product(before, support.x, of, trace, direction, along, change)?;
                cotangent.iter_mut().zip(change.iter()).for_each(|(c, h)| *c -= rate * *h);
            }
        }
        Ok(())
    }
}
