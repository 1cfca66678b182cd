//! Files that are whole or absent.

use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// Writes a file under a temporary name in the same folder, flushes it to the disk and renames it into place.
///
/// A reader sees the old content or the new, never a part; a full disk or an interruption leaves the old one as it was.
///
/// # Errors
/// When the folder cannot be written to, or the disk is full; with the file's name.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        set_usual_permissions(file.as_file())?;
        file.persist(path).map_err(|error| error.error)?;
        sync_folder(folder)
    };
    write().map_err(|source| Error::io(path, source))
}

/// A temporary file is private to its owner; a result should be readable as any other.
#[cfg(unix)]
fn set_usual_permissions(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_usual_permissions(_file: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}

/// Makes renames in a folder survive a loss of power.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    fs_err::File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}
