//! `checkpoint.json`: what a checkpoint holds, by which damage and mixed-up files are noticed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crc32fast::Hasher;
use manytask_tensor::ShownPath as _;
use manytask_tensor::io::write_atomically;
use serde::{Deserialize, Serialize};

use super::{json, read_json};
use crate::failure::{Code, Failure, Result};

/// The file's name.
pub(super) const SEAL: &str = "checkpoint.json";

/// What a checkpoint holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seal {
    /// After how many steps it was written.
    pub(super) step: u64,
    /// Why it was written.
    pub(super) cause: Cause,
    /// Its other files, by name.
    files: BTreeMap<String, Content>,
}

/// Why a checkpoint is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The training asks for it: a better metric, the interval of the configuration, the end, an interruption.
    Training,
    /// Time has passed. Only the newest of these is kept.
    Time,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    bytes: u64,
    crc32: String,
}

impl Seal {
    /// Writes the seal of all that lies in a folder.
    pub(super) fn put(folder: &Path, step: u64, cause: Cause) -> Result<()> {
        let mut files = BTreeMap::new();
        for entry in fs_err::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            files.insert(name, content_of(&entry.path())?);
        }
        Ok(write_atomically(&folder.join(SEAL), &json(&Self { step, cause, files })?)?)
    }

    /// The seal of a checkpoint, with nothing else looked at.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        read_json(&folder.join(SEAL))
    }

    /// Refuses a checkpoint that is not what was written after so many steps.
    pub(super) fn check(folder: &Path, step: u64) -> Result<()> {
        let damaged = |name: &str, what: &str| {
            Err(Failure::new(Code::Checkpoint, format!("{}: {what}", folder.join(name).shown())))
        };
        let seal = Self::read(folder)?;
        if seal.step != step {
            return damaged(
                SEAL,
                &format!("is of the checkpoint after {} steps, not of this one", seal.step),
            );
        }
        for (name, content) in &seal.files {
            if content_of(&folder.join(name))? != *content {
                return damaged(name, "is damaged: it is not what was written with this checkpoint");
            }
        }
        Ok(())
    }
}

fn content_of(path: &Path) -> Result<Content> {
    let mut file = fs_err::File::open(path)?;
    let (mut hasher, mut bytes, mut buffer) = (Hasher::new(), 0, vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(Content { bytes, crc32: format!("{:08x}", hasher.finalize()) }),
            Ok(count) => {
                hasher.update(buffer.get(..count).unwrap_or_default());
                bytes += count as u64;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
