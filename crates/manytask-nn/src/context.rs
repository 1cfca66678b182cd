use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Params, Slot, Tensor, no_grad};

use crate::Result;

/// Whether a network is trained or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Dropout drops.
    Train,
    /// Dropout passes.
    Eval,
}

/// Which statistics a batch-norm layer normalises with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchNormPolicy {
    /// Those of the batch when training, with an update of the running ones; the running ones in evaluation.
    Running,
    /// Those of the batch always, and the running ones are left alone: the transductive rule of MAML.
    Batch,
}

/// How far a training is, for networks that change with it: annealed temperatures, gates that are drawn for some epochs only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The step of the loop, counted from 0.
    pub step: u64,
    /// The epoch, counted from 0; 0 where tasks are sampled without end.
    pub epoch: u64,
}

/// Rows that are mixed with others somewhere in a network (manifold mixup: Verma et al. 2019, arXiv:1806.05236).
///
/// A batch holds its rows twice, and both halves become `λ h + (1 − λ) h'` with h' the row of a permutation; the labels of the second half
/// are those of the other rows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HiddenMix {
    /// λ.
    pub share: f64,
    /// What the permutation and the place are drawn by.
    pub key: Key,
}

impl HiddenMix {
    /// Before which of so many places it happens, counted from 0, each alike.
    pub fn place(&self, places: usize) -> usize {
        (self.key.within(1).number() % places.max(1) as u64) as usize
    }

    /// The mixed rows of `[2B, …]`.
    ///
    /// # Errors
    /// When memory runs out.
    pub fn apply(&self, x: &Tensor) -> Result<Tensor> {
        let rows = x.size().first().copied().unwrap_or_default() / 2;
        let order = Tensor::f_from_slice(&self.key.permutation(rows as usize))?.f_to_device(x.device())?;
        let own = x.f_narrow(0, 0, rows)?;
        let mixed = own.f_index_select(0, &order)?.f_lerp(&own, self.share)?;
        Ok(Tensor::f_cat(&[&mixed, &mixed], 0)?)
    }
}

/// What a forward pass needs beside parameters and input, and what it leaves behind.
#[derive(Debug)]
pub struct Context {
    mode: Mode,
    batch_norm: BatchNormPolicy,
    key: Key,
    tasks: Vec<u64>,
    draws: u64,
    buffers: Vec<(Slot, Tensor)>,
    progress: Option<Progress>,
    mix: Option<HiddenMix>,
}

impl Context {
    /// A pass in training: dropout drops, with masks drawn from `key`.
    pub fn train(key: Key) -> Self {
        Self {
            mode: Mode::Train,
            batch_norm: BatchNormPolicy::Running,
            key,
            tasks: Vec::new(),
            draws: 0,
            buffers: Vec::new(),
            progress: None,
            mix: None,
        }
    }

    /// A pass in evaluation, which draws nothing.
    pub fn eval() -> Self {
        Self { mode: Mode::Eval, ..Self::train(Key::new(0, "eval")) }
    }

    /// The same with another rule for batch-norm.
    #[must_use]
    pub fn with_batch_norm(self, batch_norm: BatchNormPolicy) -> Self {
        Self { batch_norm, ..self }
    }

    /// The same for parameters with a task dimension; `tasks` are the numbers that enter the keys of their draws, so that
    /// a batched pass draws what one pass for each task, with `key.task(number)`, would.
    #[must_use]
    pub fn with_tasks(self, tasks: Vec<u64>) -> Self {
        Self { tasks, ..self }
    }

    /// The same at a step of a training.
    #[must_use]
    pub fn with_progress(self, progress: Progress) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// The same with rows that are mixed on their way.
    #[must_use]
    pub fn with_mix(self, mix: HiddenMix) -> Self {
        Self { mix: Some(mix), ..self }
    }

    /// How rows are mixed on their way, if they are.
    pub fn mix(&self) -> Option<HiddenMix> {
        self.mix
    }

    /// How far the training is; `None` in evaluation.
    pub fn progress(&self) -> Option<Progress> {
        self.progress
    }

