//! Tables as families of tasks: groups of rows, or classes of rows.

mod given;
mod row_groups;
#[cfg(test)]
mod tests;

use std::path::Path;

use manytask_tensor::{Device, Kind, Tensor, WHOLE, Within as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub use self::given::GivenTask;
use self::row_groups::RowGroups;
use crate::words::examples;
use crate::{
    ClassCounts, ClassPool, ClassSplit, DataReport, Encoder, EpisodeSpec, Error, InputColumns, Inputs, Note,
    Result, Schema, Splits, Table, TableSource, TargetEncoder, TargetSpec, TaskGroups,
};

/// Tasks on a table for learners, as a configuration describes them: each value of a column is a task with its rows
/// (`tasks_by`), or each is a class of which N-way tasks are drawn (`classes_by`).
///
/// The split is of tasks or classes: none that is judged by was trained on. What inputs and labels are standardised by comes from the
/// training tasks.
///
/// ```
/// use manytask_data::{TableEpisodes, TablePools};
/// # let dir = tempfile::tempdir()?;
/// # let mut text = "school,age,score\n".to_owned();
/// # for row in 0..40 { text += &format!("{},{},{}\n", row % 4, row, row * 2); }
/// # fs_err::write(dir.path().join("pupils.csv"), text)?;
/// let family: TableEpisodes = toml::from_str(
///     r#"
///     source.path = "pupils.csv"
///     tasks_by = "school"
///     inputs.numeric = ["age"]
///     targets = [{ name = "score", kind = "regression" }]
///     split.random = { test = 0.25, seed = 1 }
///     shots = 3
///     queries = 5
///     "#,
/// )?;
/// let loaded = family.load(dir.path())?;
/// let TablePools::Tasks(schools) = loaded.pools else { unreachable!() };
/// assert_eq!((schools.train.tasks(), schools.test.map(|test| test.rows())), (3, Some(10)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEpisodes {
    /// The table.
    pub source: TableSource,
    /// Which columns are inputs.
    pub inputs: InputColumns,
    /// A column whose every value is a task with its rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks_by: Option<String>,
    /// What is predicted in such tasks: one target, the same in all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<TargetSpec>,
    /// A column whose values are classes; a task is to tell some of them apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes_by: Option<String>,
    /// Which tasks, or classes, are for what.
    #[serde(default)]
    pub split: ClassSplit,
    /// Classes in a task, with `classes_by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ways: Option<usize>,
    /// Rows of a task, or of each class in it, to adapt on.
    pub shots: usize,
    /// Rows of a task, or of each class in it, to be judged by; of a task with fewer rows all others.
    pub queries: usize,
}

/// What tasks are drawn from.
#[derive(Debug)]
pub enum TablePools {
    /// Tasks with their rows.
    Tasks(Splits<TaskGroups>),
    /// Classes with their rows, and the form of tasks.
    Classes(Splits<ClassPool>, EpisodeSpec),
}

/// A family of tasks ready for a learner.
#[derive(Debug)]
pub struct LoadedTableEpisodes {
    /// What tasks are drawn from.
    pub pools: TablePools,
    /// How tables are read and encoded; kept with the model.
    pub schema: Schema,
    /// SHA-256 over the table, in hexadecimal digits.
    pub digest: String,
    /// SHA-256 over the table and the tasks or classes of each split.
    pub split_digest: String,
    /// What was read.
    pub report: DataReport,
}

/// The column that decides, and what its values are.
#[derive(Clone, Copy)]
enum By<'a> {
    Task(&'a str, &'a TargetSpec),
    Class(&'a str, EpisodeSpec),
}

impl<'a> By<'a> {
    fn column(self) -> &'a str {
        match self {
            Self::Task(column, _) | Self::Class(column, _) => column,
        }
    }

    fn target(self) -> Option<&'a TargetSpec> {
        match self {
            Self::Task(_, target) => Some(target),
            Self::Class(..) => None,
        }
    }

    /// What a value of the column is called, one and several.
    fn name(self) -> [&'static str; 2] {
        match self {
            Self::Task(..) => ["task", "tasks"],
            Self::Class(..) => ["class", "classes"],
        }
    }
}

impl TableEpisodes {
    /// Refuses a description that fits no table, before anything is read.
    ///
    /// # Errors
    /// When it names neither tasks nor classes or both, settings are of the other form, or the split is impossible.
    pub fn check(&self) -> Result<()> {
        self.split.check().within("split")?;
        if self.split == ClassSplit::Folders {
            return Err(Error::config(
                "split",
                "split = \"folders\" is for folders of pictures; set split.random, or split.lists",
            ));
        }
        self.source.check().within("source")?;
        self.inputs.check().within("inputs")?;
        if !self.inputs.embedding.is_empty() {
            return Err(Error::config(
                ["inputs", "embedding"],
                "`inputs.embedding` is for rows with heads of their own; take `inputs.one_hot`",
            ));
        }
        for (number, target) in self.targets.iter().enumerate() {
            target.check().within(("targets", number))?;
        }
        match self.by()? {
            By::Class(_, spec) => spec.check(),
            By::Task(..) if self.shots == 0 || self.queries == 0 => Err(Error::config(
                if self.shots == 0 { "shots" } else { "queries" },
                format!(
                    "`shots` is {} and `queries` {}: a task needs a shot and a query at least",
                    self.shots, self.queries
                ),
            )),
            By::Task(..) => Ok(()),
        }
    }

