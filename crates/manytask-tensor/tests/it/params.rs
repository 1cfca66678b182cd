//! Parameters as data: layouts, slots, memory, arithmetic.

use manytask_tensor::{Device, Error, Init, Kind, Layout, Params, Role, Tensor};
use proptest::prelude::*;

use crate::support::{Net, doubles};

fn message<T: std::fmt::Debug>(result: manytask_tensor::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn a_layout_refuses_what_cannot_be() {
    let mut layout = Layout::builder();
    assert!(layout.is_empty());
    let a = layout.add("a", &[2], Init::Zeros, Role::Weight).unwrap();
    assert!(
        message(layout.add("a", &[3], Init::Zeros, Role::Weight)).contains("two parameters are named `a`")
    );
    assert!(layout.add("", &[3], Init::Zeros, Role::Weight).is_err());
    assert!(message(layout.add("b", &[3, -1], Init::Zeros, Role::Weight)).contains("[3, -1]"));
    assert!(message(layout.add("b", &[i64::MAX, 2], Init::Zeros, Role::Weight)).contains("fit in memory"));
    assert_eq!(layout.len(), 1);
    let b = layout.add("b", &[], Init::Ones, Role::Buffer).unwrap();
    let layout = layout.build();
    assert_eq!((layout.len(), layout.trained_count(), layout.trained()), (2, 2, vec![a]));
    assert_eq!((layout.find("b"), layout.find("c")), (Some(b), None));
    assert_eq!(layout.select(|entry| entry.role == Role::Buffer), [b]);
    assert_eq!((a.index(), layout.entry(b).unwrap().name.as_str()), (0, "b"));
    assert_eq!(layout.slots().collect::<Vec<_>>(), [a, b]);
}

#[test]
fn counts_do_not_overflow() {
    let mut layout = Layout::builder();
    for name in ["a", "b", "c"] {
        layout.add(name, &[i64::MAX / 2], Init::Zeros, Role::Weight).unwrap();
    }
    let layout = layout.build();
    assert_eq!(layout.trained_count(), i64::MAX);
    for init in [Init::Zeros, Init::Ones, Init::Normal { mean: 0.0, std: 1.0 }] {
        let mut layout = Layout::builder();
        layout.add("huge", &[1 << 50], init, Role::Weight).unwrap();
        assert!(layout.build().init(0, Kind::Float, Device::Cpu).is_err());
    }
}

#[test]
fn a_slot_of_another_layout_is_an_error() {
    let net = Net::new();
    let small = Layout::builder().build().zeros(Kind::Float, Device::Cpu).unwrap();
    let foreign = net.w2;
    assert!(message(small.get(foreign)).contains("slot 3 is of another layout"));
    assert!(small.layout().entry(foreign).is_err());
    assert!(small.map_slots(&[foreign], |_, leaf| Ok(leaf.shallow_clone())).is_err());
    let mut small = small;
    assert!(small.put(foreign, Tensor::from(1.0)).is_err());
    assert_eq!((small.kind(), small.device()), (Kind::Float, Device::Cpu));
}

#[test]
fn tensors_must_fit_the_layout() {
    let net = Net::new();
    let params = net.init(0);
    let leaves = || params.share().leaves().iter().map(Tensor::shallow_clone).collect::<Vec<_>>();
    assert!(Params::new(net.layout.clone(), leaves()).is_ok());
    let mut few = leaves();
    few.pop();
    assert!(message(Params::new(net.layout.clone(), few)).contains("3 tensors for a layout of 4"));
    let mut wrong = leaves();
    wrong[1] = wrong[1].reshape([2, 2]);
    let text = message(Params::new(net.layout.clone(), wrong));
    assert!(text.contains("`hidden.bias`: expected shape [4], found [2, 2]"), "{text}");
    let mut undefined = leaves();
    undefined[1] = Tensor::new();
    assert!(Params::new(net.layout.clone(), undefined).is_err());
    let mut layout = Layout::builder();
    layout.add("empty", &[0], Init::Zeros, Role::Weight).unwrap();
    assert!(Params::new(layout.build(), vec![Tensor::new()]).is_err(), "an undefined tensor has shape [0]");
}

#[test]
fn closures_may_not_change_shapes() {
    let net = Net::new();
    let params = net.init(0);
    assert!(matches!(params.map(|x| Ok(x.sum(Kind::Double))), Err(Error::Shape { .. })));
    assert!(matches!(params.zip_map(&params, |x, _| Ok(x.unsqueeze(0))), Err(Error::Shape { .. })));
    let flat = params.map_slots(&[net.w1], |_, x| Ok(x.reshape([-1])));
    assert!(message(flat).contains("`hidden.weight`"));
    let mut params = params;
    assert!(matches!(params.put(net.b1, Tensor::from(1.0)), Err(Error::Shape { .. })));
    params.put(net.b1, Tensor::from_slice(&[1.0, 2.0, 3.0, 4.0])).unwrap();
    assert_eq!(doubles(params.named("hidden.bias").unwrap()), [1.0, 2.0, 3.0, 4.0]);
    assert!(params.named("nobody").is_none());
}

#[test]
fn two_networks_do_not_mix() {
    let net = Net::new();
    let mut other = Layout::builder();
    other.add("hidden.weight", &[4, 4], Init::Zeros, Role::Weight).unwrap();
    let other = other.build().zeros(Kind::Double, Device::Cpu).unwrap();
    let mut params = net.init(0);
    let text = message(params.add_scaled(&other, 1.0));
    assert!(text.contains("`hidden.weight` [4, 3] meets `hidden.weight` [4, 4]"), "{text}");
    for refused in [
        params.dot(&other).is_err(),
        params.max_difference(&other).is_err(),
        params.copy_from(&other).is_err(),
    ] {
        assert!(refused);
    }
    let empty = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
    assert!(message(params.add_scaled(&empty, 1.0)).contains("4 entries meet 0"));
    // Equal layouts that were built twice are one network.
    assert!(params.add_scaled(&Net::new().init(1), 1.0).is_ok());
}

#[test]
fn sharing_copying_and_detaching() {
    let net = Net::new();
    let params = net.init(0).require_grad().unwrap();
    let original = params.copy().unwrap();
    let write = |p: &Params| {
        let _ = p.get(net.w1).unwrap().detach().fill_(3.5);
    };
    let copy = params.copy().unwrap();
    assert!(copy.leaves().iter().all(|leaf| !leaf.requires_grad()));
    write(&copy);
    assert_eq!(params.max_difference(&original).unwrap(), 0.0, "a copy has its own memory");
    for (view, tracked) in [(params.share(), true), (params.detach().unwrap(), false)] {
        assert_eq!(view.get(net.w1).unwrap().requires_grad(), tracked);
        write(&view);
        assert!(doubles(params.get(net.w1).unwrap()).iter().all(|w| *w == 3.5), "a view shares memory");
    }
}

#[test]
fn values_are_copied_in_place_and_outside_of_graphs() {
    let net = Net::new();
    let mut params = net.init(0).require_grad().unwrap();
    let view = params.share();
    let source = net.init(1).require_grad().unwrap();
    params.copy_from(&source).unwrap();
    assert_eq!(view.max_difference(&source).unwrap(), 0.0);
    assert!(params.get(net.w1).unwrap().requires_grad() && params.get(net.w1).unwrap().is_leaf());
    // Also into views of one vector.
    let mut flat = source.flatten().unwrap().detach().copy();
    let mut views = source.unflatten(&flat).unwrap();
    views.copy_from(&source.scale(2.0).unwrap()).unwrap();
    assert_eq!(flat, source.scale(2.0).unwrap().flatten().unwrap().detach());
    let _ = flat.zero_();
    assert!(doubles(views.get(net.w2).unwrap()).iter().all(|w| *w == 0.0));
}

#[test]
fn buffers_are_left_alone() {
    let net = Net::new();
    let params = net.init(0);
    let tracked = params.require_grad().unwrap();
    assert!(!tracked.get(net.count).unwrap().requires_grad());
    assert!(tracked.get(net.w1).unwrap().requires_grad() && !params.get(net.w1).unwrap().requires_grad());
    let mut other = params.copy().unwrap();
    other.put(net.count, Tensor::from_slice(&[f64::NAN, 1e9])).unwrap();
    assert_eq!(other.dot(&params).unwrap(), params.dot(&params).unwrap());
    assert_eq!(other.flatten().unwrap().size(), [net.layout.trained_count()]);
    let row = Tensor::zeros([2, net.layout.trained_count()], (Kind::Double, Device::Cpu));
    other.flatten_into(&row.select(0, 1)).unwrap();
    assert_eq!(
        (row.select(0, 1), row.select(0, 0).abs().max().double_value(&[])),
        (other.flatten().unwrap(), 0.0)
    );
    assert!(matches!(other.flatten_into(&row.select(1, 0)), Err(Error::Shape { .. })));
    assert!(other.expand_tasks(2).unwrap().flatten_into(&row.select(0, 0)).is_err());
    let back = params.unflatten(&other.flatten().unwrap()).unwrap();
    assert_eq!(doubles(back.get(net.count).unwrap()), [7.0, 7.0]);
    let zeros = Params::from_vector(&net.layout, &other.flatten().unwrap()).unwrap();
    assert_eq!(doubles(zeros.get(net.count).unwrap()), [0.0, 0.0]);
}

#[test]
fn arithmetic_is_that_of_numbers() {
    let net = Net::new();
    let (a, b) = (net.init(0), net.init(1));
    let (x, y) = (doubles(&a.flatten().unwrap()), doubles(&b.flatten().unwrap()));
    let sum = doubles(&a.add_scaled(&b, -0.3).unwrap().flatten().unwrap());
    for ((s, x), y) in sum.iter().zip(&x).zip(&y) {
        assert!((s - (x - 0.3 * y)).abs() < 1e-15);
    }
    assert_eq!(
        doubles(&a.scale(0.1).unwrap().flatten().unwrap()),
        x.iter().map(|x| x * 0.1).collect::<Vec<_>>()
    );
    let dot: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    assert!((a.dot(&b).unwrap().double_value(&[]) - dot).abs() < 1e-14);
    let norm: f64 = x.iter().map(|x| x * x).sum();
    assert!((a.norm().unwrap().double_value(&[]) - norm.sqrt()).abs() < 1e-14);
    assert_eq!(a.zeros_like().unwrap().norm().unwrap().double_value(&[]), 0.0);
    assert_eq!(a.max_difference(&a).unwrap(), 0.0);
    let mut off = a.copy().unwrap();
    off.put(net.b1, a.get(net.b1).unwrap() + Tensor::from_slice(&[0.0, -2.0, 1.0, 0.0])).unwrap();
    assert!((a.max_difference(&off).unwrap() - 2.0).abs() < 1e-15);
    off.put(net.b1, Tensor::from_slice(&[0.0, f64::NAN, 1.0, 0.0])).unwrap();
    assert!(a.max_difference(&off).unwrap().is_nan());
}

#[test]
fn factors_keep_their_digits_in_every_kind() {
    let net = Net::new();
    for (kind, tolerance) in
        [(Kind::Double, 1e-15), (Kind::Float, 1e-7), (Kind::BFloat16, 8e-3), (Kind::Half, 1e-3)]
    {
        let a = net.init(0).to(kind, Device::Cpu).unwrap();
        let sum = a.add_scaled(&a, 0.123_456_789_012_345).unwrap();
        let product = a.scale(1.123_456_789_012_345).unwrap();
        assert_eq!((sum.kind(), product.kind()), (kind, kind));
        for found in [sum, product] {
            for (f, x) in doubles(&found.flatten().unwrap()).iter().zip(doubles(&a.flatten().unwrap())) {
                assert!((f - 1.123_456_789_012_345 * x).abs() <= tolerance * f.abs(), "{kind:?} {f} {x}");
            }
        }
    }
    let counts = a_count(Kind::Int64);
    assert_eq!(doubles(counts.scale(2.5).unwrap().leaves().first().unwrap()), [7.5]);
}

fn a_count(kind: Kind) -> Params {
    let mut layout = Layout::builder();
    layout.add("n", &[], Init::Constant(3.0), Role::Buffer).unwrap();
    layout.build().init(0, kind, Device::Cpu).unwrap()
}

#[test]
fn nothing_trained_has_no_vector() {
    let params = a_count(Kind::Double);
    assert!(message(params.flatten()).contains("nothing in this layout is trained"));
    assert!(params.dot(&params).is_err() && params.norm().is_err());
}

#[test]
fn finite_means_every_number() {
    let net = Net::new();
    let with = |values: [f64; 4], kind| {
        let mut params = net.init(0);
        params.put(net.b1, Tensor::from_slice(&values)).unwrap();
        params.to(kind, Device::Cpu).unwrap()
    };
    for kind in [Kind::Double, Kind::Float, Kind::Half, Kind::BFloat16] {
        assert!(with([1.0; 4], kind).is_finite().unwrap());
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!with([0.0, bad, 0.0, 0.0], kind).is_finite().unwrap(), "{kind:?} {bad}");
        }
        assert!(!with([f64::INFINITY, f64::NEG_INFINITY, 0.0, 0.0], kind).is_finite().unwrap());
    }
    // The sums overflow, the numbers do not.
    assert!(with([1e308, 1e308, 1.0, 1.0], Kind::Double).is_finite().unwrap());
    assert!(with([3e38, 3e38, 1.0, 1.0], Kind::Float).is_finite().unwrap());
    assert!(with([6e4, 6e4, 1.0, 1.0], Kind::Half).is_finite().unwrap());
    assert!(!with([1e308, 1e308, 1.0, 1.0], Kind::Float).is_finite().unwrap(), "too large for the type");
    assert!(a_count(Kind::Bool).is_finite().unwrap() && a_count(Kind::Int64).is_finite().unwrap());
}

