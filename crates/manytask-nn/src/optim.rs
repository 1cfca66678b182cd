//! Optimizers as functions of gradient, state and parameters.
//!
//! Their state is [`Params`], so it can be saved, and differentiated. With a leading task dimension each task has its own.

mod differentiable;
mod in_place;
mod launched;
mod operations;
mod rule;
mod state;

use manytask_tensor::{Device, Owner, Params, Role, Slot};
use serde::{Deserialize, Serialize};

pub use self::launched::Launch;
pub use self::state::OptimizerState;
use crate::{Error, Result};

/// Which parameters take part in a step. The others rest: they keep their values, what is remembered of them and their number
/// of steps, and do not decay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Active<'a> {
    /// All that are trained.
    All,
    /// Those that all tasks share, and those of some tasks, without the frozen ones.
    Tasks {
        /// The tasks, in ascending order.
        present: &'a [usize],
        /// What rests whatever tasks there are, in the order of the layout.
        frozen: &'a [Slot],
    },
}

impl Active<'_> {
    /// Whether the entry at a place of the layout takes part.
    fn takes(self, place: usize, owner: Owner) -> bool {
        let Self::Tasks { present, frozen } = self else { return true };
        let rests = frozen.binary_search_by_key(&place, |slot| slot.index()).is_ok();
        !rests
            && match owner {
                Owner::Shared => true,
                Owner::Task(task) => present.binary_search(&task).is_ok(),
            }
    }
}

/// Turns gradients into steps, as PyTorch's optimizers of the same names do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam (Kingma & Ba 2015), with L2 regularisation if weights decay.
    Adam(Adam),
    /// Adam with decoupled weight decay (Loshchilov & Hutter 2019).
    #[serde(rename = "adamw")]
    AdamW(AdamW),
    /// RMSprop (Tieleman & Hinton 2012).
    #[serde(rename = "rmsprop")]
    RmsProp(RmsProp),
}

/// `b ← μ b + (1 − τ) g`, `θ ← θ − η b`; with Nesterov's momentum `θ ← θ − η (g + μ b)`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// μ in `[0, 1)`.
    pub momentum: f64,
    /// τ in `[0, 1]`, of the momentum.
    pub dampening: f64,
    /// Whether the step looks ahead along the momentum.
    pub nesterov: bool,
    /// λ: `g ← g + λ θ`.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decay: Decay,
}

/// `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`, `θ ← θ − η m̂ / (√v̂ + ε)` with the bias-corrected
/// `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// β₁ in `[0, 1)`.
    pub beta1: f64,
    /// β₂ in `[0, 1)`.
    pub beta2: f64,
    /// ε, above 0.
    pub epsilon: f64,
    /// λ: `g ← g + λ θ`.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decay: Decay,
}

/// [`Adam`] after `θ ← θ − η λ θ`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// β₁ in `[0, 1)`.
    pub beta1: f64,
    /// β₂ in `[0, 1)`.
    pub beta2: f64,
    /// ε, above 0.
    pub epsilon: f64,
    /// λ.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decay: Decay,
}

/// `v ← α v + (1 − α) g²`, `θ ← θ − η g / (√v + ε)`; centred: `√(v − a²)` with the running mean a of g; with momentum
/// `b ← μ b + g / (√v + ε)`, `θ ← θ − η b`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// α in `[0, 1)`.
    pub alpha: f64,
    /// ε, above 0.
    pub epsilon: f64,
    /// μ in `[0, 1)`.
    pub momentum: f64,
    /// Whether the squared mean is taken off.
    pub centered: bool,
    /// λ: `g ← g + λ θ`.
    pub weight_decay: f64,
    /// Which parameters decay.
    pub decay: Decay,
}

/// Which parameters a weight decay is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// All that are trained, as PyTorch does it.
    #[default]
    All,
    /// Matrices, kernels and embeddings: no biases, and no scales of normalisation layers.
    Weights,
}

impl Default for Adam {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0, decay: Decay::All }
    }
}

impl Default for AdamW {
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, decay: Decay::All }
    }
}

impl Default for RmsProp {
    fn default() -> Self {
        Self {
            alpha: 0.99,
            epsilon: 1e-8,
            momentum: 0.0,
            centered: false,
            weight_decay: 0.0,
            decay: Decay::All,
        }
    }
}

