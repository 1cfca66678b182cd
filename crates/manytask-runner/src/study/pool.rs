//! Training the members of a study in processes of their own, some at a time.
//!
//! A member runs the command `train` or `resume`, as a user could. Its standard input is a pipe that ends with this process,
//! however that ends: then the member saves its state and ends, too (`--supervised`).

use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use manytask_tensor::ShownPath as _;

use super::{Member, State, Study};
use crate::failure::{Code, Failure, Result};
use crate::progress::Display;
use crate::report::say;
use crate::signals::Signals;

/// How often the processes are looked at.
const INTERVAL: Duration = Duration::from_millis(25);

/// What came of training the members.
#[derive(Debug)]
pub(crate) struct Conducted {
    /// The members that have no result, and why.
    pub(crate) lost: Vec<Lost>,
}

/// What of a study is trained now.
#[derive(Debug)]
pub(crate) struct Stage {
    /// These members, in this order, where they have no result yet.
    pub(crate) members: Vec<Member>,
    /// After how many steps they pause; `None`: they train to their end.
    pub(crate) until: Option<u64>,
}

impl Stage {
    /// All members to their end.
    pub(crate) fn whole(study: &Study) -> Self {
        Self { members: study.spec.members.clone(), until: None }
    }
}

/// A member without a result.
#[derive(Debug)]
pub(crate) struct Lost {
    pub(crate) member: Member,
    pub(crate) code: Code,
    pub(crate) why: String,
}

/// A member at work.
struct Process {
    member: Member,
    child: Child,
    /// Its end is the wish that the member ends.
    stdin: Option<ChildStdin>,
    began: Instant,
}

/// How many members train at once, and in how many threads each: the processors are shared out where nothing else is asked
/// for.
pub(crate) fn jobs_and_threads(
    jobs: Option<usize>,
    threads: Option<usize>,
    members: usize,
    processors: usize,
) -> (usize, usize) {
    let most = members.max(1);
    match (jobs, threads) {
        (Some(jobs), Some(threads)) => (jobs.clamp(1, most), threads),
        (Some(jobs), None) => (jobs.clamp(1, most), (processors / jobs.clamp(1, most)).max(1)),
        (None, Some(threads)) => ((processors / threads.max(1)).clamp(1, most), threads),
        (None, None) => {
            let jobs = processors.clamp(1, most);
            (jobs, (processors / jobs).max(1))
        }
    }
}

/// Trains the members of a stage that have no result yet, `jobs` at a time. A member that fails does not end the others.
///
/// # Errors
/// When a process cannot be started, or this one is interrupted: the members have saved their states then.
pub(crate) fn conduct(study: &Study, stage: &Stage, jobs: usize, display: Display) -> Result<Conducted> {
    let (mut finished, mut open) = study.finished()?;
    let concerned = |member: &Member| stage.members.iter().any(|own| own.name == member.name);
    finished.retain(|(member, _)| concerned(member));
    open.retain(concerned);
    let all = stage.members.len();
    if !finished.is_empty() && !open.is_empty() {
        say(&format!("note: {} of {all} runs are finished, they are not trained again", finished.len()));
    }
    let signals = Signals::listen()?;
    let began = Instant::now();
    let (mut working, mut lost, mut done): (Vec<Process>, Vec<Lost>, usize) = Default::default();
    let total = open.len();
    open.reverse();
    loop {
        let stop = signals.received();
        while stop.is_none() && working.len() < jobs {
            let Some(member) = open.pop() else { break };
            working.push(start(study, member, stage.until)?);
        }
        if working.is_empty() {
            break;
        }
        if stop.is_some() {
            for process in &mut working {
                process.stdin = None;
            }
        }
        for process in take_ended(&mut working)? {
            done += 1;
            let ended = ended(study, process, stage.until)?;
            if display != Display::Silent && stop.is_none() {
                say(&line(&ended, (all - total + done, all), began.elapsed(), (done, total)));
            }
            lost.extend(ended.lost);
        }
        std::thread::sleep(INTERVAL);
    }
    match signals.received() {
        Some(code) => {
            let what = format!("interrupted, the states of the runs in {} are saved", study.path().shown());
            Err(Failure::new(Code::Interrupted(code), what).hint(study.continuation()))
        }
        None => Ok(Conducted { lost }),
    }
}

