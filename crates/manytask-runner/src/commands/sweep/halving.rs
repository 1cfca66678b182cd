//! Successive halving (Jamieson & Talwalkar 2016): all points train a little, the better ones go on.
//!
//! A point that goes on is a run that was paused and is resumed, so that it ends with the bytes of one that was trained at once. Which go
//! on is a function of what the runs have written on the validation split, so that an interrupted study answers as one that was not.

use super::answer::{Stopped, Trials, mean_ranks, primary};
use crate::commands::studies::Looked;
use crate::failure::{Code, Failure, Result};
use crate::progress::Display;
use crate::report::say;
use crate::run::{Split, records_of, validation_of};
use crate::study::{Conducted, Halving, Lost, Member, Stage, State, Study, conduct};

/// Keys that change how long a step or a training is, or when it looks at the validation split.
const FIXED: [&str; 6] = [
    "training.epochs",
    "training.steps",
    "training.batch_size",
    "training.tasks_per_step",
    "training.validate_every",
    "training.last_batch",
];

/// The rungs for so many points, of which one in `eta` goes on at each.
///
/// # Errors
/// When the validation split is not looked at, or a key is swept that changes what a step is.
pub(super) fn planned(eta: u64, points: usize, keys: &[String], looked: &Looked) -> Result<Halving> {
    if let Some(key) = keys.iter().find(|key| FIXED.iter().any(|fixed| key.starts_with(fixed))) {
        let what = format!("--halving compares after the same steps, and `{key}` changes what these are");
        return Err(Failure::new(Code::Usage, what).hint("give it one value, or leave --halving out"));
    }
    let training = &looked.experiment.training;
    let Some(every) = training.validate_every else {
        let what = "--halving compares on the validation split, which this training does not look at";
        return Err(Failure::new(Code::Usage, what)
            .hint("set training.validate_every_steps or training.validate_every_epochs"));
    };
    let rungs = rungs(eta, points, training.steps, every);
    if rungs.is_empty() {
        let what = format!(
            "--halving={eta} stops none of {points} points: it halves while more than {eta} are left, at looks at the validation split before \
             the last of {} steps",
            training.steps
        );
        return Err(Failure::new(Code::Usage, what)
            .hint("give it more points, a smaller N, or more looks, or leave --halving out"));
    }
    Ok(Halving { eta, rungs, tasks: looked.experiment.problem.evaluation_schema().tasks })
}

/// Steps at which points stop until no more than `eta` are left: multiples of `every` near `steps` over powers of `eta`.
fn rungs(eta: u64, points: usize, steps: u64, every: u64) -> Vec<u64> {
    let mut count = 0;
    let mut left = points as u64;
    while left > eta {
        left = left.div_ceil(eta);
        count += 1;
    }
    let step = |power: u32| {
        let share = steps / eta.saturating_pow(power).max(1);
        share.div_ceil(every).max(1).saturating_mul(every)
    };
    let mut rungs: Vec<u64> = (1..=count).rev().map(step).filter(|step| *step < steps).collect();
    rungs.dedup();
    rungs
}

/// Trains the members of a sweep: all to their end, or those that go on where it halves.
///
/// # Errors
/// When a process cannot be started, or this one is interrupted.
pub(in crate::commands) fn conducted(study: &Study, jobs: usize, display: Display) -> Result<Conducted> {
    let Some(halving) = &study.spec.halving else {
        return conduct(study, &Stage::whole(study), jobs, display);
    };
    let mut lost: Vec<Lost> = Vec::new();
    let mut names = names(study);
    for &step in &halving.rungs {
        let mut waiting = Vec::new();
        for member in members(study, &names) {
            let failed = lost.iter().any(|lost| lost.member.name == member.name);
            if !failed && !has_reached(study, &member, step)? {
                waiting.push(member);
            }
        }
        if !waiting.is_empty() {
            say(&format!("{} points to step {step}", names.len()));
            let stage = Stage { members: waiting, until: Some(step) };
            lost.extend(conduct(study, &stage, jobs, display)?.lost);
        }
        names = going_on(study, halving, step, names)?;
    }
    say(&format!("{} points to the end", names.len()));
    let mut last = members(study, &names);
    last.retain(|member| !lost.iter().any(|lost| lost.member.name == member.name));
    lost.extend(conduct(study, &Stage { members: last, until: None }, jobs, display)?.lost);
    Ok(Conducted { lost })
}

