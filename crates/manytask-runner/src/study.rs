//! Studies: many runs of one configuration that answer a question together, such as the folds of a cross-validation.
//!
//! The folder of a study has `base.toml`, the configuration that its members share, `study.json`, which says what each changes,
//! `members/NAME`, an ordinary run each, `logs/NAME.log`, and once all are trained `results.json`. A study is a function of the
//! first two files: what was killed is continued by the same command or by `manytask resume`, members that have their result
//! are not trained again, and the answer is the same.

mod member;
mod pool;

use std::path::{Path, PathBuf};

use manytask_multitask::TaskEvaluation;
use manytask_tensor::ShownPath as _;
use serde::{Deserialize, Serialize};

pub(crate) use self::member::{Finished, Member, MemberResults, State};
pub(crate) use self::pool::{Conducted, Lost, Stage, conduct, jobs_and_threads, span};
use crate::config::{Source, changed_keys};
use crate::failure::{Code, Failure, Result};
use crate::invocation::{program, quoted};
use crate::run::{Exact, RESULTS, RunFolder, STUDY, check_name, is_study, json, read_json};

/// The configuration that the members change.
pub(crate) const BASE: &str = "base.toml";
const MEMBERS: &str = "members";
const LOGS: &str = "logs";

/// What a study trains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// What it answers.
    pub(crate) question: Question,
    /// The runs, in the order of training.
    pub(crate) members: Vec<Member>,
    /// Of a front the losses below which its hypervolume is counted; empty where they are found from its points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) reference: Vec<f64>,
    /// Of a sweep, at which steps points stop; absent: all train to their end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) halving: Option<Halving>,
}

/// Successive halving: at each rung one point of so many goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Halving {
    /// Of how many points one goes on.
    pub(crate) eta: u64,
    /// After how many steps points are compared.
    pub(crate) rungs: Vec<u64>,
    /// The tasks with the metrics that are compared, without values.
    pub(crate) tasks: Vec<TaskEvaluation>,
}

impl Spec {
    /// These members, which answer a question.
    pub(crate) fn new(question: Question, members: impl Iterator<Item = Member>) -> Self {
        Self { question, members: members.collect(), reference: Vec::new(), halving: None }
    }
}

/// The members that have their result, and those that have not.
pub(crate) type Standing = (Vec<(Member, Finished)>, Vec<Member>);

/// What a study answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Question {
    /// How good a configuration is, over folds of the data, seeds or both.
    Repetition,
    /// Which strategy is best for several tasks, and whether any is better than a network for each task.
    Strategies,
    /// Which of several values of some settings are best.
    Sweep,
    /// Which losses of several tasks can be had together.
    Front,
}

/// The folder of a study, locked against other processes.
#[derive(Debug)]
pub(crate) struct Study {
    folder: RunFolder,
    pub(crate) spec: Spec,
}

/// Whether a study is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It was there, with the same members and configuration.
    Before,
    /// Its folder was made.
    Now,
}