    fn by(&self) -> Result<By<'_>> {
        match (&self.tasks_by, &self.classes_by, self.targets.as_slice()) {
            (Some(column), None, [target]) => match self.ways {
                None => Ok(By::Task(column, target)),
                Some(_) => {
                    Err(Error::config("ways", "`ways` is for tasks of classes; leave it out with `tasks_by`"))
                }
            },
            (Some(_), None, targets) => Err(Error::config(
                "targets",
                format!(
                    "targets: there are {}; with `tasks_by` describe the one that all tasks predict",
                    targets.len()
                ),
            )),
            (None, Some(column), []) => match self.ways {
                Some(ways) => {
                    Ok(By::Class(column, EpisodeSpec { ways, shots: self.shots, queries: self.queries }))
                }
                None => Err(Error::config(
                    "classes_by",
                    "`ways` is missing: with `classes_by` say how many classes a task has",
                )),
            },
            (None, Some(_), _) => Err(Error::config(
                "targets",
                "`targets` with `classes_by`: the class is what is predicted; leave them out",
            )),
            _ => Err(Error::config(
                WHOLE,
                "a table for a learner needs `tasks_by`, a column whose values are tasks, or `classes_by`, one whose values are classes; set one of them",
            )),
        }
    }

    /// Reads the table, divides its tasks or classes, fits the encoders on those of the training split and encodes all. Relative paths
    /// start from `folder`.
    ///
    /// # Errors
    /// When the file cannot be read, or the description does not fit it.
    pub fn load(&self, folder: &Path) -> Result<LoadedTableEpisodes> {
        self.check()?;
        let by = self.by()?;
        let mut source = self.source.at(folder.join(&self.source.path));
        if let Some(target) = by.target() {
            source = target.mark(source, &target.named_columns());
        }
        let table = Table::read(&source)?;
        let groups = RowGroups::of(&table, by.column())?;
        let divided = self.split.divide_names(&groups.names, table.path(), folder).within("split")?;
        let train: Vec<usize> =
            divided.train.iter().flat_map(|group| groups.rows_of(*group)).copied().collect();
        let schema = self.fit(&source, &table, by, &train)?;
        let mut notes: Vec<Note> = table.notes().iter().cloned().map(Note).collect();
        notes.extend(groups.without(by.column(), by.name()[0], &table));
        let mut of_split = Sha256::new_with_prefix(table.digest());
        for (split, classes) in divided.iter() {
            let names: Vec<&str> =
                classes.iter().filter_map(|class| groups.names.get(*class)).map(String::as_str).collect();
            of_split.update(format!("{split} {names:?}"));
        }
        let mut unlike_training = Vec::new();
        for (name, split) in divided.iter().skip(1) {
            let rows: Vec<usize> = split.iter().flat_map(|group| groups.rows_of(*group)).copied().collect();
            unlike_training.extend(schema.inputs.review(&table, &rows, &format!("the {name} split"))?);
        }
        let gathered = Gathered { table: &table, schema: &schema, groups: &groups, shots: self.shots };
        let (pools, classes) = match by {
            By::Class(_, spec) => {
                let pools = divided.map(|classes| gathered.pool(&classes))?;
                let classes = counts(&pools, by, ClassPool::classes, ClassPool::len);
                (TablePools::Classes(pools, spec), classes)
            }
            By::Task(..) => {
                let mut left_out = LeftOut::default();
                let pools = divided.map(|tasks| gathered.tasks(&tasks, &mut left_out))?;
                notes.extend(left_out.notes(self.shots));
                let classes = counts(&pools, by, TaskGroups::tasks, TaskGroups::rows);
                (TablePools::Tasks(pools), classes)
            }
        };
        let inputs = schema.inputs.counts();
        let report = DataReport { classes, inputs, notes, unlike_training, ..DataReport::default() };
        let digest = table.digest().to_owned();
        Ok(LoadedTableEpisodes {
            pools,
            schema,
            digest,
            split_digest: format!("{:x}", of_split.finalize()),
            report,
        })
    }

    fn fit(&self, source: &TableSource, table: &Table, by: By<'_>, train: &[usize]) -> Result<Schema> {
        let targets = by
            .target()
            .map(|target| target.expanded(table, &std::collections::HashSet::new()))
            .transpose()?;
        let targets = match targets.as_deref() {
            Some([target]) => vec![TargetEncoder::fit_one(table, target, train).within(("targets", 0))?],
            Some(many) => {
                return Err(Error::config(
                    "targets",
                    format!(
                        "targets: are {} tasks, one for each column; with `tasks_by` describe the one that all tasks predict",
                        many.len()
                    ),
                ));
            }
            None => Vec::new(),
        };
        let reserved: Vec<&str> = std::iter::once(by.column())
            .chain(targets.iter().flat_map(|target| target.columns().iter().map(String::as_str)))
            .collect();
        let inputs = Encoder::fit(table, &self.inputs, &reserved, train).within("inputs")?;
        Ok(Schema::of_tasks(source.clone(), inputs, targets))
    }
}

