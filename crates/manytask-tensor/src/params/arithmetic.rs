//! Parameters as one long vector.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::{Entry, Error, Layout, OpContext, Params, Result, no_grad};

impl Params {
    /// `self + factor · other`.
    pub fn add_scaled(&self, other: &Self, factor: f64) -> Result<Self> {
        let tasks = self.common_tasks(other)?;
        let mut factors = Factors::new(factor);
        let leaves = self.leaves().iter().zip(other.leaves()).map(|(a, b)| match factors.like(b) {
            Some(factor) => Ok(a.f_addcmul(b, factor).op("add_scaled", &[a, b])?),
            None => Ok(a.f_add(&b.f_mul_scalar(factor)?)?),
        });
        Self::checked(self.layout().clone(), leaves.collect::<Result<_>>()?, tasks)
    }

    /// Goes a share of the way to other values, `self + share · (target − self)`, in place and outside of any graph.
    ///
    /// # Errors
    /// When the two have different layouts or task dimensions.
    pub fn approach(&mut self, target: &Self, share: f64) -> Result<()> {
        self.common_tasks(target)?;
        let _off = no_grad();
        for (own, other) in self.leaves().iter().zip(target.leaves()) {
            let _ = own.f_detach()?.f_lerp_(&other.f_detach()?, share).op("approach", &[own, other])?;
        }
        Ok(())
    }

    /// `factor · self`.
    pub fn scale(&self, factor: f64) -> Result<Self> {
        let mut factors = Factors::new(factor);
        self.map(|leaf| match factors.like(leaf) {
            Some(factor) => Ok(leaf.f_mul(factor)?),
            None => Ok(leaf.f_mul_scalar(factor)?),
        })
    }

    /// The inner product over the trained entries, a tensor of one element; with a task dimension, `[T]`.
    pub fn dot(&self, other: &Self) -> Result<Tensor> {
        let tasks = self.common_tasks(other)?;
        let mut sum = None::<Tensor>;
        for ((entry, a), b) in self.iter().zip(other.leaves()) {
            if !entry.role.is_trained() {
                continue;
            }
            let product = a.f_mul(b).op("dot", &[a, b])?;
            let part = match tasks {
                None => product.f_sum(product.kind())?,
                Some(tasks) => product.f_reshape([tasks, -1])?.f_sum_dim_intlist(
                    [1].as_slice(),
                    false,
                    product.kind(),
                )?,
            };
            sum = Some(match sum {
                None => part,
                Some(sum) => sum.f_add(&part)?,
            });
        }
        sum.ok_or_else(|| Error::Layout { message: "nothing in this layout is trained".into() })
    }

    /// The Euclidean norm over the trained entries, a tensor of one element; with a task dimension, `[T]`.
    pub fn norm(&self) -> Result<Tensor> {
        Ok(self.dot(self)?.f_sqrt()?)
    }

