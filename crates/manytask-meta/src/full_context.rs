//! Embeddings that depend on the whole support set (Vinyals et al. 2016, arXiv:1606.04080, section 2.1.2 and appendix A).

use manytask_multitask::{Error, Result};
use manytask_nn::Builder;
use manytask_tensor::{Init, Kind, Params, Role, Slot, Tensor};

use crate::embedding::with_dimension;

/// Added to the logarithm of an attention that does not count.
const NEVER: f64 = -1e9;

/// A long short-term memory (Hochreiter & Schmidhuber 1997), with the gates in `PyTorch`'s order: input, forget, cell, output.
#[derive(Debug)]
struct Lstm {
    of_input: Slot,
    of_state: Slot,
    bias: Slot,
}

/// What an LSTM remembers of rows `[T, N, D]`: output and cell.
struct Memory {
    output: Tensor,
    cell: Tensor,
}

impl Lstm {
    /// Of inputs and outputs of `size` numbers, whose state has `state` numbers.
    fn new(b: &mut Builder<'_>, size: i64, state: i64) -> Result<Self> {
        let bound = 1.0 / (size.max(1) as f64).sqrt();
        let drawn = Init::Uniform { low: -bound, high: bound };
        Ok(Self {
            of_input: b.parameter("input", &[4 * size, size], drawn, Role::Weight)?,
            of_state: b.parameter("state", &[4 * size, state], drawn, Role::Weight)?,
            bias: b.parameter("bias", &[4 * size], drawn, Role::Bias)?,
        })
    }

    /// One step of rows `[T, N, D]` from the state `[T, N, S]`.
    fn step(&self, x: &Tensor, state: &Tensor, cell: &Tensor, params: &Params) -> Result<Memory> {
        let matrix = |slot: Slot| -> Result<Tensor> {
            Ok(with_dimension(params.get(slot)?, params.tasks())?.f_transpose(1, 2)?)
        };
        let bias = with_dimension(params.get(self.bias)?, params.tasks())?.f_unsqueeze(1)?;
        let gates = x.f_matmul(&matrix(self.of_input)?)?.f_add(&state.f_matmul(&matrix(self.of_state)?)?)?;
        let gates = gates.f_add(&bias)?.f_chunk(4, -1)?;
        let [input, forget, new, output] = gates.as_slice() else {
            return Ok(Memory { output: x.shallow_clone(), cell: cell.shallow_clone() });
        };
        let cell = forget.f_sigmoid()?.f_mul(cell)?.f_add(&input.f_sigmoid()?.f_mul(&new.f_tanh()?)?)?;
        Ok(Memory { output: output.f_sigmoid()?.f_mul(&cell.f_tanh()?)?, cell })
    }
}

/// The three memories that embeddings go through.
#[derive(Debug)]
pub(crate) struct FullContext {
    forward: Lstm,
    backward: Lstm,
    attention: Lstm,
    steps: u32,
}

impl FullContext {
    /// Adds their parameters for embeddings of so many numbers.
    ///
    /// # Errors
    /// When the number of steps is out of range.
    pub(crate) fn new(b: &mut Builder<'_>, features: i64, steps: u32) -> Result<Self> {
        const MOST: u32 = 1000;
        if !(1..=MOST).contains(&steps) {
            let what = format!("context_steps is {steps}");
            return Err(Error::setting("context_steps", what, format!("take 1 to {MOST}, or leave it out")));
        }
        Ok(Self {
            forward: Lstm::new(&mut b.scope("forward"), features, features)?,
            backward: Lstm::new(&mut b.scope("backward"), features, features)?,
            attention: Lstm::new(&mut b.scope("attention"), features, 2 * features)?,
            steps,
        })
    }

    /// `g(xᵢ, S) = →hᵢ + ←hᵢ + g'(xᵢ)` of embeddings `[T, N, D]`: an example that is not there, where `there` `[T, N, 1]` is 0, is passed
    /// over.
    pub(crate) fn of_support(&self, embeddings: &Tensor, there: &Tensor, params: &Params) -> Result<Tensor> {
        let count = embeddings.size3()?.1;
        let through = |lstm: &Lstm, order: &mut dyn Iterator<Item = i64>| -> Result<Vec<(i64, Tensor)>> {
            let empty = embeddings.f_narrow(1, 0, count.min(1))?.f_zeros_like()?;
            let mut memory = Memory { output: empty.shallow_clone(), cell: empty };
            let mut outputs = Vec::new();
            for place in order {
                let (x, there) = (embeddings.f_narrow(1, place, 1)?, there.f_narrow(1, place, 1)?);
                let next = lstm.step(&x, &memory.output, &memory.cell, params)?;
                let kept = |new: &Tensor, old: &Tensor| -> Result<Tensor> {
                    Ok(old.f_add(&new.f_sub(old)?.f_mul(&there)?)?)
                };
                memory = Memory {
                    output: kept(&next.output, &memory.output)?,
                    cell: kept(&next.cell, &memory.cell)?,
                };
                outputs.push((place, memory.output.shallow_clone()));
            }
            outputs.sort_by_key(|(place, _)| *place);
            Ok(outputs)
        };
        let joined = |outputs: Vec<(i64, Tensor)>| -> Result<Tensor> {
            let outputs: Vec<Tensor> = outputs.into_iter().map(|(_, output)| output).collect();
            Ok(Tensor::f_cat(&outputs, 1)?)
        };
        let forward = joined(through(&self.forward, &mut (0..count))?)?;
        let backward = joined(through(&self.backward, &mut (0..count).rev())?)?;
        Ok(embeddings.f_add(&forward)?.f_add(&backward)?)
    }

