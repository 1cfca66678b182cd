//! Convex quadratic programs with upper bounds and sums of 0, and their derivative by the conditions of the optimum.

use manytask_multitask::Result;
use manytask_tensor::{Kind, Tensor, no_grad, solve_linear};

/// `min ½ zᵀGz + eᵀz` with `z ≤ u` and the sum of each group of `group` variables in succession 0; for each task its own.
#[derive(Debug)]
pub(crate) struct BoxProgram {
    /// G, symmetric and positive definite, `[T, n, n]`.
    pub(crate) quadratic: Tensor,
    /// e, `[T, n]`.
    pub(crate) linear: Tensor,
    /// u, `[T, n]`, constants; at least one of a group above 0, or all of it 0, where the variables are 0.
    pub(crate) upper: Tensor,
    /// The size of a group, which divides n.
    pub(crate) group: i64,
}

/// The solution z, `[T, n]`, with a graph to G and e.
///
/// An interior-point method finds which bounds hold. The Karush-Kuhn-Tucker conditions with these as equations are a linear system, whose
/// solution is the program's and whose derivative is the program's (Amos & Kolter 2017, arXiv:1703.00443, where bounds that hold
/// have multipliers above 0).
///
/// # Errors
/// When shapes do not fit, or memory runs out.
pub(crate) fn solve(program: &BoxProgram) -> Result<Tensor> {
    let held = {
        let _off = no_grad();
        held(program)?
    };
    let kind = program.quadratic.kind();
    let (g, e, u) = (
        program.quadratic.f_to_kind(Kind::Double)?,
        program.linear.f_to_kind(Kind::Double)?,
        program.upper.f_detach()?.f_to_kind(Kind::Double)?,
    );
    let free = held.f_neg()?.f_add_scalar(1.0)?;
    let sums = sums(program)?;
    // Rows of free variables are those of the gradient, rows of others say what they are.
    let top = g.f_mul(&free.f_unsqueeze(-1)?)?.f_add(&held.f_diag_embed(0, -2, -1)?)?;
    let multipliers = sums.f_transpose(1, 2)?.f_mul(&free.f_unsqueeze(-1)?)?;
    let right = held.f_mul(&u)?.f_sub(&free.f_mul(&e)?)?;
    let z = saddle(&top, &multipliers, &sums, &right, &empty(program, &held)?)?;
    Ok(z.f_to_kind(kind)?)
}

/// 1 for each group without a free variable, `[T, m]`.
fn empty(program: &BoxProgram, held: &Tensor) -> Result<Tensor> {
    let (tasks, count) = held.size2()?;
    let groups = held.f_reshape([tasks, count / program.group, program.group])?;
    Ok(groups.f_amin([-1_i64].as_slice(), false)?)
}

/// The matrix of the sums, `[T, m, n]`.
fn sums(program: &BoxProgram) -> Result<Tensor> {
    let (tasks, count) = program.linear.size2()?;
    let groups = Tensor::f_eye(count / program.group, (Kind::Double, program.linear.device()))?;
    let sums = groups.f_repeat_interleave_self_int(program.group, 1, None)?;
    Ok(sums.f_unsqueeze(0)?.f_expand([tasks, -1, -1], false)?)
}

/// z of `[top, side; sums, −empty] [z; ν] = [right; 0]`: a group without a free variable has no multiplier.
fn saddle(top: &Tensor, side: &Tensor, sums: &Tensor, right: &Tensor, empty: &Tensor) -> Result<Tensor> {
    let corner = empty.f_neg()?.f_diag_embed(0, -2, -1)?;
    let kept = empty.f_neg()?.f_add_scalar(1.0)?.f_unsqueeze(-1)?;
    let upper = Tensor::f_cat(&[top, side], 2)?;
    let lower = Tensor::f_cat(&[&sums.f_mul(&kept)?, &corner], 2)?;
    let system = Tensor::f_cat(&[&upper, &lower], 1)?;
    let right = Tensor::f_cat(&[right, &empty.f_zeros_like()?], 1)?;
    let found = solve_linear(&system, &right.f_unsqueeze(-1)?)?;
    let count = top.size().last().copied().unwrap_or_default();
    Ok(found.f_squeeze_dim(-1)?.f_narrow(1, 0, count)?)
}

