//! Streams: keyed, frozen, and of the distributions they claim.

use std::collections::BTreeSet;

use manytask_tensor::random::{Key, stream};
use manytask_tensor::{Device, Kind, Tensor};
use proptest::prelude::*;
use rand::Rng;

use crate::support::doubles;

const N: i64 = 40_000;

/// The largest distance between the empirical distribution and `cdf`, times √n. Above 1.95 once in 1,000 keys.
fn kolmogorov_smirnov(values: &Tensor, cdf: impl Fn(f64) -> f64) -> f64 {
    let mut sorted = doubles(values);
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as f64;
    let gap = |(i, x): (usize, &f64)| {
        let (below, above, at) = (i as f64 / n, (i + 1) as f64 / n, cdf(*x));
        (at - below).abs().max((above - at).abs())
    };
    sorted.iter().enumerate().map(gap).fold(0.0, f64::max) * n.sqrt()
}

fn moments(values: &Tensor) -> (f64, f64) {
    let values = values.to_kind(Kind::Double);
    (values.mean(Kind::Double).double_value(&[]), values.std(true).double_value(&[]))
}

#[test]
fn streams_are_frozen() {
    // A change here changes every run there ever was.
    let first = |mut rng: manytask_tensor::random::ChaCha8Rng| [rng.random::<u64>(), rng.random::<u64>()];
    assert_eq!(first(stream(0, "init", 0, 0)), [15_187_259_536_408_703_403, 12_485_809_208_904_806_093]);
    assert_eq!(first(stream(42, "dropout", 7, 3)), [8_601_839_637_333_446_807, 17_303_350_441_095_644_511]);
    let nested = Key::new(u64::MAX, "").within(2).within(5).step(1);
    assert_eq!(first(nested.rng()), [4_856_774_578_366_874_629, 15_050_087_137_483_887_357]);
    let key = Key::new(1, "frozen");
    let uniform = key.uniform(-1.0, 1.0, &[3], Kind::Double, Device::Cpu).unwrap();
    assert_eq!(
        doubles(&uniform),
        [0.067_514_984_781_137_38, -0.694_196_481_427_932_9, 0.382_177_274_872_250_5]
    );
    let normal = key.normal(&[3], Kind::Double, Device::Cpu).unwrap();
    assert_eq!(
        doubles(&normal),
        [0.086_878_192_249_415_55, -0.874_352_190_602_018_7, 0.637_024_660_260_662_1]
    );
    let coins = key.bernoulli(0.5, &[8], Kind::Float, Device::Cpu).unwrap();
    assert_eq!(doubles(&coins), [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0]);
    assert_eq!(key.permutation(8), [7, 5, 6, 3, 4, 2, 1, 0]);
}

#[test]
fn every_part_of_a_key_matters() {
    let base = Key::new(1, "a");
    let keys = [
        base,
        Key::new(2, "a"),
        Key::new(1, "b"),
        Key::new(1, "aa"),
        base.step(1),
        base.task(1),
        base.within(0),
        base.within(1),
        base.within(1).within(0),
        base.within(0).within(1),
        base.step(1).task(1),
        base.within(1).step(1),
    ];
    let firsts: BTreeSet<u64> = keys.iter().map(|key| key.rng().random()).collect();
    assert_eq!(firsts.len(), keys.len());
    assert_eq!(base.step(5).task(2).step(1), base.task(2).step(1), "the last step counts");
    assert_eq!(base.step(3).task(4).rng(), stream(1, "a", 3, 4));
}

#[test]
fn draws_do_not_depend_on_order_or_thread() {
    let draw = |task| Key::new(1, "task").task(task).normal(&[5], Kind::Float, Device::Cpu).unwrap();
    let forwards: Vec<_> = (0..6).map(draw).collect();
    let mut backwards: Vec<_> = (0..6).rev().map(draw).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    let threads: Vec<_> = (0..6).map(|task| std::thread::spawn(move || draw(task))).collect();
    for (thread, expected) in threads.into_iter().zip(forwards) {
        assert_eq!(thread.join().unwrap(), expected);
    }
}

#[test]
fn neighbouring_streams_are_uncorrelated() {
    let draw = |step| Key::new(1, "x").step(step).normal(&[N], Kind::Double, Device::Cpu).unwrap();
    let first = draw(0);
    for step in 1..5 {
        let correlation = (&first * draw(step)).mean(Kind::Double).double_value(&[]);
        assert!(correlation.abs() < 4.0 / (N as f64).sqrt(), "{correlation}");
    }
}

