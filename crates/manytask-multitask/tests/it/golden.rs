//! Exact directions for given gradients. The whole set is read where `MANYTASK_GOLDEN` points, else a part kept here.

use manytask_multitask::AggregatorSettings;
use manytask_multitask::aggregators::{
    AlignedMtl, CaGrad, EqualWeights, Mgda, NashMtl, PcGrad, Rescale, Scale, UpGrad,
};
use serde_json::Value;

use crate::aggregators::dot;
use crate::step::seen;

fn cases() -> Vec<Value> {
    let text = match std::env::var_os("MANYTASK_GOLDEN") {
        Some(folder) => {
            fs_err::read_to_string(std::path::Path::new(&folder).join("aggregators.json")).unwrap()
        }
        None => include_str!("../fixtures/aggregators.json").to_owned(),
    };
    serde_json::from_str::<Vec<Value>>(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn rows(case: &Value) -> Vec<Vec<f64>> {
    case["jacobian"].as_array().unwrap().iter().map(numbers).collect()
}

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Runs a method on every case that has it, and hands over the direction found, the one expected, and the longest row.
fn compare(name: &str, settings: &dyn AggregatorSettings, judge: impl Fn(&Value, &[f64], &[f64], f64)) {
    let mut compared = 0;
    for case in cases() {
        let Some(expected) = case["expected"].get(name) else { continue };
        let rows = rows(&case);
        let tasks: Vec<String> = (0..rows.len()).map(|t| format!("task{t}")).collect();
        let mut aggregator = settings.build(&tasks).unwrap();
        let longest = rows.iter().map(|row| norm(row)).fold(0.0, f64::max);
        let mut step = seen(vec![1.0; rows.len()], &rows, aggregator.needs());
        let combination = aggregator.combine(&mut step).unwrap();
        judge(&case, &step.direction(&combination).unwrap(), &numbers(&expected["direction"]), longest);
        compared += 1;
    }
    // The order of surgery matters from three tasks on, so there its cases are of two.
    let of_two = cases().iter().filter(|case| case["tasks"] == 2).count();
    // There is no bargain between gradients that are dependent or add up to zero.
    let singular = ["rank_deficient", "pareto_stationary"];
    let regular = cases().iter().filter(|case| !singular.iter().any(|kind| case["kind"] == *kind)).count();
    let all = match name {
        "pcgrad" => of_two,
        "nash_mtl" => regular,
        _ => cases().len(),
    };
    assert_eq!(compared, all, "{name}");
}

fn close(what: &str) -> impl Fn(&Value, &[f64], &[f64], f64) {
    move |case, found, expected, longest| {
        let gap: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        assert!(norm(&gap) < 1e-9 * longest, "{what}, {}: {} of {longest}", case["kind"], norm(&gap));
    }
}

#[test]
fn golden_mean() {
    compare("mean", &EqualWeights::default(), close("mean"));
}

#[test]
fn golden_pcgrad() {
    compare("pcgrad", &PcGrad::default(), close("pcgrad"));
}

#[test]
fn golden_mgda() {
    // Where a small gradient stands beside large ones the answer is as short as the small one: it is compared with its own
    // length too. Near a Pareto-stationary point that length is rounding.
    compare("mgda", &Mgda::default(), |case, found, expected, longest| {
        close("mgda")(case, found, expected, longest);
        let gap: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
        let (gap, length) = (norm(&gap), norm(expected));
        assert!(gap < 1e-8 * length.max(1e-7 * longest), "{}: {gap} of {length}", case["kind"]);
        assert!(norm(found) <= length + 1e-12 * longest, "{}: {} {length}", case["kind"], norm(found));
    });
}

#[test]
fn golden_upgrad() {
    compare("upgrad", &UpGrad::default(), close("upgrad"));
}

#[test]
fn golden_cagrad() {
    for (name, c) in [("cagrad:0.2", 0.2), ("cagrad:0.5", 0.5)] {
        let settings = CaGrad { c, rescale: Rescale::None, ..CaGrad::default() };
        compare(name, &settings, |case, found, expected, longest| {
            // The expected vectors lie in the ball, but are not the best there to all digits: the best is at least as good.
            let rows = rows(case);
            let least = |d: &[f64]| rows.iter().map(|row| dot(row, d)).fold(f64::INFINITY, f64::min);
            let (ours, theirs) = (least(found), least(expected));
            assert!(ours >= theirs - 1e-12 * longest * longest, "{}: {ours} {theirs}", case["kind"]);
            let mean: Vec<f64> = (0..found.len())
                .map(|column| rows.iter().map(|row| row[column]).sum::<f64>() / rows.len() as f64)
                .collect();
            let from_mean: Vec<f64> = found.iter().zip(&mean).map(|(d, mean)| d - mean).collect();
            let radius = norm(&from_mean) / norm(&mean);
            assert!((radius - c).abs() < 1e-13, "{}: {radius}", case["kind"]);
            let gap: Vec<f64> = found.iter().zip(expected).map(|(a, b)| a - b).collect();
            assert!(norm(&gap) < 3e-3 * longest, "{}: {} of {longest}", case["kind"], norm(&gap));
        });
    }
}

#[test]
fn golden_aligned_mtl() {
    for (name, scale) in [("min", Scale::Min), ("median", Scale::Median), ("rmse", Scale::Rmse)] {
        let name = format!("aligned_mtl:{name}");
        compare(&name, &AlignedMtl { scale, ..AlignedMtl::default() }, close(&name));
    }
}

#[test]
fn golden_nash_mtl() {
    let settings = NashMtl { max_norm: f64::INFINITY, ..NashMtl::default() };
    compare("nash_mtl", &settings, close("nash_mtl"));
}

#[test]
fn golden_cases_are_of_every_kind() {
    let kinds: std::collections::BTreeSet<String> =
        cases().iter().map(|case| case["kind"].as_str().unwrap().to_owned()).collect();
    let all =
        ["badly_scaled", "conflicting", "nearly_collinear", "pareto_stationary", "random", "rank_deficient"];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), all);
}

