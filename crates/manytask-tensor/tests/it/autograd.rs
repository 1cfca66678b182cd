//! What the binding crashes on or gets wrong: here an error, or right.

use std::panic::{AssertUnwindSafe, catch_unwind};

use manytask_tensor::{
    Device, Error, Graph, Init, Kind, Layout, Params, Role, Tensor, grad, gradients, hvp, jacobian, no_grad,
    vjp,
};

use crate::support::{Net, assert_close, doubles, inputs};

fn leaf(values: &[f64]) -> Tensor {
    Tensor::from_slice(values).set_requires_grad(true)
}

#[test]
fn a_loss_without_a_graph_is_an_error() {
    let net = Net::new();
    let (params, x) = (net.init(1), inputs(5));
    let loss = net.loss(&params, &x); // nothing requires a gradient: the binding ends the process here
    assert!(matches!(grad(&loss, &params, Graph::Free), Err(Error::NoGraph { .. })));
    let tracked = params.require_grad().unwrap();
    assert!(matches!(grad(&loss, &tracked, Graph::Free), Err(Error::NoGraph { what: "the loss" })));
    let loss = {
        let _off = no_grad();
        net.loss(&tracked, &x)
    };
    let error = grad(&loss, &tracked, Graph::Free).unwrap_err();
    assert!(error.to_string().contains("`Params::require_grad`"), "{error}");
    assert!(matches!(hvp(&loss, &tracked, &tracked, Graph::Free), Err(Error::NoGraph { .. })));
    let values = loss.reshape([1]);
    assert!(matches!(jacobian(&values, &tracked, Graph::Free), Err(Error::NoGraph { .. })));
    let v = Tensor::ones([1], (Kind::Double, Device::Cpu));
    let w = tracked.get(net.w1).unwrap();
    assert!(matches!(vjp(&[&values], &[&v], &[w], Graph::Free), Err(Error::NoGraph { .. })));
    assert!(matches!(vjp(&[], &[], &[w], Graph::Free), Err(Error::NoGraph { .. })));
    assert!(matches!(gradients(&loss, &[w], Graph::Free), Err(Error::NoGraph { .. })));
}

#[test]
fn an_undefined_loss_is_an_error() {
    let x = leaf(&[1.0]);
    assert!(gradients(&Tensor::new(), &[&x], Graph::Free).is_err());
    assert!(jacobian(&Tensor::new(), &Net::new().init(1), Graph::Free).is_err());
}

#[test]
fn an_input_without_gradient_is_an_error() {
    let (x, fixed) = (leaf(&[1.0]), Tensor::from_slice(&[1.0]));
    let loss = (&x * &fixed).sum(Kind::Double);
    let error = gradients(&loss, &[&x, &fixed], Graph::Free).unwrap_err();
    assert!(matches!(error, Error::NoGraph { .. }), "{error}");
    let error = gradients(&loss, &[], Graph::Free).unwrap_err();
    assert!(matches!(error, Error::NoGraph { .. }), "{error}");
    assert!(gradients(&loss, &[&Tensor::new()], Graph::Free).is_err());
}

#[test]
fn a_loss_of_several_elements_is_not_summed() {
    let net = Net::new();
    let params = net.init(1).require_grad().unwrap();
    let values = net.forward(&params, &inputs(5));
    let error = grad(&values, &params, Graph::Free).unwrap_err();
    assert!(matches!(&error, Error::NotScalar { shape } if shape == &[5]), "{error}");
    let w = params.get(net.w1).unwrap();
    assert!(matches!(gradients(&values, &[w], Graph::Free), Err(Error::NotScalar { .. })));
    assert!(matches!(hvp(&values, &params, &params, Graph::Free), Err(Error::NotScalar { .. })));
    let one = values.narrow(0, 0, 1).reshape([1, 1]); // one element, of whatever shape
    assert!(grad(&one, &params, Graph::Keep).is_ok());
    let error = jacobian(&values.reshape([5, 1]), &params, Graph::Keep).unwrap_err();
    assert!(matches!(&error, Error::NotVector { shape } if shape == &[5, 1]), "{error}");
    let error = jacobian(&values.narrow(0, 0, 0), &params, Graph::Keep).unwrap_err();
    assert!(matches!(error, Error::NotVector { .. }), "{error}");
}

