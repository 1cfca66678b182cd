//! What learners share whose network encodes pairs of an example and its label.

/// Implements [`LearnerSpec`](crate::LearnerSpec) for settings of a process on encoded pairs: by their method
/// `process(&self, b, backbone, shape, numbers)`, where an example has so many numbers.
macro_rules! of_pairs {
    ($settings:ident) => {
        impl $crate::LearnerSpec for $settings {
            fn name(&self) -> &'static str {
                Self::NAME
            }

            fn network(&self, shape: &$crate::EpisodeShape) -> $crate::NetworkShape {
                $crate::process::pairs_shape(shape)
            }

            fn build(
                &self,
                b: &mut manytask_nn::Builder<'_>,
                backbone: &$crate::Backbone<'_>,
                shape: &$crate::EpisodeShape,
            ) -> manytask_multitask::Result<Box<dyn $crate::Learner>> {
                let numbers = $crate::process::numbers(Self::NAME, shape)?;
                Ok(Box::new(self.process(b, backbone, shape, numbers)?))
            }
        }
    };
}

pub(super) use of_pairs;

/// The hidden layers of a perceptron, with the usual settings beside them.
pub(super) fn hidden(sizes: &[i64]) -> manytask_nn::nets::MlpConfig {
    manytask_nn::nets::MlpConfig { hidden: sizes.to_vec(), ..manytask_nn::nets::MlpConfig::default() }
}
