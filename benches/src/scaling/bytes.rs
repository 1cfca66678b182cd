//! The cost model of `docs/scaling.md`: numbers in memory, from the shapes alone.

use super::case::Net;

/// A number in single precision.
const SINGLE: f64 = 4.0;
/// Rows of a support set and of a query set of sine waves.
const WAVES: [f64; 2] = [10.0, 10.0];
/// The same of pictures.
const PICTURES: [f64; 2] = [5.0, 75.0];
/// Channels of a block, and ways.
const CHANNELS: f64 = 64.0;
const CLASSES: f64 = 5.0;

/// The numbers that a network needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Numbers {
    /// P.
    pub(super) parameters: f64,
    /// What a fused pass leaves behind for a support set and a query set.
    traces: [f64; 2],
    /// What the Hessian product adds for the support set.
    along: f64,
    /// What a graph keeps of a pass forward, per support set and query set.
    activations: [f64; 2],
}

impl Numbers {
    pub(super) fn of(net: Net) -> Self {
        match net {
            Net::Perceptron(width) => Self::perceptron(width as f64),
            Net::Conv4 => Self::conv4(),
        }
    }

    fn perceptron(width: f64) -> Self {
        // What comes out of all layers, for a row.
        let outputs = 2.0 * width + 1.0;
        Self {
            parameters: 2.0 * width + width * (width + 1.0) + width + 1.0,
            // Values, cotangents and δ of each layer.
            traces: WAVES.map(|rows| 3.0 * rows * outputs),
            // Values, and one layer's cotangent and δ.
            along: WAVES[0] * (outputs + 2.0 * width),
            activations: WAVES.map(|rows| rows * outputs),
        }
    }

    fn conv4() -> Self {
        let block = CHANNELS * (CHANNELS * 9.0 + 3.0);
        let first = CHANNELS * (9.0 + 3.0);
        Self {
            parameters: first + 3.0 * block + CLASSES * (CHANNELS + 1.0),
            traces: PICTURES.map(|pictures| planes(pictures, Planes::Trace)),
            along: planes(PICTURES[0], Planes::Tangent),
            activations: PICTURES.map(|pictures| planes(pictures, Planes::Values)),
        }
    }

    /// Bytes of the fused passes of K inner steps: of each thread, and of all.
    pub(super) fn written(&self, tasks: usize, steps: u32, every: Option<u32>, threads: usize) -> f64 {
        let (steps, each) = (f64::from(steps), f64::from(every.unwrap_or(steps).min(steps)));
        let p = self.parameters;
        let kept = (steps / each).ceil() * p;
        // On the way, change and direction; the query set's trace.
        let thread = 3.0 * p + kept + each * (p + self.traces[0]) + self.traces[1] + self.along;
        let workers = threads.min(tasks) as f64;
        // Parameters twice, flat, and the gradient.
        SINGLE * (workers * thread + (tasks as f64 + 4.0) * p)
    }

    /// Bytes of the graph of K inner steps of so many tasks at once, a factor for its activations.
    pub(super) fn graph(&self, tasks: usize, steps: u32, every: Option<u32>, factor: f64) -> f64 {
        let (steps, each) = (f64::from(steps), f64::from(every.unwrap_or(steps).min(steps)));
        let p = self.parameters;
        let kept = if every.is_some() { (steps / each).ceil() * p } else { 0.0 };
        // Parameters and gradient of each step stay in the graph.
        let inner = each * (2.0 * p + factor * self.activations[0]);
        // The last parameters, their cotangent, and the rows; the query set has a graph of its own.
        let query = factor * self.activations[1];
        let outer = if every.is_some() { inner.max(query) } else { inner + query };
        SINGLE * (tasks as f64 * (kept + outer + 3.0 * p) + 4.0 * p)
    }
}

