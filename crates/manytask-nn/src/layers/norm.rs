use manytask_tensor::{Init, Params, Role, Slot, Tensor, WHOLE};

use crate::primitive::{NotFused, Primitive};
use crate::{BatchNormPolicy, Builder, Context, Error, Mode, Module, Result};

/// `(x − mean) / √(variance + ε) · weight + bias` for each channel, over the batch and the picture (Ioffe & Szegedy 2015):
/// `[B, C]` or `[B, C, H, W]`; with a task dimension `[T, B, C, …]`, each task by itself.
///
/// In training, under [`BatchNormPolicy::Running`], the new running statistics are recorded in the context, never written:
/// `running ← (1 − momentum) running + momentum · batch`, with the unbiased variance, as PyTorch; of each task where there is a
/// task dimension.
#[derive(Debug, Clone)]
pub struct BatchNorm {
    weight: Slot,
    bias: Slot,
    running_mean: Slot,
    running_var: Slot,
    channels: i64,
    eps: f64,
    momentum: f64,
}

impl BatchNorm {
    /// Adds `weight`, `bias`, `running_mean` and `running_var`, each `[channels]`; ε is 1e-5 and the momentum 0.1.
    ///
    /// # Errors
    /// When there is no channel, or a name was used before.
    pub fn new(b: &mut Builder<'_>, channels: i64) -> Result<Self> {
        Self::with(b, channels, 1e-5, 0.1)
    }

    /// With another ε and momentum.
    ///
    /// # Errors
    /// As [`BatchNorm::new`], and when a number is out of range.
    pub fn with(b: &mut Builder<'_>, channels: i64, eps: f64, momentum: f64) -> Result<Self> {
        if channels < 1 {
            return Err(Error::named_setting(
                WHOLE,
                "batch-norm's channels",
                &channels,
                "at least 1 is needed",
            ));
        }
        if !(eps > 0.0 && (0.0..=1.0).contains(&momentum)) {
            let found = format!("{eps} and {momentum}");
            return Err(Error::named_setting(
                WHOLE,
                "batch-norm's epsilon and momentum",
                &found,
                "above 0, and in [0, 1]",
            ));
        }
        let mut b = b.norm();
        Ok(Self {
            weight: b.parameter("weight", &[channels], Init::Ones, Role::Scale)?,
            bias: b.parameter("bias", &[channels], Init::Zeros, Role::Bias)?,
            running_mean: b.parameter("running_mean", &[channels], Init::Zeros, Role::Buffer)?,
            running_var: b.parameter("running_var", &[channels], Init::Ones, Role::Buffer)?,
            channels,
            eps,
            momentum,
        })
    }

    /// Normalises `[B, C', …]` over all but dimension 1.
    fn normalise(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let flat = |slot: Slot| -> Result<Tensor> { Ok(params.get(slot)?.f_reshape([-1])?) };
        let (weight, bias) = (flat(self.weight)?, flat(self.bias)?);
        let running = cx.batch_norm() == BatchNormPolicy::Running;
        if running && cx.mode() == Mode::Eval {
            let (mean, var) = (flat(self.running_mean)?, flat(self.running_var)?);
            return Ok(x.f_batch_norm(
                Some(&weight),
                Some(&bias),
                Some(&mean),
                Some(&var),
                false,
                0.0,
                self.eps,
                false,
            )?);
        }
        let size = x.size();
        let count = x.numel() as i64 / size.get(1).copied().unwrap_or(1).max(1);
        if count < 2 {
            return Err(Error::named_setting(
                "norm",
                "the number of values that batch-norm has for each channel in training",
                &count,
                "two are needed for a variance; take larger batches, or norm = \"layer\" or \"none\"",
            ));
        }
        let none = None::<&Tensor>;
        let y = x.f_batch_norm(Some(&weight), Some(&bias), none, none, true, 0.0, self.eps, false)?;
        if running {
            let x = x.f_detach()?.f_to_kind(params.kind())?;
            let dims: Vec<i64> = (0..x.dim() as i64).filter(|dim| *dim != 1).collect();
            let (var, mean) = x.f_var_mean_dim(dims.as_slice(), true, false)?;
            for (slot, new) in [(self.running_mean, mean), (self.running_var, var)] {
                let old = params.get(slot)?.f_detach()?;
                // With a task dimension each task has its own, `[T, C]`.
                let new = new.f_reshape(old.size())?;
                let next = old.f_mul_scalar(1.0 - self.momentum)?.f_add(&new.f_mul_scalar(self.momentum)?)?;
                cx.record(slot, next);
            }
        }
        Ok(y)
    }
}

impl Module for BatchNorm {
    fn forward(&self, params: &Params, x: &Tensor, cx: &mut Context) -> Result<Tensor> {
        let shape = x.size();
        let expected =
            |expected: String| Error::Input { layer: "batch_norm".into(), expected, found: shape.clone() };
        match (params.tasks(), shape.as_slice()) {
            (None, [_, channels] | [_, channels, _, _]) if *channels == self.channels => {
                self.normalise(params, x, cx)
            }
            (Some(tasks), [t, batch, channels, picture @ ..])
                if *t == tasks && *channels == self.channels && matches!(picture.len(), 0 | 2) =>
            {
                // T·C channels at once: each task has its own statistics.
                let merged: Vec<i64> = [*batch, tasks * channels].iter().chain(picture).copied().collect();
                let merged = x.f_transpose(0, 1)?.f_reshape(&merged)?;
                let y = self.normalise(params, &merged, cx)?;
                let split: Vec<i64> = [*batch, tasks, *channels].iter().chain(picture).copied().collect();
                Ok(y.f_reshape(&split)?.f_transpose(0, 1)?)
            }
            (None, _) => Err(expected(format!("[B, {0}] or [B, {0}, H, W]", self.channels))),
            (Some(tasks), _) => {
                Err(expected(format!("[{tasks}, B, {0}] or [{tasks}, B, {0}, H, W]", self.channels)))
            }
        }
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        Ok(vec![Primitive::BatchNorm { weight: self.weight, bias: self.bias, eps: self.eps }])
    }

