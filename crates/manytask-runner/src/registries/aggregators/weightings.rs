//! Methods that weigh losses: the objective is a weighted sum, for shared parameters and heads alike.

use std::collections::BTreeMap;

use manytask_multitask::aggregators::{
    AutoLambda, Cosmos, Dwa, EqualWeights, ExcessMtl, Famo, FixedWeights, GeometricMean, GradNorm, Igb,
    ImtlL, Lbtw, Pbi, ReLoBRaLo, Rlw, ScaleInvariant, SoftAdapt, Stch, Tchebycheff, UncertaintyWeighting,
    UwSo,
};

use super::{Any, method};
use crate::registry::Registry;

pub(super) fn add(registry: &mut Registry<Any>) {
    by_values(registry);
    by_preference(registry);
    learned(registry);
}

/// By the values of the losses.
fn by_values(registry: &mut Registry<Any>) {
    method::<EqualWeights>(
        registry,
        "equal_weights",
        "the mean of the losses",
        "The mean over the tasks that are present, 1/K Σ l.",
    );
    registry.add(
        "fixed_weights",
        "a weighted sum of the losses",
        "Σ w l with a weight for each task by name.",
        &FixedWeights { weights: BTreeMap::from([("task".to_owned(), 1.0)]) },
        |settings: FixedWeights| Box::new(settings) as Any,
    );
    method::<GeometricMean>(
        registry,
        "geometric_mean",
        "the geometric mean of the losses",
        "Chennupati et al. 2019 (GLS), arXiv:1904.08492: (Π l)^(1/K), computed with logarithms. Losses must be above 0.",
    );
    method::<ScaleInvariant>(
        registry,
        "scale_invariant",
        "the sum of the losses' logarithms",
        "The baseline SI of Navon et al. 2022, arXiv:2202.01017: Σ log l. Losses must be above 0.",
    );
    method::<UwSo>(
        registry,
        "uw_so",
        "the softmax of inverse losses",
        "Kirchdorfer et al. 2024, arXiv:2408.07985: w = softmax(1 / (T l)), what uncertainty weighting would learn, with a temperature \
         that is to be tuned. Losses must be above 0.",
    );
    method::<Dwa>(
        registry,
        "dwa",
        "losses that fall least from epoch to epoch count more",
        "Liu et al. 2019 (dynamic weight average), arXiv:1803.10704: w = K softmax(r / T) with the ratio r of a task's mean losses in \
         the last two epochs; 1 until then.",
    );
    method::<SoftAdapt>(
        registry,
        "softadapt",
        "losses that fall least from window to window count more",
        "Heydari et al. 2019, arXiv:1912.12355: w = K softmax(β s) with the change s of a task's mean loss between two windows of steps; \
         `rate` = normalised divides the changes by the sum of their sizes.",
    );
    method::<Lbtw>(
        registry,
        "lbtw",
        "tasks that have learned less of the epoch count more",
        "Liu, Liang & Gitter 2019 (loss-balanced task weighting): w = (l / l0)^α with the loss l0 of the task's first batch of the epoch.",
    );
    method::<ReLoBRaLo>(
        registry,
        "relobralo",
        "losses that have fallen least count more, with a memory that is forgotten now and then",
        "Bischof & Kraus 2021, arXiv:2110.09813: w = α (ρ w + (1 - ρ) b(first)) + (1 - α) b(last), b(t') = K softmax(l / (T l(t'))) against the losses of the \
         first and of the last step; ρ is 1 with the probability `lookback`. Losses must be above 0.",
    );
    method::<Igb>(
        registry,
        "igb",
        "tasks count by the share of their loss that is left",
        "Dai et al. 2023 (improvable gap balancing, its first version), arXiv:2307.15429: w = K r / Σ r with r = l / l0 and a task's mean loss l0 of its first \
         epoch; 1 until then. Losses must be above 0.",
    );
    method::<Rlw>(
        registry,
        "rlw",
        "random weights at each step",
        "Lin et al. 2022, arXiv:2111.10603: the softmax of normal numbers (distribution = normal), of uniform ones (uniform), a random \
         point of the simplex (dirichlet), 0 or 1 by their sum (bernoulli), or one task at a time (one_hot). They add up to 1.",
    );
}

