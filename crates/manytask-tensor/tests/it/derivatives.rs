//! Derivatives against finite differences, loops and the explicit Hessian.

use manytask_tensor::{
    Device, Graph, Kind, Params, Tensor, grad, gradients, hvp, jacobian, random::Key, vjp,
};

use crate::support::{Net, assert_close, doubles, inputs};

const STEP: f64 = 1e-5;

fn direction(net: &Net, seed: u64) -> Params {
    net.init(seed + 100)
}

/// The central difference of a vector-valued function along a direction.
fn difference(params: &Params, along: &Params, f: impl Fn(&Params) -> Tensor) -> Tensor {
    let at = |step| f(&params.add_scaled(along, step).unwrap());
    (at(STEP) - at(-STEP)) / (2.0 * STEP)
}

fn slope(net: &Net, at: &Params, x: &Tensor) -> Params {
    let at = at.require_grad().unwrap();
    grad(&net.loss(&at, x), &at, Graph::Free).unwrap()
}

/// A direction that leaves buffers alone.
fn trained_only(v: &Params) -> Params {
    v.zeros_like().unwrap().unflatten(&v.flatten().unwrap()).unwrap()
}

#[test]
fn gradient_is_the_finite_difference() {
    let (net, x) = (Net::new(), inputs(7));
    let params = net.init(1);
    let gradient = slope(&net, &params, &x);
    for seed in 0..4 {
        let v = trained_only(&direction(&net, seed));
        let expected = difference(&params, &v, |p| net.loss(p, &x));
        assert_close(&gradient.dot(&v).unwrap(), &expected, 1e-8);
    }
}

#[test]
fn vector_jacobian_product_is_exact() {
    // y = A x, so vᵀ ∂y/∂x = Aᵀ v whatever x is, and vᵀ ∂y/∂A = v xᵀ.
    let a = Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).reshape([2, 3]).set_requires_grad(true);
    let x = Tensor::from_slice(&[0.5, -1.0, 2.0]).set_requires_grad(true);
    let v = Tensor::from_slice(&[10.0, -3.0]);
    let found = vjp(&[&a.mv(&x)], &[&v], &[&x, &a], Graph::Free).unwrap();
    assert_eq!(doubles(&found[0]), [10.0 - 12.0, 20.0 - 15.0, 30.0 - 18.0]);
    assert_eq!(doubles(&found[1]), [5.0, -10.0, 20.0, -1.5, 3.0, -6.0]);
}

#[test]
fn vector_jacobian_product_is_the_finite_difference() {
    let (net, x) = (Net::new(), inputs(7));
    let params = net.init(1).require_grad().unwrap();
    let v = Key::new(9, "cotangent").normal(&[7], Kind::Double, Device::Cpu).unwrap();
    let trained: Vec<&Tensor> =
        [net.w1, net.b1, net.w2].map(|slot| params.get(slot).unwrap()).into_iter().collect();
    let found = vjp(&[&net.forward(&params, &x)], &[&v], &trained, Graph::Free).unwrap();
    let along = trained_only(&direction(&net, 1));
    let moved = difference(&params.detach().unwrap(), &along, |p| net.forward(p, &x));
    let expected = (moved * &v).sum(Kind::Double);
    let along = [net.w1, net.b1, net.w2].map(|slot| along.get(slot).unwrap());
    let product: f64 =
        found.iter().zip(along).map(|(g, d)| (g * d).sum(Kind::Double).double_value(&[])).sum();
    assert_close(&Tensor::from(product), &expected, 1e-8);
}

#[test]
fn jacobian_is_a_loop_of_gradients() {
    let (net, x) = (Net::new(), inputs(4));
    let params = net.init(1).require_grad().unwrap();
    let values = net.forward(&params, &x);
    let rows = jacobian(&values, &params, Graph::Keep).unwrap();
    assert_eq!(rows.tasks(), Some(4));
    for k in 0..4 {
        let row = grad(&values.select(0, k), &params, Graph::Keep).unwrap();
        assert_eq!(rows.task(k).unwrap().max_difference(&row).unwrap(), 0.0);
    }
    // The rows together: Jᵀ v is the product that `vjp` finds in one pass.
    let v = Tensor::from_slice(&[1.0, -2.0, 0.5, 3.0]);
    let product = v.reshape([1, 4]).matmul(&rows.flatten().unwrap()).reshape([-1]);
    let together = grad(&(values * v).sum(Kind::Double), &params, Graph::Free).unwrap();
    assert_close(&product, &together.flatten().unwrap(), 1e-13);
}

/// The Hessian over the trained entries, a row for each number, by differences of gradients.
fn hessian(net: &Net, params: &Params, x: &Tensor) -> Tensor {
    let count = net.layout.trained_count();
    let identity = Tensor::eye(count, (Kind::Double, Device::Cpu));
    let rows: Vec<Tensor> = (0..count)
        .map(|i| {
            let along = params.zeros_like().unwrap().unflatten(&identity.select(0, i)).unwrap();
            difference(params, &along, |p| slope(net, p, x).flatten().unwrap())
        })
        .collect();
    Tensor::stack(&rows, 0)
}