impl Study {
    /// Opens a study to go on with it.
    ///
    /// # Errors
    /// When `study.json` is damaged (exit code 6), or another process works in the folder (7).
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let folder = RunFolder::lock(path.to_owned())?;
        let spec = Self::spec_of(path)?;
        Ok(Self { folder, spec })
    }

    /// What a study trains, without a lock.
    ///
    /// # Errors
    /// When `study.json` is damaged (exit code 6).
    pub(crate) fn spec_of(path: &Path) -> Result<Spec> {
        read_json(&path.join(STUDY))
    }

    /// The study `runs/NAME` of this configuration and these members: the one that is there, or a new one; where another one has
    /// the name and it was not chosen exactly, a number follows.
    ///
    /// # Errors
    /// When an exact name is taken by something else (exit code 2), the folder cannot be made (4), or another process works in
    /// it (7).
    pub(crate) fn take(
        runs: &Path,
        name: &str,
        exact: Exact,
        base: &str,
        spec: &Spec,
    ) -> Result<(Self, Begun)> {
        check_name(name)?;
        fs_err::create_dir_all(runs)?;
        for number in 1_u64.. {
            let path = runs.join(if number == 1 { name.to_owned() } else { format!("{name}-{number}") });
            let new = match fs_err::create_dir(&path) {
                Ok(()) => true,
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
                Err(_) => is_unbegun(&path),
            };
            if new {
                let folder = RunFolder::lock(path)?;
                folder.write(BASE, base.as_bytes())?;
                for inside in [MEMBERS, LOGS] {
                    fs_err::create_dir_all(folder.path().join(inside))?;
                }
                folder.write(STUDY, &json(spec)?)?;
                return Ok((Self { folder, spec: spec.clone() }, Begun::Now));
            }
            match difference(&path, base, spec)? {
                None => return Ok((Self::open(&path)?, Begun::Before)),
                Some(what) if exact == Exact::Yes => {
                    let what = format!("{} is there already, {what}", path.shown());
                    return Err(Failure::new(Code::Usage, what).hint("take another name"));
                }
                Some(_) => {}
            }
        }
        Err(Failure::new(Code::Data, format!("no name is left for {}", runs.join(name).shown())))
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a member's run.
    pub(crate) fn run_of(&self, member: &Member) -> PathBuf {
        run_of(self.path(), member)
    }

    /// The file that takes what a member says.
    pub(crate) fn log_of(&self, member: &Member) -> PathBuf {
        self.path().join(LOGS).join(format!("{}.log", member.name))
    }

    /// What the members share.
    pub(crate) fn base(&self) -> PathBuf {
        self.path().join(BASE)
    }

    /// Where the members' runs are.
    pub(crate) fn members(&self) -> PathBuf {
        self.path().join(MEMBERS)
    }

    /// Writes a file of the folder, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        self.folder.write(name, content)
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_results(&self, results: &impl Serialize) -> Result<()> {
        self.write(RESULTS, &json(results)?)
    }

    /// The members that have their result, and those that have not.
    ///
    /// # Errors
    /// When a member's files cannot be read.
    pub(crate) fn finished(&self) -> Result<Standing> {
        finished_of(self.path(), &self.spec)
    }

    /// The line that goes on with it.
    pub(crate) fn continuation(&self) -> String {
        format!("continue with `{} resume {}`", program(), quoted(self.path()))
    }
}

/// The folder of a member's run in a study.
pub(crate) fn run_of(study: &Path, member: &Member) -> PathBuf {
    study.join(MEMBERS).join(&member.name)
}

/// The members of a study that have their result, and those that have not.
///
/// # Errors
/// When a member's files cannot be read.
pub(crate) fn finished_of(study: &Path, spec: &Spec) -> Result<Standing> {
    let (mut finished, mut open) = (Vec::new(), Vec::new());
    for member in &spec.members {
        match State::of(&run_of(study, member))? {
            State::Finished(results) => finished.push((member.clone(), *results)),
            State::Absent | State::Begun => open.push(member.clone()),
        }
    }
    Ok((finished, open))
}

/// Whether a folder was made for a study that has not begun: it has nothing but what is written before `study.json`.
fn is_unbegun(path: &Path) -> bool {
    let ours = |name: &str| name == BASE || name == MEMBERS || name == LOGS || name.starts_with('.');
    fs_err::read_dir(path).is_ok_and(|mut entries| {
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(ours)))
    })
}