/// Towards a wanted point of the Pareto front.
fn by_preference(registry: &mut Registry<Any>) {
    method::<Stch>(
        registry,
        "stch",
        "a smooth maximum of the losses",
        "Lin et al. 2024, arXiv:2402.19078 (smooth Tchebycheff): μ log Σ exp(λ (l − z) / μ). `preference.weights` are λ by task, \
         `preference.reference` z. With `warm_up_epochs` losses count relative to their mean in the last of these epochs.",
    );
    method::<Tchebycheff>(
        registry,
        "tchebycheff",
        "the largest loss",
        "Bowman 1976: max λ (l − z), or max (l − z) / λ with form = \"quotient\".",
    );
    method::<Pbi>(
        registry,
        "pbi",
        "the distance along a line of wanted proportions, and from it",
        "Zhang & Li 2007 (penalty-based boundary intersection): d1 + θ d2 with the distances along the line through z in the direction λ, \
         and from it.",
    );
    method::<Cosmos>(
        registry,
        "cosmos",
        "a weighted sum that rewards losses in the proportions of the weights",
        "Ruchte & Grabocka 2021, arXiv:2103.13392: <λ, l> − γ cos(λ, l).",
    );
}

/// With weights of their own that are learned.
fn learned(registry: &mut Registry<Any>) {
    method::<UncertaintyWeighting>(
        registry,
        "uncertainty_weighting",
        "losses weighted by learned variances",
        "Kendall, Gal & Cipolla 2018, arXiv:1705.07115: Σ (exp(-s) l + s) / 2 with a learned s for each task, which has its \
         own Adam and no weight decay. The best s is ln l. `form` = classification does not halve the loss; revised is Σ exp(-s) l / 2 + ln(1 + exp(s)), \
         which is never below 0 (Liebel & Körner 2018, arXiv:1805.06334).",
    );
    method::<ImtlL>(
        registry,
        "imtl_l",
        "weights that make all losses equal",
        "Liu et al. 2021 (IMTL-L): Σ exp(s) l − s with a learned s for each task, which has its own Adam. With imtl_g in a pipeline it is \
         IMTL.",
    );
    method::<Famo>(
        registry,
        "famo",
        "weights for losses that fall at the same rate",
        "Liu et al. 2023, arXiv:2306.03792: w = c z / (l − b) with z = softmax(ξ); ξ follows how much the losses of the same batch fell by \
         the step, with its own Adam. One forward pass more. `least` are b by task, below all losses.",
    );
    method::<GradNorm>(
        registry,
        "gradnorm",
        "weights for gradients of norms that make tasks train at one rate",
        "Chen et al. 2018, arXiv:1711.02257: |w ∇l| is to be mean(|w ∇l|) r^α with the relative rate r of the task's loss; the weights \
         follow the gradient of the L1 distance with their own Adam and add up to K. Norms are those of the last shared layer; \
         level = { layers = [\"trunk.layer0\"] } takes others.",
    );
    method::<ExcessMtl>(
        registry,
        "excess_mtl",
        "tasks that are far from their best count more",
        "He et al. 2024: w ∝ w exp(η E / E0) with the excess risk E = gᵀ diag(Σ g²)^(-1/2) g. It keeps a number for each task and shared \
         parameter.",
    );
    method::<AutoLambda>(
        registry,
        "auto_lambda",
        "weights for losses that help the primary tasks on validation data",
        "Liu et al. 2022, arXiv:2202.03091: after a step along the weighted losses the `primary` tasks' losses on a validation batch are to \
         be least; the gradient of the weights is found by differences of losses. A step costs about three times as much. The \
         validation split then has a share in training: report results on a test split.",
    );
}
