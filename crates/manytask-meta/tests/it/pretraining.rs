//! Networks that learn all training classes before the first task, and what is made of their features.

use std::ops::Range;

use manytask_meta::data::{ClassPool, EpisodeSpec, Episodes, Splits};
use manytask_meta::multitask::{Combination, Draw, Problem, Result, Split};
use manytask_meta::nn::layers::{Flatten, Linear, Sequential};
use manytask_meta::nn::{Builder, Module, loss::Loss};
use manytask_meta::tensor::random::Key;
use manytask_meta::tensor::{Device, Kind, Layout, Tensor};
use manytask_meta::{
    AlphaTim, Baseline, BaselinePlusPlus, BatchNormStatistics, BdCspn, ClassEpisodes, Classifier,
    EpisodeShape, EpisodeSource, FeatureTransform, FineTuning, LaplacianShot, LearnerSpec, MetaBaseline,
    MetaModel, MetaProblem, MetaSettings, Pretraining, ProtoNet, PtMap, R2d2, Rfs, SimpleShot, Tim,
};

const ON: (Kind, Device) = (Kind::Float, Device::Cpu);
const SPEC: EpisodeSpec = EpisodeSpec { ways: 3, shots: 2, queries: 4 };

/// So many classes of nine images with two by two pixels, around their means.
fn pool(name: &str, classes: i64) -> ClassPool {
    let drawn =
        |what: &str, shape: &[i64]| Key::new(3, &format!("{name} {what}")).normal(shape, ON.0, ON.1).unwrap();
    let images =
        drawn("mean", &[classes, 1, 1, 2, 2]) * 40.0 + drawn("own", &[classes, 9, 1, 2, 2]) * 25.0 + 128.0;
    let images = images.clamp(0.0, 255.0).to_kind(Kind::Uint8).reshape([-1, 1, 2, 2]);
    let names = (0..classes).map(|class| class.to_string()).collect();
    ClassPool::new(images, &vec![9; classes as usize], names).unwrap()
}

fn source() -> ClassEpisodes {
    let pools = Splits { train: pool("train", 6), validation: None, test: Some(pool("test", 5)) };
    ClassEpisodes { pools, spec: SPEC }
}

/// The same tasks from a source that does not show its classes.
#[derive(Debug)]
struct Hidden(ClassEpisodes);

impl EpisodeSource for Hidden {
    fn episodes(&self, split: Split, seed: u64, ids: Range<u64>, queries: Option<usize>) -> Result<Episodes> {
        self.0.episodes(split, seed, ids, queries)
    }

    fn has_validation(&self) -> bool {
        self.0.has_validation()
    }
}

/// Pixels are the features, or a linear map of them.
fn problem(
    spec: &dyn LearnerSpec,
    source: Box<dyn EpisodeSource>,
    mapped: bool,
    phase: Option<Pretraining>,
) -> MetaProblem {
    let mut layout = Layout::builder();
    let mut layers: Vec<Box<dyn Module>> = vec![Box::new(Flatten)];
    if mapped {
        layers.push(Box::new(Linear::new(&mut Builder::new(&mut layout).scope("map"), 4, 5).unwrap()));
    }
    let shape = EpisodeShape::classes(&[1, 2, 2], 3);
    let phase = phase.map(|phase| (phase, 6));
    let model =
        MetaModel::build_pretrained(layout, Box::new(Sequential(layers)), spec, shape, phase).unwrap();
    let settings = MetaSettings { tasks_per_step: 3, evaluation_tasks: 40, ..MetaSettings::default() };
    let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    MetaProblem::new(model, source, loss, settings).unwrap()
}

fn evaluated(problem: &MetaProblem) -> (f64, f64) {
    let params = problem.layout().init(2, ON.0, ON.1).unwrap();
    let evaluation = problem.evaluate(&params, Split::Test).unwrap();
    let task = &evaluation.tasks[0];
    (task.metric("accuracy").unwrap(), task.loss.unwrap())
}

