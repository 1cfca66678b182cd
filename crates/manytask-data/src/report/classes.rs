use crate::{ClassPool, Splits};

/// The classes of a split that episodes are drawn from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// The part.
    pub split: String,
    /// How many classes it has.
    pub classes: usize,
    /// How many images these have together.
    pub images: usize,
}

impl Splits<ClassPool> {
    /// How many classes and images there are.
    pub fn counts(&self) -> Vec<ClassCounts> {
        let of = |(split, pool): (&str, &ClassPool)| ClassCounts {
            split: split.to_owned(),
            classes: pool.classes(),
            images: (0..pool.classes()).map(|class| pool.count(class)).sum(),
        };
        self.iter().map(of).collect()
    }
}