/// What of pictures in planes is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Planes {
    /// What a fused pass leaves behind.
    Trace,
    /// What a Hessian product adds.
    Tangent,
    /// What the layers give: of convolution, batch-norm, relu and pooling.
    Values,
}

fn planes(pictures: f64, what: Planes) -> f64 {
    let mut sum = match what {
        Planes::Trace | Planes::Tangent => pictures * (2.0 * CHANNELS + 3.0 * CLASSES),
        Planes::Values => pictures * CLASSES,
    };
    for (number, side) in [28.0, 14.0, 7.0, 3.0].into_iter().enumerate() {
        let half = (side / 2.0_f64).floor();
        let squares = pictures * half * half;
        // A zero at the end of each row, a row of zeros below, margins.
        let channel = 2.0 * (side + 2.0) + pictures * (side + 1.0) * (side + 1.0);
        let inputs = if number == 0 { 1.0 } else { CHANNELS };
        sum += match what {
            // Input, what the convolution gave and the loss by it; squares, the loss by them, and a byte each for which.
            Planes::Trace => (inputs + 2.0 * CHANNELS) * channel + CHANNELS * squares * 2.25,
            Planes::Tangent if number == 0 => 2.0 * CHANNELS * (channel + squares),
            Planes::Tangent => 3.0 * CHANNELS * channel + 2.0 * CHANNELS * squares,
            Planes::Values => CHANNELS * (3.0 * pictures * side * side + squares),
        };
    }
    sum
}

/// A trunk of linear layers, and the rows of a batch.
pub(super) struct Trunk;

impl Trunk {
    const LAYERS: [[f64; 2]; 2] = [[1024.0, 512.0], [512.0, 512.0]];
    const ROWS: f64 = 256.0;

    /// Bytes of the tasks' compact forms.
    pub(super) fn compact(tasks: usize) -> f64 {
        let outputs: f64 = Self::LAYERS.iter().map(|[_, outputs]| outputs).sum();
        SINGLE * tasks as f64 * Self::ROWS * outputs
    }

    /// Bytes of their gradients.
    pub(super) fn gradients(tasks: usize) -> f64 {
        let sizes = Self::LAYERS.iter().map(|[inputs, outputs]| inputs * outputs + outputs);
        SINGLE * tasks as f64 * sizes.sum::<f64>()
    }

    /// Bytes of the Gramian's pieces that are there at once.
    pub(super) fn pieces(tasks: usize, threads: usize) -> f64 {
        let at_once = if threads > 1 { 8.0 * threads as f64 } else { 1.0 };
        8.0 * (at_once + 2.0) * (tasks * tasks) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manytask_meta::Execution;

    use crate::work;

    #[test]
    fn parameters_are_those_of_the_networks() {
        for (name, net) in [("sinusoid-1", Net::Perceptron(40)), ("conv4-1-1", Net::Conv4)] {
            let start = work(name, Execution::Auto).unwrap().start().unwrap();
            let trained: i64 =
                start.layout().trained().iter().map(|slot| start.get(*slot).unwrap().numel() as i64).sum();
            assert_eq!(Numbers::of(net).parameters, trained as f64, "{name}");
        }
        let start = work("trunk-2-equal", Execution::Auto).unwrap().start().unwrap();
        let all: usize = start.leaves().iter().map(manytask_tensor::Tensor::numel).sum();
        // Without the two heads of 513 numbers.
        assert_eq!(Trunk::gradients(1) / SINGLE, (all - 2 * 513) as f64);
    }

    #[test]
    fn with_small_activations_memory_is_least_near_the_root() {
        let numbers = Numbers { traces: [0.0; 2], along: 0.0, ..Numbers::of(Net::Perceptron(512)) };
        let of = |every| numbers.written(1, 50, Some(every), 1);
        // 50/c + c, rounded up, is the same from 5 to 10.
        assert!((1..=50).all(|every| of(7) <= of(every)));
        assert!(of(7) < of(4) && of(7) < of(11));
    }
}
