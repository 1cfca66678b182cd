use manytask_tensor::random::Key;
use manytask_tensor::{Device, Kind};

use super::*;
use crate::Jacobian;

fn cosines(count: i64, width: i64, seed: u64) -> Gramian {
    let rows = Key::new(seed, "rows").normal(&[count, width], Kind::Double, Device::Cpu).unwrap();
    Jacobian::new(&rows).unwrap().gramian().unwrap().cosines().1
}

/// How far `u ≥ 0`, `C u + q ≥ 0` and one of both zero are from being true.
fn error(cosines: &Gramian, u: &[f64], q: &[f64]) -> f64 {
    let products = cosines.apply(u).into_iter().zip(q).map(|(product, q)| product + q);
    products.zip(u).map(|(y, u)| (-u).max(-y).max((u * y).abs())).fold(0.0, f64::max)
}

#[test]
fn projections_meet_their_conditions_from_any_start() {
    // Independent gradients, and more than they have dimensions.
    for (count, width) in [(3, 10), (12, 15), (20, 12), (40, 80)] {
        let cosines = cosines(count, width, 1);
        let mut cone = DualCone::new(&cosines);
        for task in 0..count as usize {
            let q = cosines.row(task);
            assert!(cone.solve(q, 1.0), "from the last one");
            assert!(error(&cosines, cone.weights(), q) < 1e-11, "{count} {task}");
            let length = cone.squared_length();
            cone.start(q);
            assert!(cone.solve(q, 1.0));
            assert!(error(&cosines, cone.weights(), q) < 1e-11, "{count} {task}");
            assert!((cone.squared_length() - length).abs() < 1e-11, "both have the same vector");
        }
    }
}

#[test]
fn single_exchanges_get_there_as_well() {
    for (count, width) in [(12, 15), (20, 12), (30, 5)] {
        let cosines = cosines(count, width, 2);
        let mut cone = DualCone::new(&cosines);
        for task in 0..count as usize {
            let q = cosines.row(task);
            cone.start(&vec![0.0; q.len()]);
            cone.fit(q);
            assert!(cone.descend(q, 1.0));
            assert!(error(&cosines, cone.weights(), q) < 1e-11, "{count} {task}");
        }
    }
}

#[test]
fn what_has_no_minimum_is_told() {
    // g and −g, both wanted: u grows for ever.
    let opposite = Gramian::new(2, vec![1.0, -1.0, -1.0, 1.0]).unwrap();
    let mut cone = DualCone::new(&opposite);
    assert!(!cone.solve(&[-1.0, -1.0], 1.0));
    assert!(cone.solve(&[1.0, -1.0], 1.0) && cone.weights() == [0.0, 1.0]);
}
