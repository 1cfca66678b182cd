//! A file of which parts are read.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};

/// A file in memory, or on a disk.
#[derive(Debug, Clone)]
pub(super) enum Chunks {
    /// In memory.
    Memory(Bytes),
    /// On a disk, with its length.
    Disk(Arc<File>, u64),
}

/// What follows a place of a file, whose own position stays.
struct From {
    file: Arc<File>,
    at: u64,
}

impl Chunks {
    /// The beginning and the rest of a file that can be read at any place; `None` of a pipe or another one that cannot.
    pub(super) fn open(path: &Path) -> Option<Self> {
        let (file, _) = fs_err::File::open(path).ok()?.into_parts();
        let metadata = file.metadata().ok()?;
        metadata.is_file().then(|| Self::Disk(Arc::new(file), metadata.len()))
    }

    /// Its first bytes, up to so many.
    pub(super) fn start(&self, most: usize) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        self.get_read(0).ok()?.take(most as u64).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Disk(_, length) => *length,
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(match self {
            Self::Memory(bytes) => Box::new(bytes.get_read(start)?.into_inner().reader()),
            Self::Disk(file, _) => Box::new(BufReader::new(From { file: Arc::clone(file), at: start })),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        match self {
            Self::Memory(bytes) => bytes.get_bytes(start, length),
            Self::Disk(file, all) => {
                // What a damaged file says of its parts is not to be believed.
                if start.checked_add(length as u64).is_none_or(|end| end > *all) {
                    return Err(ParquetError::EOF(format!("{length} bytes from {start} on are not there")));
                }
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, start)?;
                Ok(buffer.into())
            }
        }
    }
}
