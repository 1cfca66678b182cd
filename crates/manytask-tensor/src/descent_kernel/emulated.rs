//! The kernel as C++ of one thread, against the graph.

use std::process::Command;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use tch::{Device, Kind, Tensor};

use super::*;
use crate::random::Key;
use crate::{Graph, gradients};

type Emulated = unsafe extern "C" fn(
    i32,
    *mut f32,
    *const f32,
    *const f32,
    *const std::ffi::c_void,
    *const f32,
    *const std::ffi::c_void,
    *mut f32,
    *mut f64,
);

/// The kernel's results, computed by one thread of the processor. The compiler is the one that libtorch's binding was built with.
fn emulate(shape: &DescentShape, params: &Tensor, episodes: [&Tensor; 4]) -> [Tensor; 2] {
    let folder = tempfile::tempdir().unwrap();
    let (source, library) = (folder.path().join("descent.cpp"), folder.path().join("descent.so"));
    fs_err::write(&source, shape.source().unwrap()).unwrap();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let output = Command::new(compiler)
        .args(["-std=c++17", "-O1", "-fPIC", "-shared", "-DEMULATED", "-o"])
        .arg(&library)
        .arg(&source)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tasks = episodes[0].size()[0];
    let given = shape.arguments(tasks, params, episodes).unwrap();
    let rows = Tensor::full([tasks, shape.parameters() as i64], f64::NAN, (Kind::Float, Device::Cpu));
    let losses = Tensor::full([tasks], f64::NAN, (Kind::Double, Device::Cpu));
    let of = |place: usize| given[place].data_ptr();
    #[expect(unsafe_code, reason = "the functions are those of the source, with these types")]
    unsafe {
        let library = Library::open(Some(&library), RTLD_NOW | RTLD_LOCAL).unwrap();
        let floats: libloading::os::unix::Symbol<unsafe extern "C" fn() -> i32> =
            library.get(b"floats\0").unwrap();
        let run: libloading::os::unix::Symbol<Emulated> = library.get(b"perceptron_descent\0").unwrap();
        assert_eq!(floats() as usize * 4, shape.shared_bytes());
        let mut memory = vec![f32::NAN; floats() as usize];
        run(
            tasks as i32,
            memory.as_mut_ptr(),
            of(0).cast(),
            of(1).cast(),
            of(2),
            of(3).cast(),
            of(4),
            rows.data_ptr().cast(),
            losses.data_ptr().cast(),
        );
    }
    [losses, rows]
}

/// A loss of one task as libtorch's own functions have it.
fn loss(kind: DescentLoss, predictions: &Tensor, y: &Tensor) -> Tensor {
    if kind == DescentLoss::CrossEntropy {
        let there = y.not_equal(-100);
        let each = predictions.cross_entropy_loss::<Tensor>(y, None, tch::Reduction::None, -100, 0.0);
        return each.sum(Kind::Double) / there.sum(Kind::Double).clamp_min(1.0);
    }
    let there = y.isnan().logical_not();
    let known = y.nan_to_num(0.0, None, None);
    let each = if kind == DescentLoss::Mse {
        (predictions - known).square()
    } else {
        predictions.binary_cross_entropy_with_logits::<Tensor>(&known, None, None, tch::Reduction::None)
    };
    (each * there.to_kind(Kind::Double)).sum(Kind::Double) / there.sum(Kind::Double).clamp_min(1.0)
}

fn predict(shape: &DescentShape, phi: &Tensor, x: &Tensor) -> Tensor {
    shape.layers.iter().fold(x.shallow_clone(), |x, layer| {
        let [inputs, outputs] = [layer.inputs as i64, layer.outputs as i64];
        let weight = phi.narrow(0, layer.places[0] as i64, inputs * outputs).reshape([outputs, inputs]);
        let linear = x.matmul(&weight.tr()) + phi.narrow(0, layer.places[1] as i64, outputs);
        linear.relu() - (-&linear).relu() * layer.leak
    })
}

/// One task through the graph, in double precision.
fn expected(shape: &DescentShape, params: &Tensor, episode: [&Tensor; 4]) -> (f64, Tensor) {
    let wide = |tensor: &Tensor| {
        if tensor.kind() == Kind::Float { tensor.to_kind(Kind::Double) } else { tensor.shallow_clone() }
    };
    let [x, y, query, query_y] = &episode.map(wide);
    let theta = wide(params).set_requires_grad(true);
    let moving = Tensor::zeros([shape.parameters() as i64], (Kind::Double, Device::Cpu));
    for layer in &shape.layers {
        for (place, moves, length) in [
            (layer.places[0], layer.moves[0], layer.inputs * layer.outputs),
            (layer.places[1], layer.moves[1], layer.outputs),
        ] {
            let _ = moving.narrow(0, place as i64, length as i64).fill_(f64::from(u8::from(moves)));
        }
    }
    let mut phi = theta.shallow_clone();
    for _ in 0..shape.steps {
        let support = loss(shape.loss, &predict(shape, &phi, x), y);
        let graph = if shape.second_order { Graph::Differentiable } else { Graph::Keep };
        let gradient = gradients(&support, &[&phi], graph).unwrap().remove(0);
        phi = &phi - gradient * &moving * shape.rate;
    }
    let query = loss(shape.loss, &predict(shape, &phi, query), query_y);
    let gradient = gradients(&query, &[&theta], Graph::Free).unwrap().remove(0);
    (query.double_value(&[]), gradient)
}

