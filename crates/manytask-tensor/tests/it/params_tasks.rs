//! The leading task dimension.

use manytask_tensor::{Device, Error, Graph, Kind, Params, Tensor, grad};

use crate::support::{Net, assert_close, doubles, inputs};

fn three(net: &Net) -> (Vec<Params>, Params) {
    let parts: Vec<_> = (0..3).map(|seed| net.init(seed)).collect();
    let together = Params::stack(&parts).unwrap();
    (parts, together)
}

#[test]
fn stacked_tasks_come_back() {
    let net = Net::new();
    let (parts, together) = three(&net);
    assert_eq!(together.tasks(), Some(3));
    assert_eq!(together.get(net.w1).unwrap().size(), [3, 4, 3]);
    for (t, part) in (0..).zip(&parts) {
        let task = together.task(t).unwrap();
        assert_eq!((task.tasks(), task.max_difference(part).unwrap()), (None, 0.0));
    }
    for t in [-1, 3, i64::MAX, i64::MIN] {
        assert!(matches!(together.task(t), Err(Error::Layout { .. })), "{t}");
    }
}

#[test]
fn expanded_tasks_need_no_memory() {
    let net = Net::new();
    let params = net.init(0);
    let many = params.expand_tasks(1_000_000).unwrap();
    assert_eq!(many.get(net.w1).unwrap().size(), [1_000_000, 4, 3]);
    assert_eq!(many.get(net.w1).unwrap().stride()[0], 0);
    assert_eq!(many.task(999_999).unwrap().max_difference(&params).unwrap(), 0.0);
    for t in [0, -1, -2] {
        assert!(params.expand_tasks(t).is_err(), "{t}");
    }
    // A copy has memory for each task; the views refuse to be written into.
    let mut views = params.expand_tasks(3).unwrap();
    let (_, together) = three(&net);
    assert!(views.copy_from(&together).is_err());
    let mut copy = views.copy().unwrap();
    copy.copy_from(&together).unwrap();
    assert_eq!(copy.max_difference(&together).unwrap(), 0.0);
    assert_eq!(params.max_difference(&net.init(0)).unwrap(), 0.0);
}

#[test]
fn a_task_dimension_is_not_added_twice_nor_missed() {
    let net = Net::new();
    let (parts, together) = three(&net);
    let refused = |result: manytask_tensor::Result<Params>| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("task dimension"), "{error}");
    };
    refused(together.expand_tasks(2));
    refused(Params::stack(&[together.share(), together.share()]));
    refused(Params::stack(&[parts[0].share(), together.share()]));
    refused(parts[0].task(0));
    refused(parts[0].sum_over_tasks());
    refused(parts[0].mean_over_tasks());
    refused(Params::with_tasks(net.layout.clone(), Vec::new(), 0));
    assert!(Params::stack(&[]).is_err());
    let leaves = together.leaves().iter().map(Tensor::shallow_clone).collect();
    assert!(matches!(Params::with_tasks(net.layout.clone(), leaves, 2), Err(Error::Shape { .. })));
}

#[test]
fn sums_and_means_over_tasks() {
    let net = Net::new();
    let (parts, together) = three(&net);
    let sum = parts[0].add_scaled(&parts[1], 1.0).unwrap().add_scaled(&parts[2], 1.0).unwrap();
    let found = together.sum_over_tasks().unwrap();
    assert!(found.tasks().is_none() && found.max_difference(&sum).unwrap() < 1e-15);
    let mean = together.mean_over_tasks().unwrap();
    assert!(mean.max_difference(&sum.scale(1.0 / 3.0).unwrap()).unwrap() < 1e-15);
}

