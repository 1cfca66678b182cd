mod arithmetic;
mod tasks;

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::{Entry, Error, Layout, Result, Slot, no_grad};

/// A list of tensors laid out by a [`Layout`]: weights, gradients, fast weights, momenta, masks, rows of a Jacobian.
///
/// With `tasks() == Some(T)` every tensor has a leading dimension of size T, one slice for each task.
/// Cloning is by [`Params::share`] (the same memory) or [`Params::copy`] (new memory), never by accident.
#[derive(Debug)]
pub struct Params {
    layout: Arc<Layout>,
    leaves: Vec<Tensor>,
    tasks: Option<i64>,
}

impl Params {
    /// Wraps tensors of the layout's shapes.
    ///
    /// # Errors
    /// When their number or a shape differs.
    pub fn new(layout: Arc<Layout>, leaves: Vec<Tensor>) -> Result<Self> {
        Self::checked(layout, leaves, None)
    }

    /// Wraps tensors of the layout's shapes with a leading dimension of `tasks`.
    ///
    /// # Errors
    /// When their number or a shape differs, or `tasks` is below 1.
    pub fn with_tasks(layout: Arc<Layout>, leaves: Vec<Tensor>, tasks: i64) -> Result<Self> {
        if tasks < 1 {
            return Err(Error::Layout {
                message: format!("a task dimension of {tasks}: it must be at least 1"),
            });
        }
        Self::checked(layout, leaves, Some(tasks))
    }

