//! What commands that train several runs have in common: from a configuration to a study, and on to its answer.

use std::path::Path;

use manytask_tensor::Device;
use manytask_tensor::ShownPath as _;

use super::train::{effective, name_for};
use crate::config::Source;
use crate::data::Detail;
use crate::digest::digest;
use crate::experiment::Experiment;
use crate::failure::{Failure, Result};
use crate::invocation::{program, quoted};
use crate::plan::Plan;
use crate::progress::Display;
use crate::registries::Registries;
use crate::report::say;
use crate::run::Exact;
use crate::study::{Begun, Conducted, Lost, Member, Spec, Stage, Study, conduct, jobs_and_threads};

/// What a study is to be.
pub(super) struct Wanted<'a> {
    pub(super) config: &'a Path,
    /// Changes of the configuration that all members have.
    pub(super) overrides: &'a [String],
    pub(super) runs: &'a Path,
    pub(super) name: Option<&'a str>,
    /// Behind the configuration's name, where none is given.
    pub(super) ending: &'a str,
    pub(super) jobs: Option<usize>,
    pub(super) display: Display,
}

/// A configuration whose data were read once, so that what is wrong with either is said before anything is trained.
pub(super) struct Looked {
    pub(super) source: Source,
    pub(super) experiment: Experiment,
    /// The threads that are asked for, if any.
    threads: Option<usize>,
}

/// Reads the configuration of a member with its data, and says what `train` would say of them.
///
/// # Errors
/// Those of `train` before its first step.
pub(super) fn look(wanted: &Wanted<'_>, member: &[String], registries: &Registries) -> Result<Looked> {
    let source = Source::read(wanted.config, wanted.overrides)?;
    // The whole without the member's changes first: its mistakes are the user's.
    Plan::read(&source, registries)?;
    let plan = Plan::read(&source.with(member)?, registries)?;
    let threads = plan.threads;
    let experiment = Experiment::load(plan)?;
    experiment.trainer()?;
    experiment.say_data(if wanted.display == Display::Silent { Detail::Notes } else { Detail::Full });
    Ok(Looked { source, experiment, threads })
}

/// How the members of a study are trained, so many at a time.
pub(super) type Conduct = fn(&Study, usize, Display) -> Result<Conducted>;

/// All members to their end.
///
/// # Errors
/// When a process cannot be started, or this one is interrupted.
pub(super) fn whole(study: &Study, jobs: usize, display: Display) -> Result<Conducted> {
    conduct(study, &Stage::whole(study), jobs, display)
}

/// Trains what a study has not yet; `report` answers its question of the members that have a result, given those that have none.
///
/// # Errors
/// When its folder cannot be had, a member failed (with its exit code, after the answer of the others), or it is interrupted.
pub(super) fn train(
    wanted: &Wanted<'_>,
    looked: Looked,
    spec: &Spec,
    how: Conduct,
    report: impl FnOnce(&Study, &[Lost]) -> Result<()>,
) -> Result<()> {
    let Looked { source, experiment, threads } = looked;
    let processors = crate::threads::usual();
    let jobs = wanted.jobs.or_else(|| (experiment.device != Device::Cpu).then_some(1));
    let (jobs, threads) = jobs_and_threads(jobs, threads, spec.members.len(), processors);
    let (name, exact) = match wanted.name {
        Some(name) => (name.to_owned(), Exact::Yes),
        None => (format!("{}-{}", name_for(wanted.config), wanted.ending), Exact::No),
    };
    let (base, _) =
        effective(&source, experiment.data_folder(), (threads, experiment.device), &wanted.runs.join(&name))?;
    drop(experiment);
    let (study, begun) = Study::take(wanted.runs, &name, exact, &base, spec)?;
    say(&format!("study: {}", study.path().shown()));
    if begun == Begun::Before {
        say("note: this study was begun before: it goes on");
    }
    say(&format!("{} runs, {jobs} at a time in {threads} threads each", spec.members.len()));
    finish(&study, (jobs, wanted.display), how, report)
}

