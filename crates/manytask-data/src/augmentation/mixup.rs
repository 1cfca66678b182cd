use manytask_tensor::random::{Key, gamma};
use manytask_tensor::{Kind, Tensor};

use crate::{Batch, Encoded, Images, Inputs, Result};

/// λ of a batch.
pub(super) fn share(alpha: f64, key: Key) -> f64 {
    beta(alpha, key)
}

/// The rows of a batch mixed with others, each twice: for its own labels with the weight λ, and for the other row's with 1 − λ. So any loss that is a
/// mean over rows is that of mixup, also with missing labels.
pub(super) fn mixed(batch: &Batch, share: f64, key: Key) -> Result<Batch> {
    let orders = orders(batch, key)?;
    let inputs = batch.inputs.iter().zip(&orders).map(|(inputs, order)| of_inputs(inputs, order, share));
    both_labels(batch, inputs.collect::<Result<_>>()?, &orders, share)
}

/// The same with rows as they are: whoever computes with them mixes them.
pub(super) fn twice(batch: &Batch, share: f64, key: Key) -> Result<Batch> {
    let inputs = batch.inputs.iter().map(|inputs| Inputs::cat(&[inputs, inputs])).collect::<Result<_>>()?;
    both_labels(batch, inputs, &orders(batch, key)?, share)
}

/// The places of the other rows of each stream.
fn orders(batch: &Batch, key: Key) -> Result<Vec<Tensor>> {
    let orders = batch.inputs.iter().zip(0..).map(|(inputs, stream)| {
        let order = key.task(stream).permutation(inputs.rows());
        Ok(Tensor::f_from_slice(&order)?.f_to_device(inputs.device())?)
    });
    orders.collect()
}

/// A batch of these inputs with each row's own labels, and then with the other rows'.
fn both_labels(batch: &Batch, inputs: Vec<Inputs>, orders: &[Tensor], share: f64) -> Result<Batch> {
    let single = batch.inputs.len() == 1;
    let (mut targets, mut weights) = (Vec::new(), Vec::new());
    for (task, (target, weight)) in batch.targets.iter().zip(&batch.weights).enumerate() {
        let Some(order) = orders.get(if single { 0 } else { task }) else { continue };
        targets.push(Tensor::f_cat(&[target, &target.f_index_select(0, order)?], 0)?);
        let weight = match weight {
            Some(weight) => weight.shallow_clone(),
            None => {
                Tensor::f_ones([order.size().first().copied().unwrap_or(0)], (Kind::Float, target.device()))?
            }
        };
        let others = weight.f_index_select(0, order)?.f_mul_scalar(1.0 - share)?;
        weights.push(Some(Tensor::f_cat(&[weight.f_mul_scalar(share)?, others], 0)?));
    }
    Ok(Batch { inputs, targets, weights })
}

/// `λ x + (1 − λ) x'`, twice.
fn of_inputs(inputs: &Inputs, order: &Tensor, share: f64) -> Result<Inputs> {
    let mix = |own: &Tensor| -> Result<Tensor> {
        let mixed = own.f_index_select(0, order)?.f_lerp(own, share)?;
        Ok(Tensor::f_cat(&[&mixed, &mixed], 0)?)
    };
    Ok(match inputs {
        Inputs::Features(features) => Inputs::Features(Encoded::numbers(mix(&features.matrix()?)?)),
        Inputs::Images(images) => {
            Inputs::Images(Images::new(mix(&images.tensor(Kind::Float)?)?, crate::Normalisation::default())?)
        }
        Inputs::Vectors(vectors) => Inputs::Vectors(mix(vectors)?),
    })
}

/// A number of the beta distribution of α and α, by two of the gamma distribution.
fn beta(alpha: f64, key: Key) -> f64 {
    let mut rng = key.rng();
    let (one, other) = (gamma(alpha, &mut rng), gamma(alpha, &mut rng));
    // Both are 0 where α is so small that they are rounded to it: then one of the rows is all.
    if one + other > 0.0 { one / (one + other) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proportions_have_the_mean_and_the_variance_of_their_distribution() {
        for alpha in [0.2, 1.0, 2.5] {
            let drawn: Vec<f64> = (0..4000).map(|step| beta(alpha, Key::new(1, "beta").step(step))).collect();
            let mean = drawn.iter().sum::<f64>() / 4000.0;
            let variance = drawn.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / 4000.0;
            assert!((mean - 0.5).abs() < 0.03, "{alpha}: {mean}");
            let expected = 0.25 / (2.0 * alpha + 1.0);
            assert!((variance / expected - 1.0).abs() < 0.08, "{alpha}: {variance} {expected}");
        }
    }
}
