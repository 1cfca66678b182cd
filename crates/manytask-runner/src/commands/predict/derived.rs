//! What follows from predictions by what was fitted on the validation split.

use manytask_multitask::Task;
use manytask_nn::metrics::Output;
use manytask_tensor::{Device, Kind, Tensor};

use crate::commands::predictions::{Cells, Predictions};
use crate::failure::Result;
use crate::postprocessing::{Derived, FittedTask, Words};

/// What follows from the predictions of a task by what was fitted on the validation split.
pub(super) fn postprocessed(
    fitted: &FittedTask,
    task: &Task,
    logits: &Tensor,
    words: Vec<String>,
) -> Result<Derived> {
    let numbers =
        if task.output == Output::Regression { task.present(logits)? } else { logits.shallow_clone() };
    let numbers = numbers.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?.f_reshape([-1])?;
    let numbers = Vec::<f64>::try_from(numbers)?;
    Ok(fitted.derive(task.output, task.outputs.max(1) as usize, &numbers, &Words { names: words }))
}

/// The same predictions with classes, sets and intervals behind them.
pub(super) fn with_derived(
    predictions: Predictions,
    name: &str,
    rows: &[usize],
    derived: Derived,
) -> Predictions {
    let words = |words: Vec<String>| Cells::Words(words.into_iter().map(Some).collect());
    let mut all = predictions;
    if let Some(decided) = derived.decided {
        all = all.with_derived(name, "class", rows, words(decided));
    }
    if let Some(sets) = derived.sets {
        all = all.with_derived(name, "set", rows, words(sets));
    }
    if let Some(intervals) = derived.intervals {
        let (low, high) = intervals.into_iter().map(|(low, high)| (Some(low), Some(high))).unzip();
        all = all.with_derived(name, "low", rows, Cells::Numbers(low));
        all = all.with_derived(name, "high", rows, Cells::Numbers(high));
    }
    all
}
