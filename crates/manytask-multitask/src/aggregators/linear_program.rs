//! Linear programs over the simplex, by the simplex method: as many unknowns as tasks.

/// What is nothing but rounding in a tableau whose numbers are of the size of 1.
const ROUNDING: f64 = 1e-12;

/// The x of at least 0 that add up to 1 with the largest `objectiveᵀ x`, of those with `rowᵀ x ≥ bound` for each constraint, whose bounds
/// are at most 0; `None` where there is none, or none is found in time.
///
/// Pivots go by Bland's rule, which cannot cycle. It costs `O(n m)` a pivot for n unknowns and m constraints.
pub(super) fn maximise_on_simplex(objective: &[f64], constraints: &[(Vec<f64>, f64)]) -> Option<Vec<f64>> {
    let mut tableau = Tableau::new(objective.len(), constraints)?;
    let artificial = tableau.columns - 1;
    // First until the artificial unknown of Σ x = 1 is 0.
    let mut costs = vec![0.0; tableau.columns];
    *costs.get_mut(artificial)? = -1.0;
    tableau.solve(&costs, tableau.columns)?;
    if tableau.value_of(artificial) > 1e-9 {
        return None;
    }
    let mut costs = vec![0.0; tableau.columns];
    for (cost, own) in costs.iter_mut().zip(objective) {
        *cost = *own;
    }
    tableau.solve(&costs, artificial)?;
    let x: Vec<f64> = (0..objective.len()).map(|column| tableau.value_of(column).max(0.0)).collect();
    let sum: f64 = x.iter().sum();
    (sum > 0.0).then(|| x.iter().map(|value| value / sum).collect())
}

/// Equations `A y = b` with b ≥ 0 in the form in which each basic unknown is in one equation alone.
struct Tableau {
    /// Each with its right side at the end.
    rows: Vec<Vec<f64>>,
    /// The basic unknown of each.
    basis: Vec<usize>,
    columns: usize,
}

impl Tableau {
    /// Unknowns: x, a surplus of each constraint, the artificial one.
    fn new(unknowns: usize, constraints: &[(Vec<f64>, f64)]) -> Option<Self> {
        let columns = unknowns + constraints.len() + 1;
        let mut rows = Vec::with_capacity(constraints.len() + 1);
        let mut basis = Vec::with_capacity(constraints.len() + 1);
        for (number, (row, bound)) in constraints.iter().enumerate() {
            let mut equation = vec![0.0; columns + 1];
            for (place, coefficient) in equation.iter_mut().zip(row) {
                *place = -coefficient;
            }
            *equation.get_mut(unknowns + number)? = 1.0;
            *equation.last_mut()? = (-bound).max(0.0);
            rows.push(equation);
            basis.push(unknowns + number);
        }
        let mut sum = vec![0.0; columns + 1];
        sum.get_mut(..unknowns)?.fill(1.0);
        sum.get_mut(columns - 1..)?.fill(1.0);
        rows.push(sum);
        basis.push(columns - 1);
        Some(Self { rows, basis, columns })
    }

    fn value_of(&self, column: usize) -> f64 {
        let row = self.basis.iter().position(|basic| *basic == column);
        row.and_then(|row| self.rows.get(row)?.last().copied()).unwrap_or(0.0)
    }

    /// Pivots until no unknown before `end` makes `costsᵀ y` larger.
    fn solve(&mut self, costs: &[f64], end: usize) -> Option<()> {
        let most = 200 + 50 * self.columns;
        for _ in 0..most {
            let gain = |column: &usize| {
                let own = costs.get(*column).copied().unwrap_or_default();
                let through = self.basis.iter().zip(&self.rows).map(|(basic, row)| {
                    costs.get(*basic).copied().unwrap_or_default()
                        * row.get(*column).copied().unwrap_or_default()
                });
                own - through.sum::<f64>() > ROUNDING
            };
            let Some(entering) = (0..end).find(gain) else { return Some(()) };
            let ratios = self.rows.iter().enumerate().filter_map(|(number, row)| {
                let (coefficient, right) = (*row.get(entering)?, *row.last()?);
                (coefficient > ROUNDING).then(|| (right / coefficient, number))
            });
            let basic = |number: usize| self.basis.get(number).copied().unwrap_or_default();
            let leaving =
                ratios.min_by(|(a, one), (b, other)| a.total_cmp(b).then(basic(*one).cmp(&basic(*other))));
            let (_, leaving) = leaving?;
            self.pivot(leaving, entering)?;
        }
        None
    }

    fn pivot(&mut self, leaving: usize, entering: usize) -> Option<()> {
        let row = self.rows.get_mut(leaving)?;
        let pivot = *row.get(entering)?;
        for value in &mut *row {
            *value /= pivot;
        }
        let row = row.clone();
        for (_, other) in self.rows.iter_mut().enumerate().filter(|(number, _)| *number != leaving) {
            let factor = *other.get(entering)?;
            for (value, own) in other.iter_mut().zip(&row) {
                *value -= factor * own;
            }
        }
        *self.basis.get_mut(leaving)? = entering;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Kind};

    use super::*;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn a_vertex_of_the_simplex_or_of_a_constraint_is_best() {
        assert_eq!(maximise_on_simplex(&[1.0, 3.0, 2.0], &[]).unwrap(), [0.0, 1.0, 0.0]);
        // x₁ ≥ x₂ leaves half of each of the best two.
        let found = maximise_on_simplex(&[1.0, 3.0], &[(vec![1.0, -1.0], 0.0)]).unwrap();
        assert!((found[0] - 0.5).abs() < 1e-12 && (found[1] - 0.5).abs() < 1e-12, "{found:?}");
        assert!(maximise_on_simplex(&[1.0], &[(vec![-1.0], 0.0)]).is_none(), "x = 1 and -x ≥ 0");
    }

    /// Against all vertices: points at which as many conditions hold as there are unknowns, for three unknowns.
    #[test]
    fn the_best_of_all_points_of_a_fine_grid_is_not_better() {
        for seed in 0..40 {
            let drawn = Key::new(seed, "lp").normal(&[5, 3], Kind::Double, Device::Cpu).unwrap();
            let rows: Vec<Vec<f64>> =
                (0..5).map(|row| Vec::<f64>::try_from(drawn.select(0, row)).unwrap()).collect();
            let constraints: Vec<(Vec<f64>, f64)> =
                rows[1..].iter().map(|row| (row.clone(), -0.2 * row[0].abs())).collect();
            let feasible =
                |x: &[f64], slack: f64| constraints.iter().all(|(row, bound)| dot(row, x) >= bound - slack);
            let steps = 200;
            let grid = (0..=steps).flat_map(|a| (0..=steps - a).map(move |b| (a, b)));
            let share = |count: i32| f64::from(count) / f64::from(steps);
            let best = grid
                .map(|(a, b)| [share(a), share(b), share(steps - a - b)])
                .filter(|x| feasible(x, 0.0))
                .map(|x| dot(&rows[0], &x))
                .fold(f64::NEG_INFINITY, f64::max);
            match maximise_on_simplex(&rows[0], &constraints) {
                None => assert!(best == f64::NEG_INFINITY, "{seed}: {best}"),
                Some(x) => {
                    assert!(feasible(&x, 1e-9), "{seed}: {x:?}");
                    assert!((x.iter().sum::<f64>() - 1.0).abs() < 1e-12);
                    let found = dot(&rows[0], &x);
                    assert!(found > best - 1e-9, "{seed}: {found} {best}");
                }
            }
        }
    }
}
