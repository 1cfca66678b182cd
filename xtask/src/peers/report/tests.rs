use super::super::works::{Data, Tolerance};
use super::*;

fn run(microseconds: f64, losses: &[f64], gradient: &[f64]) -> Run {
    Run {
        microseconds,
        losses: losses.to_vec(),
        gradient: gradient.to_vec(),
        equal: vec![1.0, 1.0],
        memory: 10.0,
    }
}

fn work(gradient: Gradient) -> Work {
    Work {
        name: "trunk-2-mgda".into(),
        systems: &["torchjd"],
        slow: &[],
        timed: false,
        warm: 1,
        steps: 2,
        tolerance: Tolerance { first: 1e-5, growth: 100.0, most: 1e-2, gradient },
        data: Data::Made,
    }
}

fn compared(gradient: Gradient, theirs: Run) -> Result<String> {
    let ours = run(10.0, &[1.0, 0.5], &[1.0, 0.0]);
    let mut table = Table::default();
    table.push(&work(gradient), &Runs::from([("manytask", vec![ours]), ("torchjd", vec![theirs])]))?;
    Ok(table.text())
}

fn refusal(gradient: Gradient, theirs: Run) -> String {
    format!("{:#}", compared(gradient, theirs).unwrap_err())
}

#[test]
fn ratios_are_of_medians() {
    let times = |times: [f64; 3]| times.map(|time| run(time, &[1.0, 0.5], &[1.0, 0.0])).to_vec();
    let runs =
        Runs::from([("manytask", times([10.0, 30.0, 20.0])), ("torchjd", times([50.0, 3000.0, 40.0]))]);
    let mut table = Table::default();
    table.push(&work(Gradient::Within(1e-3)), &runs).unwrap();
    let text = table.text();
    assert!(text.contains("| trunk-2-mgda | torchjd | 50 µs | 40 µs to 3.00 ms | 2.50 | 10 MiB |"), "{text}");
}

#[test]
fn who_ran_once_is_marked() {
    let text = compared(Gradient::Unknown, run(20.0, &[1.0, 0.5], &[])).unwrap();
    assert!(text.contains("| torchjd | 20 µs, once |"), "{text}");
}

#[test]
fn other_losses_are_no_comparison() {
    let error = refusal(Gradient::Unknown, run(1.0, &[1.0, 0.6], &[]));
    assert!(error.contains("torchjd does not do the same") && error.contains("loss 0.6"), "{error}");
    // The first loss is held tighter than the second.
    assert!(compared(Gradient::Unknown, run(1.0, &[1.0, 0.5004], &[])).is_ok());
    assert!(refusal(Gradient::Unknown, run(1.0, &[1.0004, 0.5], &[])).contains("step 0"));
    assert!(refusal(Gradient::Unknown, run(1.0, &[], &[])).contains("no losses"));
    assert!(refusal(Gradient::Unknown, run(1.0, &[f64::NAN, 0.5], &[])).contains("loss NaN"));
}

#[test]
fn another_gradient_is_no_comparison() {
    let with = |gradient: &[f64]| run(1.0, &[1.0, 0.5], gradient);
    // Its length is the method's own affair.
    assert!(compared(Gradient::Within(1e-3), with(&[7.0, 0.0])).is_ok());
    assert!(refusal(Gradient::Within(1e-3), with(&[1.0, 0.1])).contains("first gradient is off"));
    assert!(refusal(Gradient::Within(1e-3), with(&[])).contains("2 and 0 numbers"));
    assert!(compared(Gradient::NearerThanEqual, with(&[1.0, 0.1])).is_ok());
    assert!(refusal(Gradient::NearerThanEqual, with(&[1.0, 1.0])).contains("first gradient is off"));
}

#[test]
fn times_have_their_units() {
    assert_eq!([712.4, 2510.0, 3_200_000.0].map(time), ["712 µs", "2.51 ms", "3.20 s"]);
}