    /// `f(x, S)` of queries `[T, M, D]`: `h ← LSTM(f'(x), [h, r], c) + f'(x)` with `r = Σ softmax(h · g(xᵢ)) g(xᵢ)`, which is 0 before the
    /// first step (equations 3 to 6).
    pub(crate) fn of_queries(
        &self,
        queries: &Tensor,
        (support, there): (&Tensor, &Tensor),
        params: &Params,
    ) -> Result<Tensor> {
        let outside = there.f_mul_scalar(-NEVER)?.f_add_scalar(NEVER)?.f_transpose(1, 2)?;
        let transposed = support.f_transpose(1, 2)?;
        let mut output = queries.f_zeros_like()?;
        let (mut cell, mut found) = (output.shallow_clone(), output.shallow_clone());
        for _ in 0..self.steps {
            let state = Tensor::f_cat(&[&output, &found], -1)?;
            let next = self.attention.step(queries, &state, &cell, params)?;
            output = next.output.f_add(queries)?;
            cell = next.cell;
            let attention = output.f_matmul(&transposed)?.f_add(&outside)?.f_softmax(-1, None::<Kind>)?;
            found = attention.f_matmul(support)?;
        }
        Ok(output)
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Layout};

    use super::*;

    const ON: (Kind, Device) = (Kind::Double, Device::Cpu);
    const SIZE: usize = 2;

    /// One step of one row, number by number.
    fn step(params: &Params, name: &str, x: &[f64], state: &[f64], cell: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let of = |part: &str| params.named(&format!("{name}.{part}")).unwrap().shallow_clone();
        let (input, recurrent, bias) = (of("input"), of("state"), of("bias"));
        let gate = |row: usize| {
            let sum = |matrix: &Tensor, values: &[f64]| -> f64 {
                let at = |column: usize| matrix.double_value(&[row as i64, column as i64]);
                values.iter().enumerate().map(|(column, value)| at(column) * value).sum()
            };
            sum(&input, x) + sum(&recurrent, state) + bias.double_value(&[row as i64])
        };
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut outputs, mut cells) = (Vec::new(), Vec::new());
        for unit in 0..SIZE {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate_number| gate(gate_number * SIZE + unit));
            let cell = sigmoid(f) * cell[unit] + sigmoid(i) * g.tanh();
            outputs.push(sigmoid(o) * cell.tanh());
            cells.push(cell);
        }
        (outputs, cells)
    }

    fn row(x: &Tensor, place: i64) -> Vec<f64> {
        Vec::<f64>::try_from(x.get(0).get(place)).unwrap()
    }

    fn plus(a: &[f64], b: &[f64]) -> Vec<f64> {
        a.iter().zip(b).map(|(a, b)| a + b).collect()
    }

    #[test]
    fn embeddings_are_those_of_the_papers_equations() {
        let mut layout = Layout::builder();
        let context = FullContext::new(&mut Builder::new(&mut layout), SIZE as i64, 3).unwrap();
        let params = layout.build().init(4, ON.0, ON.1).unwrap();
        let of = |name: &str, shape: &[i64]| Key::new(1, name).normal(shape, ON.0, ON.1).unwrap();
        let (support, query) = (of("s", &[1, 4, 2]), of("q", &[1, 1, 2]));
        // The third example has no label.
        let there = Tensor::from_slice(&[1.0, 1.0, 0.0, 1.0]).reshape([1, 4, 1]);
        let found = context.of_support(&support, &there, &params).unwrap();
        let mut expected: Vec<Vec<f64>> = (0..4).map(|place| row(&support, place)).collect();
        for (name, order) in [("forward", [0, 1, 3]), ("backward", [3, 1, 0])] {
            let (mut output, mut cell) = (vec![0.0; SIZE], vec![0.0; SIZE]);
            for place in order {
                (output, cell) = step(&params, name, &row(&support, place as i64), &output, &cell);
                expected[place] = plus(&expected[place], &output);
            }
        }
        for place in [0, 1, 3] {
            for (a, b) in row(&found, place as i64).iter().zip(&expected[place]) {
                assert!((a - b).abs() < 1e-12, "{place}");
            }
        }
        let x = row(&query, 0);
        let (mut output, mut cell, mut attended) = (vec![0.0; SIZE], vec![0.0; SIZE], vec![0.0; SIZE]);
        for _ in 0..3 {
            let (next, next_cell) = step(&params, "attention", &x, &[output, attended].concat(), &cell);
            (output, cell) = (plus(&next, &x), next_cell);
            let dot = |place: usize| -> f64 { output.iter().zip(&expected[place]).map(|(a, b)| a * b).sum() };
            let shares = [0, 1, 3].map(|place| (place, dot(place).exp()));
            let all: f64 = shares.iter().map(|(_, share)| share).sum();
            attended = vec![0.0; SIZE];
            for (place, share) in shares {
                let part: Vec<f64> = expected[place].iter().map(|value| value * share / all).collect();
                attended = plus(&attended, &part);
            }
        }
        let found = context.of_queries(&query, (&found, &there), &params).unwrap();
        for (a, b) in row(&found, 0).iter().zip(&output) {
            assert!((a - b).abs() < 1e-12);
        }
        assert!(FullContext::new(&mut Builder::new(&mut Layout::builder()), 2, 0).is_err());
    }
}