/// How many tasks or classes with how many rows each split has.
fn counts<T>(
    pools: &Splits<T>,
    by: By<'_>,
    groups: impl Fn(&T) -> usize,
    rows: impl Fn(&T) -> usize,
) -> Vec<ClassCounts> {
    let of = |(split, pool): (&str, &T)| ClassCounts {
        split: split.to_owned(),
        classes: groups(pool),
        examples: rows(pool),
        called: [by.name()[1], "rows"],
    };
    pools.iter().map(of).collect()
}

/// Inputs `[N, D]` of some rows.
fn encoded(schema: &Schema, table: &Table, rows: &[usize]) -> Result<Tensor> {
    Inputs::from(schema.inputs.encode(table, rows)?).tensor(Kind::Float)
}

/// Labels `[N]` of numbers as `[N, 1]`, others as they are.
fn matrix(labels: Tensor) -> Result<Tensor> {
    Ok(if labels.kind() == Kind::Float && labels.dim() == 1 { labels.f_unsqueeze(1)? } else { labels })
}

/// What pools are made of.
struct Gathered<'a> {
    table: &'a Table,
    schema: &'a Schema,
    groups: &'a RowGroups,
    shots: usize,
}

/// Tasks and rows that no episode is drawn from.
#[derive(Default)]
struct LeftOut {
    tasks: Vec<String>,
    unlabelled: usize,
}

impl LeftOut {
    fn notes(self, shots: usize) -> Vec<Note> {
        let unlabelled = (self.unlabelled > 0)
            .then(|| Note(format!("{} rows have no label and are in no task", self.unlabelled)));
        let tasks = (!self.tasks.is_empty()).then(|| {
            Note(format!(
                "{} tasks have no more than {shots} labelled rows, the number of `shots`, and are left out: {}",
                self.tasks.len(),
                examples(self.tasks.iter().map(String::as_str))
            ))
        });
        unlabelled.into_iter().chain(tasks).collect()
    }
}

impl Gathered<'_> {
    fn pool(&self, classes: &[usize]) -> Result<ClassPool> {
        let rows: Vec<usize> =
            classes.iter().flat_map(|class| self.groups.rows_of(*class)).copied().collect();
        let counts: Vec<i64> = classes.iter().map(|class| self.groups.rows_of(*class).len() as i64).collect();
        let names = classes.iter().filter_map(|class| self.groups.names.get(*class)).cloned().collect();
        ClassPool::new(encoded(self.schema, self.table, &rows)?, &counts, names)
    }

    /// The tasks that have labelled rows enough.
    fn tasks(&self, tasks: &[usize], left_out: &mut LeftOut) -> Result<TaskGroups> {
        let all: Vec<usize> = tasks.iter().flat_map(|task| self.groups.rows_of(*task)).copied().collect();
        let target = self
            .schema
            .targets
            .first()
            .ok_or_else(|| Error::config("targets", "`tasks_by` has no target"))?;
        let labels = matrix(target.encode(self.table, &all)?)?;
        let is_labelled = is_labelled(&labels)?;
        let (mut kept, mut counts, mut names) = (Vec::new(), Vec::new(), Vec::new());
        let mut at = 0;
        for task in tasks {
            let places = at..at + self.groups.rows_of(*task).len();
            at = places.end;
            let own: Vec<i64> = places
                .clone()
                .filter(|place| is_labelled.get(*place) == Some(&true))
                .map(|place| place as i64)
                .collect();
            let name = self.groups.names.get(*task).cloned().unwrap_or_default();
            left_out.unlabelled += places.len() - own.len();
            if own.len() <= self.shots {
                left_out.tasks.push(name);
                continue;
            }
            counts.push(own.len() as i64);
            names.push(name);
            kept.extend(own);
        }
        let kept = Tensor::f_from_slice(&kept)?;
        TaskGroups::new(
            encoded(self.schema, self.table, &all)?.f_index_select(0, &kept)?,
            labels.f_index_select(0, &kept)?,
            &counts,
            names,
        )
    }
}

/// Which of the rows `[M]` int64 or `[M, L]` float32 have a label.
fn is_labelled(labels: &Tensor) -> Result<Vec<bool>> {
    let there = match labels.kind() {
        Kind::Int64 => labels.f_ge(0)?,
        _ => labels.f_isnan()?.f_all_dim(1, false)?.f_logical_not()?,
    };
    Ok(Vec::<bool>::try_from(there.f_to_device(Device::Cpu)?)?)
}
