//! The steps of a descent in closed form, there and back.

use std::ops::Range;

use manytask_multitask::Result;
use manytask_nn::Module;
use manytask_nn::dense::{PlainLoss, Target};
use manytask_nn::fused::{FusedNet, NotFused, Rows};
use manytask_nn::loss::Loss;
use manytask_tensor::dense::{Real, values};
use manytask_tensor::{Layout, Params, Slot};

use super::workspace::{Traced, Workspace};
use crate::descent::{Descent, Rates};
use crate::outer_gradient::OuterGradient;

/// A network, a learner and a loss that all have a fused form.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) net: FusedNet,
    pub(super) descent: Descent,
    pub(super) loss: PlainLoss,
    /// The runs of the flat vector of parameters that move, none beside another.
    pub(super) moving: Vec<Range<usize>>,
    /// How many numbers move.
    pub(super) moved: usize,
}

/// A task's support set, and what its descent goes by.
#[derive(Clone, Copy)]
pub(super) struct Support<'a, T> {
    pub(super) x: Rows<'a, T>,
    pub(super) y: Target<'a, T>,
    pub(super) outputs: usize,
    pub(super) rates: &'a [T],
}

impl Steps {
    /// The fused form.
    ///
    /// # Errors
    /// With what prevents it.
    pub(super) fn compile(
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
        Ok(Self { net, descent, loss, moving, moved })
    }

    /// The rates that are parameters, one after the other; `None` where they are not in the processor's memory.
    pub(super) fn rates_of<T: Real>(&self, params: &Params) -> Result<Option<Vec<T>>> {
        let mut all = Vec::new();
        let Rates::Each(slots) = &self.descent.rates else { return Ok(Some(all)) };
        for slot in slots {
            let leaf = params.get(*slot)?.f_detach()?.f_contiguous()?.f_reshape([-1])?;
            all.extend_from_slice(values::<T>(&leaf)?);
        }
        Ok((all.len() == self.moved).then_some(all))
    }

    /// The steps that are traced at once.
    pub(super) fn segment(&self) -> usize {
        self.descent.checkpoint_every.unwrap_or(self.descent.steps).clamp(1, self.descent.steps.max(1))
            as usize
    }

    /// So many steps from `space.now`, each traced in `space.segment`.
    pub(super) fn descend<T: Real>(
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
    pub(super) fn return_through<T: Real>(
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