#[test]
fn simple_shot_is_the_nearest_mean_of_features_that_the_training_classes_centre() {
    let mut seen = Vec::new();
    for transform in [FeatureTransform::None, FeatureTransform::L2n, FeatureTransform::Cl2n] {
        let found = evaluated(&problem(
            &SimpleShot { transform, ..SimpleShot::default() },
            Box::new(source()),
            false,
            None,
        ));
        // The same from the images themselves; the numbers of an evaluation's tasks are an agreement.
        let source = source();
        let (images, _) = source.pools.train.labelled().unwrap();
        let mean = (images.to_kind(ON.0) / 255.0).reshape([-1, 4]).mean_dim([0].as_slice(), true, ON.0);
        let drawn = source.episodes(Split::Test, 0, (1 << 40)..(1 << 40) + 40, None).unwrap();
        let of = |x: &Tensor| {
            let x = x.reshape([40, -1, 4]);
            let x = if transform == FeatureTransform::Cl2n { x - &mean } else { x };
            if transform == FeatureTransform::None {
                return x;
            }
            &x / x.square().sum_dim_intlist([-1].as_slice(), true, ON.0).sqrt()
        };
        let means = of(&drawn.support_x).reshape([40, 3, 2, 4]).mean_dim([2].as_slice(), false, ON.0);
        let gaps = of(&drawn.query_x).unsqueeze(2) - means.unsqueeze(1);
        let logits = -gaps.square().sum_dim_intlist([-1].as_slice(), false, ON.0);
        let right = logits.argmax(-1, false).eq_tensor(&drawn.query_y).to_kind(ON.0).mean(ON.0);
        let truth = drawn.query_y.one_hot(3).to_kind(ON.0);
        let loss = -(logits.log_softmax(-1, ON.0) * truth).sum(ON.0) / (40.0 * 12.0);
        assert!((found.0 - right.double_value(&[])).abs() < 1e-6, "{transform:?}: {found:?}");
        assert!((found.1 - loss.double_value(&[])).abs() < 1e-5, "{transform:?}: {found:?}");
        seen.push(found.1);
    }
    assert!((seen[0] - seen[1]).abs() > 1e-3 && (seen[1] - seen[2]).abs() > 1e-3, "{seen:?}");
}

#[test]
fn an_image_that_is_embedded_once_gives_what_each_task_gives_by_itself() {
    let learners: [&dyn LearnerSpec; 12] = [
        &LaplacianShot { transform: FeatureTransform::L2n, ..LaplacianShot::default() },
        &BdCspn { transform: FeatureTransform::L2n, ..BdCspn::default() },
        &Tim { steps: 20, ..Tim::default() },
        &AlphaTim { steps: 20, ..AlphaTim::default() },
        &PtMap { iterations: 1, ..PtMap::default() },
        &ProtoNet::default(),
        &R2d2::default(),
        &MetaBaseline::default(),
        &SimpleShot { transform: FeatureTransform::L2n, ..SimpleShot::default() },
        &Baseline::default(),
        &BaselinePlusPlus::default(),
        &Rfs::default(),
    ];
    for learner in learners {
        let once = evaluated(&problem(learner, Box::new(source()), true, None));
        let each = evaluated(&problem(learner, Box::new(Hidden(source())), true, None));
        assert!(
            (once.0 - each.0).abs() < 1e-6 && (once.1 - each.1).abs() < 1e-5,
            "{}: {once:?} {each:?}",
            learner.name()
        );
        assert!(once.0 > 0.45, "{}: {once:?}", learner.name());
    }
}

