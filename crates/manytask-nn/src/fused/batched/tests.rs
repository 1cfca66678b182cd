//! The passes of all tasks at once against those of one task after the other.

use manytask_tensor::dense::values;
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Layout, Tensor};

use super::super::{FusedNet, NetTangents, NetTrace, Rows};
use super::*;
use crate::Builder;
use crate::dense::{PlainLoss, Target};
use crate::nets::{Conv4, Conv4Config};

fn normal(what: &str, shape: &[i64]) -> Tensor {
    Key::new(5, what).normal(shape, Kind::Double, Device::Cpu).unwrap()
}

/// Largest difference of a row of all tasks from one task's vector.
fn gap(rows: &Tensor, task: i64, expected: &[f64]) -> f64 {
    (rows.get(task) - Tensor::from_slice(expected)).abs().max().double_value(&[])
}

#[test]
fn all_tasks_at_once_are_each_by_itself() {
    // One group of one picture, several of one, several of more, and as many tasks as need none; black and white pictures have
    // equal pixels, of which pooling takes the first.
    for (tasks, pictures, ink) in [(1, 1, false), (1, 4, true), (2, 64, true), (70, 2, false)] {
        let mut layout = Layout::builder();
        let config = Conv4Config { hidden: 3, blocks: 2, output: Some(2), ..Conv4Config::default() };
        let module = Conv4::new(&mut Builder::new(&mut layout), 1, 5, &config).unwrap();
        let layout = layout.build();
        let net = BatchedNet::compile(&module, &layout, |_| true).unwrap();
        let alone = FusedNet::compile(&module, &layout).unwrap();
        let params = layout.init(2, Kind::Double, Device::Cpu).unwrap();
        let params = params
            .unflatten(&(params.flatten().unwrap() + normal("start", &[params.layout().trained_count()])))
            .unwrap();
        let x = normal("x", &[tasks, pictures, 1, 5, 5]);
        let x = if ink { x.gt(0.8).to_kind(Kind::Double) } else { x };

        let each = 2.0 / (2 * pictures) as f64;
        let (leaves, rows) = (net.leaves(&params, tasks).unwrap(), net.rows(&x, Kind::Double).unwrap());
        let mut trace = net.forward(&leaves, &rows).unwrap();
        let cotangent = trace.predictions().unwrap() * each;
        let gradient = net.backward(&leaves, &rows, &mut trace, cotangent).unwrap();
        let direction =
            net.leaves(&params.unflatten(&normal("v", &[layout.trained_count()])).unwrap(), tasks).unwrap();
        let back = net
            .descended_back(&leaves, &rows, &mut trace, direction, |_, change| Ok(change * each), 0.5)
            .unwrap();
        let (gradient, back) = (net.flat(&gradient).unwrap(), net.flat(&back).unwrap());

        let flat = alone.flat(&params).unwrap().unwrap();
        let flat = values::<f64>(&flat).unwrap();
        let zeros = vec![0.0; 2 * pictures as usize];
        let v = Vec::<f64>::try_from(normal("v", &[flat.len() as i64])).unwrap();
        for task in [0, tasks - 1] {
            let x = x.get(task).contiguous();
            let rows = Rows::of(&x).unwrap();
            let (mut trace, mut along) = (NetTrace::default(), NetTangents::default());
            alone.forward(flat, rows, &mut trace, 1).unwrap();
            alone.loss(PlainLoss::Mse, Target::Values(&zeros), 2, &mut trace);
            let mut expected = vec![f64::NAN; flat.len()];
            alone.backward(flat, rows, &mut trace, &mut expected, 1).unwrap();
            let found = gap(&gradient, task, &expected);
            assert!(found < 1e-10, "gradient, {tasks} tasks of {pictures}: {found}");
            let of = (PlainLoss::Mse, Target::Values(&zeros[..]), 2);
            alone.hessian_product(flat, rows, of, &trace, &v, &mut along, &mut expected).unwrap();
            let places = expected.iter_mut().zip(&v);
            places.for_each(|(h, v)| *h = v - 0.5 * *h);
            // The convolutions' biases are none of the leaves: their part of the direction is not seen.
            let found = net.slots().zip(0..).fold((0.0_f64, 0), |(worst, start), (slot, _)| {
                let entry = layout.entry(slot).unwrap();
                let size = entry.shape.iter().product::<i64>();
                let part = expected.get(start as usize..(start + size) as usize).unwrap();
                let own = back.narrow(1, start, size);
                let is_bias = entry.name.ends_with("conv.bias");
                (if is_bias { worst } else { worst.max(gap(&own, task, part)) }, start + size)
            });
            assert!(found.0 < 1e-9, "way back, {tasks} tasks of {pictures}: {}", found.0);
        }
    }
}