    /// Whether no number is NaN or infinite.
    pub fn is_finite(&self) -> Result<bool> {
        // Each look at a GPU's number waits for all work in flight.
        if self.device() != Device::Cpu && self.total()?.is_finite() {
            return Ok(true);
        }
        for leaf in self.leaves() {
            // A sum is finite when all its terms are, unless it overflows; then each is looked at.
            if leaf.f_detach()?.f_sum(leaf.kind())?.f_double_value(&[])?.is_finite() {
                continue;
            }
            if leaf.f_detach()?.f_isfinite()?.f_all()?.f_int64_value(&[])? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The sum of all numbers, in one look at the device. In double precision: a sum of single-precision numbers cannot overflow.
    fn total(&self) -> Result<f64> {
        let sum_of = |leaf: &Tensor| Ok::<_, Error>(leaf.f_detach()?.f_sum(Kind::Double)?);
        let mut sums = match self.as_vector() {
            None => self.leaves().iter().map(sum_of).collect::<Result<Vec<_>>>()?,
            Some(vector) => {
                let buffers = self.iter().filter(|(entry, _)| !entry.role.is_trained());
                let buffers = buffers.map(|(_, leaf)| leaf.f_detach()?.f_reshape([-1]));
                let buffers = buffers.collect::<std::result::Result<Vec<_>, _>>()?;
                // Beside each other first: a sum of each would be a launch for each.
                let together = if buffers.is_empty() { None } else { Some(Tensor::f_cat(&buffers, 0)?) };
                std::iter::once(&vector).chain(&together).map(sum_of).collect::<Result<_>>()?
            }
        };
        match (sums.len(), sums.pop()) {
            (1, Some(sum)) => Ok(sum.f_double_value(&[])?),
            (_, None) => Ok(0.0),
            (_, Some(last)) => {
                sums.push(last);
                Ok(Tensor::f_stack(&sums, 0)?.f_sum(Kind::Double)?.f_double_value(&[])?)
            }
        }
    }

    /// The trained entries as one vector `[P]`, or one row for each task, `[T, P]`.
    pub fn flatten(&self) -> Result<Tensor> {
        let rows: &[i64] = &self.tasks().map_or(vec![-1], |tasks| vec![tasks, -1]);
        let parts: Vec<Tensor> = self
            .iter()
            .filter(|(entry, _)| entry.role.is_trained())
            .map(|(_, leaf)| leaf.f_reshape(rows).map_err(Error::from))
            .collect::<Result<_>>()?;
        if parts.is_empty() {
            return Err(Error::Layout { message: "nothing in this layout is trained".into() });
        }
        Ok(Tensor::f_cat(&parts, -1)?)
    }

    /// The trained entries written into a vector `[P]`, one after the other, where [`Params::flatten`] would make a new one.
    ///
    /// # Errors
    /// When there is a task dimension, or the vector's length is not the number of trained numbers.
    pub fn flatten_into(&self, vector: &Tensor) -> Result<()> {
        let count = self.layout().trained_count();
        if self.tasks().is_some() || vector.size() != [count] {
            let (expected, found) = (vec![count], vector.size());
            return Err(Error::Shape { what: "vector of parameters".into(), expected, found });
        }
        write_in_turn(self.iter().filter(|(entry, _)| entry.role.is_trained()).map(|(_, leaf)| leaf), vector)
    }

    /// These parameters with the trained entries read from a vector `[P]` (or `[T, P]`), which they then view.
    ///
    /// # Errors
    /// When the vector's length is not the number of trained numbers.
    pub fn unflatten(&self, vector: &Tensor) -> Result<Self> {
        let count = self.layout().trained_count();
        let expected: Vec<i64> = self.tasks().into_iter().chain([count]).collect();
        if vector.size() != expected {
            return Err(Error::Shape { what: "vector of parameters".into(), expected, found: vector.size() });
        }
        let trained = self.layout().trained();
        let lengths: Vec<i64> = trained
            .iter()
            .map(|slot| Ok(self.layout().entry(*slot)?.shape.iter().product()))
            .collect::<Result<_>>()?;
        let mut parts = vector.f_split_with_sizes(lengths, -1)?.into_iter();
        self.map_slots(&trained, |_, leaf| {
            let part = parts.next().ok_or_else(|| Error::Layout { message: "a vector too short".into() })?;
            Ok(part.f_reshape(leaf.size())?)
        })
    }

    /// Parameters of `layout` with the trained entries read from `vector` and zeros elsewhere.
    pub fn from_vector(layout: &Arc<Layout>, vector: &Tensor) -> Result<Self> {
        let (tasks, expected) = match vector.size().as_slice() {
            &[tasks, _] if tasks > 0 => (Some(tasks), vec![tasks, layout.trained_count()]),
            _ => (None, vec![layout.trained_count()]),
        };
        if vector.size() != expected {
            return Err(Error::Shape { what: "vector of parameters".into(), expected, found: vector.size() });
        }
        let mut start = 0;
        // All buffers in one piece of memory.
        let numbers = |entry: &Entry| tasks.unwrap_or(1) * entry.shape.iter().product::<i64>();
        let of_buffers = layout.entries().iter().filter(|entry| !entry.role.is_trained()).map(numbers).sum();
        let buffers = Tensor::f_zeros([of_buffers], (vector.kind(), vector.device()))?;
        let mut buffer = 0;
        let leaves = layout.entries().iter().map(|entry| {
            let shape: Vec<i64> = tasks.into_iter().chain(entry.shape.iter().copied()).collect();
            if !entry.role.is_trained() {
                let part = buffers.f_narrow(0, buffer, numbers(entry))?;
                buffer += numbers(entry);
                return Ok(part.f_reshape(shape)?);
            }
            let length = entry.shape.iter().product();
            let part = vector.f_narrow(-1, start, length)?;
            start += length;
            Ok(part.f_reshape(shape)?)
        });
        let params = Self::of_known_shapes(layout.clone(), leaves.collect::<Result<_>>()?, tasks);
        // The leaves are views of it only where it has no gaps.
        let is_one = tasks.is_none() && layout.trained_count() > 0 && vector.is_contiguous();
        let vector = if is_one { Some(vector.f_detach()?) } else { None };
        Ok(Self { vector, ..params })
    }

    /// The largest absolute difference to `other`, for tests.
    pub fn max_difference(&self, other: &Self) -> Result<f64> {
        self.common_tasks(other)?;
        let mut largest = 0.0_f64;
        for (a, b) in self.leaves().iter().zip(other.leaves()) {
            if a.numel() > 0 {
                let gap = a.f_detach()?.f_sub(&b.f_detach()?).op("difference", &[a, b])?;
                let gap = gap.f_abs()?.f_max()?.f_to_kind(Kind::Double)?.f_double_value(&[])?;
                // A NaN must not pass as small.
                largest = if gap.is_nan() { f64::NAN } else { largest.max(gap) };
            }
            if largest.is_nan() {
                break;
            }
        }
        Ok(largest)
    }
}

/// Writes tensors one after the other into a vector as long as all of them.
///
/// # Errors
/// When it is shorter.
pub fn write_in_turn<'t>(parts: impl IntoIterator<Item = &'t Tensor>, vector: &Tensor) -> Result<()> {
    let _off = no_grad();
    let mut start = 0;
    for part in parts {
        let length = part.numel() as i64;
        vector.f_narrow(0, start, length)?.f_copy_(&part.f_reshape([-1])?)?;
        start += length;
    }
    Ok(())
}

/// A number as a tensor without dimensions: a product with one takes a third of the time of a product with a number, which
/// the binding allocates, and libtorch turns into such a tensor for every product anew.
struct Factors {
    value: f64,
    found: Vec<Tensor>,
}

impl Factors {
    fn new(value: f64) -> Self {
        Self { value, found: Vec::new() }
    }

    /// The number for a leaf, unless it would lose digits as one of the leaf's type, or has to be sent to a device.
    fn like(&mut self, leaf: &Tensor) -> Option<&Tensor> {
        let kind = leaf.kind();
        if leaf.device() != Device::Cpu || !matches!(kind, Kind::Float | Kind::Double) {
            return None;
        }
        let at = self.found.iter().position(|factor| factor.kind() == kind).unwrap_or_else(|| {
            self.found.push(if kind == Kind::Double {
                Tensor::from(self.value)
            } else {
                Tensor::from(self.value as f32)
            });
            self.found.len() - 1
        });
        self.found.get(at)
    }
}
