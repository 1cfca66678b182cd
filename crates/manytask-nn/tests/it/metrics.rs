use manytask_nn::metrics::{METRICS, Metric, Output};
use manytask_tensor::{Kind, Tensor};
use serde::Deserialize;

use crate::fixtures::{read, tensor};

#[test]
fn metrics_are_scikit_learns() {
    let cases = read(include_str!("../fixtures/metrics.json"));
    for case in cases.as_array().unwrap() {
        let metric = Metric::deserialize(&case["metric"]).unwrap();
        let output = Output::deserialize(&case["output"]).unwrap();
        let kind = if output == Output::Multiclass { Kind::Int64 } else { Kind::Double };
        let weight = (!case["weight"].is_null()).then(|| tensor(&case["weight"], Kind::Double));
        let prediction = tensor(&case["prediction"], Kind::Double);
        let found =
            metric.evaluate(output, &prediction, &tensor(&case["target"], kind), weight.as_ref()).unwrap();
        let expected = case["value"].as_f64().unwrap();
        assert!((found.unwrap() - expected).abs() < 1e-10, "{metric:?} {output:?}: {found:?} {expected}");
    }
}

#[test]
fn missing_labels_do_not_count_and_one_class_has_no_curve() {
    let x = Tensor::from_slice(&[2.0, -1.0, 3.0, 0.5]);
    let with_gap = Tensor::from_slice(&[1.0, 0.0, f64::NAN, 1.0]);
    let auc = |x: &Tensor, y: &Tensor| Metric::RocAuc.evaluate(Output::Binary, x, y, None).unwrap();
    assert_eq!(auc(&x, &with_gap), Some(1.0));
    assert_eq!(auc(&x, &Tensor::from_slice(&[1.0, 1.0, 1.0, f64::NAN])), None);
    assert_eq!(auc(&x, &Tensor::from_slice(&[f64::NAN; 4])), None);
    assert_eq!(Metric::Accuracy.evaluate(Output::Binary, &x, &with_gap, None).unwrap(), Some(1.0));
    let logits = Tensor::from_slice(&[1.0, 0.0, 0.0, 1.0, 1.0, 0.0]).reshape([3, 2]);
    let classes = Tensor::from_slice(&[0_i64, 0, -100]);
    assert_eq!(Metric::Accuracy.evaluate(Output::Multiclass, &logits, &classes, None).unwrap(), Some(0.5));
    let one = Tensor::from_slice(&[1.0]);
    assert_eq!(Metric::R2.evaluate(Output::Regression, &one, &one, None).unwrap(), None);
    let nan = Tensor::from_slice(&[f64::NAN, 1.0, 2.0, 3.0]);
    assert_eq!(auc(&nan, &with_gap), None, "no order of what is not a number");
}

#[test]
fn calibration_error_by_hand() {
    // Two rows at 0.75, one of them right; one at 0.5 + tiny that is right.
    let logit = 3.0_f64.ln();
    let x = Tensor::from_slice(&[logit, logit, 1e-9]);
    let y = Tensor::from_slice(&[1.0, 0.0, 1.0]);
    let found = Metric::CalibrationError.evaluate(Output::Binary, &x, &y, None).unwrap().unwrap();
    let expected = (2.0 * (0.75 - 0.5) + (1.0 - 0.5)) / 3.0;
    assert!((found - expected).abs() < 1e-8, "{found} {expected}");
    let both = Tensor::stack(&[x.zeros_like(), x], 1);
    let found =
        Metric::CalibrationError.evaluate(Output::Multiclass, &both, &y.to_kind(Kind::Int64), None).unwrap();
    assert!((found.unwrap() - expected).abs() < 1e-8, "{found:?}");
}

#[test]
fn each_metric_is_for_some_output_and_refused_for_others() {
    let x = Tensor::from_slice(&[0.5, 1.0]);
    let (logits, classes) = (x.reshape([1, 2]), Tensor::from_slice(&[1_i64]));
    for metric in METRICS {
        let outputs = [Output::Regression, Output::Binary, Output::Multilabel];
        let mut fit: Vec<bool> =
            outputs.iter().map(|output| metric.evaluate(*output, &x, &x, None).is_ok()).collect();
        fit.push(metric.evaluate(Output::Multiclass, &logits, &classes, None).is_ok());
        assert!(fit.contains(&true) && fit.contains(&false), "{metric:?}");
        assert_eq!(Metric::named(&metric.name()), Some(metric));
        assert_eq!(Metric::deserialize(serde_json::to_value(metric).unwrap()).unwrap(), metric);
        metric.check().unwrap();
    }
    assert!(Metric::Mae.evaluate(Output::Regression, &x, &Tensor::from_slice(&[1.0]), None).is_err());
    for wrong in [
        Metric::QuantileLoss(0.0),
        Metric::QuantileLoss(f64::NAN),
        Metric::TopKAccuracy(0),
        Metric::WithinAngle(0.0),
        Metric::WithinAngle(f64::NAN),
    ] {
        assert!(wrong.check().is_err(), "{wrong:?}");
    }
    assert_eq!(Metric::named("top_3_accuracy"), Some(Metric::TopKAccuracy(3)));
    assert_eq!(Metric::named("quantile_loss_0.25"), Some(Metric::QuantileLoss(0.25)));
    assert_eq!(Metric::named("top_accuracy"), None);
}