/// Continues a study, as `manytask resume` does.
///
/// # Errors
/// As [`train`].
pub(super) fn resume(
    path: &Path,
    jobs: Option<usize>,
    display: Display,
    registries: &Registries,
    how: Conduct,
    report: impl FnOnce(&Study, &[Lost]) -> Result<()>,
) -> Result<()> {
    let study = Study::open(path)?;
    let source = Source::read(&study.base(), &[])?;
    let plan = Plan::read(&source, registries)?;
    let jobs = jobs.or_else(|| plan.device.resolve().is_ok_and(|device| device != Device::Cpu).then_some(1));
    let (jobs, _) = jobs_and_threads(jobs, plan.threads, study.spec.members.len(), crate::threads::usual());
    finish(&study, (jobs, display), how, report)
}

fn finish(
    study: &Study,
    (jobs, display): (usize, Display),
    how: Conduct,
    report: impl FnOnce(&Study, &[Lost]) -> Result<()>,
) -> Result<()> {
    let Conducted { lost } = how(study, jobs, display)?;
    report(study, &lost)?;
    failed(study, &lost)
}

/// Ends with the exit code of the first member that failed.
fn failed(study: &Study, lost: &[Lost]) -> Result<()> {
    let Some(first) = lost.first() else { return Ok(()) };
    let what = format!(
        "{} of {} runs of {} failed, the first is {}: {}",
        lost.len(),
        study.spec.members.len(),
        study.path().shown(),
        first.member.name,
        first.why
    );
    let log = study.log_of(&first.member);
    let again = format!("`{} resume {}` tries them again", program(), quoted(study.path()));
    Err(Failure::new(first.code, what).hint(format!("{} has all that it said; {again}", log.shown())))
}

/// The seeds of so many repetitions: that of the configuration and those behind it.
pub(super) fn seeds(first: u64, count: u64) -> Vec<u64> {
    (0..count).map(|number| first.wrapping_add(number)).collect()
}

/// A run of a study.
pub(super) fn member(
    variant: &str,
    fold: Option<(usize, usize)>,
    seed: u64,
    mut overrides: Vec<String>,
) -> Member {
    let mut name = Vec::new();
    if !variant.is_empty() {
        name.push(file_name(variant));
    }
    if let Some((index, count)) = fold {
        name.push(format!("fold-{index}"));
        overrides.push(format!("data.fold={{ index = {index}, count = {count} }}"));
    }
    name.push(format!("seed-{seed}"));
    overrides.push(format!("seed={seed}"));
    Member {
        name: name.join("_"),
        variant: variant.to_owned(),
        fold: fold.map(|(index, _)| index),
        seed,
        overrides,
    }
}

/// A text as the name of a folder: other signs than letters, digits, `-` and `.` become `-`, and a digest tells apart what this
/// makes equal.
fn file_name(text: &str) -> String {
    const LONGEST: usize = 60;
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') { c } else { '-' };
    let name: String = text.chars().map(plain).take(LONGEST).collect();
    if name == text && !name.starts_with('.') {
        return name;
    }
    let digest = digest(text.as_bytes());
    format!("{}-{}", name.trim_start_matches('.'), digest.get(..6).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_names_that_folders_can_have() {
        let run = member("", Some((2, 5)), 7, Vec::new());
        assert_eq!(run.name, "fold-2_seed-7");
        assert_eq!(run.overrides, ["data.fold={ index = 2, count = 5 }", "seed=7"]);
        assert_eq!(member("cagrad", None, 1, Vec::new()).name, "cagrad_seed-1");
        let odd =
            [member("alone a/b", None, 1, Vec::new()).name, member("alone a?b", None, 1, Vec::new()).name];
        assert!(
            odd.iter().all(|name| name.starts_with("alone-a-b-") && name.ends_with("_seed-1")),
            "{odd:?}"
        );
        assert_ne!(odd.first(), odd.last());
    }
}
