//! Steps that overwrite parameters and state, without a graph: in one pass over memory, or in operations on tensors.

use std::collections::BTreeMap;

use manytask_tensor::{Device, OpContext, Params, Tensor, WHOLE, no_grad, number_like, send};

use super::rule::Rule;
use super::state::another;
use super::{Active, Optimizer, OptimizerState};
use crate::{Error, Result};

/// Numbers as tensors without dimension, which cost a third of what number arguments do; sent to a device together.
fn numbers<const N: usize>(values: [f64; N], like: &Tensor) -> Result<[Tensor; N]> {
    let all = send(&Tensor::f_from_slice(&values)?.f_to_kind(like.kind())?, like.device())?;
    let mut found = values.map(|_| all.shallow_clone());
    for (place, number) in found.iter_mut().enumerate() {
        *number = all.f_select(0, place as i64)?;
    }
    Ok(found)
}

impl Optimizer {
    /// One step of the active parameters, in place. Buffers of the network
    /// ([`Role::Buffer`](manytask_tensor::Role::Buffer)) are left alone.
    ///
    /// Each parameter's step follows from how many it has taken part in before: the first one that a task's parameters make
    /// is as long as any first step, whenever it comes.
    ///
    /// # Errors
    /// When layouts, shapes or the kind of state differ; nothing is changed then.
    pub fn step(
        &self,
        params: &mut Params,
        gradient: &Params,
        state: &mut OptimizerState,
        learning_rate: f64,
        active: Active<'_>,
    ) -> Result<()> {
        let _off = no_grad();
        if state.buffers.len() != self.buffers().len() || state.steps.len() != params.layout().len() {
            return Err(another());
        }
        // Shapes and layouts first, so that nothing is half done.
        for other in state.buffers.iter().map(|(_, buffer)| buffer).chain([gradient]) {
            check_same(params, other)?;
        }
        // On a GPU each operation costs a launch.
        if params.device() != Device::Cpu
            && self.step_as_vectors(params, gradient, state, learning_rate, active)?
        {
            return Ok(());
        }
        // Parameters that took part in as many steps have one rule.
        let mut rules = BTreeMap::new();
        let (_, decay) = self.decay();
        for (i, (entry, leaf)) in params.iter().enumerate() {
            let moves = entry.role.is_trained() && active.takes(i, entry.owner);
            let found = gradient.leaves().get(i).zip(state.steps.get_mut(i)).filter(|_| moves);
            let Some((gradient, steps)) = found else { continue };
            *steps += 1;
            let (rule, operations) =
                rules.entry(*steps).or_insert_with(|| (Rule::new(self, learning_rate, *steps), None));
            let mut buffers: Vec<Tensor> = state
                .buffers
                .iter()
                .filter_map(|(_, buffer)| buffer.leaves().get(i).map(Tensor::shallow_clone))
                .collect();
            let mut leaf = leaf.shallow_clone();
            let decays = decay.takes(entry.role);
            if rule.in_one_pass(&mut leaf, gradient, &mut buffers, decays)? {
                continue;
            }
            let operations = match operations {
                Some(found) => found,
                none => none.insert(Operations::new(rule, &leaf)?),
            };
            operations.apply(leaf, gradient, buffers, decays)?;
        }
        Ok(())
    }

    /// The step of all parameters at once, where they and what is remembered of them are [packed](Params::packed), and have one rule.
    /// Answers whether it was made.
    fn step_as_vectors(
        &self,
        params: &Params,
        gradient: &Params,
        state: &mut OptimizerState,
        learning_rate: f64,
        active: Active<'_>,
    ) -> Result<bool> {
        let (rate, decay) = self.decay();
        let decays = |role| rate != 0.0 && decay.takes(role);
        let mut trained = params
            .iter()
            .zip(&state.steps)
            .enumerate()
            .filter(|(_, ((entry, _), _))| entry.role.is_trained())
            .map(|(i, ((entry, _), steps))| (*steps, decays(entry.role), active.takes(i, entry.owner)));
        let Some(first @ (steps, decays, true)) = trained.next() else { return Ok(false) };
        if trained.any(|other| other != first) {
            return Ok(false);
        }
        let buffers: Option<Vec<Tensor>> =
            state.buffers.iter().map(|(_, buffer)| buffer.as_vector()).collect();
        let (Some(vector), Some(buffers)) = (params.as_vector(), buffers) else { return Ok(false) };
        let gradient = gradient.as_vector().map_or_else(|| gradient.flatten(), Ok)?;
        let rule = Rule::new(self, learning_rate, steps + 1);
        Operations::new(&rule, &vector)?.apply(vector, &gradient, buffers, decays)?;
        for (steps, entry) in state.steps.iter_mut().zip(params.layout().entries()) {
            *steps += u64::from(entry.role.is_trained());
        }
        Ok(true)
    }
}