#[test]
fn uniform_is_uniform() {
    let values = Key::new(1, "u").uniform(-2.0, 6.0, &[200, 200], Kind::Float, Device::Cpu).unwrap();
    assert_eq!((values.size(), values.kind()), (vec![200, 200], Kind::Float));
    assert!(kolmogorov_smirnov(&values, |x| (x + 2.0) / 8.0) < 1.95);
    let (mean, std) = moments(&values);
    assert!((mean - 2.0).abs() < 0.05 && (std - 8.0 / 12.0_f64.sqrt()).abs() < 0.03, "{mean} {std}");
}

#[test]
fn uniform_never_reaches_its_upper_end() {
    // Rounded to these types, one of 512 (or 4,096) draws would.
    for kind in [Kind::BFloat16, Kind::Half, Kind::Float, Kind::Double] {
        for (low, high) in [(0.0, 1.0), (1.0, 2.0), (-3.0, 0.1)] {
            let values = Key::new(3, "end").uniform(low, high, &[N], kind, Device::Cpu).unwrap();
            let end = Tensor::from(high).to_kind(kind).to_kind(Kind::Double).double_value(&[]);
            let start = Tensor::from(low).to_kind(kind).to_kind(Kind::Double).double_value(&[]);
            let values = doubles(&values);
            assert!(values.iter().all(|x| (start..end).contains(x)), "{kind:?} {low} {high}");
        }
    }
}

#[test]
fn normal_is_normal() {
    let values = Key::new(1, "n").normal(&[N], Kind::Double, Device::Cpu).unwrap();
    let cdf = |x: f64| Tensor::from(x).special_ndtr().double_value(&[]);
    assert!(kolmogorov_smirnov(&values, cdf) < 1.95);
    let (mean, std) = moments(&values);
    assert!(mean.abs() < 0.02 && (std - 1.0).abs() < 0.015, "{mean} {std}");
    let fourth = values.pow_tensor_scalar(4).mean(Kind::Double).double_value(&[]);
    assert!((fourth - 3.0).abs() < 0.2, "{fourth}");
}

#[test]
fn bernoulli_has_its_probability() {
    let mean = |p, seed| {
        let values = Key::new(seed, "b").bernoulli(p, &[N], Kind::Float, Device::Cpu).unwrap();
        assert!(doubles(&values).iter().all(|x| *x == 0.0 || *x == 1.0));
        moments(&values).0
    };
    for p in [0.1, 0.5, 0.9] {
        let found = mean(p, 1);
        assert!((found - p).abs() < 4.0 * (p * (1.0 - p) / N as f64).sqrt(), "{p}: {found}");
    }
    for (p, expected) in [(0.0, 0.0), (1.0, 1.0), (-1.0, 0.0), (2.0, 1.0), (f64::NAN, 0.0)] {
        assert_eq!(mean(p, 2), expected, "{p}");
    }
}

#[test]
fn permutations_are_fair() {
    let mut counts = [[0_u32; 4]; 4];
    for step in 0..4_000 {
        for (place, number) in Key::new(1, "p").step(step).permutation(4).into_iter().enumerate() {
            counts[place][number as usize] += 1;
        }
    }
    // 1,000 expected, with a standard deviation of 27.
    assert!(counts.iter().flatten().all(|count| (880..1_120).contains(count)), "{counts:?}");
    assert!(Key::new(1, "p").permutation(0).is_empty());
}

#[test]
fn shapes_that_cannot_be_are_errors() {
    let key = Key::new(1, "s");
    for shape in [vec![-1], vec![3, -2], vec![i64::MAX, 2], vec![1 << 55], vec![1 << 40, 1 << 40, 0]] {
        assert!(key.normal(&shape, Kind::Float, Device::Cpu).is_err(), "{shape:?}");
        assert!(key.uniform(0.0, 1.0, &shape, Kind::Float, Device::Cpu).is_err(), "{shape:?}");
        assert!(key.bernoulli(0.5, &shape, Kind::Float, Device::Cpu).is_err(), "{shape:?}");
    }
    for shape in [vec![], vec![0], vec![0, 3], vec![2, 0]] {
        assert_eq!(key.normal(&shape, Kind::Float, Device::Cpu).unwrap().size(), shape);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_permutation_holds_every_number(n in 0_usize..300, seed in any::<u64>(), step in any::<u64>()) {
        let mut order = Key::new(seed, "p").step(step).permutation(n);
        order.sort_unstable();
        prop_assert_eq!(order, (0..n as i64).collect::<Vec<_>>());
    }

    #[test]
    fn different_keys_draw_differently(a in any::<[u64; 3]>(), b in any::<[u64; 3]>()) {
        let first = |[seed, step, task]: [u64; 3]| stream(seed, "x", step, task).random::<u64>();
        prop_assert_eq!(a == b, first(a) == first(b));
    }
}
