use manytask_nn::layers::{
    Activation, AvgPool2d, BatchNorm, Conv2d, ConvConfig, Embedding, Flatten, GlobalAvgPool, GroupNorm,
    LayerNorm, Linear, MaxPool2d, Residual,
};
use manytask_nn::nets::{Conv4, Conv4Config, Mlp, MlpConfig, Norm};
use manytask_nn::{BatchNormPolicy, Builder, Context, Module};
use manytask_tensor::random::Key;
use manytask_tensor::{Device, Graph, Kind, Layout, Params, Tensor, grad, gradients};
use serde::Deserialize;
use serde_json::Value;

use crate::fixtures::{KINDS, difference, read, tensor};

fn layer(name: &str, b: &mut Builder<'_>) -> Box<dyn Module> {
    let conv = |b: &mut Builder<'_>, config| Box::new(Conv2d::new(b, config).unwrap());
    if let Some(activation) = name.strip_prefix("activation_") {
        return Box::new(Activation::deserialize(Value::from(activation)).unwrap());
    }
    match name {
        "linear" => Box::new(Linear::new(b, 4, 3).unwrap()),
        "conv" => conv(b, ConvConfig::same(2, 3, 3)),
        "conv_stride" => conv(b, ConvConfig { stride: 2, groups: 2, ..ConvConfig::same(2, 4, 3) }),
        "conv_dilation" => {
            conv(b, ConvConfig { dilation: 2, padding: 0, bias: false, ..ConvConfig::same(1, 2, 2) })
        }
        "batch_norm_2d" | "batch_norm_2d_eval" | "batch_norm_1d" => Box::new(BatchNorm::new(b, 3).unwrap()),
        "layer_norm" => Box::new(LayerNorm::new(b, &[4]).unwrap()),
        "group_norm" => Box::new(GroupNorm::new(b, 2, 4).unwrap()),
        "embedding" => Box::new(Embedding::new(b, 5, 3).unwrap()),
        "max_pool" => Box::new(MaxPool2d::new(2).unwrap()),
        "avg_pool" => Box::new(AvgPool2d::new(2).unwrap()),
        "global_avg_pool" => Box::new(GlobalAvgPool),
        other => panic!("no layer {other}"),
    }
}

struct Case {
    name: String,
    value: Value,
    module: Box<dyn Module>,
    params: Params,
    x: Tensor,
}

fn cases(kind: Kind) -> Vec<Case> {
    let all = read(include_str!("../fixtures/layers.json"));
    let case = |value: &Value| {
        let name = value["name"].as_str().unwrap().to_owned();
        let mut layout = Layout::builder();
        let module = layer(&name, &mut Builder::new(&mut layout));
        let layout = layout.build();
        let leaves =
            layout.entries().iter().map(|entry| tensor(&value["params"][&entry.name], kind)).collect();
        let params = Params::new(layout, leaves).unwrap();
        let x = tensor(&value["x"], if name == "embedding" { Kind::Int64 } else { kind });
        Case { name, value: value.clone(), module, params, x }
    };
    all.as_array().unwrap().iter().map(case).collect()
}

fn context(case: &Case) -> Context {
    if case.value["train"] == true { Context::train(Key::new(1, "x")) } else { Context::eval() }
}

#[test]
fn outputs_gradients_and_buffers_are_pytorchs() {
    for (kind, tolerance) in KINDS {
        for case in cases(kind) {
            let name = &case.name;
            let mut params = if case.params.layout().is_empty() {
                case.params.share()
            } else {
                case.params.require_grad().unwrap()
            };
            let x =
                if kind == case.x.kind() { case.x.set_requires_grad(true) } else { case.x.shallow_clone() };
            let mut cx = context(&case);
            let y = case.module.forward(&params, &x, &mut cx).unwrap();
            let close = |found: &Tensor, expected: &Value| difference(found, &tensor(expected, kind));
            // Gradients of a normalisation lose digits where they cancel.
            let loose = if kind == Kind::Float { 20.0 } else { 1.0 } * tolerance;
            assert!(close(&y, &case.value["y"]) < tolerance.max(loose / 4.0), "{name} {kind:?}");
            let value = (&y * tensor(&case.value["cotangent"], kind)).sum(kind);
            if x.requires_grad() {
                let found = gradients(&value, &[&x], Graph::Keep).unwrap().remove(0);
                assert!(close(&found, &case.value["x_gradient"]) < loose, "{name} {kind:?} by x");
            }
            if !params.layout().trained().is_empty() {
                let found = grad(&value, &params, Graph::Free).unwrap();
                for (entry, leaf) in found.iter().filter(|(entry, _)| entry.role.is_trained()) {
                    assert!(
                        close(leaf, &case.value["gradients"][&entry.name]) < loose,
                        "{name} {kind:?} by {}",
                        entry.name
                    );
                }
            }
            Context::apply_buffers(&mut params, cx.take_buffers()).unwrap();
            for (entry, leaf) in params.iter().filter(|(entry, _)| !entry.role.is_trained()) {
                assert!(
                    close(leaf, &case.value["buffers"][&entry.name]) < tolerance,
                    "{name} {}",
                    entry.name
                );
            }
        }
    }
}

