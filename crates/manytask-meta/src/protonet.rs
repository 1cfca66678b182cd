use manytask_multitask::{Error, Result};
use manytask_tensor::{Kind, Layout, Params, Tensor, no_grad};
use serde::{Deserialize, Serialize};

use crate::learner::{Learner, Scene};

/// Prototypical networks (Snell et al. 2017): class c's prototype is the mean of the support set's embeddings of c, and a
/// query's logits are the negative squared Euclidean distances of its embedding to the prototypes.
///
/// The network is an embedding, without a classifying head. Classes are numbered from 0 in the support set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtoNet {}

/// An embedding `[T, N, …]` or `[N, …]` as `[T, N, D]`, with T = 1 where there is no task dimension.
fn flat(embedding: &Tensor, tasks: Option<i64>) -> Result<Tensor> {
    let first = if tasks.is_some() { 2 } else { 1 };
    let embedding = if embedding.dim() > first + 1 {
        embedding.f_flatten(first as i64, -1)?
    } else {
        embedding.shallow_clone()
    };
    if embedding.dim() < first + 1 {
        return Err(Error::setting(
            format!("an embedding of shape {:?}", embedding.size()),
            "give a network with outputs [N, D]",
        ));
    }
    Ok(if tasks.is_some() { embedding } else { embedding.f_unsqueeze(0)? })
}

/// `−‖q − c‖²` of queries `[T, M, D]` and prototypes `[T, C, D]`, without their differences at once in memory:
/// `2 q·c − ‖q‖² − ‖c‖²`.
fn negative_squared_distances(queries: &Tensor, prototypes: &Tensor) -> Result<Tensor> {
    let kind = queries.kind();
    let squared = |x: &Tensor| x.f_square()?.f_sum_dim_intlist([-1_i64].as_slice(), true, kind);
    let lengths = squared(queries)?.f_add(&squared(prototypes)?.f_transpose(1, 2)?)?;
    let products = queries.f_matmul(&prototypes.f_transpose(1, 2)?)?;
    Ok(products.f_add(&products)?.f_sub(&lengths)?)
}

impl ProtoNet {
    fn logits(scene: &Scene<'_>, params: &Params) -> Result<Tensor> {
        let embed = |x: &Tensor, number| -> Result<Tensor> {
            flat(&scene.network.forward(params, x, &mut scene.context(number))?, scene.tasks)
        };
        let (support, query) = (embed(scene.support_x, 0)?, embed(scene.query_x, 1)?);
        let labels = if scene.tasks.is_some() {
            scene.support_y.shallow_clone()
        } else {
            scene.support_y.f_unsqueeze(0)?
        };
        if labels.kind() != Kind::Int64 || labels.dim() != 2 {
            return Err(Error::setting(
                "prototypes of values",
                "take tasks with classes, or another learner",
            ));
        }
        let classes = labels.f_max()?.f_int64_value(&[])? + 1;
        let numbers =
            Tensor::f_arange(classes, (Kind::Int64, labels.device()))?.f_reshape([1, classes, 1])?;
        // `[T, C, N]`, each row the shares of its class' members.
        let members = labels.f_unsqueeze(1)?.f_eq_tensor(&numbers)?.f_to_kind(support.kind())?;
        let counts = members.f_sum_dim_intlist([-1_i64].as_slice(), true, support.kind())?;
        let prototypes = members.f_div(&counts)?.f_matmul(&support)?;
        let logits = negative_squared_distances(&query, &prototypes)?;
        Ok(if scene.tasks.is_some() { logits } else { logits.f_squeeze_dim(0)? })
    }
}

impl Learner for ProtoNet {
    fn name(&self) -> &'static str {
        "protonet"
    }

    fn has_head(&self) -> bool {
        false
    }

    fn inner_steps(&self) -> Option<u32> {
        None
    }

    fn check(&self, _layout: &Layout) -> Result<()> {
        Ok(())
    }

    fn predict(&self, scene: &Scene<'_>, params: &Params) -> Result<Tensor> {
        Self::logits(scene, params)
    }

    fn trajectory(&self, scene: &Scene<'_>, params: &Params, _steps: Option<u32>) -> Result<Vec<Tensor>> {
        let _off = no_grad();
        Ok(vec![Self::logits(scene, params)?])
    }
}
