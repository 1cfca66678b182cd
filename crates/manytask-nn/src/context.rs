use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Params, Slot, Tensor};

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

/// What a forward pass needs beside parameters and input, and what it leaves behind.
#[derive(Debug)]
pub struct Cx {
    mode: Mode,
    batch_norm: BatchNormPolicy,
    key: Key,
    tasks: Vec<u64>,
    draws: u64,
    buffers: Vec<(Slot, Tensor)>,
}

impl Cx {
    /// A pass in training: dropout drops, with masks drawn from `key`.
    pub fn train(key: Key) -> Self {
        Self {
            mode: Mode::Train,
            batch_norm: BatchNormPolicy::Running,
            key,
            tasks: Vec::new(),
            draws: 0,
            buffers: Vec::new(),
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
        let key = self.key.within(self.draws);
        self.draws += 1;
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
        for (slot, value) in buffers {
            params.put(slot, value)?;
        }
        Ok(())
    }
}