/// 1 for each variable that is at its bound in the solution, `[T, n]`: a primal-dual interior-point method.
fn held(program: &BoxProgram) -> Result<Tensor> {
    /// Each divides the gap by about ten.
    const ITERATIONS: usize = 30;
    let of = |x: &Tensor| x.f_detach()?.f_to_kind(Kind::Double);
    let (g, e, u) = (of(&program.quadratic)?, of(&program.linear)?, of(&program.upper)?);
    let sums = sums(program)?;
    let none = sums.f_select(2, 0)?.f_zeros_like()?;
    // Groups whose bounds are all 0 have no interior: a bound of 1 stands for theirs, and they are held at last.
    let bounds = u.f_reshape([u.size2()?.0, -1, program.group])?;
    let without =
        bounds.f_amax([-1_i64].as_slice(), true)?.f_le(0.0)?.f_expand_as(&bounds)?.f_reshape(u.size())?;
    let u = u.f_where_self(&without.f_logical_not()?, &u.f_ones_like()?)?;
    let start = Start { g, e, u };
    let (slack, dual) = start.iterate(&sums, &none, ITERATIONS)?;
    Ok(dual.f_gt_tensor(&slack)?.f_logical_or(&without)?.f_to_kind(Kind::Double)?)
}

/// A program in float64 whose groups all have an interior.
struct Start {
    g: Tensor,
    e: Tensor,
    u: Tensor,
}

impl Start {
    /// Slacks and multipliers of the bounds after so many steps.
    fn iterate(&self, sums: &Tensor, none: &Tensor, iterations: usize) -> Result<(Tensor, Tensor)> {
        /// The share of the gap that a step aims at.
        const CENTRE: f64 = 0.1;
        /// The smallest gap that is aimed at: what is divided by must not end at 0.
        const LEAST: f64 = 1e-14;
        /// The share of the way to the edge that a step goes.
        const FAR: f64 = 0.99;
        let mut z = self.u.f_zeros_like()?;
        let (mut slack, mut dual) = (self.u.f_ones_like()?, self.u.f_ones_like()?);
        let mut nu = none.shallow_clone();
        let times = |a: &Tensor, b: &Tensor| a.f_matmul(&b.f_unsqueeze(-1)?)?.f_squeeze_dim(-1);
        let transposed = sums.f_transpose(1, 2)?;
        for _ in 0..iterations {
            let gap = slack.f_mul(&dual)?.f_mean_dim([1_i64].as_slice(), true, Kind::Double)?;
            let gradient = times(&self.g, &z)?.f_add(&self.e)?;
            let outer = gradient.f_add(&dual)?.f_add(&times(&transposed, &nu)?)?;
            let over = z.f_add(&slack)?.f_sub(&self.u)?;
            let aim = gap.f_mul_scalar(CENTRE)?.f_clamp_min(LEAST)?.f_sub(&slack.f_mul(&dual)?)?;
            // s' = −over − z', λ' = (aim − λ s')/s.
            let ratio = dual.f_div(&slack)?;
            let top = self.g.f_add(&ratio.f_diag_embed(0, -2, -1)?)?;
            let pushed = aim.f_add(&dual.f_mul(&over)?)?.f_div(&slack)?;
            let right = outer.f_add(&pushed)?.f_neg()?;
            let (dz, dnu) = newton(&top, &transposed, sums, &right, &times(sums, &z)?.f_neg()?)?;
            let dslack = over.f_add(&dz)?.f_neg()?;
            let ddual = aim.f_sub(&dual.f_mul(&dslack)?)?.f_div(&slack)?;
            let step = furthest(&slack, &dslack)?.f_minimum(&furthest(&dual, &ddual)?)?;
            let step = step.f_mul_scalar(FAR)?.f_clamp_max(1.0)?;
            z = z.f_addcmul(&step, &dz)?;
            nu = nu.f_addcmul(&step, &dnu)?;
            // Rounding must not end at 0.
            slack = slack.f_addcmul(&step, &dslack)?.f_clamp_min(f64::MIN_POSITIVE)?;
            dual = dual.f_addcmul(&step, &ddual)?.f_clamp_min(f64::MIN_POSITIVE)?;
        }
        Ok((slack, dual))
    }
}

