//! Names that settings can have beside those of a `kind`, shown by `list` and `explain`.

mod aggregation;
mod data;
mod learners;
mod networks;
mod tables;
mod training;

use self::aggregation::AGGREGATION;
use self::data::DATA;
use self::learners::LEARNERS;
use self::networks::NETWORKS;
use self::tables::TABLES;
use self::training::TRAINING;

/// The names that one setting can have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    /// What they are.
    pub(crate) kind: &'static str,
    /// Where they stand.
    pub(crate) place: &'static str,
    /// Each with what it is, and how it is written with its settings.
    pub(crate) names: &'static [(&'static str, &'static str, &'static str)],
}

/// All, by what they are.
pub(crate) fn choices() -> impl Iterator<Item = &'static Choice> {
    [DATA, NETWORKS, TRAINING, LEARNERS, TABLES, AGGREGATION].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// The names that a type takes, as its own message lists them.
    fn known<T: DeserializeOwned>() -> Vec<String> {
        let message = match toml::Value::from("no such name").try_into::<T>() {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        };
        message.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
    }

    fn complete<T: DeserializeOwned>(kind: &str) {
        let choice = choices().find(|choice| choice.kind == kind).unwrap();
        let mut listed: Vec<&str> = choice.names.iter().map(|(name, ..)| *name).collect();
        let mut known = known::<T>();
        listed.sort_unstable();
        known.sort_unstable();
        assert_eq!(listed, known, "{kind}");
    }

    #[test]
    fn every_name_of_every_setting_is_explained() {
        complete::<manytask_nn::loss::Loss>("loss");
        complete::<manytask_nn::metrics::Metric>("metric");
        complete::<manytask_nn::calibration::Calibration>("calibration");
        complete::<manytask_nn::calibration::Decision>("decision");
        complete::<manytask_data::TargetKind>("target kind");
        complete::<manytask_data::SplitRule>("split");
        complete::<manytask_data::Scale>("scale");
        complete::<manytask_data::OmniglotSplit>("characters");
        complete::<manytask_data::Rotations>("rotations");
        complete::<manytask_multitask::architectures::Units>("units");
        complete::<manytask_nn::layers::Activation>("activation");
        complete::<manytask_nn::nets::Norm>("norm");
        complete::<manytask_nn::nets::Init>("init");
        complete::<manytask_nn::Precision>("precision");
        complete::<manytask_tensor::capture::Capture>("capture");
        complete::<manytask_data::BatchOrder>("batch order");
        complete::<manytask_data::LastBatch>("last batch");
        complete::<manytask_multitask::Goal>("goal");
        complete::<manytask_multitask::Across>("across");
        complete::<manytask_nn::optim::Decay>("decay");
        complete::<manytask_meta::Execution>("execution");
        complete::<manytask_multitask::Execution>("execution of rows");
        complete::<manytask_meta::Adapts>("adapts");
        complete::<manytask_meta::OuterGradient>("outer gradient");
        complete::<manytask_meta::BatchNormStatistics>("batch-norm statistics");
        complete::<manytask_meta::LearnedRates>("learned rates");
        complete::<manytask_meta::FeatureTransform>("feature transform");
        complete::<manytask_meta::Classifier>("classifier");
        complete::<manytask_data::TaskSampling>("task sampling");
        complete::<manytask_data::WeightIn>("weights");
        complete::<manytask_data::Quotes>("quotes");
        complete::<manytask_multitask::Level>("level");
        complete::<manytask_multitask::aggregators::Normalisation>("normalisation");
        complete::<manytask_multitask::aggregators::Rescale>("rescale");
        complete::<manytask_multitask::aggregators::Scale>("singular value");
        complete::<manytask_multitask::aggregators::WeightScale>("weight scale");
        complete::<manytask_multitask::aggregators::LossTransform>("loss transform");
        complete::<manytask_multitask::aggregators::InitialLoss>("initial loss");
        complete::<manytask_multitask::aggregators::MaximumForm>("maximum");
        complete::<manytask_multitask::aggregators::WeightDistribution>("distribution");
        complete::<manytask_multitask::aggregators::Form>("likelihood");
        complete::<manytask_multitask::aggregators::ChangeRate>("change");
    }

    #[test]
    fn every_example_is_of_its_name() {
        for (name, _, text) in choices().flat_map(|choice| choice.names) {
            assert!(text.parse::<toml::Table>().is_ok_and(|table| !table.is_empty()), "{text}");
            assert!(text.contains(name), "{name}: {text}");
        }
        for (_, _, text) in choices().filter(|choice| choice.kind == "loss").flat_map(|choice| choice.names) {
            let table = text.parse::<toml::Table>().unwrap();
            table["loss"].clone().try_into::<manytask_nn::loss::Loss>().unwrap().check().unwrap();
        }
        for (_, _, text) in choices().filter(|choice| choice.kind == "split").flat_map(|choice| choice.names)
        {
            let table = text.parse::<toml::Table>().unwrap();
            table["split"].clone().try_into::<manytask_data::SplitRule>().unwrap().check().unwrap();
        }
    }
}