#[test]
fn kinds_are_converted() {
    let net = Net::new();
    let params = net.init(0);
    let half = params.to(Kind::Half, Device::Cpu).unwrap();
    assert!(half.leaves().iter().all(|leaf| leaf.kind() == Kind::Half));
    assert_eq!(half.kind(), Kind::Half);
    assert!(params.max_difference(&half.to(Kind::Double, Device::Cpu).unwrap()).unwrap() < 1e-3);
    let absent = params.to(Kind::Float, Device::Cuda(99));
    assert!(!message(absent).contains('\n'));
}

#[test]
fn leaves_may_have_any_strides() {
    let net = Net::new();
    let params = net.init(0);
    let turned =
        params.map(|x| Ok(if x.dim() == 2 { x.tr().contiguous().tr() } else { x.shallow_clone() })).unwrap();
    assert!(!turned.get(net.w1).unwrap().is_contiguous());
    assert_eq!(turned.flatten().unwrap(), params.flatten().unwrap());
    assert_eq!(turned.copy().unwrap().max_difference(&params).unwrap(), 0.0);
    assert_eq!(turned.dot(&params).unwrap(), params.dot(&turned).unwrap());
    assert_eq!(params.unflatten(&turned.flatten().unwrap()).unwrap().max_difference(&params).unwrap(), 0.0);
}