fn layers(sizes: &[usize], leaks: &[f64], moves: &[[bool; 2]]) -> Vec<DescentLayer> {
    let mut start = 0;
    let each = sizes.windows(2).zip(leaks).zip(moves).map(|((pair, leak), moves)| {
        let &[inputs, outputs] = pair else { panic!("two sizes") };
        let places = [start, start + inputs * outputs];
        start = places[1] + outputs;
        DescentLayer { inputs, outputs, leak: *leak, moves: *moves, places }
    });
    each.collect()
}

#[test]
fn the_kernel_is_the_graph() {
    let all = [[true; 2]; 3];
    let head = [[false; 2], [false; 2], [true; 2]];
    let mixed = [[true, false], [false, true], [true, true]];
    for (loss, outputs, moves, steps, second_order, leak) in [
        (DescentLoss::Mse, 1, all, 3, true, 0.0),
        (DescentLoss::Mse, 3, mixed, 2, true, 0.01),
        (DescentLoss::Mse, 1, all, 2, false, 0.0),
        (DescentLoss::CrossEntropy, 4, all, 2, true, 0.0),
        (DescentLoss::CrossEntropy, 3, head, 2, true, 0.0),
        (DescentLoss::BinaryCrossEntropy, 2, all, 2, true, 0.01),
        (DescentLoss::BinaryCrossEntropy, 1, mixed, 1, false, 0.0),
    ] {
        let layers = layers(&[2, 6, 5, outputs], &[leak, 0.0, 1.0], &moves);
        let shape = DescentShape { layers, loss, rows: [4, 7], steps, rate: 0.2, second_order };
        let normal =
            |what: &str, size: &[i64]| Key::new(3, what).normal(size, Kind::Float, Device::Cpu).unwrap();
        let (tasks, wide) = (3, outputs as i64);
        let params = normal("params", &[shape.parameters() as i64]) * 0.5;
        let labels = |what: &str, rows: i64| match loss {
            DescentLoss::Mse => {
                let y = normal(what, &[tasks, rows, wide]);
                let _ = y.get(1).get(0).fill_(f64::NAN);
                y
            }
            DescentLoss::BinaryCrossEntropy => {
                let y = normal(what, &[tasks, rows, wide]).gt(0.0).to_kind(Kind::Float);
                let _ = y.get(0).get(rows - 1).fill_(f64::NAN);
                y
            }
            DescentLoss::CrossEntropy => {
                let y = (normal(what, &[tasks, rows]).abs() * 2.0).to_kind(Kind::Int64).clamp_max(wide - 1);
                let _ = y.get(2).get(1).fill_(-100);
                y
            }
        };
        let (x, query) = (normal("x", &[tasks, 4, 2]), normal("query", &[tasks, 7, 2]));
        let (y, query_y) = (labels("y", 4), labels("query_y", 7));
        let [losses, rows] = emulate(&shape, &params, [&x, &y, &query, &query_y]);
        for task in 0..tasks {
            let own = [&x, &y, &query, &query_y].map(|tensor| tensor.get(task));
            let (value, gradient) = expected(&shape, &params, [&own[0], &own[1], &own[2], &own[3]]);
            let size = gradient.abs().max().double_value(&[]).max(1.0);
            let gap = (rows.get(task) - gradient).abs().max().double_value(&[]) / size;
            assert!(
                gap < 1e-5,
                "{loss:?}, {outputs} outputs, {steps} steps, second order {second_order}: {gap}"
            );
            let found = losses.double_value(&[task]);
            assert!((found - value).abs() < 1e-5 * value.abs().max(1.0), "{loss:?}: {found} for {value}");
        }
    }
}

#[test]
fn other_forms_are_refused() {
    let layers = layers(&[2, 3], &[1.0], &[[true; 2]]);
    let shape = DescentShape {
        layers,
        loss: DescentLoss::Mse,
        rows: [4, 7],
        steps: 1,
        rate: 0.1,
        second_order: true,
    };
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let (params, x, y) = (zeros(&[9]), zeros(&[2, 4, 2]), zeros(&[2, 4, 3]));
    let (query, query_y) = (zeros(&[2, 7, 2]), zeros(&[2, 7, 3]));
    assert!(shape.arguments(2, &params, [&x, &y, &query, &query_y]).is_ok());
    assert!(shape.arguments(2, &zeros(&[8]), [&x, &y, &query, &query_y]).is_err());
    assert!(shape.arguments(2, &params, [&y, &y, &query, &query_y]).is_err());
    assert!(shape.arguments(2, &params, [&x, &y, &query, &query_y.narrow(1, 0, 6)]).is_err());
    assert!(DescentKernel::compile(Device::Cpu, shape).is_err());
}
