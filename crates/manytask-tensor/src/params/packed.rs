//! Parameters that lie in memory one after the other, so that what is done to each can be done to all at once.

use tch::Tensor;

use crate::{Params, Result, no_grad};

impl Params {
    /// The same values in new memory, without a graph, the trained entries one after the other in one piece of it. Those of several
    /// element types, and those with a task dimension, each have a piece of their own.
    pub fn packed(&self) -> Result<Self> {
        let _off = no_grad();
        let trained = || self.iter().filter(|(entry, _)| entry.role.is_trained()).map(|(_, leaf)| leaf);
        if self.tasks().is_some()
            || trained().next().is_none()
            || trained().any(|leaf| leaf.kind() != self.kind())
        {
            return self.copy_each();
        }
        let vector = Tensor::f_empty([self.layout().trained_count()], (self.kind(), self.device()))?;
        let mut packed = self.copy_buffers()?.unflatten(&vector)?;
        packed.copy_from(self)?;
        packed.vector = Some(vector);
        Ok(packed)
    }

    /// The trained entries as one vector `[P]`, outside of any graph, that shares their memory: where they lie in it one after the other, as those of
    /// [`Params::packed`] and [`Params::from_vector`] do.
    pub fn as_vector(&self) -> Option<Tensor> {
        if let Some(vector) = &self.vector {
            return Some(vector.shallow_clone());
        }
        if self.tasks().is_some() {
            return None;
        }
        let mut trained = self.iter().filter(|(entry, _)| entry.role.is_trained()).map(|(_, leaf)| leaf);
        let first = trained.next()?;
        let size = first.kind().elt_size_in_bytes();
        let end = |leaf: &Tensor| leaf.data_ptr() as usize + leaf.numel() * size;
        let mut next = end(first);
        for leaf in trained {
            if leaf.kind() != first.kind() || !leaf.is_contiguous() || leaf.data_ptr() as usize != next {
                return None;
            }
            next = end(leaf);
        }
        if !first.is_contiguous() {
            return None;
        }
        // Neighbours that are not of one piece of memory are refused here: the vector would be longer than the first one's.
        first.f_detach().ok()?.f_as_strided([self.layout().trained_count()], [1], None).ok()
    }

    /// The buffers in new memory, and the trained entries as they are.
    fn copy_buffers(&self) -> Result<Self> {
        let buffers = self.layout().select(|entry| !entry.role.is_trained());
        self.map_slots(&buffers, |_, leaf| {
            let mut copy = leaf.f_detach()?.f_empty_like()?;
            copy.f_copy_(leaf)?;
            Ok(copy)
        })
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use crate::{Init, Layout, Params, Role};

    fn params() -> Params {
        let mut layout = Layout::builder();
        for (name, shape, role) in
            [("a", &[2, 3][..], Role::Weight), ("mean", &[4], Role::Buffer), ("b", &[5], Role::Bias)]
        {
            layout.add(name, shape, Init::Normal { mean: 0.0, std: 1.0 }, role).unwrap();
        }
        layout.build().init(1, Kind::Float, Device::Cpu).unwrap()
    }

    #[test]
    fn packed_parameters_are_one_vector_in_their_own_memory() {
        let params = params();
        let packed = params.packed().unwrap();
        assert_eq!(packed.max_difference(&params).unwrap(), 0.0);
        let vector = packed.as_vector().expect("one vector");
        assert_eq!(vector.size(), [11]);
        assert!(vector.equal(&params.flatten().unwrap()));
        let _ = vector.shallow_clone().f_mul_scalar_(2.0).unwrap();
        assert!(packed.named("b").unwrap().equal(&params.named("b").unwrap().f_mul_scalar(2.0).unwrap()));
        assert!(packed.named("mean").unwrap().equal(params.named("mean").unwrap()), "a buffer is not in it");
    }

    #[test]
    fn a_vector_of_other_memory_is_none() {
        let params = params();
        // Each leaf has memory of its own, wherever it happens to be.
        assert!(params.as_vector().is_none());
        assert!(params.expand_tasks(2).unwrap().as_vector().is_none());
        let gradient = Params::from_vector(params.layout(), &params.flatten().unwrap()).unwrap();
        assert!(gradient.as_vector().is_some());
    }
}
