//! Fronts of several objectives that are minimised: preferences to look for points with, and what a set of points is worth.

/// Preferences spread evenly over the inside of the simplex: all `(h + 1/K) / (H + 1)` with natural h that add up to H, the largest H that gives no more
/// than `most` (Das & Dennis 1998, moved inwards). Of two tasks they are `most` points, `(i + ½) / most` for the second; each adds up to 1, none has a 0.
///
/// ```
/// use manytask_multitask::pareto::preferences;
/// assert_eq!(preferences(2, 2), [[0.75, 0.25], [0.25, 0.75]]);
/// assert_eq!(preferences(3, 5).len(), 3);
/// ```
pub fn preferences(tasks: usize, most: usize) -> Vec<Vec<f64>> {
    let mut found = lattice(tasks, 0);
    for sum in 1..most.max(1) {
        // Counted before they are made: lattices grow fast.
        if count(tasks, sum) > most as f64 {
            break;
        }
        found = lattice(tasks, sum);
    }
    let share = 1.0 / tasks.max(1) as f64;
    let moved = |point: Vec<usize>| {
        let sum = point.iter().sum::<usize>() as f64;
        point.iter().map(|part| (*part as f64 + share) / (sum + 1.0)).collect()
    };
    found.into_iter().map(moved).collect()
}

/// How many vectors of natural numbers have this sum.
fn count(tasks: usize, sum: usize) -> f64 {
    (1..tasks).map(|place| (sum + place) as f64 / place as f64).product()
}

/// All vectors of natural numbers with this sum, those with a large first one first.
fn lattice(tasks: usize, sum: usize) -> Vec<Vec<usize>> {
    if tasks <= 1 {
        return vec![vec![sum; tasks]];
    }
    let with = |first: usize| {
        lattice(tasks - 1, sum - first)
            .into_iter()
            .map(move |rest| std::iter::once(first).chain(rest).collect())
    };
    (0..=sum).rev().flat_map(with).collect()
}

/// For each point whether no other is better in one objective and as good in all others; of equal points the first one.
pub fn non_dominated(points: &[Vec<f64>]) -> Vec<bool> {
    let is_beaten = |place: usize, point: &[f64]| {
        points.iter().enumerate().any(|(number, other)| {
            let as_good = other.iter().zip(point).all(|(other, own)| other <= own);
            let better = other.iter().zip(point).any(|(other, own)| other < own);
            as_good && (better || number < place)
        })
    };
    points.iter().enumerate().map(|(place, point)| !is_beaten(place, point)).collect()
}

/// The hypervolume: how much of the space below `reference` some point is as good as in all objectives (Zitzler & Thiele 1998), exactly. Points that are
/// not below it in each objective add nothing.
///
/// It is computed slice by slice along the last objective, in `O(n^(K−1) log n)` for n points with K objectives.
///
/// ```
/// use manytask_multitask::pareto::hypervolume;
/// let points = [vec![1.0, 3.0], vec![2.0, 1.0], vec![2.5, 2.5]];
/// assert_eq!(hypervolume(&points, &[4.0, 4.0]), 7.0);
/// ```
pub fn hypervolume(points: &[Vec<f64>], reference: &[f64]) -> f64 {
    let inside: Vec<&[f64]> = points
        .iter()
        .filter(|point| {
            point.len() == reference.len() && point.iter().zip(reference).all(|(own, limit)| own < limit)
        })
        .map(Vec::as_slice)
        .collect();
    sliced(inside, reference)
}

fn sliced(mut points: Vec<&[f64]>, reference: &[f64]) -> f64 {
    let Some((limit, others)) = reference.split_last() else { return 0.0 };
    let last = |point: &[f64]| point.last().copied().unwrap_or(f64::INFINITY);
    points.sort_by(|a, b| last(a).total_cmp(&last(b)));
    if others.is_empty() {
        return points.first().map_or(0.0, |point| limit - last(point));
    }
    let mut volume = 0.0;
    for (place, point) in points.iter().enumerate() {
        let to = points.get(place + 1).map_or(*limit, |next| last(next));
        let depth = to - last(point);
        if depth > 0.0 {
            let so_far = points.iter().take(place + 1).filter_map(|point| point.split_last());
            volume += depth * sliced(so_far.map(|(_, rest)| rest).collect(), others);
        }
    }
    volume
}