fn start(study: &Study, member: Member, until: Option<u64>) -> Result<Process> {
    let run = study.run_of(&member);
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    match State::of(&run)? {
        State::Absent => {
            command.arg("train").arg(study.base()).args(&member.overrides);
            command.arg("--runs").arg(study.members()).args(["--name", &member.name]);
        }
        State::Begun | State::Finished(_) => {
            command.arg("resume").arg(&run);
        }
    }
    command.args(["--quiet", "--supervised"]);
    if let Some(step) = until {
        command.args(["--until", &step.to_string()]);
    }
    let log = fs_err::OpenOptions::new().create(true).append(true).open(study.log_of(&member))?;
    let (log, _) = log.into_parts();
    command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn()?;
    let stdin = child.stdin.take();
    Ok(Process { member, child, stdin, began: Instant::now() })
}

/// Takes the processes out that have ended, with their exit codes; `None` is one that a signal has ended.
fn take_ended(working: &mut Vec<Process>) -> Result<Vec<(Process, Option<i32>)>> {
    let (mut ended, mut rest) = (Vec::new(), Vec::new());
    for mut process in working.drain(..) {
        match process.child.try_wait()? {
            Some(status) => ended.push((process, status.code())),
            None => rest.push(process),
        }
    }
    *working = rest;
    Ok(ended)
}

/// A member whose process has ended.
struct Ended {
    name: String,
    took: Duration,
    score: Option<String>,
    lost: Option<Lost>,
}

fn ended(study: &Study, (process, code): (Process, Option<i32>), until: Option<u64>) -> Result<Ended> {
    let Process { member, began, .. } = process;
    let (name, took) = (member.name.clone(), began.elapsed());
    if let (Some(0), State::Finished(finished)) = (code, State::of(&study.run_of(&member))?) {
        let evaluation = finished.results.evaluation();
        let primary = evaluation.tasks.first().and_then(|task| task.metrics.first());
        let score = primary.and_then(|(name, _)| {
            let of = if evaluation.tasks.len() > 1 { "mean " } else { "" };
            Some(format!("{of}{name} {}", crate::report::number(evaluation.mean(name)?)))
        });
        return Ok(Ended { name, took, score, lost: None });
    }
    if code == Some(0) && until.is_some() {
        return Ok(Ended { name, took, score: None, lost: None });
    }
    let why = last_error(study, &member).unwrap_or_else(|| match code {
        Some(code) => format!("ended with exit code {code}"),
        None => "was ended by the system, perhaps for want of memory".to_owned(),
    });
    let code = code.map_or(Code::Data, |code| Code::of(code).unwrap_or(Code::Bug));
    Ok(Ended { name, took, score: None, lost: Some(Lost { member, code, why }) })
}

/// The last error that a member's log tells of.
fn last_error(study: &Study, member: &Member) -> Option<String> {
    let log = fs_err::read(study.log_of(member)).ok()?;
    let log = String::from_utf8_lossy(&log).into_owned();
    let line = log.lines().rev().find_map(|line| line.strip_prefix("error: "));
    line.map(str::to_owned)
}

/// What is said of a member that has ended, with the time that the rest will take.
fn line(
    ended: &Ended,
    (number, all): (usize, usize),
    elapsed: Duration,
    (done, total): (usize, usize),
) -> String {
    let result = match (&ended.lost, &ended.score) {
        (Some(lost), _) => format!("failed: {}", lost.why),
        (None, Some(score)) => score.clone(),
        (None, None) => "done".to_owned(),
    };
    let left = elapsed.mul_f64(total.saturating_sub(done) as f64 / done.max(1) as f64);
    let left = if done < total { format!(", about {} left", span(left)) } else { String::new() };
    format!("[{number}/{all}] {}: {result}, {}{left}", ended.name, span(ended.took))
}

/// A time in words, such as `3 min`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 10.0 => format!("{s:.1} s"),
        s if s < 100.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_shared_out_among_the_members() {
        for (jobs, threads, members, processors, both) in [
            (None, None, 15, 8, (8, 1)),
            (None, None, 5, 64, (5, 12)),
            (None, Some(4), 15, 64, (15, 4)),
            (None, Some(4), 15, 8, (2, 4)),
            (None, Some(8), 3, 2, (1, 8)),
            (Some(2), None, 15, 8, (2, 4)),
            (Some(100), None, 3, 2, (3, 1)),
            (Some(2), Some(3), 5, 1, (2, 3)),
        ] {
            assert_eq!(
                jobs_and_threads(jobs, threads, members, processors),
                both,
                "{jobs:?} {threads:?} {members}"
            );
        }
    }

    #[test]
    fn times_are_told_in_fitting_units() {
        let of = |seconds: f64| span(Duration::from_secs_f64(seconds));
        assert_eq!([of(1.25), of(42.0), of(600.0), of(7200.0)], ["1.2 s", "42 s", "10 min", "2.0 h"]);
    }
}