#[test]
fn what_is_not_reached_has_a_gradient_of_zeros() {
    let net = Net::new();
    let params = net.init(1).require_grad().unwrap();
    let loss = params.get(net.w1).unwrap().square().sum(Kind::Double);
    let gradient = grad(&loss, &params, Graph::Free).unwrap();
    assert_eq!(gradient.get(net.w1).unwrap(), &(params.get(net.w1).unwrap() * 2.0).detach());
    for slot in [net.b1, net.count, net.w2] {
        let found = gradient.get(slot).unwrap();
        assert!(found.defined() && !found.requires_grad());
        assert_eq!(found.size(), params.get(slot).unwrap().size());
        assert!(doubles(found).iter().all(|g| *g == 0.0));
    }
    let (x, y) = (leaf(&[1.0]), leaf(&[2.0, 3.0]));
    let found = gradients(&x.sum(Kind::Double), &[&x, &y], Graph::Free).unwrap();
    assert_eq!(doubles(&found[1]), [0.0, 0.0]);
    let found = vjp(&[&x], &[&Tensor::from_slice(&[4.0])], &[&y, &x], Graph::Free).unwrap();
    assert_eq!((doubles(&found[0]), doubles(&found[1])), (vec![0.0, 0.0], vec![4.0]));
}

#[test]
fn only_leaves_that_require_a_gradient_get_one() {
    let net = Net::new();
    let (params, x) = (net.init(1), inputs(5));
    let head = params.map_slots(&[net.w2], |_, w| Ok(w.detach().set_requires_grad(true))).unwrap();
    let gradient = grad(&net.loss(&head, &x), &head, Graph::Free).unwrap();
    let all = params.require_grad().unwrap();
    let expected = grad(&net.loss(&all, &x), &all, Graph::Free).unwrap();
    assert_eq!(gradient.get(net.w2).unwrap(), expected.get(net.w2).unwrap());
    assert!(doubles(gradient.get(net.w1).unwrap()).iter().all(|g| *g == 0.0));
}

#[test]
fn a_freed_graph_is_explained() {
    let net = Net::new();
    let params = net.init(1).require_grad().unwrap();
    let loss = net.loss(&params, &inputs(5));
    let first = grad(&loss, &params, Graph::Keep).unwrap();
    let second = grad(&loss, &params, Graph::Free).unwrap();
    assert_eq!(first.max_difference(&second).unwrap(), 0.0);
    let error = grad(&loss, &params, Graph::Free).unwrap_err();
    assert!(matches!(error, Error::GraphFreed { what: "the loss" }), "{error}");
    assert!(error.to_string().contains("`Graph::Keep`"), "{error}");
}

#[test]
fn a_jacobian_frees_the_graph_with_its_last_row_only_if_told() {
    let net = Net::new();
    let params = net.init(1).require_grad().unwrap();
    let values = net.forward(&params, &inputs(3));
    jacobian(&values, &params, Graph::Keep).unwrap();
    jacobian(&values, &params, Graph::Free).unwrap();
    assert!(matches!(jacobian(&values, &params, Graph::Free), Err(Error::GraphFreed { .. })));
}

#[test]
fn cotangents_must_fit_their_outputs() {
    let x = leaf(&[1.0, 2.0]);
    let y = &x * 2.0;
    // The binding would broadcast this one, and ignore that one.
    let one = Tensor::from(1.0_f64);
    assert!(matches!(vjp(&[&y], &[&one], &[&x], Graph::Free), Err(Error::Shape { .. })));
    assert!(matches!(vjp(&[&y], &[], &[&x], Graph::Free), Err(Error::Shape { .. })));
}

#[test]
fn a_cotangent_is_a_constant() {
    let x = leaf(&[1.0, 2.0, 3.0]);
    let y = x.square();
    // v = x: taken as part of the product y·v, its derivative y would be added to 2 x v.
    for graph in [Graph::Keep, Graph::Free] {
        let found = vjp(&[&x.square()], &[&(&x * 1.0)], &[&x], graph).unwrap();
        assert_eq!(doubles(&found[0]), [2.0, 8.0, 18.0]);
    }
    for v in [x.shallow_clone(), x.exp()] {
        let error = vjp(&[&y], &[&v], &[&x], Graph::Differentiable).unwrap_err();
        assert!(matches!(error, Error::DependentCotangent), "{error}");
    }
    let v = leaf(&[1.0, 1.0, 1.0]);
    let product = vjp(&[&y], &[&v], &[&x], Graph::Differentiable).unwrap();
    let by_v = gradients(&product[0].sum(Kind::Double), &[&v], Graph::Free).unwrap();
    assert_eq!(doubles(&by_v[0]), [2.0, 4.0, 6.0]); // forward mode by two backward passes
}

