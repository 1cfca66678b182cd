//! `pip download`: pip knows the user's mirrors, proxies and certificates, so it fetches the wheels.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

use crate::cache::Lock;
use crate::platform::Platform;
use crate::versions::PYTHON_VERSION;
use crate::wheels::Wheel;

/// What to do when pip is missing.
pub(crate) const REMEDY: &str = "install it (Debian, Ubuntu: `sudo apt-get install python3-pip`; Fedora: `sudo dnf install \
     python3-pip`; else `python3 -m ensurepip`), or give a folder of downloaded wheels with `cargo xtask setup --wheels \
     DIR`, or set LIBTORCH to a libtorch 2.11.0 you have";

/// The version line of `python3 -m pip`.
pub(crate) fn version() -> Result<String> {
    let output = Command::new("python3").args(["-m", "pip", "--version"]).output();
    let output = output.context("python3 cannot be started")?;
    if !output.status.success() {
        bail!("python3 has no pip");
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Downloads wheels into a folder that a lock protects. Checks nothing: that is the caller's business.
pub(crate) fn download(platform: Platform, wheels: &[Wheel], folder: &Path, lock: &Lock) -> Result<()> {
    version().map_err(|error| anyhow!("libtorch is downloaded with pip, but {error:#}: {REMEDY}"))?;
    let mut command = Command::new("python3");
    command.args(arguments(platform, wheels)).arg("--dest").arg(folder);
    command.env("PIP_DISABLE_PIP_VERSION_CHECK", "1").stdin(lock.share()?);
    // Standard output is for `--print-config` alone.
    command.stdout(Stdio::from(std::io::stderr()));
    let status = command.status().context("python3 cannot be started")?;
    if !status.success() {
        bail!(
            "`python3 -m pip download` failed ({status}): see its message above; behind a proxy or without a \
             network, {REMEDY}"
        );
    }
    Ok(())
}

fn arguments(platform: Platform, wheels: &[Wheel]) -> Vec<String> {
    let fixed = [
        "-m",
        "pip",
        "download",
        "--no-input",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        PYTHON_VERSION,
    ];
    let mut arguments: Vec<String> = fixed.map(str::to_owned).into();
    for tag in platform.pip_tags() {
        arguments.extend(["--platform".to_owned(), tag]);
    }
    arguments.extend(wheels.iter().map(|wheel| format!("{}=={}", wheel.package, wheel.version)));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wheels::{Compute, wheels};

    #[test]
    fn asks_for_exact_versions_and_no_dependencies() {
        let table = wheels(Platform::LinuxX86, Compute::Cpu).unwrap();
        let line = arguments(Platform::LinuxX86, &table).join(" ");
        assert!(line.contains("--no-deps") && line.contains("--only-binary=:all:"), "{line}");
        assert!(line.contains("--platform manylinux_2_28_x86_64"), "{line}");
        assert!(
            line.ends_with("torch==2.11.0 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cupti==13.0.85"),
            "{line}"
        );
    }
}
