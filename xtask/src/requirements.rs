//! What a wheel's metadata asks for: a guard that the table of CUDA wheels is complete.

use anyhow::{Context, Result, bail};

use crate::wheels::Wheel;

/// A package that is needed in one exact version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    pub(crate) package: String,
    pub(crate) extras: Vec<String>,
    pub(crate) version: String,
}

/// What the parts of `cuda-toolkit` are called as packages where it is not `nvidia-` and the part's name.
const TOOLKIT: [(&str, &str); 3] =
    [("cudart", "nvidia-cuda-runtime"), ("cupti", "nvidia-cuda-cupti"), ("nvrtc", "nvidia-cuda-nvrtc")];

/// The exactly pinned NVIDIA packages among the `Requires-Dist` lines of a `METADATA` file.
/// Triton and the Python bindings of CUDA are of no use to libtorch alone.
pub(crate) fn cuda_requirements(metadata: &str) -> Result<Vec<Requirement>> {
    // The description follows after the first empty line and may contain anything.
    let header = metadata.lines().take_while(|line| !line.trim().is_empty());
    let lines = header.filter_map(|line| line.strip_prefix("Requires-Dist:"));
    lines
        .map(str::trim)
        .filter(|line| line.starts_with("nvidia-") || line.starts_with("cuda-toolkit"))
        .map(|line| parse(line).with_context(|| format!("cannot read the requirement `{line}`")))
        .collect()
}

/// Fails when a table of wheels lacks something that the metadata requires, or has another version of it.
pub(crate) fn check(wheels: &[Wheel], requirements: &[Requirement]) -> Result<()> {
    if requirements.is_empty() {
        bail!("torch's metadata asks for no NVIDIA package: this is not the CUDA build");
    }
    let find = |package: &str| {
        wheels.iter().find(|wheel| wheel.package == package).with_context(|| {
            format!("torch needs {package}, which xtask/src/wheels.rs does not have: add it there")
        })
    };
    for requirement in requirements {
        if requirement.package == "cuda-toolkit" {
            for extra in &requirement.extras {
                find(&toolkit_package(extra))?;
            }
        } else {
            let wheel = find(&requirement.package)?;
            if wheel.version != requirement.version {
                let Requirement { package, version, .. } = requirement;
                bail!("torch needs {package} {version}, xtask/src/wheels.rs has {}", wheel.version);
            }
        }
    }
    Ok(())
}

fn toolkit_package(extra: &str) -> String {
    let known = TOOLKIT.iter().find(|(name, _)| *name == extra);
    known.map_or_else(|| format!("nvidia-{extra}"), |(_, package)| (*package).to_owned())
}

/// `name[extra,extra]==version; marker`.
fn parse(line: &str) -> Result<Requirement> {
    let specifier = line.split(';').next().unwrap_or(line).trim();
    let (name, version) = specifier.split_once("==").context("no exact version")?;
    let (package, extras) = match name.trim().split_once('[') {
        None => (name.trim(), Vec::new()),
        Some((package, extras)) => {
            let extras = extras.strip_suffix(']').context("no closing bracket")?;
            (package, extras.split(',').map(|extra| extra.trim().to_owned()).collect())
        }
    };
    Ok(Requirement { package: package.to_owned(), extras, version: version.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Platform;
    use crate::wheels::{Compute, wheels};

    /// The relevant part of torch 2.11.0's metadata as published.
    const TORCH: &str = "\
Metadata-Version: 2.4
Name: torch
Requires-Dist: filelock
Requires-Dist: typing-extensions>=4.10.0
Requires-Dist: cuda-toolkit[cublas,cudart,cufft,cufile,cupti,curand,cusolver,cusparse,nvjitlink,nvrtc,nvtx]==13.0.2; platform_system == \"Linux\"
Requires-Dist: cuda-bindings<14,>=13.0.3; platform_system == \"Linux\"
Requires-Dist: nvidia-cudnn-cu13==9.19.0.56; platform_system == \"Linux\"
Requires-Dist: nvidia-cusparselt-cu13==0.8.0; platform_system == \"Linux\"
Requires-Dist: nvidia-nccl-cu13==2.28.9; platform_system == \"Linux\"
Requires-Dist: nvidia-nvshmem-cu13==3.4.5; platform_system == \"Linux\"
Requires-Dist: triton==3.6.0; platform_system == \"Linux\"

Requires-Dist: nvidia-in-the-description==1
";

    #[test]
    fn reads_the_pinned_nvidia_packages() {
        let found = cuda_requirements(TORCH).unwrap();
        let names: Vec<_> = found.iter().map(|r| (r.package.as_str(), r.version.as_str())).collect();
        assert_eq!(
            names,
            [
                ("cuda-toolkit", "13.0.2"),
                ("nvidia-cudnn-cu13", "9.19.0.56"),
                ("nvidia-cusparselt-cu13", "0.8.0"),
                ("nvidia-nccl-cu13", "2.28.9"),
                ("nvidia-nvshmem-cu13", "3.4.5"),
            ]
        );
        assert_eq!(found[0].extras.len(), 11);
    }

    #[test]
    fn an_open_version_is_an_error_with_its_line() {
        let error = format!("{:#}", cuda_requirements("Requires-Dist: nvidia-x>=1\n").unwrap_err());
        assert!(error.contains("nvidia-x>=1"), "{error}");
    }

    #[test]
    fn the_table_covers_what_torch_asks_for() {
        let table = wheels(Platform::LinuxX86, Compute::Cuda).unwrap();
        check(&table, &cuda_requirements(TORCH).unwrap()).unwrap();
    }

    #[test]
    fn a_missing_or_different_wheel_is_noticed() {
        let requirements = cuda_requirements(TORCH).unwrap();
        let mut table = wheels(Platform::LinuxX86, Compute::Cuda).unwrap();
        let nccl = table.iter().position(|wheel| wheel.package == "nvidia-nccl-cu13").unwrap();
        table[nccl].version = "2.27.7";
        assert!(check(&table, &requirements).unwrap_err().to_string().contains("2.28.9"));
        table.remove(nccl);
        assert!(check(&table, &requirements).unwrap_err().to_string().contains("nccl"));
        let cpu = wheels(Platform::LinuxX86, Compute::Cpu).unwrap();
        assert!(check(&cpu, &requirements).is_err());
        assert!(check(&table, &[]).is_err());
    }
}
