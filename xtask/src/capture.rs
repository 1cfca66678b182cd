//! The library with CUDA graphs and kernels compiled at run time, which libtorch's binding for Rust lacks: built from two files of C++ into
//! the folder of libtorch's libraries, where the programs look for it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

const SOURCES: [(&str, &str); 2] = [
    ("capture.cpp", include_str!("../../crates/manytask-tensor/cuda/capture.cpp")),
    ("kernel.cpp", include_str!("../../crates/manytask-tensor/cuda/kernel.cpp")),
];
/// What the programs open.
pub(crate) const LIBRARY: &str = "libmanytask_capture.so";
const COMPILERS: [&str; 3] = ["c++", "g++", "clang++"];

/// Builds the library into the `lib` folder of a torch whose CUDA libraries lie beside it. Without a C++ compiler it says what will be
/// slower, and that is all.
///
/// # Errors
/// When the compiler refuses the source, or a file cannot be written.
pub(crate) fn build(torch: &Path) -> Result<()> {
    let chosen = std::env::var("CXX").ok().filter(|name| !name.trim().is_empty());
    let works = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    let Some(compiler) = chosen.as_deref().or_else(|| COMPILERS.into_iter().find(works)) else {
        eprintln!(
            "note: there is no C++ compiler ({}), so that {LIBRARY} cannot be built: training on a GPU works, and launches each operation by \
             itself; install one and run `cargo xtask setup --cuda` again",
            COMPILERS.join(", ")
        );
        return Ok(());
    };
    let site = torch.parent().context("a torch without a folder above it")?;
    let folder = tempfile::tempdir().context("no folder for temporary files")?;
    let library = folder.path().join(LIBRARY);
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-O2", "-fPIC", "-shared", "-o"]).arg(&library);
    for (name, text) in SOURCES {
        let source = folder.path().join(name);
        fs_err::write(&source, text)?;
        command.arg(source);
    }
    // What it opens lies beside it.
    command.args(["-ldl", "-Wl,-rpath,$ORIGIN"]);
    for include in [torch.join("include"), site.join("nvidia").join("cu13").join("include")] {
        command.arg("-isystem").arg(include);
    }
    let output = command.output().with_context(|| format!("{compiler} cannot be started"))?;
    if !output.status.success() {
        bail!("{compiler} cannot build {LIBRARY}:\n{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    let target = torch.join("lib").join(LIBRARY);
    // Beside it first, so that no program opens half a library.
    let beside = torch.join("lib").join(format!("{LIBRARY}.new"));
    fs_err::copy(&library, &beside)?;
    fs_err::rename(&beside, &target)?;
    eprintln!("built {}", target.display());
    Ok(())
}
