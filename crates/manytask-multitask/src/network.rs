use std::sync::Arc;

use manytask_data::Inputs;
use manytask_nn::dense::{Curve, DenseChain, DenseLayer, Trace};
use manytask_nn::layers::{Embedding, Restored};
use manytask_nn::{Builder, Cx, Module};
use manytask_tensor::dense::{Real, filled};
use manytask_tensor::{Device, Kind, Layout, Owner, Params, Slot, Tensor, no_grad, threads};

use crate::trunk_inputs::TrunkInputs;
use crate::{Error, Result};

/// Rows that go through the network at once: enough for the kernels, little enough for the memory.
const ROWS: i64 = 8192;

/// The form and the sizes of what comes in, see [`Inputs`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSizes {
    /// Columns of a table.
    Features {
        /// Numbers in each row, one-hot categories included.
        dense: i64,
        /// The number of values of each column that is embedded.
        categories: Vec<i64>,
    },
    /// Images.
    Images {
        /// Channels.
        channels: i64,
        /// Rows of pixels.
        height: i64,
        /// Columns of pixels.
        width: i64,
    },
    /// Vectors of so many numbers.
    Vectors(i64),
}

impl InputSizes {
    /// Features that are so many numbers and nothing else.
    pub fn numbers(dense: i64) -> Self {
        Self::Features { dense, categories: Vec::new() }
    }

    /// The number of values of each column that is embedded.
    pub fn categories(&self) -> &[i64] {
        match self {
            Self::Features { categories, .. } => categories,
            Self::Images { .. } | Self::Vectors(_) => &[],
        }
    }

    /// The shape of a row as it comes into a trunk, `[D]` or `[C, H, W]`, where each embedded column becomes `embedding`
    /// numbers.
    pub fn shape(&self, embedding: i64) -> Vec<i64> {
        match self {
            Self::Features { dense, categories } => vec![dense + embedding * categories.len() as i64],
            Self::Images { channels, height, width } => vec![*channels, *height, *width],
            Self::Vectors(width) => vec![*width],
        }
    }
}

/// A shared trunk with one head for each task: hard parameter sharing (Caruana 1993),
/// `h = f(x; W₁, b₁)`, `yᵢ = fᵢ(h; W₂ᵢ, b₂ᵢ)`.
#[derive(Debug)]
pub struct SharedTrunk {
    layout: Arc<Layout>,
    embeddings: Vec<Embedding>,
    trunk: Box<dyn Module>,
    heads: Vec<Box<dyn Module>>,
    shared: Vec<Slot>,
    own: Vec<Vec<Slot>>,
    chain: Option<DenseChain>,
}

/// What a part of a network is built by: it adds its parameters and gives its definition.
pub type Built = (Box<dyn Module>, i64);

