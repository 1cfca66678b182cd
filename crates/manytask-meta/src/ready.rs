//! What can be known of episodes and a network before the first step.

use manytask_data::Episodes;
use manytask_multitask::{Error, Result, Split};
use manytask_tensor::random::Key;
use manytask_tensor::{WHOLE, no_grad};

use crate::episode::Randomness;
use crate::episodes::{purpose, select};
use crate::problem::MetaProblem;

/// Refuses a split that cannot give the tasks of a training, or those of an evaluation where it is not the training split; and
/// tasks of which a layer of the network cannot take the support set or the query set.
pub(crate) fn ready(problem: &MetaProblem, split: Split) -> Result<()> {
    let queries = if split == Split::Train { None } else { problem.settings.evaluation_queries };
    problem.source.check(split, queries)?;
    let episodes = problem.source.episodes(split, 0, 0..1, queries)?;
    fits(problem, &select(&episodes, 0)?, split)
}

/// A pass of at most two examples of each set, with parameters of zero: more rows are no news to any layer.
fn fits(problem: &MetaProblem, episode: &Episodes, split: Split) -> Result<()> {
    let _off = no_grad();
    let params = problem.layout.zeros(episode.support_x.kind(), episode.support_x.device())?;
    // As in training, where a batch-norm takes the statistics of what it sees.
    let random =
        (split == Split::Train).then(|| Randomness { key: Key::new(0, "ready"), ids: vec![0], step: 0 });
    let episode = problem.objective.episode(episode, None, random);
    let support = &episode.support;
    for (x, set) in [(&support.x, "support set"), (&episode.query_x, "query set")] {
        let shape = x.size();
        let Some((&examples, example)) = shape.split_first() else { continue };
        if *example != *problem.network_input {
            // The learner makes something else of examples before they go through the network.
            continue;
        }
        let rows = x.f_narrow(0, 0, examples.min(2))?;
        let passed = support.forward(support.network, &params, &rows, 0);
        passed.map(drop).map_err(|error| match error {
            Error::Nn(manytask_nn::Error::Tensor(error)) => error.into(),
            Error::Nn(refused) => {
                let remedy = match examples {
                    1 => "take 2 shots and 2 queries at least, or another `norm`",
                    _ => "change the network, or the form of the examples",
                };
                let (split, plural) = (purpose(split), if examples == 1 { "" } else { "s" });
                let set = format!("the {set} of a task of the {split} split has {examples} example{plural}");
                Error::setting(WHOLE, format!("{set}, which the network cannot take: {refused}"), remedy)
            }
            other => other,
        })?;
    }
    Ok(())
}