pub(super) fn check_same(ours: &Params, other: &Params) -> Result<()> {
    let same = std::sync::Arc::ptr_eq(ours.layout(), other.layout()) || ours.layout() == other.layout();
    if same && ours.tasks() == other.tasks() {
        return Ok(());
    }
    Err(Error::named_setting(
        WHOLE,
        "the gradient or the optimizer's state",
        &format!("of {} parameters", other.layout().len()),
        format!("it must be of the same network as the {} parameters", ours.layout().len()),
    ))
}

/// A step's rule with its numbers as tensors.
struct Operations<'a> {
    optimizer: &'a Optimizer,
    first: bool,
    rate: Tensor,
    decay: Option<Tensor>,
    keep: Tensor,
    take: Tensor,
    keep_square: Tensor,
    take_square: Tensor,
    correction: Tensor,
    epsilon: Tensor,
}

impl<'a> Operations<'a> {
    fn new(rule: &Rule<'a>, like: &Tensor) -> Result<Self> {
        let values = [
            rule.rate,
            rule.decay.unwrap_or_default(),
            rule.keep,
            rule.take,
            rule.keep_square,
            rule.take_square,
            rule.correction,
            rule.epsilon,
        ];
        let [rate, decay, keep, take, keep_square, take_square, correction, epsilon] = numbers(values, like)?;
        let decay = rule.decay.map(|_| decay);
        let (optimizer, first) = (rule.optimizer, rule.first);
        Ok(Self { optimizer, first, rate, decay, keep, take, keep_square, take_square, correction, epsilon })
    }

    fn apply(
        &self,
        mut leaf: Tensor,
        gradient: &Tensor,
        mut buffers: Vec<Tensor>,
        decays: bool,
    ) -> Result<()> {
        let decay = self.decay.as_ref().filter(|_| decays);
        let mut gradient = gradient.shallow_clone();
        match (self.optimizer, decay) {
            (_, None) => {}
            (Optimizer::AdamW(_), Some(factor)) => drop(leaf.f_mul_(factor)?),
            (_, Some(rate)) => {
                gradient = gradient.f_addcmul(&leaf, rate).op("weight decay", &[&gradient, &leaf])?;
            }
        }
        match (self.optimizer, buffers.as_mut_slice()) {
            (Optimizer::Sgd(_), []) => drop(leaf.f_addcmul_(&gradient, &self.rate)?),
            (Optimizer::Sgd(sgd), [momentum]) => {
                if self.first {
                    // As PyTorch: the first momentum is the gradient, undamped.
                    momentum.f_copy_(&gradient)?;
                } else {
                    let _ = momentum.f_mul_(&self.keep)?.f_addcmul_(&gradient, &self.take)?;
                }
                if sgd.nesterov {
                    let ahead = gradient.f_addcmul(momentum, &self.keep)?;
                    let _ = leaf.f_addcmul_(&ahead, &self.rate)?;
                } else {
                    let _ = leaf.f_addcmul_(momentum, &self.rate)?;
                }
            }
            (Optimizer::Adam(_) | Optimizer::AdamW(_), [mean, square]) => {
                let _ = mean.f_mul_(&self.keep)?.f_addcmul_(&gradient, &self.take)?;
                self.square(square, &gradient)?;
                let size = square.f_sqrt()?.f_div_(&self.correction)?.f_add_(&self.epsilon)?;
                let _ = leaf.f_addcmul_(&mean.f_div(&size)?, &self.rate)?;
            }
            (Optimizer::RmsProp(rms), buffers) => self.rms_prop(rms, &mut leaf, &gradient, buffers)?,
            _ => return Err(another()),
        }
        Ok(())
    }

