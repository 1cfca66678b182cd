//! Groups of a split that teach and judge nothing.

use super::FindingContext;
use crate::value::Values;
use crate::words::examples;
use crate::{Note, Result, TargetEncoder};

impl FindingContext<'_> {
    /// Groups in which no row has a label.
    pub(super) fn groups_without_label(&self) -> Result<Option<Note>> {
        let Some(name) = self.split_groups else { return Ok(None) };
        let column = self.table.column(name)?;
        let all: Vec<usize> = (0..self.table.rows()).collect();
        let values = Values::of(self.table, column, &all);
        let by_level = values.compare.places_of(column, &values.names);
        let mut labelled = vec![false; values.names.len()];
        for target in self.targets.iter().flat_map(TargetEncoder::columns) {
            let target = self.table.column(target)?;
            for (code, answer) in column.codes().iter().zip(target.codes()) {
                let group = by_level.get(*code as usize).copied().flatten();
                if let Some(labelled) = group.and_then(|group| labelled.get_mut(group)) {
                    *labelled |= (*answer as usize) < target.levels().len();
                }
            }
        }
        let without = values.names.iter().zip(&labelled).filter(|(_, labelled)| !**labelled);
        let without: Vec<&str> = without.map(|(name, _)| name.as_str()).collect();
        Ok((!without.is_empty()).then(|| {
            Note(format!(
                "column `{name}`: no row of {} of its {} groups has a label of any task, so nothing is learned from them or judged \
                 by them: {}",
                without.len(),
                values.names.len(),
                examples(without.iter().copied())
            ))
        }))
    }
}
