use manytask_multitask::Result;
use manytask_nn::layers::LayerNorm;
use manytask_nn::{Builder, Context, Module};
use manytask_tensor::{Kind, Method, Params, Tensor};
use serde::{Deserialize, Serialize};

use crate::attention::{MultiHead, Widths};
use crate::backbone::Backbone;
use crate::embedding::{centroids, classes, negative_squared_distances, one_hot, with_dimension};
use crate::episode::{Episode, Support};
use crate::head::{Embedding, Head};
use crate::learner::{Learner, LearnerSpec};
use crate::logits::{not_negative, positive};
use crate::shape::{EpisodeShape, NetworkShape};

/// FEAT (Ye et al. 2020, arXiv:1812.03664): class means are adapted to each other by self-attention before queries are compared with them.
///
/// With class means P it is `P' = norm(P + attention(P, P, P))` (section 4.1, the Transformer), and logits are `−‖f − p'_c‖² / temperature`. Training
/// adds `contrast` times a contrastive loss (equation 7): the examples of each class, support and queries together, go through the same
/// attention among themselves, and each must be nearest to its own class' mean of these, at `contrast_temperature`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Feat {
    /// Heads of the attention.
    pub heads: i64,
    /// What distances are divided by; 64 in the authors' code for features of 640 numbers.
    pub temperature: f64,
    /// The weight of the contrastive loss.
    pub contrast: f64,
    /// What its distances are divided by.
    pub contrast_temperature: f64,
}

impl Default for Feat {
    fn default() -> Self {
        Self { heads: 1, temperature: 64.0, contrast: 0.01, contrast_temperature: 16.0 }
    }
}

/// What [`Feat`] builds: fitted are the adapted class means, `[T, C, D]`.
#[derive(Debug)]
struct Adapted {
    classes: i64,
    attention: MultiHead,
    norm: LayerNorm,
    settings: Feat,
}

impl Method for Feat {
    const NAME: &'static str = "feat";
    const SUMMARY: &'static str = "class means that self-attention adapts to each other";
    const ABOUT: &'static str = "\
        Ye et al. 2020, arXiv:1812.03664: the Transformer of section 4.1 on the class means, then squared distances over `temperature`. \
        `contrast` weighs the loss by which examples of a class stay together behind the same attention. The authors begin with a \
        pretrained network: give it a [pretraining], or `weights` in [network].";
}

impl LearnerSpec for Feat {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape::embedding(shape)
    }

    fn build(
        &self,
        b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        positive("temperature", self.temperature)?;
        positive("contrast_temperature", self.contrast_temperature)?;
        not_negative("contrast", self.contrast)?;
        let classes = classes(self.name(), shape)?;
        let width = backbone.feature_count()?;
        let widths = Widths { compared: width, values: width };
        let attention = MultiHead::new(&mut b.scope("attention"), self.heads, widths)?;
        let norm = LayerNorm::new(&mut b.scope("norm"), &[width])?;
        Ok(Box::new(Embedding(Adapted { classes, attention, norm, settings: *self })))
    }
}

impl Adapted {
    /// `norm(x + attention(x, x, x))` of rows `[T, N, D]`, of which `there` `[T, N, 1]` are.
    fn transformed(&self, x: &Tensor, there: &Tensor, params: &Params) -> Result<Tensor> {
        let x = x.f_add(&self.attention.attend(params, x, (x, x), there)?)?;
        let mut cx = Context::eval();
        if params.tasks().is_some() {
            return Ok(self.norm.forward(params, &x, &mut cx)?);
        }
        Ok(self.norm.forward(params, &x.f_squeeze_dim(0)?, &mut cx)?.f_unsqueeze(0)?)
    }

    /// The contrastive loss `[T]` of embeddings `[T, N, D]` with labels `[T, N, C]`.
    fn contrast(&self, x: &Tensor, members: &Tensor, params: &Params) -> Result<Tensor> {
        let sum = |x: &Tensor, dim: i64| x.f_sum_dim_intlist([dim].as_slice(), true, x.kind());
        let mut own: Option<Tensor> = None;
        for class in 0..self.classes {
            let there = members.f_narrow(2, class, 1)?;
            let part = self.transformed(x, &there, params)?.f_mul(&there)?;
            own = Some(match own.take() {
                None => part,
                Some(own) => own.f_add(&part)?,
            });
        }
        let own = own.unwrap_or_else(|| x.shallow_clone());
        let distances = negative_squared_distances(&own, &centroids(&own, members)?)?;
        let logits = distances.f_div_scalar(self.settings.contrast_temperature)?;
        let right = logits.f_log_softmax(-1, None::<Kind>)?.f_mul(members)?;
        let count = sum(&sum(members, 2)?, 1)?.f_clamp_min(1.0)?;
        Ok(sum(&sum(&right, 2)?, 1)?.f_div(&count)?.f_neg()?.f_reshape([-1])?)
    }
}

