//! Steps that overwrite parameters and state, without a graph: in one pass over memory, or in operations on tensors.

use std::collections::BTreeMap;

use manytask_tensor::{Device, Params, Tensor, WHOLE, no_grad};

use super::operations::Operations;
use super::rule::Rule;
use super::state::another;
use super::{Active, Optimizer, OptimizerState};
use crate::{Error, Result};

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
        // Shapes and layouts first, so that nothing is half done.
        self.check_all(params, gradient, state)?;
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

    /// The step of all parameters at once, where that can be. Answers whether it was made.
    fn step_as_vectors(
        &self,
        params: &Params,
        gradient: &Params,
        state: &mut OptimizerState,
        learning_rate: f64,
        active: Active<'_>,
    ) -> Result<bool> {
        let Some(Vectors { params: vector, buffers, steps, decays }) = self.vectors(params, state, active)
        else {
            return Ok(false);
        };
        let gradient = gradient.as_vector().map_or_else(|| gradient.flatten(), Ok)?;
        let rule = Rule::new(self, learning_rate, steps + 1);
        Operations::new(&rule, &vector)?.apply(vector, &gradient, buffers, decays)?;
        state.count(params);
        Ok(true)
    }

    /// The parameters and what is remembered of them as vectors, where they are [packed](Params::packed) and have one rule.
    pub(super) fn vectors(
        &self,
        params: &Params,
        state: &OptimizerState,
        active: Active<'_>,
    ) -> Option<Vectors> {
        let (rate, decay) = self.decay();
        let decays = |role| rate != 0.0 && decay.takes(role);
        let mut trained = params
            .iter()
            .zip(&state.steps)
            .enumerate()
            .filter(|(_, ((entry, _), _))| entry.role.is_trained())
            .map(|(i, ((entry, _), steps))| (*steps, decays(entry.role), active.takes(i, entry.owner)));
        let first = trained.next()?;
        let (steps, decays, true) = first else { return None };
        if trained.any(|other| other != first) {
            return None;
        }
        let buffers = state.buffers.iter().map(|(_, buffer)| buffer.as_vector()).collect::<Option<_>>()?;
        Some(Vectors { params: params.as_vector()?, buffers, steps, decays })
    }

    /// Refuses a gradient or a state of another network or optimizer.
    pub(super) fn check_all(&self, params: &Params, gradient: &Params, state: &OptimizerState) -> Result<()> {
        if state.buffers.len() != self.buffers().len() || state.steps.len() != params.layout().len() {
            return Err(another());
        }
        let mut others = state.buffers.iter().map(|(_, buffer)| buffer).chain([gradient]);
        others.try_for_each(|other| check_same(params, other))
    }
}

/// All parameters, and what is remembered of them, in one piece each.
pub(super) struct Vectors {
    pub(super) params: Tensor,
    pub(super) buffers: Vec<Tensor>,
    /// How many steps each took part in.
    pub(super) steps: u64,
    pub(super) decays: bool,
}

impl OptimizerState {
    /// Counts a step of all that are trained.
    pub(super) fn count(&mut self, params: &Params) {
        for (steps, entry) in self.steps.iter_mut().zip(params.layout().entries()) {
            *steps += u64::from(entry.role.is_trained());
        }
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
