//! Methods that combine the gradients of the shared parameters; heads follow their own losses.

use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, Config, DbMtl, DualProj, FairGrad, GradDrop, GradVac, ImtlG, Krum, MetaBalance, Mgda,
    MoCo, MoDo, NashMtl, PcGrad, SdmGrad, TrimmedMean, UpGrad,
};

use super::{Any, method};
use crate::registry::Registry;

pub(super) fn add(registry: &mut Registry<Any>) {
    turned(registry);
    solved(registry);
    on_rows(registry);
    on_batches(registry);
}

/// Gradients that are turned away from conflicts.
fn turned(registry: &mut Registry<Any>) {
    method::<MetaBalance>(
        registry,
        "metabalance",
        "auxiliary gradients of the length of the primary task's",
        "He et al. 2022, arXiv:2203.06801: parameter by parameter g = r (m_primary / m) g + (1 - r) g with moving averages m of the gradients' lengths; the sum is \
         followed. `primary` is a task by name, left out the first; `relaxation` is r, `strategy` shorten, lengthen or both.",
    );
    method::<PcGrad>(
        registry,
        "pcgrad",
        "gradients without their components against each other",
        "Yu et al. 2020, arXiv:2001.06782: each task's gradient gives up, in random order, what goes against the others; \
         the sum is followed. With two tasks it is twice upgrad's direction; Adam, whose steps do not depend on a factor, makes both \
         the same.",
    );
    method::<GradVac>(
        registry,
        "gradvac",
        "gradients turned towards each other as far as they usually are",
        "Wang et al. 2021, arXiv:2010.05874: as pcgrad, with the moving average of each pair's cosine as what is to be reached; it follows \
         at the rate β whether gradients are turned or not.",
    );
    method::<UpGrad>(
        registry,
        "upgrad",
        "the mean of gradients that each were projected to go against no task",
        "Quinton & Rey 2024, arXiv:2406.16232: each gradient's nearest vector whose inner products with all gradients are at \
         least 0, found exactly; their mean is followed. With two tasks it is half of pcgrad's direction, and with Adam the same.",
    );
    method::<DualProj>(
        registry,
        "dualproj",
        "the mean gradient projected to go against no task",
        "Lopez-Paz & Ranzato 2017, arXiv:1706.08840; Quinton & Rey 2024: the nearest vector to the mean gradient whose inner products with \
         all gradients are at least 0, found exactly.",
    );
}

/// Weights that solve a problem on the gradients' Gramian.
fn solved(registry: &mut Registry<Any>) {
    method::<Mgda>(
        registry,
        "mgda",
        "the shortest vector in the gradients' convex hull",
        "Désidéri 2012; Sener & Koltun 2018, arXiv:1810.04650: a direction that is down for every task, or a sign that there \
         is none. With level = \"representation\" it is MGDA-UB, which takes one pass through the trunk.",
    );
    method::<CaGrad>(
        registry,
        "cagrad",
        "near the mean gradient, the direction that is best for the task it helps least",
        "Liu et al. 2021, arXiv:2110.14048: max min <g, d> over |d - g0| <= c |g0|, solved exactly. `rescale` divides d by 1 + c² \
         (one_plus_c_squared, as the authors' code), by 1 + c (one_plus_c), or not at all (none).",
    );
    method::<AlignedMtl>(
        registry,
        "aligned_mtl",
        "the mean of gradients whose principal components have one length",
        "Senushkin et al. 2023, arXiv:2305.19000: the singular values of the gradients all become the smallest, the median or \
         the root mean square of them (`scale`: min, median, rmse).",
    );
    method::<NashMtl>(
        registry,
        "nash_mtl",
        "the bargain between tasks that no other beats in proportion",
        "Navon et al. 2022, arXiv:2202.01017: weights a > 0 with G a = 1/a, solved exactly; the direction is at most `max_norm` \
         long. With update_every = n weights are kept for n steps, which cost no more than a sum of losses but the first.",
    );
    method::<FairGrad>(
        registry,
        "fairgrad",
        "the α-fair direction between tasks",
        "Ban & Ji 2024, arXiv:2402.15638: weights w > 0 with G w = w^(-1/α), solved exactly. α = 1 is Nash-MTL without its limit; large α \
         help the task that is helped least.",
    );
    method::<ImtlG>(
        registry,
        "imtl_g",
        "the combination whose projections on all gradients are equal",
        "Liu et al. 2021 (IMTL-G): affine weights, some of which may be negative. With imtl_l in a pipeline it is IMTL.",
    );
    method::<Config>(
        registry,
        "config",
        "the direction with the same cosine to all gradients",
        "Liu et al. 2024 (conflict-free inverse gradients), arXiv:2408.11104: U⁺ 1 with the unit gradients U, as long as the gradients along \
         it together.",
    );
    method::<Krum>(
        registry,
        "krum",
        "the gradients that are nearest to others",
        "Blanchard et al. 2017, arXiv:1703.02757: the mean of the `selected` gradients with the least sum of distances to their \
         K − faulty − 2 nearest ones.",
    );
}

/// Directions from the gradients themselves.
fn on_rows(registry: &mut Registry<Any>) {
    method::<GradDrop>(
        registry,
        "graddrop",
        "gradients of one sign, drawn for each number",
        "Chen et al. 2020, arXiv:2010.06808: the positive sign is drawn with probability (1 + Σ g / Σ |g|) / 2, and gradients of the other are \
         dropped but for `leak`. With level = \"representation\" signs are those of activations' gradients.",
    );
    method::<TrimmedMean>(
        registry,
        "trimmed_mean",
        "the mean of the gradients without the largest and smallest numbers",
        "Yin et al. 2018, arXiv:1803.01498: of each number of the gradients `trim` values are left out on either side.",
    );
    method::<MoCo>(
        registry,
        "moco",
        "the shortest combination of moving averages of gradients, approached step by step",
        "Fernando et al. 2023, arXiv:2210.12624: y ← y − β (y − g), λ ← Π(λ − γ (Y Yᵀ + ρ) λ) on the simplex, direction Yᵀ λ. It keeps a number \
         for each task and shared parameter.",
    );
    method::<DbMtl>(
        registry,
        "db_mtl",
        "logarithms of losses, and gradients of one length",
        "Lin et al. 2023, arXiv:2308.12029: moving averages of the gradients of log l, corrected for their start, all as long as the longest, \
         added up. Losses must be above 0. It keeps a number for each task and shared parameter.",
    );
}

/// With gradients of independent batches.
fn on_batches(registry: &mut Registry<Any>) {
    method::<MoDo>(
        registry,
        "modo",
        "the shortest combination of gradients, approached with two independent batches",
        "Chen et al. 2023, arXiv:2305.20057: λ ← Π(λ − γ (J1 J2ᵀ λ + ρ λ)) on the simplex, direction J3ᵀ λ of a third batch.",
    );
    method::<SdmGrad>(
        registry,
        "sdmgrad",
        "as modo, held near the mean gradient",
        "Xiao, Ban & Ji 2023, arXiv:2305.18409: the w on the simplex with the shortest Jᵀ (w + λ / K), approached with two independent \
         batches; the direction is that of a third, by 1 + λ.",
    );
}
