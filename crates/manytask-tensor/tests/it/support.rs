//! What several tests need.

use std::sync::Arc;

use manytask_tensor::{Device, Init, Kind, Layout, Params, Role, Slot, Tensor};

/// A network of two layers with a buffer between them.
pub(crate) struct Net {
    pub(crate) layout: Arc<Layout>,
    pub(crate) w1: Slot,
    pub(crate) b1: Slot,
    pub(crate) count: Slot,
    pub(crate) w2: Slot,
}

impl Net {
    pub(crate) fn new() -> Self {
        let normal = Init::Normal { mean: 0.0, std: 0.5 };
        let mut layout = Layout::builder();
        let w1 = layout.add("hidden.weight", &[4, 3], normal, Role::Weight).unwrap();
        let b1 = layout.add("hidden.bias", &[4], normal, Role::Bias).unwrap();
        let count = layout.add("hidden.count", &[2], Init::Constant(7.0), Role::Buffer).unwrap();
        let w2 = layout.add("head.weight", &[1, 4], normal, Role::Weight).unwrap();
        Self { layout: layout.build(), w1, b1, count, w2 }
    }

    pub(crate) fn init(&self, seed: u64) -> Params {
        self.layout.init(seed, Kind::Double, Device::Cpu).unwrap()
    }

    /// `[n, 3]` to `[n]`, smooth.
    pub(crate) fn forward(&self, p: &Params, x: &Tensor) -> Tensor {
        let get = |slot| p.get(slot).unwrap();
        let hidden = (x.matmul(&get(self.w1).tr()) + get(self.b1)).tanh();
        hidden.matmul(&get(self.w2).tr()).reshape([-1])
    }

    /// The mean of the squared outputs' distance to 1.
    pub(crate) fn loss(&self, p: &Params, x: &Tensor) -> Tensor {
        (self.forward(p, x) - 1.0).square().mean(Kind::Double)
    }
}

pub(crate) fn inputs(n: i64) -> Tensor {
    manytask_tensor::random::Key::new(5, "inputs").normal(&[n, 3], Kind::Double, Device::Cpu).unwrap()
}

pub(crate) fn doubles(values: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(values.detach().to_kind(Kind::Double).contiguous().reshape([-1])).unwrap()
}

#[track_caller]
pub(crate) fn assert_close(found: &Tensor, expected: &Tensor, tolerance: f64) {
    assert_eq!(found.size(), expected.size());
    for (a, b) in doubles(found).iter().zip(doubles(expected)) {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} is not {b}");
    }
}
