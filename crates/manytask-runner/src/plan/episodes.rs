use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use manytask_meta::{Classifier, Execution, LearnerSpec, MetaModel, MetaSettings, Pretraining};
use manytask_nn::weights::Weights;
use manytask_nn::{Builder, Precision};
use manytask_tensor::{Device, Entry, Layout, Tensor, checkpoint};
use serde::{Deserialize, Serialize};

use crate::config::Section;
use crate::episodes::{BackboneSettings, EpisodeForm, EpisodeSettings};
use crate::failure::{Code, Failure, Result, Within as _};
use crate::registries::Registries;

/// Tasks drawn anew at each step, for a learner.
#[derive(Debug)]
pub struct EpisodesPlan {
    pub(crate) source: Box<dyn EpisodeSettings>,
    pub(crate) network: Box<dyn BackboneSettings>,
    pub(crate) learner: Arc<dyn LearnerSpec>,
    pub(crate) settings: MetaSettings,
    pub(crate) pretraining: Option<PretrainingSection>,
    /// A file of weights that the network begins with.
    pub(crate) weights: Option<PathBuf>,
}

/// `[pretraining]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PretrainingSection {
    /// How many of the training's steps it takes; left out: all, of a learner that learns from nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Examples in a step.
    pub batch_size: usize,
    /// The form of the classifier of all training classes.
    pub classifier: Classifier,
}

impl Default for PretrainingSection {
    fn default() -> Self {
        Self { steps: None, batch_size: 128, classifier: Classifier::Linear }
    }
}

/// Weights of a file for a network.
#[derive(Debug)]
pub(crate) struct FileWeights {
    pub(crate) path: PathBuf,
    /// By the names of the network's entries.
    pub(crate) named: BTreeMap<String, Tensor>,
    /// What the file has beside them.
    pub(crate) passed_over: Vec<String>,
}

impl EpisodesPlan {
    pub(super) fn read(
        data: Section<'_>,
        mut network: Section<'_>,
        learner: Section<'_>,
        mut training: Section<'_>,
        (pretraining, evaluation): (Option<Section<'_>>, Option<Section<'_>>),
        registries: &Registries,
    ) -> Result<Self> {
        let usual = MetaSettings::default();
        let mut settings = MetaSettings {
            tasks_per_step: training.take_or("tasks_per_step", usual.tasks_per_step)?,
            execution: training.take_or("execution", usual.execution)?,
            batch_norm: training.take_or("batch_norm", usual.batch_norm)?,
            ..usual
        };
        if settings.tasks_per_step == 0 {
            return Err(Failure::setting(["training", "tasks_per_step"], "`tasks_per_step` is 0"));
        }
        if settings.execution == Execution::Threads(0) {
            return Err(Failure::setting(["training", "execution"], "`execution` is in 0 threads"));
        }
        training.finish()?;
        if let Some(mut section) = evaluation {
            settings.evaluation_tasks = section.take_or("tasks", usual.evaluation_tasks)?;
            settings.evaluation_queries = section.take("queries")?;
            settings.evaluation_steps = section.take("inner_steps")?;
            settings.evaluation_seed = section.take_or("seed", usual.evaluation_seed)?;
            let zero = [("tasks", Some(settings.evaluation_tasks)), ("queries", settings.evaluation_queries)];
            if let Some((key, _)) = zero.iter().find(|(_, number)| *number == Some(0)) {
                return Err(Failure::setting(["evaluation", key], "[evaluation] has a number that is 0"));
            }
            section.finish()?;
        }
        let folder = network.source().folder();
        let weights = network.take::<PathBuf>("weights")?.map(|file| folder.join(file));
        Ok(Self {
            weights,
            source: registries.episodes.make(data)?,
            network: registries.backbones.make(network)?,
            learner: registries.learners.make(learner)?,
            settings,
            pretraining: pretraining.map(Section::rest).transpose()?,
        })
    }

    /// The layout with the weights of the file in the places of the network, without its head; `None` where there is no such file.
    ///
    /// # Errors
    /// When the file is missing, damaged or of another network; with the place in [network].
    pub(crate) fn weights(&self, layout: &Layout) -> Result<Option<FileWeights>> {
        let Some(path) = &self.weights else { return Ok(None) };
        let of_learner = |entry: &&Entry| {
            ["head.", "learner.", "pretraining."].iter().any(|own| entry.name.starts_with(own))
        };
        let entries: Vec<&Entry> = layout.entries().iter().filter(|entry| !of_learner(entry)).collect();
        if entries.is_empty() {
            let what = "`weights` has no effect: the network has no parameters";
            return Err(Failure::setting("weights", what).hint("leave it out, or take another `kind`"));
        }
        let (tensors, _) = checkpoint::load_tensors(path, Device::Cpu).map_err(unread)?;
        let Weights { tensors, passed_over } = Weights::take(path, tensors, &entries)?;
        let named = entries.iter().map(|entry| entry.name.clone()).zip(tensors).collect();
        Ok(Some(FileWeights { path: path.clone(), named, passed_over }))
    }

    /// The network for examples of a form, with layers that compute in `precision`, and the learner on it, after a pretraining on so many
    /// classes where there is one.
    ///
    /// # Errors
    /// When a size is impossible, examples of this form are not for the network, or the learner cannot work with either; with
    /// the section's place.
    pub(crate) fn build(
        &self,
        form: &EpisodeForm,
        pretraining: Option<(Pretraining, i64)>,
        precision: Precision,
    ) -> Result<MetaModel> {
        let mut layout = Layout::builder();
        let wanted = self.learner.network(form);
        let mut root = Builder::new(&mut layout);
        let network = self.network.build(&mut root.with_precision(precision), &wanted.input, wanted.outputs);
        // Sizes come from the configuration alone.
        let network =
            network.map_err(|error| Failure { code: Code::Config, ..error.into() }).within("network")?;
        MetaModel::build_pretrained(layout, network, self.learner.as_ref(), form.clone(), pretraining)
            .within("learner")
    }
}

/// What is said of a file of weights that cannot be read.
fn unread(error: manytask_tensor::Error) -> Failure {
    let hint = match &error {
        manytask_tensor::Error::Corrupt { .. } => {
            "`weights` takes a safetensors file, as timm's `model.safetensors`, or what safetensors.torch.save_file writes of a state_dict()"
        }
        _ => "`weights` is the path of a safetensors file, relative to the configuration",
    };
    let failure = Failure::from(error);
    let message = format!("`weights` of [network]: {}", failure.message);
    Failure { message, ..failure }.hint(hint)
}