/// `[top, sumsᵀ; sums, 0] [dz; dν] = [right; below]`.
fn newton(
    top: &Tensor,
    transposed: &Tensor,
    sums: &Tensor,
    right: &Tensor,
    below: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let groups = below.size2()?.1;
    let corner = below.f_zeros_like()?.f_diag_embed(0, -2, -1)?;
    let upper = Tensor::f_cat(&[top, transposed], 2)?;
    let system = Tensor::f_cat(&[&upper, &Tensor::f_cat(&[sums, &corner], 2)?], 1)?;
    let right = Tensor::f_cat(&[right, below], 1)?;
    let found = solve_linear(&system, &right.f_unsqueeze(-1)?)?.f_squeeze_dim(-1)?;
    let count = found.size2()?.1 - groups;
    Ok((found.f_narrow(1, 0, count)?, found.f_narrow(1, count, groups)?))
}

/// How many times a change can be added before a number of a task is 0, `[T, 1]`.
fn furthest(values: &Tensor, change: &Tensor) -> Result<Tensor> {
    let shrinks = change.f_lt(0.0)?;
    let times = values.f_div(&change.f_neg()?)?.f_where_self(&shrinks, &values.f_full_like(1e3)?)?;
    Ok(times.f_amin([1_i64].as_slice(), true)?)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, gradients};

    use super::*;

    const ON: (Kind, Device) = (Kind::Double, Device::Cpu);

    fn normal(name: &str, shape: &[i64]) -> Tensor {
        Key::new(5, name).normal(shape, ON.0, ON.1).unwrap()
    }

    /// Two programs of four groups of three, of which the second has a group without room.
    fn program(root: &Tensor) -> BoxProgram {
        let quadratic = root.matmul(&root.transpose(1, 2)) + Tensor::eye(12, ON);
        let upper = Tensor::from_slice(&[0.2, 0.0, 0.0]).repeat([2, 4]);
        let _ = upper.select(0, 1).narrow(0, 3, 3).fill_(0.0);
        BoxProgram { quadratic, linear: normal("e", &[2, 12]), upper, group: 3 }
    }

    #[test]
    fn a_solution_meets_the_conditions_of_the_optimum() {
        let program = program(&normal("g", &[2, 12, 12]));
        let z = solve(&program).unwrap();
        let sums = z.reshape([2, 4, 3]).sum_dim_intlist([2].as_slice(), false, ON.0);
        assert!(sums.abs().max().double_value(&[]) < 1e-12);
        assert!((&z - &program.upper).max().double_value(&[]) < 1e-12);
        let gradient = program.quadratic.matmul(&z.unsqueeze(-1)).squeeze_dim(-1) + &program.linear;
        let (gradient, slack) = (gradient.reshape([2, 4, 3]), (&program.upper - &z).reshape([2, 4, 3]));
        let mut held = 0;
        for (task, group) in (0..2).flat_map(|task| (0..4).map(move |group| (task, group))) {
            let of = |x: &Tensor| Vec::<f64>::try_from(x.select(0, task).select(0, group)).unwrap();
            let (gradient, slack) = (of(&gradient), of(&slack));
            let free: Vec<usize> = (0..3).filter(|i| slack[*i] > 1e-9).collect();
            held += 3 - free.len();
            // The gradient is one number where no bound holds, and lower where one does: more would be better.
            for (a, b) in free.iter().flat_map(|a| free.iter().map(move |b| (*a, *b))) {
                assert!((gradient[a] - gradient[b]).abs() < 1e-10, "{gradient:?} {slack:?}");
            }
            for at in (0..3).filter(|i| slack[*i] <= 1e-9) {
                assert!(free.iter().all(|free| gradient[at] <= gradient[*free] + 1e-10));
            }
        }
        assert!((6..20).contains(&held), "{held}: both kinds of variables are wanted");
        assert!(z.select(0, 1).narrow(0, 3, 3).abs().max().double_value(&[]) < 1e-15);
    }

    #[test]
    fn the_derivative_is_that_of_differences() {
        let (root, weights) = (normal("g", &[2, 12, 12]), normal("w", &[2, 12]));
        let value = |root: &Tensor| (solve(&program(root)).unwrap() * &weights).sum(ON.0);
        let live = root.copy().set_requires_grad(true);
        let found = &gradients(&value(&live), &[&live], Graph::Free).unwrap()[0];
        let direction = normal("d", &[2, 12, 12]);
        let at = |h: f64| value(&(&root + &direction * h)).double_value(&[]);
        let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
        let found = (found * &direction).sum(ON.0).double_value(&[]);
        assert!((found - expected).abs() < 1e-7 * expected.abs().max(1.0), "{found} {expected}");
    }
}
