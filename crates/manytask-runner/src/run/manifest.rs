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
    /// SHA-256 of the data.
    pub data_digest: String,
    /// Seconds since 1970 at its start.
    pub started: u64,
    /// Seconds since 1970 at its end, or its last interruption.
    pub ended: Option<u64>,
    /// Why it ended: `completed`, `stopped early`, `interrupted`, or what went wrong.
    pub exit: Option<String>,
    /// How often it was resumed.
    pub resumed: u32,
}
