use manytask_nn::loss::{Loss, MISSING_CLASS, present};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Tensor, gradients};

use crate::fixtures::{KINDS, difference, read, tensor};

fn loss(value: &serde_json::Value) -> Loss {
    serde_json::from_value(value.clone()).unwrap()
}

fn normal(what: &str, shape: &[i64]) -> Tensor {
    Key::new(3, what).normal(shape, Kind::Double, Device::Cpu).unwrap()
}

/// A loss of each kind with a prediction and labels of `[rows]`, the last label missing.
fn cases(rows: i64) -> Vec<(Loss, Tensor, Tensor)> {
    let text = include_str!("../fixtures/losses.json");
    let losses: Vec<Loss> = read(text).as_array().unwrap().iter().map(|case| loss(&case["loss"])).collect();
    let with = |loss: Loss| {
        let gap = |target: Tensor| {
            let _ = target.get(rows - 1).fill_(if target.kind() == Kind::Int64 { -100.0 } else { f64::NAN });
            target
        };
        match loss {
            Loss::CrossEntropy { .. } => {
                let target = gap((normal("c", &[rows]).abs() * 10.0).to_kind(Kind::Int64).remainder(3));
                (loss, normal("p", &[rows, 3]), target)
            }
            Loss::BinaryCrossEntropy { .. } | Loss::Focal { .. } => {
                (loss, normal("p", &[rows]), gap(normal("t", &[rows]).gt(0.0).to_kind(Kind::Double)))
            }
            _ => (loss, normal("p", &[rows]), gap(normal("t", &[rows]))),
        }
    };
    losses.into_iter().map(with).collect()
}

#[test]
fn value_and_gradient_are_pytorchs() {
    for case in read(include_str!("../fixtures/losses.json")).as_array().unwrap() {
        let loss = loss(&case["loss"]);
        for (kind, tolerance) in KINDS {
            let prediction = tensor(&case["prediction"], kind).set_requires_grad(true);
            let classes = matches!(loss, Loss::CrossEntropy { .. });
            let target = tensor(&case["target"], if classes { Kind::Int64 } else { kind });
            let expected = Tensor::from(case["value"].as_f64().unwrap());
            // The fused path, and the one for weights and missing labels.
            let ones = Tensor::ones(target.size(), (kind, Device::Cpu));
            for weight in [None, Some(&ones)] {
                let value = loss.mean(&prediction, &target, weight, None).unwrap();
                assert!(difference(&value, &expected) < tolerance, "{loss:?} {kind:?} {value} {expected}");
                let gradient = gradients(&value, &[&prediction], Graph::Free).unwrap().remove(0);
                let gap = difference(&gradient, &tensor(&case["gradient"], kind));
                assert!(gap < tolerance, "gradient of {loss:?} {kind:?}: {gap}");
            }
        }
    }
}

#[test]
fn a_missing_label_is_as_if_its_row_were_not_there() {
    for (loss, prediction, target) in cases(7) {
        let prediction = prediction.set_requires_grad(true);
        let all = loss.mean(&prediction, &target, None, None).unwrap();
        let rest = loss.mean(&prediction.narrow(0, 0, 6), &target.narrow(0, 0, 6), None, None).unwrap();
        assert!(difference(&all, &rest) < 1e-12, "{loss:?}");
        let gradient = gradients(&all, &[&prediction], Graph::Free).unwrap().remove(0);
        assert_eq!(gradient.get(6).abs().max().double_value(&[]), 0.0, "{loss:?}");
        assert!(gradient.isfinite().all().int64_value(&[]) == 1);
        assert_eq!(present(&target).unwrap().to_kind(Kind::Int64).sum(Kind::Int64).int64_value(&[]), 6);
    }
}

