//! `[data] kind = "scenes"`: tasks with a label for each pixel, on pictures that are computed.

use std::path::Path;

use manytask_data::{SCENE_CLASSES, Scenes};
use manytask_multitask::{InputSizes, Labelled, Task};
use manytask_nn::loss::Loss;
use manytask_nn::metrics::{Metric, Output};

use super::{DataSettings, Loaded, Outline, OutlinedInputs, OutlinedTasks};
use crate::failure::Result;

impl DataSettings for Scenes {
    fn outline(&self) -> Result<Outline> {
        self.check()?;
        Ok(Outline {
            tasks: OutlinedTasks::Named(tasks((0.0, 1.0))),
            validation: Some(self.validation > 0),
            embeds: Some(false),
            numbers: Some(false),
            inputs: OutlinedInputs::Images(Some([3, self.height, self.width])),
        })
    }

    fn load(&self, _folder: &Path) -> Result<Loaded> {
        let loaded = Scenes::load(self)?;
        Ok(Loaded {
            splits: loaded.splits,
            tasks: tasks(loaded.depth),
            inputs: InputSizes::Images { channels: 3, height: self.height, width: self.width },
            schema: None,
            split_digest: loaded.digest.clone(),
            digest: loaded.digest,
            report: loaded.report,
        })
    }
}

/// The three tasks, with the mean and the deviation of depths, and the losses and metrics that are usual of indoor scenes.
fn tasks(depth: (f64, f64)) -> Vec<Task> {
    let of_pixels = |name: &str, output: Output, outputs: i64| Task {
        labelled: Labelled::Pixel,
        ..Task::new(name, output, outputs)
    };
    vec![
        Task {
            metrics: vec![Metric::MeanIou, Metric::Accuracy],
            ..of_pixels("segmentation", Output::Multiclass, SCENE_CLASSES.len() as i64)
        },
        Task {
            loss: Loss::L1,
            metrics: vec![Metric::Mae, Metric::RelativeError],
            mean_std: depth,
            label_mean: Some(depth.0),
            ..of_pixels("depth", Output::Regression, 1)
        },
        Task {
            loss: Loss::Cosine,
            metrics: vec![
                Metric::MeanAngle,
                Metric::MedianAngle,
                Metric::WithinAngle(11.25),
                Metric::WithinAngle(22.5),
                Metric::WithinAngle(30.0),
            ],
            ..of_pixels("normals", Output::Regression, 3)
        },
    ]
}