    fn smallest_batch(&self) -> usize {
        // Of pictures one may be enough; a network that knows their size says so.
        2
    }
}

/// `(x − mean) / √(variance + ε) · weight + bias` over the last dimensions of each row (Ba et al. 2016).
#[derive(Debug, Clone)]
pub struct LayerNorm {
    weight: Slot,
    bias: Slot,
    shape: Vec<i64>,
    eps: f64,
}

impl LayerNorm {
    /// Adds `weight` and `bias` of this shape; ε is 1e-5.
    ///
    /// # Errors
    /// When the shape is empty or has a size below 1.
    pub fn new(b: &mut Builder<'_>, shape: &[i64]) -> Result<Self> {
        Self::with_eps(b, shape, 1e-5)
    }

    /// With another ε.
    ///
    /// # Errors
    /// As [`LayerNorm::new`].
    pub fn with_eps(b: &mut Builder<'_>, shape: &[i64], eps: f64) -> Result<Self> {
        if shape.is_empty() || shape.iter().any(|size| *size < 1) {
            return Err(Error::named_setting(
                WHOLE,
                "layer-norm's shape",
                &format!("{shape:?}"),
                "sizes of at least 1 are needed",
            ));
        }
        let mut b = b.norm();
        Ok(Self {
            weight: b.parameter("weight", shape, Init::Ones, Role::Scale)?,
            bias: b.parameter("bias", shape, Init::Zeros, Role::Bias)?,
            shape: shape.to_vec(),
            eps,
        })
    }
}

impl Module for LayerNorm {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let size = x.size();
        let tasks = params.tasks();
        let fits = size.ends_with(&self.shape)
            && size.len() > self.shape.len() + usize::from(tasks.is_some())
            && tasks.is_none_or(|tasks| size.first() == Some(&tasks));
        if !fits {
            return Err(Error::Input {
                layer: "layer_norm".into(),
                expected: format!("[B, …] ending in {:?}", self.shape),
                found: size,
            });
        }
        let none = None::<&Tensor>;
        let (weight, bias) = (params.get(self.weight)?, params.get(self.bias)?);
        let x = x.f_to_kind(weight.kind())?;
        if tasks.is_none() {
            return Ok(x.f_layer_norm(&self.shape, Some(weight), Some(bias), self.eps, false)?);
        }
        Ok(x.f_layer_norm(&self.shape, none, none, self.eps, false)?
            .f_mul(&rows_of(weight, size.len())?)?
            .f_add(&rows_of(bias, size.len())?)?)
    }
}

/// Normalises `groups` groups of channels of each row together (Wu & He 2018): `[B, C, …]`.
#[derive(Debug, Clone)]
pub struct GroupNorm {
    weight: Slot,
    bias: Slot,
    groups: i64,
    channels: i64,
}

impl GroupNorm {
    /// Adds `weight` and `bias` `[channels]`; ε is 1e-5.
    ///
    /// # Errors
    /// When the channels cannot be shared out evenly.
    pub fn new(b: &mut Builder<'_>, groups: i64, channels: i64) -> Result<Self> {
        if groups < 1 || channels < 1 || channels % groups != 0 {
            let found = format!("{groups} for {channels} channels");
            return Err(Error::named_setting(
                WHOLE,
                "group-norm's groups",
                &found,
                "they must divide the channels",
            ));
        }
        let mut b = b.norm();
        Ok(Self {
            weight: b.parameter("weight", &[channels], Init::Ones, Role::Scale)?,
            bias: b.parameter("bias", &[channels], Init::Zeros, Role::Bias)?,
            groups,
            channels,
        })
    }
}

impl Module for GroupNorm {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let size = x.size();
        let error = || Error::Input {
            layer: "group_norm".into(),
            expected: format!("[B, {}, …]", self.channels),
            found: size.clone(),
        };
        let (weight, bias) = (params.get(self.weight)?, params.get(self.bias)?);
        let x = x.f_to_kind(weight.kind())?;
        match (params.tasks(), size.as_slice()) {
            (None, [_, channels, ..]) if *channels == self.channels => {
                Ok(x.f_group_norm(self.groups, Some(weight), Some(bias), 1e-5, false)?)
            }
            (Some(tasks), [t, batch, channels, rest @ ..]) if *t == tasks && *channels == self.channels => {
                let merged: Vec<i64> = [tasks * batch, *channels].iter().chain(rest).copied().collect();
                let none = None::<&Tensor>;
                let y = x
                    .f_reshape(&merged)?
                    .f_group_norm(self.groups, none, none, 1e-5, false)?
                    .f_reshape(&size)?;
                let scale = |p: &Tensor| {
                    let mut shape = vec![1; size.len()];
                    shape.splice(0..3, [tasks, 1, self.channels]);
                    p.f_reshape(shape)
                };
                Ok(y.f_mul(&scale(weight)?)?.f_add(&scale(bias)?)?)
            }
            _ => Err(error()),
        }
    }
}

/// A parameter `[T, …]` as `[T, 1, …]` with `dims` dimensions, to be broadcast over rows.
fn rows_of(parameter: &Tensor, dims: usize) -> Result<Tensor> {
    let mut shape = parameter.size();
    while shape.len() < dims {
        shape.insert(1, 1);
    }
    Ok(parameter.f_reshape(shape)?)
}
