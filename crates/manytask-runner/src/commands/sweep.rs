//! `manytask train CONFIG KEY=A,B,…`: a training for each of several values of some keys, and which is best.

mod answer;
mod axes;
mod halving;

use manytask_tensor::ShownPath as _;

use self::answer::Answer;
use self::axes::{Axis, Point};
pub(super) use self::halving::conducted;
use super::studies::{self, Wanted, look, member, seeds};
use super::train::overrides;
use crate::cli::TrainArgs;
use crate::config::Source;
use crate::failure::{Code, Failure, Result};
use crate::invocation::{program, quoted};
use crate::plan::Plan;
use crate::registries::Registries;
use crate::report::{print, say};
use crate::study::{Lost, Question, Spec, Study};

/// Points beyond which a grid is a mistake.
const MOST: usize = 10_000;

/// Whether the arguments ask for several values of a key.
pub(super) fn is_asked_for(arguments: &TrainArgs) -> bool {
    arguments.random.is_some() || arguments.halving.is_some() || !axes::of(&arguments.overrides).1.is_empty()
}

/// `manytask train` with several values of keys.
pub(super) fn sweep(arguments: &TrainArgs, registries: &Registries) -> Result<()> {
    let (plain, axes) = axes::of(&arguments.overrides);
    if axes.is_empty() {
        return Err(Failure::new(
            Code::Usage,
            "--random and --halving are of a sweep, and no key has several values",
        )
        .hint("write some, such as optimizer.learning_rate=1e-4..1e-2 network.trunk.dropout=0.0,0.2"));
    }
    // The options that are changes themselves are those of all members.
    let common = overrides(&TrainArgs { overrides: plain, ..arguments.clone() })?;
    let source = Source::read(&arguments.config, &common)?;
    let seed = Plan::read(&source, registries)?.seed;
    let points = points(&axes, arguments.random, seed)?;
    let wanted = Wanted {
        config: &arguments.config,
        overrides: &common,
        runs: &arguments.runs,
        name: arguments.name.as_deref(),
        ending: "sweep",
        jobs: arguments.jobs,
        display: arguments.progress.display(),
    };
    check(&points, &source, registries)?;
    if arguments.folds.is_some() {
        super::repeat::has_folds(&source, &Plan::read(&source, registries)?)?;
    }
    let folds: Vec<Option<(usize, usize)>> = match arguments.folds {
        None => vec![None],
        Some(count) => (0..count as usize).map(|index| Some((index, count as usize))).collect(),
    };
    let seeds = seeds(seed, arguments.seeds.unwrap_or(1));
    let repeats: Vec<(u64, Option<(usize, usize)>)> =
        seeds.iter().flat_map(|seed| folds.iter().map(|fold| (*seed, *fold))).collect();
    let members = repeats.iter().flat_map(|(seed, fold)| {
        points.iter().map(|point| member(&point.name, *fold, *seed, point.overrides.clone()))
    });
    let mut spec = Spec::new(Question::Sweep, members);
    let first = spec.members.first().map(|member| member.overrides.as_slice()).unwrap_or_default();
    let looked = look(&wanted, first, registries)?;
    if let Some(eta) = arguments.halving {
        let keys: Vec<String> = axes.iter().map(Axis::key).collect();
        spec.halving = Some(halving::planned(eta, points.len(), &keys, &looked)?);
    }
    if arguments.dry_run {
        say(&format!("{} runs would be trained; nothing was written", spec.members.len()));
        return Ok(());
    }
    studies::train(&wanted, looked, &spec, conducted, report)
}

fn points(axes: &[Axis], random: Option<u64>, seed: u64) -> Result<Vec<Point>> {
    if let Some(what) = axes.iter().find_map(Axis::mistake) {
        return Err(
            Failure::new(Code::Usage, what).hint("give each value once, and a range from the lower end")
        );
    }
    if let Some(count) = random {
        for axis in axes.iter().filter(|axis| axis.is_whole()) {
            let shown = axis.shown();
            say(&format!("note: `{shown}` is drawn among whole numbers; with a point, as in 1.0, among all"));
        }
        let points = axes::drawn(axes, count, seed);
        if (points.len() as u64) < count {
            say(&format!("note: there are {} combinations, all of which are taken", points.len()));
        }
        return Ok(points);
    }
    if let Some(range) = axes.iter().find(|axis| axis.is_range()) {
        let what = format!("`{}` is a range, of which a grid has no end", range.shown());
        return Err(Failure::new(Code::Usage, what)
            .hint("list values with commas between, or draw some with --random N"));
    }
    match axes::combinations(axes).filter(|count| *count <= MOST) {
        Some(_) => Ok(axes::grid(axes)),
        None => Err(Failure::new(Code::Usage, format!("the grid has more than {MOST} points"))
            .hint("draw some of them with --random N")),
    }
}

/// Refuses a point that cannot be trained, before anything is trained.
fn check(points: &[Point], source: &Source, registries: &Registries) -> Result<()> {
    for point in points {
        let of_point = |failure: Failure| {
            let message = format!("{}: {}", point.name, failure.message);
            Failure { message, ..failure }.hint(
                "a comma stands between values of a sweep; put a text that has one in quotes, '\"a,b\"'",
            )
        };
        let member = source.with(&point.overrides).map_err(of_point)?;
        Plan::read(&member, registries).map_err(of_point)?.check().map_err(of_point)?;
    }
    Ok(())
}

/// Writes and says the answer of all members that have a result.
pub(super) fn report(study: &Study, lost: &[Lost]) -> Result<()> {
    let (finished, _) = study.finished()?;
    if finished.is_empty() {
        return Ok(());
    }
    let answer = Answer::of(study, &finished, lost, halving::stopped(study, lost)?)?;
    study.write_results(&answer)?;
    print(&format!("\n{}", answer.text()))?;
    for note in answer.notes() {
        say(&format!("note: {note}"));
    }
    let Some(best) = answer.best() else { return Ok(()) };
    let run = study.members().join(best);
    print(&format!("\nthe best is {}\n{} eval {}\n", run.shown(), program(), quoted(&run)))
}
