//! Tasks with a label for each pixel.

use manytask::data_sets::{Augmentation, Images, Inputs, Normalisation, SplitData as Rows, TaskData};
use manytask::multitask::architecture::TaskInputs;
use manytask::multitask::{
    Batches, InputSizes, Labelled, MultiTaskProblem, Problem, Split, Task, TaskSplits,
};
use manytask::nn::loss::Loss;
use manytask::nn::metrics::{Metric, Output};
use manytask::nn::{Context, Precision};
use manytask::tensor::Tensor;
use manytask::tensor::random::Key;

use super::trained::trained;
use super::{DRAW, F64, plan, registered, start};

const TRUNK: &str = "trunk = { kind = \"dilated\", width = 4, dilations = [1, 2], norm = \"layer\" }\n";
const PICTURES: i64 = 6;
const SIZES: InputSizes = InputSizes::Images { channels: 3, height: 6, width: 5 };

fn tasks() -> Vec<Task> {
    let of =
        |name: &str, output, outputs| Task { labelled: Labelled::Pixel, ..Task::new(name, output, outputs) };
    vec![
        Task { metrics: vec![Metric::MeanIou], ..of("classes", Output::Multiclass, 3) },
        of("values", Output::Regression, 1),
        Task { loss: Loss::Cosine, metrics: vec![Metric::MeanAngle], ..of("normals", Output::Regression, 3) },
    ]
}

/// Pictures whose labels are functions of their pixels, some of them missing.
fn pictures() -> Rows {
    let x = Key::new(5, "x").normal(&[PICTURES, 3, 6, 5], F64.0, F64.1).unwrap();
    let classes = x.argmax(1, false);
    let values = x.select(1, 0) - x.select(1, 2);
    let normals = x.movedim_int(1, -1) * 2.0;
    let _ = classes.narrow(1, 0, 2).fill_(-100.0);
    let _ = values.narrow(2, 3, 1).fill_(f64::NAN);
    let _ = normals.get(1).fill_(f64::NAN);
    let images = Inputs::Images(Images::new(x, Normalisation::default()).unwrap());
    let tasks = [("classes", classes), ("values", values), ("normals", normals)];
    let tasks = tasks.map(|(name, target)| TaskData { name: name.to_owned(), target, weight: None });
    Rows::new(vec![images], tasks.into()).unwrap()
}

fn problem(name: &str) -> MultiTaskProblem {
    let network = plan(name, TRUNK).build(&SIZES, &tasks(), Precision::Full).unwrap();
    let splits = TaskSplits { train: pictures(), validation: Some(pictures()), test: None };
    MultiTaskProblem::new(network, tasks(), splits, Batches { size: 6, ..Batches::default() }).unwrap()
}

/// Whether an architecture gives a row for each pixel.
fn gives_pixels(name: &str) -> bool {
    let Ok(network) = plan(name, TRUNK).build(&SIZES, &tasks(), Precision::Full) else { return false };
    let params = network.layout().init(1, F64.0, F64.1).unwrap();
    let inputs = pictures().inputs.remove(0);
    let outputs = network.forward(&params, &TaskInputs::shared(&inputs), &[0, 1, 2], &mut Context::eval());
    outputs.is_ok_and(|outputs| {
        let sizes: Vec<Vec<i64>> = (0..3).filter_map(|task| Some(outputs.raw(task).ok()?.size())).collect();
        sizes == [3, 1, 3].map(|outputs| vec![PICTURES * 30, outputs])
    })
}

#[test]
fn whoever_says_so_takes_pixels() {
    let mut takes = 0;
    for name in registered() {
        let says = plan(&name, TRUNK).check_pixels(&tasks()).is_ok();
        assert!(!says || gives_pixels(&name), "{name}");
        takes += usize::from(says);
        let of_rows = plan(&name, TRUNK).check_pixels(&[Task::new("a", Output::Binary, 1)]);
        assert!(of_rows.unwrap_err().to_string().contains("one label for a row"), "{name}");
        let of_pictures = plan(&name, "trunk = { kind = \"lenet\" }\n").check_pixels(&tasks());
        assert!(of_pictures.unwrap_err().to_string().contains("a row for a picture"), "{name}");
    }
    assert!(takes >= 8, "{takes}");
}

