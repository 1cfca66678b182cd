mod arithmetic;
mod initial;
mod packed;
mod tasks;

use std::sync::Arc;

pub use arithmetic::write_in_turn;
use tch::{Device, Kind, Tensor};

use crate::{Entry, Error, Layout, Result, Slot, no_grad};

/// A list of tensors laid out by a [`Layout`]: weights, gradients, fast weights, momenta, masks, rows of a Jacobian.
///
/// With `tasks() == Some(T)` every tensor has a leading dimension of size T, one slice for each task.
/// Cloning is by [`Params::share`] (the same memory) or [`Params::copy`] (new memory), never by accident.
///
/// ```
/// use manytask_tensor::{Device, Init, Kind, Layout, Params, Role};
/// let mut layout = Layout::builder();
/// let w = layout.add("w", &[2, 3], Init::Normal { mean: 0.0, std: 1.0 }, Role::Weight)?;
/// let params = layout.build().init(0, Kind::Float, Device::Cpu)?;
/// let moved = params.add_scaled(&params, -0.1)?; // 0.9 w, new memory
/// assert!(moved.max_difference(&params.scale(0.9)?)? < 1e-6);
/// let tasks = Params::stack(&[params, moved])?;
/// assert_eq!((tasks.tasks(), tasks.get(w)?.size()), (Some(2), vec![2, 2, 3]));
/// assert_eq!(tasks.flatten()?.size(), [2, 6]);
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
#[derive(Debug)]
pub struct Params {
    layout: Arc<Layout>,
    leaves: Vec<Tensor>,
    tasks: Option<i64>,
    /// The trained leaves as one vector, where it is known that they lie one after the other in it.
    vector: Option<Tensor>,
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

    pub(crate) fn checked(layout: Arc<Layout>, leaves: Vec<Tensor>, tasks: Option<i64>) -> Result<Self> {
        if layout.len() != leaves.len() {
            return Err(Error::Layout {
                message: format!("{} tensors for a layout of {} entries", leaves.len(), layout.len()),
            });
        }
        for (entry, leaf) in layout.entries().iter().zip(&leaves) {
            check_shape(entry, tasks, leaf)?;
        }
        Ok(Self { layout, leaves, tasks, vector: None })
    }

