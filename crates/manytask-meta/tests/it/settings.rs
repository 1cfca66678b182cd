use manytask_meta::multitask::{Part, Problem};
use manytask_meta::nn::optim::{Optimizer, Sgd};
use manytask_meta::tensor::{Device, Kind};
use manytask_meta::{Adapts, Execution, InnerRule, Maml, MetaSettings, ProtoNet};

use crate::source::sinusoids;

fn refused(learner: Maml, settings: MetaSettings) -> String {
    sinusoids(Box::new(learner), settings).unwrap_err().to_string()
}

#[test]
fn settings_that_cannot_be_are_refused_with_a_remedy() {
    let good = MetaSettings::default;
    assert!(refused(Maml { inner_steps: 0, ..Maml::default() }, good()).contains("inner_steps is 0"));
    assert!(refused(Maml { inner_steps: 1_000_000, ..Maml::default() }, good()).contains("take 1 to"));
    assert!(
        refused(Maml { inner_learning_rate: -1.0, ..Maml::default() }, good())
            .contains("inner_learning_rate")
    );
    let unknown = refused(Maml { adapts: Adapts::Named(vec!["tail".into()]), ..Maml::default() }, good());
    assert!(unknown.contains("tail") && unknown.contains("head.weight"), "{unknown}");
    let rule = InnerRule(Optimizer::Sgd(Sgd { momentum: 2.0, ..Sgd::default() }));
    assert!(refused(Maml { inner_rule: rule, ..Maml::default() }, good()).contains("momentum"));
    assert!(refused(Maml::default(), MetaSettings { tasks_per_step: 0, ..good() }).contains("0 tasks"));
    assert!(
        refused(Maml::default(), MetaSettings { execution: Execution::Threads(0), ..good() })
            .contains("threads")
    );
}

#[test]
fn prototypes_of_values_are_an_error_and_no_panic() {
    let problem = sinusoids(
        Box::new(ProtoNet::default()),
        MetaSettings { evaluation_tasks: 2, ..MetaSettings::default() },
    )
    .unwrap();
    let params = problem.layout().init(1, Kind::Double, Device::Cpu).unwrap();
    let error = problem.evaluate(&params, Part::Test).unwrap_err().to_string();
    assert!(error.contains("classes"), "{error}");
}

#[test]
fn settings_are_read_by_their_names_and_no_others() {
    let maml: Maml = serde_json::from_str(
        r#"{"inner_steps": 5, "adapts": {"named": ["layer0"]}, "outer_gradient": "first_order", "inner_rule": {"adam": {}}}"#,
    )
    .unwrap();
    assert_eq!((maml.inner_steps, maml.adapts), (5, Adapts::Named(vec!["layer0".into()])));
    assert!(serde_json::from_str::<Maml>(r#"{"inner_step": 5}"#).is_err());
    assert!(serde_json::from_str::<ProtoNet>(r#"{"distance": "cosine"}"#).is_err());
    let threads: Execution = serde_json::from_str(r#"{"threads": 2}"#).unwrap();
    assert_eq!(threads, Execution::Threads(2));
}
