//! Written-out passes against the graph's.

use manytask_tensor::dense::values;
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Layout, Params, Tensor, grad, hvp, masked_fill};

use super::*;
use crate::layers::Activation;
use crate::layers::{Dropout, Linear, Sequential};
use crate::loss::{Loss, MISSING_CLASS};
use crate::nets::{Mlp, MlpConfig};
use crate::{Builder, Context};

const ROWS: i64 = 5;

struct Case {
    net: Mlp,
    chain: DenseChain,
    params: Params,
    x: Tensor,
}

fn normal(what: &str, shape: &[i64]) -> Tensor {
    Key::new(3, what).normal(shape, Kind::Double, Device::Cpu).unwrap()
}

fn case(activation: Activation, hidden: Vec<i64>, outputs: i64) -> Case {
    let mut layout = Layout::builder();
    let config = MlpConfig { hidden, output: Some(outputs), activation, ..MlpConfig::default() };
    let net = Mlp::new(&mut Builder::new(&mut layout), 4, &config).unwrap();
    let layout = layout.build();
    let chain = DenseChain::compile(&net, &layout).unwrap();
    let params = layout.init(2, Kind::Double, Device::Cpu).unwrap().require_grad().unwrap();
    Case { net, chain, params, x: normal("x", &[ROWS, 4]) }
}

/// Labels of which some are missing.
fn labels(loss: &Loss, outputs: i64) -> Tensor {
    let missing = normal("missing", &[ROWS, outputs]).gt(0.5);
    let values = normal("y", &[ROWS, outputs]);
    match loss {
        Loss::CrossEntropy { .. } => {
            let classes = Tensor::arange(ROWS, (Kind::Int64, Device::Cpu)).remainder(outputs);
            Tensor::cat(&[classes.narrow(0, 1, ROWS - 1), Tensor::from_slice(&[MISSING_CLASS])], 0)
        }
        Loss::BinaryCrossEntropy { .. } => {
            masked_fill(&values.gt(0.0).to_kind(Kind::Double), &missing, f64::NAN).unwrap()
        }
        _ => masked_fill(&values, &missing, f64::NAN).unwrap(),
    }
}

#[test]
fn loss_gradient_and_hessian_product_are_the_graphs() {
    let losses = [
        Loss::Mse,
        Loss::BinaryCrossEntropy { positive_weight: None },
        Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 },
    ];
    let curves = [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Tanh,
        Activation::Sigmoid,
    ];
    for (activation, loss) in curves.iter().flat_map(|curve| losses.iter().map(move |loss| (*curve, loss))) {
        for hidden in [vec![], vec![6], vec![7, 3]] {
            let Case { net, chain, params, x } = case(activation, hidden, 3);
            let y = labels(loss, 3);
            let objective = |params: &Params| {
                let prediction = net.forward(params, &x, &mut Context::eval())?;
                loss.mean(&prediction, &y, None, None)
            };
            let value = objective(&params).unwrap();
            let expected = grad(&value, &params, Graph::Free).unwrap().flatten().unwrap();
            let direction = params.detach().unwrap().unflatten(&normal("v", &expected.size())).unwrap();
            let again = objective(&params).unwrap();
            let expected_product = hvp(&again, &params, &direction, Graph::Free).unwrap().flatten().unwrap();

            let plain = PlainLoss::of(loss).unwrap();
            let classes = Vec::<i64>::try_from(y.to_kind(Kind::Int64).reshape([-1])).unwrap();
            let target = match plain {
                PlainLoss::CrossEntropy => Target::Classes(&classes),
                _ => Target::Values(values::<f64>(&y).unwrap()),
            };
            assert!(plain.fits(target, ROWS as usize, 3));
            let flat = params.detach().unwrap().flatten().unwrap();
            let weights = chain.split(values::<f64>(&flat).unwrap());
            let rows = values::<f64>(&x).unwrap();
            let mut trace = Trace::default();
            chain.forward(&weights, rows, &mut trace, 1).unwrap();
            let found = chain.loss(plain, target, &mut trace);
            assert!((found - value.double_value(&[])).abs() < 1e-12, "{activation:?} {loss:?}");
            let mut gradient = vec![f64::NAN; chain.size()];
            chain.backward(&weights, rows, &mut trace, &mut gradient, None, 1).unwrap();
            let gap = (Tensor::from_slice(&gradient) - expected).abs().max().double_value(&[]);
            assert!(gap < 1e-12, "gradient, {activation:?} {loss:?}: {gap}");
            let v = direction.flatten().unwrap();
            let mut product = vec![f64::NAN; chain.size()];
            let mut along = Tangents::default();
            let v = values::<f64>(&v).unwrap();
            chain
                .hessian_product(&weights, rows, (plain, target), &trace, v, &mut along, &mut product)
                .unwrap();
            let gap = (Tensor::from_slice(&product) - expected_product).abs().max().double_value(&[]);
            assert!(gap < 1e-12, "Hessian, {activation:?} {loss:?}: {gap}");
        }
    }
}

#[test]
fn what_is_no_chain_is_not_taken_for_one() {
    let mut layout = Layout::builder();
    let mut b = Builder::new(&mut layout);
    let linear = |b: &mut Builder<'_>, name: &str| Linear::new(&mut b.scope(name), 2, 2).unwrap();
    let (first, second) = (linear(&mut b, "a"), linear(&mut b, "b"));
    let layout = layout.build();
    let of = |layers: Vec<Box<dyn Module>>| DenseChain::compile(&Sequential(layers), &layout);
    assert!(of(vec![Box::new(first.clone()), Box::new(second.clone())]).is_ok());
    assert!(of(vec![Box::new(first.clone()), Box::new(Dropout::new(0.5).unwrap())]).is_err());
    assert!(of(vec![Box::new(first.clone()), Box::new(Activation::Gelu)]).is_err());
    assert!(of(vec![Box::new(Activation::Relu), Box::new(first)]).is_err());
    assert!(of(vec![]).is_err());
}

#[test]
fn labels_of_another_kind_number_or_range_do_not_fit() {
    assert!(PlainLoss::Mse.fits(Target::Values(&[1.0, f64::NAN]), 2, 1));
    assert!(!PlainLoss::Mse.fits(Target::Values(&[1.0, f64::NAN]), 2, 2));
    assert!(!PlainLoss::CrossEntropy.fits::<f64>(Target::Classes(&[0, 3]), 2, 3));
    assert!(PlainLoss::CrossEntropy.fits::<f64>(Target::Classes(&[-100]), 1, 3));
    assert!(!PlainLoss::Mse.fits::<f64>(Target::Classes(&[0]), 1, 3));
    assert_eq!(PlainLoss::of(&Loss::L1), None);
    assert_eq!(PlainLoss::of(&Loss::BinaryCrossEntropy { positive_weight: Some(2.0) }), None);
}
