//! `[data] kind = "idx"`: tasks on images.

use std::path::Path;

use manytask_data::{ImageDataset, ImageTask};

use super::{DataSettings, Loaded, Outline, OutlinedInputs, OutlinedTasks};
use crate::failure::Result;
use crate::schema::{InputSchema, image_task};

impl DataSettings for ImageDataset {
    fn outline(&self) -> Result<Outline> {
        self.check()?;
        let task = |(name, target): (String, &manytask_data::ImageTarget)| {
            image_task(&ImageTask { name, kind: target.kind(), classes: target.classes.clone() })
        };
        let canvas = self.pairs.map(|pairs| pairs.canvas as i64);
        Ok(Outline {
            tasks: OutlinedTasks::Named(self.tasks().into_iter().map(task).collect()),
            validation: Some(self.asks_for_validation()),
            embeds: Some(false),
            numbers: Some(false),
            inputs: OutlinedInputs::Images(canvas.map(|side| [1, side, side])),
        })
    }

    fn load(&self, folder: &Path) -> Result<Loaded> {
        let loaded = ImageDataset::load(self, folder)?;
        let schema = InputSchema::Images(loaded.schema);
        Ok(Loaded {
            splits: loaded.splits,
            tasks: schema.tasks(),
            inputs: schema.sizes(),
            schema: Some(schema),
            digest: loaded.digest,
            split_digest: loaded.split_digest,
            report: loaded.report,
        })
    }
}
