//! Data sets that were read before, as one file of tensors each.
//!
//! A file is named by a digest of all that its content is a function of: the bytes of the tables, the description without
//! paths, and the form of this file. So a table that was changed or a setting that differs is another file, and where the
//! tables lie does not matter. The names of the tables are not in it: the schema takes those of the description.

use std::path::Path;
use std::time::Duration;

use flate2::Crc;
use manytask_tensor::{Device, Tensor, WHOLE, checkpoint, io};

use super::{Dataset, Schema, TableDataset};
use crate::bytes::digest;
use crate::parallel::in_threads;
use crate::table::digest_of;
use crate::{
    DataReport, Encoded, Error, Files, Inputs, OneHot, Result, SplitData, SplitRule, Splits, TaskData,
};

/// What the first bytes say. Raise the number when the same description would give other tensors.
const MAGIC: &[u8] = b"manytask table 8\n";
/// How many data sets are kept, the latest ones.
const KEPT: usize = 16;
const ENDING: &str = "table";

/// What a cache was good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cached {
    /// The data set was in it.
    Found,
    /// It was not, and is now.
    Written,
    /// It was not, and could not be written: why.
    Refused(String),
}

impl TableDataset {
    /// As [`TableDataset::load`], out of a folder of data sets that were read before, where it is there; otherwise it is
    /// put there. The result is the same, bit by bit. A damaged or foreign file is passed over and written anew, and a
    /// folder that cannot be written to is no error. Several processes may use one folder.
    ///
    /// # Errors
    /// Those of [`TableDataset::load`].
    pub fn load_cached(&self, folder: &Path) -> Result<(Dataset, Cached)> {
        self.check()?;
        let (key, content) = self.key()?;
        let path = folder.join(format!("{key}.{ENDING}"));
        if let Some(found) = self.read_cached(&path, &content) {
            return Ok((found, Cached::Found));
        }
        let dataset = self.load()?;
        if dataset.digest != content {
            return Ok((dataset, Cached::Refused("a table was changed while it was read".to_owned())));
        }
        let cached = match write(folder, &path, &dataset) {
            Ok(()) => Cached::Written,
            Err(error) => Cached::Refused(error.to_string()),
        };
        Ok((dataset, cached))
    }

    /// The file's name, and the digest of the tables as [`Dataset::digest`] has it.
    fn key(&self) -> Result<(String, String)> {
        let mut described = self.clone();
        let mut paths = vec![std::mem::take(&mut described.source.path)];
        if let (Some(_), Some(SplitRule::Files(files))) = (&described.fold, &mut described.split) {
            // The fold stands for it.
            files.test = None;
        }
        if let Some(SplitRule::Files(Files { validation, test, .. })) = &mut described.split {
            // Which of the two it is stays in the description.
            paths.extend([validation, test].into_iter().flatten().map(std::mem::take));
        }
        let digests = in_threads(&paths, |path| digest_of(path));
        let digests = digests.into_iter().collect::<Result<Vec<String>>>()?;
        let content = digest(digests.iter().map(String::as_bytes));
        let described = serde_json::to_vec(&described).map_err(|error| {
            Error::config(WHOLE, format!("the description cannot be written down: {error}"))
        })?;
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        Ok((digest([MAGIC, version, b"\n", content.as_bytes(), &described]), content))
    }

