//! Episodes of the rows of a table.

use std::path::Path;

use manytask_data::{TableEpisodes, TablePools, TargetKind};
use manytask_meta::{ClassEpisodes, EpisodeSource, GroupEpisodes};
use manytask_nn::metrics::Output;
use manytask_tensor::Device;

use super::{EpisodeOutline, EpisodeSettings, LoadedEpisodes};
use crate::failure::Result;
use crate::schema::InputSchema;

/// `[data]` of a table, with a learner.
impl EpisodeSettings for TableEpisodes {
    fn table(&self) -> Option<&TableEpisodes> {
        Some(self)
    }

    fn outline(&self) -> Result<Option<EpisodeOutline>> {
        self.check()?;
        // How many inputs there are the table says.
        Ok(None)
    }

    fn load(&self, folder: &Path, device: Device) -> Result<LoadedEpisodes> {
        let loaded = TableEpisodes::load(self, folder)?;
        let input = vec![loaded.schema.inputs().width()];
        let target = loaded.schema.target(0);
        let (output, outputs, label_deviation) = match target {
            None => (Output::Multiclass, self.ways.unwrap_or_default() as i64, 1.0),
            Some(target) => {
                let output = match target.kind() {
                    TargetKind::Regression => Output::Regression,
                    TargetKind::Binary => Output::Binary,
                    TargetKind::Multiclass => Output::Multiclass,
                    TargetKind::Multilabel => Output::Multilabel,
                };
                (output, target.outputs(), target.mean_std().1)
            }
        };
        let source: Box<dyn EpisodeSource> = match loaded.pools {
            TablePools::Classes(pools, spec) => {
                Box::new(ClassEpisodes { pools: pools.to_device(device)?, spec })
            }
            TablePools::Tasks(groups) => Box::new(GroupEpisodes {
                groups: groups.map(|groups| groups.to_device(device))?,
                shots: self.shots,
                queries: self.queries,
                label_deviation,
            }),
        };
        Ok(LoadedEpisodes {
            source,
            input,
            output,
            outputs,
            digest: loaded.digest,
            split_digest: loaded.split_digest,
            report: loaded.report,
            schema: Some(InputSchema::Table(Box::new(loaded.schema))),
        })
    }
}
