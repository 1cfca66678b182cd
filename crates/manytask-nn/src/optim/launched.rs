//! A step of all parameters as one launch: the gradient's norm, clipping, the step itself.
//!
//! The host sees the norm after all of it is launched. So that a gradient that is not finite changes nothing, the step is then made along
//! zero with numbers that let everything rest; that costs two small operations and no look at the device in between.

use manytask_tensor::capture::Recorder;
use manytask_tensor::{Device, Kind, Params, Tensor, no_grad, send};

use super::in_place::Vectors;
use super::operations::Operations;
use super::rule::Rule;
use super::{Active, Optimizer, OptimizerState};
use crate::Result;

/// What a step is made with.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// η.
    pub learning_rate: f64,
    /// The gradient is scaled down to this norm where it is longer, as [`clip::by_global_norm`](crate::clip::by_global_norm) does.
    pub clip_norm: Option<f64>,
    /// The parameters that take part.
    pub active: Active<'a>,
}

impl Optimizer {
    /// [`Optimizer::step`] along the clipped gradient as one launch, where that can be: on a device that launches, with parameters that are
    /// [packed](Params::packed), all active and after as many steps, the first one apart. A recorder serves one optimizer, and one
    /// choice of whether gradients are clipped.
    ///
    /// Answers the norm of the gradient before clipping. Where nothing was changed, it answers `None`: this cannot be launched, or the
    /// norm, in double precision, is not finite.
    ///
    /// # Errors
    /// When layouts, shapes or the kind of state differ, or the device fails.
    pub fn launch(
        &self,
        recorder: &Recorder,
        params: &mut Params,
        gradient: &Params,
        state: &mut OptimizerState,
        Launch { learning_rate, clip_norm, active }: Launch<'_>,
    ) -> Result<Option<f64>> {
        let _off = no_grad();
        self.check_all(params, gradient, state)?;
        if params.device() == Device::Cpu && !recorder.rehearses() {
            return Ok(None);
        }
        let Some(Vectors { params: vector, buffers, steps, decays }) = self.vectors(params, state, active)
        else {
            return Ok(None);
        };
        let rule = Rule::new(self, learning_rate, steps + 1);
        if rule.first {
            return Ok(None);
        }
        let gradient = gradient.as_vector().map_or_else(|| gradient.flatten(), Ok)?;
        let limit = [clip_norm.unwrap_or(f64::MAX)];
        let numbers = [&rule.numbers()[..], &rule.resting(), &limit].concat();
        let numbers = send(&Tensor::f_from_slice(&numbers)?, vector.device())?;
        let changed: Vec<&Tensor> = std::iter::once(&vector).chain(&buffers).collect();
        let outputs = recorder.update(&changed, &[&gradient, &numbers], |changed, inputs| {
            let ([vector, buffers @ ..], [gradient, numbers]) = (changed, inputs) else {
                return Err(super::state::another());
            };
            let Prepared { gradient, numbers, norm } = Prepared::of(gradient, numbers, clip_norm.is_some())?;
            let buffers = buffers.iter().map(Tensor::shallow_clone).collect();
            Operations::with(&rule, &numbers)?.apply(vector.shallow_clone(), &gradient, buffers, decays)?;
            Ok(vec![norm])
        })?;
        let norm = outputs.tensors.first().map(|norm| norm.f_double_value(&[])).transpose()?;
        let norm = norm.filter(|norm| norm.is_finite());
        if norm.is_some() {
            state.count(params);
        }
        Ok(norm)
    }
}

/// A gradient as the optimizer takes it, and the numbers to take it with.
struct Prepared {
    gradient: Tensor,
    numbers: Tensor,
    /// Before clipping.
    norm: Tensor,
}

impl Prepared {
    /// From the numbers of a rule, those of rest, and the largest norm.
    fn of(gradient: &Tensor, numbers: &Tensor, clips: bool) -> Result<Self> {
        let norm = gradient.f_norm_scalaropt_dtype(2.0, Kind::Double)?;
        let finite = norm.f_isfinite()?;
        let count = super::rule::NUMBERS as i64;
        let [rule, resting] = [0, count].map(|start| numbers.f_narrow(0, start, count));
        let numbers_now = rule?.f_where_self(&finite, &resting?)?.f_to_kind(gradient.kind())?;
        let mut taken = gradient.shallow_clone();
        if clips {
            let limit = numbers.f_select(0, 2 * count)?;
            let factor = limit.f_div(&norm.f_add_scalar(1e-6)?)?.f_clamp_max(1.0)?;
            taken = taken.f_mul(&factor.f_to_kind(gradient.kind())?)?;
        }
        // The first number of rest is 0.
        let zero = numbers.f_select(0, count)?.f_to_kind(gradient.kind())?;
        Ok(Self { gradient: taken.f_where_self(&finite, &zero)?, numbers: numbers_now, norm })
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Init, Layout, Role};