#[test]
fn hessian_vector_product_is_that_of_the_explicit_hessian() {
    let (net, x) = (Net::new(), inputs(7));
    let params = net.init(1);
    let tracked = params.require_grad().unwrap();
    let v = direction(&net, 3);
    let found = hvp(&net.loss(&tracked, &x), &tracked, &v, Graph::Free).unwrap();
    let expected = hessian(&net, &params, &x).mv(&v.flatten().unwrap());
    assert_close(&found.flatten().unwrap(), &expected, 1e-7);
    assert!(doubles(found.get(net.count).unwrap()).iter().all(|g| *g == 0.0));
    let along = trained_only(&v);
    let expected = difference(&params, &along, |p| slope(&net, p, &x).flatten().unwrap());
    assert_close(&found.flatten().unwrap(), &expected, 1e-7);
}

#[test]
fn a_linear_loss_has_no_hessian() {
    let net = Net::new();
    let params = net.init(1).require_grad().unwrap();
    let loss = params.get(net.w1).unwrap().sum(Kind::Double);
    let found = hvp(&loss, &params, &params, Graph::Free).unwrap();
    assert!(found.leaves().iter().all(|leaf| !leaf.requires_grad()));
    assert!(found.leaves().iter().flat_map(doubles).all(|h| h == 0.0));
    // Linear in the parameters, not in something else.
    let scale = Tensor::from(3.0_f64).set_requires_grad(true);
    let found = hvp(&(params.get(net.w1).unwrap() * scale).sum(Kind::Double), &params, &params, Graph::Free);
    assert!(found.unwrap().leaves().iter().flat_map(doubles).all(|h| h == 0.0));
}

#[test]
fn hessian_vector_product_of_each_task() {
    let (net, x) = (Net::new(), inputs(5));
    let parts: Vec<_> = (0..3).map(|seed| net.init(seed)).collect();
    let vectors: Vec<_> = (0..3).map(|seed| direction(&net, seed)).collect();
    let together = Params::stack(&parts).unwrap().require_grad().unwrap();
    let losses: Vec<_> = (0..3).map(|t| net.loss(&together.task(t).unwrap(), &x)).collect();
    let loss = Tensor::stack(&losses, 0).sum(Kind::Double);
    let found = hvp(&loss, &together, &Params::stack(&vectors).unwrap(), Graph::Free).unwrap();
    for ((t, part), v) in (0..).zip(&parts).zip(&vectors) {
        let part = part.require_grad().unwrap();
        let expected = hvp(&net.loss(&part, &x), &part, v, Graph::Free).unwrap();
        assert!(found.task(t).unwrap().max_difference(&expected).unwrap() < 1e-14);
    }
}

#[test]
fn third_and_fourth_order() {
    let x = Tensor::from_slice(&[0.5, 2.0]).set_requires_grad(true);
    let mut value = x.pow_tensor_scalar(4).sum(Kind::Double);
    let expected = [|x: f64| 4.0 * x.powi(3), |x| 12.0 * x * x, |x| 24.0 * x, |_| 24.0];
    for derivative in expected {
        let found = gradients(&value, &[&x], Graph::Differentiable).unwrap();
        for (a, b) in doubles(&found[0]).iter().zip([derivative(0.5), derivative(2.0)]) {
            assert!((a - b).abs() < 1e-12 * b, "{a} {b}");
        }
        value = found[0].sum(Kind::Double);
    }
}

#[test]
fn third_order_through_two_inner_steps_is_the_finite_difference() {
    let (net, x) = (Net::new(), inputs(6));
    // The gradient of a Hessian-vector product after an inner step.
    let third = |at: &Params| -> (Params, Tensor) {
        let at = at.require_grad().unwrap();
        let first = grad(&net.loss(&at, &x), &at, Graph::Differentiable).unwrap();
        let moved = at.add_scaled(&first, -0.3).unwrap();
        let second = grad(&net.loss(&moved, &x), &moved, Graph::Differentiable).unwrap();
        let again = moved.add_scaled(&second, -0.3).unwrap();
        let loss = net.loss(&again, &x);
        (grad(&loss, &at, Graph::Free).unwrap(), loss.detach())
    };
    let params = net.init(2);
    let (found, _) = third(&params);
    for seed in 0..3 {
        let v = trained_only(&direction(&net, seed));
        let expected = difference(&params, &v, |p| third(p).1);
        assert_close(&found.dot(&v).unwrap(), &expected, 1e-7);
    }
    let tracked = params.require_grad().unwrap();
    let v = trained_only(&direction(&net, 7));
    let curvature = |p: &Params| {
        let product = hvp(&net.loss(p, &x), p, &v, Graph::Differentiable).unwrap();
        product.dot(&v).unwrap()
    };
    let found = grad(&curvature(&tracked), &tracked, Graph::Free).unwrap().dot(&v).unwrap();
    let expected = difference(&params, &v, |p| curvature(&p.require_grad().unwrap()).detach());
    assert_close(&found, &expected, 1e-6);
}