    /// The key of the next place in the network that draws.
    pub fn next_key(&mut self) -> Key {
        let key = self.key.within(self.draws);
        self.draws += 1;
        key
    }

    /// Whether this is training.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The rule for batch-norm.
    pub fn batch_norm(&self) -> BatchNormPolicy {
        self.batch_norm
    }

    /// Ones with probability `p` and zeros otherwise, for the next place in the network that draws.
    ///
    /// Where `tasks` is the size of the leading task dimension, slice t is drawn with the t-th task's key.
    pub fn bernoulli(
        &mut self,
        p: f64,
        shape: &[i64],
        tasks: Option<i64>,
        kind: Kind,
        device: Device,
    ) -> Result<Tensor> {
        let key = self.next_key();
        let (Some(tasks), [_, rest @ ..]) = (tasks, shape) else {
            return Ok(key.bernoulli(p, shape, kind, device)?);
        };
        let slices = (0..tasks as usize).map(|t| {
            let number = self.tasks.get(t).copied().unwrap_or(t as u64);
            key.task(number).bernoulli(p, rest, kind, device)
        });
        Ok(Tensor::f_stack(&slices.collect::<Result<Vec<_>, _>>()?, 0)?)
    }

    /// Records the new value of a buffer. The training loop applies it after the step; adaptation never does.
    pub fn record(&mut self, slot: Slot, value: Tensor) {
        self.buffers.push((slot, value));
    }

    /// The buffers recorded so far, in order, leaving none.
    pub fn take_buffers(&mut self) -> Vec<(Slot, Tensor)> {
        std::mem::take(&mut self.buffers)
    }

    /// Writes recorded buffers into parameters.
    ///
    /// # Errors
    /// When a shape differs.
    pub fn apply_buffers(params: &mut Params, buffers: Vec<(Slot, Tensor)>) -> Result<()> {
        let _off = no_grad();
        for (slot, value) in buffers {
            let place = params.get(slot)?;
            // In place, where whoever else has these parameters sees it; another kind or shape is refused by `put`.
            if place.size() == value.size() && place.kind() == value.kind() {
                place.f_detach()?.f_copy_(&value)?;
            } else {
                params.put(slot, value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Init, Layout, Role};

    use super::*;

    const ON: (Kind, Device) = (Kind::Double, Device::Cpu);

    #[test]
    fn a_batched_pass_draws_what_a_loop_over_tasks_draws() {
        let key = Key::new(3, "dropout").step(7);
        let mut batched = Context::train(key).with_tasks(vec![4, 9]);
        let both: Vec<Tensor> =
            (0..2).map(|_| batched.bernoulli(0.5, &[2, 64], Some(2), ON.0, ON.1).unwrap()).collect();
        for (t, number) in [4, 9].into_iter().enumerate() {
            let mut single = Context::train(key.task(number));
            for draws in &both {
                let alone = single.bernoulli(0.5, &[64], None, ON.0, ON.1).unwrap();
                assert_eq!(draws.select(0, t as i64), alone);
            }
        }
        assert_ne!(both[0].select(0, 0), both[0].select(0, 1), "two tasks draw apart");
        assert_ne!(both[0], both[1], "two indices of a network draw apart");
    }

    #[test]
    fn recorded_buffers_are_written_when_applied_and_not_before() {
        let mut layout = Layout::builder();
        let mean = layout.add("mean", &[1], Init::Zeros, Role::Buffer).unwrap();
        let mut params = layout.build().init(0, ON.0, ON.1).unwrap();
        let mut cx = Context::eval();
        cx.record(mean, Tensor::from_slice(&[1.0]));
        cx.record(mean, Tensor::from_slice(&[2.0]));
        assert_eq!(params.get(mean).unwrap().double_value(&[0]), 0.0);
        Context::apply_buffers(&mut params, cx.take_buffers()).unwrap();
        assert_eq!(params.get(mean).unwrap().double_value(&[0]), 2.0, "the last one stays");
        assert!(cx.take_buffers().is_empty());
        assert!(Context::apply_buffers(&mut params, vec![(mean, Tensor::from_slice(&[1.0, 2.0]))]).is_err());
    }
}
