//! `manytask adapt`: a trained learner labels pictures or rows from a few examples of a task, which it need not have seen before.

mod pictures;
mod rows;

use std::path::Path;

use manytask_meta::{Adapter, BatchNormStatistics};
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;
use manytask_tensor::ShownPath as _;
use manytask_tensor::{Device, Kind, Layout, Params, Tensor, threads};

use super::changes::Purpose;
use super::opened::Opened;
use super::predictions::{Predictions, output_of};
use crate::cli::AdaptArgs;
use crate::episodes::EpisodeForm;
use crate::failure::{Code, Failure, Result};
use crate::plan::{EpisodesPlan, Plan, Work, threads_of};
use crate::registries::Registries;
use crate::report::say;
use crate::run::{RunFolder, Which};

/// `manytask adapt`.
pub(super) fn adapt(arguments: &AdaptArgs, registries: &Registries) -> Result<()> {
    if [&arguments.support, &arguments.query].iter().all(|path| path.as_os_str() == "-") {
        let what = "--support and --query are both standard input, which is there once";
        return Err(Failure::new(Code::Usage, what).hint("give one of them as a file"));
    }
    let output =
        output_of(arguments.output.as_deref(), &[&arguments.support, &arguments.query], &arguments.run)?;
    let overrides = arguments.compute.with(&arguments.overrides);
    let opened = Opened::new(RunFolder::view(&arguments.run)?, &overrides, Purpose::Predict)?;
    let plan = opened.plan(registries)?;
    let Work::Episodes(episodes) = &plan.work else {
        let what = format!("{} is a run without a [learner]", arguments.run.shown());
        return Err(Failure::new(Code::Usage, what).hint("ask it with `manytask predict`"));
    };
    threads::set(threads_of(&plan))?;
    let asked = Asked { arguments, opened: &opened, plan: &plan, episodes, registries };
    let labelled = match (episodes.source.pictures(), episodes.source.table()) {
        (Some(form), _) => pictures::labelled(&asked, form)?,
        (None, Some(family)) => rows::labelled(&asked, family)?,
        (None, None) => {
            let what = format!(
                "{} has learned neither from pictures of one size nor from a table",
                arguments.run.shown()
            );
            let hint = "adapt takes runs of [data] kind = \"image_folder\", \"omniglot\", \"idx_classes\" with a `size`, or \"table\"";
            return Err(Failure::new(Code::Usage, what).hint(hint));
        }
    };
    for note in &labelled.notes {
        say(&format!("note: {note}"));
    }
    labelled.predictions.deliver(output, &labelled.what)
}

/// A learner and what is asked of it.
struct Asked<'a> {
    arguments: &'a AdaptArgs,
    opened: &'a Opened,
    plan: &'a Plan,
    episodes: &'a EpisodesPlan,
    registries: &'a Registries,
}

/// Queries with their labels.
struct Labelled {
    predictions: Predictions,
    notes: Vec<String>,
    /// What the predictions are, as `the classes of 7 pictures`.
    what: String,
}

impl Asked<'_> {
    /// The learner for tasks of a form, where training had `trained` outputs if that is known.
    fn adapter(&self, shape: &EpisodeForm, trained: Option<i64>) -> Result<Adapter> {
        let episodes = self.episodes;
        let needs_head = episodes.learner.network(shape).outputs.is_some();
        if let Some(trained) = trained.filter(|trained| needs_head && *trained != shape.outputs) {
            let support = self.arguments.support.shown();
            let what = format!(
                "{support}: has {} classes, and the network of this run tells {trained} apart",
                shape.outputs
            );
            let hint = format!(
                "give {trained} classes, or train a learner whose head is computed from the examples, e.g. `protonet`"
            );
            return Err(Failure::new(Code::Data, what).hint(hint));
        }
        let loss = match shape.output {
            Output::Regression => Loss::Mse,
            Output::Multiclass => Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 },
            Output::Binary | Output::Multilabel => Loss::BinaryCrossEntropy { positive_weight: None },
        };
        let model = episodes.build(shape, None, self.plan.precision);
        let model = model.map_err(|failure| self.plan.source.locate(failure))?;
        let batch_norm: BatchNormStatistics = episodes.settings.batch_norm;
        Ok(Adapter::new(model, loss, batch_norm))
    }

    /// The parameters of the checkpoint, with what the learner has of the training classes, for which their data are read.
    fn params(&self, adapter: &Adapter, device: Device) -> Result<Params> {
        let checkpoint: Which = self.arguments.checkpoint;
        if !adapter.sees_training_classes() {
            return Ok(self.opened.folder.params(checkpoint, adapter.layout(), device)?.0);
        }
        let experiment = self.opened.load(self.registries)?;
        threads::set(threads_of(self.plan))?;
        let (all, _) = self.opened.folder.params(checkpoint, experiment.problem.layout(), device)?;
        picked(&experiment.problem.prepared(&all)?, adapter.layout())
    }

    /// What a prediction depends on beside its query, if on anything.
    fn transduction(adapter: &Adapter, others: &str) -> Option<String> {
        adapter.transduction().map(|why| format!("{why}: a prediction depends on {others}"))
    }
}

/// The entries of a layout out of parameters that have more.
fn picked(all: &Params, layout: &std::sync::Arc<Layout>) -> Result<Params> {
    let entries = layout.entries().iter().filter_map(|entry| all.named(&entry.name));
    Ok(Params::new(layout.clone(), entries.map(Tensor::shallow_clone).collect())?)
}

/// Refuses examples of one class alone.
fn of_classes(input: Vec<i64>, classes: &[String], support: &Path, remedy: &str) -> Result<EpisodeForm> {
    if classes.len() < 2 {
        let what = format!("{}: has examples of one class", support.shown());
        return Err(Failure::new(Code::Data, what).hint(remedy));
    }
    Ok(EpisodeForm { input, output: Output::Multiclass, outputs: classes.len() as i64 })
}

/// For each query its class, how far its probability is above the next one's, and the probabilities of all classes; behind columns that
/// are kept.
fn by_class(
    classes: &[String],
    logits: &Tensor,
    mut kept: Vec<(String, Vec<String>)>,
) -> Result<Predictions> {
    let probabilities =
        logits.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_softmax(-1, None::<Kind>)?;
    let rows = probabilities.size().first().copied().unwrap_or_default() as usize;
    let (first, best) = probabilities.f_topk(2, 1, true, true)?;
    let names = Vec::<i64>::try_from(best.f_select(1, 0)?.f_contiguous()?)?;
    let names = names.iter().map(|class| classes.get(*class as usize).cloned().unwrap_or_default());
    let margins = first.f_select(1, 0)?.f_sub(&first.f_select(1, 1)?)?;
    let margins = Vec::<f64>::try_from(margins.f_contiguous()?)?;
    kept.push(("class".to_owned(), names.collect()));
    kept.push(("margin".to_owned(), margins.iter().map(f64::to_string).collect()));
    let columns = std::iter::once(("class", classes.to_vec(), &probabilities));
    Ok(Predictions::by_task(rows, columns)?.with_kept(kept))
}
