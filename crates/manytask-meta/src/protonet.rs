use manytask_multitask::{Error, Result};
use manytask_nn::metrics::Output;
use manytask_nn::written::{NetTrace, Rows, WrittenNet};
use manytask_tensor::dense::{Real, filled, values};
use manytask_tensor::{Device, Graph, Kind, Layout, Params, Tensor, gradients, no_grad, threads};
use serde::{Deserialize, Serialize};

use crate::learner::{Learner, Scene};

/// Prototypical networks (Snell et al. 2017): class c's prototype is the mean of the support set's embeddings of c, and a
/// query's logits are the negative squared Euclidean distances of its embedding to the prototypes.
///
/// The network is an embedding, without a classifying head. Classes are numbered from 0 in the support set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtoNet {}

fn of_values() -> Error {
    Error::setting(
        "`protonet` on tasks without classes: prototypes are of classes, and these tasks predict values",
        "take tasks with classes, or another learner, e.g. `maml`",
    )
}

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
        Self::compare(scene, &support, &query)
    }

    /// The logits of queries for embeddings `[T, N, D]` and `[T, M, D]`.
    fn compare(scene: &Scene<'_>, support: &Tensor, query: &Tensor) -> Result<Tensor> {
        let labels = if scene.tasks.is_some() {
            scene.support_y.shallow_clone()
        } else {
            scene.support_y.f_unsqueeze(0)?
        };
        if labels.kind() != Kind::Int64 || labels.dim() != 2 {
            return Err(of_values());
        }
        let classes = labels.f_max()?.f_int64_value(&[])? + 1;
        let numbers =
            Tensor::f_arange(classes, (Kind::Int64, labels.device()))?.f_reshape([1, classes, 1])?;
        // `[T, C, N]`, each row the shares of its class' members.
        let members = labels.f_unsqueeze(1)?.f_eq_tensor(&numbers)?.f_to_kind(support.kind())?;
        let counts = members.f_sum_dim_intlist([-1_i64].as_slice(), true, support.kind())?;
        let prototypes = members.f_div(&counts)?.f_matmul(support)?;
        let logits = negative_squared_distances(query, &prototypes)?;
        Ok(if scene.tasks.is_some() { logits } else { logits.f_squeeze_dim(0)? })
    }
}

/// The pass through an embedding that is written out, and back: the embeddings alone have a graph.
fn written<T: Real>(
    net: &WrittenNet,
    flat: &Tensor,
    scene: &Scene<'_>,
    query_y: &Tensor,
) -> Result<Option<(Tensor, Tensor)>> {
    let inputs = [scene.support_x.f_contiguous()?, scene.query_x.f_contiguous()?];
    if inputs.iter().any(|x| x.kind() != T::KIND || x.dim() < 2 || x.numel() == 0) {
        return Ok(None);
    }
    let (flat, threads) = (values::<T>(flat)?, threads::get());
    let mut traces = Vec::with_capacity(inputs.len());
    let mut embeddings = Vec::with_capacity(inputs.len());
    for x in &inputs {
        let rows = Rows::<T>::of(x)?;
        let Some(outputs) = net.outputs(rows.values.len() / rows.count.max(1), rows.sides) else {
            return Ok(None);
        };
        let mut trace = NetTrace::default();
        net.forward(flat, rows, &mut trace, threads)?;
        let embedding = filled::<T, Error>(&[1, rows.count as i64, outputs as i64], |out| {
            out.copy_from_slice(net.predictions(&trace));
            Ok(())
        })?;
        embeddings.push(embedding.f_set_requires_grad(true)?);
        traces.push((rows, trace));
    }
    let [support, query] = embeddings.as_slice() else { return Ok(None) };
    let logits = ProtoNet::compare(scene, support, query)?;
    let loss = scene.loss.mean(&logits, query_y, None, None)?;
    let found = gradients(&loss, &[support, query], Graph::Free)?;
    let gradient = filled::<T, Error>(&[flat.len() as i64], |sum| {
        let mut own = vec![T::zero(); flat.len()];
        for ((rows, mut trace), cotangent) in traces.into_iter().zip(&found) {
            net.begin_back(values(&cotangent.f_contiguous()?)?, &mut trace);
            net.backward(flat, rows, &mut trace, &mut own, threads)?;
            sum.iter_mut().zip(&own).for_each(|(sum, own)| *sum += *own);
        }
        Ok(())
    })?;
    Ok(Some((loss.f_detach()?, gradient)))
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

    fn check(&self, layout: &Layout) -> Result<()> {
        if layout.trained().is_empty() {
            return Err(Error::setting(
                "`protonet` with a network that has no parameters: there is nothing to learn",
                "give it a layer, with `hidden` or `output`",
            ));
        }
        Ok(())
    }

    fn check_output(&self, output: Output) -> Result<()> {
        if output == Output::Multiclass { Ok(()) } else { Err(of_values()) }
    }

    fn predict(&self, scene: &Scene<'_>, params: &Params) -> Result<Tensor> {
        Self::logits(scene, params)
    }

    fn query_gradient(
        &self,
        scene: &Scene<'_>,
        params: &Params,
        query_y: &Tensor,
    ) -> Result<Option<(Tensor, Params)>> {
        let net = WrittenNet::of(scene.network, params.layout());
        let Some(net) = net.filter(|_| params.device() == Device::Cpu && scene.tasks.is_none()) else {
            return Ok(None);
        };
        let Some(flat) = net.flat(params)? else { return Ok(None) };
        let found = match params.kind() {
            Kind::Float => written::<f32>(&net, &flat, scene, query_y)?,
            Kind::Double => written::<f64>(&net, &flat, scene, query_y)?,
            _ => None,
        };
        let Some((loss, gradient)) = found else { return Ok(None) };
        Ok(Some((loss, params.detach()?.zeros_like()?.unflatten(&gradient)?)))
    }

    fn trajectory(&self, scene: &Scene<'_>, params: &Params, _steps: Option<u32>) -> Result<Vec<Tensor>> {
        let _off = no_grad();
        Ok(vec![Self::logits(scene, params)?])
    }
}
