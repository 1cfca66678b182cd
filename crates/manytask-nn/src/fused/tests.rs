//! Written-out passes of blocks against the graph's.

use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, grad, hvp};

use super::*;
use crate::loss::Loss;
use crate::nets::{Conv4, Conv4Config};
use crate::{BatchNormPolicy, Builder, Context};

fn normal(what: &str, shape: &[i64]) -> Tensor {
    Key::new(3, what).normal(shape, Kind::Double, Device::Cpu).unwrap()
}

#[test]
fn loss_gradient_and_hessian_product_are_the_graphs() {
    // Black and white pictures have equal pixels, of which pooling takes the first.
    for (channels, side, hidden, blocks, ink) in
        [(1, 9, 3, 2, false), (5, 6, 2, 1, false), (2, 14, 6, 3, false), (1, 12, 4, 2, true)]
    {
        let mut layout = Layout::builder();
        let config = Conv4Config { hidden, blocks, output: Some(3), ..Conv4Config::default() };
        let net = Conv4::new(&mut Builder::new(&mut layout), channels, side, &config).unwrap();
        let layout = layout.build();
        let written = FusedNet::compile(&net, &layout).unwrap();
        let params = layout.init(2, Kind::Double, Device::Cpu).unwrap();
        let start = params.flatten().unwrap();
        let params = params.unflatten(&(&start + normal("start", &start.size()) * 0.2)).unwrap();
        let params = params.require_grad().unwrap();
        let x = normal("x", &[4, channels, side, side]);
        let x = if ink { x.gt(1.2).to_kind(Kind::Double) } else { x };
        let y = Tensor::from_slice(&[0_i64, 2, 1, 2]);
        let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
        let objective = || {
            let mut cx = Context::eval().with_batch_norm(BatchNormPolicy::Batch);
            loss.mean(&net.forward(&params, &x, &mut cx).unwrap(), &y, None, None).unwrap()
        };
        let value = objective();
        let expected = grad(&value, &params, Graph::Free).unwrap().flatten().unwrap();
        let v = normal("v", &expected.size());
        let direction = params.detach().unwrap().unflatten(&v).unwrap();
        let expected_product =
            hvp(&objective(), &params, &direction, Graph::Free).unwrap().flatten().unwrap();

        let flat = written.flat(&params).unwrap().unwrap();
        let (flat, rows) = (values::<f64>(&flat).unwrap(), Rows::of(&x).unwrap());
        let outputs = written.outputs(rows.values.len() / rows.count, rows.sides).unwrap();
        let target = Target::Classes(&[0, 2, 1, 2]);
        let plain = PlainLoss::of(&loss).unwrap();
        for threads in [1, 2] {
            let mut trace = NetTrace::default();
            // Twice, since memory is used again.
            for _ in 0..2 {
                written.forward(flat, rows, &mut trace, threads).unwrap();
                let found = written.loss(plain, target, outputs, &mut trace);
                assert!((found - value.double_value(&[])).abs() < 1e-10);
                let mut gradient = vec![f64::NAN; written.size()];
                written.backward(flat, rows, &mut trace, &mut gradient, threads).unwrap();
                let gap = (Tensor::from_slice(&gradient) - &expected).abs().max().double_value(&[]);
                assert!(gap < 1e-10, "gradient, {blocks} blocks: {gap}");
            }
            let mut product = vec![f64::NAN; written.size()];
            let mut along = NetTangents::default();
            let v = values::<f64>(&v).unwrap();
            for _ in 0..2 {
                let of = (plain, target, outputs);
                written.hessian_product(flat, rows, of, &trace, v, &mut along, &mut product).unwrap();
                let gap = (Tensor::from_slice(&product) - &expected_product).abs().max().double_value(&[]);
                assert!(gap < 1e-9, "Hessian, {blocks} blocks: {gap}");
            }
        }
    }
}