#[test]
fn without_any_label_loss_and_gradient_are_zero() {
    for (loss, prediction, target) in cases(4) {
        let missing = if target.kind() == Kind::Int64 { MISSING_CLASS as f64 } else { f64::NAN };
        let target = target.full_like(missing);
        let prediction = prediction.set_requires_grad(true);
        let value = loss.mean(&prediction, &target, None, None).unwrap();
        assert_eq!(value.double_value(&[]), 0.0, "{loss:?}");
        let gradient = gradients(&value, &[&prediction], Graph::Free).unwrap().remove(0);
        assert_eq!(gradient.abs().max().double_value(&[]), 0.0, "{loss:?}");
    }
}

#[test]
fn weights_of_rows_are_as_if_rows_were_there_so_often() {
    let weight = Tensor::from_slice(&[1.0, 2.0, 0.0, 3.0, 1.0, 1.0, 5.0]);
    let often = Tensor::from_slice(&[0_i64, 1, 1, 3, 3, 3, 4, 5]);
    for (loss, prediction, target) in cases(7) {
        let weighted = loss.mean(&prediction, &target, Some(&weight), None).unwrap();
        let repeated = (prediction.index_select(0, &often), target.index_select(0, &often));
        let expected = loss.mean(&repeated.0, &repeated.1, None, None).unwrap();
        assert!(difference(&weighted, &expected) < 1e-12, "{loss:?} {weighted} {expected}");
    }
}

#[test]
fn tasks_at_once_are_a_loop_over_tasks() {
    for (loss, prediction, target) in cases(7) {
        for rows in [7, 6] {
            let both = |x: &Tensor| {
                let x = x.narrow(0, 0, rows);
                Tensor::stack(&[&x.flip([0]), &x], 0)
            };
            let (p, t) = (both(&prediction), both(&target));
            let found = loss.mean(&p, &t, None, Some(2)).unwrap();
            assert_eq!(found.size(), [2]);
            for task in 0..2 {
                let expected = loss.mean(&p.get(task), &t.get(task), None, None).unwrap();
                assert!(difference(&found.get(task), &expected) < 1e-12, "{loss:?}");
            }
            let samples = loss.per_sample(&p, &t).unwrap();
            assert_eq!(samples.size(), t.size());
        }
    }
}

#[test]
fn derivatives_of_second_order_are_those_of_differences() {
    for (loss, prediction, target) in cases(4) {
        if matches!(loss, Loss::L1 | Loss::Huber { .. }) {
            continue; // not twice differentiable everywhere
        }
        let first = |p: &Tensor| {
            let p = p.detach().set_requires_grad(true);
            let value = loss.mean(&p, &target, None, None).unwrap();
            (gradients(&value, &[&p], Graph::Differentiable).unwrap().remove(0), p)
        };
        let (gradient, p) = first(&prediction);
        let direction = normal("d", &prediction.size());
        let second =
            gradients(&(&gradient * &direction).sum(Kind::Double), &[&p], Graph::Free).unwrap().remove(0);
        let h = 1e-5;
        let up = first(&(&prediction + &direction * h)).0.detach();
        let down = first(&(&prediction - &direction * h)).0.detach();
        assert!(difference(&second, &((up - down) / (2.0 * h))) < 1e-8, "{loss:?}");
    }
}

#[test]
fn several_labels_count_each_by_itself() {
    let loss = Loss::BinaryCrossEntropy { positive_weight: None };
    let (p, t) =
        (normal("p", &[3, 2]), Tensor::from_slice(&[0.0, 1.0, f64::NAN, 1.0, 0.0, f64::NAN]).reshape([3, 2]));
    let flat = loss.mean(&p.reshape([-1]), &t.reshape([-1]), None, None).unwrap();
    assert!(difference(&loss.mean(&p, &t, None, None).unwrap(), &flat) < 1e-12);
    let weight = Tensor::from_slice(&[1.0, 0.0, 0.0]);
    let first = loss.mean(&p.get(0), &t.get(0), None, None).unwrap();
    assert!(difference(&loss.mean(&p, &t, Some(&weight), None).unwrap(), &first) < 1e-12);
}

