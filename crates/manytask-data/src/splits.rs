//! What a data set consists of: something for training, and perhaps for validation and test.

use manytask_tensor::Device;

use crate::{ClassPool, Result, SplitData};

/// The names of the splits, in their order.
pub(crate) const SPLITS: [&str; 3] = ["train", "validation", "test"];

/// One thing for each split of a data set: rows, classes of images, files.
///
/// ```
/// use manytask_data::Splits;
/// let rows = Splits { train: 70, validation: None, test: Some(30) };
/// assert_eq!(rows.iter().collect::<Vec<_>>(), [("train", &70), ("test", &30)]);
/// let halves = rows.map(|rows| Ok::<_, std::convert::Infallible>(rows / 2));
/// assert_eq!(halves?.test, Some(15));
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Splits<T> {
    /// What is fitted.
    pub train: T,
    /// What early stopping and the choice between models look at, if there is such a split.
    pub validation: Option<T>,
    /// What the result is reported on, if there is such a split.
    pub test: Option<T>,
}

impl<T> Splits<T> {
    /// Training data alone.
    pub fn train(train: T) -> Self {
        Self { train, validation: None, test: None }
    }

    /// Each split that there is, by its name: `train`, `validation`, `test`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &T)> {
        let all = [Some(&self.train), self.validation.as_ref(), self.test.as_ref()];
        SPLITS.into_iter().zip(all).filter_map(|(name, of)| Some((name, of?)))
    }

    /// The same splits of borrowed things.
    pub fn as_ref(&self) -> Splits<&T> {
        Splits { train: &self.train, validation: self.validation.as_ref(), test: self.test.as_ref() }
    }

    /// The same splits of other things; the first error ends it.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<Splits<U>, E> {
        Ok(Splits {
            train: f(self.train)?,
            validation: self.validation.map(&mut f).transpose()?,
            test: self.test.map(&mut f).transpose()?,
        })
    }
}

impl Splits<SplitData> {
    /// The tasks with these names alone, in the order of the data, with the rows that they need.
    ///
    /// # Errors
    /// When no task has one of the names.
    pub fn select(self, names: &[&str]) -> Result<Self> {
        self.map(|split| split.select_tasks(names))
    }

    /// All rows on a device.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        self.as_ref().map(|split| split.to_device(device))
    }
}

impl Splits<ClassPool> {
    /// All images on a device.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn to_device(&self, device: Device) -> Result<Self> {
        self.as_ref().map(|pool| pool.to_device(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::numbered_split;

    #[test]
    fn tasks_are_selected_with_their_own_rows_or_with_those_of_all() {
        let names = |split: &SplitData| split.tasks.iter().map(|task| task.name.clone()).collect::<Vec<_>>();
        for (streams, kept) in [(&[2, 3, 4][..], &[2, 4][..]), (&[5], &[5])] {
            let splits = Splits {
                train: numbered_split(streams, 3),
                validation: None,
                test: Some(numbered_split(streams, 3)),
            };
            let some = splits.select(&["task2", "task0"]).unwrap();
            assert!(some.validation.is_none());
            for (_, split) in some.iter() {
                assert_eq!(
                    (names(split), split.streams()),
                    (vec!["task0".into(), "task2".into()], kept.to_vec())
                );
            }
        }
        let error = Splits::train(numbered_split(&[2], 2)).select(&["task0", "tusk"]).unwrap_err();
        assert_eq!(error.to_string(), "there is no task `tusk`; did you mean `task1`?");
    }

    #[test]
    fn an_error_in_one_split_is_the_error_of_all() {
        let splits = Splits { train: 1, validation: Some(2), test: Some(3) };
        assert_eq!(splits.map(|number| if number == 2 { Err(number) } else { Ok(number) }), Err(2));
        assert_eq!(splits.as_ref().map(|number| Ok::<_, ()>(number + 1)).unwrap().test, Some(4));
    }
}
