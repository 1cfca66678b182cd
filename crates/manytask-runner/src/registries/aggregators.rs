//! What `[aggregator]` can name.

use std::collections::BTreeMap;

use manytask_multitask::AggregatorSettings;
use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, EqualWeights, FixedWeights, Mgda, NashMtl, PcGrad, UncertaintyWeighting, UpGrad,
};

use crate::registry::Registry;

pub(super) fn aggregators() -> Registry<Box<dyn AggregatorSettings>> {
    type Any = Box<dyn AggregatorSettings>;
    let mut registry = Registry::<Any>::new("aggregator", "aggregator");
    registry.add(
        "equal_weights",
        "the mean of the losses",
        "The mean over the tasks that are present, 1/K Σ l.",
        &EqualWeights::default(),
        |a: EqualWeights| Box::new(a) as Any,
    );
    registry.add(
        "fixed_weights",
        "a weighted sum of the losses",
        "Σ w l with a weight for each task by name.",
        &FixedWeights { weights: BTreeMap::from([("task".to_owned(), 1.0)]) },
        |a: FixedWeights| Box::new(a) as Any,
    );
    registry.add(
        "uncertainty_weighting",
        "losses weighted by learned variances",
        "Kendall, Gal & Cipolla 2018, arXiv:1705.07115: Σ (exp(-s) l + s) / 2 with a learned s for each task, which has its \
         own Adam and no weight decay. The best s is ln l.",
        &UncertaintyWeighting::default(),
        |a: UncertaintyWeighting| Box::new(a) as Any,
    );
    registry.add(
        "pcgrad",
        "gradients without their components against each other",
        "Yu et al. 2020, arXiv:2001.06782: each task's gradient gives up, in random order, what goes against the others; \
         the sum is followed.",
        &PcGrad::default(),
        |a: PcGrad| Box::new(a) as Any,
    );
    registry.add(
        "mgda",
        "the shortest vector in the gradients' convex hull",
        "Désidéri 2012; Sener & Koltun 2018, arXiv:1810.04650: a direction that is down for every task, or a sign that there \
         is none. With level = \"representation\" it is MGDA-UB, which takes one pass through the trunk.",
        &Mgda::default(),
        |a: Mgda| Box::new(a) as Any,
    );
    add_solved(&mut registry);
    registry
}

/// Aggregators whose weights solve a problem on the gradients' Gramian.
fn add_solved(registry: &mut Registry<Box<dyn AggregatorSettings>>) {
    type Any = Box<dyn AggregatorSettings>;
    registry.add(
        "cagrad",
        "near the mean gradient, the direction that is best for the task it helps least",
        "Liu et al. 2021, arXiv:2110.14048: max min <g, d> over |d - g0| <= c |g0|, solved exactly. `rescale` divides d by 1 + c² \
         (one_plus_c_squared, as the authors' code), by 1 + c (one_plus_c), or not at all (none).",
        &CaGrad::default(),
        |a: CaGrad| Box::new(a) as Any,
    );
    registry.add(
        "upgrad",
        "the mean of gradients that each were projected to go against no task",
        "Quinton & Rey 2024, arXiv:2406.16232: each gradient's nearest vector whose inner products with all gradients are at \
         least 0, found exactly; their mean is followed.",
        &UpGrad::default(),
        |a: UpGrad| Box::new(a) as Any,
    );
    registry.add(
        "aligned_mtl",
        "the mean of gradients whose principal components have one length",
        "Senushkin et al. 2023, arXiv:2305.19000: the singular values of the gradients all become the smallest, the median or \
         the root mean square of them (`scale`: min, median, rmse).",
        &AlignedMtl::default(),
        |a: AlignedMtl| Box::new(a) as Any,
    );
    registry.add(
        "nash_mtl",
        "the bargain between tasks that no other beats in proportion",
        "Navon et al. 2022, arXiv:2202.01017: weights a > 0 with G a = 1/a, solved exactly; the direction is at most `max_norm` \
         long. With update_every = n weights are kept for n steps, which cost no more than a sum of losses but the first.",
        &NashMtl::default(),
        |a: NashMtl| Box::new(a) as Any,
    );
}