/// Value, gradient and second order of a module with tasks at once, against each task alone.
fn check_tasks(name: &str, module: &dyn Module, params: &Params, x: &Tensor, policy: BatchNormPolicy) {
    let tasks = 3;
    let shift = Key::new(5, "shift")
        .normal(&[tasks, params.layout().trained_count()], Kind::Double, Device::Cpu)
        .unwrap();
    let many = params.expand_tasks(tasks).unwrap();
    let many = if params.layout().trained().is_empty() {
        many
    } else {
        many.unflatten(&(many.flatten().unwrap() + shift * 0.1)).unwrap().copy().unwrap()
    };
    let xs: Vec<Tensor> = (0..tasks)
        .map(|t| if x.kind() == Kind::Int64 { x.roll([t], [0]) } else { x * (1.0 + t as f64) })
        .collect();
    let run = |params: &Params, x: &Tensor| {
        let params = if params.layout().is_empty() { params.share() } else { params.require_grad().unwrap() };
        let x = if x.kind() == Kind::Double { x.detach().set_requires_grad(true) } else { x.shallow_clone() };
        let mut cx = Context::train(Key::new(1, "x")).with_batch_norm(policy);
        let y = module.forward(&params, &x, &mut cx).unwrap();
        let value = y.tanh().square().sum(Kind::Double);
        if params.layout().trained().is_empty() {
            let by_x = gradients(&value, &[&x], Graph::Free).unwrap().remove(0);
            return (y.detach(), by_x, None);
        }
        let first = grad(&value, &params, Graph::Differentiable).unwrap();
        let norm = first.dot(&first).unwrap().sum(Kind::Double);
        let second = if norm.requires_grad() {
            grad(&norm, &params, Graph::Keep).unwrap()
        } else {
            params.zeros_like().unwrap()
        };
        let by_x = if x.requires_grad() {
            gradients(&value, &[&x], Graph::Free).unwrap().remove(0)
        } else {
            x.zeros_like()
        };
        (y.detach(), by_x, Some((first.detach().unwrap(), second)))
    };
    let (y, by_x, by_params) = run(&many, &Tensor::stack(&xs, 0));
    for (t, x) in xs.iter().enumerate() {
        let t = t as i64;
        let (y1, by_x1, by_params1) = run(&many.task(t).unwrap(), x);
        assert!(difference(&y.get(t), &y1) < 1e-11, "{name}: task {t}");
        if x.kind() == Kind::Double {
            assert!(difference(&by_x.get(t), &by_x1) < 1e-11, "{name}: task {t} by x");
        }
        if let (Some((first, second)), Some((first1, second1))) = (&by_params, by_params1) {
            for (all, one) in [(first, first1), (second, second1)] {
                for (a, b) in all.task(t).unwrap().leaves().iter().zip(one.leaves()) {
                    assert!(difference(a, b) < 1e-10, "{name}: task {t} by parameters {}", difference(a, b));
                }
            }
        }
    }
}

#[test]
fn tasks_at_once_are_a_loop_over_tasks_in_value_gradient_and_second_order() {
    for case in cases(Kind::Double) {
        check_tasks(&case.name, case.module.as_ref(), &case.params, &case.x, BatchNormPolicy::Batch);
    }
}