    use super::super::{Adam, AdamW, RmsProp, Sgd};
    use super::*;
    use crate::clip;

    fn optimizers() -> [Optimizer; 6] {
        [
            Optimizer::sgd(0.0),
            Optimizer::Sgd(Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, ..Sgd::default() }),
            Optimizer::Adam(Adam { weight_decay: 0.1, ..Adam::default() }),
            Optimizer::AdamW(AdamW::default()),
            Optimizer::RmsProp(RmsProp { momentum: 0.5, centered: true, ..RmsProp::default() }),
            Optimizer::RmsProp(RmsProp { momentum: 0.5, weight_decay: 0.1, ..RmsProp::default() }),
        ]
    }

    fn start() -> (Params, Params) {
        let mut layout = Layout::builder();
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        layout.add("w", &[3, 2], normal, Role::Weight).unwrap();
        layout.add("mean", &[2], normal, Role::Buffer).unwrap();
        layout.add("b", &[4], normal, Role::Bias).unwrap();
        let layout = layout.build();
        let [params, gradient] = [1, 2].map(|seed| layout.init(seed, Kind::Double, Device::Cpu).unwrap());
        (params.packed().unwrap(), gradient)
    }

    fn packed(optimizer: &Optimizer, params: &Params) -> OptimizerState {
        let mut state = optimizer.init(params).unwrap();
        for (_, buffer) in &mut state.buffers {
            *buffer = buffer.packed().unwrap();
        }
        state
    }

    #[test]
    fn a_launched_step_is_clipping_and_the_step() {
        for optimizer in optimizers() {
            for clip_norm in [None, Some(0.5), Some(1e6)] {
                let (start, gradient) = start();
                let (mut launched, mut stepped) = (start.packed().unwrap(), start.copy().unwrap());
                let mut states = [packed(&optimizer, &launched), optimizer.init(&stepped).unwrap()];
                let [of_launched, of_stepped] = &mut states;
                let recorder = Recorder::rehearsing();
                let mut made = 0;
                for step in 1..8 {
                    let gradient = gradient.scale(f64::from(step)).unwrap();
                    let launch = Launch { learning_rate: 0.1, clip_norm, active: Active::All };
                    let norm =
                        optimizer.launch(&recorder, &mut launched, &gradient, of_launched, launch).unwrap();
                    let clipped = clip_norm.map_or_else(
                        || gradient.share(),
                        |max| clip::by_global_norm(&gradient, max).unwrap().0,
                    );
                    match norm {
                        None => {
                            optimizer.step(&mut launched, &clipped, of_launched, 0.1, Active::All).unwrap();
                        }
                        Some(norm) => {
                            made += 1;
                            assert!((norm - clip::global_norm(&gradient).unwrap()).abs() < 1e-12);
                        }
                    }
                    optimizer.step(&mut stepped, &clipped, of_stepped, 0.1, Active::All).unwrap();
                    let gap = launched.max_difference(&stepped).unwrap();
                    assert!(gap < 1e-12, "{optimizer:?}, {clip_norm:?}, step {step}: {gap}");
                }
                assert_eq!(made, 6, "all but the first");
                assert_eq!(of_launched.steps, of_stepped.steps);
            }
        }
    }

    #[test]
    fn a_gradient_that_is_not_finite_changes_nothing() {
        for optimizer in optimizers() {
            for wrong in [f64::NAN, f64::INFINITY] {
                let (mut params, gradient) = start();
                let mut state = packed(&optimizer, &params);
                let recorder = Recorder::rehearsing();
                let launch = Launch { learning_rate: 0.1, clip_norm: Some(1.0), active: Active::All };
                optimizer.step(&mut params, &gradient, &mut state, 0.1, Active::All).unwrap();
                for _ in 0..4 {
                    let norm =
                        optimizer.launch(&recorder, &mut params, &gradient, &mut state, launch).unwrap();
                    assert!(norm.is_some());
                }
                let before = params.copy().unwrap();
                let remembered: Vec<Params> =
                    state.buffers.iter().map(|(_, buffer)| buffer.copy().unwrap()).collect();
                let steps = state.steps.clone();
                let mut bad = gradient.copy().unwrap();
                let slot = bad.layout().find("b").unwrap();
                bad.put(slot, Tensor::from_slice(&[0.0, wrong, 1.0, 2.0])).unwrap();
                let norm = optimizer.launch(&recorder, &mut params, &bad, &mut state, launch).unwrap();
                assert_eq!(norm, None);
                assert_eq!(params.max_difference(&before).unwrap(), 0.0, "{optimizer:?}");
                for ((_, now), before) in state.buffers.iter().zip(&remembered) {
                    assert_eq!(now.max_difference(before).unwrap(), 0.0, "{optimizer:?}");
                }
                assert_eq!(state.steps, steps);
            }
        }
    }
}
