use std::fmt::Debug;

use manytask_tensor::{Init, LayoutBuilder, Owner, Params, Role, Slot, Tensor};

use crate::primitive::{NotFused, Primitive};
use crate::{Context, Precision, Result};

/// The definition of a network or a layer.
///
/// `x` has the layer's input shape with a leading batch dimension, `[B, …]`. If the parameters have a task dimension,
/// `params.tasks() == Some(T)`, so has the input, `[T, B, …]`, and slice t is what the t-th parameters give.
pub trait Module: Debug + Send + Sync {
    /// The output for parameters and an input.
    ///
    /// # Errors
    /// When the input's shape does not fit, or the parameters are another network's.
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor>;

    /// The primitives that it is made of, first to last. What answers here must be the whole of what `forward` does, in training
    /// and in evaluation.
    ///
    /// # Errors
    /// With what it is, where it is anything else: then the graph computes it.
    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        Err(NotFused::opaque::<Self>())
    }

    /// The fewest rows that a batch may have in training: 1, or 2 where statistics are taken over the batch of a single value
    /// in each row, which has no variance by itself. A module that is made of others answers the largest of theirs.
    fn smallest_batch(&self) -> usize {
        1
    }

    /// Its stages, where it can be run one stage after the other; `None` where it runs as a whole only.
    fn staged(&self) -> Option<&dyn Staged> {
        None
    }
}

/// A network that is a sequence of stages: between them features can be looked at, exchanged with those of other networks, or
/// changed. All stages one after the other are the network's forward pass, to the bit.
pub trait Staged: Debug + Send + Sync {
    /// The size of dimension 1 of each stage's output: channels of pictures, numbers of rows.
    fn widths(&self) -> &[i64];

    /// What a stage, counted from 0, makes of the output of the one before, or of the input.
    ///
    /// # Errors
    /// When there is no such stage, the input's shape does not fit, or the parameters are another network's.
    fn run(&self, stage: usize, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor>;
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        (**self).forward(params, x, cx)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        (**self).primitives()
    }

    fn smallest_batch(&self) -> usize {
        (**self).smallest_batch()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        (**self).staged()
    }
}

impl<M: Module + ?Sized> Module for std::sync::Arc<M> {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        (**self).forward(params, x, cx)
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        (**self).primitives()
    }

    fn smallest_batch(&self) -> usize {
        (**self).smallest_batch()
    }

    fn staged(&self) -> Option<&dyn Staged> {
        (**self).staged()
    }
}

/// Adds parameters to a layout under dotted names.
///
/// ```
/// use manytask_nn::Builder;
/// use manytask_tensor::{Init, Layout, Role};
/// let mut layout = Layout::builder();
/// let mut root = Builder::new(&mut layout);
/// root.scope("trunk").scope("layer0").parameter("bias", &[3], Init::Zeros, Role::Bias)?;
/// assert_eq!(layout.build().entries()[0].name, "trunk.layer0.bias");
/// # Ok::<(), manytask_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct Builder<'a> {
    layout: &'a mut LayoutBuilder,
    prefix: String,
    precision: Precision,
    owner: Owner,
    norms: Option<OwnNorms>,
}

/// The task whose normalisations are added to a network that is there already.
#[derive(Debug, Clone)]
struct OwnNorms {
    task: usize,
    name: String,
}

impl<'a> Builder<'a> {
    /// A builder of names without a prefix.
    pub fn new(layout: &'a mut LayoutBuilder) -> Self {
        Self { layout, prefix: String::new(), precision: Precision::Full, owner: Owner::Shared, norms: None }
    }

