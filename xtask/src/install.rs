//! From wheels to a whole libtorch in the cache.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use zip::ZipArchive;

use crate::cache::{self, Cache, Lock};
use crate::libtorch;
use crate::pip;
use crate::platform::Platform;
use crate::requirements;
use crate::versions::TORCH_VERSION;
use crate::wheels::{self, Compute, Wheel};

/// Where the wheels come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Supply {
    /// The package index, through pip.
    Index,
    /// A folder that has them already.
    Folder(PathBuf),
}

/// What to do with a whole libtorch that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    Keep,
    Replace,
}

/// Makes the cache hold libtorch, whole, whatever state it is in; returns the folder for `LIBTORCH`.
/// At any moment of it the process may be killed: the cache then holds what it held before or the new
/// libtorch, and the next call clears up.
pub(crate) fn install(
    cache: &Cache,
    platform: Platform,
    compute: Compute,
    supply: &Supply,
    existing: Existing,
) -> Result<PathBuf> {
    let table = wheels::wheels(platform, compute)?;
    let lock = cache.lock()?;
    cache.recover(&lock)?;
    let folder = cache.folder();
    let has = |wheel: &&Wheel| existing == Existing::Keep && cache::is_whole(&folder, &[**wheel]);
    let (present, missing): (Vec<Wheel>, Vec<Wheel>) = {
        let (present, missing): (Vec<&Wheel>, Vec<&Wheel>) = table.iter().partition(has);
        (present.into_iter().copied().collect(), missing.into_iter().copied().collect())
    };
    if missing.is_empty() {
        eprintln!("libtorch {TORCH_VERSION} is there: {}", cache.torch().display());
        return Ok(cache.torch());
    }
    let paths = obtain(cache, platform, &missing, supply, &lock)?;
    let partial = cache.partial();
    for (wheel, path) in missing.iter().zip(&paths) {
        eprintln!("unpacking {}", wheel.file);
        unpack(path, &partial)?;
    }
    if present.is_empty() {
        libtorch::check(&partial.join("torch"), platform)?;
        check_cuda(&partial, compute, &table)?;
        cache::mark(&partial, &table)?;
        cache.publish(&lock)?;
    } else {
        check_cuda(&folder, compute, &table)?;
        extend(&folder, &partial, &table, &lock)?;
    }
    cache::remove(&partial)?;
    cache::remove(&cache.downloads())?;
    eprintln!("libtorch {TORCH_VERSION} is ready: {}", cache.torch().display());
    Ok(cache.torch())
}

/// The paths of wheels that have the right digest, in the order asked for.
fn obtain(
    cache: &Cache,
    platform: Platform,
    table: &[Wheel],
    supply: &Supply,
    lock: &Lock,
) -> Result<Vec<PathBuf>> {
    let folder = match supply {
        Supply::Folder(folder) => {
            let absent: Vec<_> = table.iter().filter(|wheel| !folder.join(wheel.file).is_file()).collect();
            if !absent.is_empty() {
                let names: Vec<_> = absent.iter().map(|wheel| format!("  {}", wheel.file)).collect();
                bail!("{} lacks these wheels:\n{}", folder.display(), names.join("\n"));
            }
            folder.clone()
        }
        Supply::Index => {
            let folder = cache.downloads();
            fs_err::create_dir_all(&folder)?;
            let needed = unusable(&folder, table)?;
            if !needed.is_empty() {
                pip::download(platform, &needed, &folder, lock)?;
            }
            folder
        }
    };
    let check = |wheel: &Wheel| {
        let path = folder.join(wheel.file);
        wheels::verify(wheel, &path).map(|()| path)
    };
    let checked: Result<Vec<PathBuf>> = table.iter().map(check).collect();
    if checked.is_err() && *supply == Supply::Index {
        cache::remove(&folder)?;
    }
    checked.context(
        "nothing was unpacked; run `cargo xtask setup` again, or try another mirror of the package index",
    )
}

/// The wheels that a folder lacks; a file that an interrupted download left cut short is removed.
fn unusable(folder: &Path, table: &[Wheel]) -> Result<Vec<Wheel>> {
    let mut needed = Vec::new();
    for wheel in table {
        let path = folder.join(wheel.file);
        if path.exists() && wheels::verify(wheel, &path).is_err() {
            fs_err::remove_file(&path)?;
        }
        if !path.exists() {
            needed.push(*wheel);
        }
    }
    Ok(needed)
}

fn unpack(wheel: &Path, folder: &Path) -> Result<()> {
    let file = std::io::BufReader::new(fs_err::File::open(wheel)?);
    let unpacked = ZipArchive::new(file).and_then(|mut archive| archive.extract(folder));
    unpacked.with_context(|| {
        format!("cannot unpack {} into {} (is the disk full?)", wheel.display(), folder.display())
    })
}

/// Compares the table of CUDA wheels with what the unpacked torch says it needs.
fn check_cuda(folder: &Path, compute: Compute, table: &[Wheel]) -> Result<()> {
    if compute == Compute::Cpu {
        return Ok(());
    }
    let metadata = folder.join(format!("torch-{TORCH_VERSION}.dist-info")).join("METADATA");
    let needed = requirements::cuda_requirements(&fs_err::read_to_string(metadata)?)?;
    requirements::check(table, &needed)
}

/// Moves files into a whole libtorch, then declares it to hold more wheels.
fn extend(folder: &Path, partial: &Path, table: &[Wheel], _lock: &Lock) -> Result<()> {
    merge(partial, folder)?;
    cache::mark(folder, table)
}

fn merge(from: &Path, into: &Path) -> Result<()> {
    fs_err::create_dir_all(into)?;
    for entry in fs_err::read_dir(from)? {
        let entry = entry?;
        let target = into.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            merge(&entry.path(), &target)?;
        } else {
            fs_err::rename(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
