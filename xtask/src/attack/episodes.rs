//! Random valid configurations of learners: on functions, on drawings, and on the rows of a table.

use std::collections::BTreeMap;

use anyhow::Result;

use super::names::{Fit, Names};
use super::random::Rng;
use super::scenario::{Length, Scenario, Shared, TABLE, Text, aggregator, head, schedule, training};
use super::{pictures, row_families};

/// Where the tasks of a learner come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Family {
    /// Sine waves.
    #[default]
    Sinusoid,
    /// Functions of Gaussian processes.
    GaussianProcess,
    /// Drawings of characters.
    Drawings,
    /// Drawings, of which single examples are learned from first.
    Pretrained,
    /// The rows of a table with one value in a column.
    RowTasks,
    /// The values of a column as classes.
    Classes,
}

impl Family {
    const ALL: [Self; 6] = [
        Self::Sinusoid,
        Self::GaussianProcess,
        Self::Drawings,
        Self::Pretrained,
        Self::RowTasks,
        Self::Classes,
    ];

    fn learners(self, names: &Names) -> &[String] {
        names.fitting(match self {
            Self::Sinusoid | Self::GaussianProcess => Fit::Functions,
            Self::Drawings | Self::Classes => Fit::Classes,
            Self::Pretrained => Fit::Pretrained,
            Self::RowTasks => Fit::RowTasks,
        })
    }

    fn is_drawings(self) -> bool {
        matches!(self, Self::Drawings | Self::Pretrained)
    }
}

/// A learner with its episodes.
pub(crate) fn draw(rng: &mut Rng, names: &Names, length: Length) -> Result<Scenario> {
    let family = rng.pick(&Family::ALL);
    let mut text = Text::from(head(rng));
    let mut files = if family.is_drawings() { pictures::archives(rng)? } else { BTreeMap::new() };
    let mut examples = None;
    let mut validated = rng.chance(0.5);
    match family {
        Family::Sinusoid => text.add(format!(
            "[data]\nkind = \"sinusoid\"\nshots = {}\nqueries = {}\n",
            rng.between(2, 6),
            rng.between(2, 6)
        )),
        Family::GaussianProcess => text.add(format!(
            "[data]\nkind = \"gaussian_process\"\nshots = [2, {}]\npoints = {}\n",
            rng.between(2, 6),
            rng.between(8, 12)
        )),
        Family::Drawings | Family::Pretrained => text.add(drawings(rng)),
        Family::RowTasks | Family::Classes => {
            let drawn = row_families::draw(rng, family == Family::Classes);
            text.add(&drawn.data);
            validated &= drawn.validated;
            files.insert(TABLE.to_owned(), drawn.table.csv().into_bytes());
            examples = Some(drawn.table);
        }
    }
    text.add(network(rng, family.is_drawings()));
    text.add(learner(rng, names, family));
    text.add(aggregator(rng, names, names.fitting(Fit::SampledTasks), &[], Shared::No));
    text.add(schedule(rng, names, validated));
    text.add(format!("[training]\n{}", training(rng, shortened(length, family), validated)));
    let execution = rng.pick(&["\"auto\"", "\"loop\"", "\"batched\"", "{ threads = 2 }"]);
    text.add(format!("tasks_per_step = {}\nexecution = {execution}\n", rng.between(1, 4)));
    if rng.chance(0.1) {
        text.add("freeze = [\"layer0\"]\n");
    }
    text.add(format!("[evaluation]\ntasks = {}\nqueries = 3\n", rng.between(2, 6)));
    Ok(Scenario { config: text.done(), files, table: None, examples })
}