#[test]
fn pooled_metrics_leave_out_missing_labels() {
    let x = Tensor::from_slice(&[1.0, -1.0, 1.0, 1.0, -1.0, 1.0]).reshape([3, 2]);
    let y = Tensor::from_slice(&[1.0, 0.0, 0.0, f64::NAN, f64::NAN, 1.0]).reshape([3, 2]);
    let of = |metric: Metric| metric.evaluate(Output::Multilabel, &x, &y, None).unwrap().unwrap();
    // Four labels, one of them wrong: two hits and a false alarm.
    assert_eq!(of(Metric::HammingLoss), 0.25);
    assert!((of(Metric::MicroF1) - 4.0 / 5.0).abs() < 1e-15);
    let none = Tensor::from_slice(&[f64::NAN; 6]).reshape([3, 2]);
    assert_eq!(Metric::MicroF1.evaluate(Output::Multilabel, &x, &none, None).unwrap(), None);
}

#[test]
fn the_relative_error_is_against_the_mean_of_the_training_labels() {
    let (x, y) = (Tensor::from_slice(&[1.0, 3.0]), Tensor::from_slice(&[2.0, 4.0]));
    let of = |mean| Metric::RelativeRmse.evaluate_against(Output::Regression, &x, &y, None, mean).unwrap();
    assert_eq!(of(Some(1.0)), Some((2.0_f64 / 10.0).sqrt()));
    assert_eq!(of(None), Some(1.0), "against their own mean, which is 3");
}

#[test]
fn agreement_beyond_chance_has_no_value_with_one_class() {
    let of = |metric: Metric, x: &[f64], y: &[f64]| {
        metric.evaluate(Output::Binary, &Tensor::from_slice(x), &Tensor::from_slice(y), None).unwrap()
    };
    for metric in [Metric::CohenKappa, Metric::Matthews] {
        assert_eq!(of(metric, &[1.0, 1.0], &[1.0, 1.0]), None, "{metric:?}");
        assert_eq!(of(metric, &[1.0, 1.0], &[1.0, 0.0]), Some(0.0), "{metric:?}");
        assert_eq!(of(metric, &[1.0, -1.0], &[1.0, 0.0]), Some(1.0), "{metric:?}");
        assert_eq!(of(metric, &[-1.0, 1.0], &[1.0, 0.0]), Some(-1.0), "{metric:?}");
    }
}

#[test]
fn angles_are_those_of_vectors_and_small_ones_keep_their_digits() {
    let tiny = 1e-7_f64;
    let x = [[3.0, 0.0, 0.0], [0.0, 1.0, 1.0], [tiny, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]];
    let y = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [f64::NAN, 0.0, 1.0]];
    let rows = |rows: &[[f64; 3]]| Tensor::from_slice(rows.as_flattened()).reshape([5, 3]);
    let of = |metric: Metric, weight: Option<&Tensor>| {
        metric.evaluate(Output::Regression, &rows(&x), &rows(&y), weight).unwrap().unwrap()
    };
    // 0, 45, a tiny one, and 90 of a vector of zeros; the last label is missing.
    let small = (tiny / 2.0).to_degrees();
    assert!((of(Metric::MeanAngle, None) - (45.0 + 90.0 + small) / 4.0).abs() < 1e-12);
    assert!((of(Metric::MedianAngle, None) - f64::midpoint(45.0, small)).abs() < 1e-12);
    assert_eq!(of(Metric::WithinAngle(11.25), None), 0.5);
    assert_eq!(of(Metric::WithinAngle(45.1), None), 0.75);
    let weight = Tensor::from_slice(&[0.0, 1.0, 1.0, 3.0, 9.0]);
    assert!((of(Metric::MedianAngle, Some(&weight)) - 90.0).abs() < 1e-12);
    let one = Metric::MeanAngle.evaluate(
        Output::Regression,
        &Tensor::from_slice(&[0.0, 1e-6]).reshape([1, 2]),
        &Tensor::from_slice(&[0.0, 2.0]).reshape([1, 2]),
        None,
    );
    assert_eq!(one.unwrap(), Some(0.0));
}

#[test]
fn mean_iou_is_of_the_confusion_matrix_over_the_classes_that_occur() {
    let answers = [0_usize, 0, 1, 1, 1, 2, 0, 1];
    let labels = [0_i64, 1, 1, 1, 0, 2, 0, -100];
    let logits: Vec<f64> =
        answers.iter().flat_map(|a| (0..4).map(move |c| f64::from(u8::from(c == *a)))).collect();
    let logits = Tensor::from_slice(&logits).reshape([8, 4]);
    let of = |labels: &[i64]| {
        Metric::MeanIou.evaluate(Output::Multiclass, &logits, &Tensor::from_slice(labels), None).unwrap()
    };
    // 2 of 4, 2 of 4 and 1 of 1; the fourth class is nowhere, the last label is missing.
    assert!((of(&labels).unwrap() - (0.5 + 0.5 + 1.0) / 3.0).abs() < 1e-15);
    assert_eq!(of(&[-100; 8]), None);
}

#[test]
fn relative_errors_leave_out_labels_of_zero() {
    let (x, y) = (Tensor::from_slice(&[1.0, 3.0, 5.0]), Tensor::from_slice(&[2.0, -4.0, 0.0]));
    let found = Metric::RelativeError.evaluate(Output::Regression, &x, &y, None).unwrap();
    assert_eq!(found, Some(f64::midpoint(0.5, 7.0 / 4.0)));
    assert_eq!(Metric::RelativeError.evaluate(Output::Regression, &x, &y.zeros_like(), None).unwrap(), None);
}
