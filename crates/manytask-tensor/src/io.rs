//! Files that are whole or absent.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Writes a file under a temporary name in the same folder, flushes it to the disk and renames it into place.
///
/// A reader sees the old content or the new, never a part; a full disk or an interruption leaves the old one as it was, and
/// a failure removes the temporary file. A file that is there keeps its permissions. A symbolic link is followed: the file that it names is replaced, the link stays.
/// What is no file, such as `/dev/stdout`, is written into as it is.
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
    if let Ok(about) = fs_err::metadata(path)
        && !about.is_file()
        && !about.is_dir()
    {
        // A device or a pipe (`/dev/stdout`) is written into: a rename would put a file in its place.
        let mut device = OpenOptions::new().write(true).open(path).map_err(failed)?;
        write(&mut device)?;
        return device.flush().map_err(failed);
    }
    let target = follow_links(path).map_err(failed)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut file = temporary_in(folder).map_err(failed)?;
    write(&mut file)?;
    let finish = || {
        if let Ok(about) = fs_err::metadata(&target) {
            keep_permissions(file.as_file(), &about)?;
        }
        where_supported(file.as_file().sync_all())?;
        file.persist(&target).map_err(|error| error.error)?;
        sync_folder(folder)?;
        Ok(())
    };
    finish().map_err(failed)
}

/// Whether a file system does what was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It was done.
    Present,
    /// The file system has no such operation.
    Absent,
}

/// Makes renames in a folder survive a loss of power, where the file system can.
///
/// # Errors
/// When the folder cannot be opened, or the disk fails.
pub fn sync_folder(folder: &Path) -> std::io::Result<Support> {
    #[cfg(unix)]
    return where_supported(fs_err::File::open(folder)?.file().sync_all());
    #[cfg(not(unix))]
    {
        let _ = folder;
        Ok(Support::Absent)
    }
}

/// Whether an error says that the file system has no such operation, as network and user-space file systems answer for
/// locks and for the synchronisation of folders.
pub fn is_unsupported(error: &std::io::Error) -> bool {
    const CODES: [i32; 5] = [libc::ENOTSUP, libc::EOPNOTSUPP, libc::ENOSYS, libc::ENOLCK, libc::EINVAL];
    error.kind() == std::io::ErrorKind::Unsupported
        || error.raw_os_error().is_some_and(|code| CODES.contains(&code))
}

/// An operation that some file systems do not have.
fn where_supported(done: std::io::Result<()>) -> std::io::Result<Support> {
    match done {
        Ok(()) => Ok(Support::Present),
        Err(error) if is_unsupported(&error) => Ok(Support::Absent),
        Err(error) => Err(error),
    }
}

/// Puts two files or folders of one file system into each other's place, in one move: at no moment is either name missing.
///
/// # Errors
/// When one is not there, or the system cannot do it.
#[cfg(target_os = "linux")]
pub fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;

    let name = |path: &Path| CString::new(path.as_os_str().as_bytes());
    let (from, to) = (name(one)?, name(other)?);
    let here = libc::AT_FDCWD;
    #[expect(unsafe_code, reason = "the standard library has no exchange of two names")]
    // SAFETY: both names are strings that end in a zero byte, and live until the call has returned.
    let code = unsafe { libc::renameat2(here, from.as_ptr(), here, to.as_ptr(), libc::RENAME_EXCHANGE) };
    if code == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Puts two files or folders into each other's place; not on this system.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn exchange(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Who may read the old content may read the new, and nobody else.
fn keep_permissions(file: &std::fs::File, old: &std::fs::Metadata) -> std::io::Result<()> {
    if file.metadata()?.permissions() == old.permissions() {
        return Ok(());
    }
    file.set_permissions(old.permissions())
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
