//! Rows of a table labelled from a few examples of a task, or of each class.

use manytask_data::{Columns, GivenTask, Schema, Table, TableEpisodes};
use manytask_meta::Adapter;
use manytask_multitask::Task;
use manytask_tensor::{Device, Kind, Params, ShownPath as _, Tensor};

use super::super::predict::{kept_columns, of_input, schema};
use super::super::predictions::Predictions;
use super::{Asked, Labelled, by_class, of_classes};
use crate::device;
use crate::episodes::EpisodeForm;
use crate::failure::{Code, Failure, Result};
use crate::report::say;
use crate::schema::InputSchema;

pub(super) fn labelled(asked: &Asked<'_>, family: &TableEpisodes) -> Result<Labelled> {
    let arguments = asked.arguments;
    let InputSchema::Table(schema) = schema(asked.opened)? else {
        let what = format!("{}: the run's schema is of no table", arguments.run.shown());
        return Err(Failure::new(Code::Checkpoint, what));
    };
    let examples = schema.read(&arguments.support).map_err(of_input)?;
    let queries = schema.read(&arguments.query).map_err(of_input)?;
    let given = family.given(&schema, &examples, &queries).map_err(of_input)?;
    let keep = Columns::from(arguments.keep.as_slice());
    let kept = kept_columns(&queries, &keep, &arguments.query)?;
    let mut notes = Vec::new();
    let tables = [(&examples, "the examples"), (&queries, "the queries")];
    // What the training split had is of no concern where nothing was trained.
    for (table, what) in tables.into_iter().filter(|_| !asked.plan.training.trains_nothing()) {
        let all: Vec<usize> = (0..table.rows()).collect();
        notes.extend(schema.review(table, &all, what).map_err(of_input)?.iter().map(ToString::to_string));
    }
    let input = vec![schema.inputs().width()];
    let labelled = match (schema.target(0), given.as_slice()) {
        (None, [task]) => {
            let remedy = "give rows of two classes or more";
            let shape = of_classes(input, &task.classes, &arguments.support, remedy)?;
            let adapted = Adapted::new(asked, &shape, family.ways.map(|ways| ways as i64))?;
            notes.extend(Asked::transduction(&adapted.adapter, "the other rows of the table"));
            by_class(&task.classes, &adapted.values(asked, task)?, kept)?
        }
        _ => of_tasks(asked, &schema, &given, (&queries, kept), &mut notes)?,
    };
    Ok(Labelled { predictions: labelled, notes, what: format!("predictions for {} rows", queries.rows()) })
}

/// What is predicted of the rows of several tasks, each after adapting to its own examples.
fn of_tasks(
    asked: &Asked<'_>,
    schema: &Schema,
    given: &[GivenTask],
    (queries, kept): (&Table, Vec<(String, Vec<String>)>),
    notes: &mut Vec<String>,
) -> Result<Predictions> {
    let Some(target) = schema.target(0) else {
        let what = format!("{}: the run's schema has no target", asked.arguments.run.shown());
        return Err(Failure::new(Code::Checkpoint, what));
    };
    let task = Task::of(target.name(), target);
    let shape =
        EpisodeForm { input: vec![schema.inputs().width()], output: task.output, outputs: task.outputs };
    let adapted = Adapted::new(asked, &shape, None)?;
    notes.extend(Asked::transduction(&adapted.adapter, "the other rows of its task"));
    let parts = InputSchema::Table(Box::new(schema.clone())).predicted(0);
    let mut values = Vec::new();
    for given in given {
        let logits = adapted.values(asked, given)?.f_to_kind(Kind::Double)?;
        values.push(task.present(&logits)?);
    }
    let streams: Vec<Vec<usize>> = given.iter().map(|task| task.rows.clone()).collect();
    let names: Vec<&str> = given.iter().filter_map(|task| task.name.as_deref()).collect();
    let of_rows = streams.iter().zip(&values);
    let predictions = if names.is_empty() {
        let all = values.first().map(|values| (target.name(), parts, values));
        Predictions::by_task(queries.rows(), all.into_iter())?
    } else {
        Predictions::by_row(queries.rows(), &names, &streams, target.name(), &parts, of_rows)?
    };
    Ok(predictions.with_kept(kept))
}

/// A learner with its parameters.
struct Adapted {
    adapter: Adapter,
    params: Params,
    device: Device,
}

impl Adapted {
    fn new(asked: &Asked<'_>, shape: &EpisodeForm, trained: Option<i64>) -> Result<Self> {
        let adapter = asked.adapter(shape, trained)?;
        let (device, note) = device::open(asked.plan)?;
        if let Some(note) = note {
            say(&note);
        }
        let params = asked.params(&adapter, device)?;
        Ok(Self { adapter, params, device })
    }

    /// Values or logits for the queries of a task, on the processor.
    fn values(&self, asked: &Asked<'_>, task: &GivenTask) -> Result<Tensor> {
        let to = |tensor: &Tensor| tensor.f_to_device(self.device);
        let support = (to(&task.support_x)?, to(&task.support_y)?);
        let steps = asked.episodes.settings.evaluation_steps;
        let found =
            self.adapter.predict(&self.params, (&support.0, &support.1), &to(&task.query_x)?, steps)?;
        Ok(found.values.f_to_device(Device::Cpu)?)
    }
}
