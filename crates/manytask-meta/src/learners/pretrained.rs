//! What learners share whose network a pretraining alone trains.

/// Implements [`LearnerSpec`](crate::LearnerSpec) for settings of a head on the features of a network that a pretraining alone trains: by their
/// method `head(self, b, backbone, classes)`.
macro_rules! pretrained {
    ($settings:ident) => {
        impl $crate::LearnerSpec for $settings {
            fn name(&self) -> &'static str {
                Self::NAME
            }

            fn network(&self, shape: &$crate::EpisodeShape) -> $crate::NetworkShape {
                $crate::NetworkShape::embedding(shape)
            }

            fn learns_from(&self) -> $crate::LearnsFrom {
                $crate::LearnsFrom::BaseClasses
            }

            fn build(
                &self,
                b: &mut manytask_nn::Builder<'_>,
                backbone: &$crate::Backbone<'_>,
                shape: &$crate::EpisodeShape,
            ) -> manytask_multitask::Result<Box<dyn $crate::Learner>> {
                let classes = $crate::embedding::classes(Self::NAME, shape)?;
                Ok(Box::new($crate::head::Embedding(self.head(b, backbone, classes)?)))
            }
        }
    };
}

pub(super) use pretrained;
