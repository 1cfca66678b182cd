//! Starts of parameters: their distributions, and independence of each other.

use manytask_tensor::random::Key;
use manytask_tensor::{Device, Init, Kind, Layout, Params, Role, Tensor};

use crate::support::{assert_close, doubles};

fn draw(init: Init, shape: &[i64]) -> Tensor {
    init.draw(shape, Key::new(1, "init"), Kind::Double, Device::Cpu).unwrap()
}

fn moments(values: &Tensor) -> (f64, f64) {
    (values.mean(Kind::Double).double_value(&[]), values.std(true).double_value(&[]))
}

#[test]
fn constants() {
    assert_eq!(doubles(&draw(Init::Zeros, &[2])), [0.0, 0.0]);
    assert_eq!(doubles(&draw(Init::Ones, &[2])), [1.0, 1.0]);
    assert_eq!(doubles(&draw(Init::Constant(-0.25), &[1, 2])), [-0.25, -0.25]);
    assert_eq!(draw(Init::Constant(1.0), &[]).size(), Vec::<i64>::new());
}

#[test]
fn uniform_and_normal() {
    let values = draw(Init::Uniform { low: -3.0, high: 1.0 }, &[100, 300]);
    let (mean, std) = moments(&values);
    assert!((mean + 1.0).abs() < 0.03 && (std - 4.0 / 12.0_f64.sqrt()).abs() < 0.02, "{mean} {std}");
    assert!(doubles(&values).iter().all(|x| (-3.0..1.0).contains(x)));
    let (mean, std) = moments(&draw(Init::Normal { mean: 5.0, std: 0.2 }, &[100, 300]));
    assert!((mean - 5.0).abs() < 0.005 && (std - 0.2).abs() < 0.004, "{mean} {std}");
}

/// The mean and deviation of the standard normal distribution within `[a, b]`.
fn truncated_moments(a: f64, b: f64) -> (f64, f64) {
    let density = |x: f64| (-0.5 * x * x).exp();
    let n = 200_000;
    let step = (b - a) / f64::from(n);
    let points = (0..n).map(|i| a + (f64::from(i) + 0.5) * step);
    let mass: f64 = points.clone().map(density).sum();
    let mean = points.clone().map(|x| x * density(x)).sum::<f64>() / mass;
    let square = points.map(|x| x * x * density(x)).sum::<f64>() / mass;
    (mean, (square - mean * mean).sqrt())
}

#[test]
fn truncated_normal() {
    // Around the mean, on either side, and so far out that drawing again would not end.
    for (a, b) in [(-2.0, 2.0), (-0.5, 3.0), (1.0, 2.0), (-4.0, -3.0), (7.5, 9.0), (-12.0, -10.0)] {
        let (mean, std) = (0.3, 2.0);
        let (low, high) = (mean + std * a, mean + std * b);
        let values = draw(Init::TruncatedNormal { mean, std, low, high }, &[30_000]);
        assert!(doubles(&values).iter().all(|x| (low..=high).contains(x)), "{a} {b}");
        let (m, s) = moments(&((values - mean) / std));
        let (expected, deviation) = truncated_moments(a, b);
        assert!((m - expected).abs() < 4.0 * deviation / 173.0, "{a} {b}: mean {m}, expected {expected}");
        assert!((s - deviation).abs() < 0.03 * deviation, "{a} {b}: {s}, expected {deviation}");
    }
}

#[test]
fn a_truncated_normal_without_room_is_an_error() {
    for (mean, std, low, high) in [
        (0.0, 1.0, 1.0, 1.0),
        (0.0, 1.0, 2.0, 1.0),
        (0.0, 0.0, -1.0, 1.0),
        (0.0, -1.0, -1.0, 1.0),
        (0.0, 1.0, 50.0, 60.0),
        (0.0, 1.0, f64::NAN, 1.0),
        (f64::NAN, 1.0, -1.0, 1.0),
    ] {
        let init = Init::TruncatedNormal { mean, std, low, high };
        let found = init.draw(&[2], Key::new(1, "x"), Kind::Float, Device::Cpu);
        assert!(found.is_err(), "{init:?}: {found:?}");
    }
}