    /// For tensors whose shapes cannot be others: gradients, and results of element-wise operations on leaves.
    pub(crate) fn of_known_shapes(layout: Arc<Layout>, leaves: Vec<Tensor>, tasks: Option<i64>) -> Self {
        debug_assert_eq!(layout.len(), leaves.len());
        debug_assert!(layout.entries().iter().zip(&leaves).all(|(entry, leaf)| fits(entry, tasks, leaf)));
        Self { layout, leaves, tasks, vector: None }
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
    ///
    /// # Errors
    /// When `f` fails or changes a shape.
    pub fn map(&self, mut f: impl FnMut(&Tensor) -> Result<Tensor>) -> Result<Self> {
        let leaves = self.leaves.iter().map(&mut f).collect::<Result<_>>()?;
        Self::checked(self.layout.clone(), leaves, self.tasks)
    }

    /// Applies `f` to the tensors of `slots` and shares the others.
    ///
    /// # Errors
    /// When `f` fails or changes a shape, or a slot is of another layout.
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
    /// When the two have different layouts, or task dimensions of different size, or `f` changes a shape. Where only one has
    /// a task dimension, the other is broadcast along it.
    pub fn zip_map(
        &self,
        other: &Self,
        mut f: impl FnMut(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<Self> {
        let tasks = self.common_tasks(other)?;
        let leaves = self.leaves.iter().zip(&other.leaves).map(|(a, b)| f(a, b)).collect::<Result<_>>()?;
        Self::checked(self.layout.clone(), leaves, tasks)
    }

    /// Replaces one tensor.
    ///
    /// # Errors
    /// When the slot is of another layout or the shape differs.
    pub fn put(&mut self, slot: Slot, leaf: Tensor) -> Result<()> {
        let entry = self.layout.entry(slot)?;
        check_shape(entry, self.tasks, &leaf)?;
        self.vector = None;
        if let Some(place) = self.leaves.get_mut(slot.index()) {
            *place = leaf;
        }
        Ok(())
    }

    /// The same tensors: writing into one is seen in the other.
    #[must_use]
    pub fn share(&self) -> Self {
        let leaves = self.leaves.iter().map(Tensor::shallow_clone).collect();
        let vector = self.vector.as_ref().map(Tensor::shallow_clone);
        Self { layout: self.layout.clone(), leaves, tasks: self.tasks, vector }
    }

    /// The same values without the graph that led to them, in the same memory.
    pub fn detach(&self) -> Result<Self> {
        self.map(|leaf| Ok(leaf.f_detach()?))
    }

    /// The same values in new memory, without a graph; on a GPU [packed](Params::packed).
    pub fn copy(&self) -> Result<Self> {
        if self.device() == Device::Cpu { self.copy_each() } else { self.packed() }
    }

    fn copy_each(&self) -> Result<Self> {
        let _off = no_grad();
        self.map(|leaf| {
            let mut copy = leaf.f_empty_like()?;
            copy.f_copy_(leaf)?;
            Ok(copy)
        })
    }

    /// New leaves of a graph: the same values, where the trained ones require gradients. Call it before a forward pass.
    pub fn require_grad(&self) -> Result<Self> {
        let leaves = self.iter().map(|(entry, leaf)| {
            let leaf = leaf.f_detach()?;
            if entry.role.is_trained() { Ok(leaf.f_set_requires_grad(true)?) } else { Ok(leaf) }
        });
        let live = Self::of_known_shapes(self.layout.clone(), leaves.collect::<Result<_>>()?, self.tasks);
        Ok(Self { vector: self.vector.as_ref().map(Tensor::shallow_clone), ..live })
    }

    /// Zeros of the same shapes, types and devices.
    pub fn zeros_like(&self) -> Result<Self> {
        self.map(|leaf| Ok(leaf.f_zeros_like()?))
    }

    /// The same values as another element type, on another device. Buffers are converted as well.
    pub fn to(&self, kind: Kind, device: Device) -> Result<Self> {
        self.map(|leaf| Ok(leaf.f_to_device(device)?.f_to_kind(kind)?))
    }

    /// Copies the values of `source` into these tensors, in place and outside of any graph. They must have memory of their
    /// own, which the views of [`Params::expand_tasks`] have not.
    ///
    /// # Errors
    /// When the two have different layouts or task dimensions.
    pub fn copy_from(&mut self, source: &Self) -> Result<()> {
        self.common_tasks(source)?;
        if self.tasks != source.tasks {
            return Err(tasks_differ(self.tasks, source.tasks));
        }
        let _off = no_grad();
        for (to, from) in self.leaves.iter_mut().zip(&source.leaves) {
            to.f_detach()?.f_copy_(from)?;
        }
        Ok(())
    }

    /// The task dimension of a result from both.
    pub(crate) fn common_tasks(&self, other: &Self) -> Result<Option<i64>> {
        self.same_layout(other)?;
        match (self.tasks, other.tasks) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(tasks_differ(self.tasks, other.tasks)),
            (ours, theirs) => Ok(ours.or(theirs)),
        }
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

fn fits(entry: &Entry, tasks: Option<i64>, leaf: &Tensor) -> bool {
    let size = leaf.size();
    match tasks {
        None => size == entry.shape,
        Some(tasks) => size.split_first() == Some((&tasks, entry.shape.as_slice())),
    }
}

fn check_shape(entry: &Entry, tasks: Option<i64>, leaf: &Tensor) -> Result<()> {
    // An undefined tensor has the shape [0].
    if fits(entry, tasks, leaf) && (leaf.numel() > 0 || leaf.defined()) {
        return Ok(());
    }
    Err(Error::Shape {
        what: format!("parameter `{}`", entry.name),
        expected: tasks.into_iter().chain(entry.shape.iter().copied()).collect(),
        found: if leaf.defined() { leaf.size() } else { Vec::new() },
    })
}

fn tasks_differ(ours: Option<i64>, theirs: Option<i64>) -> Error {
    let words = |tasks: Option<i64>| tasks.map_or("none".to_owned(), |tasks| tasks.to_string());
    Error::Layout { message: format!("task dimensions differ: {} meets {}", words(ours), words(theirs)) }
}
