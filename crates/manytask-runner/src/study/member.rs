//! One run of a study.

use std::collections::BTreeMap;
use std::path::Path;

use manytask_multitask::{Evaluation, TaskEvaluation};
use serde::{Deserialize, Serialize};

use crate::digest::digest;
use crate::failure::{Code, Result};
use crate::run::{CONFIG, Manifest, RESULTS, RunFolder, read_json};
use crate::whole_front::JudgedAt;

/// One run of a study: how it differs from the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The name of its folder.
    pub(crate) name: String,
    /// What of the compared things it is; empty where nothing is compared.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) variant: String,
    /// Its fold of the data, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fold: Option<usize>,
    /// Its seed.
    pub(crate) seed: u64,
    /// What it changes in the configuration, as `KEY=VALUE`.
    pub(crate) overrides: Vec<String>,
}

/// How far a member is.
#[derive(Debug)]
pub(crate) enum State {
    /// It has no folder yet.
    Absent,
    /// It was begun, and has no result.
    Begun,
    /// It has its result.
    Finished(Box<Finished>),
}

/// A member with its result.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) results: MemberResults,
    pub(crate) manifest: Manifest,
}

/// What of a run's `results.json` a study looks at.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct MemberResults {
    /// After how many steps the parameters were.
    pub(crate) step: u64,
    /// The split that was judged.
    pub(crate) split: String,
    /// Losses and metrics.
    pub(crate) tasks: Vec<TaskEvaluation>,
    /// Of one network for the whole Pareto front what it is worth at each preference.
    #[serde(default)]
    pub(crate) front: Vec<JudgedAt>,
    /// The rows of each split.
    #[serde(default)]
    pub(crate) rows: BTreeMap<String, usize>,
}

impl State {
    /// How far the run in a folder is.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub(crate) fn of(run: &Path) -> Result<Self> {
        if !run.join(CONFIG).is_file() {
            return Ok(Self::Absent);
        }
        let Ok(text) = fs_err::read(run.join(RESULTS)) else { return Ok(Self::Begun) };
        let manifest = match RunFolder::view(run)?.manifest() {
            Ok(manifest) => manifest,
            Err(failure) if failure.code == Code::Checkpoint => return Ok(Self::Begun),
            Err(failure) => return Err(failure),
        };
        // A result that was damaged, or that belongs to a shorter training, is written anew.
        if manifest.results_digest.as_deref() != Some(digest(&text).as_str()) {
            return Ok(Self::Begun);
        }
        Ok(Self::Finished(Box::new(Finished { results: read_json(&run.join(RESULTS))?, manifest })))
    }
}

impl MemberResults {
    /// The results as an evaluation.
    pub(crate) fn evaluation(&self) -> Evaluation {
        Evaluation::new(self.tasks.clone())
    }

    /// Test rows per training row; 0 where these are not known.
    pub(crate) fn test_per_train(&self) -> f64 {
        let of = |split: &str| self.rows.get(split).copied().unwrap_or_default() as f64;
        let train = of("train");
        if train > 0.0 { of("test") / train } else { 0.0 }
    }
}
