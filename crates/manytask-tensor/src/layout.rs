use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{Error, Init, Result};

/// The place of one tensor in a [`Layout`]; what a network's definition holds instead of the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub(crate) u32);

impl Slot {
    /// The position in creation order.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What an entry is, for weight decay and for what is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A matrix or kernel: trained, decayed.
    Weight,
    /// An offset: trained, usually not decayed.
    Bias,
    /// A normalisation's scale: trained, usually not decayed.
    Scale,
    /// A table of embeddings: trained, usually not decayed.
    Embedding,
    /// Running statistics: neither trained nor adapted.
    Buffer,
}

impl Role {
    /// Whether gradients are taken.
    pub fn is_trained(self) -> bool {
        self != Self::Buffer
    }
}

/// Whose an entry is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Owner {
    /// All tasks': it takes part in every step.
    #[default]
    Shared,
    /// One task's, counted from 0: it rests in steps in which that task is absent.
    Task(usize),
}

/// Name, shape, start, role and owner of one tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its dotted name, unique in the layout: `trunk.layer0.weight`.
    pub name: String,
    /// Its shape, without a task dimension.
    pub shape: Vec<i64>,
    /// The distribution it starts from.
    pub init: Init,
    /// What it is.
    pub role: Role,
    /// Whose it is.
    pub owner: Owner,
}

/// The names, shapes, starts and roles of all tensors of a network, in creation order.
///
/// ```
/// use manytask_tensor::{Device, Init, Kind, Layout, Role};
/// let mut layout = Layout::builder();
/// let weight = layout.add("head.weight", &[1, 4], Init::Orthogonal { gain: 1.0 }, Role::Weight)?;
/// let mean = layout.add("head.mean", &[4], Init::Zeros, Role::Buffer)?;
/// let layout = layout.build();
/// assert_eq!((layout.trained_count(), layout.trained()), (4, vec![weight]));
/// assert_eq!(layout.entry(mean)?.name, "head.mean");
/// # Ok::<(), manytask_tensor::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layout {
    entries: Vec<Entry>,
}

impl Layout {
    /// Starts an empty layout.
    pub fn builder() -> LayoutBuilder {
        LayoutBuilder::default()
    }

    /// The entries in creation order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The number of tensors.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no tensor.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All slots in creation order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.entries.len() as u32).map(Slot)
    }

    /// The slots whose entry satisfies `keep`.
    pub fn select(&self, keep: impl Fn(&Entry) -> bool) -> Vec<Slot> {
        self.slots().filter(|slot| self.entries.get(slot.index()).is_some_and(&keep)).collect()
    }

    /// The slots that are trained, in creation order.
    pub fn trained(&self) -> Vec<Slot> {
        self.select(|entry| entry.role.is_trained())
    }

    /// The entry of a slot.
    pub fn entry(&self, slot: Slot) -> Result<&Entry> {
        self.entries.get(slot.index()).ok_or_else(|| self.foreign(slot))
    }

    /// The slot of a name.
    pub fn find(&self, name: &str) -> Option<Slot> {
        self.entries.iter().position(|entry| entry.name == name).map(|i| Slot(i as u32))
    }

    /// The number of trained numbers.
    pub fn trained_count(&self) -> i64 {
        let trained = self.entries.iter().filter(|entry| entry.role.is_trained());
        trained.map(|entry| entry.shape.iter().product::<i64>()).fold(0, i64::saturating_add)
    }

    pub(crate) fn foreign(&self, slot: Slot) -> Error {
        Error::Layout {
            message: format!(
                "slot {} is of another layout: this one has {} entries",
                slot.0,
                self.entries.len()
            ),
        }
    }
}

/// Collects the entries of a [`Layout`].
#[derive(Debug, Default)]
pub struct LayoutBuilder {
    entries: Vec<Entry>,
    names: BTreeSet<String>,
}

impl LayoutBuilder {
    /// Adds an entry that all tasks share.
    ///
    /// # Errors
    /// When the name was used before, is empty, or a dimension is negative or their product beyond counting.
    pub fn add(&mut self, name: impl Into<String>, shape: &[i64], init: Init, role: Role) -> Result<Slot> {
        self.add_of(Owner::Shared, name, shape, init, role)
    }

    /// Adds an entry of this owner.
    ///
    /// # Errors
    /// As [`LayoutBuilder::add`].
    pub fn add_of(
        &mut self,
        owner: Owner,
        name: impl Into<String>,
        shape: &[i64],
        init: Init,
        role: Role,
    ) -> Result<Slot> {
        let name = name.into();
        if name.is_empty() || shape.iter().any(|d| *d < 0) {
            return Err(Error::Layout {
                message: format!(
                    "parameter `{name}` of shape {shape:?}: it needs a name and no negative size"
                ),
            });
        }
        crate::random::elements(shape)?;
        if !self.names.insert(name.clone()) {
            return Err(Error::Layout { message: format!("two parameters are named `{name}`") });
        }
        self.entries.push(Entry { name, shape: shape.to_vec(), init, role, owner });
        Ok(Slot(self.entries.len() as u32 - 1))
    }

    /// The entry of this name and shape, which is added where there is none.
    ///
    /// # Errors
    /// As [`LayoutBuilder::add`], where the entry of that name has another shape.
    pub fn find_or_add(
        &mut self,
        owner: Owner,
        name: impl Into<String>,
        shape: &[i64],
        init: Init,
        role: Role,
    ) -> Result<Slot> {
        let name = name.into();
        match self.entries.iter().position(|entry| entry.name == name && entry.shape == shape) {
            Some(index) => Ok(Slot(index as u32)),
            None => self.add_of(owner, name, shape, init, role),
        }
    }

    /// The number of entries so far.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The layout of the entries so far, whose slots stay those of what is built later.
    pub fn snapshot(&self) -> Arc<Layout> {
        Arc::new(Layout { entries: self.entries.clone() })
    }

    /// The layout.
    pub fn build(self) -> Arc<Layout> {
        Arc::new(Layout { entries: self.entries })
    }
}
