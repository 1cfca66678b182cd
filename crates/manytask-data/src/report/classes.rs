use crate::{ClassPool, Splits};

/// The classes, or tasks, of a split that episodes are drawn from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// The part.
    pub split: String,
    /// How many classes it has.
    pub classes: usize,
    /// How many images or rows these have together.
    pub examples: usize,
    /// What they and their examples are called, as `["classes", "images"]`.
    pub called: [&'static str; 2],
}

impl Splits<ClassPool> {
    /// How many classes and images there are.
    pub fn counts(&self) -> Vec<ClassCounts> {
        let of = |(split, pool): (&str, &ClassPool)| ClassCounts {
            split: split.to_owned(),
            classes: pool.classes(),
            examples: pool.len(),
            called: ["classes", "images"],
        };
        self.iter().map(of).collect()
    }
}
