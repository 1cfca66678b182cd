//! Passes without gradients for what is frozen.

use std::sync::Arc;

use manytask_nn::Context;
use manytask_tensor::{Layout, Params, Slot, Tensor};

use super::Freeze;
use crate::aggregator::layer_slots;
use crate::{
    AuxiliaryLoss, Combination, Draw, Error, Gramian, Jacobian, Level, Offers, Pass, Problem, Result,
};

/// What is frozen of a layout, and from which step on.
#[derive(Debug)]
pub(super) struct Frozen {
    slots: Vec<Slot>,
    after: u64,
}

impl Frozen {
    /// `None` where nothing is frozen.
    pub(super) fn of(freeze: &Freeze, layout: &Layout) -> Result<Option<Arc<Self>>> {
        let slots = freeze.slots(layout)?;
        Ok((!slots.is_empty()).then(|| Arc::new(Self { slots, after: freeze.after })))
    }

    /// The frozen slots at a step, in the order of the layout.
    pub(super) fn at(&self, step: u64) -> &[Slot] {
        if step < self.after { &[] } else { &self.slots }
    }

    fn has(&self, slot: Slot) -> bool {
        self.slots.binary_search(&slot).is_ok()
    }
}

/// A problem as the loop sees it: its passes have no gradients for what is frozen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passes<'p> {
    pub(super) problem: &'p dyn Problem,
    pub(super) frozen: Option<&'p Frozen>,
}

/// A pass without gradients for what is frozen.
struct FrozenPass<'a> {
    pass: Box<dyn Pass + 'a>,
    problem: &'a dyn Problem,
    frozen: &'a Frozen,
    jacobian: Option<(Level, Jacobian)>,
}

impl<'p> Passes<'p> {
    /// As [`Problem::forward`].
    pub(super) fn forward(self, params: &'p Params, draw: Draw) -> Result<Box<dyn Pass + 'p>> {
        let pass = self.problem.forward(params, draw)?;
        match self.frozen.filter(|frozen| !frozen.at(draw.step).is_empty()) {
            None => Ok(pass),
            Some(frozen) => Ok(Box::new(FrozenPass { pass, problem: self.problem, frozen, jacobian: None })),
        }
    }

    /// As [`Problem::offers`]: where all that tasks share is frozen there are no gradients to compare.
    pub(super) fn offers(self) -> Offers {
        let offers = self.problem.offers();
        let moves = self.frozen.is_none_or(|frozen| {
            frozen.after > 0 || self.problem.shared().iter().any(|slot| !frozen.has(*slot))
        });
        Offers { shared: offers.shared && moves, ..offers }
    }
}

impl FrozenPass<'_> {
    /// The slots whose gradients are the columns of a level; `None` where none of them is frozen.
    fn slots(&self, level: &Level) -> Result<Option<Vec<Slot>>> {
        if *level == Level::Representation {
            return Ok(None);
        }
        let slots = layer_slots(self.problem.layout(), self.problem.shared(), level)?;
        Ok(Some(slots).filter(|slots| slots.iter().any(|slot| self.frozen.has(*slot))))
    }

    /// Columns `[1, P]` with 0 where they are frozen and 1 elsewhere, of the form of `like`.
    fn mask(&self, slots: &[Slot], like: &Tensor) -> Result<Tensor> {
        let of = |slot: &Slot| -> Result<Tensor> {
            let count: i64 = self.problem.layout().entry(*slot)?.shape.iter().product();
            let moves = if self.frozen.has(*slot) { 0.0 } else { 1.0 };
            Ok(Tensor::f_full([1, count], moves, (like.kind(), like.device()))?)
        };
        Ok(Tensor::f_cat(&slots.iter().map(of).collect::<Result<Vec<_>>>()?, 1)?)
    }
}

impl Pass for FrozenPass<'_> {
    fn present(&self) -> &[usize] {
        self.pass.present()
    }

    fn losses(&self) -> &[f64] {
        self.pass.losses()
    }

    fn jacobian(&mut self, level: &Level) -> Result<&Jacobian> {
        let Some(slots) = self.slots(level)? else { return self.pass.jacobian(level) };
        if self.jacobian.as_ref().is_none_or(|(of, _)| of != level) {
            let rows = self.pass.jacobian(level)?.rows().shallow_clone();
            self.jacobian = Some((level.clone(), Jacobian::new(&rows.f_mul(&self.mask(&slots, &rows)?)?)?));
        }
        self.jacobian.as_ref().map(|(_, rows)| rows).ok_or_else(|| Error::Contract {
            aggregator: "freeze".into(),
            message: "the Jacobian was not kept".into(),
        })
    }

    fn gramian(&mut self, level: &Level) -> Result<Gramian> {
        match self.slots(level)? {
            None => self.pass.gramian(level),
            Some(_) => self.jacobian(level)?.gramian(),
        }
    }

    fn finish(&mut self, combination: &Combination) -> Result<Params> {
        let gradient = self.pass.finish(combination)?;
        Ok(gradient.map_slots(&self.frozen.slots, |_, leaf| Ok(leaf.f_zeros_like()?))?)
    }

    fn preference(&self) -> Option<&[f64]> {
        self.pass.preference()
    }

    fn auxiliary(&self) -> &[AuxiliaryLoss] {
        self.pass.auxiliary()
    }

    fn terms(&self) -> Vec<(&'static str, f64)> {
        self.pass.terms()
    }

    fn take_context(&mut self) -> Context {
        let mut kept = Context::eval();
        for (slot, value) in self.pass.take_context().take_buffers() {
            if !self.frozen.has(slot) {
                kept.record(slot, value);
            }
        }
        kept
    }
}