#[test]
fn several_outputs_share_one_pass() {
    let x = leaf(&[1.0, 2.0]);
    let (y, z, fixed) = (x.square(), x.sum(Kind::Double), Tensor::from_slice(&[1.0]));
    let (v, w) = (Tensor::from_slice(&[3.0, 5.0]), Tensor::from(7.0_f64));
    let found = vjp(&[&y, &z, &fixed], &[&v, &w, &fixed], &[&x], Graph::Free).unwrap();
    assert_eq!(doubles(&found[0]), [2.0 * 3.0 + 7.0, 4.0 * 5.0 + 7.0]);
    // An output that is infinite does not spoil the product.
    let y = leaf(&[f64::INFINITY, 2.0]);
    let found = vjp(&[&(&y * 2.0)], &[&Tensor::from_slice(&[0.0, 1.0])], &[&y], Graph::Free).unwrap();
    assert_eq!(doubles(&found[0]), [0.0, 2.0]);
}

#[test]
fn gradients_are_on_again_after_a_panic() {
    let x = leaf(&[1.0]);
    let tracked = || (&x * 2.0).requires_grad();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _off = no_grad();
        assert!(!tracked());
        panic!("in the middle");
    }));
    assert!(panicked.is_err() && tracked());
}

#[test]
fn guards_nest_and_belong_to_a_thread() {
    let x = leaf(&[1.0]);
    let tracked = || (&x * 2.0).requires_grad();
    let outer = no_grad();
    {
        let _inner = no_grad();
        assert!(!tracked());
    }
    assert!(!tracked());
    let elsewhere = std::thread::spawn(|| (leaf(&[1.0]) * 2.0).requires_grad()).join().unwrap();
    assert!(elsewhere);
    assert_eq!(format!("{outer:?}"), "NoGrad");
    drop(outer);
    assert!(tracked());
}

#[test]
fn a_gradient_can_be_taken_under_no_grad() {
    let net = Net::new();
    let (params, x) = (net.init(1).require_grad().unwrap(), inputs(5));
    let loss = net.loss(&params, &x);
    let expected = grad(&loss, &params, Graph::Keep).unwrap();
    let _off = no_grad();
    let found = grad(&loss, &params, Graph::Free).unwrap();
    assert_eq!(found.max_difference(&expected).unwrap(), 0.0);
}

#[test]
fn nothing_trained_is_an_error() {
    let mut layout = Layout::builder();
    layout.add("count", &[1], Init::Ones, Role::Buffer).unwrap();
    let params = layout.build().init(0, Kind::Double, Device::Cpu).unwrap().require_grad().unwrap();
    let x = leaf(&[1.0]);
    assert!(matches!(grad(&x, &params, Graph::Free), Err(Error::NoGraph { .. })));
    assert!(params.leaves().iter().all(|leaf| !leaf.requires_grad()));
    let empty = Params::new(Layout::builder().build(), Vec::new()).unwrap();
    assert!(grad(&x, &empty, Graph::Free).is_err());
}

#[test]
fn threads_find_what_a_loop_finds() {
    let net = Net::new();
    let x = inputs(20);
    let one = |task: u64, x: &Tensor| {
        let params = net.init(task).require_grad().unwrap();
        let first = grad(&net.loss(&params, x), &params, Graph::Differentiable).unwrap();
        let moved = params.add_scaled(&first, -0.1).unwrap();
        grad(&net.loss(&moved, x), &params, Graph::Free).unwrap().flatten().unwrap()
    };
    let expected: Vec<_> = (0..8).map(|task| one(task, &x)).collect();
    let found: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|task| {
                let x = x.shallow_clone();
                let one = &one;
                scope.spawn(move || one(task, &x))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (a, b) in found.iter().zip(&expected) {
        assert_eq!(a, b);
        assert!(doubles(a).iter().any(|g| *g != 0.0));
    }
    assert_close(&found[3], &expected[3], 0.0);
}