impl Decay {
    pub(crate) fn takes(self, role: Role) -> bool {
        match self {
            Self::All => role.is_trained(),
            Self::Weights => matches!(role, Role::Weight | Role::Embedding),
        }
    }
}

impl Optimizer {
    /// Plain or with momentum.
    pub fn sgd(momentum: f64) -> Self {
        Self::Sgd(Sgd { momentum, ..Sgd::default() })
    }

    /// With PyTorch's defaults.
    pub fn adam() -> Self {
        Self::Adam(Adam::default())
    }

    /// Its name in a configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(_) => "adam",
            Self::AdamW(_) => "adamw",
            Self::RmsProp(_) => "rmsprop",
        }
    }

    /// Refuses settings out of range.
    ///
    /// # Errors
    /// With the setting and its range.
    pub fn check(&self) -> Result<()> {
        let share = |what: &str, value: f64| {
            if (0.0..1.0).contains(&value) {
                Ok(())
            } else {
                Err(Error::setting(what, &value, "it must be in [0, 1)"))
            }
        };
        let positive = |what: &str, value: f64| {
            let good = value.is_finite() && value > 0.0;
            if good { Ok(()) } else { Err(Error::setting(what, &value, "it must be above 0")) }
        };
        let (decay, _) = self.decay();
        if !(decay.is_finite() && decay >= 0.0) {
            return Err(Error::setting("weight_decay", &decay, "it must be at least 0"));
        }
        match self {
            Self::Sgd(Sgd { momentum, dampening, nesterov, .. }) => {
                share("momentum", *momentum)?;
                if !(0.0..=1.0).contains(dampening) {
                    return Err(Error::setting("dampening", dampening, "it must be in [0, 1]"));
                }
                if *momentum == 0.0 && *dampening != 0.0 {
                    return Err(Error::setting(
                        "dampening",
                        dampening,
                        "it has no effect without momentum; set `momentum`, or leave it out",
                    ));
                }
                if *nesterov && (*momentum == 0.0 || *dampening != 0.0) {
                    return Err(Error::setting(
                        "nesterov",
                        "true",
                        "it needs a momentum above 0 and no dampening",
                    ));
                }
                Ok(())
            }
            Self::Adam(Adam { beta1, beta2, epsilon, .. })
            | Self::AdamW(AdamW { beta1, beta2, epsilon, .. }) => {
                share("beta1", *beta1)?;
                share("beta2", *beta2)?;
                positive("epsilon", *epsilon)
            }
            Self::RmsProp(RmsProp { alpha, epsilon, momentum, .. }) => {
                share("alpha", *alpha)?;
                share("momentum", *momentum)?;
                positive("epsilon", *epsilon)
            }
        }
    }

    pub(crate) fn decay(&self) -> (f64, Decay) {
        match self {
            Self::Sgd(Sgd { weight_decay, decay, .. })
            | Self::Adam(Adam { weight_decay, decay, .. })
            | Self::AdamW(AdamW { weight_decay, decay, .. })
            | Self::RmsProp(RmsProp { weight_decay, decay, .. }) => (*weight_decay, *decay),
        }
    }

    /// The names of what it remembers for each parameter.
    fn buffers(&self) -> Vec<&'static str> {
        match self {
            Self::Sgd(sgd) if sgd.momentum == 0.0 => vec![],
            Self::Sgd(_) => vec!["momentum"],
            Self::Adam(_) | Self::AdamW(_) => vec!["mean", "square"],
            Self::RmsProp(rms) => {
                let mut names = vec!["square"];
                names.extend(rms.centered.then_some("mean"));
                names.extend((rms.momentum > 0.0).then_some("momentum"));
                names
            }
        }
    }

    /// The state before the first step.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn init(&self, params: &Params) -> Result<OptimizerState> {
        let zeros = || {
            let zeros = params.detach()?.zeros_like()?;
            Ok::<_, Error>(if params.device() == Device::Cpu { zeros } else { zeros.packed()? })
        };
        let buffers = self.buffers().into_iter().map(|name| Ok((name.to_owned(), zeros()?)));
        Ok(OptimizerState { steps: vec![0; params.layout().len()], buffers: buffers.collect::<Result<_>>()? })
    }
}