#[test]
fn networks_with_tasks_at_once_are_a_loop_over_tasks() {
    let normal = |shape: &[i64]| Key::new(2, "x").normal(shape, Kind::Double, Device::Cpu).unwrap();
    let mut layout = Layout::builder();
    let conv = Conv4::new(
        &mut Builder::new(&mut layout),
        1,
        8,
        &Conv4Config { hidden: 3, blocks: 2, output: Some(2), ..Conv4Config::default() },
    )
    .unwrap();
    let params = layout.build().init(1, Kind::Double, Device::Cpu).unwrap();
    check_tasks("conv4", &conv, &params, &normal(&[4, 1, 8, 8]), BatchNormPolicy::Batch);
    let mut layout = Layout::builder();
    let config = MlpConfig {
        hidden: vec![5, 4],
        output: Some(2),
        activation: Activation::Tanh,
        norm: Norm::Layer,
        ..MlpConfig::default()
    };
    let mlp = Mlp::new(&mut Builder::new(&mut layout), 3, &config).unwrap();
    let params = layout.build().init(1, Kind::Double, Device::Cpu).unwrap();
    check_tasks("mlp", &mlp, &params, &normal(&[4, 3]), BatchNormPolicy::Batch);
}

#[test]
fn running_statistics_are_used_in_evaluation_and_left_alone_by_the_transductive_rule() {
    let case = cases(Kind::Double).into_iter().find(|case| case.name == "batch_norm_2d").unwrap();
    let mut cx = Context::train(Key::new(1, "x")).with_batch_norm(BatchNormPolicy::Batch);
    let y = case.module.forward(&case.params, &case.x, &mut cx).unwrap();
    assert!(cx.take_buffers().is_empty());
    let mut eval = Context::eval().with_batch_norm(BatchNormPolicy::Batch);
    assert_eq!(case.module.forward(&case.params, &case.x, &mut eval).unwrap(), y);
    let running = case.module.forward(&case.params, &case.x, &mut Context::eval()).unwrap();
    assert!(difference(&running, &y) > 0.1);
    let one = Tensor::ones([1, 3], (Kind::Double, Device::Cpu));
    let error = case.module.forward(&case.params, &one, &mut Context::train(Key::new(1, "x"))).unwrap_err();
    assert!(error.to_string().contains("two are needed for a variance"), "{error}");
}

#[test]
fn a_residual_adds_its_input_or_a_projection_of_it() {
    let mut layout = Layout::builder();
    let mut b = Builder::new(&mut layout);
    let same = Linear::new(&mut b.scope("same"), 3, 3).unwrap();
    let (body, cut) =
        (Linear::new(&mut b.scope("body"), 3, 2).unwrap(), Linear::new(&mut b.scope("cut"), 3, 2).unwrap());
    let params = layout.build().init(1, Kind::Double, Device::Cpu).unwrap();
    let x = Key::new(2, "x").normal(&[4, 3], Kind::Double, Device::Cpu).unwrap();
    let run = |module: &dyn Module| module.forward(&params, &x, &mut Context::eval());
    let expected = run(&same).unwrap() + &x;
    assert_eq!(run(&Residual::new(Box::new(same))).unwrap(), expected);
    let expected = run(&body).unwrap() + run(&cut).unwrap();
    assert_eq!(run(&Residual::with_shortcut(Box::new(body.clone()), Box::new(cut))).unwrap(), expected);
    assert!(run(&Residual::new(Box::new(body))).unwrap_err().to_string().contains("shortcut"));
}

#[test]
fn wrong_shapes_are_errors_that_say_what_fits() {
    for case in cases(Kind::Double) {
        if case.name.starts_with("activation") {
            continue;
        }
        for shape in [vec![3], vec![2, 7], vec![2, 7, 1, 1], vec![2, 2, 2, 2, 2, 2]] {
            let x = Tensor::zeros(shape.as_slice(), (Kind::Double, Device::Cpu));
            for params in [case.params.share(), case.params.expand_tasks(2).unwrap()] {
                match case.module.forward(&params, &x, &mut context(&case)) {
                    Ok(y) => assert!(y.dim() > 0, "{}", case.name),
                    Err(error) => assert!(error.to_string().contains("expected"), "{}: {error}", case.name),
                }
            }
        }
    }
    let params = Layout::builder().build().zeros(Kind::Double, Device::Cpu).unwrap();
    assert!(Flatten.forward(&params, &Tensor::from(1.0), &mut Context::eval()).is_err());
    assert!(MaxPool2d::new(0).is_err() && AvgPool2d::new(-1).is_err());
    let mut layout = Layout::builder();
    let mut b = Builder::new(&mut layout);
    assert!(GroupNorm::new(&mut b, 3, 4).is_err() && LayerNorm::new(&mut b, &[]).is_err());
    assert!(BatchNorm::with(&mut b, 3, 0.0, 0.1).is_err() && Embedding::new(&mut b, 0, 3).is_err());
    assert!(Conv2d::new(&mut b, ConvConfig { groups: 2, ..ConvConfig::same(3, 2, 3) }).is_err());
}