#[test]
fn what_does_not_fit_is_refused() {
    let p = normal("p", &[3]);
    assert!(Loss::Mse.mean(&p, &normal("t", &[4]), None, None).is_err());
    assert!(Loss::Mse.mean(&p, &normal("t", &[3]), Some(&normal("w", &[2])), None).is_err());
    assert!(Loss::Mse.mean(&p, &normal("t", &[3]), None, Some(2)).is_err());
    let classes = Loss::CrossEntropy { class_weights: Some(vec![1.0]), label_smoothing: 0.0 };
    assert!(classes.mean(&normal("p", &[2, 3]), &Tensor::from_slice(&[0_i64, 1]), None, None).is_err());
    for bad in [
        Loss::Huber { delta: 0.0 },
        Loss::BinaryCrossEntropy { positive_weight: Some(-1.0) },
        Loss::CrossEntropy { class_weights: None, label_smoothing: 1.0 },
        Loss::Focal { gamma: f64::NAN, alpha: None },
        Loss::Focal { gamma: 1.0, alpha: Some(2.0) },
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}

#[test]
fn the_cosine_loss_is_that_of_angles_and_leaves_out_labels_with_a_gap() {
    let prediction = normal("p", &[5, 3]).set_requires_grad(true);
    let target = normal("t", &[5, 3]);
    let _ = target.get(3).get(1).fill_(f64::NAN);
    let value = Loss::Cosine.mean(&prediction, &target, None, None).unwrap();
    let unit = |x: &Tensor| x / x.norm_scalaropt_dim(2, [-1], true);
    let rows = Tensor::from_slice(&[0_i64, 1, 2, 4]);
    let known = (unit(&prediction) * unit(&target)).sum_dim_intlist([-1].as_slice(), false, Kind::Double);
    let expected: Tensor = 1.0 - known.index_select(0, &rows).mean(Kind::Double);
    assert!(difference(&value, &expected) < 1e-12);
    let gradient = gradients(&value, &[&prediction], Graph::Free).unwrap().remove(0);
    assert_eq!(gradient.get(3).abs().max().double_value(&[]), 0.0, "a label with a gap");
    let moved = |at: [i64; 2], by: f64| {
        let p = prediction.detach().copy();
        let _ = p.get(at[0]).get(at[1]).f_add_scalar_(by).unwrap();
        Loss::Cosine.mean(&p, &target, None, None).unwrap().double_value(&[])
    };
    for at in [[0, 0], [4, 2]] {
        let expected = (moved(at, 1e-5) - moved(at, -1e-5)) / 2e-5;
        assert!((gradient.double_value(&at) - expected).abs() < 1e-8);
    }
    let weight = Tensor::from_slice(&[0.0, 2.0, 0.0, 1.0, 1.0]);
    let weighted = Loss::Cosine.mean(&prediction, &target, Some(&weight), None).unwrap();
    let of = |row: i64| 1.0 - known.double_value(&[row]);
    assert!((weighted.double_value(&[]) - (2.0 * of(1) + of(4)) / 3.0).abs() < 1e-12);
    let samples = Loss::Cosine.per_sample(&prediction, &target).unwrap();
    assert_eq!((samples.size(), samples.double_value(&[3])), (vec![5], 0.0));
    let both = |x: &Tensor| Tensor::stack(&[x, &x.flip([0])], 0);
    let tasks = Loss::Cosine.mean(&both(&prediction), &both(&target), None, Some(2)).unwrap();
    assert!(difference(&tasks, &Tensor::stack(&[&value, &value], 0)) < 1e-12);
    let zero =
        Loss::Cosine.mean(&prediction.zeros_like().set_requires_grad(true), &target, None, None).unwrap();
    assert!((zero.double_value(&[]) - 1.0).abs() < 1e-12, "no direction is no direction");
    let flat = Loss::Cosine.mean(&normal("p", &[5]), &normal("t", &[5]), None, None);
    assert!(flat.is_err(), "numbers have no direction");
}