#[test]
fn queries_that_are_known_at_once_are_told_apart_better() {
    let of = |learner: &dyn LearnerSpec| evaluated(&problem(learner, Box::new(source()), false, None)).0;
    let transform = FeatureTransform::Cl2n;
    let alone = of(&SimpleShot { transform, ..SimpleShot::default() });
    let learners: [&dyn LearnerSpec; 5] = [
        &LaplacianShot { transform, neighbours: 2, lambda: 0.2 },
        &BdCspn { transform, ..BdCspn::default() },
        &Tim { transform, learning_rate: 1e-2, ..Tim::default() },
        &AlphaTim { transform, learning_rate: 1e-2, ..AlphaTim::default() },
        &PtMap::default(),
    ];
    let found = learners.map(|learner| (learner.name(), of(learner)));
    assert!(found.iter().all(|(_, together)| *together > alone + 0.003), "{found:?}, alone {alone}");
    // Without neighbours' votes it is the nearest mean.
    let none = of(&LaplacianShot { transform, lambda: 0.0, ..LaplacianShot::default() });
    assert_eq!(none, alone);
    let problem = problem(&PtMap::default(), Box::new(source()), false, None);
    assert!(problem.protocol().iter().any(|(key, how)| *key == "queries" && how.contains("transductive")));
}

#[test]
fn a_classifier_that_is_trained_longer_fits_its_support_set_better() {
    let of = |epochs| {
        let fine_tuning = FineTuning { epochs, learning_rate: 0.1, ..FineTuning::default() };
        evaluated(&problem(&Baseline { fine_tuning }, Box::new(source()), true, None)).1
    };
    assert!(of(200) < of(2) - 0.01, "{} {}", of(200), of(2));
}

#[test]
fn the_first_steps_are_on_single_examples_and_the_others_on_tasks() {
    for classifier in [Classifier::Linear, Classifier::Cosine { scale: 2.0 }] {
        let phase = Pretraining { steps: 2, batch_size: 8, classifier };
        let problem = problem(&ProtoNet::default(), Box::new(source()), true, Some(phase));
        let params = problem.layout().init(2, ON.0, ON.1).unwrap().require_grad().unwrap();
        for (step, tasks) in [(0, 1), (1, 1), (2, 3)] {
            let draw = Draw { seed: 1, step, replica: 0, split: Split::Train };
            let mut pass = problem.forward(&params, draw).unwrap();
            assert_eq!(pass.losses().len(), tasks, "step {step}");
            let gradient = pass.finish(&Combination::weights(vec![1.0; tasks])).unwrap();
            let of = |name: &str| gradient.named(name).unwrap().abs().max().double_value(&[]);
            assert!(of("map.weight") > 1e-6);
            assert_eq!(of("pretraining.classifier.weight") > 1e-9, tasks == 1, "step {step}");
        }
    }
}

#[test]
fn a_learner_of_pretrained_features_has_no_step_on_tasks() {
    let problem = problem(&Rfs::default(), Box::new(source()), true, None);
    let params = problem.layout().init(2, ON.0, ON.1).unwrap().require_grad().unwrap();
    let error = problem.forward(&params, Draw { seed: 1, step: 0, replica: 0, split: Split::Train });
    assert!(error.err().unwrap().to_string().contains("let the pretraining take all steps"));
}

#[test]
fn a_mean_over_all_training_classes_wants_statistics_of_no_task() {
    use manytask_meta::nn::nets::{Conv4, Conv4Config};
    let of = |batch_norm| {
        let mut layout = Layout::builder();
        let config = Conv4Config { hidden: 2, blocks: 1, ..Conv4Config::default() };
        let net = Conv4::new(&mut Builder::new(&mut layout), 1, 2, &config).unwrap();
        let shape = EpisodeShape::classes(&[1, 2, 2], 3);
        let model = MetaModel::build(layout, Box::new(net), &SimpleShot::default(), shape).unwrap();
        let settings = MetaSettings { batch_norm, ..MetaSettings::default() };
        let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
        MetaProblem::new(model, Box::new(source()), loss, settings)
    };
    assert!(of(BatchNormStatistics::Running).is_ok());
    assert!(of(BatchNormStatistics::Batch).unwrap_err().to_string().contains("batch_norm = \"running\""));
}
