//! Which classes are for training, validation and test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use manytask_tensor::random::stream;
use manytask_tensor::{ShownPath as _, WHOLE, Within as _};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::error::{did_you_mean, nearest};
use crate::split::check_share;
use crate::{ClassPool, Error, Fractions, Result, Splits};

/// Which classes are for training, validation and test. No class is in two of them: what is judged is the learning of new ones.
///
/// ```
/// use manytask_data::{ClassSplit, Fractions};
/// let split: ClassSplit = toml::from_str("random = { validation = 0.2, test = 0.2, seed = 1 }")?;
/// assert_eq!(split, ClassSplit::Random(Fractions { validation: 0.2, test: 0.2, seed: 1 }));
/// assert!(toml::from_str::<ClassSplit>("random = { test = 0.0 }")?.check().is_err()); // nothing to be judged by
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassSplit {
    /// By the folders `train`, `validation` (which may be missing) and `test`, each with folders of its classes.
    Folders,
    /// By lot; the fractions are of classes.
    Random(Fractions),
    /// By lists of classes, one in each line.
    Lists(ClassLists),
}

/// Files that list the classes of each split, one in each line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassLists {
    /// The list of training classes.
    pub train: PathBuf,
    /// The list of validation classes, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// The list of test classes.
    pub test: PathBuf,
}

impl Default for ClassSplit {
    fn default() -> Self {
        Self::Random(Fractions { validation: 0.0, test: 0.25, seed: 0 })
    }
}

impl ClassSplit {
    /// Refuses shares that no classes can be divided by.
    ///
    /// # Errors
    /// When they leave nothing to train on, or nothing to be judged by.
    pub fn check(&self) -> Result<()> {
        let Self::Random(fractions) = self else { return Ok(()) };
        let shares = || {
            check_share("validation", fractions.validation)?;
            check_share("test", fractions.test)?;
            fractions.check()
        };
        shares().within("random")?;
        if fractions.test == 0.0 {
            return Err(Error::config(
                ["random", "test"],
                "split: `test` is 0, but a learner is judged by classes that it has not seen; give it a share",
            ));
        }
        Ok(())
    }

    /// Whether there may be validation classes.
    pub fn may_have_validation(&self) -> bool {
        match self {
            Self::Folders => true,
            Self::Random(fractions) => fractions.validation > 0.0,
            Self::Lists(lists) => lists.validation.is_some(),
        }
    }

    /// Divides classes that were read from `source`; relative paths of lists start from `folder`.
    ///
    /// # Errors
    /// When a share makes no class, a list cannot be read or names an unknown class or one twice, or folders decide.
    pub fn divide(&self, all: &ClassPool, source: &Path, folder: &Path) -> Result<Splits<ClassPool>> {
        self.divide_names(all.names(), source, folder)?.map(|classes| all.select(&classes))
    }

    /// The classes of each split, counted from 0, by their names.
    ///
    /// # Errors
    /// As [`ClassSplit::divide`].
    pub(crate) fn divide_names(
        &self,
        names: &[String],
        source: &Path,
        folder: &Path,
    ) -> Result<Splits<Vec<usize>>> {
        self.check()?;
        match self {
            Self::Folders => Err(Error::config(
                WHOLE,
                "split = \"folders\" is for folders of pictures; set split.random, or split.lists",
            )),
            Self::Random(fractions) => by_lot(names.len(), *fractions, source),
            Self::Lists(ClassLists { train, validation, test }) => {
                let mut taken = HashMap::new();
                let mut of = |list: &PathBuf| listed(names, source, &folder.join(list), &mut taken);
                Ok(Splits {
                    train: of(train)?,
                    validation: validation.as_ref().map(&mut of).transpose()?,
                    test: Some(of(test)?),
                })
            }
        }
    }
}

fn by_lot(count: usize, fractions: Fractions, source: &Path) -> Result<Splits<Vec<usize>>> {
    let of = |share: f64| (share * count as f64).round() as usize;
    let (validation, test) = (of(fractions.validation), of(fractions.test));
    for (key, share, classes) in
        [("validation", fractions.validation, validation), ("test", fractions.test, test)]
    {
        if share > 0.0 && classes == 0 {
            return Err(Error::config(
                ["random", key],
                format!(
                    "split: {key} = {share} of the {count} classes of {} makes no class; take a larger share",
                    source.shown()
                ),
            ));
        }
    }
    if validation + test >= count {
        return Err(Error::config(
            ["random", "test"],
            format!(
                "split: {validation} classes for validation and {test} for test leave none of the {count} of {} to train on; \
             take smaller shares, or add classes",
                source.shown()
            ),
        ));
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut stream(fractions.seed, "class split", 0, 0));
    let mut order = order.into_iter();
    let mut split = |count: usize| {
        let mut classes: Vec<usize> = order.by_ref().take(count).collect();
        classes.sort_unstable();
        classes
    };
    let test = split(test);
    let validation = (validation > 0).then(|| split(validation));
    Ok(Splits { train: split(usize::MAX), validation, test: Some(test) })
}