#[test]
fn inner_products_of_each_task() {
    let net = Net::new();
    let (parts, together) = three(&net);
    let found = together.dot(&together).unwrap();
    assert_eq!(found.size(), [3]);
    let one = together.dot(&parts[1]).unwrap();
    let other_way = parts[1].dot(&together).unwrap();
    assert_eq!((one.size(), other_way.size()), (vec![3], vec![3]));
    for (t, part) in (0..).zip(&parts) {
        assert_close(&found.select(0, t), &part.dot(part).unwrap(), 1e-14);
        assert_close(&one.select(0, t), &part.dot(&parts[1]).unwrap(), 1e-14);
        assert_close(&other_way.select(0, t), &one.select(0, t), 1e-14);
        assert_close(&together.norm().unwrap().select(0, t), &part.norm().unwrap(), 1e-14);
    }
}

#[test]
fn one_side_without_tasks_is_broadcast_and_sizes_must_agree() {
    let net = Net::new();
    let (parts, together) = three(&net);
    let found = parts[0].add_scaled(&together, -0.5).unwrap();
    let turned = together.add_scaled(&parts[0], -0.5).unwrap();
    assert_eq!((found.tasks(), turned.tasks()), (Some(3), Some(3)));
    for (t, part) in (0..).zip(&parts) {
        let expected = parts[0].add_scaled(part, -0.5).unwrap();
        assert!(found.task(t).unwrap().max_difference(&expected).unwrap() < 1e-15);
        let expected = part.add_scaled(&parts[0], -0.5).unwrap();
        assert!(turned.task(t).unwrap().max_difference(&expected).unwrap() < 1e-15);
    }
    // One task would broadcast along three.
    let single = parts[0].expand_tasks(1).unwrap();
    for result in [together.add_scaled(&single, 1.0), single.add_scaled(&together, 1.0)] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("task dimensions differ"), "{error}");
    }
    assert!(together.dot(&single).is_err() && single.dot(&together).is_err());
    assert!(together.max_difference(&single).is_err());
    assert!(together.zip_map(&single, |a, _| Ok(a.shallow_clone())).is_err());
    for (mut to, from) in [(together.copy().unwrap(), parts[0].share()), (parts[0].copy().unwrap(), single)] {
        assert!(to.copy_from(&from).is_err());
    }
}

#[test]
fn gradients_have_the_task_dimension_and_reach_through_views() {
    let net = Net::new();
    let (parts, together) = three(&net);
    let x = inputs(4);
    let tracked = together.require_grad().unwrap();
    let losses: Vec<_> = (0..3).map(|t| net.loss(&tracked.task(t).unwrap(), &x)).collect();
    let found = grad(&Tensor::stack(&losses, 0).sum(Kind::Double), &tracked, Graph::Free).unwrap();
    assert_eq!(found.tasks(), Some(3));
    for (t, part) in (0..).zip(&parts) {
        let part = part.require_grad().unwrap();
        let expected = grad(&net.loss(&part, &x), &part, Graph::Free).unwrap();
        assert!(found.task(t).unwrap().max_difference(&expected).unwrap() < 1e-15);
    }
    // Through `expand_tasks` and `stack` back to what they were made from.
    let shared = parts[0].require_grad().unwrap();
    let expanded = shared.expand_tasks(3).unwrap();
    let losses: Vec<_> = (0..3).map(|t| net.loss(&expanded.task(t).unwrap(), &x)).collect();
    let found = grad(&Tensor::stack(&losses, 0).sum(Kind::Double), &shared, Graph::Free).unwrap();
    let expected = grad(&net.loss(&shared, &x), &shared, Graph::Free).unwrap().scale(3.0).unwrap();
    assert!(found.max_difference(&expected).unwrap() < 1e-14);
    assert!(doubles(found.get(net.w1).unwrap()).iter().any(|g| g.abs() > 1e-6));
    let moved = shared.unflatten(&shared.flatten().unwrap().to_device(Device::Cpu)).unwrap();
    let found = grad(&net.loss(&moved, &x), &shared, Graph::Free).unwrap().scale(3.0).unwrap();
    assert!(found.max_difference(&expected).unwrap() < 1e-14);
}
