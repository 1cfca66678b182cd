//! Methods with a state or a closed formula against independently computed numbers, step by step. The whole set is read where
//! `MANYTASK_GOLDEN` points, else a part kept here.

use std::collections::{BTreeMap, BTreeSet};

use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, Config, Cosmos, DbMtl, DualProj, Dwa, EqualWeights, ExcessMtl, FairGrad, Famo,
    GeometricMean, GradNorm, GradVac, ImtlG, ImtlL, Krum, Mgda, MoCo, MoDo, NashMtl, Pbi, PcGrad, Preference,
    Rescale, Scale, Stch, TrimmedMean, UncertaintyWeighting, UpGrad,
};
use manytask_multitask::{Aggregator, AggregatorSettings, GivenBatch, GivenStep, TaskVec};
use serde_json::Value;

use crate::aggregators::names;

type Settings = Box<dyn AggregatorSettings>;

fn read(file: &str, kept: &str) -> Vec<Value> {
    let text = match std::env::var_os("MANYTASK_GOLDEN") {
        Some(folder) => fs_err::read_to_string(std::path::Path::new(&folder).join(file)).unwrap(),
        None => kept.to_owned(),
    };
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn rows(value: &Value) -> Vec<Vec<f64>> {
    value.as_array().unwrap().iter().map(numbers).collect()
}

fn matrices(value: &Value) -> Vec<Vec<Vec<f64>>> {
    value.as_array().unwrap().iter().map(rows).collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn by_name(values: &[f64]) -> BTreeMap<String, f64> {
    names(values.len()).into_iter().zip(values.iter().copied()).collect()
}

/// The method that a name of the file means: its parts are divided by colons. `expected` holds preferences.
fn method(name: &str, expected: &Value) -> Option<Settings> {
    let parts: Vec<&str> = name.split(':').collect();
    let number =
        |place: usize| parts.get(place).and_then(|part| part.rsplit('=').next()?.parse::<f64>().ok());
    let numbers_of = |key: &str| expected.get(key).map(numbers).unwrap_or_default();
    let preference = || Preference {
        weights: by_name(&numbers_of("preference")),
        reference: by_name(&numbers_of("reference")),
    };
    Some(match parts[0] {
        "mean" => Box::new(EqualWeights::default()),
        "mgda" => Box::new(Mgda::default()),
        "upgrad" => Box::new(UpGrad::default()),
        "dualproj" => Box::new(DualProj::default()),
        "config" => Box::new(Config::default()),
        "imtl_g" => Box::new(ImtlG::default()),
        "pcgrad" => Box::new(PcGrad::default()),
        "nash_mtl" => Box::new(NashMtl { max_norm: f64::INFINITY, ..NashMtl::default() }),
        "fairgrad" => Box::new(FairGrad { alpha: number(1)?, ..FairGrad::default() }),
        "cagrad" => Box::new(CaGrad { c: number(1)?, rescale: Rescale::None, ..CaGrad::default() }),
        "trimmed_mean" => Box::new(TrimmedMean { trim: number(1)? as usize, ..TrimmedMean::default() }),
        "krum" => {
            let (faulty, selected) = (number(1)? as usize, number(2)? as usize);
            Box::new(Krum { faulty, selected, ..Krum::default() })
        }
        "aligned_mtl" => {
            let scale = match parts[1] {
                "min" => Scale::Min,
                "median" => Scale::Median,
                _ => Scale::Rmse,
            };
            Box::new(AlignedMtl { scale, ..AlignedMtl::default() })
        }
        "geometric_mean" => Box::new(GeometricMean::default()),
        "stch" => Box::new(Stch { mu: number(1)?, preference: preference(), ..Stch::default() }),
        "pbi" => Box::new(Pbi { theta: number(1)?, preference: preference() }),
        "cosmos" => Box::new(Cosmos { gamma: number(1)?, preference: preference() }),
        "dwa" => Box::new(Dwa { temperature: number(1)? }),
        "famo" => Box::new(Famo { learning_rate: number(1)?, weight_decay: number(2)?, ..Famo::default() }),
        "uw" => Box::new(UncertaintyWeighting {
            initial: number(1)?,
            learning_rate: number(2),
            ..UncertaintyWeighting::default()
        }),
        "imtl_l" => Box::new(ImtlL { initial: number(1)?, learning_rate: number(2) }),
        "excess_mtl" => Box::new(ExcessMtl { step_size: number(1)? }),
        "grad_vac" => Box::new(GradVac { beta: number(1)?, ..GradVac::default() }),
        "modo" => Box::new(MoDo { gamma: number(1)?, rho: number(2)? }),
        "moco" => Box::new(MoCo { beta: number(1)?, gamma: number(2)?, rho: number(3)? }),
        "db_mtl" => Box::new(DbMtl { beta: number(1)? }),
        "gradnorm" => {
            Box::new(GradNorm { alpha: number(1)?, learning_rate: number(2)?, ..GradNorm::default() })
        }
        _ => return None,
    })
}

fn build(name: &str, expected: &Value, tasks: usize) -> Box<dyn Aggregator> {
    let settings = method(name, expected).unwrap_or_else(|| panic!("no method for `{name}`"));
    settings.build(&names(tasks)).unwrap()
}

/// The largest gap, relative to the expected numbers' own length.
fn worst(found: &[Vec<f64>], expected: &[Vec<f64>]) -> f64 {
    assert!(expected.len() >= 2 && found.len() >= expected.len());
    let gap = |(a, b): (&Vec<f64>, &Vec<f64>)| {
        assert_eq!(a.len(), b.len());
        norm(&a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<_>>()) / norm(b)
    };
    found.iter().zip(expected).map(gap).fold(0.0, f64::max)
}

/// The factors of losses at each step, with the losses after it, two steps to an epoch.
fn on_losses(case: &Value, name: &str, expected: &Value) -> f64 {
    let (losses, after) = (rows(&case["losses"]), rows(&case["after"]));
    let tasks = losses[0].len();
    let mut aggregator = build(name, expected, tasks);
    let mut found = Vec::new();
    for (number, (own, after)) in losses.iter().zip(&after).enumerate() {
        let gradients: Vec<Vec<f64>> =
            (0..tasks).map(|i| (0..tasks).map(|j| f64::from(u8::from(i == j))).collect()).collect();
        let batch = GivenBatch::new(own.clone(), &gradients).unwrap();
        let mut step = GivenStep::new(batch, aggregator.needs());
        (step.number, step.epoch) = (number as u64, number as u64 / 2);
        // On unit gradients the direction is the factors.
        let combination = aggregator.combine(&mut step).unwrap();
        assert_eq!(combination.heads, step.direction(&combination).unwrap());
        found.push(combination.heads);
        aggregator.after_step(&after.iter().copied().collect::<TaskVec>()).unwrap();
        if number % 2 == 1 {
            let means = losses[number - 1].iter().zip(own).map(|(a, b)| (a + b) / 2.0);
            aggregator.end_epoch(&means.collect::<TaskVec>()).unwrap();
        }
    }
    let expected = expected.get("factors").unwrap_or(expected);
    worst(&found, &rows(expected))
}

/// The directions at each step.
fn on_jacobians(case: &Value, name: &str, expected: &Value) -> f64 {
    let [first, second, third] = ["jacobians", "second", "third"].map(|key| matrices(&case[key]));
    let tasks = first[0].len();
    let mut aggregator = build(name, expected, tasks);
    let losses = expected.get("losses").map_or_else(|| vec![vec![1.0; tasks]; first.len()], rows);
    let independent = aggregator.needs().batches > 1;
    let (mut directions, mut weights) = (Vec::new(), Vec::new());
    for number in 0..first.len() {
        let batch = |rows: &[Vec<f64>]| GivenBatch::new(losses[number].clone(), rows).unwrap();
        let own = if independent { &third } else { &first };
        let mut step = GivenStep::new(batch(&own[number]), aggregator.needs());
        step.number = number as u64;
        step.replicas = vec![batch(&first[number]), batch(&second[number])];
        let combination = aggregator.combine(&mut step).unwrap();
        directions.push(step.direction(&combination).unwrap());
        weights.push(combination.heads);
    }
    match expected.get("weights_before_each_step") {
        Some(expected) => worst(&weights, &rows(expected)),
        None => worst(&directions, &rows(expected.get("directions").unwrap_or(expected))),
    }
}

#[test]
fn golden_weightings() {
    let cases = read("weightings.json", include_str!("../fixtures/weightings.json"));
    let mut compared = BTreeSet::new();
    for case in &cases {
        for (name, expected) in case["expected"].as_object().unwrap() {
            let gap = match case["kind"].as_str().unwrap() {
                "losses" => on_losses(case, name, expected),
                _ => on_jacobians(case, name, expected),
            };
            // Their cosines are of products of lengths with 1e-8 added.
            let tolerance = if name.starts_with("grad_vac") { 1e-7 } else { 1e-9 };
            assert!(gap < tolerance, "{name}, {} tasks: {gap}", case["tasks"]);
            compared.insert(name.clone());
        }
    }
    assert_eq!(compared.len(), 18, "{compared:?}");
}

/// What of a direction's own length it may be off, and of the longest gradient.
fn tolerance(name: &str, kind: &str) -> (f64, f64) {
    match (name.split(':').next().unwrap(), kind) {
        // There the direction is zero up to rounding.
        (_, "pareto_stationary") => (0.0, 1e-9),
        // These were found from a pseudo-inverse of the Gramian itself, in which small gradients lose their digits.
        ("imtl_g", "badly_scaled") => (1e-6, 0.0),
        _ => (1e-9, 0.0),
    }
}

/// The distance to the nearest of the other rows.
fn nearest(rows: &[Vec<f64>], own: &[f64]) -> f64 {
    let distance = |row: &Vec<f64>| norm(&row.iter().zip(own).map(|(a, b)| a - b).collect::<Vec<_>>());
    rows.iter().map(distance).filter(|distance| *distance > 0.0).fold(f64::INFINITY, f64::min)
}

#[test]
fn golden_directions() {
    let cases = read("aggregators.json", include_str!("../fixtures/aggregators.json"));
    let mut compared = BTreeSet::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let rows = rows(&case["jacobian"]);
        let longest = rows.iter().map(|row| norm(row)).fold(0.0, f64::max);
        for (name, expected) in case["expected"].as_object().unwrap() {
            let mut aggregator = build(name, expected, rows.len());
            let batch = GivenBatch::new(vec![1.0; rows.len()], &rows).unwrap();
            let mut step = GivenStep::new(batch, aggregator.needs());
            let combination = aggregator.combine(&mut step).unwrap();
            let (found, expected) = (step.direction(&combination).unwrap(), numbers(&expected["direction"]));
            let gap = norm(&found.iter().zip(&expected).map(|(a, b)| a - b).collect::<Vec<_>>());
            let kind = case["kind"].as_str().unwrap();
            let (own, all) = tolerance(name, kind);
            if name.starts_with("krum") && rows.len() == 4 {
                // Each of two nearest gradients is the other's one neighbour: either may be taken.
                assert!(rows.contains(&found) && rows.contains(&expected));
                assert_eq!(nearest(&rows, &found), nearest(&rows, &expected));
            } else if gap > own * norm(&expected) + all * longest {
                wrong.push(format!(
                    "{name}, {kind}, {} tasks: {:.1e} of {:.1e}, {:.1e} of the longest",
                    rows.len(),
                    gap / norm(&expected),
                    norm(&expected),
                    gap / longest
                ));
            }
            compared.insert(name.clone());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(compared.len(), 16, "{compared:?}");
}