impl Head for Adapted {
    type Fitted = Tensor;

    fn fit(&self, embeddings: &Tensor, support: &Support<'_>, params: &Params) -> Result<Tensor> {
        let members = one_hot(Feat::NAME, &support.y, self.classes, support.tasks, embeddings.kind())?;
        let there = members.f_sum_dim_intlist([1_i64].as_slice(), false, members.kind())?.f_clamp_max(1.0)?;
        self.transformed(&centroids(embeddings, &members)?, &there.f_unsqueeze(-1)?, params)
    }

    fn predict(
        &self,
        means: &Tensor,
        queries: &Tensor,
        _support: &Support<'_>,
        _params: &Params,
    ) -> Result<Tensor> {
        Ok(negative_squared_distances(queries, means)?.f_div_scalar(self.settings.temperature)?)
    }

    fn penalty(
        &self,
        _fitted: &Tensor,
        [support, queries]: [&Tensor; 2],
        episode: &Episode<'_>,
        params: &Params,
    ) -> Result<Option<(&'static str, Tensor)>> {
        if self.settings.contrast == 0.0 {
            return Ok(None);
        }
        let tasks = episode.support.tasks;
        let y = [&episode.support.y, &episode.query_y].map(|y| with_dimension(y, tasks));
        let [support_y, query_y] = y;
        let y = Tensor::f_cat(&[support_y?, query_y?], 1)?;
        let members = one_hot(Feat::NAME, &y, self.classes, Some(y.size2()?.0), support.kind())?;
        let loss = self.contrast(&Tensor::f_cat(&[support, queries], 1)?, &members, params)?;
        Ok(Some(("contrast", loss.f_mul_scalar(self.settings.contrast)?)))
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Layout};

    use super::*;

    #[test]
    fn means_see_each_other_and_examples_those_of_their_class() {
        let on = (Kind::Double, Device::Cpu);
        let mut layout = Layout::builder();
        let b = &mut Builder::new(&mut layout);
        let widths = Widths { compared: 4, values: 4 };
        let attention = MultiHead::new(&mut b.scope("attention"), 1, widths).unwrap();
        let norm = LayerNorm::new(&mut b.scope("norm"), &[4]).unwrap();
        let head = Adapted { classes: 2, attention, norm, settings: Feat::default() };
        let params = layout.build().init(3, on.0, on.1).unwrap();
        let of = |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, on.0, on.1).unwrap();
        let matrix = |name: &str| params.named(&format!("attention.{name}")).unwrap().tr();
        let transformed = |x: &Tensor| {
            let [q, k, v] = ["query", "key", "value"].map(|name| x.matmul(&matrix(name)));
            let found = (q.matmul(&k.tr()) / 2.0).softmax(-1, on.0).matmul(&v).matmul(&matrix("output"));
            (x + found).layer_norm([4], None::<&Tensor>, None::<&Tensor>, 1e-5, false)
        };
        let means = of("p", &[2, 4]);
        let there = Tensor::ones([1, 2, 1], on);
        let found = head.transformed(&means.unsqueeze(0), &there, &params).unwrap().get(0);
        assert!((found - transformed(&means)).abs().max().double_value(&[]) < 1e-10);
        // Rows 0, 1 and 4 are of class 0, row 2 of class 1, row 3 of none.
        let x = of("x", &[5, 4]);
        let members =
            Tensor::from_slice(&[1.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0]).reshape([1, 5, 2]);
        let first = transformed(&x.index_select(0, &Tensor::from_slice(&[0_i64, 1, 4])));
        let second = transformed(&x.narrow(0, 2, 1));
        let centres = Tensor::stack(&[first.mean_dim([0].as_slice(), false, on.0), second.get(0)], 0);
        let rows = Tensor::cat(&[first, second], 0);
        let gaps = (rows.unsqueeze(1) - centres.unsqueeze(0)).square();
        let logits = gaps.sum_dim_intlist([-1].as_slice(), false, on.0) / -16.0;
        let right = logits.log_softmax(-1, on.0).gather(
            1,
            &Tensor::from_slice(&[0_i64, 0, 0, 1]).unsqueeze(1),
            false,
        );
        let expected = -right.mean(on.0).double_value(&[]);
        let found = head.contrast(&x.unsqueeze(0), &members, &params).unwrap().double_value(&[0]);
        assert!((found - expected).abs() < 1e-10, "{found} {expected}");
    }
}
