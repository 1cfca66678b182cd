//! The passes of all tasks at once against those of one task after the other.

use manytask_tensor::dense::values;
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind, Layout, Tensor};

use super::super::{FusedNet, NetTangents, NetTrace, Rows};
use super::leaves::Form;
use super::matrices::Matrices;
use super::*;
use crate::Builder;
use crate::dense::{PlainLoss, Target};
use crate::nets::{Conv4, Conv4Config, Mlp, MlpConfig};

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

#[test]
fn factors_of_wide_layers_give_what_own_weights_give() {
    let (tasks, support, query, steps, rate) = (3, 4, 5, 3, 0.1);
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![7, 6], output: Some(2), ..MlpConfig::default() };
    let module = Mlp::new(&mut Builder::new(&mut layout), 2, &config).unwrap();
    let layout = layout.build();
    let params = layout.init(2, Kind::Double, Device::Cpu).unwrap();
    // All move; the biases alone; the weights alone.
    for rests in ["", "weight", "bias"] {
        let moves =
            |slot| !layout.entry(slot).is_ok_and(|entry| !rests.is_empty() && entry.name.contains(rests));
        let net = BatchedNet::compile(&module, &layout, moves).unwrap();
        let gradient = |form: fn() -> Form| {
            let [support, query] = [("s", support), ("q", query)]
                .map(|(what, rows)| net.rows(&normal(what, &[tasks, rows, 2]), Kind::Double).unwrap());
            let mut leaves = net.leaves_in(&params, tasks, |_| form()).unwrap();
            let mut passed = Vec::new();
            for _ in 0..steps {
                let mut trace = net.forward(&leaves, &support).unwrap();
                let cotangent = trace.predictions().unwrap().shallow_clone();
                let next = net.descended(&leaves, &support, &mut trace, cotangent, rate).unwrap();
                passed.push((std::mem::replace(&mut leaves, next), trace));
            }
            let mut trace = net.forward(&leaves, &query).unwrap();
            let cotangent = trace.predictions().unwrap().shallow_clone();
            let mut along = net.backward(&leaves, &query, &mut trace, cotangent).unwrap();
            while let Some((before, mut trace)) = passed.pop() {
                let curvature = |_: &Tensor, change: &Tensor| Ok(change.shallow_clone());
                along = net.descended_back(&before, &support, &mut trace, along, curvature, rate).unwrap();
            }
            net.flat(&along).unwrap()
        };
        let (own, factored) = (gradient(|| Form::Own), gradient(|| Form::Factored));
        assert!(own.abs().max().double_value(&[]) > 1e-3);
        let gap = (&own - &factored).abs().max().double_value(&[]);
        assert!(gap < 1e-12, "without {rests}: {gap}");
    }
}

#[test]
fn wide_layers_of_many_tasks_are_kept_as_factors() {
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden: vec![600, 600], output: Some(1), ..MlpConfig::default() };
    let module = Mlp::new(&mut Builder::new(&mut layout), 1, &config).unwrap();
    let layout = layout.build();
    let net = BatchedNet::compile(&module, &layout, |_| true).unwrap();
    let params = layout.init(2, Kind::Float, Device::Cpu).unwrap();
    let factored = |tasks, rank| {
        let leaves = net.leaves_of_steps(&params, tasks, rank).unwrap();
        leaves.dense.iter().map(|leaf| matches!(leaf.weight, Matrices::Factored(_))).collect::<Vec<_>>()
    };
    assert_eq!(factored(25, 30), [false, true, false]);
    assert_eq!(factored(25, 200), [false; 3], "as many rows as columns");
    assert_eq!(factored(2, 30), [false; 3], "few tasks");
}
