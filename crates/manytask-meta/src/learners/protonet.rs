use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_nn::fused::{FusedNet, NetTrace, Rows};
use manytask_tensor::dense::{Real, from_fn, values};
use manytask_tensor::{Device, Graph, Kind, Params, Tensor, gradients, threads};
use serde::{Deserialize, Serialize};

use crate::embedding::{centroids, classes, embed, negative_squared_distances, one_hot, without_dimension};
use crate::episode::{Episode, Support};
use crate::learner::{Learner, LearnerSpec, Objective, Predictor};
use crate::model::{Backbone, EpisodeShape, NetworkShape};
use crate::outer::GradientMode;
use crate::prediction::Prediction;

/// Prototypical networks (Snell et al. 2017): class c's prototype is the mean of the support set's embeddings of c, and a
/// query's logits are the negative squared Euclidean distances of its embedding to the prototypes.
///
/// The network is an embedding, without a classifying head. Classes are numbered from 0 in the support set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProtoNet {}

/// What [`ProtoNet`] builds.
#[derive(Debug)]
struct Prototypical {
    classes: i64,
}

/// Prototypes `[T, C, D]`, and the parameters that embed queries.
struct Prototypes<'a> {
    support: &'a Support<'a>,
    params: Params,
    points: Tensor,
}

impl LearnerSpec for ProtoNet {
    fn name(&self) -> &'static str {
        "protonet"
    }

    fn network(&self, shape: &EpisodeShape) -> NetworkShape {
        NetworkShape { input: shape.input.clone(), outputs: None }
    }

    fn build(
        &self,
        _b: &mut Builder<'_>,
        backbone: &Backbone<'_>,
        shape: &EpisodeShape,
    ) -> Result<Box<dyn Learner>> {
        if backbone.layout.trained().is_empty() {
            return Err(Error::setting(
                "`protonet` with a network that has no parameters: there is nothing to learn",
                "give it a layer, with `hidden` or `output`",
            ));
        }
        Ok(Box::new(Prototypical { classes: classes("protonet", shape)? }))
    }
}

impl Learner for Prototypical {
    fn adapt<'a>(
        &'a self,
        support: &'a Support<'a>,
        params: &Params,
        _mode: GradientMode,
    ) -> Result<Box<dyn Predictor + 'a>> {
        let embedded = embed(support, params, &support.x, 0)?;
        let points = prototypes(&embedded, &support.y, self.classes, support.tasks)?;
        Ok(Box::new(Prototypes { support, params: params.share(), points }))
    }

    fn gradient(&self, episode: &Episode<'_>, params: &Params) -> Result<Option<(Objective, Params)>> {
        let support = &episode.support;
        if params.device() != Device::Cpu || support.tasks.is_some() || !support.is_fusible() {
            return Ok(None);
        }
        let Some(net) = FusedNet::of(support.network, params.layout()) else { return Ok(None) };
        let Some(flat) = net.flat(params)? else { return Ok(None) };
        let found = match params.kind() {
            Kind::Float => fused::<f32>(&net, &flat, episode, self.classes)?,
            Kind::Double => fused::<f64>(&net, &flat, episode, self.classes)?,
            _ => None,
        };
        let Some((loss, gradient)) = found else { return Ok(None) };
        Ok(Some((Objective::new(loss), params.detach()?.zeros_like()?.unflatten(&gradient)?)))
    }
}

impl Predictor for Prototypes<'_> {
    fn predict(&self, x: &Tensor) -> Result<Prediction> {
        let query = embed(self.support, &self.params, x, 1)?;
        let logits = negative_squared_distances(&query, &self.points)?;
        Ok(Prediction::values(without_dimension(&logits, self.support.tasks)?))
    }
}

/// Each class' mean embedding, `[T, C, D]`.
fn prototypes(embedded: &Tensor, labels: &Tensor, classes: i64, tasks: Option<i64>) -> Result<Tensor> {
    centroids(embedded, &one_hot("protonet", labels, classes, tasks, embedded.kind())?)
}

/// The pass through an embedding that is fused, and back: the embeddings alone have a graph.
fn fused<T: Real>(
    net: &FusedNet,
    flat: &Tensor,
    episode: &Episode<'_>,
    classes: i64,
) -> Result<Option<(Tensor, Tensor)>> {
    let inputs = [episode.support.x.f_contiguous()?, episode.query_x.f_contiguous()?];
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
        let embedding = from_fn::<T, Error>(&[1, rows.count as i64, outputs as i64], |out| {
            out.copy_from_slice(net.predictions(&trace));
            Ok(())
        })?;
        embeddings.push(embedding.f_set_requires_grad(true)?);
        traces.push((rows, trace));
    }
    let [support, query] = embeddings.as_slice() else { return Ok(None) };
    let prototypes = prototypes(support, &episode.support.y, classes, None)?;
    let logits = negative_squared_distances(query, &prototypes)?.f_squeeze_dim(0)?;
    let loss = episode.support.loss.mean(&logits, &episode.query_y, None, None)?;
    let found = gradients(&loss, &[support, query], Graph::Free)?;
    let gradient = from_fn::<T, Error>(&[flat.len() as i64], |sum| {
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
