//! Data and a network as a problem.

use manytask_data::DataReport;
use manytask_meta::MetaProblem;
use manytask_multitask::{Monitor, MultiTaskProblem, Problem, Split, Task, TaskSplits};
use manytask_nn::loss::Loss;
use manytask_nn::metrics::Output;
use manytask_tensor::Device;

use crate::episodes::EpisodeForm;
use crate::failure::{Failure, Result, Within as _};
use crate::plan::{EpisodesPlan, Plan, RowsPlan};
use crate::schema::InputSchema;

/// What is told where the system does not give the threads that are asked for.
pub(super) fn few_threads(asked: usize, obtained: usize) -> Option<String> {
    (obtained < asked).then(|| {
        format!(
            "note: {obtained} of {asked} threads can be had and are used: processes or memory are limited; set `threads = {obtained}`, \
             or raise the limit"
        )
    })
}

/// A problem with what else is known of its data.
pub(super) struct Loaded {
    pub(super) problem: Box<dyn Problem>,
    pub(super) schema: Option<InputSchema>,
    pub(super) digest: String,
    pub(super) split_digest: String,
    pub(super) report: DataReport,
    pub(super) judged_by: Split,
    pub(super) monitor: Monitor,
    pub(super) notes: Vec<String>,
    pub(super) all_tasks: Vec<String>,
}

pub(super) fn with_rows(plan: &Plan, rows: &RowsPlan, device: Device) -> Result<Loaded> {
    let loaded = rows.data.load(&plan.folder).within("data")?;
    let judged_by = match &loaded.splits {
        TaskSplits { test: Some(_), .. } => Split::Test,
        TaskSplits { validation: Some(_), .. } => Split::Validation,
        _ => Split::Train,
    };
    let tasks = rows.describe(loaded.tasks)?;
    let all = tasks.clone();
    let (splits, tasks) = selected(rows, loaded.splits, tasks)?;
    let (monitor, note) = plan.monitor(&all, &tasks)?;
    let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
    let report = loaded.report.of_tasks(&names);
    let network = rows.network.build(&loaded.inputs, &tasks, plan.precision);
    let network = network.within("network")?;
    let names = |tasks: &[Task]| tasks.iter().map(|task| task.name.clone()).collect::<Vec<_>>();
    let aggregator = plan.aggregator.build_for_some(&names(&tasks), &names(&all));
    let needs = aggregator.within("aggregator")?.needs();
    let streams = splits.train.streams();
    let batch = streams.iter().map(|count| (*count as usize).min(rows.batches.size)).sum();
    plan.check_step_memory(network.layout(), (batch, &loaded.inputs.shape(0)), (&needs, tasks.len()))?;
    let problem = MultiTaskProblem::new(network, tasks, splits.to_device(device)?, rows.batches)?;
    let problem = match &rows.balance {
        Some(task) => problem.balanced_by(task).within(["training", "balance"])?,
        None => problem,
    };
    let problem = Box::new(problem.executed(rows.execution));
    let notes = note.into_iter().chain(of_repeats(&problem)?).chain(of_balance(&problem, rows)).collect();
    Ok(Loaded {
        problem,
        schema: loaded.schema,
        digest: loaded.digest,
        split_digest: loaded.split_digest,
        report,
        judged_by,
        monitor,
        notes,
        all_tasks: all.into_iter().map(|task| task.name).collect(),
    })
}

/// How often rows of each class are seen, where batches are balanced.
fn of_balance(problem: &MultiTaskProblem, rows: &RowsPlan) -> Option<String> {
    let task = rows.balance.as_ref()?;
    let each = problem.balance().into_iter().map(|(count, times)| format!("{count} rows {times:.2} times"));
    Some(format!(
        "note: batches have as many rows of each class of `{task}`: in an epoch {}",
        each.collect::<Vec<_>>().join(", ")
    ))
}

/// What is to be said of tasks whose rows are seen much more often than those of others.
fn of_repeats(problem: &MultiTaskProblem) -> Result<Option<String>> {
    const OFTEN: f64 = 10.0;
    const NAMED: usize = 3;
    let repeats = problem.repeats()?;
    let mut often: Vec<(&String, f64)> =
        problem.tasks().iter().zip(repeats).filter(|(_, times)| *times > OFTEN).collect();
    often.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    let Some((_, most)) = often.first() else { return Ok(None) };
    let names: Vec<String> = often.iter().take(NAMED).map(|(name, _)| format!("`{name}`")).collect();
    let more = often.len() - names.len();
    let more = if more > 0 { format!(" and {more} more tasks") } else { String::new() };
    Ok(Some(format!(
        "note: the rows of {}{more} are seen up to {most:.0} times in an epoch, since all tasks have as many in a batch; set task_sampling = \"proportional\" to see each once",
        names.join(", ")
    )))
}

pub(super) fn with_episodes(plan: &Plan, episodes: &EpisodesPlan, device: Device) -> Result<Loaded> {
    let loaded = episodes.source.load(&plan.folder, device).within("data")?;
    let form = EpisodeForm { input: loaded.input, output: loaded.output, outputs: loaded.outputs };
    let pretraining = plan.pretraining(episodes, Some(form.output))?;
    let pretraining = pretraining.map(|pretraining| {
        let classes = loaded.source.class_pool(Split::Train).map(|(pool, _)| pool.classes() as i64);
        let missing = || Failure::setting("data", "[pretraining] on tasks that are not drawn from classes");
        Ok::<_, Failure>((pretraining, classes.ok_or_else(missing)?))
    });
    let model = episodes.build(&form, pretraining.transpose()?, plan.precision)?;
    let loss = match loaded.output {
        Output::Regression => Loss::Mse,
        Output::Multiclass => Loss::CrossEntropy { class_weights: None, label_smoothing: 0.0 },
        Output::Binary | Output::Multilabel => Loss::BinaryCrossEntropy { positive_weight: None },
    };
    let problem = MetaProblem::new(model, loaded.source, loss, episodes.settings)?;
    let monitor = plan.training.monitor.clone().unwrap_or_default();
    monitor.read(&problem.evaluation_schema()).within(["training", "monitor"])?;
    Ok(Loaded {
        all_tasks: problem.tasks().to_vec(),
        problem: Box::new(problem),
        schema: loaded.schema,
        split_digest: loaded.split_digest,
        digest: loaded.digest,
        report: if plan.training.trains_nothing() { loaded.report.of_no_training() } else { loaded.report },
        judged_by: Split::Test,
        monitor,
        notes: Vec::new(),
    })
}

/// The tasks that `only_tasks` leaves, with their rows.
fn selected(plan: &RowsPlan, splits: TaskSplits, tasks: Vec<Task>) -> Result<(TaskSplits, Vec<Task>)> {
    if plan.only.is_empty() {
        return Ok((splits, tasks));
    }
    let kept = plan.kept(tasks);
    let names: Vec<&str> = kept.iter().map(|task| task.name.as_str()).collect();
    Ok((splits.select(&names)?, kept))
}
