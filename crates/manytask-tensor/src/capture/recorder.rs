use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use tch::{Device, Tensor};

use super::{ALLOWED, Ordering, Recording, shared};
use crate::{Error, Result};

/// How often the same work must be seen before it is recorded: what is done once or twice is not worth it.
const SEEN: u32 = 2;
/// Recordings that are kept; the one that was used longest ago goes first.
const KEPT: usize = 4;

/// Records a function of tensors once it is called again and again with inputs of the same shapes and the rest of what it reads in the
/// same indices in memory, and runs the recording from then on.
#[derive(Debug, Default)]
pub struct Recorder {
    known: Mutex<Known>,
    rehearses: bool,
}

#[derive(Debug, Default)]
struct Known {
    entries: Vec<Entry>,
    refused: Option<String>,
}

/// Work with some parameters and shapes.
#[derive(Debug)]
struct Entry {
    key: Vec<i64>,
    seen: u32,
    recording: Option<Recording>,
    /// Shared with the outputs of the last run.
    held: Arc<()>,
}

/// What the work gave. While it lives, the memory of a recording is not overwritten: the same work is not run from the recording then.
#[derive(Debug)]
pub struct Outputs {
    /// The tensors.
    pub tensors: Vec<Tensor>,
    held: Option<Arc<()>>,
}

impl Outputs {
    /// Whether they are in memory of a recording, where later ones of the same work will be.
    pub fn is_recorded(&self) -> bool {
        self.held.is_some()
    }
}

impl Recorder {
    /// The outputs of `work`: from a recording where there is one, else by `work` itself, which is recorded when it has been seen often
    /// enough on a device that launches.
    ///
    /// `work` must be a function of the inputs and of `read`, and of nothing else that changes. Inputs are copied for a recording; what it
    /// reads beside them is left where it is.
    ///
    /// # Errors
    /// Those of `work`. That it cannot be recorded is no error, see [`Recorder::reason`].
    pub fn run<E: From<Error> + Display>(
        &self,
        device: Device,
        read: &[&Tensor],
        inputs: &[&Tensor],
        work: impl Fn(&[Tensor]) -> Result<Vec<Tensor>, E>,
    ) -> Result<Outputs, E> {
        self.launch(device, read, (&[], inputs), |_, inputs| work(inputs))
    }

    /// The same for `work` that changes tensors in place, those that it is given first: a function of them and of the inputs, and of nothing
    /// else that changes.
    ///
    /// # Errors
    /// Those of `work`; what it changes may then be half done.
    pub fn update<E: From<Error> + Display>(
        &self,
        changed: &[&Tensor],
        inputs: &[&Tensor],
        work: impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
    ) -> Result<Outputs, E> {
        let device = changed.first().map_or(Device::Cpu, |tensor| tensor.device());
        self.launch(device, changed, (changed, inputs), work)
    }

    fn launch<E: From<Error> + Display>(
        &self,
        device: Device,
        read: &[&Tensor],
        (changed, inputs): (&[&Tensor], &[&Tensor]),
        work: impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
    ) -> Result<Outputs, E> {
        if self.rehearses || (device != Device::Cpu && ALLOWED.load(Ordering::Relaxed)) {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let record = || {
                if self.rehearses {
                    Recording::rehearsed(changed, inputs, &work)
                } else {
                    Recording::new(device, changed, inputs, &work)
                }
            };
            if let Some(outputs) = known.run(key(read, inputs), inputs, &work, record)? {
                return Ok(outputs);
            }
        }
        Ok(Outputs { tensors: work(&shared(changed), &shared(inputs))?, held: None })
    }

    /// A recorder that makes [rehearsals](Recording::rehearsed), on any device: for tests of what is built on recordings.
    pub fn rehearsing() -> Self {
        Self { rehearses: true, ..Self::default() }
    }

    /// Whether it makes rehearsals.
    pub fn rehearses(&self) -> bool {
        self.rehearses
    }

    /// Why the work is not recorded, where that was tried and failed.
    pub fn reason(&self) -> Option<String> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).refused.clone()
    }
}

impl Known {
    fn run<E: From<Error> + Display>(
        &mut self,
        key: Vec<i64>,
        inputs: &[&Tensor],
        work: &impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
        record: impl FnOnce() -> Result<Recording, E>,
    ) -> Result<Option<Outputs>, E> {
        if self.refused.is_some() {
            return Ok(None);
        }
        let mut entry = match self.entries.iter().position(|entry| entry.key == key) {
            Some(place) => self.entries.remove(place),
            None => Entry { key, seen: 0, recording: None, held: Arc::default() },
        };
        if self.entries.len() == KEPT {
            self.entries.remove(0);
        }
        let outputs = entry.run(inputs, work, record);
        self.entries.push(entry);
        match outputs? {
            Ran::Recorded(outputs) => Ok(Some(outputs)),
            Ran::Nothing => Ok(None),
            Ran::Refused(reason) => {
                self.refused = Some(reason);
                Ok(None)
            }
        }
    }
}

/// What came of running an entry.
enum Ran {
    Recorded(Outputs),
    Nothing,
    Refused(String),
}

impl Entry {
    fn run<E: From<Error> + Display>(
        &mut self,
        inputs: &[&Tensor],
        work: &impl Fn(&[Tensor], &[Tensor]) -> Result<Vec<Tensor>, E>,
        record: impl FnOnce() -> Result<Recording, E>,
    ) -> Result<Ran, E> {
        self.seen += 1;
        // What the last run gave is still looked at, or it is not worth it yet.
        if Arc::strong_count(&self.held) > 1 || self.seen <= SEEN {
            return Ok(Ran::Nothing);
        }
        if self.recording.is_none() {
            match record() {
                Ok(made) => self.recording = Some(made),
                Err(error) => {
                    let reason = error.to_string();
                    return Ok(Ran::Refused(
                        reason.strip_prefix("not recorded: ").unwrap_or(&reason).to_owned(),
                    ));
                }
            }
        }
        let Some(recording) = &self.recording else { return Ok(Ran::Nothing) };
        let tensors = recording.run(inputs, work)?;
        Ok(Ran::Recorded(Outputs { tensors, held: Some(self.held.clone()) }))
    }
}

/// Where in memory is what is read, and the shapes of all.
fn key(read: &[&Tensor], inputs: &[&Tensor]) -> Vec<i64> {
    let shape = |tensor: &&Tensor| {
        let size = tensor.size();
        std::iter::once(size.len() as i64).chain(size)
    };
    let indices = read.iter().map(|tensor| tensor.data_ptr() as i64);
    indices.chain(read.iter().chain(inputs).flat_map(shape)).collect()
}