/// In what a folder is not the study that is asked for. The number of threads does not count: results do not depend on it.
fn difference(path: &Path, base: &str, spec: &Spec) -> Result<Option<String>> {
    if !is_study(path) {
        return Ok(Some("and is no study".to_owned()));
    }
    let found = Study::spec_of(path)?;
    let differs = [
        (found.question != spec.question, "which answers another question"),
        (found.members != spec.members, "with other members"),
        (found.halving != spec.halving, "which halves otherwise (--halving differs)"),
        (found.reference != spec.reference, "with another --reference"),
    ];
    if let Some((_, what)) = differs.into_iter().find(|(differs, _)| *differs) {
        return Ok(Some(what.to_owned()));
    }
    let own = path.join(BASE);
    let keys =
        changed_keys(&Source::read(&own, &[])?.effective()?, &Source::new(&own, base, &[])?.effective()?);
    let keys: Vec<String> = keys.into_iter().filter(|key| key != "threads").collect();
    Ok((!keys.is_empty()).then(|| format!("of another configuration (`{}` differs)", keys.join("`, `"))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(seeds: u64) -> Spec {
        let member = |seed| Member {
            name: format!("seed-{seed}"),
            variant: String::new(),
            fold: None,
            seed,
            overrides: vec![format!("seed={seed}")],
        };
        Spec::new(Question::Repetition, (0..seeds).map(member))
    }

    const BASE_TEXT: &str = "seed = 1\nthreads = 2\n[training]\nepochs = 3\n";

    #[test]
    fn the_same_study_is_taken_up_and_another_one_has_a_number() {
        let folder = tempfile::tempdir().unwrap();
        let take = |exact, base: &str, seeds| {
            Study::take(folder.path(), "s", exact, base, &spec(seeds))
                .map(|(study, begun)| (study.path().file_name().unwrap().to_str().unwrap().to_owned(), begun))
        };
        assert_eq!(take(Exact::No, BASE_TEXT, 2).unwrap(), ("s".into(), Begun::Now));
        assert_eq!(take(Exact::Yes, BASE_TEXT, 2).unwrap(), ("s".into(), Begun::Before));
        let fewer_threads = BASE_TEXT.replace("threads = 2", "threads = 1");
        assert_eq!(take(Exact::No, &fewer_threads, 2).unwrap(), ("s".into(), Begun::Before));
        assert_eq!(take(Exact::No, BASE_TEXT, 3).unwrap(), ("s-2".into(), Begun::Now));
        assert_eq!(take(Exact::No, BASE_TEXT, 3).unwrap(), ("s-2".into(), Begun::Before));
        let longer = BASE_TEXT.replace("epochs = 3", "epochs = 4");
        let refused = take(Exact::Yes, &longer, 2).unwrap_err();
        assert!(refused.message.contains("`training.epochs` differs"), "{refused}");
        assert_eq!(refused.code, Code::Usage);
        assert_eq!(take(Exact::No, &longer, 2).unwrap(), ("s-3".into(), Begun::Now));
        let halving = Some(Halving { eta: 3, rungs: vec![8], tasks: Vec::new() });
        let halved = Spec { halving, ..spec(2) };
        let refused = Study::take(folder.path(), "s", Exact::Yes, BASE_TEXT, &halved).unwrap_err();
        assert!(refused.message.contains("--halving differs"), "{refused}");
    }

    #[test]
    fn a_study_that_another_process_works_in_is_left_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Study::take(folder.path(), "s", Exact::No, BASE_TEXT, &spec(1)).unwrap();
        let second = Study::take(folder.path(), "s", Exact::No, BASE_TEXT, &spec(1)).unwrap_err();
        assert_eq!(second.code, Code::InUse);
        drop(first);
        assert!(Study::open(&folder.path().join("s")).is_ok());
    }

    #[test]
    fn a_folder_in_which_nothing_has_begun_is_taken_over_and_any_other_is_not() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(folder.path().join("s").join(MEMBERS)).unwrap();
        let take =
            |name| Study::take(folder.path(), name, Exact::Yes, BASE_TEXT, &spec(1)).map(|taken| taken.1);
        assert_eq!(take("s").unwrap(), Begun::Now);
        fs_err::create_dir(folder.path().join("t")).unwrap();
        fs_err::write(folder.path().join("t").join("thesis.txt"), "x").unwrap();
        assert!(take("t").unwrap_err().message.contains("is no study"));
        assert_eq!(take("../u").unwrap_err().code, Code::Usage);
    }
}
