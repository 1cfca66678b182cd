//! `metrics.jsonl`: one line for each number, a function of configuration and data alone.

mod earlier;
mod record;

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::Path;

use fs_err::{File, OpenOptions};
use manytask_tensor::io::write_atomically;

pub use self::record::{Origin, Record, Split};
use crate::failure::Result;

/// The lines of a run.
#[derive(Debug)]
pub struct Metrics {
    file: File,
    damaged: Vec<usize>,
    last: u64,
    form: Form,
}

/// How the lines were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As this version writes them.
    Present,
    /// As earlier versions did, one for each event; they were written anew.
    Earlier,
}

/// Up to where lines are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpTo {
    /// All lines of this step.
    Step(u64),
    /// The lines of this step but for those of its evaluation, which comes again.
    Evaluation(u64),
}

impl UpTo {
    fn holds(self, record: &Record) -> bool {
        match self {
            Self::Step(last) => record.step <= last,
            Self::Evaluation(last) => {
                record.step < last || (record.step == last && record.split != Split::Validation)
            }
        }
    }
}

impl Metrics {
    pub(super) fn open(path: &Path, up_to: UpTo) -> Result<Self> {
        let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
        let mut form = Form::Present;
        if let Some(lines) = earlier::rewritten(&mut file)? {
            write_atomically(path, &lines)?;
            file = OpenOptions::new().read(true).write(true).open(path)?;
            form = Form::Earlier;
        }
        let ValidPrefix { end, damaged, last } = kept(&mut file, up_to)?;
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        Ok(Self { file, damaged, last, form })
    }

    /// The numbers of the lines, counted from 1, that were found damaged and are kept as they are.
    pub fn damaged(&self) -> &[usize] {
        &self.damaged
    }

    /// The step of the last line that was found and stays; 0 without any.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// How the lines were found.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Appends a line for each record.
    ///
    /// # Errors
    /// When the disk does not take them.
    pub fn write(&mut self, records: &[Record]) -> Result<()> {
        // In one call: a reader or a kill sees whole lines but for the last.
        let lines: String = records.iter().map(Record::line).collect();
        Ok(self.file.write_all(lines.as_bytes())?)
    }

    /// Makes what was written survive a loss of power.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn sync(&self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }
}

/// The lines that stay.
struct ValidPrefix {
    /// Where the last one ends.
    end: u64,
    /// The numbers of those that cannot be read.
    damaged: Vec<usize>,
    /// The step of the last one that can be read; 0 without any.
    last: u64,
}

/// All lines up to the last one that belongs to `up_to`, with the damaged ones before and directly behind it: what cannot
/// be read says of no step that it is later.
fn kept(file: &mut File, up_to: UpTo) -> Result<ValidPrefix> {
    let mut reader = BufReader::new(file);
    let (mut here, mut line) = (0, Vec::new());
    let mut kept = ValidPrefix { end: 0, damaged: Vec::new(), last: 0 };
    // Unreadable lines since the last kept one, which are kept with the next.
    let (mut waiting, mut is_behind) = (Vec::new(), true);
    for number in 1.. {
        line.clear();
        here += reader.read_until(b'\n', &mut line)? as u64;
        if !line.ends_with(b"\n") {
            break;
        }
        match Record::read(&line) {
            None if is_behind => {
                kept.damaged.push(number);
                kept.end = here;
            }
            None => waiting.push(number),
            Some(record) if up_to.holds(&record) => {
                kept.damaged.append(&mut waiting);
                kept.end = here;
                kept.last = record.step;
                is_behind = true;
            }
            // Of a later step, or damaged so that it seems to be.
            Some(_) => {
                waiting.push(number);
                is_behind = false;
            }
        }
    }
    Ok(kept)
}
