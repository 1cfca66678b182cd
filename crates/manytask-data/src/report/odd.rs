//! Labels that are not there, or are all alike.

use manytask_tensor::{Device, Kind, Tensor};

use super::{LabelCounts, NoteForm, TaskNote};
use crate::Result;
use crate::splits::SPLITS;

/// Tasks whose labels cannot be learned or judged, by part.
#[derive(Default)]
pub(super) struct OddLabels {
    without: [Vec<String>; 3],
    alike: [Vec<String>; 3],
}

impl OddLabels {
    pub(super) fn look(
        &mut self,
        task: &str,
        split: &str,
        target: &Tensor,
        counts: &LabelCounts,
    ) -> Result<()> {
        let Some(place) = SPLITS.iter().position(|name| *name == split) else { return Ok(()) };
        if counts.labelled() == 0 {
            if let Some(without) = self.without.get_mut(place) {
                without.push(task.to_owned());
            }
            return Ok(());
        }
        // One number says nothing of others; one answer has no opposite to be told from.
        let enough = if matches!(counts, LabelCounts::Numbers { .. }) { 2 } else { 1 };
        if let Some(alike) = self.alike.get_mut(place)
            && counts.labelled() >= enough
            && has_equal_labels(target, counts)?
        {
            alike.push(task.to_owned());
        }
        Ok(())
    }

    pub(super) fn notes(self) -> Vec<TaskNote> {
        let mut notes = Vec::new();
        for ((split, without), alike) in SPLITS.iter().zip(self.without).zip(self.alike) {
            let (what, effect) = match *split {
                "train" => ("training", "learned"),
                split => (split, "judged there"),
            };
            for (tasks, text) in [
                (without, format!("no label in the {what} split, so it is not {effect}")),
                (alike, format!("all labels in the {what} split are alike, so nothing can be {effect}")),
            ] {
                if !tasks.is_empty() {
                    notes.push(TaskNote { text, tasks, form: NoteForm::Listed });
                }
            }
        }
        notes
    }
}

/// Whether a label, of several in a multi-label task any, is the same in all rows that have it.
fn has_equal_labels(target: &Tensor, counts: &LabelCounts) -> Result<bool> {
    match counts {
        LabelCounts::Classes { counts, .. } => {
            return Ok(counts.iter().filter(|count| **count > 0).count() == 1);
        }
        LabelCounts::Answers { .. } | LabelCounts::Numbers { .. } => {}
    }
    let rows = target.size().first().copied().unwrap_or_default().max(1);
    let flat = target.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_contiguous()?.f_reshape([-1])?;
    let labels = Vec::<f32>::try_from(flat)?;
    let columns = (labels.len() / rows as usize).max(1);
    let equal = |column: usize| {
        let mut known = labels.iter().skip(column).step_by(columns).filter(|label| !label.is_nan());
        let first = known.next();
        first.is_some() && known.all(|label| Some(label) == first)
    };
    Ok((0..columns).any(equal))
}
