//! What a step for one task does to the losses of the others.

use manytask_multitask::aggregators::EqualWeights;
use manytask_multitask::{AffinityProbe, Aggregator, AggregatorSettings};

use crate::aggregators::{dot, names};
use crate::step::{seen, some_seen};

#[test]
fn affinities_are_what_losses_fall_by_and_the_training_is_the_same() {
    let inner = || EqualWeights::default().build(&names(3)).unwrap();
    let (mut probe, record) = AffinityProbe::new(inner(), 2, &names(3)).unwrap();
    let rows = [vec![1.0, 2.0], vec![-1.0, 1.0], vec![0.5, 0.0]];
    let losses = [2.0, 0.5, 4.0];
    for number in [0, 1, 2] {
        let mut step = seen(losses.to_vec(), &rows, probe.needs());
        (step.number, step.learning_rate) = (number, 0.1);
        let found = probe.combine(&mut step).unwrap();
        let mut plain = seen(losses.to_vec(), &rows, inner().needs());
        let expected = inner().combine(&mut plain).unwrap();
        assert_eq!(step.direction(&found).unwrap(), plain.direction(&expected).unwrap());
    }
    // Losses of such a step are linear: l(θ − η gᵢ) = l − η ⟨gᵢ, gⱼ⟩.
    let affinity = record.affinity();
    assert_eq!(affinity.looks, 2);
    for (one, row) in affinity.matrix.iter().enumerate() {
        for (other, found) in row.iter().enumerate() {
            let expected = 0.1 * dot(&rows[one], &rows[other]) / losses[other];
            assert!((found.unwrap() - expected).abs() < 1e-12, "{one} {other}: {found:?} {expected}");
        }
    }
}

#[test]
fn tasks_that_never_meet_have_no_affinity() {
    let (mut probe, record) =
        AffinityProbe::new(EqualWeights::default().build(&names(2)).unwrap(), 1, &names(2)).unwrap();
    for task in [0, 1] {
        let mut step = some_seen((2, &[task]), vec![1.0], &[vec![1.0]], probe.needs());
        probe.combine(&mut step).unwrap();
    }
    let affinity = record.affinity();
    assert_eq!((affinity.matrix[0][1], affinity.matrix[1][0]), (None, None));
    assert!(affinity.matrix[0][0].is_some());
    assert_eq!(affinity.groupings(2)[0].affinity, 0.0);
    assert!(AffinityProbe::new(EqualWeights::default().build(&names(1)).unwrap(), 0, &names(1)).is_err());
}
