//! What each registry makes of the settings of a method: it holds them behind the trait of their kind.

use std::sync::Arc;

use manytask_meta::LearnerSpec;
use manytask_multitask::{AggregatorSettings, ArchitectureSettings, TrunkSettings};
use manytask_tensor::SettingError;

use crate::data::DataSettings;
use crate::episodes::{BackboneSettings, EpisodeSettings};
use crate::registry::MadeOf;

macro_rules! held_behind {
    ($($holder:ident<dyn $kind:ident>),+ $(,)?) => {
        $(impl<S: $kind + 'static> MadeOf<S> for $holder<dyn $kind> {
            fn made_of(settings: S) -> Result<Self, SettingError> {
                Ok($holder::new(settings))
            }
        })+
    };
}

held_behind!(
    Box<dyn DataSettings>,
    Box<dyn EpisodeSettings>,
    Box<dyn BackboneSettings>,
    Box<dyn ArchitectureSettings>,
    Box<dyn TrunkSettings>,
    Box<dyn AggregatorSettings>,
);

impl<S: LearnerSpec + 'static> MadeOf<S> for Arc<dyn LearnerSpec> {
    fn made_of(settings: S) -> Result<Self, SettingError> {
        settings.check()?;
        Ok(Arc::new(settings))
    }
}
