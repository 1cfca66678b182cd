//! `manytask adapt`: a trained learner labels pictures from a few examples of each class, which it need not have seen before.

use std::path::Path;

use manytask_data::image_folder::{self, PictureForm};
use manytask_meta::{Adapter, BatchNormStatistics};
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;
use manytask_tensor::ShownPath as _;
use manytask_tensor::io::write_atomically;
use manytask_tensor::{Device, Kind, Layout, Params, Tensor, threads};

use super::changes::Purpose;
use super::opened::Opened;
use super::predict::of_input;
use super::predictions::Predictions;
use super::train::with_options;
use crate::cli::AdaptArgs;
use crate::episodes::EpisodeForm;
use crate::failure::{Code, Failure, Result};
use crate::plan::{EpisodesPlan, Plan, Work, threads_of};
use crate::registries::Registries;
use crate::report::{print, say};
use crate::run::{RunFolder, Which};

/// `manytask adapt`.
pub(super) fn adapt(arguments: &AdaptArgs, registries: &Registries) -> Result<()> {
    let overrides = with_options(&arguments.overrides, arguments.device.as_deref(), arguments.threads);
    let opened = Opened::new(RunFolder::view(&arguments.run)?, &overrides, Purpose::Predict)?;
    let plan = opened.plan(registries)?;
    let Work::Episodes(episodes) = &plan.work else {
        return Err(Failure::new(
            Code::Usage,
            format!("{} is a run without a [learner]", arguments.run.shown()),
        )
        .hint("ask it with `manytask predict`"));
    };
    let Some(form) = episodes.source.pictures() else {
        let what = format!("{} has not learned from a folder of pictures", arguments.run.shown());
        return Err(
            Failure::new(Code::Usage, what).hint("adapt takes runs of [data] kind = \"image_folder\"")
        );
    };
    threads::set(threads_of(&plan))?;
    let examples = image_folder::read(&arguments.support, form).map_err(of_input)?;
    let queries = image_folder::pictures(&arguments.query, form).map_err(of_input)?;
    let classes = examples.classes.names().to_vec();
    let adapter = adapter(&plan, episodes, (form, &classes), &arguments.support)?;
    let device = plan.device.resolve()?;
    let params = params(&opened, (&plan, episodes), &adapter, (arguments.checkpoint, device), registries)?;
    let (support_x, support_y) = examples.classes.labelled()?;
    let numbers = |pixels: &Tensor| -> Result<Tensor> {
        Ok(pixels.f_to_kind(Kind::Float)?.f_div_scalar(255.0)?.f_to_device(device)?)
    };
    let support = (numbers(&support_x)?, support_y.f_to_device(device)?);
    let steps = episodes.settings.evaluation_steps;
    let found = adapter.predict(&params, (&support.0, &support.1), &numbers(&queries.pixels)?, steps)?;
    for note in examples.notes.iter().chain(&queries.notes) {
        say(&format!("note: {note}"));
    }
    if adapter.is_transductive() {
        say(
            "note: batch-norm normalises all queries together: a prediction depends on the other pictures of the query folder",
        );
    }
    let text = labelled(&classes, &found.values, queries.files)?.csv();
    match arguments.output.as_deref().filter(|path| path.as_os_str() != "-") {
        None => print(&text),
        Some(path) => {
            write_atomically(path, text.as_bytes())?;
            say(&format!(
                "the classes of {} pictures are in {}",
                found.values.size().first().unwrap_or(&0),
                path.shown()
            ));
            Ok(())
        }
    }
}

/// The learner of a run for tasks of these classes.
fn adapter(
    plan: &Plan,
    episodes: &EpisodesPlan,
    (form, classes): (PictureForm, &[String]),
    support: &Path,
) -> Result<Adapter> {
    let refuse = |what: String, hint: String| {
        Err(Failure::new(Code::Data, format!("{}: {what}", support.shown())).hint(hint))
    };
    if classes.len() < 2 {
        return refuse(
            "has the pictures of one class".into(),
            "give a folder with a folder of pictures for each of two classes or more".into(),
        );
    }
    let shape =
        EpisodeForm { input: form.shape(), output: Output::Multiclass, outputs: classes.len() as i64 };
    let trained = episodes.source.outline()?.map(|outline| outline.form.outputs);
    if let (Some(_), Some(trained)) = (episodes.learner.network(&shape).outputs, trained)
        && trained != shape.outputs
    {
        return refuse(
            format!("has {} classes, and the network of this run tells {trained} apart", classes.len()),
            format!(
                "give {trained} classes, or train a learner whose head is computed from the examples, e.g. `protonet`"
            ),
        );
    }
    let model = episodes.build(&shape, None, plan.precision);
    let model = model.map_err(|failure| plan.source.locate(failure))?;
    let loss = Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 };
    let batch_norm: BatchNormStatistics = episodes.settings.batch_norm;
    Ok(Adapter::new(model, loss, batch_norm))
}

/// The parameters of a checkpoint. Those of a pretrained network are read with its data, which say what of it is no part of a task.
fn params(
    opened: &Opened,
    (plan, episodes): (&Plan, &EpisodesPlan),
    adapter: &Adapter,
    (checkpoint, device): (Which, Device),
    registries: &Registries,
) -> Result<Params> {
    if episodes.pretraining.is_none() {
        return Ok(opened.folder.params(checkpoint, adapter.layout(), device)?.0);
    }
    let experiment = opened.load(registries)?;
    threads::set(threads_of(plan))?;
    let (all, _) = opened.folder.params(checkpoint, experiment.problem.layout(), device)?;
    picked(&experiment.problem.prepared(&all)?, adapter.layout())
}

/// The entries of a layout out of parameters that have more.
fn picked(all: &Params, layout: &std::sync::Arc<Layout>) -> Result<Params> {
    let entries = layout.entries().iter().filter_map(|entry| all.named(&entry.name));
    Ok(Params::new(layout.clone(), entries.map(Tensor::shallow_clone).collect())?)
}

/// For each picture its class, how far its probability is above the next one's, and the probabilities of all classes.
fn labelled(classes: &[String], logits: &Tensor, files: Vec<String>) -> Result<Predictions> {
    let probabilities =
        logits.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_softmax(-1, None::<Kind>)?;
    let (first, best) = probabilities.f_topk(2, 1, true, true)?;
    let names = Vec::<i64>::try_from(best.f_select(1, 0)?.f_contiguous()?)?;
    let names = names.iter().map(|class| classes.get(*class as usize).cloned().unwrap_or_default());
    let margins = first.f_select(1, 0)?.f_sub(&first.f_select(1, 1)?)?;
    let margins = Vec::<f64>::try_from(margins.f_contiguous()?)?;
    let predictions =
        Predictions::by_task(files.len(), std::iter::once(("class", classes.to_vec(), &probabilities)))?;
    let kept = vec![
        ("class".to_owned(), names.collect()),
        ("margin".to_owned(), margins.iter().map(f64::to_string).collect()),
    ];
    Ok(predictions.of_files(Some(files)).with_kept(kept))
}
