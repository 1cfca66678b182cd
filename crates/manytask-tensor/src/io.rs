//! Files that are whole or absent.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file under a temporary name in the same folder, flushes it to the disk and renames it into place.
///
/// A reader sees the old content or the new, never a part; a full disk or an interruption leaves the old one as it was, and
/// a failure removes the temporary file. A symbolic link is followed: the file that it names is replaced, the link stays.
/// A pipe or a device is never replaced but written to, as the bytes come.
///
/// ```
/// use manytask_tensor::io::write_atomically;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("state.json");
/// write_atomically(&path, b"{}")?;
/// assert_eq!(std::fs::read(&path)?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// When the folder cannot be written to, or the disk is full; with the file's name.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically_with(path, |file| file.write_all(bytes).map_err(|source| Error::io(path, source)))
}

/// As [`write_atomically`], with content that is written piece by piece. Where `write` fails nothing is changed.
///
/// # Errors
/// As [`write_atomically`], and those of `write`.
pub fn write_atomically_with(path: &Path, write: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let failed = |source| Error::io(path, source);
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return write(&mut OpenOptions::new().write(true).open(path).map_err(failed)?);
    }
    let target = follow_links(path).map_err(failed)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = temporary_in(folder).map_err(failed)?;
    write(&mut file)?;
    let finish = || {
        file.as_file().sync_all()?;
        file.persist(&target).map_err(|error| error.error)?;
        sync_folder(folder)
    };
    finish().map_err(failed)
}

/// Makes renames in a folder survive a loss of power.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    fs_err::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// All of a file. `fs_err` would put the path into the message, where this crate's error has it already.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    let read = || {
        let mut bytes = Vec::new();
        OpenOptions::new().read(true).open(path)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| Error::io(path, source))
}

fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".writing-");
    // A temporary file is private to its owner; a result should be readable as any other, within the user's umask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

/// The file that a chain of symbolic links names, which need not exist.
fn follow_links(path: &Path) -> std::io::Result<PathBuf> {
    const LONGEST: usize = 40;
    let mut target = path.to_owned();
    for _ in 0..LONGEST {
        match fs_err::symlink_metadata(&target) {
            Ok(metadata) if metadata.is_symlink() => {
                let next = fs_err::read_link(&target)?;
                target = target.parent().unwrap_or(Path::new("")).join(next);
            }
            _ => return Ok(target),
        }
    }
    Err(std::io::Error::other("too many symbolic links, one after the other"))
}