const SECOND: &[f64] = &[
    -0.552_877_138_413_685_8,
    0.190_513_219_284_603_4,
    0.979_004_665_629_86,
    -0.020_995_334_370_139_97,
    0.606_531_881_804_043_5,
];
const THIRD: &[f64] =
    &[0.640_569_395_017_793_6, 0.384_341_637_010_676_1, -0.192_170_818_505_338_07, 0.213_523_131_672_597_87];
const SECOND_AVERSE: &[f64] = &[
    -0.719_779_003_591_116_7,
    0.248_025_113_755_026_2,
    1.274_545_380_479_909_8,
    -0.027_333_379_883_207,
    0.789_630_974_403_756_7,
];
const THIRD_AVERSE: &[f64] =
    &[23.028_599_387_514_93, 9.135_602_449_940_274, -4.442_801_224_970_137, 3.733_235_477_031_073_4];

/// Small matrices whose shortest and conflict-averse vectors are from rational arithmetic over all sets of active tasks; what
/// others give, surgery where its order does not matter, is known to six digits.
#[test]
fn golden_small_matrices() {
    let first = vec![vec![-4.0, 1.0, 1.0], vec![6.0, 1.0, 1.0]];
    let second =
        vec![vec![1.0, 2.0, 0.0, -1.0, 3.0], vec![-2.0, 1.0, 1.0, 0.0, -1.0], vec![0.0, -3.0, 2.0, 1.0, 0.5]];
    let third = vec![
        vec![1.0, 0.0, 0.0, 0.0],
        vec![100.0, 1.0, 0.0, 0.0],
        vec![-0.5, 2.0, -1.0, 0.0],
        vec![0.0, 0.0, 0.0, 3.0],
    ];
    let fourth = vec![vec![1.0, 2.0, 3.0], vec![2.0, 4.0, 6.0], vec![-1.0, 0.0, 1.0]];
    let (mgda, pcgrad, upgrad) = (Mgda::default(), PcGrad::default(), UpGrad::default());
    let cagrad = CaGrad { c: 0.4, rescale: Rescale::None, ..CaGrad::default() };
    let rmse = AlignedMtl { scale: Scale::Rmse, ..AlignedMtl::default() };
    let nash = NashMtl { max_norm: f64::INFINITY, ..NashMtl::default() };
    let cases: [(&dyn AggregatorSettings, _, &[f64], f64); 21] = [
        (&mgda, &first, &[0.0, 1.0, 1.0], 1e-12),
        (&mgda, &second, SECOND, 1e-12),
        (&mgda, &third, THIRD, 1e-12),
        (&mgda, &fourth, &[-1.0, 0.0, 1.0], 1e-12),
        (&pcgrad, &first, &[0.584_795, 3.801_17, 3.801_17], 1e-6),
        (&pcgrad, &fourth, &[2.0, 6.0, 10.0], 1e-6),
        (&upgrad, &first, &[0.292_398, 1.900_585, 1.900_585], 1e-6),
        (&upgrad, &second, &[-0.710_936, 0.140_113, 1.745_482, -0.024_095, 1.358_330], 1e-6),
        (&upgrad, &third, &[24.095_238, 5.369_048, -2.559_524, 0.75], 1e-6),
        (&upgrad, &fourth, &[2.0 / 3.0, 2.0, 10.0 / 3.0], 1e-12),
        (
            &cagrad,
            &first,
            &[0.346_802_735_257_819_2, 1.163_299_316_185_545_2, 1.163_299_316_185_545_2],
            1e-12,
        ),
        (&cagrad, &second, SECOND_AVERSE, 1e-12),
        (&cagrad, &third, THIRD_AVERSE, 1e-12),
        (&cagrad, &fourth, &[-0.448_880_035_378_767_4, 2.0, 4.448_880_035_378_767], 1e-12),
        (&rmse, &first, &[0.576_376, 2.614_172, 2.614_172], 1e-6),
        (&rmse, &second, &[-0.714_894, 0.174_994, 1.523_601, -0.019_530, 1.079_046], 1e-6),
        (&rmse, &third, &[12.518_585, 5.779_054, -16.715_241, 12.510_152], 1e-6),
        (&nash, &first, &[0.076_584, 0.998_533, 0.998_533], 1e-6),
        (&nash, &second, &[-0.648_494, 0.174_512, 1.316_850, -0.018_764, 0.902_528], 1e-6),
        (&nash, &third, &[1.288_612, 1.036_708, -0.514_505, 1.0], 1e-6),
        (&nash, &fourth, &[-0.216_900, 0.680_514, 1.577_928], 1e-6),
    ];
    for (settings, rows, expected, tolerance) in cases {
        let tasks: Vec<String> = (0..rows.len()).map(|t| format!("task{t}")).collect();
        let mut aggregator = settings.build(&tasks).unwrap();
        let mut step = seen(vec![1.0; rows.len()], rows, aggregator.needs());
        let combination = aggregator.combine(&mut step).unwrap();
        let found = step.direction(&combination).unwrap();
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < tolerance);
        assert!(near && found.len() == expected.len(), "{settings:?}: {found:?} instead of {expected:?}");
    }
}
