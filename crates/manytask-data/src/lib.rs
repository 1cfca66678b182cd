//! Tables, images, episodes, splits and batches for manytask.
//!
//! - [`TableDataset`] describes tasks on CSV tables and loads them as a [`Dataset`]; its parts are [`Table`], [`SplitRule`],
//!   [`InputColumns`] with [`Encoder`], and [`TargetSpec`] with [`TargetEncoder`]. The [`Schema`] is kept with the model, the
//!   [`DataReport`] says what was read. A [`Fold`] of a cross-validation can stand for the test split.
//! - A [`TableProfile`] says what a table looks like that nobody has described.
//! - A [`TableReader`] gives a [`Table`]: CSV as a [`TableSource`] says, or a [`MemoryTable`] of typed columns.
//! - [`SplitData`] holds [`Inputs`] (features, images or vectors) and labels of several tasks as tensors, on the same rows or each
//!   on its own; a [`Batcher`]
//!   says which rows make up a batch, and [`prefetch()`] gathers them ahead. [`Splits`] has one for training, and perhaps for
//!   validation and test.
//! - [`ImageDataset`] describes tasks on images of IDX files, also on pairs of them.
//! - [`ClassPool`] holds images by class and draws [`Episodes`]; it comes from [`Omniglot`], [`image_folder`] or
//!   [`idx_classes()`], divided by a [`ClassSplit`]. [`Scenes`] are pictures with labels of each pixel. [`Sinusoid`] and [`GaussianProcess`] draw regression
//!   episodes.
//!
//! Everything is read from paths that the caller gives, and every draw is keyed by a seed that the caller gives.

mod augmentation;
mod batch;
mod bytes;
mod class_split;
mod columns;
mod dataset;
mod encoded;
mod encoder;
mod error;
mod findings;
mod gaussian_process;
mod guard;
pub mod idx;
mod image_dataset;
pub mod image_folder;
mod input_columns;
mod inputs;
mod moments;
mod omniglot;
mod parallel;
mod picture;
mod pool;
mod prefetch;
mod profile;
mod range;
mod report;
mod row_numbers;
mod scenes;
mod sinusoid;
mod split;
mod splits;
mod table;
mod table_dataset;
mod table_episodes;
mod target;
mod task_groups;
#[cfg(test)]
mod testing;
mod value;
mod wildcard;
mod words;

pub use augmentation::{Augmentation, Flip};
pub use batch::{BatchOrder, Batcher, LastBatch, RowClasses, TaskSampling};
pub use class_split::{ClassLists, ClassSplit};
pub use columns::Columns;
pub use dataset::{Batch, SplitData, TaskData};
pub use encoded::{Encoded, OneHot};
pub use encoder::Encoder;
pub use error::{Error, Result};
pub use gaussian_process::GaussianProcess;
pub use guard::is_guarded;
pub use image_dataset::{
    ImageDataset, ImageFiles, ImageRows, ImageSchema, ImageTarget, ImageTask, LoadedImages, Pairs,
    PixelScale, idx_classes,
};
pub use input_columns::{InputColumns, Scale};
pub use inputs::{Images, Inputs, Normalisation};
pub use omniglot::{Omniglot, OmniglotSplit, RandomCharacters, Rotations, VinyalsFiles};
pub use picture::{Channels, Resize};
pub use pool::{ClassPool, EpisodeRows, EpisodeSpec, Episodes};
pub use prefetch::{Prefetch, Prefetched, gather, prefetch};
pub use profile::{ColumnProfile, ColumnRole, TableProfile};
pub use report::{ClassCounts, DataReport, InputCounts, LabelCounts, Note, NoteForm, TargetReport, TaskNote};
pub use scenes::{LoadedScenes, SCENE_CLASSES, Scenes};
pub use sinusoid::Sinusoid;
pub use split::{ByColumn, Files, Fold, Fractions, GroupFractions, Indices, SplitRule};
pub use splits::Splits;
pub use table::{
    Column, ColumnData, Decimal, MemoryTable, Quotes, Separator, Table, TableFormat, TableReader,
    TableSource, Thousands, is_file_of,
};
pub use table_dataset::{Cached, Dataset, Schema, TableDataset, WeightIn};
pub use table_episodes::{GivenTask, LoadedTableEpisodes, TableEpisodes, TablePools};
pub use target::{MISSING_CLASS, Negative, TargetEncoder, TargetKind, TargetSpec};
pub use task_groups::TaskGroups;