/// The numbers of the classes that a file lists. `taken` has the places of those that were listed before: a class that stands
/// twice would be two classes of a task, or be trained on and judged by.
pub(crate) fn listed(
    names: &[String],
    source: &Path,
    path: &Path,
    taken: &mut HashMap<usize, String>,
) -> Result<Vec<usize>> {
    let text = fs_err::read_to_string(path).map_err(|error| Error::io(path, error))?;
    let index: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
    let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
    let classes = lines.map(|(number, line)| {
        let place = format!("line {}", number + 1);
        let Some(&class) = index.get(line) else {
            let suggestion = did_you_mean(nearest(line, index.keys().copied()).as_deref());
            let message = format!("no class `{line}` in {}{suggestion}", source.shown());
            return Err(Error::corrupt(path, place, message));
        };
        match taken.insert(class, format!("{}, {place}", path.shown())) {
            None => Ok(class),
            Some(before) => {
                let message =
                    format!("class `{line}` is listed in {before} already; leave one of the two out");
                Err(Error::corrupt(path, place, message))
            }
        }
    });
    let classes = classes.collect::<Result<Vec<_>>>()?;
    if classes.is_empty() {
        return Err(Error::corrupt(path, "line 1", "lists no class"));
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use manytask_tensor::{Device, Kind, Tensor};

    use super::*;

    fn classes(count: usize) -> ClassPool {
        let images = Tensor::zeros([2 * count as i64, 1, 2, 2], (Kind::Uint8, Device::Cpu));
        let names = (0..count).map(|class| format!("c{class}")).collect();
        ClassPool::new(images, &vec![2; count], names).unwrap()
    }

    fn divided(text: &str, count: usize) -> Result<Splits<ClassPool>> {
        let split: ClassSplit = toml::from_str(text).unwrap();
        split.divide(&classes(count), Path::new("mine"), Path::new("."))
    }

    #[test]
    fn a_seed_divides_classes_and_no_class_is_in_two_splits() {
        let text = "random = { validation = 0.2, test = 0.3, seed = 4 }";
        let names = |splits: &Splits<ClassPool>| {
            splits.iter().map(|(_, pool)| pool.names().to_vec()).collect::<Vec<_>>()
        };
        let splits = divided(text, 10).unwrap();
        let sizes: Vec<usize> = splits.iter().map(|(_, pool)| pool.classes()).collect();
        assert_eq!(sizes, [5, 2, 3]);
        let mut all = names(&splits).concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10);
        assert_eq!(names(&splits), names(&divided(text, 10).unwrap()));
        assert_ne!(names(&splits), names(&divided(&text.replace('4', "5"), 10).unwrap()));
    }

    #[test]
    fn shares_without_a_class_are_refused() {
        for (text, count, expected) in [
            ("random = { test = 0.1 }", 3, "test = 0.1 of the 3 classes of mine makes no class"),
            ("random = { test = 0.5, validation = 0.4 }", 2, "leave none of the 2"),
            ("random = { test = 0.0 }", 9, "`test` is 0"),
            ("random = { test = 1.5 }", 9, "must be a share"),
        ] {
            let error = divided(text, count).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let folders = ClassSplit::Folders.divide(&classes(3), Path::new("x"), Path::new(".")).unwrap_err();
        assert!(folders.to_string().contains("set split.random"));
    }

    #[test]
    fn lists_name_classes_once() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs_err::write(dir.path().join(name), text).unwrap();
        write("train.txt", "c2\nc0\n");
        write("test.txt", "c1\r\n\n");
        let split: ClassSplit = toml::from_str("lists = { train = 'train.txt', test = 'test.txt' }").unwrap();
        assert!(!split.may_have_validation());
        let splits = split.divide(&classes(3), Path::new("mine"), dir.path()).unwrap();
        assert_eq!(splits.train.names(), ["c2", "c0"]);
        assert_eq!(splits.test.unwrap().names(), ["c1"]);
        for (text, expected) in
            [("c1\nc2\n", "listed in"), ("c9\n", "no class `c9` in mine"), ("\n", "no class")]
        {
            write("test.txt", text);
            let error = split.divide(&classes(3), Path::new("mine"), dir.path()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