    fn checked(layout: Arc<Layout>, leaves: Vec<Tensor>, tasks: Option<i64>) -> Result<Self> {
        if layout.len() != leaves.len() {
            return Err(Error::Layout {
                message: format!("{} tensors for a layout of {} entries", leaves.len(), layout.len()),
            });
        }
        for (entry, leaf) in layout.entries().iter().zip(&leaves) {
            let expected: Vec<i64> = tasks.into_iter().chain(entry.shape.iter().copied()).collect();
            let found = if leaf.defined() { leaf.size() } else { Vec::new() };
            if !leaf.defined() || expected != found {
                return Err(Error::Shape { what: format!("parameter `{}`", entry.name), expected, found });
            }
        }
        Ok(Self { layout, leaves, tasks })
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The size of the leading task dimension, if there is one.
    pub fn tasks(&self) -> Option<i64> {
        self.tasks
    }

    /// The tensors in layout order.
    pub fn leaves(&self) -> &[Tensor] {
        &self.leaves
    }

    /// Entries with their tensors.
    pub fn iter(&self) -> impl Iterator<Item = (&Entry, &Tensor)> {
        self.layout.entries().iter().zip(&self.leaves)
    }

    /// The tensor of a slot.
    ///
    /// # Errors
    /// When the slot is of another layout.
    pub fn get(&self, slot: Slot) -> Result<&Tensor> {
        self.leaves.get(slot.index()).ok_or_else(|| self.layout.foreign(slot))
    }

    /// The tensor of a name.
    pub fn named(&self, name: &str) -> Option<&Tensor> {
        self.layout.find(name).and_then(|slot| self.leaves.get(slot.index()))
    }

    /// The element type of the first tensor; `Float` for an empty layout.
    pub fn kind(&self) -> Kind {
        self.leaves.first().map_or(Kind::Float, Tensor::kind)
    }

    /// The device of the first tensor; the CPU for an empty layout.
    pub fn device(&self) -> Device {
        self.leaves.first().map_or(Device::Cpu, Tensor::device)
    }

    /// Applies `f` to every tensor.
    pub fn map(&self, mut f: impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let leaves = self.leaves.iter().map(&mut f).collect::<Result<_>>()?;
        Self::checked(self.layout.clone(), leaves, self.tasks)
    }

    /// Applies `f` to the tensors of `slots` and shares the others.
    pub fn map_slots(
        &self,
        slots: &[Slot],
        mut f: impl FnMut(Slot, &Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let mut out = self.share();
        for &slot in slots {
            let leaf = f(slot, self.get(slot)?)?;
            out.put(slot, leaf)?;
        }
        Ok(out)
    }

    /// Applies `f` to the tensors of both, entry by entry.
    ///
    /// # Errors
    /// When the two have different layouts.
    pub fn zip_map(
        &self,
        other: &Self,
        mut f: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        self.same_layout(other)?;
        let leaves = self.leaves.iter().zip(&other.leaves).map(|(a, b)| f(a, b)).collect::<Result<_>>()?;
        let tasks = self.tasks.or(other.tasks);
        Self::checked(self.layout.clone(), leaves, tasks)
    }

    /// Replaces one tensor.
    ///
    /// # Errors
    /// When the slot is of another layout or the shape differs.
    pub fn put(&mut self, slot: Slot, leaf: Tensor) -> Result<()> {
        let entry = self.layout.entry(slot)?;
        let expected: Vec<i64> = self.tasks.into_iter().chain(entry.shape.iter().copied()).collect();
        if leaf.size() != expected {
            return Err(Error::Shape {
                what: format!("parameter `{}`", entry.name),
                expected,
                found: leaf.size(),
            });
        }
        if let Some(place) = self.leaves.get_mut(slot.index()) {
            *place = leaf;
        }
        Ok(())
    }

    /// The same tensors: writing into one is seen in the other.
    #[must_use]
    pub fn share(&self) -> Self {
        let leaves = self.leaves.iter().map(Tensor::shallow_clone).collect();
        Self { layout: self.layout.clone(), leaves, tasks: self.tasks }
    }

    /// The same values without the graph that led to them, in the same memory.
    pub fn detach(&self) -> Result<Self> {
        self.map(|leaf| Ok(leaf.f_detach()?))
    }

    /// The same values in new memory, without a graph.
    pub fn copy(&self) -> Result<Self> {
        let _off = no_grad();
        self.map(|leaf| {
            let mut copy = leaf.f_empty_like()?;
            copy.f_copy_(leaf)?;
            Ok(copy)
        })
    }

    /// New leaves of a graph: the same values, where the trained ones require gradients. Call it before a forward pass.
    pub fn require_grad(&self) -> Result<Self> {
        let trained = self.layout.trained();
        self.detach()?.map_slots(&trained, |_, leaf| Ok(leaf.f_set_requires_grad(true)?))
    }

    /// Zeros of the same shapes, types and devices.
    pub fn zeros_like(&self) -> Result<Self> {
        self.map(|leaf| Ok(leaf.f_zeros_like()?))
    }

    /// The same values as another element type, on another device. Buffers are converted as well.
    pub fn to(&self, kind: Kind, device: Device) -> Result<Self> {
        self.map(|leaf| Ok(leaf.f_to_device(device)?.f_to_kind(kind)?))
    }

    /// Copies the values of `source` into these tensors, in place and outside of any graph.
    ///
    /// # Errors
    /// When the two have different layouts.
    pub fn copy_from(&mut self, source: &Self) -> Result<()> {
        self.same_layout(source)?;
        let _off = no_grad();
        for (to, from) in self.leaves.iter_mut().zip(&source.leaves) {
            to.f_detach()?.f_copy_(from)?;
        }
        Ok(())
    }

    pub(crate) fn same_layout(&self, other: &Self) -> Result<()> {
        if Arc::ptr_eq(&self.layout, &other.layout) || self.layout == other.layout {
            return Ok(());
        }
        let (ours, theirs) = (self.layout.entries(), other.layout.entries());
        let differs = ours.iter().zip(theirs).find(|(a, b)| a != b);
        let message = match differs {
            Some((a, b)) => format!(
                "parameters of two networks: `{}` {:?} meets `{}` {:?}",
                a.name, a.shape, b.name, b.shape
            ),
            None => format!("parameters of two networks: {} entries meet {}", ours.len(), theirs.len()),
        };
        Err(Error::Layout { message })
    }
}
