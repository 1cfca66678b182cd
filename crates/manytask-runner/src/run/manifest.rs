use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// What is known of a run beside its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of manytask that made it.
    pub version: String,
    /// The revision of its source.
    pub revision: String,
    /// The name of the machine.
    pub host: String,
    /// Where it computes.
    pub device: String,
    /// Threads of each kernel.
    pub threads: usize,
    /// What every draw is keyed by.
    pub seed: u64,
    /// SHA-256 of `config.toml`.
    pub config_digest: String,
    /// SHA-256 of what cannot change in a run, for each section of its configuration.
    #[serde(default)]
    pub fixed: BTreeMap<String, String>,
    /// SHA-256 of the data.
    pub data_digest: String,
    /// SHA-256 of the data, of how they are split and of the rows in each split.
    #[serde(default)]
    pub split_digest: String,
    /// SHA-256 of `schema.json`, where there is one.
    #[serde(default)]
    pub schema_digest: Option<String>,
    /// SHA-256 of `results.json`, once it is there.
    #[serde(default)]
    pub results_digest: Option<String>,
    /// The folder of the data as seen from the run's: where they are looked for after both were moved.
    #[serde(default)]
    pub data_folder: Option<String>,
    /// Seconds since 1970 at its start.
    pub started: u64,
    /// Seconds since 1970 at its end, or its last interruption.
    pub ended: Option<u64>,
    /// Why it ended: `completed`, `stopped early`, `interrupted`, or what went wrong.
    pub exit: Option<String>,
    /// How often it was resumed.
    pub resumed: u32,
    /// The changes with which it was resumed, in their order.
    #[serde(default)]
    pub history: Vec<Change>,
    /// Seconds of training and evaluation, of all processes that worked on it.
    #[serde(default)]
    pub seconds: f64,
    /// Seconds that the judging of its result took, without fitting and reading.
    #[serde(default)]
    pub judged_seconds: Option<f64>,
    /// The most memory that one of them held at a time, in bytes; `None` where the system does not tell.
    #[serde(default)]
    pub peak_memory: Option<u64>,
}

impl Manifest {
    /// Writes down the seconds since `began`, beside those of processes before, and the most memory that any of them held.
    pub(crate) fn spent(&mut self, before: f64, began: Instant) {
        self.seconds = before + began.elapsed().as_secs_f64();
        self.peak_memory = self.peak_memory.max(crate::memory::peak());
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Changes of a run's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// After how many steps.
    pub step: u64,
    /// Seconds since 1970.
    pub when: u64,
    /// The changes, as `KEY=VALUE`.
    pub changes: Vec<String>,
}
