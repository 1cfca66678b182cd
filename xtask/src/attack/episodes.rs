//! Random valid configurations of learners on sine waves and on drawings.

use std::collections::BTreeMap;

use anyhow::Result;

use super::names::Names;
use super::pictures;
use super::random::Rng;
use super::scenario::{Length, Scenario, Shared, Text, aggregator, head, schedule, training};

/// A learner with its episodes.
pub(crate) fn draw(rng: &mut Rng, names: &Names, length: Length) -> Result<Scenario> {
    let drawings = rng.chance(0.3);
    let mut text = Text::from(head(rng));
    let mut files = BTreeMap::new();
    if drawings {
        files = pictures::archives(rng)?;
    }
    let learners: Vec<String> =
        names.of("learner").iter().filter(|kind| drawings || *kind != "protonet").cloned().collect();
    let learner = rng.pick(&learners);
    text.add(data(rng, drawings));
    let validated = rng.chance(0.5);
    text.add(network(rng, drawings));
    text.add(format!("[learner]\nkind = {learner:?}\n"));
    if names.has_key(&learner, "inner_steps") {
        text.add(format!("inner_steps = {}\ninner_learning_rate = 0.05\n", rng.between(1, 4)));
        if rng.chance(0.2) {
            text.add("inner_rule = { sgd = { momentum = 0.5 } }\n");
        }
        if learner == "maml" && rng.chance(0.2) {
            text.add("checkpoint_every = 2\n");
        }
    }
    text.add(aggregator(rng, names, names.of_sampled_tasks(), &[], Shared::No));
    text.add(schedule(rng, names, validated));
    text.add(format!("[training]\n{}", training(rng, shortened(length, drawings), validated)));
    let execution = rng.pick(&["\"auto\"", "\"loop\"", "\"batched\"", "{ threads = 2 }"]);
    text.add(format!("tasks_per_step = {}\nexecution = {execution}\n", rng.between(1, 4)));
    text.add(format!("[evaluation]\ntasks = {}\nqueries = 3\n", rng.between(2, 6)));
    Ok(Scenario { config: text.done(), files, table: None })
}

/// Steps on drawings take longer.
fn shortened(length: Length, drawings: bool) -> Length {
    if drawings { Length::Short } else { length }
}

fn data(rng: &mut Rng, drawings: bool) -> String {
    if !drawings {
        return format!(
            "[data]\nkind = \"sinusoid\"\nshots = {}\nqueries = {}\n",
            rng.between(2, 6),
            rng.between(2, 6)
        );
    }
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
    fn protonet_is_given_classes() {
        let mut names = Names::parse(
            "learner [learner]\n  maml x\n  protonet x\naggregator [aggregator]\n  mgda x\n  fixed_weights x\n\
             optimizer [optimizer]\n  sgd x\nschedule [schedule]\n  constant x\n",
        );
        names.take_for_sampled_tasks("mgda");
        let mut kinds = [0, 0];
        for number in 0..60 {
            let scenario = draw(&mut Rng::new(1, "episodes", number), &names, Length::Short).unwrap();
            let drawings = scenario.config.contains("omniglot");
            kinds[usize::from(drawings)] += 1;
            assert!(drawings || !scenario.config.contains("protonet"), "{}", scenario.config);
            assert!(!scenario.config.contains("fixed_weights"), "{}", scenario.config);
            assert_eq!(scenario.files.is_empty(), !drawings);
        }
        assert!(kinds.iter().all(|count| *count > 5), "{kinds:?}");
    }
}
