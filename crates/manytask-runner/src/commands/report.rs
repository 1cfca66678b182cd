//! `manytask report`: what runs came to, as a page that needs nothing but itself.

mod curves;
mod importance;
mod outputs;
mod study;
mod summary;
mod worst;

use std::path::{Path, PathBuf};

use manytask_multitask::{Split, TaskOutputs};
use manytask_tensor::ShownPath as _;
use manytask_tensor::io::write_atomically;

use super::changes::Purpose;
use super::destination::Destination;
use super::drive::name_of;
use super::opened::Opened;
use crate::cli::ReportArgs;
use crate::experiment::Experiment;
use crate::failure::{Code, Failure, Result};
use crate::html::{BEGINNING, Page};
use crate::postprocessing::Fitted;
use crate::registries::Registries;
use crate::report::say;
use crate::run::{RESULTS, Record, RunFolder, Which, is_study, read_json, records_of};
use crate::study::{MemberResults, Study, finished_of, run_of};
use manytask_tensor::Params;

/// The file in the folder of a run.
const FILE: &str = "report.html";
/// Runs that are shown one by one; the others are in the table alone.
const SHOWN: usize = 4;

/// A run as it is shown.
pub(super) struct Shown {
    opened: Opened,
    /// What its folder is called.
    name: String,
    results: Option<MemberResults>,
    records: Vec<Record>,
    /// What needs the data, where they are there.
    judged: Option<Judged>,
}

/// What a run predicts for the rows that its result is of.
struct Judged {
    experiment: Experiment,
    params: Params,
    split: Split,
    outputs: Vec<TaskOutputs>,
    fitted: Option<Fitted>,
}

/// `manytask report`.
pub(super) fn report(arguments: &ReportArgs, registries: &Registries) -> Result<()> {
    let is_change = |path: &&PathBuf| !path.exists() && path.to_string_lossy().contains('=');
    let (changes, named): (Vec<&PathBuf>, Vec<&PathBuf>) = arguments.runs.iter().partition(is_change);
    let changes: Vec<String> =
        changes.into_iter().map(|change| change.to_string_lossy().into_owned()).collect();
    let output = match (&arguments.output, named.as_slice()) {
        (Some(output), _) => output.clone(),
        (None, [one]) => one.join(FILE),
        (None, _) => FILE.into(),
    };
    // A run's own page is made anew, whatever version made it.
    if arguments.output.is_some() || named.len() > 1 {
        Destination { option: "--output", path: &output }.is_new_or_begins_with(BEGINNING)?;
    }
    let runs = runs_of(&named)?;
    let mut page = Page::new(&title(&named));
    let mut shown = Vec::new();
    for (number, run) in runs.iter().enumerate() {
        let wants = if number < SHOWN { Wants::All } else { Wants::Results };
        shown.push(Shown::new(run, &changes, wants, registries)?);
    }
    if shown.len() > 1 {
        summary::compare(&mut page, &shown);
    }
    for path in named.iter().filter(|path| is_study(path)) {
        study::of_study(&mut page, path)?;
    }
    for run in shown.iter().take(SHOWN) {
        if shown.len() > 1 {
            page.heading(&run.name);
        }
        section(&mut page, run, arguments)?;
    }
    if shown.len() > SHOWN {
        page.remark(&format!("The {} further runs are in the table above alone.", shown.len() - SHOWN));
    }
    write_atomically(&output, page.finish().as_bytes())?;
    say(&format!("the report is in {}; open it with a browser", output.shown()));
    Ok(())
}

/// How much of a run is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    All,
    Results,
}

impl Shown {
    fn new(run: &Path, changes: &[String], wants: Wants, registries: &Registries) -> Result<Self> {
        let opened = Opened::new(RunFolder::view(run)?, changes, Purpose::Eval)?;
        let results = run.join(RESULTS);
        let results = results.is_file().then(|| read_json::<MemberResults>(&results)).transpose()?;
        let mut shown =
            Self { name: name_of_run(run), records: records_of(run)?, opened, results, judged: None };
        if wants == Wants::All {
            match shown.judge(registries) {
                Ok(judged) => shown.judged = judged,
                Err(failure) if matches!(failure.code, Code::Data | Code::Checkpoint) => {
                    say(&format!("note: {}: its predictions are left out: {}", run.shown(), failure.message));
                    for hint in failure.hints {
                        say(&format!("  hint: {hint}"));
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(shown)
    }

    fn judge(&self, registries: &Registries) -> Result<Option<Judged>> {
        let experiment = self.opened.load(registries)?;
        let layout = experiment.problem.layout();
        let (params, step) = self.opened.folder.params(Which::Best, layout, experiment.device)?;
        let split = experiment.judged_by;
        let outputs = experiment.problem.outputs(&params, split)?;
        let fitted = self.opened.fitted(step)?;
        Ok(Some(Judged { experiment, params, split, outputs, fitted }))
    }
}

/// The runs that are named, those of a study as its members that have a result.
fn runs_of(named: &[&PathBuf]) -> Result<Vec<PathBuf>> {
    let mut runs = Vec::new();
    for path in named {
        if !is_study(path) {
            runs.push((*path).clone());
            continue;
        }
        let (mut finished, _) = finished_of(path, &Study::spec_of(path)?)?;
        let order = study::order(path)?;
        let place = |name: &str| order.iter().position(|own| own == name).unwrap_or(order.len());
        finished.sort_by_key(|(member, _)| place(&member.name));
        if finished.is_empty() {
            let what = format!("{}: no run of this study has a result yet", path.shown());
            return Err(Failure::new(Code::Data, what)
                .hint("let it end, with `manytask resume` if it was interrupted"));
        }
        runs.extend(finished.iter().map(|(member, _)| run_of(path, member)));
    }
    if runs.is_empty() {
        return Err(Failure::new(Code::Usage, "no run is named")
            .hint("name the folder of one, such as runs/quickstart"));
    }
    Ok(runs)
}

fn title(named: &[&PathBuf]) -> String {
    let names: Vec<String> = named.iter().take(SHOWN).map(|path| name_of_run(path)).collect();
    let more = named.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn name_of_run(path: &Path) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.file_name().map_or("run".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// All that is shown of one run.
fn section(page: &mut Page, run: &Shown, arguments: &ReportArgs) -> Result<()> {
    page.paragraph(&summary::asked(run)?);
    for paragraph in summary::found(run) {
        page.paragraph(&paragraph);
    }
    page.subheading("Results");
    summary::results(page, run);
    page.subheading("Training");
    curves::of_training(page, run);
    match &run.judged {
        None => page.remark("The data of this run were not at hand: plots of its predictions are left out."),
        Some(judged) if !judged.outputs.is_empty() => {
            page.subheading(&format!("Predictions for the {} split", name_of(judged.split)));
            outputs::of_tasks(page, judged);
            if !arguments.no_importances {
                importance::of_inputs(page, judged)?;
            }
            worst::of_tasks(page, judged)?;
        }
        Some(_) => {}
    }
    page.subheading("How it was made");
    summary::environment(page, run)
}