#[test]
fn a_vector_must_have_the_right_length() {
    let net = Net::new();
    let params = net.init(0);
    for shape in [vec![19], vec![21], vec![], vec![1, 20], vec![20, 1]] {
        let vector = Tensor::zeros(&shape, (Kind::Double, Device::Cpu));
        assert!(matches!(params.unflatten(&vector), Err(Error::Shape { .. })), "{shape:?}");
    }
    for shape in [vec![19], vec![], vec![2, 19], vec![1, 1, 20], vec![0, 20]] {
        let vector = Tensor::zeros(&shape, (Kind::Double, Device::Cpu));
        assert!(Params::from_vector(&net.layout, &vector).is_err(), "{shape:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flatten_and_unflatten_are_inverse(
        shapes in prop::collection::vec((prop::collection::vec(0_i64..4, 0..4), any::<bool>()), 1..6),
        tasks in 0_i64..4,
    ) {
        let mut layout = Layout::builder();
        let normal = Init::Normal { mean: 0.0, std: 1.0 };
        layout.add("first", &[2], normal, Role::Weight).unwrap();
        for (i, (shape, trained)) in shapes.iter().enumerate() {
            let role = if *trained { Role::Weight } else { Role::Buffer };
            layout.add(format!("p{i}"), shape, normal, role).unwrap();
        }
        let layout = layout.build();
        let parts: Vec<Params> =
            (0..tasks.max(1)).map(|seed| layout.init(seed as u64, Kind::Float, Device::Cpu).unwrap()).collect();
        let params = if tasks == 0 { parts[0].share() } else { Params::stack(&parts).unwrap() };
        let vector = params.flatten().unwrap();
        let mut shape = vec![layout.trained_count()];
        if tasks > 0 {
            shape.insert(0, tasks);
        }
        prop_assert_eq!(vector.size(), shape);
        let back = params.zeros_like().unwrap().unflatten(&vector).unwrap();
        prop_assert_eq!(&back.flatten().unwrap(), &vector);
        for (slot, (entry, leaf)) in layout.slots().zip(params.iter()) {
            let found = back.get(slot).unwrap();
            prop_assert_eq!(found.size(), leaf.size());
            if entry.role.is_trained() {
                prop_assert_eq!(found, leaf);
            }
        }
        let fresh = Params::from_vector(&layout, &vector).unwrap();
        prop_assert_eq!(fresh.tasks(), params.tasks());
        prop_assert_eq!(fresh.flatten().unwrap(), vector);
        prop_assert_eq!(params.dot(&params).unwrap().size(), if tasks == 0 { vec![] } else { vec![tasks] });
        for (t, part) in parts.iter().enumerate().take(tasks as usize) {
            prop_assert_eq!(params.task(t as i64).unwrap().max_difference(part).unwrap(), 0.0);
        }
    }
}