    /// `None` where the file is absent or anything is wrong with it.
    fn read_cached(&self, path: &Path, content: &str) -> Option<Dataset> {
        let bytes = fs_err::read(path).ok()?;
        let (sum, tensors) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != checksum(tensors) {
            return None;
        }
        let (mut tensors, text) = checkpoint::from_bytes(path, tensors, Device::Cpu).ok()?;
        let mut schema: Schema = serde_json::from_str(text.get("schema")?).ok()?;
        schema.source.path.clone_from(&self.source.path);
        let report: DataReport = serde_json::from_str(text.get("report")?).ok()?;
        let split_digest = text.get("split_digest")?.clone();
        let mut take = |name: &str| tensors.remove(name);
        let (names, width) = (schema.task_names(), schema.inputs.one_hot_width());
        let mut split = |name: &str| read_split(name, &names, width, &mut take);
        Some(Dataset {
            splits: Splits { train: split("train")?, validation: split("validation"), test: split("test") },
            schema,
            digest: content.to_owned(),
            split_digest,
            report,
        })
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(bytes);
    sum.sum()
}

fn read_split(
    split: &str,
    names: &[String],
    width: i64,
    take: &mut impl FnMut(&str) -> Option<Tensor>,
) -> Option<SplitData> {
    let mut inputs = Vec::new();
    while let Some(dense) = take(&format!("{split}.{}.dense", inputs.len())) {
        let mut of = |what: &str| take(&format!("{split}.{}.{what}", inputs.len()));
        let one_hot = of("indices").map(|indices| OneHot { indices, width });
        let features = Encoded { dense, one_hot, categorical: of("categorical") };
        inputs.push(Inputs::from(features));
    }
    let tasks = names.iter().enumerate().map(|(task, name)| {
        let target = take(&format!("{split}.{task}.target"))?;
        Some(TaskData { name: name.clone(), target, weight: take(&format!("{split}.{task}.weight")) })
    });
    SplitData::new(inputs, tasks.collect::<Option<_>>()?).ok()
}

fn write(folder: &Path, path: &Path, dataset: &Dataset) -> Result<()> {
    let mut tensors = Vec::new();
    for (name, split) in dataset.splits.iter() {
        let mut put = |number: usize, what: &str, tensor: Option<&Tensor>| {
            tensors.extend(tensor.map(|tensor| (format!("{name}.{number}.{what}"), tensor.shallow_clone())));
        };
        for (number, input) in split.inputs.iter().filter_map(Inputs::features).enumerate() {
            put(number, "dense", Some(&input.dense));
            put(number, "indices", input.one_hot.as_ref().map(|one_hot| &one_hot.indices));
            put(number, "categorical", input.categorical.as_ref());
        }
        for (number, task) in split.tasks.iter().enumerate() {
            put(number, "target", Some(&task.target));
            put(number, "weight", task.weight.as_ref());
        }
    }
    let unwritten = |error: serde_json::Error| Error::config(WHOLE, error.to_string());
    let text = checkpoint::Metadata::from([
        ("schema".to_owned(), serde_json::to_string(&dataset.schema).map_err(unwritten)?),
        ("report".to_owned(), serde_json::to_string(&dataset.report).map_err(unwritten)?),
        ("split_digest".to_owned(), dataset.split_digest.clone()),
    ]);
    let content = checkpoint::to_bytes(path, &tensors, &text)?;
    make_private(folder).map_err(|error| Error::io(folder, error))?;
    let sum = checksum(&content).to_le_bytes();
    io::write_atomically_with(path, |file| {
        let write = |bytes: &[u8], file: &mut dyn std::io::Write| {
            file.write_all(bytes)
                .map_err(|source| manytask_tensor::Error::Io { path: path.to_owned(), source })
        };
        [MAGIC, &sum, &content].iter().try_for_each(|bytes| write(bytes, file))
    })?;
    sweep(folder, path);
    forget_old(folder);
    Ok(())
}

/// Makes the folder, for its owner alone: the tables may be.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Removes all but the latest files. What cannot be removed stays.
fn forget_old(folder: &Path) {
    let Ok(entries) = fs_err::read_dir(folder) else { return };
    let ours = entries.flatten().filter(|entry| entry.path().extension().is_some_and(|of| of == ENDING));
    let mut files: Vec<_> =
        ours.filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path()))).collect();
    files.sort_unstable();
    let surplus = files.len().saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = fs_err::remove_file(path);
    }
}

/// Removes what processes that were killed have left half-written: it is much older than what was written just now.
fn sweep(folder: &Path, written: &Path) {
    const OLD: Duration = Duration::from_hours(1);
    let changed = |path: &Path| fs_err::metadata(path).and_then(|about| about.modified()).ok();
    let (Some(now), Ok(entries)) = (changed(written), fs_err::read_dir(folder)) else { return };
    for entry in entries.flatten() {
        let half = entry.file_name().to_string_lossy().starts_with(".writing-");
        let age = changed(&entry.path()).and_then(|changed| now.duration_since(changed).ok());
        if half && age.is_some_and(|age| age > OLD) {
            let _ = fs_err::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