/// `[learner]`, and `[pretraining]` before tasks.
fn learner(rng: &mut Rng, names: &Names, family: Family) -> String {
    let learner = rng.pick(family.learners(names));
    let mut text = Text::from(format!("[learner]\nkind = {learner:?}\n"));
    if names.has_key(&learner, "inner_steps") {
        text.add(format!("inner_steps = {}\n", rng.between(1, 4)));
        if names.has_key(&learner, "inner_learning_rate") {
            text.add("inner_learning_rate = 0.05\n");
        }
        if learner == "maml" && rng.chance(0.2) {
            text.add("inner_rule = { sgd = { momentum = 0.5 } }\n");
        }
        if learner == "maml" && rng.chance(0.2) {
            text.add("checkpoint_every = 2\n");
        }
    }
    if family == Family::Pretrained {
        let classifier = rng.pick(&["\"linear\"", "{ cosine = { scale = 2.0 } }"]);
        text.add(format!("[pretraining]\nbatch_size = {}\nclassifier = {classifier}\n", rng.between(2, 20)));
        // A learner that learns from no task has as many steps of it as there are at all.
        if !names.fitting(Fit::Classes).contains(&learner) {
            return text.done();
        }
        text.set("steps", rng.between(1, 3));
    }
    text.done()
}

/// Steps on drawings take longer.
fn shortened(length: Length, family: Family) -> Length {
    if family.is_drawings() { Length::Short } else { length }
}

fn drawings(rng: &mut Rng) -> String {
    let split = rng.pick(&[
        "random = { train = 4, validation = 2, seed = 1 }",
        "random = { train = 5, validation = 3 }",
    ]);
    let rotations = rng.pick(&["none", "quarter"]);
    format!(
        "[data]\nkind = \"omniglot\"\nfolder = {:?}\nsplit.{split}\nrotations = {rotations:?}\nways = 2\nshots = {}\n\
         queries = {}\nsize = {}\n",
        pictures::FOLDER,
        rng.between(1, 2),
        rng.between(1, 2),
        rng.pick(&[16, 20])
    )
}

fn network(rng: &mut Rng, drawings: bool) -> String {
    if drawings && rng.chance(0.5) {
        return "[network]\nkind = \"conv4\"\nhidden = 4\nblocks = 2\n".to_owned();
    }
    let activation = rng.pick(&["relu", "tanh", "silu"]);
    let norm = rng.pick(&["none", "none", "layer", "batch"]);
    let hidden = rng.pick(&["[8]", "[8, 4]"]);
    format!("[network]\nkind = \"mlp\"\nhidden = {hidden}\nactivation = {activation:?}\nnorm = {norm:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learners_are_given_what_they_fit() {
        let mut names = Names::parse(
            "optimizer [optimizer]\n  sgd x\nschedule [schedule]\n  constant x\nlearner [learner]\n  maml x\n",
        );
        for (fit, name) in [
            (Fit::SampledTasks, "mgda"),
            (Fit::Functions, "of_functions"),
            (Fit::RowTasks, "of_rows"),
            (Fit::Classes, "of_classes"),
            (Fit::Pretrained, "of_classes"),
            (Fit::Pretrained, "of_examples"),
        ] {
            names.take(fit, name);
        }
        let mut kinds = BTreeMap::new();
        for number in 0..120 {
            let scenario = draw(&mut Rng::new(1, "episodes", number), &names, Length::Short).unwrap();
            let config = &scenario.config;
            let of = |learner: &str| config.contains(&format!("[learner]\nkind = {learner:?}"));
            let kind = config.lines().find(|line| line.starts_with("kind = ")).unwrap().to_owned();
            assert!(config.contains("[aggregator]\nkind = \"mgda\""), "{config}");
            assert_eq!(
                of("of_functions"),
                kind.contains("sinusoid") || kind.contains("gaussian"),
                "{config}"
            );
            assert_eq!(of("of_rows"), config.contains("tasks_by"), "{config}");
            assert_eq!(scenario.examples.is_some(), kind.contains("table"), "{config}");
            assert!(!of("of_examples") || config.contains("[pretraining]"), "{config}");
            *kinds.entry(kind).or_insert(0) += 1;
        }
        assert!(kinds.len() == 4 && kinds.values().all(|count| *count > 5), "{kinds:?}");
    }
}