impl SharedTrunk {
    /// Builds the network.
    ///
    /// `trunk` is given the shape of a row of its inputs, `[D]` or `[C, H, W]`, and answers with the definition and the size of its representation; `head`
    /// is given a task's number and the size of the representation. Columns of categories become `embedding` numbers
    /// each. Parameters are named `embedding0.weight …`, `trunk.…`, `heads.NAME.…`. Representations and outputs have the
    /// element type of the parameters, whatever layers compute in.
    ///
    /// # Errors
    /// When there is no task, or the trunk or a head cannot be built.
    pub fn build(
        inputs: &InputSizes,
        embedding: i64,
        tasks: &[String],
        trunk: impl FnOnce(&mut Builder<'_>, &[i64]) -> Result<Built>,
        mut head: impl FnMut(&mut Builder<'_>, usize, i64) -> Result<Box<dyn Module>>,
    ) -> Result<Self> {
        if tasks.is_empty() {
            return Err(Error::setting("a network without a task", "describe at least one target"));
        }
        let mut layout = Layout::builder();
        let mut root = Builder::new(&mut layout);
        let embeddings = inputs.categories().iter().enumerate().map(|(column, &values)| {
            Ok(Embedding::new(&mut root.scope(format!("embedding{column}")), values, embedding)?)
        });
        let embeddings = embeddings.collect::<Result<Vec<_>>>()?;
        let (trunk, features) = trunk(&mut root.scope("trunk"), &inputs.shape(embedding))?;
        let mut heads = Vec::with_capacity(tasks.len());
        let mut heads_root = root.scope("heads");
        for (task, name) in tasks.iter().enumerate() {
            let head = head(&mut heads_root.scope(name).for_task(task), task, features)?;
            heads.push(Box::new(Restored(head)) as Box<dyn Module>);
        }
        let layout = layout.build();
        let mut own = vec![Vec::new(); tasks.len()];
        let mut shared = Vec::new();
        for slot in layout.trained() {
            let owner = layout.entry(slot)?.owner;
            match owner {
                Owner::Shared => shared.push(slot),
                Owner::Task(task) => own.get_mut(task).unwrap_or(&mut shared).push(slot),
            }
        }
        let chain = DenseChain::of(trunk.as_ref(), &layout)
            .filter(|chain| chain.is_straight() && chain.slots().eq(shared.iter().copied()));
        Ok(Self { layout, embeddings, trunk: Box::new(Restored(trunk)), heads, shared, own, chain })
    }

    /// The parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The trained parameters that all tasks share.
    pub fn shared(&self) -> &[Slot] {
        &self.shared
    }

    /// The trained parameters of one task's head.
    pub fn own(&self, task: usize) -> &[Slot] {
        self.own.get(task).map_or(&[], Vec::as_slice)
    }

    /// All that is shared as a chain of linear layers whose curves are straight on both sides of 0, where it is nothing else.
    /// Other curves are left to the graph, whose exponentials are faster.
    pub fn chain(&self) -> Option<&DenseChain> {
        self.chain.as_ref()
    }

    /// The chain, where passes with these parameters are written out: on a processor, in f32 or f64.
    pub(crate) fn written_chain(&self, params: &Params) -> Option<&DenseChain> {
        let kind = matches!(params.kind(), Kind::Float | Kind::Double);
        self.chain.as_ref().filter(|_| kind && params.device() == Device::Cpu)
    }

    /// A head that is one linear layer and nothing else.
    pub fn linear_head(&self, task: usize) -> Option<DenseLayer> {
        let chain = DenseChain::of(self.heads.get(task)?.as_ref(), &self.layout)?;
        let [layer] = chain.layers() else { return None };
        (layer.curve == Curve::Identity && chain.slots().eq(self.own(task).iter().copied())).then_some(*layer)
    }

    /// The fewest rows that the trunk takes in training, see [`Module::smallest_batch`].
    pub fn smallest_batch(&self) -> usize {
        self.trunk.smallest_batch()
    }

    /// The fewest rows that a task's head takes in training.
    pub fn smallest_batch_of(&self, task: usize) -> usize {
        self.heads.get(task).map_or(1, Module::smallest_batch)
    }

    /// The number of heads.
    pub fn tasks(&self) -> usize {
        self.heads.len()
    }

    /// The representation of rows of inputs, `[B, features]`.
    pub fn represent(&self, params: &Params, inputs: &Inputs, cx: &mut Cx) -> Result<Tensor> {
        let rows = inputs.tensor(params.kind())?;
        let Some(categories) = inputs.features().and_then(|features| features.categorical.as_ref()) else {
            return Ok(self.trunk.forward(params, &rows, cx)?);
        };
        if categories.size().get(1).copied() != Some(self.embeddings.len() as i64) {
            return Err(Error::setting(
                format!("{:?} categories for {} embedded columns", categories.size(), self.embeddings.len()),
                "give the inputs that the network was built for",
            ));
        }
        let mut parts = vec![rows];
        for (column, embedding) in self.embeddings.iter().enumerate() {
            parts.push(embedding.forward(params, &categories.f_select(1, column as i64)?, cx)?);
        }
        Ok(self.trunk.forward(params, &Tensor::f_cat(&parts, 1)?, cx)?)
    }

    /// What a task's head makes of a representation, `[B, outputs]`.
    pub fn head(&self, task: usize, params: &Params, representation: &Tensor, cx: &mut Cx) -> Result<Tensor> {
        let head = self.heads.get(task).ok_or_else(|| {
            Error::setting(format!("task {task} of {}", self.heads.len()), "count tasks from 0")
        })?;
        Ok(head.forward(params, representation, cx)?)
    }

    /// Each task's raw outputs `[N, outputs]` for rows of inputs, without a graph and in evaluation; what they mean says
    /// [`Task::present`](crate::Task::present). `inputs` are one for all tasks or one for each.
    ///
    /// # Errors
    /// When the inputs are not of the network's form.
    pub fn outputs(&self, params: &Params, inputs: &[Inputs]) -> Result<Vec<Tensor>> {
        let _off = no_grad();
        let all: Vec<usize> = (0..self.tasks()).collect();
        match inputs {
            [inputs] => self.chunks(params, inputs, &all),
            inputs if inputs.len() == self.tasks() => {
                let mut outputs = Vec::with_capacity(inputs.len());
                for (task, inputs) in inputs.iter().enumerate() {
                    outputs.extend(self.chunks(params, inputs, &[task])?);
                }
                Ok(outputs)
            }
            inputs => Err(Error::setting(
                format!("{} inputs for {} tasks", inputs.len(), self.tasks()),
                "give one for all tasks, or one for each",
            )),
        }
    }

    /// The representation without libtorch, where the trunk is a chain on the processor.
    fn written_out(&self, params: &Params, inputs: &Inputs) -> Result<Option<Tensor>> {
        fn forward<T: Real>(chain: &DenseChain, params: &Params, inputs: &Inputs) -> Result<Tensor> {
            let inputs = TrunkInputs::new(inputs, chain, T::KIND)?;
            let mut trace = Trace::default();
            chain.forward(&chain.borrow(params)?, inputs.borrow()?, &mut trace, threads::get())?;
            let last = trace.activations.last().map_or(&[][..], Vec::as_slice);
            filled::<T, Error>(&[inputs.rows() as i64, chain.outputs() as i64], |out| {
                out.copy_from_slice(last);
                Ok(())
            })
        }
        let Some(chain) = self.written_chain(params) else { return Ok(None) };
        Ok(Some(match params.kind() {
            Kind::Double => forward::<f64>(chain, params, inputs)?,
            _ => forward::<f32>(chain, params, inputs)?,
        }))
    }

    fn chunks(&self, params: &Params, inputs: &Inputs, tasks: &[usize]) -> Result<Vec<Tensor>> {
        let mut parts: Vec<Vec<Tensor>> = tasks.iter().map(|_| Vec::new()).collect();
        let rows = inputs.rows() as i64;
        let mut start = 0;
        // At least once, so that no rows give outputs of no rows.
        loop {
            let length = ROWS.min(rows - start);
            let chunk = inputs.narrow(start, length)?;
            let mut cx = Cx::eval();
            let representation = match self.written_out(params, &chunk)? {
                Some(representation) => representation,
                None => self.represent(params, &chunk, &mut cx)?,
            };
            for (&task, parts) in tasks.iter().zip(&mut parts) {
                parts.push(self.head(task, params, &representation, &mut cx)?);
            }
            start += length;
            if start >= rows {
                break;
            }
        }
        parts.iter().map(|parts| Ok(Tensor::f_cat(parts, 0)?)).collect()
    }
}