/// The points that did not go on because others were better; not those of which a member failed.
///
/// # Errors
/// When what the runs have written cannot be read.
pub(super) fn stopped(study: &Study, lost: &[Lost]) -> Result<Vec<Stopped>> {
    let Some(halving) = &study.spec.halving else { return Ok(Vec::new()) };
    let (mut names, mut stopped) = (names(study), Vec::new());
    for &step in &halving.rungs {
        let next = going_on(study, halving, step, names.clone())?;
        let failed = |name: &String| lost.iter().any(|lost| lost.member.variant == *name);
        let gone = names.into_iter().filter(|name| !next.contains(name) && !failed(name));
        stopped.extend(gone.map(|name| Stopped { name, step }));
        names = next;
    }
    Ok(stopped)
}

/// The points, in the order of their members.
fn names(study: &Study) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for member in &study.spec.members {
        if !names.contains(&member.variant) {
            names.push(member.variant.clone());
        }
    }
    names
}

fn members(study: &Study, names: &[String]) -> Vec<Member> {
    study.spec.members.iter().filter(|member| names.contains(&member.variant)).cloned().collect()
}

/// Whether a member has looked at the validation split after these steps, or has ended before.
fn has_reached(study: &Study, member: &Member, step: u64) -> Result<bool> {
    let run = study.run_of(member);
    Ok(match State::of(&run)? {
        State::Finished(_) => true,
        State::Absent => false,
        State::Begun => last_look(study, member, u64::MAX)?.is_some_and(|last| last >= step),
    })
}

/// The last look of a member at the validation split up to these steps.
fn last_look(study: &Study, member: &Member, most: u64) -> Result<Option<u64>> {
    let records = records_of(&study.run_of(member))?;
    let looks = records.iter().filter(|record| record.split == Split::Validation);
    Ok(looks.map(|record| record.step).filter(|step| *step <= most).max())
}

/// The points that go on after a rung, by the mean rank over tasks and repetitions, the first where ranks are equal.
fn going_on(study: &Study, halving: &Halving, step: u64, names: Vec<String>) -> Result<Vec<String>> {
    let mut points: Vec<(String, Trials)> =
        names.iter().map(|name| (name.clone(), Trials::default())).collect();
    for member in members(study, &names) {
        let Some(look) = last_look(study, &member, step)? else { continue };
        let seen = validation_of(&study.run_of(&member), look, &halving.tasks)?;
        if let Some((_, trials)) = points.iter_mut().find(|(name, _)| *name == member.variant) {
            trials.see(&member, seen);
        }
    }
    let ranks = mean_ranks(&points, &primary(&halving.tasks), true);
    let mut order: Vec<(f64, usize)> =
        ranks.iter().enumerate().map(|(place, rank)| (rank.unwrap_or(f64::INFINITY), place)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    order.truncate((names.len() as u64).div_ceil(halving.eta) as usize);
    let kept = |place: &usize| order.iter().any(|(_, own)| own == place);
    Ok(names.into_iter().enumerate().filter(|(place, _)| kept(place)).map(|(_, name)| name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rungs_are_multiples_of_looks_below_the_last_step() {
        assert_eq!(rungs(3, 27, 900, 10), [100, 300]);
        assert_eq!(rungs(2, 8, 75, 4), [20, 40]);
        // Where looks are too rare for a rung of its own, two are one.
        assert_eq!(rungs(3, 27, 90, 30), [30]);
        assert_eq!(rungs(3, 3, 90, 30), Vec::<u64>::new());
        assert_eq!(rungs(3, 9, 20, 30), Vec::<u64>::new());
    }
}
