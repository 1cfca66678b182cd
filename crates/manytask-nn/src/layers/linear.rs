use manytask_tensor::{Init, OpContext, Params, Role, Slot, Tensor, WHOLE, baddbmm};

use crate::primitive::{NotFused, Primitive};
use crate::{Builder, Context, Error, Module, Precision, Result};

/// `y = x Wᵀ + b`, from `[B, in]` to `[B, out]`; with a task dimension from `[T, B, in]` to `[T, B, out]`.
///
/// Both parameters start from U(−1/√in, 1/√in), as `torch.nn.Linear`'s do.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Slot,
    bias: Slot,
    inputs: i64,
    precision: Precision,
}

impl Linear {
    /// Adds `weight` `[out, in]` and `bias` `[out]`.
    ///
    /// # Errors
    /// When a size is below 1, or a name was used before.
    pub fn new(b: &mut Builder<'_>, inputs: i64, outputs: i64) -> Result<Self> {
        let bound = 1.0 / (inputs.max(1) as f64).sqrt();
        let init = Init::Uniform { low: -bound, high: bound };
        Self::with_init(b, inputs, outputs, init, init)
    }

    /// The same with other starts.
    ///
    /// # Errors
    /// As [`Linear::new`].
    pub fn with_init(
        b: &mut Builder<'_>,
        inputs: i64,
        outputs: i64,
        weight: Init,
        bias: Init,
    ) -> Result<Self> {
        if inputs < 1 || outputs < 1 {
            return Err(Error::named_setting(
                WHOLE,
                "linear layer's size",
                &format!("{inputs} to {outputs}"),
                "at least 1 to 1 is needed",
            ));
        }
        Ok(Self {
            weight: b.parameter("weight", &[outputs, inputs], weight, Role::Weight)?,
            bias: b.parameter("bias", &[outputs], bias, Role::Bias)?,
            inputs,
            precision: b.precision(),
        })
    }
}

impl Module for Linear {
    fn forward(&self, params: &Params, x: &Tensor, _cx: &mut Context) -> Result<Tensor> {
        let size = x.size();
        let input = |expected: String| Error::Input { layer: "linear".into(), expected, found: size.clone() };
        let x = self.precision.operand(x)?;
        let weight = self.precision.operand(params.get(self.weight)?)?;
        let bias = self.precision.operand(params.get(self.bias)?)?;
        match (params.tasks(), size.as_slice()) {
            (None, &[_, inputs]) if inputs == self.inputs => {
                Ok(x.f_linear(&weight, Some(&bias)).op("linear", &[&x, &weight, &bias])?)
            }
            (Some(tasks), &[t, _, inputs]) if t == tasks && inputs == self.inputs => {
                Ok(baddbmm(&bias.f_unsqueeze(1)?, &x, &weight.f_transpose(1, 2)?)?)
            }
            (None, _) => Err(input(format!("[B, {}]", self.inputs))),
            (Some(tasks), _) => Err(input(format!("[{tasks}, B, {}]", self.inputs))),
        }
    }

    fn primitives(&self) -> Result<Vec<Primitive>, NotFused> {
        NotFused::unless_full(self.precision)?;
        Ok(vec![Primitive::Linear { weight: self.weight, bias: self.bias }])
    }
}

#[cfg(test)]
mod tests {
    use manytask_tensor::random::Key;
    use manytask_tensor::{Device, Graph, Kind, Layout, grad};

    use super::*;

    fn layer(inputs: i64, outputs: i64) -> (Linear, Params) {
        let mut layout = Layout::builder();
        let linear = Linear::new(&mut Builder::new(&mut layout), inputs, outputs).unwrap();
        (linear, layout.build().init(1, Kind::Double, Device::Cpu).unwrap())
    }

    #[test]
    fn a_product_by_hand() {
        let (linear, mut params) = layer(2, 1);
        params.put(linear.weight, Tensor::from_slice(&[2.0, -3.0]).reshape([1, 2])).unwrap();
        params.put(linear.bias, Tensor::from_slice(&[0.5])).unwrap();
        let x = Tensor::from_slice(&[1.0, 1.0, 4.0, 2.0]).reshape([2, 2]);
        let y = linear.forward(&params, &x, &mut Context::eval()).unwrap();
        assert_eq!(Vec::<f64>::try_from(y.reshape([-1])).unwrap(), [-0.5, 2.5]);
    }

    #[test]
    fn tasks_at_once_are_a_loop_over_tasks_in_value_gradient_and_second_order() {
        let (linear, params) = layer(3, 2);
        let shift = Key::new(5, "shift").normal(&[4, 8], Kind::Double, Device::Cpu).unwrap();
        let stacked = params.expand_tasks(4).unwrap();
        let stacked = stacked.unflatten(&(stacked.flatten().unwrap() + shift)).unwrap().copy().unwrap();
        let x = Key::new(6, "x").normal(&[4, 5, 3], Kind::Double, Device::Cpu).unwrap();
        let second_order = |params: &Params, x: &Tensor| {
            let params = params.require_grad().unwrap();
            let y = linear.forward(&params, x, &mut Context::eval()).unwrap();
            let first = grad(&y.tanh().square().sum(Kind::Double), &params, Graph::Differentiable).unwrap();
            let norm = first.dot(&first).unwrap().sum(Kind::Double);
            (y, first.detach().unwrap(), grad(&norm, &params, Graph::Free).unwrap())
        };
        let (y, first, second) = second_order(&stacked, &x);
        for t in 0..4 {
            let (y1, first1, second1) = second_order(&stacked.task(t).unwrap(), &x.select(0, t));
            assert!((y.select(0, t) - y1).abs().max().double_value(&[]) < 1e-12);
            assert!(first.task(t).unwrap().max_difference(&first1).unwrap() < 1e-12);
            assert!(second.task(t).unwrap().max_difference(&second1).unwrap() < 1e-12);
        }
    }

    #[test]
    fn starts_within_pytorchs_bounds_and_fills_them() {
        let (_, params) = layer(100, 200);
        for leaf in params.leaves() {
            let largest = leaf.abs().max().double_value(&[]);
            assert!((0.095..=0.1).contains(&largest), "{largest}");
        }
        let std = params.named("weight").unwrap().std(true).double_value(&[]);
        assert!((std - 0.1 / 3_f64.sqrt()).abs() < 1e-3, "{std}");
    }

    #[test]
    fn another_shape_is_answered_with_the_shape_that_fits() {
        let (linear, params) = layer(3, 2);
        let x = Tensor::zeros([2, 4], (Kind::Double, Device::Cpu));
        let error = linear.forward(&params, &x, &mut Context::eval()).unwrap_err().to_string();
        assert_eq!(error, "linear: expected input of shape [B, 3], found [2, 4]");
        let error = linear
            .forward(&params.expand_tasks(2).unwrap(), &x, &mut Context::eval())
            .unwrap_err()
            .to_string();
        assert!(error.contains("[2, B, 3]"), "{error}");
        assert!(Linear::new(&mut Builder::new(&mut Layout::builder()), 0, 1).is_err());
    }
}
