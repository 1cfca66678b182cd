//! Which libtorch is asked for, and whether a folder is one.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::config;
use crate::platform::Platform;
use crate::repo::Repository;
use crate::versions::TORCH_VERSION;

/// Who decides where libtorch comes from. `torch-sys` asks in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// `LIBTORCH_USE_PYTORCH`: the PyTorch of the Python in use.
    PyTorch(PathBuf),
    /// `LIBTORCH`: a folder of the user's.
    Variable(PathBuf),
    /// `.cargo/libtorch.toml`, written earlier.
    Configured(PathBuf),
    /// Nobody: it is to be set up in the cache.
    Unset,
}

/// What the user's environment and the configuration say.
pub(crate) fn origin(repo: &Repository) -> Result<Origin> {
    if std::env::var_os("LIBTORCH_USE_PYTORCH").is_some() {
        return Ok(Origin::PyTorch(pytorch()?));
    }
    if let Some(path) = config::user_libtorch(&repo.config_file()) {
        return Ok(Origin::Variable(path));
    }
    Ok(config::configured(&repo.config_file()).map_or(Origin::Unset, Origin::Configured))
}

/// Fails unless a folder has what building and linking need; warns of another version.
pub(crate) fn check(folder: &Path, platform: Platform) -> Result<()> {
    let library = folder.join("lib").join(platform.library("torch_cpu"));
    let header = folder.join("include/torch/csrc/api/include/torch/torch.h");
    for file in [library, header] {
        if !file.is_file() {
            bail!(
                "{} is no libtorch: it has no {}; LIBTORCH must name the folder that holds `lib` and `include`",
                folder.display(),
                file.strip_prefix(folder).unwrap_or(&file).display()
            );
        }
    }
    match version(folder) {
        Some(found) if found != TORCH_VERSION => {
            eprintln!(
                "warning: {} is libtorch {found}; manytask is built and tested with {TORCH_VERSION}, and other \
                 versions rarely compile",
                folder.display()
            );
        }
        _ => {}
    }
    Ok(())
}

/// The version of a libtorch folder without its build suffix: from `build-version` (zips of libtorch),
/// `version.py` (wheels), or the header.
pub(crate) fn version(folder: &Path) -> Option<String> {
    let read = |name: &str| fs_err::read_to_string(folder.join(name)).ok();
    read("build-version")
        .map(|text| base(&text))
        .or_else(|| read("version.py").and_then(|text| python_version(&text)))
        .or_else(|| read("include/torch/headeronly/version.h").and_then(|text| header_version(&text)))
        .or_else(|| {
            read("include/torch/csrc/api/include/torch/version.h").and_then(|text| header_version(&text))
        })
}

/// The folder of the PyTorch that Python imports.
fn pytorch() -> Result<PathBuf> {
    let python = if std::env::var_os("VIRTUAL_ENV").is_some() { "python" } else { "python3" };
    let script = "import os, torch; print(os.path.dirname(torch.__file__))";
    let output = Command::new(python).args(["-c", script]).output();
    let output =
        output.with_context(|| format!("LIBTORCH_USE_PYTORCH is set, but {python} cannot be started"))?;
    if !output.status.success() {
        let message = String::from_utf8_lossy(&output.stderr);
        bail!(
            "LIBTORCH_USE_PYTORCH is set, but {python} cannot import torch: {}; install it there with `{python} -m \
             pip install torch=={TORCH_VERSION}`, or unset the variable",
            message.lines().last().unwrap_or("no message")
        );
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

fn base(version: &str) -> String {
    version.trim().split('+').next().unwrap_or_default().to_owned()
}

fn python_version(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("__version__"))?;
    Some(base(value.split(['\'', '"']).nth(1)?))
}

fn header_version(text: &str) -> Option<String> {
    let part = |name: &str| {
        let define = format!("#define TORCH_VERSION_{name} ");
        text.lines().find_map(|line| line.strip_prefix(&define)).map(str::trim)
    };
    Some(format!("{}.{}.{}", part("MAJOR")?, part("MINOR")?, part("PATCH")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_by_each_of_the_three_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        assert_eq!(version(folder.path()), None);
        let header =
            "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 9\n#define TORCH_VERSION_PATCH 1\n";
        write("include/torch/headeronly/version.h", header);
        assert_eq!(version(folder.path()).unwrap(), "2.9.1");
        write("version.py", "__all__ = ['__version__']\n__version__ = '2.11.0+cu130'\ndebug = False\n");
        assert_eq!(version(folder.path()).unwrap(), "2.11.0");
        write("build-version", "2.10.0+cpu\n");
        assert_eq!(version(folder.path()).unwrap(), "2.10.0");
    }

    #[test]
    fn what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let message = || check(folder.path(), Platform::LinuxX86).unwrap_err().to_string();
        assert!(message().contains("lib/libtorch_cpu.so"));
        fs_err::create_dir(folder.path().join("lib")).unwrap();
        fs_err::write(folder.path().join("lib/libtorch_cpu.so"), "").unwrap();
        assert!(message().contains("torch.h"));
    }
}