/// The spacing of a front: the standard deviation of each point's distance to its nearest one, the sum of the differences of all objectives
/// (Schott 1995). 0 where they are spaced evenly; `None` of fewer than two points.
pub fn spacing(points: &[Vec<f64>]) -> Option<f64> {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>();
    let nearest = |(place, point): (usize, &Vec<f64>)| {
        let others = points.iter().enumerate().filter(|(number, _)| *number != place);
        others.map(|(_, other)| distance(point, other)).fold(f64::INFINITY, f64::min)
    };
    if points.len() < 2 {
        return None;
    }
    let distances: Vec<f64> = points.iter().enumerate().map(nearest).collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    let squares: f64 = distances.iter().map(|distance| (distance - mean).powi(2)).sum();
    Some((squares / (distances.len() - 1) as f64).sqrt())
}

/// The extent of a front: of each objective how far its smallest and largest values are apart.
pub fn extent(points: &[Vec<f64>]) -> Vec<f64> {
    let objectives = points.first().map_or(0, Vec::len);
    let range = |objective: usize| {
        let values = points.iter().filter_map(|point| point.get(objective).copied());
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        high - low
    };
    (0..objectives).map(range).collect()
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    #[test]
    fn preferences_are_inside_the_simplex_and_evenly_spread() {
        let two = preferences(2, 5);
        let expected = [0.9, 0.7, 0.5, 0.3, 0.1];
        assert!(
            two.len() == 5 && two.iter().zip(expected).all(|(one, first)| (one[0] - first).abs() < 1e-12)
        );
        // Sums of 2 have 6 vectors, of 3 ten.
        for (most, count) in [(1, 1), (2, 1), (3, 3), (9, 6), (10, 10)] {
            let found = preferences(3, most);
            assert_eq!(found.len(), count, "{most}");
            for one in &found {
                assert!((one.iter().sum::<f64>() - 1.0).abs() < 1e-12 && one.iter().all(|x| *x > 0.0));
            }
        }
        assert_eq!(preferences(40, 10).len(), 1, "a lattice of many tasks is not made");
    }

    #[test]
    fn dominated_points_and_repeated_ones_are_no_part_of_a_front() {
        let points = [[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0], [0.5, 9.0]].map(|p| p.to_vec());
        assert_eq!(non_dominated(&points), [true, true, false, false, true]);
    }

    /// Of three objectives against a count of random points, and against the sum over all sets of points, which is exact.
    #[test]
    fn a_hypervolume_is_that_of_the_union_of_boxes() {
        for (seed, objectives) in [(1, 2), (2, 2), (3, 3), (4, 3), (5, 4)] {
            let drawn =
                Key::new(seed, "points").uniform(0.0, 1.2, &[7, objectives], Kind::Double, Device::Cpu);
            let drawn = drawn.unwrap();
            let points: Vec<Vec<f64>> =
                (0..7).map(|row| Vec::<f64>::try_from(drawn.select(0, row)).unwrap()).collect();
            let mut expected = 0.0;
            for set in 1_u32..1 << 7 {
                let members = points.iter().enumerate().filter(|(number, _)| set >> number & 1 == 1);
                let members: Vec<&Vec<f64>> = members.map(|(_, point)| point).collect();
                let side = |of: usize| {
                    (1.0 - members.iter().map(|point| point[of]).fold(0.0_f64, f64::max)).max(0.0)
                };
                let volume: f64 = (0..objectives as usize).map(side).product();
                expected += if members.len() % 2 == 1 { volume } else { -volume };
            }
            let found = hypervolume(&points, &vec![1.0; objectives as usize]);
            assert!((found - expected).abs() < 1e-12, "{objectives}: {found} {expected}");
        }
        assert_eq!(hypervolume(&[], &[1.0, 1.0]), 0.0);
        assert_eq!(hypervolume(&[vec![2.0, 0.0], vec![f64::NAN, 0.0]], &[1.0, 1.0]), 0.0);
    }

    #[test]
    fn even_points_have_no_spacing() {
        let even: Vec<Vec<f64>> = (0..5).map(|i| vec![f64::from(i), f64::from(4 - i)]).collect();
        assert_eq!(spacing(&even), Some(0.0));
        assert_eq!(extent(&even), [4.0, 4.0]);
        let uneven = [[0.0, 3.0], [1.0, 2.0], [3.0, 0.0]].map(|p| p.to_vec());
        // Distances 2, 2 and 4.
        assert!((spacing(&uneven).unwrap() - (8.0_f64 / 6.0).sqrt()).abs() < 1e-12);
        assert_eq!(spacing(&uneven[..1]), None);
    }
}
