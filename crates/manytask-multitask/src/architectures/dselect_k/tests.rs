use manytask_tensor::random::Key;
use manytask_tensor::{Graph, gradients};

use super::super::testing::{F64, blueprinted, inputs, linear, mlp, own_rows_are_as_shared_ones, tasks};
use super::*;
use crate::architecture::TaskInputs;

fn network(settings: &DselectKSettings) -> (Box<dyn Architecture>, Params) {
    let network = blueprinted(settings, &tasks(2), &[("trunk", mlp(&[5]))]);
    let params = network.layout().init(1, F64.0, F64.1).unwrap();
    (network, params)
}

/// The same with selectors that have somewhat to say.
fn wider(network: &dyn Architecture, params: &Params, factor: f64) -> Params {
    let slots = network.layout().select(|entry| entry.name.contains("selectors"));
    params.map_slots(&slots, |_, leaf| Ok(leaf * factor)).unwrap()
}

/// The weights of one row by the definition: numbers, bit by bit.
fn by_hand(z: &[Vec<f64>], mixture: &[f64], experts: usize, gamma: f64) -> (Vec<Vec<f64>>, Vec<f64>) {
    let step = |t: f64| {
        if t <= -gamma / 2.0 {
            0.0
        } else if t >= gamma / 2.0 {
            1.0
        } else {
            -2.0 * t.powi(3) / gamma.powi(3) + 3.0 * t / (2.0 * gamma) + 0.5
        }
    };
    let selectors: Vec<Vec<f64>> = z
        .iter()
        .map(|z| {
            let weight = |expert: usize| {
                let bits = (0..z.len()).map(|j| (expert >> (z.len() - 1 - j)) & 1 == 1);
                bits.zip(z).map(|(bit, z)| if bit { step(*z) } else { 1.0 - step(*z) }).product()
            };
            (0..experts).map(weight).collect()
        })
        .collect();
    let total: f64 = mixture.iter().map(|a| a.exp()).sum();
    let gate =
        |expert: usize| selectors.iter().zip(mixture).map(|(r, a)| a.exp() / total * r[expert]).sum::<f64>();
    let gate = (0..experts).map(gate).collect();
    (selectors, gate)
}

#[test]
fn gates_and_regularisers_are_those_of_the_definition() {
    for (experts, nonzeros, routing) in
        [(4, 2, Routing::Example), (3, 1, Routing::Example), (5, 2, Routing::Task)]
    {
        let settings = DselectKSettings { experts, nonzeros, gamma: 0.7, entropy: 0.3, routing };
        let (network, params) = network(&settings);
        let params = wider(network.as_ref(), &params, 20.0);
        let x = inputs(6);
        let mut cx = Context::train(Key::new(1, "a"));
        let found = network.forward(&params, &TaskInputs::shared(&x), &[1], &mut cx).unwrap();
        let x = x.tensor(F64.0).unwrap();
        let logits = |part: &str| -> Tensor {
            let name = format!("gates.t1.{part}");
            match routing {
                Routing::Example => linear(&params, &x, &name),
                Routing::Task => {
                    params.named(&format!("{name}.bias")).unwrap().unsqueeze(0).expand([6, -1], false)
                }
            }
        };
        let (z, mixture) = (logits("selectors"), logits("mixture"));
        let outputs: Vec<Tensor> =
            (0..experts).map(|e| linear(&params, &x, &format!("experts.{e}.layer0")).relu()).collect();
        let (mut entropy, mut reach) = (0.0, 0.0);
        for row in 0..6 {
            let numbers: Vec<f64> = Vec::try_from(z.get(row)).unwrap();
            let z: Vec<Vec<f64>> = numbers.chunks(numbers.len() / nonzeros).map(<[f64]>::to_vec).collect();
            let mixture: Vec<f64> = Vec::try_from(mixture.get(row)).unwrap();
            let (selectors, gate) = by_hand(&z, &mixture, experts, 0.7);
            for r in &selectors {
                entropy -= r.iter().map(|r| r * (r + EPSILON).ln()).sum::<f64>() * 0.3 / 6.0;
                reach += 1.0 / r.iter().sum::<f64>() / 6.0;
            }
            let mixed = outputs.iter().zip(&gate).map(|(f, g)| f.get(row) * *g).reduce(|a, b| a + b);
            let expected = linear(&params, &mixed.unwrap().unsqueeze(0), "heads.t1");
            let difference = found.raw(0).unwrap().get(row) - expected.get(0);
            assert!(difference.abs().max().double_value(&[]) < 1e-12, "{settings:?}");
        }
        let of = |name: &str| {
            let own = found.auxiliary.iter().find(|of| of.name == name)?;
            assert_eq!(own.task, Some(1));
            Some(own.value.double_value(&[]))
        };
        assert!((of("selector_entropy").unwrap() - entropy).abs() < 1e-12);
        let missing = experts.is_power_of_two();
        assert_eq!(of("selector_reach").is_none(), missing);
        assert!(missing || (of("selector_reach").unwrap() - reach).abs() < 1e-12);
    }
}