#[test]
fn orthogonal_in_both_orientations() {
    for (shape, rows, columns) in [
        (vec![5, 3], 5, 3),
        (vec![3, 5], 3, 5),
        (vec![4, 4], 4, 4),
        (vec![8, 2, 3], 8, 6),
        (vec![4, 2, 3, 3], 4, 18),
        (vec![1, 4], 1, 4),
    ] {
        let q = draw(Init::Orthogonal { gain: 2.0 }, &shape);
        assert_eq!(q.size(), shape);
        let q = q.reshape([rows, columns]);
        let product = if rows >= columns { q.tr().matmul(&q) } else { q.matmul(&q.tr()) };
        let expected = Tensor::eye(rows.min(columns), (Kind::Double, Device::Cpu)) * 4.0;
        assert!((&product - &expected).abs().max().double_value(&[]) < 1e-13, "{shape:?}");
    }
    for shape in [vec![], vec![5]] {
        let init = Init::Orthogonal { gain: 1.0 };
        assert!(init.draw(&shape, Key::new(1, "x"), Kind::Float, Device::Cpu).is_err(), "{shape:?}");
    }
    assert_eq!(draw(Init::Orthogonal { gain: 1.0 }, &[0, 3]).size(), [0, 3]);
}

#[test]
fn orthogonal_prefers_no_sign() {
    let positive = (0..400).filter(|seed| {
        let key = Key::new(*seed, "q");
        let q = Init::Orthogonal { gain: 1.0 }.draw(&[3, 3], key, Kind::Double, Device::Cpu).unwrap();
        q.double_value(&[0, 0]) > 0.0
    });
    let count = positive.count();
    assert!((150..250).contains(&count), "{count}");
}

fn network(names: &[&str], seed: u64) -> Params {
    let mut layout = Layout::builder();
    for name in names {
        layout.add(*name, &[3, 3], Init::Orthogonal { gain: 1.0 }, Role::Weight).unwrap();
    }
    layout.build().init(seed, Kind::Double, Device::Cpu).unwrap()
}

#[test]
fn adding_an_entry_changes_no_other() {
    let (small, large) = (network(&["a", "b"], 1), network(&["c", "b", "d", "a"], 1));
    for name in ["a", "b"] {
        assert_eq!(small.named(name).unwrap(), large.named(name).unwrap());
    }
    assert_ne!(large.named("a").unwrap(), large.named("b").unwrap());
}

#[test]
fn seeds_differ_and_kinds_agree() {
    let (one, two) = (network(&["a"], 1), network(&["a"], 2));
    assert_eq!(one.max_difference(&network(&["a"], 1)).unwrap(), 0.0);
    assert!(one.max_difference(&two).unwrap() > 0.1);
    // The same draw, rounded.
    for init in [Init::Normal { mean: 0.0, std: 1.0 }, Init::Uniform { low: -1.0, high: 1.0 }] {
        let float = init.draw(&[50], Key::new(1, "init"), Kind::Float, Device::Cpu).unwrap();
        assert_close(&float, &draw(init, &[50]), 1e-6);
    }
}

#[test]
fn a_diagonal_is_one_number_and_the_rest_another() {
    let units = draw(Init::Diagonal { on: 0.9, off: 0.05 }, &[3, 3, 2]);
    for (a, b) in [(0, 0), (0, 1), (2, 1), (2, 2)] {
        let expected = if a == b { 0.9 } else { 0.05 };
        assert_eq!([0, 1].map(|c| units.double_value(&[a, b, c])), [expected; 2]);
    }
    assert!(
        Init::Diagonal { on: 1.0, off: 0.0 }.draw(&[3], Key::new(1, "a"), Kind::Double, Device::Cpu).is_err()
    );
}