    /// A builder of names within `name`.
    pub fn scope(&mut self, name: impl AsRef<str>) -> Builder<'_> {
        let prefix = format!("{}{}.", self.prefix, name.as_ref());
        Builder { prefix, ..self.same() }
    }

    /// The same builder for a while.
    fn same(&mut self) -> Builder<'_> {
        Builder {
            layout: self.layout,
            prefix: self.prefix.clone(),
            precision: self.precision,
            owner: self.owner,
            norms: self.norms.clone(),
        }
    }

    /// A builder of parameters that one task has for itself, counted from 0: they rest in steps in which it is absent.
    pub fn for_task(&mut self, task: usize) -> Builder<'_> {
        self.owned_by(Owner::Task(task))
    }

    /// A builder of parameters of this owner.
    pub fn owned_by(&mut self, owner: Owner) -> Builder<'_> {
        Builder { owner, ..self.same() }
    }

    /// A builder of a network whose normalisations are this task's own and all else shared: a parameter that is there already by
    /// its name and shape is taken, those of normalisations are added within `name`. Built once for each task, the definitions are
    /// those of one network with normalisations of each task.
    ///
    /// ```
    /// use manytask_nn::Builder;
    /// use manytask_nn::layers::{BatchNorm, Linear};
    /// use manytask_tensor::Layout;
    /// let mut layout = Layout::builder();
    /// for (task, name) in ["a", "b"].into_iter().enumerate() {
    ///     let mut root = Builder::new(&mut layout);
    ///     let mut own = root.with_norms_of(task, name);
    ///     Linear::new(&mut own.scope("layer"), 3, 2)?;
    ///     BatchNorm::new(&mut own.scope("norm"), 2)?;
    /// }
    /// let names: Vec<String> = layout.build().entries().iter().map(|entry| entry.name.clone()).collect();
    /// assert_eq!(names.iter().filter(|name| name.as_str() == "layer.weight").count(), 1);
    /// assert!(names.contains(&"norm.a.weight".to_owned()) && names.contains(&"norm.b.running_var".to_owned()));
    /// # Ok::<(), manytask_nn::Error>(())
    /// ```
    pub fn with_norms_of(&mut self, task: usize, name: &str) -> Builder<'_> {
        Builder { norms: Some(OwnNorms { task, name: name.to_owned() }), ..self.same() }
    }

    /// A builder of what a normalisation has: scale, shift and statistics.
    pub fn norm(&mut self) -> Builder<'_> {
        match self.norms.clone() {
            None => self.same(),
            Some(OwnNorms { task, name }) => {
                let prefix = format!("{}{name}.", self.prefix);
                Builder { prefix, owner: Owner::Task(task), norms: None, ..self.same() }
            }
        }
    }

    /// A builder of layers that compute in `precision`. What they give may be of another element type than the parameters;
    /// around a network [`Restored`](crate::layers::Restored) turns it back.
    ///
    /// ```
    /// use manytask_nn::layers::Linear;
    /// use manytask_nn::{Builder, Context, Module, Precision};
    /// use manytask_tensor::{Device, Kind, Layout, Tensor};
    /// let mut layout = Layout::builder();
    /// let mut root = Builder::new(&mut layout);
    /// let layer = Linear::new(&mut root.with_precision(Precision::Bfloat16), 3, 2)?;
    /// let params = layout.build().init(0, Kind::Float, Device::Cpu)?;
    /// let x = Tensor::ones([4, 3], (Kind::Float, Device::Cpu));
    /// assert_eq!(layer.forward(&params, &x, &mut Context::eval())?.kind(), Kind::BFloat16);
    /// # Ok::<(), manytask_nn::Error>(())
    /// ```
    pub fn with_precision(&mut self, precision: Precision) -> Builder<'_> {
        Builder { precision, ..self.same() }
    }

    /// What layers compute in.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Adds a parameter.
    ///
    /// # Errors
    /// When the full name was used before.
    pub fn parameter(&mut self, name: &str, shape: &[i64], init: Init, role: Role) -> Result<Slot> {
        let name = format!("{}{name}", self.prefix);
        Ok(match &self.norms {
            None => self.layout.add_of(self.owner, name, shape, init, role)?,
            Some(_) => self.layout.find_or_add(self.owner, name, shape, init, role)?,
        })
    }
}
