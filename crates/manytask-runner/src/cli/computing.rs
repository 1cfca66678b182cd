//! Where a command computes.

use clap::Args;
use manytask_tensor::DeviceChoice;

/// Where a command computes.
#[derive(Debug, Clone, Args)]
pub struct ComputeArgs {
    /// cpu, cuda, cuda:N or auto; otherwise as the configuration says, and for a trained run as in its training, or the processor where
    /// that is not there
    #[arg(long, value_parser = device)]
    pub device: Option<String>,
    /// Threads of each kernel; of several trainings, those of each
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub threads: Option<usize>,
}

impl ComputeArgs {
    /// Changes of a configuration with those that these options are.
    pub(crate) fn with(&self, overrides: &[String]) -> Vec<String> {
        let device = self.device.as_ref().map(|device| format!("device={device}"));
        let threads = self.threads.map(|threads| format!("threads={threads}"));
        overrides.iter().cloned().chain(device).chain(threads).collect()
    }
}

/// The name of a device, which need not be there.
fn device(text: &str) -> Result<String, String> {
    text.parse::<DeviceChoice>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A whole number of at least 1.
pub(super) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|count| *count > 0)
        .ok_or_else(|| "write a whole number of at least 1".to_owned())
}
