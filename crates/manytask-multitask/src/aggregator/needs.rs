use super::Level;

/// What an aggregator must be given.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent demands, each a column of the table in ARCHITECTURE.md"
)]
pub struct Needs {
    /// What it takes of its own batch's gradients, each with its level; nothing: the losses alone.
    pub gradients: Vec<(Demand, Level)>,
    /// How many independent batches each step draws.
    pub batches: u32,
    /// Whether it looks at a validation batch.
    pub validation: bool,
    /// Whether it evaluates losses at moved parameters.
    pub look_ahead: bool,
    /// Whether it is told the losses of the same batch after the step.
    pub losses_after_step: bool,
    /// Whether it is told the mean losses of each epoch, and does nothing without.
    pub epoch_means: bool,
    /// Whether it keeps something for each task, which is meaningless when tasks are sampled anew.
    pub fixed_tasks: bool,
    /// Whether it follows the preference of a step, where there is one.
    pub preference: bool,
}

/// What of the gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Demand {
    /// Nothing: the losses alone.
    Losses,
    /// Their inner products.
    Gramian,
    /// The gradients themselves.
    Jacobian,
}

impl Needs {
    /// The values of the losses and nothing else: one backward pass.
    pub const LOSSES: Self = Self {
        gradients: Vec::new(),
        batches: 1,
        validation: false,
        look_ahead: false,
        losses_after_step: false,
        epoch_means: false,
        fixed_tasks: false,
        preference: false,
    };

    /// The Gramian of the gradients of a level.
    pub fn gramian(level: Level) -> Self {
        Self { gradients: vec![(Demand::Gramian, level)], ..Self::LOSSES }
    }

    /// The rows of the Jacobian of a level.
    pub fn jacobian(level: Level) -> Self {
        Self { gradients: vec![(Demand::Jacobian, level)], ..Self::LOSSES }
    }

    /// The most that it takes of its own batch's gradients.
    pub fn demand(&self) -> Demand {
        self.gradients.iter().map(|(demand, _)| *demand).max().unwrap_or(Demand::Losses)
    }

    /// Whether it declares this of a level.
    pub fn declares(&self, demand: Demand, level: &Level) -> bool {
        demand == Demand::Losses || self.gradients.iter().any(|(most, of)| *most >= demand && of == level)
    }

    /// What two need together.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        for (demand, level) in other.gradients {
            match self.gradients.iter_mut().find(|(_, of)| *of == level) {
                Some((most, _)) => *most = demand.max(*most),
                None => self.gradients.push((demand, level)),
            }
        }
        Self {
            gradients: self.gradients,
            batches: self.batches.max(other.batches),
            validation: self.validation || other.validation,
            look_ahead: self.look_ahead || other.look_ahead,
            losses_after_step: self.losses_after_step || other.losses_after_step,
            epoch_means: self.epoch_means || other.epoch_means,
            fixed_tasks: self.fixed_tasks || other.fixed_tasks,
            preference: self.preference || other.preference,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_need_what_either_needs() {
        let one = Needs { fixed_tasks: true, ..Needs::gramian(Level::LastLayer) };
        let two = Needs { batches: 3, ..Needs::jacobian(Level::LastLayer) };
        let both = one.and(two).and(Needs::gramian(Level::Parameters));
        assert!(both.declares(Demand::Jacobian, &Level::LastLayer));
        assert!(!both.declares(Demand::Jacobian, &Level::Parameters));
        assert!(both.declares(Demand::Gramian, &Level::Parameters));
        assert_eq!((both.batches, both.fixed_tasks, both.demand()), (3, true, Demand::Jacobian));
    }
}