#[test]
fn losses_and_metrics_are_those_of_all_labelled_pixels() {
    let problem = problem("hard_sharing");
    let params = start(&problem);
    let x = match &pictures().inputs[0] {
        Inputs::Images(images) => images.pixels().shallow_clone(),
        _ => panic!("no images"),
    };
    let of = |name: &str| params.named(name).unwrap();
    let mut features = x;
    for (layer, dilation) in [(0, 1), (1, 2)] {
        let weight = of(&format!("trunk.layer{layer}.conv.weight"));
        features = features.conv2d(weight, None::<&Tensor>, 1, dilation, dilation, 1);
        let (scale, shift) =
            (format!("trunk.layer{layer}.norm.weight"), format!("trunk.layer{layer}.norm.bias"));
        features = features.group_norm(1, Some(of(&scale)), Some(of(&shift)), 1e-5, false).relu();
    }
    let head = |name: &str| {
        let weight = of(&format!("heads.{name}.weight")).unsqueeze(-1).unsqueeze(-1);
        features.conv2d(&weight, Some(of(&format!("heads.{name}.bias"))), 1, 0, 1, 1)
    };
    let labels = pictures();
    let log = head("classes").log_softmax(1, F64.0);
    let known = labels.tasks[0].target.ge(0);
    let own = log.gather(1, &labels.tasks[0].target.clamp_min(0).unsqueeze(1), false).squeeze_dim(1);
    let classes = -own.masked_select(&known).mean(F64.0);
    let difference = head("values").squeeze_dim(1) - &labels.tasks[1].target;
    let values = difference.masked_select(&difference.isnan().logical_not()).square().mean(F64.0);
    let cosine =
        Tensor::cosine_similarity(&head("normals").movedim_int(1, -1), &labels.tasks[2].target, -1, 1e-8);
    let normals = 1.0 - cosine.masked_select(&cosine.isnan().logical_not()).mean(F64.0);
    let found = problem.losses(&params, DRAW).unwrap();
    let judged = problem.evaluate(&params, Split::Validation).unwrap();
    for (task, expected) in [classes, values, normals].iter().enumerate() {
        let expected = expected.double_value(&[]);
        assert!((found.values()[task] - expected).abs() < 1e-10, "task {task}");
        assert!((judged.tasks[task].loss.unwrap() - expected).abs() < 1e-10, "task {task} judged");
    }
    let answers = head("classes").argmax(1, false);
    let ious: Vec<f64> = (0..3)
        .filter_map(|class| {
            let (a, b) = (answers.eq(class).logical_and(&known), labels.tasks[0].target.eq(class));
            let count = |x: &Tensor| x.to_kind(F64.0).sum(F64.0).double_value(&[]);
            let union = count(&a.logical_or(&b));
            (union > 0.0).then(|| count(&a.logical_and(&b)) / union)
        })
        .collect();
    let expected = ious.iter().sum::<f64>() / ious.len() as f64;
    assert!((judged.tasks[0].metric("mean_iou").unwrap() - expected).abs() < 1e-12);
}

#[test]
fn pixels_are_learned_with_gradients_of_each_task() {
    for name in registered() {
        if plan(&name, TRUNK).check_pixels(&tasks()).is_err() {
            continue;
        }
        let problem = problem(&name);
        let before = start(&problem);
        let kinds =
            if problem.shared().is_empty() { &["equal_weights"][..] } else { &["equal_weights", "upgrad"] };
        for kind in kinds {
            let after = trained(&problem, &before, kind, 40).unwrap();
            let mean = |params| problem.evaluate(params, Split::Train).unwrap().mean_loss().unwrap();
            assert!(mean(&after) < 0.8 * mean(&before), "{name} {kind}: {} {}", mean(&before), mean(&after));
        }
    }
}

#[test]
fn what_would_part_pictures_from_their_labels_is_refused() {
    let network = plan("hard_sharing", TRUNK).build(&SIZES, &tasks(), Precision::Full).unwrap();
    let splits = TaskSplits { train: pictures(), validation: None, test: None };
    let augment = Augmentation { crop: Some(1), ..Augmentation::default() };
    let batches = Batches { size: 6, augment, ..Batches::default() };
    let problem = MultiTaskProblem::new(network, tasks(), splits, batches).unwrap();
    let error = problem.ready(Split::Train).unwrap_err().to_string();
    assert!(error.contains("move along"), "{error}");
    assert!(self::problem("hard_sharing").balanced_by("classes").is_err());
    let outputs = self::problem("hard_sharing").outputs(&start(&problem), Split::Train).unwrap();
    let counts = outputs.iter().map(|of| (of.prediction.len(), of.target.len()));
    assert_eq!(counts.collect::<Vec<_>>(), [(540, 180), (180, 180), (540, 540)]);
}
