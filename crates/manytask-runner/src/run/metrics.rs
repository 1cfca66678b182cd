//! `metrics.jsonl`: one line for each event, a function of configuration and data alone.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use fs_err::{File, OpenOptions};
use serde_json::Value;

use crate::failure::Result;

/// The lines of a run.
#[derive(Debug)]
pub struct Metrics {
    file: File,
}

impl Metrics {
    pub(super) fn open(path: &Path, step: u64) -> Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let end = end_of(&mut file, step)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        Ok(Self { file })
    }

    /// Appends a line, which must have a `step`.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&mut self, line: &Value) -> Result<()> {
        // In one call: a reader or a kill sees whole lines but for the last.
        Ok(self.file.write_all(format!("{line}\n").as_bytes())?)
    }

    /// Makes what was written survive a loss of power.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

/// Where the last whole line of a step up to `step` ends.
fn end_of(file: &mut File, step: u64) -> Result<u64> {
    let mut reader = BufReader::new(file);
    let (mut end, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        let whole = line.ends_with(b"\n");
        let of = serde_json::from_slice::<Value>(&line).ok().and_then(|line| line.get("step")?.as_u64());
        if !whole || of.is_none_or(|of| of > step) {
            return Ok(end);
        }
        end += length as u64;
    }
}
