//! Descents of small perceptrons as one kernel.

use std::sync::{Arc, Mutex, PoisonError};

use manytask_data::Episodes;
use manytask_multitask::Result;
use manytask_nn::dense::{DenseActivation, PlainLoss};
use manytask_tensor::descent_kernel::{DescentKernel, DescentLayer, DescentLoss, DescentShape};
use manytask_tensor::{Device, Kind, Params, Tensor};

use super::BatchedDescent;
use crate::outer_gradient::OuterGradient;

/// Shapes that are remembered: those of training, and of methods that look at other tasks.
const KEPT: usize = 4;
/// How far the numbers of a kernel may be from those of operations on tensors, relative to the largest: rounding, which inner steps enlarge.
const ROUNDING: f64 = 1e-3;

/// The kernels that were compiled, and the shapes of which there is none.
#[derive(Debug, Default)]
pub(super) struct Kernels(Mutex<Vec<(DescentShape, Option<Arc<DescentKernel>>)>>);

impl Kernels {
    /// The kernel of a shape, which is judged when it is compiled.
    fn of(
        &self,
        device: Device,
        shape: DescentShape,
        is_right: impl FnOnce(&DescentKernel) -> bool,
    ) -> Option<Arc<DescentKernel>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, kernel)) = known.iter().find(|(known, _)| *known == shape) {
            return kernel.clone();
        }
        // Without it the same is computed in operations on tensors.
        let kernel = DescentKernel::compile(device, shape.clone()).ok().filter(is_right).map(Arc::new);
        if known.len() == KEPT {
            known.remove(0);
        }
        known.push((shape, kernel.clone()));
        kernel
    }
}

impl BatchedDescent {
    /// The query losses `[T]` and meta-gradients `[T, P]` by one kernel; nothing where there is none, or where its first results were other ones
    /// than those of operations on tensors.
    pub(super) fn by_kernel(&self, params: &Params, episodes: &Episodes) -> Result<Option<(Tensor, Tensor)>> {
        let device = params.device();
        if device == Device::Cpu || params.kind() != Kind::Float {
            return Ok(None);
        }
        let (Some(vector), Some(shape)) = (params.as_vector(), self.shape(episodes)) else { return Ok(None) };
        let Episodes { support_x, support_y, query_x, query_y } = episodes;
        let run = |kernel: &DescentKernel| kernel.run(&vector, [support_x, support_y, query_x, query_y]);
        let is_right = |kernel: &DescentKernel| {
            let (found, known) = (run(kernel), self.by_operations(params, episodes));
            let (Ok([losses, rows]), Ok((known_losses, known_rows))) = (found, known) else { return false };
            near(&losses, &known_losses) && near(&rows, &known_rows)
        };
        let Some(kernel) = self.kernels.of(device, shape, is_right) else { return Ok(None) };
        let [losses, rows] = run(&kernel)?;
        Ok(Some((losses, rows)))
    }

    /// The kernel's constants for such episodes; nothing for networks and activations that it has not.
    fn shape(&self, episodes: &Episodes) -> Option<DescentShape> {
        let mut start = 0;
        let layers = self.net.layers()?.map(|(layer, moves)| {
            let leak = match layer.activation {
                DenseActivation::Identity => 1.0,
                DenseActivation::Relu => 0.0,
                DenseActivation::LeakyRelu => 0.01,
                DenseActivation::Tanh | DenseActivation::Sigmoid => return None,
            };
            let (inputs, outputs) = (layer.inputs, layer.outputs);
            // The order of the vector is that of the layers, each W before b.
            let places = [start, start + inputs * outputs];
            start = places[1] + outputs;
            Some(DescentLayer { inputs, outputs, leak, moves, places })
        });
        let layers = layers.collect::<Option<Vec<_>>>()?;
        let loss = match self.loss {
            PlainLoss::Mse => DescentLoss::Mse,
            PlainLoss::BinaryCrossEntropy => DescentLoss::BinaryCrossEntropy,
            PlainLoss::CrossEntropy => DescentLoss::CrossEntropy,
        };
        let rows = |x: &Tensor| x.size().get(1).map(|rows| *rows as usize);
        Some(DescentShape {
            layers,
            loss,
            rows: [rows(&episodes.support_x)?, rows(&episodes.query_x)?],
            steps: self.steps as usize,
            rate: self.rate,
            second_order: self.outer_gradient == OuterGradient::SecondOrder,
        })
    }
}

/// Whether tensors are equal but for rounding. NaN is near to nothing.
fn near(a: &Tensor, b: &Tensor) -> bool {
    let gap = || {
        let (a, b) = (a.f_to_kind(Kind::Double)?, b.f_to_kind(Kind::Double)?);
        let largest = |x: Tensor| x.f_abs()?.f_max()?.f_double_value(&[]);
        Ok::<_, manytask_tensor::TchError>((largest(a.f_sub(&b)?)?, largest(b)?))
    };
    gap().is_ok_and(|(gap, size)| gap <= ROUNDING * size)
}

#[cfg(test)]
mod tests {
    use manytask_nn::Builder;
    use manytask_nn::loss::Loss;
    use manytask_nn::nets::{Mlp, MlpConfig};
    use manytask_tensor::Layout;

    use super::*;
    use crate::descent::{Descent, Rates};
    use crate::episode::BatchNormStatistics;

    #[test]
    fn numbers_are_near_where_only_rounding_differs() {
        let of = |x: [f64; 2]| Tensor::from_slice(&x);
        assert!(near(&of([1.0, 1000.0]), &of([1.5, 1000.0])));
        assert!(!near(&of([1.0, 1000.0]), &of([3.0, 1000.0])));
        assert!(!near(&of([f64::NAN, 1.0]), &of([1.0, 1.0])));
        assert!(near(&of([0.0, 0.0]), &of([0.0, 0.0])));
    }

    #[test]
    fn constants_are_those_of_the_network() {
        let mut layout = Layout::builder();
        let config = MlpConfig { hidden: vec![5], output: Some(2), ..MlpConfig::default() };
        let network = Mlp::new(&mut Builder::new(&mut layout), 3, &config).unwrap();
        let layout = layout.build();
        let trained = layout.trained();
        let descent = Descent {
            steps: 2,
            rates: Rates::One(0.1),
            slots: trained[2..].to_vec(),
            outer_gradient: OuterGradient::SecondOrder,
            checkpoint_every: None,
        };
        let of = BatchNormStatistics::Batch;
        let fused = BatchedDescent::compile(&network, &layout, Some(descent), &Loss::Mse, of).unwrap();
        let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
        let episodes = Episodes {
            support_x: zeros(&[4, 6, 3]),
            support_y: zeros(&[4, 6, 2]),
            query_x: zeros(&[4, 7, 3]),
            query_y: zeros(&[4, 7, 2]),
        };
        let shape = fused.shape(&episodes).unwrap();
        let first = DescentLayer { inputs: 3, outputs: 5, leak: 0.0, moves: [false; 2], places: [0, 15] };
        let last = DescentLayer { inputs: 5, outputs: 2, leak: 1.0, moves: [true; 2], places: [20, 30] };
        assert_eq!(shape.layers, [first, last]);
        assert_eq!(
            (shape.parameters(), shape.rows, shape.steps),
            (layout.trained_count() as usize, [6, 7], 2)
        );
    }
}
