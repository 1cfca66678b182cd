//! Parts of a network that a pretraining has trained, and that tasks leave as they are.

use std::ops::ControlFlow;

use manytask_meta::data::{ClassPool, EpisodeSpec, Splits};
use manytask_meta::multitask::aggregators::EqualWeights;
use manytask_meta::multitask::{
    AggregatorSettings, Event, Freeze, Monitor, Problem, Result, Trainer, Training,
};
use manytask_meta::nn::nets::{Conv4, Conv4Config};
use manytask_meta::nn::{Builder, loss::Loss, optim::Optimizer, schedule::Schedule};
use manytask_meta::tensor::random::Key;
use manytask_meta::tensor::{Device, Kind, Layout, Params};
use manytask_meta::{
    BatchNormStatistics, ClassEpisodes, Classifier, EpisodeShape, MetaBaseline, MetaModel, MetaProblem,
    MetaSettings, Pretraining,
};

const ON: (Kind, Device) = (Kind::Float, Device::Cpu);

/// Meta-Baseline on two blocks of convolution, after three steps on all training classes.
fn problem() -> MetaProblem {
    let images = Key::new(3, "x").uniform(0.0, 255.0, &[5 * 8, 1, 4, 4], ON.0, ON.1).unwrap();
    let names = (0..5).map(|class| class.to_string()).collect();
    let pool = ClassPool::new(images.to_kind(Kind::Uint8), &[8; 5], names).unwrap();
    let pools = Splits { train: pool, validation: None, test: None };
    let source = ClassEpisodes { pools, spec: EpisodeSpec { ways: 3, shots: 2, queries: 4 } };
    let mut layout = Layout::builder();
    let config = Conv4Config { hidden: 2, blocks: 2, ..Conv4Config::default() };
    let net = Conv4::new(&mut Builder::new(&mut layout), 1, 4, &config).unwrap();
    let shape = EpisodeShape::classes(&[1, 4, 4], 3);
    let phase = Pretraining { steps: 3, batch_size: 6, classifier: Classifier::Linear };
    let model =
        MetaModel::build_pretrained(layout, Box::new(net), &MetaBaseline::default(), shape, Some((phase, 5)));
    let settings = MetaSettings {
        tasks_per_step: 2,
        evaluation_tasks: 3,
        batch_norm: BatchNormStatistics::Running,
        ..MetaSettings::default()
    };
    let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    MetaProblem::new(model.unwrap(), Box::new(source), loss, settings).unwrap()
}

fn until(trainer: &mut Trainer<'_>, last: u64) -> Params {
    let stop = |_: &Trainer<'_>, event: Event<'_>| -> Result<_> {
        let stop = matches!(event, Event::StepDone { step } if step == last);
        Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    trainer.run(stop).unwrap();
    trainer.params().copy().unwrap()
}

/// The names of what differs, those of the pretraining's classifier left out.
fn moved(before: &Params, after: &Params) -> Vec<String> {
    let changed = before.iter().zip(after.leaves()).filter(|((_, a), b)| a != b);
    let names = changed.map(|((entry, _), _)| entry.name.clone());
    names.filter(|name| !name.starts_with("pretraining.")).collect()
}

#[test]
fn tasks_leave_frozen_blocks_and_their_running_statistics_as_the_pretraining_made_them() {
    let problem = problem();
    let begin = problem.layout().init(2, ON.0, ON.1).unwrap();
    let trainer = |parts: &[&str]| {
        let freeze = Freeze { parts: parts.iter().map(|part| (*part).to_owned()).collect(), after: 3 };
        let training = Training {
            seed: 1,
            steps: 6,
            learning_rate: 1e-2,
            optimizer: Optimizer::adam(),
            schedule: Schedule::default(),
            clip_norm: None,
            validate_every: None,
            save_every: None,
            diagnose_every: None,
            monitor: Monitor::default(),
            early_stopping: None,
            average: None,
            freeze,
        };
        let aggregator = EqualWeights::default().build(problem.tasks()).unwrap();
        Trainer::new(&problem, aggregator, training, &begin).unwrap()
    };
    let mut whole = trainer(&["layer*"]);
    let pretrained = until(&mut whole, 3);
    let first: Vec<String> = moved(&begin, &pretrained);
    assert!(first.iter().any(|name| name.ends_with("running_mean")), "{first:?}");
    let end = until(&mut whole, 6);
    assert_eq!(moved(&pretrained, &end), ["learner.scale"]);
    let mut second = trainer(&["layer0"]);
    until(&mut second, 3);
    let some = moved(&pretrained, &until(&mut second, 6));
    assert!(some.iter().all(|name| !name.starts_with("layer0.")), "{some:?}");
    assert!(
        some.iter().any(|name| name.starts_with("layer1.") && name.ends_with("running_mean")),
        "{some:?}"
    );
    // Resumed among the tasks it is the same to the bit.
    let folder = tempfile::tempdir().unwrap();
    let mut one = trainer(&["layer*"]);
    until(&mut one, 4);
    one.save(folder.path()).unwrap();
    let mut other = trainer(&["layer*"]);
    other.restore(folder.path()).unwrap();
    assert_eq!(until(&mut other, 6).max_difference(&end).unwrap(), 0.0);
}
