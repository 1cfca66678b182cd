//! Where a training is faster: on the GPU or on the processor.

use std::time::Duration;

use manytask_tensor::{Device, DeviceChoice};

use crate::device::name;
use crate::experiment::Experiment;
use crate::failure::Result;

/// The experiment on the device on which its steps take less time, where that is left open and there is a GPU: tiny steps are faster on a
/// processor, which launches nothing. `load` loads it on another device. With what is to be said.
///
/// # Errors
/// When it cannot be loaded there.
pub(super) fn fastest(
    experiment: Experiment,
    load: impl FnOnce(DeviceChoice) -> Result<Experiment>,
) -> Result<(Experiment, Option<String>)> {
    if experiment.plan.device != DeviceChoice::Auto || experiment.device == Device::Cpu {
        return Ok((experiment, None));
    }
    let other = load(DeviceChoice::Cpu)?;
    let times = [experiment.time_of_a_step()?, other.time_of_a_step()?];
    let here = times[1].zip(times[0]).is_some_and(|(here, there)| here < there);
    let shown = |time: Option<Duration>| {
        time.map_or("no time, since it fails,".to_owned(), |time| {
            format!("{:.3} ms", time.as_secs_f64() * 1e3)
        })
    };
    let there = name(experiment.device);
    let chosen = if here { "the processor" } else { there.as_str() };
    let said = format!(
        "note: a step takes {} on {there} and {} on the processor: device = \"auto\" takes {chosen}",
        shown(times[0]),
        shown(times[1])
    );
    Ok((if here { other } else { experiment }, Some(said)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use crate::device::open;
    use crate::plan::Plan;
    use crate::registries::Registries;

    const CONFIG: &str = "device = \"auto\"\nprecision = \"tf32\"\nthreads = 1\n[data]\nkind = \"sinusoid\"\n[network]\nkind = \"mlp\"\nhidden = [4]\n\
        [learner]\nkind = \"maml\"\n[aggregator]\nkind = \"equal_weights\"\n[optimizer]\nkind = \"adam\"\nlearning_rate = 0.001\n\
        [training]\nsteps = 3\ntasks_per_step = 6\n[evaluation]\ntasks = 2\n";

    fn plan(device: DeviceChoice) -> Plan {
        let source = Source::new("a.toml".as_ref(), CONFIG, &[]).unwrap();
        Plan { device, ..Plan::read(&source, &Registries::default()).unwrap() }
    }

    #[test]
    fn steps_are_timed_without_a_training_that_goes_on() {
        let experiment = Experiment::load(plan(DeviceChoice::Cpu)).unwrap();
        assert!(experiment.time_of_a_step().unwrap().is_some_and(|time| time > Duration::ZERO));
        assert_eq!(experiment.trainer().unwrap().progress().step, 0);
    }

    #[test]
    fn a_processor_is_told_that_it_does_not_round() {
        let (device, note) = open(&plan(DeviceChoice::Cpu)).unwrap();
        assert_eq!(device, Device::Cpu);
        assert!(note.is_some_and(|note| note.contains("tf32")));
    }

    #[test]
    fn without_a_choice_nothing_is_timed() {
        let experiment = Experiment::load(plan(DeviceChoice::Cpu)).unwrap();
        let (kept, said) = fastest(experiment, |_| unreachable!("another device was asked for")).unwrap();
        assert!(kept.device == Device::Cpu && said.is_none());
    }

    #[test]
    fn a_step_names_what_halves_it() {
        let said = plan(DeviceChoice::Cpu).half_a_step().unwrap();
        assert!(said.contains("6 tasks") && said.contains("training.tasks_per_step = 3"), "{said}");
    }
}
