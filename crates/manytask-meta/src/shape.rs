//! The forms of tasks, and of the networks that learners want for them.

use manytask_nn::metrics::Output;

/// The form of what tasks are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpisodeShape {
    /// The shape of one example, `[D]` or `[C, H, W]`.
    pub input: Vec<i64>,
    /// What predictions mean.
    pub output: Output,
    /// Classes, or numbers that are predicted.
    pub outputs: i64,
}

/// What a learner wants of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkShape {
    /// The shape of one row that goes into it.
    pub input: Vec<i64>,
    /// The size of its last layer, `head`; `None`: there is none, and what comes out is as the network's settings say.
    pub outputs: Option<i64>,
}

impl EpisodeShape {
    /// Numbers `[inputs]` of which `outputs` numbers are predicted.
    pub fn regression(inputs: i64, outputs: i64) -> Self {
        Self { input: vec![inputs], output: Output::Regression, outputs }
    }

    /// Examples of one of `ways` classes.
    pub fn classes(input: &[i64], ways: i64) -> Self {
        Self { input: input.to_vec(), output: Output::Multiclass, outputs: ways }
    }
}

impl NetworkShape {
    /// The tasks' examples, and no layer `head`: the network embeds them.
    pub fn embedding(shape: &EpisodeShape) -> Self {
        Self { input: shape.input.clone(), outputs: None }
    }
}