/// `LibMTL` differentiates the regulariser within the forward pass, and what it gave is wiped before the step.
#[test]
fn the_regulariser_reaches_the_gates_and_makes_them_choose() {
    let settings = DselectKSettings { experts: 4, entropy: 1.0, ..DselectKSettings::default() };
    let (network, params) = network(&settings);
    let x = TaskInputs::shared(&inputs(6));
    let slots = network.layout().select(|entry| entry.name.starts_with("gates.t0.selectors"));
    let mut params = params;
    let mut entropies = Vec::new();
    for _ in 0..40 {
        let with_graph = params.require_grad().unwrap();
        let mut cx = Context::train(Key::new(1, "a"));
        let value = network.forward(&with_graph, &x, &[0], &mut cx).unwrap().auxiliary.remove(0).value;
        let leaves: Vec<&Tensor> = slots.iter().map(|slot| with_graph.get(*slot).unwrap()).collect();
        let found = gradients(&value, &leaves, Graph::Free).unwrap();
        entropies.push(value.double_value(&[]));
        for (slot, gradient) in slots.iter().zip(&found) {
            let moved = params.get(*slot).unwrap().detach() - gradient * 0.05;
            params.put(*slot, moved).unwrap();
        }
    }
    assert!((entropies[0] - 2.0 * 4f64.ln()).abs() < 0.01, "two selectors over four experts are undecided");
    assert!(entropies[39] < 1e-3, "{entropies:?}");
}

#[test]
fn a_decided_gate_has_exact_zeros_and_nothing_is_added_in_evaluation() {
    let settings = DselectKSettings { experts: 8, nonzeros: 1, ..DselectKSettings::default() };
    let (network, params) = network(&settings);
    let params = wider(network.as_ref(), &params, 1e6);
    let moved = network.layout().select(|entry| entry.name.starts_with("experts."));
    let x = TaskInputs::shared(&inputs(1));
    let outputs = |params: &Params| network.forward(params, &x, &[0], &mut Context::eval()).unwrap();
    assert!(outputs(&params).auxiliary.is_empty());
    let reached = moved.iter().filter(|slot| {
        let other = params.map_slots(&[**slot], |_, leaf| Ok(leaf + 1.0)).unwrap();
        outputs(&other).raw(0).unwrap() != outputs(&params).raw(0).unwrap()
    });
    assert_eq!(reached.count(), 2, "weight and bias of one expert");
}

#[test]
fn own_rows_are_mixed_as_shared_ones() {
    let (network, params) = network(&DselectKSettings::default());
    own_rows_are_as_shared_ones(network.as_ref(), &params);
}

#[test]
fn settings_out_of_range_are_refused() {
    let base = DselectKSettings::default();
    for (settings, says) in [
        (DselectKSettings { experts: 1, ..base.clone() }, "`experts` is 1; it must be from 2 to 4096"),
        (DselectKSettings { nonzeros: 9, ..base.clone() }, "`nonzeros` is 9"),
        (DselectKSettings { gamma: 0.0, ..base.clone() }, "`gamma` is 0"),
        (DselectKSettings { entropy: -1.0, ..base }, "`entropy` is -1"),
    ] {
        assert!(settings.check().unwrap_err().to_string().contains(says), "{says}");
    }
}