    /// `v ← β₂ v + (1 − β₂) g²`.
    fn square(&self, square: &mut Tensor, gradient: &Tensor) -> Result<()> {
        let scaled = gradient.f_mul(&self.take_square)?;
        let _ = square.f_mul_(&self.keep_square)?.f_addcmul_(&scaled, gradient)?;
        Ok(())
    }

    fn rms_prop(
        &self,
        rms: &super::RmsProp,
        leaf: &mut Tensor,
        gradient: &Tensor,
        buffers: &mut [Tensor],
    ) -> Result<()> {
        let Some((square, rest)) = buffers.split_first_mut() else { return Err(another()) };
        self.square(square, gradient)?;
        let (mean, momentum) = match rest {
            [] => (None, None),
            [one] if rms.centered => (Some(one), None),
            [one] => (None, Some(one)),
            [mean, momentum] => (Some(mean), Some(momentum)),
            _ => return Err(another()),
        };
        let spread = match mean {
            None => square.shallow_clone(),
            Some(mean) => {
                let _ = mean.f_mul_(&self.keep_square)?.f_addcmul_(gradient, &self.take_square)?;
                square.f_sub(&mean.f_square()?)?
            }
        };
        let step = gradient.f_div(&spread.f_sqrt()?.f_add_(&self.epsilon)?)?;
        match momentum {
            None => drop(leaf.f_addcmul_(&step, &self.rate)?),
            Some(momentum) => {
                let keep = number_like(rms.momentum, &step)?;
                let _ = momentum.f_mul_(&keep)?.f_add_(&step)?;
                let _ = leaf.f_addcmul_(momentum, &self.rate)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Init, Kind, Layout, Owner, Role};

    use super::super::{Adam, AdamW, Decay, RmsProp, Sgd};
    use super::*;

    #[test]
    fn a_step_of_all_at_once_is_the_step_of_each() {
        let mut layout = Layout::builder();
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        layout.add("w", &[3, 2], normal, Role::Weight).unwrap();
        layout.add("mean", &[2], normal, Role::Buffer).unwrap();
        layout.add_of(Owner::Task(0), "own", &[4], normal, Role::Weight).unwrap();
        let layout = layout.build();
        let start = layout.init(1, Kind::Double, Device::Cpu).unwrap();
        let gradient = layout.init(2, Kind::Double, Device::Cpu).unwrap();
        for optimizer in [
            Optimizer::sgd(0.0),
            Optimizer::Sgd(Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..Sgd::default() }),
            Optimizer::Adam(Adam { weight_decay: 0.1, ..Adam::default() }),
            Optimizer::AdamW(AdamW::default()),
            Optimizer::RmsProp(RmsProp { momentum: 0.5, centered: true, ..RmsProp::default() }),
        ] {
            let (mut each, all) = (start.copy().unwrap(), start.packed().unwrap());
            let mut state_of_each = optimizer.init(&each).unwrap();
            let mut state_of_all = optimizer.init(&all).unwrap();
            for (_, buffer) in &mut state_of_all.buffers {
                *buffer = buffer.packed().unwrap();
            }
            for _ in 0..3 {
                optimizer.step(&mut each, &gradient, &mut state_of_each, 0.1, Active::All).unwrap();
                assert!(
                    optimizer.step_as_vectors(&all, &gradient, &mut state_of_all, 0.1, Active::All).unwrap()
                );
            }
            assert!(all.max_difference(&each).unwrap() < 1e-12, "{optimizer:?}");
            assert_eq!(state_of_all.steps, state_of_each.steps);
            let resting = Active::Tasks { present: &[], frozen: &[] };
            assert!(!optimizer.step_as_vectors(&all, &gradient, &mut state_of_all, 0.1, resting).unwrap());
        }
        let some = Optimizer::Adam(Adam { weight_decay: 0.1, decay: Decay::Weights, ..Adam::default() });
        assert!(
            some.step_as_vectors(&start, &gradient, &mut some.init(&start).unwrap(), 0.1, Active::All)
                .is_ok_and(|made| !made)
        );
    }
}
