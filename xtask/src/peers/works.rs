//! What is compared: works, who does them, and how near they must come to each other.

use super::OURS;

/// A piece of work.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: String,
    /// Who does it beside manytask.
    pub(super) systems: &'static [&'static str],
    /// Those of them that run once and with [`Work::FEW`] steps, because a step takes so long.
    pub(super) slow: &'static [&'static str],
    /// Steps that are not counted: allocators, compilers and pools of threads get going.
    pub(super) warm: usize,
    /// Steps that are, at least.
    pub(super) steps: usize,
    /// Whether steps go on for [`Extent::SECONDS`], of which those begun in the first [`Extent::WARM`] do not count either.
    pub(super) timed: bool,
    pub(super) tolerance: Tolerance,
    pub(super) data: Data,
}

/// How long a run goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Extent {
    /// Steps at least.
    pub(super) steps: usize,
    /// Of which so many do not count.
    pub(super) warm: usize,
    /// Seconds at least.
    pub(super) seconds: f64,
    /// Steps begun in the first so many seconds do not count.
    pub(super) warm_seconds: f64,
}

impl Extent {
    const SECONDS: f64 = 2.0;
    const WARM: f64 = 0.5;
}

/// Where the data come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// They are made.
    Made,
    /// They lie in the folder that `MANYTASK_DATA` names.
    Whole,
}

/// How far another system may be off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tolerance {
    /// Of the first loss, relative.
    pub(super) first: f64,
    /// By how much more each later loss may be off: rounding grows with the steps.
    pub(super) growth: f64,
    /// Of any loss.
    pub(super) most: f64,
    pub(super) gradient: Gradient,
}

/// How far the first gradient of a leaf may be off, as the distance of unit vectors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Gradient {
    /// So far.
    Within(f64),
    /// Half as far as equal weights are, or a thousandth: methods draw lots, or are solved more or less exactly.
    NearerThanEqual,
    /// Systems start from parameters of their own.
    Unknown,
}

/// The same arithmetic in another order.
const EXACT: Tolerance = Tolerance { first: 1e-5, growth: 2.0, most: 1e-3, gradient: Gradient::Within(1e-4) };
/// The same through many layers: the first step of Adam has the signs of a gradient, also where that is almost 0.
const DEEP: Tolerance = Tolerance { first: 1e-4, growth: 1e3, most: 0.25, gradient: Gradient::Within(1e-2) };
/// Other solvers and other lots.
const WEIGHTED: Tolerance =
    Tolerance { first: 1e-5, growth: 1e3, most: 0.02, gradient: Gradient::NearerThanEqual };
/// Other parameters and other batches: the task is learned as well.
const LEARNED: Tolerance = Tolerance { first: 0.05, growth: 1.0, most: 0.05, gradient: Gradient::Unknown };
/// Parameters that were not yet trained.
const FRESH: Tolerance = Tolerance { first: 0.3, growth: 1.0, most: 0.3, gradient: Gradient::Unknown };

impl Work {
    /// The steps of a slow system, one of them counted.
    const FEW: usize = 2;

    fn new(name: String, systems: &'static [&'static str], warm: usize, steps: usize) -> Self {
        Self { name, systems, slow: &[], warm, steps, timed: true, tolerance: EXACT, data: Data::Made }
    }

    /// Everyone who does it.
    pub(super) fn contenders(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(OURS).chain(self.systems.iter().copied())
    }

    /// How long a system's run goes on.
    pub(super) fn extent_of(&self, system: &str) -> Extent {
        if self.slow.contains(&system) {
            return Extent { steps: Self::FEW, warm: 1, seconds: 0.0, warm_seconds: 0.0 };
        }
        let (seconds, warm_seconds) = if self.timed { (Extent::SECONDS, Extent::WARM) } else { (0.0, 0.0) };
        Extent { steps: self.compared(), warm: self.warm, seconds, warm_seconds }
    }

    /// The number of losses that are compared.
    pub(super) fn compared(&self) -> usize {
        self.warm + self.steps
    }
}

/// All works, in the order of the table.
pub(super) fn works() -> Vec<Work> {
    let mut works = Vec::new();
    for steps in [1, 5] {
        works.push(Work::new(format!("sinusoid-{steps}"), &["eager", "func", "torchopt", "jax"], 15, 45));
    }
    for (tasks, inner) in [(4, 1), (4, 5), (32, 1), (32, 5)] {
        let few = tasks == 32;
        let slow: &[&str] = match (tasks, inner) {
            (4, 1) => &[],
            (4, _) => &["jax"],
            (_, 1) => &["func", "jax"],
            _ => &["func"],
        };
        // XLA has no fast convolution for the derivatives on a processor: minutes for a step of the largest.
        let systems: &[&str] = match (tasks, inner) {
            (32, 5) => &["eager", "func", "torchopt"],
            _ => &["eager", "func", "torchopt", "jax"],
        };
        works.push(Work {
            slow,
            tolerance: DEEP,
            ..Work::new(format!("conv4-{tasks}-{inner}"), systems, 1, if few { 3 } else { 4 })
        });
    }
    works.push(Work { tolerance: DEEP, ..Work::new("protonet-60".into(), &["eager", "jax"], 1, 5) });
    works.extend([2, 12, 40].into_iter().flat_map(trunks));
    for (batch, epochs) in [("32", 1), ("256", 2)] {
        let systems = &["eager", "loader", "keras"];
        works.push(Work {
            tolerance: LEARNED,
            timed: false,
            data: Data::Whole,
            ..Work::new(format!("census-{batch}"), systems, 1, epochs)
        });
    }
    works.push(Work {
        tolerance: FRESH,
        timed: false,
        data: Data::Whole,
        ..Work::new("census-start".into(), &["eager", "keras"], 0, 1)
    });
    works
}

/// All weightings of so many tasks.
fn trunks(tasks: usize) -> Vec<Work> {
    let plain = ["equal", "uncertainty"]
        .map(|method| Work::new(format!("trunk-{tasks}-{method}"), &["eager"], 4, 12));
    let methods = ["pcgrad", "mgda", "cagrad", "upgrad", "aligned", "nash"];
    // The others' solver of Nash-MTL finds nothing for so many tasks against each other, and they keep equal weights.
    let methods = methods.into_iter().filter(|method| (tasks, *method) != (40, "nash"));
    let weighted = methods.map(|method| {
        // Nash-MTL has no form on Gramians there.
        let systems: &[&str] = match method {
            "nash" => &["backwards", "torchjd"],
            _ => &["backwards", "torchjd", "autogram"],
        };
        let (warm, steps) = if tasks == 40 { (2, 6) } else { (4, 12) };
        Work { tolerance: WEIGHTED, ..Work::new(format!("trunk-{tasks}-{method}"), systems, warm, steps) }
    });
    plain.into_iter().chain(weighted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_work_counts_steps_of_every_system() {
        for work in works() {
            assert!(!work.systems.is_empty(), "{}", work.name);
            assert!(work.slow.iter().all(|system| work.systems.contains(system)), "{}", work.name);
            for system in work.contenders() {
                let Extent { steps, warm, seconds, warm_seconds } = work.extent_of(system);
                assert!(steps > warm && seconds >= warm_seconds, "{} {system}", work.name);
            }
        }
    }

    #[test]
    fn names_are_of_one_work_each() {
        let mut names: Vec<String> = works().into_iter().map(|work| work.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
